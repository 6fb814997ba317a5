//! Single samples that were not accepted: reason, input, difference, what went wrong, program.

use super::diff::{Line, common_ends, diff};
use super::page::Page;
use crate::report::summary::{Failing, Summary};

pub(super) fn failing(page: &mut Page, summary: &Summary) {
    let samples = summary.failing();
    if samples.is_empty() {
        return;
    }
    page.section("samples", "Samples not accepted", |page| {
        let all = summary.samples() - summary.accepted();
        if samples.len() < all {
            let text = format!(
                "{} of {all}: of each verdict at most twelve, drawn by a hash of problem and sample. \
                 graded.jsonl and details.jsonl have all.",
                samples.len()
            );
            page.say("p", "note", &text);
        }
        for sample in samples {
            one(page, sample);
        }
    });
}

fn one(page: &mut Page, sample: &Failing) {
    let (graded, detail) = (&sample.graded, &sample.detail);
    let verdict = graded.verdict.as_deref().unwrap_or("no_verdict").replace('_', " ");
    page.inside("details", &[("class", "sample".into())], |page| {
        page.inside("summary", &[], |page| {
            page.say("b", "", &graded.question_id);
            page.text(&format!(" sample {} ", graded.sample));
            page.say("span", "tag", &verdict);
            page.text(&format!(" {} of {} tests", graded.passed, graded.total));
        });
        page.say("p", "", &detail.reason);
        let mut facts = vec![
            format!("{:.3} s of CPU time", graded.cpu_time),
            format!("{:.3} s in all", graded.wall_time),
        ];
        if detail.peak_memory > 0 {
            facts.push(format!("{:.1} MiB", detail.peak_memory as f64 / 1_048_576.0));
        }
        facts.extend(detail.extraction.iter().map(|extraction| format!("extraction: {extraction}")));
        facts.extend(detail.trust.iter().map(|trust| format!("trust: {trust}")));
        page.say("p", "note", &facts.join(", "));
        block(page, "Input", &detail.input);
        if !detail.expected.is_empty() || !detail.actual.is_empty() {
            difference(page, &detail.expected, &detail.actual);
        }
        block(page, "What went wrong", &detail.error);
        code(page, &sample.code);
    });
}

fn block(page: &mut Page, title: &str, text: &str) {
    if !text.is_empty() {
        page.say("h3", "", title);
        page.say("pre", "", text);
    }
}

fn code(page: &mut Page, code: &str) {
    if code.is_empty() {
        return;
    }
    page.say("h3", "", "Submission");
    // Line numbers are made by the style sheet, so that copying takes the program alone.
    page.inside("pre", &[("class", "code".into())], |page| {
        for line in code.split('\n') {
            page.inside("span", &[], |page| page.text(line));
            page.text("\n");
        }
    });
}

fn difference(page: &mut Page, expected: &str, actual: &str) {
    page.inside("h3", &[], |page| {
        page.text("Expected (");
        page.say("span", "sign", "-");
        page.text(") and actual (");
        page.say("span", "sign", "+");
        page.text(")");
    });
    let lines = diff(expected, actual);
    page.inside("pre", &[("class", "diff".into())], |page| {
        let mut at = 0;
        while at < lines.len() {
            match (&lines[at], lines.get(at + 1)) {
                // One line that changed: what is not common to both is marked.
                (Line::Missing(gone), Some(Line::Surplus(come))) if alone(&lines, at) => {
                    let ends = common_ends(gone, come);
                    changed(page, "gone", "- ", gone, ends);
                    changed(page, "come", "+ ", come, ends);
                    at += 1;
                }
                (Line::Missing(gone), _) => changed(page, "gone", "- ", gone, (0, 0)),
                (Line::Surplus(come), _) => changed(page, "come", "+ ", come, (0, 0)),
                (Line::Same(line), _) => {
                    page.text("  ");
                    page.text(line);
                    page.text("\n");
                }
            }
            at += 1;
        }
    });
}

/// Whether exactly one line goes and one comes there.
fn alone(lines: &[Line<'_>], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| &lines[before]);
    !matches!(before, Some(Line::Missing(_))) && !matches!(lines.get(at + 2), Some(Line::Surplus(_)))
}

fn changed(page: &mut Page, class: &str, sign: &str, line: &str, (front, back): (usize, usize)) {
    page.inside("span", &[("class", class.into())], |page| {
        page.text(sign);
        page.text(&line[..front]);
        page.say("b", "", &line[front..line.len() - back]);
        page.text(&line[line.len() - back..]);
    });
    page.text("\n");
}
