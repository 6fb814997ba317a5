//! What a run came to: `report.json`, `report.html` (one file, curves as inline SVG) and the table on the terminal.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::eval::Interval;
use crate::metrics::StepMetrics;

/// A finished run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether each family's gain has its interval above 0, and no family's has after a control that teaches nothing.
    pub learned: bool,
    /// Which families stand against that, and by which figures.
    pub failed: Vec<String>,
    /// Of the recipe.
    pub seed: u64,
    /// Wall time of the whole run.
    pub seconds: f64,
    /// Steps of SFT.
    pub sft_steps: u64,
    /// The solutions of the bundled problems, as the verifier graded them.
    pub bundled: Vec<BundledRow>,
    /// Accuracy on held-out problems: one row per family, and one for all.
    pub held_out: Vec<HeldOut>,
    /// The same after what should not do as well, where it was asked for.
    pub controls: Vec<Other>,
    /// The steps of reinforcement learning.
    pub steps: Vec<StepMetrics>,
    /// Where the files lie.
    pub files: Files,
}

/// One bundled problem's solution, or answer.
#[derive(Debug, Clone, Serialize)]
pub struct BundledRow {
    /// The problem.
    pub question_id: String,
    /// Which of its solutions.
    pub solution: String,
    /// What the bundled set says of it.
    pub expected: String,
    /// What the verifier said.
    pub verdict: String,
}

/// Accuracy before and after on the same held-out problems.
#[derive(Debug, Clone, Serialize)]
pub struct HeldOut {
    /// `arithmetic`, `programs`, or `all`.
    pub family: String,
    /// After SFT.
    pub before: Interval,
    /// After what came then.
    pub after: Interval,
    /// The gain, paired by problem.
    pub gain: Interval,
}

/// Another training from the same SFT policy.
#[derive(Debug, Clone, Serialize)]
pub struct Other {
    /// What was done in place of the GRPO.
    pub what: String,
    /// Whether anything can be learned from it; where not, a gain says that the measurement is wrong.
    pub teaches: bool,
    /// Accuracy on the same problems.
    pub held_out: Vec<HeldOut>,
}

/// Where the files lie.
#[derive(Debug, Clone, Serialize)]
pub struct Files {
    /// The trained policy: config.json, model.safetensors, tokenizer.json.
    pub checkpoint: PathBuf,
    /// One line per step.
    pub metrics: PathBuf,
    /// This report as JSON.
    pub report: PathBuf,
    /// This report as a page.
    pub page: PathBuf,
}

impl Files {
    /// Their places in a run's directory.
    pub fn in_dir(out: &Path) -> Files {
        Files {
            checkpoint: out.join(crate::train::CHECKPOINT),
            metrics: out.join(crate::train::METRICS),
            report: out.join("report.json"),
            page: out.join("report.html"),
        }
    }
}

impl Report {
    /// Writes `report.json` and `report.html`.
    pub fn write(&self) -> std::io::Result<()> {
        let json = serde_json::to_string_pretty(self).map_err(std::io::Error::other)?;
        std::fs::write(&self.files.report, json + "\n")?;
        std::fs::write(&self.files.page, self.html())
    }

    /// The table a person reads at the end.
    pub fn table(&self) -> String {
        let mut text = String::from("Held-out accuracy (95 % intervals; the gain is paired by problem)\n\n");
        let header = ["problems", "n", "after SFT", "now", "gain", "interval"];
        let mut rows = vec![header.map(str::to_owned)];
        rows.extend(self.rows());
        text += &columns(&rows);
        text += "\nSteps of GRPO\n\n";
        let curve = |name: &str, value: fn(&StepMetrics) -> f64| {
            let values: Vec<f64> = self.steps.iter().map(value).collect();
            let end = |value: Option<&f64>| value.map_or(String::new(), |value| format!("{value:.3}"));
            [name.to_owned(), end(values.first()), sparkline(&values), end(values.last())]
        };
        text += &columns(&[
            curve("reward", |line| line.reward_mean),
            curve("entropy", |line| line.entropy),
            curve("temperature", |line| line.temperature),
            curve("tokens", |line| line.completion_length_mean),
        ]);
        let _ = write!(
            text,
            "\ncheckpoint  {}\nmetrics     {}\nreport      {}\n\n{} in {:.0} s\n",
            self.files.checkpoint.display(),
            self.files.metrics.display(),
            self.files.page.display(),
            self.conclusion(),
            self.seconds
        );
        text
    }

    /// The cells of what GRPO came to, and of the controls.
    fn rows(&self) -> impl Iterator<Item = [String; 6]> {
        let controls = self.controls.iter().flat_map(|control| {
            control.held_out.iter().map(|row| row.cells(&format!(" ({})", control.what)))
        });
        self.held_out.iter().map(|row| row.cells("")).chain(controls)
    }

