//! From a file to problems, one at a time.

use crate::error::{LoadError, Misfit, Place, clip};
use crate::fields::Fields;
use crate::messages::{Message, asked};
use crate::problem::{Problem, Task};
use crate::records::{Records, unreadable};
use crate::test_cases::no_room;
use crate::{
    apps, bigcodebench, codecontests, deepcoder, humaneval, kattis, lcb, leetcode, math, mbpp, multipl_e,
    native, open_r1, package, verl,
};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Longest accepted record (one line, or one element of the array), in bytes.
pub const MAX_RECORD: usize = 512 << 20;
/// Most bytes a record's packed tests may unpack to.
pub const MAX_UNPACKED: usize = 1 << 30;

/// What the records of a file of problems look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// LiveCodeBench's records.
    LiveCodeBench,
    /// SandboxFusion's rows, `{id, content, labels, test}`: LiveCodeBench's tests wrapped, or common_oj's list.
    SandboxFusion,
    /// LeetCodeDataset's rows: Python literals as tests of a method.
    LeetCode,
    /// APPS and TACO: `input_output`.
    Apps,
    /// veRL's rows, PRIME's among them: `reward_model.ground_truth`.
    Verl,
    /// open-r1's rows: `verification_info` or `official_tests`.
    OpenR1,
    /// CodeContests in its JSON form.
    CodeContests,
    /// MultiPL-E: programs begun in a prompt and ended by tests.
    MultiPlE,
    /// rllm's rows (DeepCoder): `tests`.
    DeepCoder,
    /// BigCodeBench: tests in classes of `unittest`.
    BigCodeBench,
    /// HumanEval and HumanEval+.
    HumanEval,
    /// MBPP and MBPP+.
    Mbpp,
    /// Math rows: a problem and its answer, under the names of the common sets.
    Math,
    /// Our own form, [`Problem::to_json`].
    Native,
    /// Problem packages of Kattis and the ICPC: a folder, a folder of such folders, or a zip archive.
    Kattis,
}

impl Format {
    /// All formats, in the order in which they are tried on a file's first record.
    pub const ALL: [Format; 15] = [
        Format::Native,
        Format::LiveCodeBench,
        Format::SandboxFusion,
        Format::LeetCode,
        Format::Apps,
        Format::Verl,
        Format::OpenR1,
        Format::CodeContests,
        Format::MultiPlE,
        Format::DeepCoder,
        Format::BigCodeBench,
        Format::HumanEval,
        Format::Mbpp,
        Format::Math,
        Format::Kattis,
    ];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Format::LiveCodeBench => "livecodebench",
            Format::SandboxFusion => "sandboxfusion",
            Format::LeetCode => "leetcode",
            Format::Apps => "apps",
            Format::Verl => "verl",
            Format::OpenR1 => "open_r1",
            Format::CodeContests => "codecontests",
            Format::MultiPlE => "multipl_e",
            Format::DeepCoder => "deepcoder",
            Format::BigCodeBench => "bigcodebench",
            Format::HumanEval => "humaneval",
            Format::Mbpp => "mbpp",
            Format::Math => "math",
            Format::Native => "native",
            Format::Kattis => "kattis",
        }
    }

    /// Reads such a name; `lcb` is short for `livecodebench`, and TACO has APPS's form.
    pub fn from_name(name: &str) -> Option<Format> {
        let name = match name {
            "lcb" => "livecodebench",
            "taco" => "apps",
            other => other,
        };
        Format::ALL.into_iter().find(|format| format.name() == name)
    }

    fn detect(fields: &Fields<'_>) -> Result<Format, Misfit> {
        let fits = |format: &Format| match format {
            Format::Native => native::fits(fields),
            Format::LiveCodeBench => lcb::fits(fields),
            Format::SandboxFusion => lcb::fits_wrapped(fields),
            Format::LeetCode => leetcode::fits(fields),
            Format::Apps => apps::fits(fields),
            Format::Verl => verl::fits(fields),
            Format::OpenR1 => open_r1::fits(fields),
            Format::CodeContests => codecontests::fits(fields),
            Format::MultiPlE => multipl_e::fits(fields),
            Format::DeepCoder => deepcoder::fits(fields),
            Format::BigCodeBench => bigcodebench::fits(fields),
            Format::HumanEval => humaneval::fits(fields),
            Format::Mbpp => mbpp::fits(fields),
            Format::Math => math::fits(fields),
            Format::Kattis => false,
        };
        Format::ALL.into_iter().find(fits).ok_or_else(|| {
            let names: Vec<&str> = fields.names().take(12).collect();
            let found = format!("the keys {}", clip(&names.join(", ")));
            let hint = "convert the file to one of these, or name its format";
            let known: Vec<&str> = Format::ALL.into_iter().map(Format::name).collect();
            Misfit::new(format!("a record of one of the forms {}", known.join(", ")), found, hint)
        })
    }
}

