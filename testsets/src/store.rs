//! Files larger than memory: one pass reads every record and keeps where it lies; later a record is read again when it is
//! wanted.
//!
//! A plain file is read again itself, for as long as it stays as it was. A packed one is unpacked once, during the pass,
//! into a file without a name in the temporary directory, which is gone with the store.

use std::env;
use std::fs::{File, remove_file};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest, Sha256};

use crate::completions::{Completions, Gathered, parse};
use crate::error::{LoadError, Misfit, Place};
use crate::kattis;
use crate::load::{Format, MAX_RECORD, MAX_UNPACKED, convert, from_records, is_packages, load};
use crate::problem::Problem;
use crate::records::{Records, unpacked, unreadable};

/// The problems of one file, each read again when asked for; memory holds some forty bytes a problem.
#[derive(Debug)]
pub struct ProblemStore {
    places: Places,
    format: Format,
}

#[derive(Debug)]
enum Places {
    Records(Source, Vec<Span>),
    /// Files of their own.
    Packages(Vec<PathBuf>),
}

impl ProblemStore {
    /// Reads the whole file once, as [`crate::load`] does, and shows each problem to `each`, in file order.
    ///
    /// # Errors
    /// Those of [`crate::load`] and of its first bad record; and when the temporary directory has no room.
    pub fn open(
        path: &Path,
        format: Option<Format>,
        mut each: impl FnMut(&Problem),
    ) -> Result<ProblemStore, LoadError> {
        if is_packages(path, format) {
            let (mut problems, mut packages) = (load(path, format)?, Vec::new());
            while let Some(problem) = problems.next() {
                each(&problem?);
                packages.extend(problems.package().map(Path::to_owned));
            }
            return Ok(ProblemStore { places: Places::Packages(packages), format: problems.format() });
        }
        let (source, records) = Source::open(path)?;
        let (mut problems, mut spans) = (from_records(records, path, format, MAX_UNPACKED)?, Vec::new());
        while let Some(problem) = problems.next() {
            each(&problem?);
            spans.extend(problems.span().map(|(place, (start, length))| Span { place, start, length }));
        }
        Ok(ProblemStore { places: Places::Records(source, spans), format: problems.format() })
    }

    /// The format the records were read as.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The problem at this place of the file, from 0, and the SHA-256 of its record.
    ///
    /// # Errors
    /// When the file was changed since it was opened, or can no longer be read.
    pub fn problem(&self, index: usize) -> Result<(Problem, [u8; 32]), LoadError> {
        match &self.places {
            Places::Records(source, spans) => {
                let span = &spans[index];
                let text = source.read(span)?;
                let problem = convert(self.format, MAX_UNPACKED, span.place, &text)
                    .map_err(|misfit| source.error(span.place, misfit))?;
                Ok((problem, Sha256::digest(&text).into()))
            }
            Places::Packages(packages) => {
                let problem = kattis::problem(&packages[index], MAX_UNPACKED)?;
                let digest = Sha256::digest(problem.to_json()).into();
                Ok((problem, digest))
            }
        }
    }
}

/// The completions of one file, read again when asked for; memory holds some sixty bytes a sample.
#[derive(Debug)]
pub struct CompletionStore {
    source: Source,
    rows: Vec<Completions>,
    spans: Vec<Vec<Span>>,
}

impl CompletionStore {
    /// Reads the whole file once, as [`crate::load_completions`] does.
    ///
    /// # Errors
    /// Those of [`crate::load_completions`]; and when the temporary directory has no room.
    pub fn open(path: &Path) -> Result<CompletionStore, LoadError> {
        let (source, mut records) = Source::open(path)?;
        let (mut gathered, mut spans) = (Gathered::default(), Vec::<Vec<Span>>::new());
        while let Some((place, bytes)) = records.next()? {
            let added = parse(bytes).and_then(|mut row| {
                row.completions.samples.iter_mut().for_each(|text| *text = String::new());
                gathered.add(place, row)
            });
            let at = added.map_err(|misfit| records.error(place, misfit))?;
            let (start, length) = records.span();
            spans.resize_with(spans.len().max(at + 1), Vec::new);
            spans[at].push(Span { place, start, length });
        }
        Ok(CompletionStore { source, rows: gathered.done(path)?, spans })
    }

    /// What [`crate::load_completions`] returns, but every text is empty.
    pub fn rows(&self) -> &[Completions] {
        &self.rows
    }

    /// The texts of a row of [`CompletionStore::rows`].
    ///
    /// # Errors
    /// When the file was changed since it was opened, or can no longer be read.
    pub fn texts(&self, row: usize) -> Result<Vec<String>, LoadError> {
        let mut texts = Vec::new();
        for span in &self.spans[row] {
            let read =
                parse(&self.source.read(span)?).map_err(|misfit| self.source.error(span.place, misfit))?;
            texts.extend(read.completions.samples);
        }
        Ok(texts)
    }
}

#[derive(Debug)]
struct Span {
    place: Place,
    start: u64,
    length: usize,
}

/// The bytes behind the records.
#[derive(Debug)]
struct Source {
    path: PathBuf,
    file: File,
    /// Of a file that others may write to: what it was when it was opened.
    version: Option<Version>,
}

/// Length, and time of the last change in seconds and nanoseconds.
type Version = (u64, i64, i64);

