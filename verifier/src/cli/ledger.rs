//! Files of results: rows a line, written whole, read back up to the last whole line.
//!
//! Every row goes to `details.jsonl` and then to `graded.jsonl` as a whole line, synced about once a second, so whatever
//! ends the run (a kill, a full disk) both files hold rows that count, and `--resume` goes on behind them. `run.json`
//! holds the configuration, so that a run is only ever resumed as itself.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use assay_verifier::metrics::Tried;
use assay_verifier::report::{Detail, Graded, Outcome};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{CliError, read_file};

/// A sample by its problem's `question_id` and its number.
pub(crate) type Key = (String, usize);

/// The rows of a file; half a line at its end, where a run was killed, does not count.
pub(crate) fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, CliError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| CliError::read("the results", path, &error))?,
    };
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let lines = bytes[..whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let parse = |(index, line): (usize, &[u8])| {
        serde_json::from_slice(line).map_err(|error| {
            let line = index + 1;
            let path = path.display();
            CliError::usage(format!("{path}: line {line} is no row of results: {error}; use a new --out"))
        })
    };
    lines.enumerate().map(parse).collect()
}

/// Writes rows, a line each.
pub(crate) fn rewrite<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), CliError> {
    let mut text = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut text, row).map_err(|error| CliError::failure(error.to_string()))?;
        text.push(b'\n');
    }
    replace(path, &text)
}

/// Writes a file whole or not at all.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let draft = draft(path);
    let written = File::create(&draft).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&draft, path)
    });
    written.map_err(|error| {
        let _ = fs::remove_file(&draft);
        CliError::write("the results", path, &error)
    })
}

/// Writes one JSON value.
pub(crate) fn write_json(path: &Path, value: &Value) -> Result<(), CliError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| CliError::failure(error.to_string()))?;
    text.push(b'\n');
    replace(path, &text)
}

/// Writes a JSON array whole or not at all, holding one element at a time.
pub(crate) fn write_array(
    path: &Path,
    elements: impl Iterator<Item = Result<Value, CliError>>,
) -> Result<(), CliError> {
    let failed = |error: io::Error| CliError::write("the results", path, &error);
    let draft = draft(path);
    let mut file = BufWriter::new(File::create(&draft).map_err(failed)?);
    let fill = || {
        let mut between = "[\n";
        for element in elements {
            write!(file, "{between}{}", element?).map_err(failed)?;
            between = ",\n";
        }
        let end = if between == "[\n" { "[]\n" } else { "\n]\n" };
        file.write_all(end.as_bytes()).and_then(|()| file.flush()).map_err(failed)?;
        file.get_ref().sync_data().and_then(|()| fs::rename(&draft, path)).map_err(failed)
    };
    fill().inspect_err(|_| {
        let _ = fs::remove_file(&draft);
    })
}

