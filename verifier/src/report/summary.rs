//! A run, sample by sample: what reports are made of.
//!
//! Per problem there are counts and nothing else; times and memory go into bins; of the samples that were not accepted a
//! few are kept to be shown. So its size grows with the problems and not with samples, tests or programs. The order in
//! which samples come does not matter: what is kept is chosen by a hash of problem and sample.

use std::collections::{BTreeMap, HashMap};

use super::histogram::{BYTES, Histogram, SECONDS, SHARES};
use super::{About, Detail, Graded, Outcome, known_fault};
use crate::metrics::{CurvePoint, Estimate, Tried, estimate, pass_curve};
use crate::verdict::Verdict;
use crate::window::Window;

/// Samples kept of each verdict, and of those without one.
const KEPT: usize = 12;
/// Bytes kept of a program or a completion.
const CODE: usize = 20_000;
/// A whole score.
const SCORE: f64 = 4_294_967_296.0;

/// What came of a run so far.
#[derive(Debug, Clone)]
pub struct Summary {
    problems: Vec<Row>,
    place: HashMap<String, usize>,
    pub(super) unsupported: usize,
    pub(super) infra_errors: usize,
    pub(super) in_process: usize,
    pub(super) cpu_seconds: f64,
    /// The CPU time of the tests.
    pub(super) test_times: Histogram,
    /// The memory of the tests.
    pub(super) test_memory: Histogram,
    /// Math: accepted samples by how equality was proven, without the proof's parameters.
    pub(super) proofs: BTreeMap<String, usize>,
    /// Samples by how the answer was found.
    pub(super) extractions: BTreeMap<String, usize>,
    kept: BTreeMap<usize, Vec<Failing>>,
}

/// A problem with its counts.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) about: About,
    pub(super) tried: Tried,
    /// Samples by verdict, as in [`Verdict::ALL`].
    pub(super) verdicts: [usize; Verdict::ALL.len()],
    /// Samples without a verdict because the problem cannot be judged.
    unsupported: usize,
    /// The samples' shares of passed tests, added up.
    passed: f64,
    /// Samples that have a part of the points, and these parts added up, in whole parts of [`SCORE`]: a sum of fractions would
    /// depend on the order of samples.
    scored: usize,
    scores: u64,
}

impl Row {
    /// The share of samples accepted.
    pub(super) fn rate(&self) -> f64 {
        self.tried.accepted as f64 / self.tried.samples.max(1) as f64
    }

    /// The mean share of tests passed.
    pub(super) fn passed(&self) -> f64 {
        self.passed / self.tried.samples.max(1) as f64
    }

    /// What went wrong most often.
    pub(super) fn usual_failure(&self) -> Option<Verdict> {
        let failures = Verdict::ALL.into_iter().zip(self.verdicts).skip(1).filter(|(_, count)| *count > 0);
        failures
            .max_by_key(|(verdict, count)| (*count, std::cmp::Reverse(*verdict)))
            .map(|(verdict, _)| verdict)
    }
}

/// A sample to show.
#[derive(Debug, Clone)]
pub(super) struct Failing {
    order: u64,
    pub(super) graded: Graded,
    pub(super) detail: Detail,
    /// The program, or what was graded.
    pub(super) code: String,
}

/// Problems that have something in common.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) tried: Vec<Tried>,
}

impl Group {
    pub(super) fn samples(&self) -> usize {
        self.tried.iter().map(|tried| tried.samples).sum()
    }

    pub(super) fn estimate(&self) -> Option<Estimate> {
        estimate(&self.tried)
    }
}

impl Summary {
    /// Nothing graded yet of these problems; those outside the window are left out.
    pub fn new(problems: impl IntoIterator<Item = About>, window: &Window) -> Summary {
        let mut summary = Summary {
            problems: Vec::new(),
            place: HashMap::new(),
            unsupported: 0,
            infra_errors: 0,
            in_process: 0,
            cpu_seconds: 0.0,
            test_times: Histogram::new(&SECONDS),
            test_memory: Histogram::new(&BYTES),
            proofs: BTreeMap::new(),
            extractions: BTreeMap::new(),
            kept: BTreeMap::new(),
        };
        for about in problems.into_iter().filter(|about| window.holds(about.contest_date.as_deref())) {
            summary.row(about);
        }
        summary
    }