/// The problems of one file, in its order, read as they are asked for: memory is bounded by one record and
/// the ids seen so far.
///
/// A record that cannot be read is an `Err` and the next call goes on behind it; where the file itself is
/// broken (unreadable, cut off, a record beyond [`MAX_RECORD`]) the iteration ends after the `Err`.
#[derive(Debug)]
pub struct Problems {
    source: Source,
    format: Format,
    cap: usize,
    keys: Keys,
    first: Option<Result<Problem, LoadError>>,
    /// Of the problem last returned.
    place: Place,
    before: Vec<Message>,
    package: Option<PathBuf>,
    seen: HashMap<String, Place>,
}

/// Where problems come from.
#[derive(Debug)]
enum Source {
    Records(Records),
    Packages(std::vec::IntoIter<PathBuf>),
}

/// What a file calls its columns, where it has names of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// The column with the prompt, a text or messages.
    pub prompt: Option<String>,
    /// The column with the right answer; the rows are then math rows.
    pub label: Option<String>,
}

/// Opens a file of problems: JSON Lines or one JSON array, plain, gzipped or zstd; with the feature `parquet` a parquet
/// file; or problem packages, in a folder or a zip archive.
///
/// Without `format` the first record's keys decide. Two problems with one `question_id` are an error at the
/// second.
///
/// # Errors
/// When the file cannot be opened, holds no record, or its first record fits no known format.
pub fn load(path: &Path, format: Option<Format>) -> Result<Problems, LoadError> {
    load_capped(path, format, MAX_RECORD, MAX_UNPACKED)
}

/// As [`load`], of a file whose columns have these names; each row must have them.
///
/// # Errors
/// As [`load`].
pub fn load_by(path: &Path, keys: &Keys) -> Result<Problems, LoadError> {
    if *keys == Keys::default() {
        return load(path, None);
    }
    let format = keys.label.as_ref().map(|_| Format::Math);
    by_keys(Records::open(path, MAX_RECORD)?, path, format, MAX_UNPACKED, keys)
}

pub(crate) fn load_capped(
    path: &Path,
    format: Option<Format>,
    record_cap: usize,
    unpacked_cap: usize,
) -> Result<Problems, LoadError> {
    if is_packages(path, format) {
        let packages = Source::Packages(package::packages(path)?.into_iter());
        let (format, place, seen) = (Format::Kattis, Place { line: 1, record: 1 }, HashMap::new());
        let (cap, keys, first, before, package) = (unpacked_cap, Keys::default(), None, Vec::new(), None);
        return Ok(Problems { source: packages, format, cap, keys, first, place, before, package, seen });
    }
    from_records(Records::open(path, record_cap)?, path, format, unpacked_cap)
}

/// Whether `path` is taken for problem packages and not for a file of records.
pub(crate) fn is_packages(path: &Path, format: Option<Format>) -> bool {
    format == Some(Format::Kattis) || format.is_none() && package::is_package(path)
}

