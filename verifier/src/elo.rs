//! Elo from contests that people took part in: what rating would explain the model's place among them.
//!
//! The method is that of Nemotron-Cascade (arXiv 2512.13607, appendix E), which goes back to CodeElo. For each contest:
//!
//! 1. A problem with `k` of `n` samples accepted counts as solved if `k > 0`, after `(n - k) / (k + 1)` wrong submissions:
//!    so many are expected before the first accepted one, when samples are handed in in any order.
//! 2. The model's points are the sum over solved problems of `points - wrong_penalty * wrong`, at least 0 each where wrong
//!    submissions cost points; where they cost minutes, the minutes are added up. No time passes beside that: a model has
//!    no clock, and handing in everything at the start is what the method assumes.
//! 3. Its rank is 1 + those with more points (or as many in fewer minutes) + half of those with as many of both.
//! 4. Its rating `R` is where the expected rank is that: `rank = 1 + sum over people of 1 / (1 + 10^((R - r) / 400))`.
//!    First of all and last of all have no such `R`, so ranks end half a place before: 1.5 and people + 0.5.
//!
//! The result is the mean over contests, with its standard error over contests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::metrics::Tried;

/// A file of contests.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contests {
    /// In any order.
    pub contests: Vec<Contest>,
}

/// One contest.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contest {
    /// What people call it.
    pub name: String,
    /// What a wrong submission costs.
    pub scoring: Scoring,
    /// How much of it: points or minutes. 50 points or 10 minutes where the file does not say.
    pub wrong_penalty: Option<f64>,
    /// What was asked.
    pub problems: Vec<ContestProblem>,
    /// The people.
    pub standings: Vec<Person>,
}

/// What a wrong submission costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scoring {
    /// Points, as in Codeforces rounds.
    Points,
    /// Minutes, as in ICPC contests and Codeforces' educational rounds.
    Minutes,
}

/// A problem of a contest.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContestProblem {
    /// As in the graded run.
    pub question_id: String,
    /// What it is worth.
    #[serde(default = "one")]
    pub points: f64,
}

/// Somebody who took part.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Elo before the contest.
    pub rating: f64,
    /// Points (or problems solved) in it.
    pub points: f64,
    /// Minutes in it, where minutes break ties.
    #[serde(default)]
    pub minutes: f64,
}

fn one() -> f64 {
    1.0
}

/// What one contest says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Placed {
    /// The contest.
    pub name: String,
    /// Problems with an accepted sample.
    pub solved: usize,
    /// Problems there are.
    pub problems: usize,
    /// The model's points.
    pub points: f64,
    /// Its minutes.
    pub minutes: f64,
    /// Its place; halves are ties.
    pub rank: f64,
    /// How many people took part.
    pub people: usize,
    /// The rating that expects this rank.
    pub rating: f64,
}

/// What all contests say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rated {
    /// The mean of the contests' ratings.
    pub rating: f64,
    /// Its standard error over contests; 0 for one.
    pub standard_error: f64,
    /// The share of all people in the contests with a lower rating.
    pub percentile: f64,
    /// The contests used.
    pub contests: Vec<Placed>,
    /// Contests left out because the run lacks a problem of theirs: the contest and the first such problem.
    pub left_out: Vec<(String, String)>,
}

/// Reads a file of contests.
///
/// # Errors
/// What is wrong with the file, and where.
pub fn read(text: &str) -> Result<Contests, String> {
    let file: Contests = serde_json::from_str(text).map_err(|error| error.to_string())?;
    for contest in &file.contests {
        let name = &contest.name;
        let numbers = contest
            .standings
            .iter()
            .flat_map(|person| [person.rating, person.points, person.minutes])
            .chain(contest.problems.iter().map(|problem| problem.points))
            .chain(contest.wrong_penalty);
        if contest.problems.is_empty() || contest.standings.is_empty() {
            return Err(format!("contest `{name}` has no problems or no standings; give both"));
        }
        if numbers.into_iter().any(|number| !number.is_finite() || number.abs() > 1e9) {
            return Err(format!(
                "contest `{name}` has a number beyond 1e9; give ratings and points as they are"
            ));
        }
        if contest.wrong_penalty.is_some_and(|penalty| penalty < 0.0) {
            return Err(format!("contest `{name}`: expected a wrong_penalty of at least 0"));
        }
    }
    Ok(file)
}