    /// Takes one sample. `code` gives its program, or the text that was graded; it is asked only if the sample may be
    /// shown.
    pub fn add(&mut self, graded: &Graded, detail: &Detail, code: impl FnOnce() -> String) {
        let place = match self.place.get(&graded.question_id) {
            Some(place) => *place,
            None => self.row(About { question_id: graded.question_id.clone(), ..About::default() }),
        };
        let verdict = graded.verdict.as_deref().and_then(Verdict::from_name);
        let row = &mut self.problems[place];
        match (graded.outcome, verdict) {
            (Outcome::Graded, Some(verdict)) => {
                row.tried.samples += 1;
                row.tried.accepted += usize::from(verdict == Verdict::Accepted);
                row.verdicts[verdict as usize] += 1;
                row.passed += graded.passed as f64 / graded.total.max(1) as f64;
                if let Some(score) = graded.score {
                    row.scored += 1;
                    row.scores += (score.clamp(0.0, 1.0) * SCORE).round() as u64;
                }
            }
            (Outcome::Unsupported, _) => {
                row.unsupported += 1;
                self.unsupported += 1;
            }
            (Outcome::InfraError | Outcome::Graded, _) => self.infra_errors += 1,
        }
        self.cpu_seconds += graded.cpu_time;
        self.in_process += usize::from(detail.trust.is_some());
        for micros in &detail.test_cpu_us {
            self.test_times.add(*micros as f64 / 1e6);
        }
        for bytes in &detail.test_memory {
            self.test_memory.add(*bytes as f64);
        }
        if let Some(extraction) = &detail.extraction {
            count(&mut self.extractions, extraction);
        }
        if verdict == Some(Verdict::Accepted) {
            if let Some(proof) = &detail.proof {
                count(&mut self.proofs, proof.split('(').next().unwrap_or_default());
            }
        } else {
            self.keep(verdict.map_or(Verdict::ALL.len(), |verdict| verdict as usize), graded, detail, code);
        }
    }

    fn row(&mut self, about: About) -> usize {
        let place = self.problems.len();
        self.place.insert(about.question_id.clone(), place);
        let tried = Tried { samples: 0, accepted: 0 };
        let verdicts = Default::default();
        self.problems.push(Row { about, tried, verdicts, unsupported: 0, passed: 0.0, scored: 0, scores: 0 });
        place
    }

    fn keep(&mut self, class: usize, graded: &Graded, detail: &Detail, code: impl FnOnce() -> String) {
        let order = hash(&graded.question_id, graded.sample);
        let kept = self.kept.entry(class).or_default();
        let at = kept.partition_point(|other| other.order < order);
        if at == KEPT {
            return;
        }
        let mut code = code();
        code.truncate(code.floor_char_boundary(CODE));
        let detail = Detail { test_cpu_us: Vec::new(), test_memory: Vec::new(), ..detail.clone() };
        kept.insert(at, Failing { order, graded: graded.clone(), detail, code });
        kept.truncate(KEPT);
    }

    /// The problems, in file order.
    pub(super) fn problems(&self) -> &[Row] {
        &self.problems
    }

    /// Problems that have a sample with a verdict.
    pub(super) fn tried(&self) -> impl Iterator<Item = &Row> {
        self.problems.iter().filter(|row| row.tried.samples > 0)
    }

    /// Samples of all outcomes.
    pub fn samples(&self) -> usize {
        self.graded() + self.unsupported + self.infra_errors
    }

    /// Samples with a verdict.
    pub fn graded(&self) -> usize {
        self.problems.iter().map(|row| row.tried.samples).sum()
    }

    /// Samples without a verdict because we failed.
    pub fn infra_errors(&self) -> usize {
        self.infra_errors
    }

    /// Accepted samples.
    pub fn accepted(&self) -> usize {
        self.problems.iter().map(|row| row.tried.accepted).sum()
    }

    /// How many samples got each verdict, in report order.
    pub fn verdicts(&self) -> Vec<(Verdict, usize)> {
        let count = |verdict: Verdict| self.problems.iter().map(|row| row.verdicts[verdict as usize]).sum();
        Verdict::ALL.into_iter().map(|verdict| (verdict, count(verdict))).collect()
    }

    /// The counts of all problems tried.
    pub fn counts(&self) -> Vec<Tried> {
        self.tried().map(|row| row.tried).collect()
    }

    /// The mean acceptance rate.
    pub fn estimate(&self) -> Option<Estimate> {
        estimate(&self.counts())
    }

