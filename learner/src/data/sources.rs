//! Where prompts come from: the generated families, which have no end, and files, which are walked through.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::OnceLock;

use assay_testsets::{Keys, Message, Problem, Task};
use assay_verifier::template::{self, Template};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{DataError, stream, walk};
use crate::policy::Policy;
use crate::progress::Progress;
use crate::recipe::{ProblemFile, Recipe, Templates};
use crate::tasks::{Family, Split};

/// Where prompts come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Generated without end.
    Family(Family),
    /// Read from a file.
    File(Prompts),
}

/// The problems of a file, and how long their prompts are once that is known.
#[derive(Debug, Clone)]
pub struct Prompts {
    file: ProblemFile,
    problems: Vec<Problem>,
    /// The places of those that are used, and the tokens of each one's prompt; until a policy counted them, all are.
    used: OnceLock<Vec<(usize, usize)>>,
}

impl Prompts {
    fn len(&self) -> usize {
        self.used.get().map_or(self.problems.len(), Vec::len)
    }

    fn get(&self, at: usize) -> &Problem {
        &self.problems[self.used.get().map_or(at, |used| used[at].0)]
    }

    /// The places of those that are solved.
    fn solved(&self, solved: &Solved) -> HashSet<usize> {
        let every = 0..if solved.is_empty() { 0 } else { self.len() };
        every.filter(|&at| solved.contains(&self.get(at).question_id)).collect()
    }

    /// Counts tokens, and leaves those out that have more than the file's `max_prompt_length`.
    fn measure(&self, policy: &Policy, progress: &Progress) -> Result<(), DataError> {
        if self.used.get().is_some() {
            return Ok(());
        }
        let counted: Vec<_> = self.problems.par_iter().map(|problem| policy.question(problem)).collect();
        let mut lengths = Vec::with_capacity(counted.len());
        for (problem, tokens) in self.problems.iter().zip(counted) {
            let refused = |error| refused(&self.file.path, problem, &format!("{error}"));
            lengths.push(tokens.map_err(refused)?.len());
        }
        let most = self.file.max_prompt_length.unwrap_or(usize::MAX);
        let used: Vec<_> = lengths.into_iter().enumerate().filter(|(_, tokens)| *tokens <= most).collect();
        let (file, all) = (self.file.path.display(), self.problems.len());
        let gone = all - used.len();
        if used.is_empty() {
            let what = format!("{file}: none of {all} prompts is within max_prompt_length, {most}; raise it");
            return Err(DataError::Refused(what));
        }
        if gone > 0 {
            progress.note(&format!(
                "{file}: {gone} of {all} prompts have more than {most} tokens and are left out"
            ));
        }
        // Whoever came first counted the same.
        let _ = self.used.set(used);
        Ok(())
    }

    /// Of the first `count` prompts those with more than `room` tokens: how many there are, and the longest with its tokens.
    fn beyond(&self, room: usize, count: usize) -> Option<(usize, &Problem, usize)> {
        let used = self.used.get()?.iter().take(count);
        let long: Vec<_> = used.filter(|(_, tokens)| *tokens > room).collect();
        let (at, tokens) = long.iter().max_by_key(|(_, tokens)| tokens)?;
        Some((long.len(), &self.problems[*at], *tokens))
    }
}

/// The sources of a recipe by name.
#[derive(Debug, Clone)]
pub struct Sources(BTreeMap<String, Source>);

/// How many prompts of each file's walk the steps so far have passed.
pub type Drawn = BTreeMap<String, u64>;

/// Ids of problems that a stage leaves out from now on.
pub type Solved = BTreeSet<String>;

impl Sources {
    /// The generated families, and the files of the recipe's `[problems]`.
    pub fn load(recipe: &Recipe) -> Result<Sources, DataError> {
        let families =
            Family::ALL.into_iter().map(|family| Ok((family.name().to_owned(), Source::Family(family))));
        let files = recipe.problems.iter().map(|(name, file)| {
            let mut problems = read_problems(file, recipe)?;
            // As a family's: ids tell sources apart.
            let named =
                |problem: &mut Problem| problem.question_id = format!("{name}/{}", problem.question_id);
            problems.iter_mut().for_each(named);
            let prompts = Prompts { file: file.clone(), problems, used: OnceLock::new() };
            Ok((name.clone(), Source::File(prompts)))
        });
        families.chain(files).collect::<Result<_, DataError>>().map(Sources)
    }

