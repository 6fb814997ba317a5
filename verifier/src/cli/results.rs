//! The end of a run: reports into its directory, a table for the person who waits.

use std::collections::HashMap;
use std::path::Path;

use assay_verifier::report::{self, Conditions, LcbSample, Run, Summary};
use assay_verifier::window::Window;
use assay_verifier::{JudgeOptions, Mode};
use serde_json::Value;

use super::grader::program;
use super::ledger::{Ledger, replace, rewrite, write_array, write_json};
use super::problems::Problems;
use super::{CliError, Status, output};

pub(crate) struct Results<'a> {
    pub(crate) out: &'a Path,
    /// What LiveCodeBench's files are named after.
    pub(crate) stem: String,
    /// Print the report itself.
    pub(crate) json: bool,
    pub(crate) problems: &'a Problems,
    pub(crate) window: &'a Window,
    pub(crate) ledger: &'a Ledger,
    pub(crate) options: &'a JudgeOptions<'a>,
    pub(crate) provenance: &'a Value,
    pub(crate) seconds: f64,
    /// See [`Conditions::notes`].
    pub(crate) notes: Vec<String>,
    /// What the command itself has to report: a key of `report.json`, and a line for people.
    pub(crate) more: Option<(&'static str, Value, String)>,
}

/// A sample as it was submitted.
pub(crate) struct Text {
    pub(crate) number: usize,
    pub(crate) mode: Mode,
    pub(crate) text: String,
}

/// The samples of a problem by its place in the file, in the order of their numbers.
type Texts<'a> = &'a dyn Fn(usize) -> Result<Vec<Text>, CliError>;

impl Results<'_> {
    /// Writes the reports and prints what a person wants first.
    pub(crate) fn finish(&self, texts: Texts<'_>) -> Result<Status, CliError> {
        rewrite(&self.out.join("problems.jsonl"), &self.problems.reported)?;
        let summary = self.summary(texts)?;
        let conditions = Conditions {
            provenance: self.provenance,
            window: self.window,
            wall_seconds: self.seconds,
            notes: &self.notes,
        };
        let mut value = report::json(&summary, &conditions);
        if let Some((key, more, _)) = &self.more {
            value[*key] = more.clone();
        }
        write_json(&self.out.join("report.json"), &value)?;
        replace(&self.out.join("report.html"), report::html(&summary, &conditions).as_bytes())?;
        if self.problems.has_code() {
            self.write_lcb(texts)?;
        }
        if self.json {
            output::print_json(&value)?;
        } else {
            self.print_summary(&summary)?;
        }
        for warning in report::warnings(&summary, &conditions) {
            output::log(&format!("warning: {warning}"));
        }
        match summary.infra_errors() {
            0 => Ok(Status::Fine),
            count => Err(CliError::failure(format!(
                "{count} of {} samples have no verdict because the sandbox failed, see {}; grade them again with \
                 --resume",
                summary.samples(),
                self.out.join("details.jsonl").display()
            ))),
        }
    }

    /// All rows, and the programs of those that are shown.
    fn summary(&self, texts: Texts<'_>) -> Result<Summary, CliError> {
        let about = self.problems.reported.iter();
        let places: HashMap<&str, usize> =
            about.clone().enumerate().map(|(place, about)| (about.question_id.as_str(), place)).collect();
        let mut summary = Summary::new(about.cloned(), self.window);
        for (graded, detail) in self.ledger.graded.iter().zip(&self.ledger.details) {
            let mut failed = None;
            summary.add(graded, detail, || {
                let texts = texts(places[graded.question_id.as_str()]).unwrap_or_else(|error| {
                    failed = Some(error);
                    Vec::new()
                });
                let text = texts.iter().find(|text| text.number == graded.sample);
                text.map_or_else(String::new, |text| program(&text.text, text.mode, self.options))
            });
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(summary)
    }

    fn write_lcb(&self, texts: Texts<'_>) -> Result<(), CliError> {
        let Ledger { graded, details, .. } = self.ledger;
        let run = Run { problems: &self.problems.about, graded, details };
        let load = |place: usize| {
            let sample = |text: Text| {
                let code = program(&text.text, text.mode, self.options);
                LcbSample { output: text.text, code }
            };
            let samples = texts(place)?.into_iter().map(sample).collect();
            Ok((self.problems.get(place)?.problem.clone(), samples))
        };
        write_json(&self.out.join(format!("{}_eval.json", self.stem)), &report::lcb_eval(&run))?;
        write_array(&self.out.join(format!("{}_eval_all.json", self.stem)), report::lcb_eval_all(&run, load))
    }

    fn print_summary(&self, summary: &Summary) -> Result<(), CliError> {
        let groups = output::table(&["", "problems", "samples", "pass@1"], &report::table(summary));
        let counts = summary.verdicts().into_iter().filter(|(_, count)| *count > 0);
        let verdicts: Vec<Vec<String>> = counts
            .map(|(verdict, count)| vec![verdict.name().replace('_', " "), count.to_string()])
            .collect();
        let verdicts = output::table(&["verdict", "samples"], &verdicts);
        let more = self.more.as_ref().map_or_else(String::new, |(_, _, line)| format!("{line}\n"));
        let text = format!(
            "{}\n\n{groups}\n{verdicts}\n{more}{} samples in {:.1} s; results in {}\n",
            report::headline(summary),
            summary.samples(),
            self.seconds,
            self.out.display()
        );
        output::print(text.as_bytes())
    }
}