/// Rates a run, given its counts by problem. A contest with a problem the run has no verdict on is left out, or, if
/// `missing_is_unsolved`, takes that problem as not solved. `None` if no contest is left.
pub fn rate(tried: &BTreeMap<&str, Tried>, file: &Contests, missing_is_unsolved: bool) -> Option<Rated> {
    let (mut contests, mut left_out) = (Vec::new(), Vec::new());
    let mut ratings: Vec<f64> = Vec::new();
    for contest in &file.contests {
        let missing = contest.problems.iter().find(|p| !tried.contains_key(p.question_id.as_str()));
        match missing {
            Some(problem) if !missing_is_unsolved => {
                left_out.push((contest.name.clone(), problem.question_id.clone()));
            }
            _ => {
                contests.push(place(tried, contest));
                ratings.extend(contest.standings.iter().map(|person| person.rating));
            }
        }
    }
    if contests.is_empty() {
        return None;
    }
    let count = contests.len() as f64;
    let rating = contests.iter().map(|contest| contest.rating).sum::<f64>() / count;
    let squares: f64 = contests.iter().map(|contest| (contest.rating - rating).powi(2)).sum();
    let standard_error = if contests.len() < 2 { 0.0 } else { (squares / (count - 1.0) / count).sqrt() };
    let below = ratings.iter().filter(|other| **other < rating).count();
    Some(Rated {
        rating,
        standard_error,
        percentile: below as f64 / ratings.len() as f64,
        contests,
        left_out,
    })
}

fn place(tried: &BTreeMap<&str, Tried>, contest: &Contest) -> Placed {
    let (mut solved, mut points, mut minutes) = (0, 0.0, 0.0);
    for problem in &contest.problems {
        let Some(tried) = tried.get(problem.question_id.as_str()).filter(|tried| tried.accepted > 0) else {
            continue;
        };
        let wrong = (tried.samples - tried.accepted) as f64 / (tried.accepted + 1) as f64;
        solved += 1;
        match contest.scoring {
            Scoring::Points => {
                points += (problem.points - contest.wrong_penalty.unwrap_or(50.0) * wrong).max(0.0);
            }
            Scoring::Minutes => {
                points += problem.points;
                minutes += contest.wrong_penalty.unwrap_or(10.0) * wrong;
            }
        }
    }
    let people = &contest.standings;
    let better =
        |person: &Person| person.points > points || (person.points == points && person.minutes < minutes);
    let equal = |person: &Person| person.points == points && person.minutes == minutes;
    let count = |of: &dyn Fn(&Person) -> bool| people.iter().filter(|person| of(person)).count() as f64;
    let rank = 1.0 + count(&better) + count(&equal) / 2.0;
    Placed {
        name: contest.name.clone(),
        solved,
        problems: contest.problems.len(),
        points,
        minutes,
        rank,
        people: people.len(),
        rating: rating_of(rank, people),
    }
}

