//! A problem's tests: in memory, or, where they are very many bytes, in a file without a name that is gone with them.
//!
//! A judge runs one test after the other, so of a problem with gigabytes of tests it needs one test in memory at a time.

use crate::error::Misfit;
use crate::problem::{TestCase, TestType};
use crate::store::spool;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Tests of one problem beyond so many bytes of input and output are kept on disk.
const MOST_HELD: usize = 64 << 20;

/// The tests of one problem, in the order in which they are judged.
#[derive(Debug, Clone)]
pub struct TestCases(Place);

#[derive(Debug, Clone)]
enum Place {
    Memory(Vec<TestCase>),
    File(Arc<Spooled>),
}

#[derive(Debug)]
struct Spooled {
    file: Arc<File>,
    tests: Vec<Entry>,
}

/// Where a test lies: its input, and its output right behind it.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start: u64,
    input: usize,
    output: usize,
    test_type: TestType,
}

impl TestCases {
    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Place::Memory(tests) => tests.len(),
            Place::File(spooled) => spooled.tests.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same tests, on disk if they are many bytes.
    pub(crate) fn settled(self) -> io::Result<TestCases> {
        let Place::Memory(tests) = self.0 else { return Ok(self) };
        if tests.iter().map(|test| test.input.len() + test.output.len()).sum::<usize>() <= MOST_HELD {
            return Ok(TestCases(Place::Memory(tests)));
        }
        let mut gathering = Gathering::default();
        tests.into_iter().try_for_each(|test| gathering.push(test))?;
        gathering.done()
    }

    /// What each test means; for this nothing is read.
    pub fn types(&self) -> impl Iterator<Item = TestType> + '_ {
        (0..self.len()).map(|index| match &self.0 {
            Place::Memory(tests) => tests[index].test_type,
            Place::File(spooled) => spooled.tests[index].test_type,
        })
    }

    /// The tests, if they are in memory.
    pub fn in_memory(&self) -> Option<&[TestCase]> {
        match &self.0 {
            Place::Memory(tests) => Some(tests),
            Place::File(_) => None,
        }
    }

    /// The test at this place, from 0; a copy of its own where it is read from disk.
    ///
    /// # Errors
    /// When the disk fails: our failure, whatever is judged.
    ///
    /// # Panics
    /// Beyond the last.
    pub fn get(&self, index: usize) -> io::Result<Cow<'_, TestCase>> {
        match &self.0 {
            Place::Memory(tests) => Ok(Cow::Borrowed(&tests[index])),
            Place::File(spooled) => spooled.read(spooled.tests[index]).map(Cow::Owned),
        }
    }

    /// Those at these places, in this order. None is read.
    ///
    /// # Panics
    /// Beyond the last.
    pub fn chosen(&self, places: &[usize]) -> TestCases {
        TestCases(match &self.0 {
            Place::Memory(tests) => Place::Memory(places.iter().map(|at| tests[*at].clone()).collect()),
            Place::File(spooled) => {
                let tests = places.iter().map(|at| spooled.tests[*at]).collect();
                Place::File(Arc::new(Spooled { file: Arc::clone(&spooled.file), tests }))
            }
        })
    }

    /// All of them, one after the other, as [`TestCases::get`] gives them.
    pub fn iter(&self) -> impl Iterator<Item = io::Result<Cow<'_, TestCase>>> {
        (0..self.len()).map(|index| self.get(index))
    }
}

impl Spooled {
    fn read(&self, entry: Entry) -> io::Result<TestCase> {
        let text = |start, length| {
            let mut bytes = vec![0; length];
            self.file.read_exact_at(&mut bytes, start)?;
            String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        };
        let input = text(entry.start, entry.input)?;
        let output = text(entry.start + entry.input as u64, entry.output)?;
        Ok(TestCase { input, output, test_type: entry.test_type })
    }
}

impl From<Vec<TestCase>> for TestCases {
    fn from(tests: Vec<TestCase>) -> TestCases {
        TestCases(Place::Memory(tests))
    }
}

impl Default for TestCases {
    fn default() -> TestCases {
        Vec::new().into()
    }
}

impl PartialEq for TestCases {
    fn eq(&self, other: &TestCases) -> bool {
        let alike =
            |(one, other): (io::Result<_>, io::Result<_>)| matches!((one, other), (Ok(a), Ok(b)) if a == b);
        self.len() == other.len() && self.iter().zip(other.iter()).all(alike)
    }
}