    /// The sentence that says what was found: each family's gain, or what stands against them.
    pub fn conclusion(&self) -> String {
        if !self.learned {
            return format!("It did NOT learn: {}", self.failed.join("; "));
        }
        let gains = |rows: &[HeldOut]| {
            let gain = |row: &HeldOut| format!("{} {}", row.family, row.gain);
            families(rows).map(gain).collect::<Vec<_>>().join(", ")
        };
        let control = |control: &Other| format!("; {}: {}", control.what, gains(&control.held_out));
        let controls: String = self.controls.iter().map(control).collect();
        format!("It learned: {}{controls}", gains(&self.held_out))
    }

    /// A page of its own: no script, nothing fetched.
    pub fn html(&self) -> String {
        let mut body =
            format!("<h1>Assay quickstart</h1><p>{}, in {:.0} s.</p>", self.conclusion(), self.seconds);
        body += "<h2>Held-out accuracy</h2><table><tr><th>problems<th>n<th>after SFT<th>now<th>gain<th>95 % interval</tr>";
        for cells in self.rows() {
            let cells: String = cells.iter().map(|cell| format!("<td>{}", escape(cell))).collect();
            let _ = write!(body, "<tr>{cells}</tr>");
        }
        body += "</table><h2>Reinforcement learning</h2>";
        let curves: [Curve; 4] = [
            ("reward (mean)", |line| line.reward_mean, None),
            ("entropy (nats per token); dashed: 0.3", |line| line.entropy, Some(0.3)),
            ("sampling temperature", |line| line.temperature, None),
            ("completion length (tokens)", |line| line.completion_length_mean, None),
        ];
        for (title, value, mark) in curves {
            let values: Vec<f64> = self.steps.iter().map(value).collect();
            let _ = write!(body, "<figure>{}<figcaption>{title}</figcaption></figure>", svg(&values, mark));
        }
        body += "<h2>The verifier on bundled solutions</h2><table><tr><th>problem<th>solution<th>expected<th>verdict</tr>";
        for row in &self.bundled {
            let cells = [&row.question_id, &row.solution, &row.expected, &row.verdict];
            let cells: String = cells.map(|cell| format!("<td>{}", escape(cell))).concat();
            let _ = write!(body, "<tr>{cells}</tr>");
        }
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8><title>Assay quickstart</title><style>{STYLE}</style><body>{body}</table></body></html>\n"
        )
    }
}

/// A title, the value of a step, and a mark to aim at.
type Curve = (&'static str, fn(&StepMetrics) -> f64, Option<f64>);

/// The row over all families.
pub const ALL: &str = "all";

/// The rows of single families. A gain over all may be one family's alone.
fn families(rows: &[HeldOut]) -> impl Iterator<Item = &HeldOut> {
    rows.iter().filter(|row| row.family != ALL)
}

/// What stands against it that each family was learned, and from nothing but the rewards.
pub fn failures(held_out: &[HeldOut], controls: &[Other]) -> Vec<String> {
    let mut failed: Vec<String> = families(held_out)
        .filter(|row| row.gain.low <= 0.0)
        .map(|row| format!("{} gained {}, which is not above 0", row.family, row.gain))
        .collect();
    if families(held_out).next().is_none() {
        failed.push("no family of problems was held out".to_owned());
    }
    for control in controls.iter().filter(|control| !control.teaches) {
        let gained = families(&control.held_out).filter(|row| row.gain.low > 0.0);
        failed.extend(gained.map(|row| format!("{} gained {} from {}", row.family, row.gain, control.what)));
    }
    failed
}

impl HeldOut {
    fn cells(&self, note: &str) -> [String; 6] {
        [
            format!("{}{note}", self.family),
            self.gain.n.to_string(),
            format!("{:.3}", self.before.mean),
            format!("{:.3}", self.after.mean),
            format!("{:+.3}", self.gain.mean),
            format!("{:+.3} .. {:+.3}", self.gain.low, self.gain.high),
        ]
    }
}

impl std::fmt::Display for Interval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:+.3} ({:+.3} .. {:+.3}, n = {})", self.mean, self.low, self.high, self.n)
    }
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:54rem;margin:2rem auto;padding:0 1rem;color:#222}\
    table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left;font-variant-numeric:tabular-nums}\
    figure{margin:1rem 0}figcaption{color:#666}svg{width:100%;height:auto;background:#fafafa}";

/// Rows of cells as text columns two spaces apart.
fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// Cells of a sparkline; more values are averaged.
const SPARKS: usize = 48;

/// Values as a row of blocks, lowest to highest of the row.
fn sparkline(values: &[f64]) -> String {
    let cells = values.len().min(SPARKS);
    let average = |cell: usize| {
        let part = &values[cell * values.len() / cells..(cell + 1) * values.len() / cells];
        part.iter().sum::<f64>() / part.len() as f64
    };
    let averages: Vec<f64> = (0..cells).map(average).collect();
    let (low, high) = range(&averages);
    let block = |value: &f64| {
        let level = ((value - low) / (high - low).max(1e-9) * 7.0).round() as u32;
        char::from_u32(0x2581 + level.min(7)).unwrap_or(' ')
    };
    averages.iter().map(block).collect()
}

/// A curve of one value per step, with its range written at the side and an optional dashed mark.
fn svg(values: &[f64], mark: Option<f64>) -> String {
    let (width, height, left) = (800.0, 160.0, 60.0);
    let (low, high) = range(&values.iter().copied().chain(mark).collect::<Vec<_>>());
    let span = (high - low).max(1e-9);
    let y = |value: f64| 10.0 + (height - 20.0) * (1.0 - (value - low) / span);
    let x = |step: usize| left + (width - left - 10.0) * step as f64 / (values.len().max(2) - 1) as f64;
    let points: Vec<String> =
        values.iter().enumerate().map(|(step, value)| format!("{:.1},{:.1}", x(step), y(*value))).collect();
    let dashed = mark.map_or(String::new(), |mark| {
        let y = y(mark);
        format!("<line x1={left} x2={} y1={y:.1} y2={y:.1} stroke=#c60 stroke-dasharray=6 />", width - 10.0)
    });
    format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=img>{dashed}<polyline fill=none stroke=#06c stroke-width=1.5 \
         points=\"{}\" /><text x=4 y=18 font-size=13>{high:.3}</text><text x=4 y={} font-size=13>{low:.3}</text></svg>",
        points.join(" "),
        height - 8.0
    )
}