/// The rating whose expected rank is `rank`. The expected rank falls as the rating grows, so halving finds it.
fn rating_of(rank: f64, people: &[Person]) -> f64 {
    let rank = rank.clamp(1.5, people.len() as f64 + 0.5);
    let expected = |rating: f64| {
        1.0 + people.iter().map(|p| 1.0 / (1.0 + 10_f64.powf((rating - p.rating) / 400.0))).sum::<f64>()
    };
    let ratings = || people.iter().map(|person| person.rating);
    // Half a place from the end with n people is within 400 * log10(2n) of the best or worst of them.
    let reach = 400.0 * (2.0 * people.len() as f64).log10() + 1.0;
    let mut low = ratings().fold(f64::INFINITY, f64::min) - reach;
    let mut high = ratings().fold(f64::NEG_INFINITY, f64::max) + reach;
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if expected(middle) > rank { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(rows: &[(f64, f64)]) -> Vec<Person> {
        rows.iter().map(|&(rating, points)| Person { rating, points, minutes: 0.0 }).collect()
    }

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }

    /// By hand: one equal among people of 1500 is 1500; with chance 1/4 against each of two, 400 log10(3) more; between
    /// 1400 and 1600 the middle.
    #[test]
    fn ratings_solve_the_equation() {
        let (gap, log3) = (400.0, 3.0_f64.log10());
        let rows: [(f64, &[f64], f64); 6] = [
            (1.5, &[1500.0], 1500.0),
            (2.0, &[1500.0, 1500.0], 1500.0),
            (1.5, &[1500.0, 1500.0], 1500.0 + gap * log3),
            (1.0, &[1500.0, 1500.0], 1500.0 + gap * log3),
            (3.0, &[1500.0, 1500.0], 1500.0 - gap * log3),
            (2.0, &[1400.0, 1600.0], 1500.0),
        ];
        for (rank, ratings, expected) in rows {
            let people = people(&ratings.iter().map(|&rating| (rating, 0.0)).collect::<Vec<_>>());
            near(rating_of(rank, &people), expected);
        }
    }

    /// By hand: 2 of 8 accepted is (8 - 2) / 3 = 2 wrong submissions, 100 of 500 points; 8 of 8 none; 0 of 8 is not solved.
    #[test]
    fn a_contest_gives_points_and_a_place() {
        let tried = |accepted| Tried { samples: 8, accepted };
        let counts = BTreeMap::from([("a", tried(2)), ("b", tried(8)), ("c", tried(0))]);
        let problem = |id: &str, points| ContestProblem { question_id: id.into(), points };
        let problems = vec![problem("a", 500.0), problem("b", 1000.0), problem("c", 2000.0)];
        let contest = |scoring, standings| Contest {
            name: "round".into(),
            scoring,
            wrong_penalty: None,
            problems: problems.clone(),
            standings,
        };
        let placed = place(&counts, &contest(Scoring::Points, people(&[(2000.0, 3000.0), (1000.0, 300.0)])));
        assert_eq!((placed.solved, placed.points, placed.minutes, placed.rank), (2, 1400.0, 0.0, 2.0));
        near(placed.rating, 1500.0);
        let mut standings = people(&[(1500.0, 1500.0); 3]);
        standings[0].minutes = 19.0;
        standings[1].minutes = 20.0;
        standings[2].minutes = 21.0;
        let placed = place(&counts, &contest(Scoring::Minutes, standings));
        assert_eq!((placed.points, placed.minutes, placed.rank), (1500.0, 20.0, 2.5));
        near(placed.rating, 1500.0);
    }

    #[test]
    fn contests_are_averaged_and_incomplete_ones_left_out() {
        let text = r#"{"contests": [
            {"name": "one", "scoring": "points", "problems": [{"question_id": "a", "points": 500}],
             "standings": [{"rating": 1400, "points": 500}]},
            {"name": "two", "scoring": "minutes", "wrong_penalty": 20, "problems": [{"question_id": "a"}],
             "standings": [{"rating": 1600, "points": 1, "minutes": 0}]},
            {"name": "three", "scoring": "points", "problems": [{"question_id": "zz"}],
             "standings": [{"rating": 1600, "points": 1}]}]}"#;
        let file = read(text).expect("a file");
        let counts = BTreeMap::from([("a", Tried { samples: 4, accepted: 4 })]);
        let rated = rate(&counts, &file, false).expect("contests");
        near(rated.rating, 1500.0);
        near(rated.standard_error, 100.0);
        assert_eq!(rated.percentile, 0.5);
        assert_eq!(rated.left_out, [("three".to_owned(), "zz".to_owned())]);
        assert_eq!(rate(&counts, &file, true).expect("contests").contests.len(), 3);
        assert_eq!(rate(&BTreeMap::new(), &file, false), None);
    }

    #[test]
    fn a_wrong_file_is_said() {
        let rows = [
            ("{}", "missing field `contests`"),
            (r#"{"contests": [{"name": "x", "scoring": "stars"}]}"#, "expected `points` or `minutes`"),
            (
                r#"{"contests": [{"name": "x", "scoring": "points", "problems": [], "standings": []}]}"#,
                "no problems or no standings",
            ),
            (
                r#"{"contests": [{"name": "x", "scoring": "points", "wrong_penalty": -1,
                    "problems": [{"question_id": "a"}], "standings": [{"rating": 1, "points": 1}]}]}"#,
                "at least 0",
            ),
            (
                r#"{"contests": [{"name": "x", "scoring": "points",
                    "problems": [{"question_id": "a"}], "standings": [{"rating": 1e10, "points": 1}]}]}"#,
                "beyond 1e9",
            ),
        ];
        for (text, part) in rows {
            let error = read(text).expect_err("wrong");
            assert!(error.contains(part), "{error}");
        }
    }
}
