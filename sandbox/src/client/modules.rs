//! The WebAssembly engine as this sandbox's programs use it: some are modules, some are interpreted by one.
//!
//! An interpreter is the user's file, compiled once and kept for as long as the sandbox. It is shown the source as a
//! file beside what a judge is shown. Whether a source is a program at all is found out before it runs, by a run of the
//! interpreter that compiles it and does nothing else: so that is told by how our own few lines ended, in a run in which
//! nothing of the program was executed, and never by anything that a program printed.

use std::collections::HashMap;
use std::iter;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::language::{Tool, Work};
use crate::wasm::{Compiler, Prepared, Rate, Runtime, Settings, Shelf, Task};
use crate::{
    InputFile, Language, LanguageState, Limits, Outcome, SandboxConfig, SandboxError, Termination, toolchain,
};

use super::headers::own_directory;
use super::pool;

/// The variable that [`SandboxConfig::python_wasm`] goes before.
const PYTHON_VARIABLE: &str = "ASSAY_PYTHON_WASM";

/// Below the cache, for interpreters that were compiled.
const SHELF: &str = "modules";

/// What compiling an interpreter may take: it has megabytes of code, and is the user's own.
const INTERPRETER: Limits = Limits { cpu_time: Duration::from_secs(300), memory: 4 << 30, ..Limits::COMPILE };

/// The engine, started by the first program that needs it, and the interpreters it has compiled.
#[derive(Debug)]
pub(super) struct Modules {
    settings: Settings,
    runtime: Mutex<Option<Arc<Runtime>>>,
    python: Option<PathBuf>,
    cache: Option<PathBuf>,
    /// Or why there is none. Apart from the engine's own cache, out of which guests' modules can drive others. Held while
    /// one is compiled: whoever comes meanwhile waits.
    interpreters: Mutex<HashMap<Language, Result<Arc<Prepared>, String>>>,
}

/// A module that can run, or an interpreter with what it is to interpret.
#[derive(Debug, Clone)]
pub(super) struct Module {
    runtime: Arc<Runtime>,
    code: Arc<Prepared>,
    source: Option<Arc<[u8]>>,
}

impl Modules {
    pub(super) fn new(config: &SandboxConfig) -> Modules {
        let helper = config.helper.clone().unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
        let rate = match config.fuel_per_second {
            0 => Rate::DEFAULT,
            fuel => Rate(fuel),
        };
        let settings = Settings { slots: pool::slots(config), rate, compiler: Compiler::Process(helper) };
        let (python, cache) = (config.python_wasm.clone(), pool::cache_directory(config));
        Modules { settings, runtime: Mutex::default(), python, cache, interpreters: Mutex::default() }
    }

    fn runtime(&self) -> Result<Arc<Runtime>, SandboxError> {
        let mut runtime = locked(&self.runtime);
        if let Some(runtime) = &*runtime {
            return Ok(Arc::clone(runtime));
        }
        let started = Arc::new(Runtime::start(self.settings.clone())?);
        *runtime = Some(Arc::clone(&started));
        Ok(started)
    }

    /// Compiles a module, or says how it was refused.
    pub(super) fn module(
        &self,
        module: &[u8],
        limits: &Limits,
    ) -> Result<Result<Module, Outcome>, SandboxError> {
        let runtime = self.runtime()?;
        let compiled = runtime.prepare(module, limits)?;
        Ok(match compiled {
            Ok(code) => Ok(Module { runtime, code, source: None }),
            Err(refusal) => Err(Outcome {
                stderr: refusal.message.into_bytes(),
                refused: true,
                ..Outcome::of(refusal.termination)
            }),
        })
    }