    fn file(&self, name: &str) -> Option<&Prompts> {
        match self.0.get(name)? {
            Source::File(prompts) => Some(prompts),
            Source::Family(_) => None,
        }
    }

    /// Bytes of the longest prompt of a file, and whether a problem of one asks for a program. Where longer prompts are left
    /// out, a token has so many bytes.
    pub(crate) fn longest(&self, templates: &Templates, bytes_of_a_token: usize) -> (usize, bool) {
        let bytes = |problem: &Problem| templates.of(problem).text(problem).len();
        self.0.keys().filter_map(|name| self.file(name)).fold((0, false), |(longest, code), prompts| {
            let most = prompts.file.max_prompt_length.map_or(usize::MAX, |tokens| tokens * bytes_of_a_token);
            let bytes = prompts.problems.iter().map(bytes).max().unwrap_or(0);
            let asks = prompts.problems.iter().any(|problem| matches!(problem.task, Task::Code(_)));
            (longest.max(bytes.min(most)), code || asks)
        })
    }

    /// Counts the tokens of each prompt of the files that the recipe's stages and its evaluation use, leaves out those that
    /// are longer than their file may have them, and refuses what does not fit into the policy's context: it would end the
    /// run at the step that draws it, and again whenever that is resumed.
    pub fn fit(&self, recipe: &Recipe, policy: &Policy, progress: &Progress) -> Result<(), DataError> {
        for (key, name, count, completion) in uses(recipe) {
            let Some(prompts) = self.file(name) else { continue };
            prompts.measure(policy, progress)?;
            let context = policy.context();
            let room = context.saturating_sub(completion);
            let Some((count, longest, tokens)) = prompts.beyond(room, count) else { continue };
            return Err(DataError::Refused(format!(
                "{key}: {count} of {} prompts of {} do not fit: the longest, {}, has {tokens} tokens, and beside a \
                 completion of {completion} the model's context of {context} has room for {room}; set max_prompt_length = \
                 {room} in problems.{name} to leave longer ones out, or lower max_completion_length",
                prompts.len(),
                prompts.file.path.display(),
                longest.question_id,
            )));
        }
        Ok(())
    }

    /// Prompts for a step or for a probe, of which none was dealt yet, without those that are solved.
    pub fn hand<'s>(&'s self, seed: u64, solved: &'s Solved) -> Hand<'s> {
        Hand { sources: self, seed, solved, dealt: BTreeMap::new() }
    }

    /// Whether nothing but what is solved is left of these files.
    pub fn are_solved(&self, counts: &BTreeMap<String, usize>, solved: &Solved) -> bool {
        let is_solved = |prompts: &Prompts| prompts.solved(solved).len() == prompts.len();
        counts.keys().all(|name| self.file(name).is_some_and(is_solved))
    }

    /// Problems to measure on: `split` of a family, different ones; the first of a file.
    pub fn fixed(&self, counts: &BTreeMap<String, usize>, split: Split, seed: u64) -> Vec<Problem> {
        let known = counts.iter().filter_map(|(name, count)| Some((self.0.get(name)?, *count)));
        known
            .flat_map(|(source, count)| match source {
                Source::Family(family) => {
                    let questions = family.distinct(split, count, &mut stream(seed, family.name(), 0));
                    questions.into_iter().map(|question| question.problem).collect::<Vec<_>>()
                }
                Source::File(prompts) => {
                    (0..prompts.len().min(count)).map(|at| prompts.get(at).clone()).collect()
                }
            })
            .collect()
    }
}