    /// The mean part of all points, problem by problem, over the problems that have points; `None` where none has.
    pub(super) fn mean_score(&self) -> Option<f64> {
        let scored = || self.problems.iter().filter(|row| row.scored > 0);
        let sum: f64 = scored().map(|row| row.scores as f64 / SCORE / row.scored as f64).sum();
        let count = scored().count();
        (count > 0).then(|| sum / count as f64)
    }

    /// The same without the problems known to be at fault; `None` where there are none among those tried.
    pub(super) fn without_faults(&self) -> Option<Estimate> {
        let sound = |row: &&Row| known_fault(&row.about.question_id).is_none();
        if self.tried().all(|row| sound(&row)) {
            return None;
        }
        estimate(&self.tried().filter(sound).map(|row| row.tried).collect::<Vec<_>>())
    }

    /// pass@k.
    pub(super) fn curve(&self) -> Vec<CurvePoint> {
        pass_curve(&self.counts())
    }

    /// The fewest and the most samples with a verdict that a problem has.
    pub(super) fn samples_per_problem(&self) -> Option<(usize, usize)> {
        let counts = || self.tried().map(|row| row.tried.samples);
        Some((counts().min()?, counts().max()?))
    }

    /// Problems by the share of their samples that is accepted.
    pub(super) fn solve_rates(&self) -> Histogram {
        let mut rates = Histogram::new(&SHARES);
        for row in self.tried() {
            rates.add(row.rate());
        }
        rates
    }

    /// The first problem, by id, that cannot be judged.
    pub(super) fn first_unsupported(&self) -> Option<&str> {
        let rows = self.problems.iter().filter(|row| row.unsupported > 0);
        rows.map(|row| row.about.question_id.as_str()).min()
    }

    /// The problems tried, grouped by what `key` says of each, in the key's order.
    pub(super) fn groups<'a>(&'a self, key: impl Fn(&'a About) -> Option<&'a str>) -> Vec<Group> {
        let mut groups: BTreeMap<&str, Vec<Tried>> = BTreeMap::new();
        for row in self.tried() {
            groups.entry(key(&row.about).unwrap_or("unknown")).or_default().push(row.tried);
        }
        groups.into_iter().map(|(name, tried)| Group { name: name.to_owned(), tried }).collect()
    }

    /// Difficulties in the order people expect, others after them.
    pub(super) fn by_difficulty(&self) -> Vec<Group> {
        let mut groups = self.groups(|about| about.difficulty.as_deref());
        groups.sort_by_key(|group| difficulty_rank(&group.name));
        groups
    }

    pub(super) fn by_platform(&self) -> Vec<Group> {
        self.groups(|about| about.platform.as_deref())
    }

    /// By the month of the contest.
    pub(super) fn by_month(&self) -> Vec<Group> {
        self.groups(About::month)
    }

    /// Math: by the kind of the right answer.
    pub(super) fn by_gold(&self) -> Vec<Group> {
        if self.tried().all(|row| row.about.gold.is_none()) {
            return Vec::new();
        }
        self.groups(|about| about.gold.as_deref())
    }

    /// The problems tried, those solved least often first; where that says nothing, those with the fewest tests passed.
    pub(super) fn hardest(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.tried().filter(|row| row.tried.accepted < row.tried.samples).collect();
        rows.sort_by(|a, b| {
            let by = a.rate().total_cmp(&b.rate()).then(a.passed().total_cmp(&b.passed()));
            by.then(a.about.question_id.cmp(&b.about.question_id))
        });
        rows
    }

    /// Samples to show, by verdict in report order, then by problem.
    pub(super) fn failing(&self) -> Vec<&Failing> {
        let mut all = Vec::new();
        for kept in self.kept.values() {
            let mut kept: Vec<&Failing> = kept.iter().collect();
            kept.sort_by(|a, b| {
                let of = |f: &&Failing| (f.graded.question_id.clone(), f.graded.sample);
                of(a).cmp(&of(b))
            });
            all.append(&mut kept);
        }
        all
    }
}

/// Where a difficulty stands among others.
pub(super) fn difficulty_rank(name: &str) -> usize {
    ["easy", "medium", "hard"].iter().position(|known| *known == name).unwrap_or(3)
}

fn count(counts: &mut BTreeMap<String, usize>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => _ = counts.insert(name.to_owned(), 1),
    }
}

/// FNV-1a, with SplitMix64's mixing behind it: any order will do that nobody chose.
fn hash(id: &str, sample: usize) -> u64 {
    let bytes = id.bytes().chain((sample as u64).to_le_bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