pub(crate) fn from_records(
    records: Records,
    path: &Path,
    format: Option<Format>,
    unpacked_cap: usize,
) -> Result<Problems, LoadError> {
    by_keys(records, path, format, unpacked_cap, &Keys::default())
}

fn by_keys(
    mut records: Records,
    path: &Path,
    format: Option<Format>,
    unpacked_cap: usize,
    keys: &Keys,
) -> Result<Problems, LoadError> {
    let Some((place, text)) = records.next()? else {
        let misfit = Misfit::new("at least one problem", "none", "check that this is the file you meant");
        return Err(LoadError { file: path.to_owned(), place: None, misfit });
    };
    let detected = match format {
        Some(format) => Ok(format),
        None => Fields::parse(text, "a problem, a JSON object").and_then(|fields| Format::detect(&fields)),
    };
    let first = detected.map(|format| (format, convert_by(format, unpacked_cap, place, text, keys)));
    let (format, first) = first.map_err(|misfit| records.error(place, misfit))?;
    let first = first.map_err(|misfit| records.error(place, misfit));
    let (source, cap, seen) = (Source::Records(records), unpacked_cap, HashMap::new());
    let (keys, before) = (keys.clone(), Vec::new());
    let mut problems =
        Problems { source, format, cap, keys, first: None, place, before, package: None, seen };
    problems.first = Some(first.and_then(|(problem, before)| {
        problems.before = before;
        problems.once(problem, path, place)
    }));
    Ok(problems)
}

impl Problems {
    /// The format the records are read as.
    pub fn format(&self) -> Format {
        self.format
    }

    /// What was said before the prompt of the problem last returned, where its record has a conversation: a system message,
    /// earlier turns. Whoever judges an answer needs none of it.
    pub fn before(&self) -> &[Message] {
        &self.before
    }

    /// Where the record of the problem last returned begins, and its [`Records::span`].
    pub(crate) fn span(&self) -> Option<(Place, (u64, usize))> {
        match &self.source {
            Source::Records(records) => Some((self.place, records.span())),
            Source::Packages(_) => None,
        }
    }

    /// The package that the problem last returned was read from.
    pub(crate) fn package(&self) -> Option<&Path> {
        self.package.as_deref()
    }

    /// The next problem, wherever it stands.
    fn read(&mut self) -> Result<Option<Problem>, LoadError> {
        match &mut self.source {
            Source::Records(records) => {
                let Some((place, text)) = records.next()? else { return Ok(None) };
                self.place = place;
                let problem = convert_by(self.format, self.cap, place, text, &self.keys);
                let (problem, before) = problem.map_err(|misfit| records.error(place, misfit))?;
                self.before = before;
                let file = records.file().to_owned();
                self.once(problem, &file, place).map(Some)
            }
            Source::Packages(packages) => {
                let Some(path) = packages.next() else { return Ok(None) };
                let place = Place { line: 1, record: 1 };
                self.package = Some(path.clone());
                let problem = kattis::problem(&path, self.cap)?;
                self.once(problem, &path, place).map(Some)
            }
        }
    }

    /// Refuses an id that was there before.
    fn once(&mut self, problem: Problem, file: &Path, place: Place) -> Result<Problem, LoadError> {
        match self.seen.insert(problem.question_id.clone(), place) {
            None => Ok(problem),
            Some(earlier) => {
                let found = format!("{} again, first at {earlier}", clip(&problem.question_id));
                let misfit = Misfit::new("each question_id once", found, "remove or rename one of the two");
                Err(LoadError { file: file.to_owned(), place: Some(place), misfit })
            }
        }
    }
}

impl Iterator for Problems {
    type Item = Result<Problem, LoadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.first.take().or_else(|| self.read().transpose())
    }
}

pub(crate) fn convert(format: Format, cap: usize, place: Place, text: &[u8]) -> Result<Problem, Misfit> {
    convert_by(format, cap, place, text, &Keys::default()).map(|(problem, _)| problem)
}