/// Takes tests one by one, and moves to the disk once they are too many to hold.
#[derive(Debug)]
pub(crate) struct Gathering {
    most: usize,
    bytes: usize,
    held: Vec<TestCase>,
    spooled: Option<(BufWriter<File>, Vec<Entry>)>,
}

impl Default for Gathering {
    fn default() -> Gathering {
        Gathering::holding(MOST_HELD)
    }
}

impl Gathering {
    /// One that holds at most so many bytes of tests.
    pub(crate) fn holding(most: usize) -> Gathering {
        Gathering { most, bytes: 0, held: Vec::new(), spooled: None }
    }

    pub(crate) fn push(&mut self, test: TestCase) -> io::Result<()> {
        let length = test.input.len() + test.output.len();
        if self.spooled.is_none() && self.bytes + length > self.most {
            self.spooled = Some((BufWriter::with_capacity(1 << 20, spool()?), Vec::new()));
            self.bytes = 0;
            for held in std::mem::take(&mut self.held) {
                self.put(&held)?;
            }
        }
        match self.spooled {
            Some(_) => self.put(&test),
            None => {
                self.bytes += length;
                self.held.push(test);
                Ok(())
            }
        }
    }

    fn put(&mut self, test: &TestCase) -> io::Result<()> {
        let Some((file, tests)) = &mut self.spooled else { return Ok(()) };
        file.write_all(test.input.as_bytes())?;
        file.write_all(test.output.as_bytes())?;
        let (input, output) = (test.input.len(), test.output.len());
        tests.push(Entry { start: self.bytes as u64, input, output, test_type: test.test_type });
        self.bytes += input + output;
        Ok(())
    }

    pub(crate) fn done(self) -> io::Result<TestCases> {
        Ok(TestCases(match self.spooled {
            None => Place::Memory(self.held),
            Some((file, tests)) => {
                let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                Place::File(Arc::new(Spooled { file: Arc::new(file), tests }))
            }
        }))
    }
}

/// What to say where the disk takes no more tests.
pub(crate) fn no_room(error: &io::Error) -> Misfit {
    let expected = format!("room for large tests in {}", std::env::temp_dir().display());
    let hint = "free some space there, or set TMPDIR to a larger place";
    Misfit { ours: true, ..Misfit::new(expected, error.to_string(), hint) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tests() -> Vec<TestCase> {
        let kinds = [TestType::Stdin, TestType::Functional, TestType::Call];
        let test = |n: usize| TestCase {
            input: "\u{e9}\n".repeat(n),
            output: n.to_string().repeat(n % 3),
            test_type: kinds[n % 3],
        };
        (0..9).map(test).collect()
    }

    /// Whatever may be held, the same tests come back; what is over it is not in memory.
    #[test]
    fn tests_come_back_from_the_disk_as_they_were() {
        let expected = TestCases::from(tests());
        let bytes: usize = tests().iter().map(|test| test.input.len() + test.output.len()).sum();
        for most in [0, 1, 20, bytes - 1, bytes, usize::MAX] {
            let mut gathering = Gathering::holding(most);
            tests().into_iter().for_each(|test| gathering.push(test).unwrap());
            let gathered = gathering.done().unwrap();
            assert_eq!(gathered.in_memory().is_some(), most >= bytes, "{most}");
            assert_eq!(gathered, expected, "{most}");
            assert_eq!(gathered.clone(), expected);
            assert!(gathered.types().eq(expected.types()));
            assert_eq!(*gathered.get(4).unwrap(), tests()[4], "read again, and in any order");
            let chosen = TestCases::from(vec![tests()[7].clone(), tests()[2].clone()]);
            assert_eq!(gathered.chosen(&[7, 2]), chosen);
        }
        assert_ne!(TestCases::from(tests()[1..].to_vec()), expected);
        assert!(Gathering::default().done().unwrap().is_empty());
    }

    /// Two problems on disk, or one that two workers read, must not move each other's places.
    #[test]
    fn copies_are_read_at_once() {
        let mut gathering = Gathering::holding(0);
        tests().into_iter().for_each(|test| gathering.push(test).unwrap());
        let gathered = gathering.done().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let copy = gathered.clone();
                scope.spawn(move || {
                    (0..200).for_each(|n| assert_eq!(*copy.get(n % 9).unwrap(), tests()[n % 9]))
                });
            }
        });
    }
}