/// Each use of a source: whose, the source, how many of its prompts may come, and the tokens of a completion.
fn uses(recipe: &Recipe) -> impl Iterator<Item = (String, &String, usize, usize)> {
    let stages = recipe.rl.iter().flat_map(|stage| {
        let drawn = stage.prompts.iter().filter(|(_, count)| **count > 0);
        drawn.map(|(name, _)| {
            (format!("stage `{}`", stage.name), name, usize::MAX, stage.max_completion_length)
        })
    });
    let eval = &recipe.eval;
    let looks = eval.problems.iter();
    stages.chain(
        looks.map(|(name, count)| ("eval.problems".to_owned(), name, *count, eval.max_completion_length)),
    )
}

/// The prompts of one step, or of one probe: no problem of a file comes twice while there are others.
#[derive(Debug)]
pub struct Hand<'s> {
    sources: &'s Sources,
    seed: u64,
    solved: &'s Solved,
    /// Places in each file, and those of what is solved there.
    dealt: BTreeMap<&'s str, HashSet<usize>>,
}

impl<'s> Hand<'s> {
    /// A step's prompts, so many of each source: of a file those that follow on what the steps before had, and `drawn` says
    /// where the next step goes on. Names were checked by the recipe.
    pub fn next(
        &mut self,
        counts: &BTreeMap<String, usize>,
        drawn: &mut Drawn,
        rng: &mut ChaCha8Rng,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (name, count) in counts {
            match self.sources.0.get_key_value(name) {
                Some((_, Source::Family(family))) => {
                    problems.extend((0..*count).map(|_| family.question(Split::Train, rng).problem));
                }
                Some((name, Source::File(prompts))) => {
                    let position = drawn.entry(name.clone()).or_default();
                    let places = self.walked(name, prompts, *count, position);
                    problems.extend(places.iter().map(|at| prompts.get(*at).clone()));
                    self.dealt(name, prompts).extend(places);
                }
                None => {}
            }
        }
        problems
    }

    /// The next `count` places of a file's walk from a position on, which moves past them. What is solved is passed over, if
    /// that leaves anything.
    fn walked(&self, name: &str, prompts: &Prompts, count: usize, position: &mut u64) -> Vec<usize> {
        let (purpose, solved, items) =
            (format!("epoch of {name}"), prompts.solved(self.solved), prompts.len());
        let mut places = Vec::with_capacity(count);
        while places.len() < count {
            for at in walk(items, *position..*position + items as u64, self.seed, &purpose) {
                if places.len() == count {
                    break;
                }
                *position += 1;
                if solved.len() == items || !solved.contains(&at) {
                    places.push(at);
                }
            }
        }
        places
    }

    fn dealt(&mut self, name: &'s str, prompts: &Prompts) -> &mut HashSet<usize> {
        self.dealt.entry(name).or_insert_with(|| prompts.solved(self.solved))
    }

    /// One more prompt of each of these sources, at random.
    pub fn others<'n>(
        &mut self,
        names: impl IntoIterator<Item = &'n String>,
        rng: &mut ChaCha8Rng,
    ) -> Vec<Problem> {
        names.into_iter().filter_map(|name| self.other(name, rng)).collect()
    }

    fn other(&mut self, name: &str, rng: &mut ChaCha8Rng) -> Option<Problem> {
        match self.sources.0.get_key_value(name)? {
            (_, Source::Family(family)) => Some(family.question(Split::Train, rng).problem),
            (name, Source::File(prompts)) => {
                let dealt = self.dealt(name, prompts);
                if dealt.len() == prompts.len() {
                    dealt.clear();
                }
                loop {
                    let at = rng.random_range(0..prompts.len());
                    if dealt.insert(at) {
                        return Some(prompts.get(at).clone());
                    }
                }
            }
        }
    }
}