    /// Has the language's interpreter compile a source under `limits`; with the outcome of that, which says why where
    /// there is no program.
    pub(super) fn interpreted(
        &self,
        language: Language,
        source: &[u8],
        limits: &Limits,
    ) -> Result<(Option<Module>, Outcome), SandboxError> {
        let module = Module { source: Some(source.into()), ..self.interpreter(language)? };
        let outcome = module.interpret(language, &language.entry().check, &Task::new(limits))?;
        let refused = outcome.termination != Termination::Exited(0);
        Ok(((!refused).then_some(module), Outcome { refused, ..outcome }))
    }

    fn interpreter(&self, language: Language) -> Result<Module, SandboxError> {
        let runtime = self.runtime()?;
        let unavailable = SandboxError::Unavailable;
        let mut known = locked(&self.interpreters);
        let code = match known.get(&language) {
            Some(code) => code.clone(),
            None => {
                let tool = language.entry().tool(Work::Run).ok_or_else(|| unavailable("no tool".into()))?;
                let (path, module) = toolchain::read_module(tool, self.named(tool)).map_err(unavailable)?;
                let cache = self.cache.as_deref();
                let shelf = cache.map(|cache| own_directory(cache, SHELF).map(Shelf::new)).transpose()?;
                let compiled = runtime.prepare_own(&module, &INTERPRETER, shelf.as_ref())?;
                let code = compiled.map_err(|refusal| format!("{}: {}", path.display(), refusal.message));
                known.entry(language).or_insert(code).clone()
            }
        };
        Ok(Module { runtime, code: code.map_err(unavailable)?, source: None })
    }

    fn named(&self, tool: &Tool) -> Option<&std::path::Path> {
        self.python.as_deref().filter(|_| tool.variable.as_deref() == Some(PYTHON_VARIABLE))
    }

    /// The engine, by running the smallest program.
    pub(super) fn examine(&self, language: Language) -> LanguageState {
        let examined = self.runtime().map_err(|error| error.to_string()).and_then(|runtime| {
            runtime.examine()?;
            Ok(format!("wasmtime 48, {}", runtime.room()))
        });
        LanguageState {
            language,
            version: examined.clone().unwrap_or_default(),
            ok: examined.is_ok(),
            hint: examined.err().unwrap_or_default(),
        }
    }

    /// What an interpreter says when it is asked for its version, and what to put before it.
    pub(super) fn ask(&self, language: Language) -> (Result<Outcome, SandboxError>, &'static str) {
        let tool = language.entry().tool(Work::Run);
        let (version, label) = tool.map_or((&[][..], ""), |tool| (tool.version.as_slice(), &*tool.label));
        let ask = || {
            let module = Module { source: Some(Arc::default()), ..self.interpreter(language)? };
            module.interpret(language, version, &Task::new(&Limits::COMPILE))
        };
        (ask(), label)
    }
}

impl Module {
    /// Runs the program that it is or interprets.
    pub(super) fn run(&self, language: Language, task: &Task<'_>) -> Result<Outcome, SandboxError> {
        match self.source {
            None => self.runtime.run(&self.code, task),
            Some(_) => self.interpret(language, &language.entry().run, task),
        }
    }

    /// Runs the interpreter with arguments of its own before the task's, and with the source among the files.
    fn interpret(
        &self,
        language: Language,
        own: &[String],
        task: &Task<'_>,
    ) -> Result<Outcome, SandboxError> {
        let entry = language.entry();
        let own = own.iter().map(|argument| argument.replace("{image}", &entry.image));
        let args: Vec<String> = own.chain(task.args.iter().cloned()).collect();
        let source = InputFile { name: &entry.image, bytes: self.source.as_deref().unwrap_or_default() };
        let others = task.files.unwrap_or_default().iter().copied();
        let files: Vec<InputFile<'_>> = iter::once(source).chain(others).collect();
        let limits = &entry.needs.added_to(task.limits);
        let (environment, files) = (entry.environment.as_slice(), Some(&files[..]));
        self.runtime.run(&self.code, &Task { args: &args, environment, files, limits, ..*task })
    }
}

/// A lock whose data stays good even if a holder panicked: every update above is whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
