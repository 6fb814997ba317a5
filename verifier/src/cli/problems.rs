//! The problems of a run. In memory is only what reports say of each; its tests and its prompt are read from the file
//! when a sample of it is at hand, once for all threads that want them at the same time.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use assay_testsets::{CodeTask, Format, LoadError, MathTask, Problem, ProblemStore, Task, TestCases};

use assay_verifier::report::About;

use super::CliError;
use super::census::Census;
use super::rules::Rules;

pub(crate) struct Problems {
    store: ProblemStore,
    /// In file order, without tests and golds.
    pub(crate) about: Vec<Problem>,
    /// What reports say of each.
    pub(crate) reported: Vec<About>,
    pub(crate) census: Census,
    loaded: Shared<Loaded>,
}

/// A problem as it stands in the file.
pub(crate) struct Loaded {
    pub(crate) problem: Problem,
    /// SHA-256 of its record.
    pub(crate) digest: [u8; 32],
}

impl Problems {
    pub(crate) fn open(path: &Path, format: Option<Format>, rules: &Rules) -> Result<Problems, CliError> {
        Problems::keeping(path, format, rules, false)
    }

    /// With what a model is shown of each.
    pub(crate) fn with_prompts(
        path: &Path,
        format: Option<Format>,
        rules: &Rules,
    ) -> Result<Problems, CliError> {
        Problems::keeping(path, format, rules, true)
    }

    fn keeping(
        path: &Path,
        format: Option<Format>,
        rules: &Rules,
        prompts: bool,
    ) -> Result<Problems, CliError> {
        let (mut about, mut reported, mut census) = (Vec::new(), Vec::new(), Census::new(rules.math_profile));
        let store = ProblemStore::open(path, format, |problem| {
            census.add(problem);
            reported.push(About::of(problem));
            about.push(without_contents(problem, prompts));
        });
        let store = store.map_err(bad_file)?;
        let loaded = Shared::new(about.len());
        Ok(Problems { store, about, reported, census, loaded })
    }

    pub(crate) fn format(&self) -> Format {
        self.store.format()
    }

    pub(crate) fn has_code(&self) -> bool {
        self.about.iter().any(|problem| matches!(problem.task, Task::Code(_)))
    }

    pub(crate) fn get(&self, index: usize) -> Result<Arc<Loaded>, CliError> {
        self.loaded.get(index, || {
            let (problem, digest) = self.store.problem(index).map_err(bad_file)?;
            Ok(Loaded { problem, digest })
        })
    }
}

fn without_contents(problem: &Problem, prompts: bool) -> Problem {
    let kept = |text: &String| if prompts { text.clone() } else { String::new() };
    let task = match &problem.task {
        Task::Code(task) => Task::Code(CodeTask {
            starter_code: kept(&task.starter_code),
            func_name: task.func_name.clone(),
            test_cases: TestCases::default(),
            checker: assay_testsets::Checker::Exact,
            limits: task.limits,
            groups: Vec::new(),
        }),
        Task::Math(_) => Task::Math(MathTask { ground_truth: String::new(), error: None }),
    };
    Problem {
        question_id: problem.question_id.clone(),
        prompt: kept(&problem.prompt),
        task,
        difficulty: problem.difficulty.clone(),
        platform: problem.platform.clone(),
        contest_date: problem.contest_date.clone(),
    }
}

/// Exit code 2 where the file is to be mended, 3 where the machine is.
pub(crate) fn bad_file(error: LoadError) -> CliError {
    if error.misfit.ours { CliError::failure(error.to_string()) } else { CliError::usage(error.to_string()) }
}

/// Values that several threads want at about the same time: loaded once, dropped when the last lets go.
pub(crate) struct Shared<T>(Vec<Mutex<Weak<T>>>);

impl<T> Shared<T> {
    pub(crate) fn new(count: usize) -> Shared<T> {
        Shared((0..count).map(|_| Mutex::new(Weak::new())).collect())
    }

    pub(crate) fn get<E>(&self, index: usize, load: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        let mut place = self.0[index].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = place.upgrade() {
            return Ok(value);
        }
        let value = Arc::new(load()?);
        *place = Arc::downgrade(&value);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::Shared;

    #[test]
    fn what_somebody_holds_is_not_loaded_again() {
        let shared = Shared::new(2);
        let held = shared.get(0, || Ok::<_, ()>(1)).expect("loaded");
        let again = shared.get(0, || -> Result<i32, ()> { panic!("it is there") }).expect("held");
        assert_eq!((*held, *again), (1, 1));
        drop((held, again));
        assert_eq!(*shared.get(0, || Ok::<_, ()>(2)).expect("loaded"), 2);
        assert_eq!(shared.get(1, || Err::<i32, _>("no")).expect_err("not there"), "no");
    }
}