/// The problems of a file, each with a prompt of one message.
fn read_problems(file: &ProblemFile, recipe: &Recipe) -> Result<Vec<Problem>, DataError> {
    let unread = |error: &dyn std::fmt::Display| DataError::Refused(error.to_string());
    let keys = Keys { prompt: file.prompt_key.clone(), label: file.label_key.clone() };
    let mut loaded = assay_testsets::load_by(&file.path, &keys).map_err(|error| unread(&error))?;
    let mut problems = Vec::new();
    while let Some(problem) = loaded.next() {
        let problem = problem.map_err(|error| unread(&error))?;
        let template = recipe.templates.of(&problem);
        let system = recipe.model.system_prompt.as_deref().or(template.system());
        let hidden = (!shows_starter(template, &problem)).then_some(HIDDEN);
        if let Some(what) = unasked(&problem, loaded.before(), system).or(hidden) {
            return Err(refused(&file.path, &problem, what));
        }
        problems.push(problem);
    }
    if problems.is_empty() { Err(DataError::Empty { path: file.path.clone() }) } else { Ok(problems) }
}

const HIDDEN: &str = "the program must have the function header in starter_code, and the prompt does not show it; set \
    templates.code to one that does, as \"acereason-code\" or \"lcb\"";

/// Whether who answers sees the header that a program is judged by.
fn shows_starter(template: &Template, problem: &Problem) -> bool {
    let starter = template::starter(problem).trim();
    starter.is_empty() || template.shows_starter() || problem.prompt.contains(starter)
}

/// What of a problem could not be asked as the file has it. A system message that is the run's own is asked.
fn unasked(problem: &Problem, before: &[Message], system: Option<&str>) -> Option<&'static str> {
    match before {
        _ if problem.prompt.trim().is_empty() => Some(
            "the prompt is empty; give it a text or messages as [{role, content}], or name its column by prompt_key",
        ),
        [] => None,
        [said] if said.role == "system" && system == Some(&said.content) => None,
        [said] if said.role == "system" => Some(
            "the prompt has a system message that is not the run's, and would be lost; set model.system_prompt to it if \
             all prompts share it, or write it into the prompt",
        ),
        _ => Some(
            "the prompt has earlier turns, which would be lost: a prompt is one message of the user; write them into it, \
             or remove the row",
        ),
    }
}

