//! From a file to problems, one at a time.

use crate::error::{LoadError, Misfit, Place, clip};
use crate::fields::Fields;
use crate::problem::Problem;
use crate::records::{Records, unreadable};
use crate::{
    apps, codecontests, deepcoder, humaneval, lcb, leetcode, math, mbpp, multipl_e, native, open_r1, verl,
};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

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
    /// HumanEval and HumanEval+.
    HumanEval,
    /// MBPP and MBPP+.
    Mbpp,
    /// Math rows: a problem and its answer, under the names of the common sets.
    Math,
    /// Our own form, [`Problem::to_json`].
    Native,
}

impl Format {
    /// All formats, in the order in which they are tried on a file's first record.
    pub const ALL: [Format; 13] = [
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
        Format::HumanEval,
        Format::Mbpp,
        Format::Math,
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
            Format::HumanEval => "humaneval",
            Format::Mbpp => "mbpp",
            Format::Math => "math",
            Format::Native => "native",
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
            Format::HumanEval => humaneval::fits(fields),
            Format::Mbpp => mbpp::fits(fields),
            Format::Math => math::fits(fields),
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
    records: Records,
    format: Format,
    cap: usize,
    first: Option<Result<Problem, LoadError>>,
    seen: HashMap<String, Place>,
}

/// Opens a file of problems: JSON Lines or one JSON array, plain, gzipped or zstd.
///
/// Without `format` the first record's keys decide. Two problems with one `question_id` are an error at the
/// second.
///
/// # Errors
/// When the file cannot be opened, holds no record, or its first record fits no known format.
pub fn load(path: &Path, format: Option<Format>) -> Result<Problems, LoadError> {
    load_capped(path, format, MAX_RECORD, MAX_UNPACKED)
}

pub(crate) fn load_capped(
    path: &Path,
    format: Option<Format>,
    record_cap: usize,
    unpacked_cap: usize,
) -> Result<Problems, LoadError> {
    let mut records = Records::open(path, record_cap)?;
    let (place, text) = match records.next()? {
        Some((place, bytes)) => (place, bytes.to_owned()),
        None => {
            let misfit = Misfit::new("at least one problem", "none", "check that this is the file you meant");
            return Err(LoadError { file: path.to_owned(), place: None, misfit });
        }
    };
    let format = match format {
        Some(format) => format,
        None => Fields::parse(&text, "a problem, a JSON object")
            .and_then(|fields| Format::detect(&fields))
            .map_err(|misfit| records.error(place, misfit))?,
    };
    let mut problems = Problems { records, format, cap: unpacked_cap, first: None, seen: HashMap::new() };
    problems.first = Some(problems.problem(place, &text));
    Ok(problems)
}

impl Problems {
    /// The format the records are read as.
    pub fn format(&self) -> Format {
        self.format
    }

    fn problem(&mut self, place: Place, text: &[u8]) -> Result<Problem, LoadError> {
        let problem = convert(self.format, self.cap, place, text)
            .map_err(|misfit| self.records.error(place, misfit))?;
        if let Some(earlier) = self.seen.insert(problem.question_id.clone(), place) {
            let found = format!("{} again, first at {earlier}", clip(&problem.question_id));
            let misfit = Misfit::new("each question_id once", found, "remove or rename one of the two");
            return Err(self.records.error(place, misfit));
        }
        Ok(problem)
    }
}

impl Iterator for Problems {
    type Item = Result<Problem, LoadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let (place, text) = match self.records.next() {
            Ok(Some((place, text))) => (place, text.to_owned()),
            Ok(None) => return None,
            Err(error) => return Some(Err(error)),
        };
        Some(self.problem(place, &text))
    }
}

fn convert(format: Format, cap: usize, place: Place, text: &[u8]) -> Result<Problem, Misfit> {
    let fields = Fields::parse(text, "a problem, a JSON object")?;
    let index = place.record - 1;
    let problem = match format {
        Format::Native => native::problem(&fields),
        Format::LiveCodeBench => lcb::problem(&fields, cap),
        Format::SandboxFusion => lcb::wrapped_problem(&fields, cap),
        Format::LeetCode => leetcode::problem(&fields, index),
        Format::Apps => apps::problem(&fields, index),
        Format::Verl => verl::problem(&fields, index),
        Format::OpenR1 => open_r1::problem(&fields, index),
        Format::CodeContests => codecontests::problem(&fields, index),
        Format::MultiPlE => multipl_e::problem(&fields, index),
        Format::DeepCoder => deepcoder::problem(&fields, index),
        Format::HumanEval => humaneval::problem(&fields, index),
        Format::Mbpp => mbpp::problem(&fields, index),
        Format::Math => math::problem(&fields, index),
    }?;
    match problem.question_id.is_empty() {
        true => Err(Misfit::new("a question_id", "an empty one", "give the problem an id")),
        false => Ok(problem),
    }
}

/// SHA-256 of a file's bytes in lower-case hex, for provenance.
///
/// # Errors
/// When the file cannot be read.
pub fn file_sha256(path: &Path) -> Result<String, LoadError> {
    hash(path).map_err(|error| unreadable(path, None, &error))
}

fn hash(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut digest = Sha256::new();
    let mut chunk = vec![0; 1 << 16];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
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