/// A record's problem, and what was said before its prompt.
fn convert_by(
    format: Format,
    cap: usize,
    place: Place,
    text: &[u8],
    keys: &Keys,
) -> Result<(Problem, Vec<Message>), Misfit> {
    let fields = Fields::parse(text, "a problem, a JSON object")?;
    let index = place.record - 1;
    let own: &[&str] = match format {
        Format::Verl => &verl::PROMPTS,
        Format::Math => &math::PROMPTS,
        _ => &[],
    };
    let named = keys.prompt.as_deref();
    let prompts = named.as_ref().map_or(own, std::slice::from_ref);
    let asked = asked(&fields, prompts)?;
    let mut problem = match format {
        Format::Native => native::problem(&fields),
        Format::LiveCodeBench => lcb::problem(&fields, cap),
        Format::SandboxFusion => lcb::wrapped_problem(&fields, cap),
        Format::LeetCode => leetcode::problem(&fields, index),
        Format::Apps => apps::problem(&fields, index),
        Format::Verl => verl::problem(&fields, index, &asked.question),
        Format::OpenR1 => open_r1::problem(&fields, index),
        Format::CodeContests => codecontests::problem(&fields, index),
        Format::MultiPlE => multipl_e::problem(&fields, index),
        Format::DeepCoder => deepcoder::problem(&fields, index),
        Format::BigCodeBench => bigcodebench::problem(&fields, index),
        Format::HumanEval => humaneval::problem(&fields, index),
        Format::Mbpp => mbpp::problem(&fields, index),
        Format::Math => math::problem(&fields, index, &asked.question, keys.label.as_deref()),
        Format::Kattis => Err(Misfit::new("a problem package", "a record", "give a folder or a zip archive")),
    }?;
    if let Task::Code(code) = &mut problem.task {
        let tests = std::mem::take(&mut code.test_cases);
        code.test_cases = tests.settled().map_err(|error| no_room(&error))?;
    }
    if problem.question_id.is_empty() {
        return Err(Misfit::new("a question_id", "an empty one", "give the problem an id"));
    }
    if let Some(name) = named.filter(|name| !fields.has(name)) {
        return Err(fields.missing(&format!("a prompt in `{name}`")));
    }
    if named.is_some() {
        problem.prompt = asked.question;
    }
    Ok((problem, asked.before))
}

/// SHA-256 of a file's bytes in lower-case hex, for provenance; of a folder of packages, of the names, lengths and bytes
/// of what is read of them.
///
/// # Errors
/// When the file cannot be read.
pub fn file_sha256(path: &Path) -> Result<String, LoadError> {
    let mut digest = Sha256::new();
    if path.is_dir() {
        for (name, file) in package::files(path)? {
            let length = std::fs::metadata(&file).map_err(|error| unreadable(&file, None, &error))?.len();
            digest.update(format!("{name}\0{length}\0"));
            hash(&file, &mut digest).map_err(|error| unreadable(&file, None, &error))?;
        }
    } else {
        hash(path, &mut digest).map_err(|error| unreadable(path, None, &error))?;
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn hash(path: &Path, digest: &mut Sha256) -> std::io::Result<()> {
    let mut file = std::fs::File::open(path)?;
    let mut chunk = vec![0; 1 << 16];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(()),
            count => digest.update(&chunk[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    /// A file without line ends must not be read into memory before it is refused.
    #[test]
    fn a_record_beyond_the_cap_is_refused() {
        let row = r#"{"problem": "1 + 1", "answer": "2"}"#;
        for text in [format!("{row}\n"), format!("[{row}]")] {
            let file = file(&text);
            assert!(load_capped(file.path(), None, row.len(), 0).unwrap().all(|problem| problem.is_ok()));
            let error = load_capped(file.path(), None, row.len() - 1, 0).unwrap_err().to_string();
            assert!(error.contains("a record of at most 34 bytes"), "{error}");
        }
    }

    #[test]
    fn a_files_hash_is_its_sha256() {
        let file = file("abc");
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(file_sha256(file.path()).unwrap(), hash);
    }
}