fn refused(path: &Path, problem: &Problem, what: &str) -> DataError {
    DataError::Refused(format!("{} problem {}: {what}", path.display(), problem.question_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = "[model]\nhidden_size = 16\nnum_hidden_layers = 1\nnum_attention_heads = 2\n\
        num_key_value_heads = 1\nmax_position_embeddings = 40\n";

    /// A recipe whose `[problems]` has `mine`, a file of these lines.
    fn recipe(dir: &tempfile::TempDir, lines: &str, more: &str) -> Recipe {
        let path = dir.path().join("p.jsonl");
        std::fs::write(&path, lines).unwrap();
        let mut recipe = Recipe::parse("r.toml", &format!("{MODEL}{more}")).unwrap();
        recipe.problems.entry("mine".to_owned()).or_default().path = path;
        recipe
    }

    fn numbered(count: usize) -> String {
        (0..count).map(|n| format!("{{\"id\": {n}, \"problem\": \"{n}+0\", \"answer\": {n}}}\n")).collect()
    }

    fn ids(problems: &[Problem]) -> Vec<&str> {
        problems.iter().map(|problem| problem.question_id.as_str()).collect()
    }

    /// Accuracy by source goes by what an id begins with, so that of a file was always of no problem.
    #[test]
    fn problems_of_a_file_have_its_name_before_their_ids() {
        let dir = tempfile::tempdir().unwrap();
        let sources = Sources::load(&recipe(&dir, &numbered(1), "")).unwrap();
        let fixed = sources.fixed(&[("mine".to_owned(), 5)].into(), Split::HeldOut, 1);
        assert_eq!(ids(&fixed), ["mine/0"]);
    }

    /// What a step has follows from what was drawn before it alone: a run that goes on draws what it would have.
    #[test]
    fn steps_walk_through_a_file_and_what_is_added_to_one_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let sources = Sources::load(&recipe(&dir, &numbered(30), "")).unwrap();
        let counts: BTreeMap<String, usize> = [("arithmetic".to_owned(), 1), ("mine".to_owned(), 8)].into();
        let (none, mut drawn, mut epochs) = (Solved::new(), Drawn::new(), Vec::new());
        for step in 0..15 {
            let deal = |mut drawn: Drawn| {
                let mut hand = sources.hand(7, &none);
                let mut problems = hand.next(&counts, &mut drawn, &mut stream(7, "prompts", step));
                let names = vec!["mine".to_owned(); 22];
                problems.extend(hand.others(&names, &mut stream(7, "refill prompts", step)));
                (problems, drawn)
            };
            let (problems, after) = deal(drawn.clone());
            let resumed: Drawn = toml::from_str(&toml::to_string(&drawn).unwrap()).unwrap();
            assert_eq!(deal(resumed).0, problems);
            let of_file = &ids(&problems)[1..];
            let distinct: HashSet<&str> = of_file.iter().copied().collect();
            assert_eq!((of_file.len(), distinct.len()), (30, 30), "step {step}: {of_file:?}");
            epochs.extend(of_file[..8].iter().map(|id| (*id).to_owned()));
            drawn = after;
        }
        assert_eq!(drawn, [("mine".to_owned(), 120)].into());
        for epoch in epochs.chunks(30) {
            assert_eq!(epoch.iter().collect::<HashSet<_>>().len(), 30, "{epoch:?}");
        }
        // A file that is too small has everything before anything twice.
        let mut hand = sources.hand(7, &none);
        let many = hand.others(&vec!["mine".to_owned(); 60], &mut stream(7, "probe", 0));
        for half in ids(&many).chunks(30) {
            assert_eq!(half.iter().collect::<HashSet<_>>().len(), 30, "{half:?}");
        }
    }

    /// The others keep their order, and each of them comes once an epoch as before.
    #[test]
    fn what_is_solved_comes_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let sources = Sources::load(&recipe(&dir, &numbered(30), "")).unwrap();
        let counts: BTreeMap<String, usize> = [("mine".to_owned(), 4)].into();
        let solved: Solved = (0..30).filter(|n| n % 5 < 3).map(|n| format!("mine/{n}")).collect();
        let steps = |solved: &Solved, steps: u64| -> (Vec<String>, Drawn) {
            let mut drawn = Drawn::new();
            let mut next =
                |step| sources.hand(7, solved).next(&counts, &mut drawn, &mut stream(7, "prompts", step));
            let ids = (0..steps).flat_map(&mut next).map(|problem| problem.question_id).collect();
            (ids, drawn)
        };
        let (all, _) = steps(&Solved::new(), 15);
        let (left, drawn) = steps(&solved, 6);
        assert_eq!(drawn["mine"], 60 - all.iter().rev().take_while(|id| solved.contains(*id)).count() as u64);
        assert_eq!(left, all.into_iter().filter(|id| !solved.contains(id)).collect::<Vec<_>>());
        // What is added to a step, and what a probe takes.
        let mut hand = sources.hand(7, &solved);
        let others = hand.others(&vec!["mine".to_owned(); 12], &mut stream(7, "probe", 0));
        let others: Solved = others.into_iter().map(|problem| problem.question_id).collect();
        assert!(others.len() == 12 && others.is_disjoint(&solved), "{others:?}");
        // Where nothing else is left, it comes again, so that a step has prompts.
        let every: Solved = (0..30).map(|n| format!("mine/{n}")).collect();
        assert!(sources.are_solved(&counts, &every) && !sources.are_solved(&counts, &solved));
        assert_eq!(steps(&every, 15), steps(&Solved::new(), 15));
        assert_eq!(
            sources.hand(7, &every).others(["mine".to_owned()].iter(), &mut stream(7, "probe", 0)).len(),
            1
        );
    }

    #[test]
    fn what_could_not_be_asked_as_it_is_written_is_refused() {
        let header = |prompt: &str| {
            format!(
                r#"{{"question_id": "p", "prompt": "{prompt}", "task": {{"type": "code", "func_name": "f",
                "starter_code": "def f(x):", "test_cases": [{{"input": "1", "output": "2"}}]}}}}"#
            )
            .replace('\n', " ")
        };
        let dir = tempfile::tempdir().unwrap();
        let system = r#"{"id": 7, "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}], "label": "1"}"#;
        let turns = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"}], "ground_truth": "1"}"#;
        let rows = [
            (r#"{"id": 7, "problem": " ", "answer": "1"}"#, "problem 7: the prompt is empty"),
            (r#"{"id": 7, "text": "q", "answer": "1"}"#, "or name its column by prompt_key"),
            (system, "problem 7: the prompt has a system message that is not the run's"),
            (&turns.replace('\n', " "), "problem 0: the prompt has earlier turns"),
            (&header("Double it."), "problem p: the program must have the function header in starter_code"),
        ];
        for (line, words) in rows {
            let error = Sources::load(&recipe(&dir, line, "")).unwrap_err().to_string();
            assert!(error.contains("p.jsonl ") && error.contains(words), "{line}\n-> {error}");
        }
        let shown = "[templates]\ncode = 'acereason-code'\n";
        for (line, more) in [(header("Double it."), shown), (header("Write def f(x): for me"), "")] {
            assert!(Sources::load(&recipe(&dir, &line, more)).is_ok(), "{line} {more}");
        }
        let mut same = recipe(&dir, system, "");
        same.model.system_prompt = Some("s".to_owned());
        assert!(Sources::load(&same).is_ok());
    }

    #[test]
    fn columns_may_have_names_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let line =
            r#"{"q": [{"role": "user", "content": "1+1"}], "prompt": 5, "solution": "so 2", "right": 2.50}"#;
        let keys = "[problems]\nmine = { path = 'x', prompt_key = 'q', label_key = 'right' }\n";
        let sources = Sources::load(&recipe(&dir, line, keys)).unwrap();
        let fixed = sources.fixed(&[("mine".to_owned(), 1)].into(), Split::HeldOut, 1);
        let Task::Math(task) = &fixed[0].task else { panic!("no math") };
        assert_eq!((fixed[0].prompt.as_str(), task.ground_truth.as_str()), ("1+1", "2.50"));
        for (key, words) in [("prompt_key", "a prompt in `no`"), ("label_key", "an answer in `no`")] {
            let keys = format!("[problems]\nmine = {{ path = 'x', {key} = 'no' }}\n");
            let line = r#"{"prompt": "q", "answer": "1"}"#;
            let error = Sources::load(&recipe(&dir, line, &keys)).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn prompts_that_do_not_fit_are_refused_or_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let line = |n: usize| format!("{{\"id\": {n}, \"problem\": \"{}\", \"answer\": 1}}\n", "x".repeat(n));
        let lines: String = [5, 35, 33, 10].map(line).concat();
        let stage = "[[rl]]\nname = 'm'\nprompts = { mine = 2 }\nrollouts = 2\nsteps = 1\nmax_completion_length = 8\n\
            learning_rate = 1e-4\n";
        let fit = |more: &str| {
            let recipe = recipe(
                &dir,
                &lines,
                &format!(
                    "[problems]\nmine = {{ path = 'x'{more} }}\n[eval]\nmax_completion_length = 8\n{stage}"
                ),
            );
            let sources = Sources::load(&recipe).unwrap();
            let fitted = sources.fit(&recipe, &Policy::create(&recipe).unwrap(), &Progress::quiet());
            fitted.map(|()| sources)
        };
        let error = fit("").unwrap_err().to_string();
        assert!(error.contains("stage `m`: 2 of 4 prompts of ") && error.contains("p.jsonl"), "{error}");
        assert!(
            error.contains("the longest, mine/35, has 35 tokens") && error.contains("has room for 32"),
            "{error}"
        );
        let sources = fit(", max_prompt_length = 32").unwrap();
        let fixed = sources.fixed(&[("mine".to_owned(), 9)].into(), Split::HeldOut, 1);
        assert_eq!(ids(&fixed), ["mine/5", "mine/10"]);
        let none = Solved::new();
        let all = sources.hand(1, &none).others(&vec!["mine".to_owned(); 8], &mut stream(1, "test", 0));
        assert!(all.iter().all(|problem| problem.prompt.len() <= 10), "{:?}", ids(&all));
        assert!(fit(", max_prompt_length = 3").unwrap_err().to_string().contains("none of 4 prompts"));
    }
}