impl Source {
    fn open(path: &Path) -> Result<(Source, Records), LoadError> {
        let failed = |error: io::Error| unreadable(path, None, &error);
        let file = File::open(path).map_err(failed)?;
        let seekable = file.metadata().map_err(failed)?.is_file();
        let (input, packed) = unpacked(path).map_err(failed)?;
        let owned = path.to_owned();
        if seekable && !packed {
            let version = Some(version(&file).map_err(failed)?);
            return Ok((Source { path: owned, file, version }, Records::new(path, input, MAX_RECORD)?));
        }
        let spool = spool().map_err(|error| no_room(path, &error))?;
        let copy = spool.try_clone().map_err(|error| no_room(path, &error))?;
        let records = Records::new(path, Box::new(Tee { input, copy }), MAX_RECORD)?;
        Ok((Source { path: owned, file: spool, version: None }, records))
    }

    fn read(&self, span: &Span) -> Result<Vec<u8>, LoadError> {
        let failed = |error: io::Error| unreadable(&self.path, Some(span.place), &error);
        if let Some(then) = self.version
            && version(&self.file).map_err(failed)? != then
        {
            let hint = "start again, and leave the file alone until the run has ended";
            let misfit = Misfit::new("the file as it was at the start", "a changed one", hint);
            return Err(self.error(span.place, misfit));
        }
        let mut text = vec![0; span.length];
        self.file.read_exact_at(&mut text, span.start).map_err(failed)?;
        Ok(text)
    }

    fn error(&self, place: Place, misfit: Misfit) -> LoadError {
        LoadError { file: self.path.clone(), place: Some(place), misfit }
    }
}

fn version(file: &File) -> io::Result<Version> {
    let metadata = file.metadata()?;
    Ok((metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

fn no_room(path: &Path, error: &io::Error) -> LoadError {
    let expected = format!("room for the unpacked file in {}", env::temp_dir().display());
    let hint = "free some space there, set TMPDIR to a larger place, or unpack the file";
    let misfit = Misfit { ours: true, ..Misfit::new(expected, error.to_string(), hint) };
    LoadError { file: path.to_owned(), place: None, misfit }
}

/// A new file that has lost its name already.
pub(crate) fn spool() -> io::Result<File> {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    loop {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("assay-spool-{}-{number}", std::process::id()));
        match File::options().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(file) => {
                remove_file(&path)?;
                return Ok(file);
            }
        }
    }
}

/// Copies what is read.
struct Tee {
    input: Box<dyn Read + Send>,
    copy: File,
}

impl Read for Tee {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.copy.write_all(&buffer[..count])?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use tempfile::NamedTempFile;

    use super::*;
    use crate::{load, load_completions};

    fn file(bytes: &[u8]) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    /// Lines and arrays, spaced and not, plain and packed: what is read again is what was read.
    #[test]
    fn problems_come_back_as_they_were() {
        let row = |id: &str| format!(r#"{{"id": "{id}", "problem": "a [{{\"\\n", "answer": "2"}}"#);
        let (a, b, c) = (row("a"), row("b"), row(&"\u{e9}".repeat(70_000)));
        for text in [
            format!("{a}\n{b}\n{c}\n"),
            format!("\n  {a}\r\n\n{b}\n{c}"),
            format!("[{a},{b},{c}]"),
            format!("\u{feff} [ {a} ,\n {b}\n, {c} ]\n"),
        ] {
            for bytes in [text.clone().into_bytes(), gzip(&text)] {
                let file = file(&bytes);
                let expected: Vec<Problem> = load(file.path(), None).unwrap().map(Result::unwrap).collect();
                let mut shown = Vec::new();
                let store = ProblemStore::open(file.path(), None, |p| shown.push(p.clone())).unwrap();
                assert_eq!(shown, expected);
                for (index, problem) in expected.iter().enumerate().rev() {
                    assert_eq!(&store.problem(index).unwrap().0, problem);
                }
                assert_ne!(store.problem(0).unwrap().1, store.problem(1).unwrap().1, "hashes");
            }
        }
    }

    #[test]
    fn completions_come_back_as_they_were() {
        for text in [
            r#"[{"question_id": "a", "code_list": ["1", "2"]}, {"question_id": "b", "code_list": []}]"#,
            r#"[["1", "2"], ["3"]]"#,
            "{\"id\": 1, \"completion\": \"x\"}\n{\"id\": 2, \"completion\": \"y\"}\n{\"id\": 1, \"completion\": \"z\"}",
        ] {
            for bytes in [text.as_bytes().to_vec(), gzip(text)] {
                let file = file(&bytes);
                let expected = load_completions(file.path()).unwrap();
                let store = CompletionStore::open(file.path()).unwrap();
                for (row, completions) in expected.iter().enumerate() {
                    assert_eq!(store.texts(row).unwrap(), completions.samples);
                    assert_eq!(store.rows()[row].samples.len(), completions.samples.len());
                }
                assert_eq!(store.rows().len(), expected.len());
            }
        }
    }

    /// Without this the second half of a run would be judged by other tests than the first, or by half a record.
    #[test]
    fn a_file_that_changes_is_an_error() {
        let mut file = file(b"{\"id\": \"a\", \"problem\": \"\", \"answer\": \"2\"}\n");
        let store = ProblemStore::open(file.path(), None, |_| {}).unwrap();
        store.problem(0).unwrap();
        file.write_all(b" ").unwrap();
        let error = store.problem(0).unwrap_err().to_string();
        assert!(error.contains("the file as it was at the start"), "{error}");
    }

    #[test]
    fn bad_records_are_the_loaders_errors() {
        for text in
            ["", "{\"x\": 1}", "{\"id\": \"a\", \"problem\": \"\", \"answer\": \"2\"}\n{\"id\": \"a\"}"]
        {
            let file = file(text.as_bytes());
            let loaded = load(file.path(), None).and_then(|problems| problems.collect::<Result<Vec<_>, _>>());
            assert_eq!(ProblemStore::open(file.path(), None, |_| {}).unwrap_err(), loaded.unwrap_err());
        }
    }
}