fn range(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if values.is_empty() { (0.0, 1.0) } else { (low, high) }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::tests::line;

    #[test]
    fn sparklines_go_from_lowest_to_highest() {
        assert_eq!(sparkline(&[0.0, 7.0]), "\u{2581}\u{2588}");
        assert_eq!(sparkline(&[1.0, 1.0]).chars().count(), 2);
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&(0..1000).map(f64::from).collect::<Vec<_>>()).chars().count(), SPARKS);
    }

    fn row(family: &str, low: f64) -> HeldOut {
        let gain = Interval { n: 512, mean: low + 0.1, low, high: low + 0.2 };
        HeldOut { family: family.to_owned(), before: gain, after: gain, gain }
    }

    /// The gain over both families was above 0 while one of them had learned nothing, and that passed.
    #[test]
    fn every_family_has_to_gain_and_none_by_shuffled_rewards() {
        let rows = |sums, programs| vec![row("sums", sums), row("programs", programs), row(ALL, 0.1)];
        let flat = || rows(-0.3, 0.0);
        let cases: [(Vec<HeldOut>, Vec<HeldOut>, &[&str]); 5] = [
            (rows(0.2, 0.1), flat(), &[]),
            (
                rows(0.2, 0.0),
                flat(),
                &["programs gained +0.100 (+0.000 .. +0.200, n = 512), which is not above 0"],
            ),
            (rows(-0.1, -0.2), flat(), &["sums gained +0.000", "programs gained -0.100"]),
            (
                rows(0.2, 0.1),
                rows(0.01, -0.1),
                &["sums gained +0.110 (+0.010 .. +0.210, n = 512) from shuffled"],
            ),
            (vec![row(ALL, 0.2)], Vec::new(), &["no family"]),
        ];
        for (held_out, shuffled, expected) in cases {
            let other = |what: &str, teaches, held_out| Other { what: what.to_owned(), teaches, held_out };
            // More SFT may teach as much as it likes.
            let controls =
                [other("shuffled rewards", false, shuffled), other("more SFT", true, rows(0.9, 0.9))];
            let failed = failures(&held_out, &controls);
            assert_eq!(failed.len(), expected.len(), "{failed:?}");
            assert!(failed.iter().zip(expected).all(|(what, words)| what.starts_with(words)), "{failed:?}");
        }
    }

    #[test]
    fn the_page_stands_alone_and_escapes_what_came_from_outside() {
        let interval = Interval { n: 600, mean: 0.2, low: 0.1, high: 0.3 };
        let mut report = Report {
            learned: true,
            failed: Vec::new(),
            seed: 1,
            seconds: 99.0,
            sft_steps: 10,
            bundled: vec![BundledRow {
                question_id: "<script>".to_owned(),
                solution: "a&b".to_owned(),
                expected: "accepted".to_owned(),
                verdict: "accepted".to_owned(),
            }],
            held_out: vec![HeldOut {
                family: "sums".to_owned(),
                before: interval,
                after: interval,
                gain: interval,
            }],
            controls: vec![Other {
                what: "shuffled rewards".to_owned(),
                teaches: false,
                held_out: vec![row("sums", -0.1)],
            }],
            steps: (1..=20).map(line).collect(),
            files: Files::in_dir(Path::new("out")),
        };
        let page = report.html();
        assert!(
            page.contains("&lt;script&gt;") && !page.contains("<script") && !page.contains("http"),
            "{page}"
        );
        assert_eq!(page.matches("<svg").count(), 4);
        let table = report.table();
        let last = "It learned: sums +0.200 (+0.100 .. +0.300, n = 600); shuffled rewards: sums +0.000 \
            (-0.100 .. +0.100, n = 512) in 99 s\n";
        assert!(table.ends_with(last), "{table}");
        (report.learned, report.failed) = (false, vec!["sums gained nothing".to_owned()]);
        assert!(
            report.table().ends_with("It did NOT learn: sums gained nothing in 99 s\n"),
            "{}",
            report.table()
        );
    }
}