fn draft(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

/// The rows so far, in memory and on disk.
pub(crate) struct Ledger {
    pub(crate) graded: Vec<Graded>,
    pub(crate) details: Vec<Detail>,
    known: HashSet<Key>,
    /// Samples with a verdict, by problem, and the sum of the problems' rates.
    tried: HashMap<String, Tried>,
    rates: f64,
    graded_file: Lines,
    details_file: Lines,
    synced: Instant,
}

impl Ledger {
    /// The results in `out`, new or, to `resume`, those rows of an earlier run of the same configuration that are still
    /// `asked` for.
    pub(crate) fn open(
        out: &Path,
        resume: bool,
        provenance: &Value,
        asked: HashSet<Key>,
    ) -> Result<Ledger, CliError> {
        fs::create_dir_all(out).map_err(|error| CliError::write("the directory", out, &error))?;
        let (graded_path, details_path) = (out.join("graded.jsonl"), out.join("details.jsonl"));
        let run_path = out.join("run.json");
        for path in [&graded_path, &details_path, &run_path] {
            refuse_directory(path)?;
        }
        let (mut graded, mut details) = (Vec::new(), Vec::new());
        if resume && run_path.exists() {
            same_run(&run_path, provenance)?;
            (graded, details) = keep(read_lines(&graded_path)?, read_lines(&details_path)?, asked);
            rewrite(&details_path, &details)?;
            rewrite(&graded_path, &graded)?;
        } else {
            refuse_existing(&graded_path, resume)?;
            write_json(&run_path, provenance)?;
        }
        let mut ledger = Ledger {
            graded: Vec::new(),
            details: Vec::new(),
            known: HashSet::new(),
            tried: HashMap::new(),
            rates: 0.0,
            graded_file: Lines::open(graded_path)?,
            details_file: Lines::open(details_path)?,
            synced: Instant::now(),
        };
        for (graded, detail) in graded.into_iter().zip(details) {
            ledger.remember(graded, detail);
        }
        Ok(ledger)
    }

    pub(crate) fn has(&self, key: &Key) -> bool {
        self.known.contains(key)
    }

    pub(crate) fn add(&mut self, graded: Graded, detail: Detail) -> Result<(), CliError> {
        self.details_file.append(&detail)?;
        self.graded_file.append(&graded)?;
        self.remember(graded, detail);
        Ok(())
    }

    fn remember(&mut self, graded: Graded, detail: Detail) {
        self.known.insert((graded.question_id.clone(), graded.sample));
        if graded.outcome == Outcome::Graded {
            let rate = |tried: &Tried| tried.accepted as f64 / tried.samples.max(1) as f64;
            let tried =
                self.tried.entry(graded.question_id.clone()).or_insert(Tried { samples: 0, accepted: 0 });
            let before = rate(tried);
            tried.samples += 1;
            tried.accepted += usize::from(graded.verdict.as_deref() == Some("accepted"));
            self.rates += rate(tried) - before;
        }
        self.graded.push(graded);
        self.details.push(detail);
    }

    /// The mean of the problems' rates so far.
    pub(crate) fn pass_at_1(&self) -> Option<f64> {
        (!self.tried.is_empty()).then(|| self.rates / self.tried.len() as f64)
    }

    pub(crate) fn sync_now_and_then(&mut self) -> Result<(), CliError> {
        if self.synced.elapsed() < Duration::from_secs(1) { Ok(()) } else { self.sync() }
    }

    pub(crate) fn sync(&mut self) -> Result<(), CliError> {
        self.details_file.sync()?;
        self.graded_file.sync()?;
        self.synced = Instant::now();
        Ok(())
    }
}

/// A file that only ever grows by whole lines.
pub(crate) struct Lines {
    path: PathBuf,
    file: File,
    pub(crate) length: u64,
}

impl Lines {
    pub(crate) fn open(path: PathBuf) -> Result<Lines, CliError> {
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        let opened = opened.and_then(|file| Ok((file.metadata()?.len(), file)));
        let (length, file) = opened.map_err(|error| CliError::write("the results", &path, &error))?;
        Ok(Lines { path, file, length })
    }

    pub(crate) fn append(&mut self, row: &impl Serialize) -> Result<(), CliError> {
        let mut line = serde_json::to_vec(row).map_err(|error| CliError::failure(error.to_string()))?;
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line) {
            // Half a line may have fitted; what stays must be whole lines. --resume would drop it too.
            let _ = self.file.set_len(self.length);
            return Err(self.failed(&error));
        }
        self.length += line.len() as u64;
        Ok(())
    }

    pub(crate) fn sync(&self) -> Result<(), CliError> {
        match self.file.sync_data() {
            // Pipes and devices cannot be synced, and need not be.
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => Err(self.failed(&error)),
            _ => Ok(()),
        }
    }

    fn failed(&self, error: &io::Error) -> CliError {
        let mut failure = CliError::write("the results", &self.path, error);
        failure.append("; nothing that is done is lost, go on with --resume");
        failure
    }
}

fn same_run(path: &Path, provenance: &Value) -> Result<(), CliError> {
    let earlier: Value = serde_json::from_slice(&read_file("the configuration of the earlier run", path)?)
        .map_err(|error| {
            CliError::usage(format!("{}: not JSON: {error}; use a new --out", path.display()))
        })?;
    let changed =
        provenance.as_object().into_iter().flatten().find(|(key, now)| earlier.get(key) != Some(now));
    match changed {
        None => Ok(()),
        Some((key, now)) => Err(CliError::usage(format!(
            "--resume: `{key}` has changed since {} was written (then {}, now {now}); use the same settings and \
             files, or a new --out",
            path.display(),
            earlier.get(key).unwrap_or(&Value::Null)
        ))),
    }
}

fn refuse_directory(path: &Path) -> Result<(), CliError> {
    if path.is_dir() {
        let path = path.display();
        return Err(CliError::usage(format!("{path} is a directory; remove it, or give a new --out")));
    }
    Ok(())
}

/// Results of a run that is not being resumed, or that cannot be.
fn refuse_existing(path: &Path, resume: bool) -> Result<(), CliError> {
    let advice = if resume {
        " and no run.json beside it says of which run; give a new --out"
    } else {
        "; go on with --resume, or give a new --out"
    };
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > 0 => {
            Err(CliError::usage(format!("{} already holds results{advice}", path.display())))
        }
        _ => Ok(()),
    }
}

/// Rows that count: with both halves, still asked for, and not our failure.
fn keep(graded: Vec<Graded>, details: Vec<Detail>, mut asked: HashSet<Key>) -> (Vec<Graded>, Vec<Detail>) {
    let mut details: HashMap<Key, Detail> =
        details.into_iter().map(|detail| ((detail.question_id.clone(), detail.sample), detail)).collect();
    let mut kept = (Vec::new(), Vec::new());
    for row in graded.into_iter().filter(|row| row.outcome != Outcome::InfraError) {
        let key = (row.question_id.clone(), row.sample);
        if asked.remove(&key)
            && let Some(detail) = details.remove(&key)
        {
            kept.0.push(row);
            kept.1.push(detail);
        }
    }
    kept
}
