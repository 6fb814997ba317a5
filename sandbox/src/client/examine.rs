//! What this host gives, and which languages work on it: found out by running a program of each.

use super::job::Job;
use super::pool::{Role, Room, Walls};
use super::{Prepared, Sandbox, step_error};
use crate::language::{Engine, Work};
use crate::protocol::Action;
use crate::{
    Doctor, Language, LanguageState, Limits, Outcome, Program, SandboxError, Termination, Tier, Wall,
    WallState, image,
};

impl Sandbox {
    /// What the host gives; every language is run inside the box.
    pub fn doctor(&self) -> Doctor {
        let languages = Language::all().into_iter().map(|language| self.examine(language)).collect();
        let pool = match &self.walls {
            Walls::Up(pool) => pool,
            Walls::Missing { why, .. } => {
                let wall = Wall { name: "kernel walls".into(), state: WallState::Missing(why.to_string()) };
                return Doctor { tier: Some(Tier::W), walls: vec![wall], languages };
            }
        };
        let report = pool.host();
        let mut walls: Vec<Wall> = report
            .walls
            .iter()
            .map(|(name, state, text)| Wall {
                name: name.clone(),
                state: match state.as_str() {
                    "up" => WallState::Up(text.clone()),
                    "weaker" => WallState::Weaker(text.clone()),
                    _ => WallState::Missing(text.clone()),
                },
            })
            .collect();
        if let Some(why) = pool.cold() {
            let text =
                format!("every Python run starts an interpreter of its own, some ten times slower: {why}");
            walls.push(Wall { name: "interpreter".into(), state: WallState::Weaker(text) });
        }
        Doctor { tier: self.tier(), walls, languages }
    }

    /// One language: its version, as it says itself inside the box.
    pub(super) fn examine(&self, language: Language) -> LanguageState {
        let state = |version: &str, hint: String| LanguageState {
            language,
            version: version.trim().to_string(),
            ok: hint.is_empty(),
            hint,
        };
        let (outcome, label) = match language.entry().engine {
            Engine::Wasm if language.entry().is_module() => return self.modules.examine(language),
            Engine::Wasm if language.entry().is_interpreted_module() => self.modules.ask(language),
            Engine::Wasm => self.ask_wasm_compiler(language),
            Engine::Python => (self.ask_interpreter(language), ""),
            Engine::Native => self.ask_tool(language, Role::Compiler),
            Engine::Runtime => match self.tools(language) {
                Ok(()) => self.ask_tool(language, Role::Program),
                Err(error) => (Err(error), ""),
            },
        };
        match outcome {
            Err(error) => state("", error.to_string()),
            Ok(outcome) if outcome.termination == Termination::Exited(0) => {
                let said = String::from_utf8_lossy(&outcome.stdout);
                state(&format!("{label}{}", said.lines().next().unwrap_or_default()), String::new())
            }
            Ok(outcome) => {
                let said = String::from_utf8_lossy(&outcome.stderr);
                let hint = format!("inside the box it ends with {:?}: {}", outcome.termination, said.trim());
                state("", hint)
            }
        }
    }

    fn ask_interpreter(&self, language: Language) -> Result<Outcome, SandboxError> {
        const ASK: &str = "import sys; print('.'.join(map(str, sys.version_info[:3])))";
        match self.prepare(&Program::new(language, ASK), &Limits::COMPILE)? {
            Prepared::Ready(executable) => self.run(&executable, &[], &Limits::COMPILE),
            Prepared::Refused(outcome) => Ok(outcome),
        }
    }

    /// A compiler alone does not make a module: its libraries may be missing.
    fn ask_wasm_compiler(&self, language: Language) -> (Result<Outcome, SandboxError>, &'static str) {
        match self.prepare(&Program::new(language, "int main() { return 0; }"), &Limits::COMPILE) {
            Ok(Prepared::Ready(_)) => self.ask_tool(language, Role::Compiler),
            Ok(Prepared::Refused(outcome)) => {
                let install = language.entry().tool(Work::Compile).map_or("", |tool| &tool.install);
                let said = String::from_utf8_lossy(&outcome.stderr);
                let why =
                    format!("it does not compile the smallest program ({}): install {install}", said.trim());
                (Err(SandboxError::Unavailable(why)), "")
            }
            Err(error) => (Err(error), ""),
        }
    }

    /// Whether all the tools of a language are there.
    fn tools(&self, language: Language) -> Result<(), SandboxError> {
        for (role, work) in [(Role::Compiler, Work::Compile), (Role::Program, Work::Run)] {
            if language.entry().tool(work).is_some() {
                self.walls.pool()?.tool(Room::of(language, role))?;
            }
        }
        Ok(())
    }

    /// That a tool fails says something of the program only where the tool works: one that cannot even tell its version
    /// in the box is a fault of the host's.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] with what the tool said.
    pub(super) fn vouch(&self, language: Language, role: Role) -> Result<(), SandboxError> {
        self.walls.pool()?.sound(Room::of(language, role), || {
            let outcome = self.ask_tool(language, role).0?;
            if outcome.termination == Termination::Exited(0) {
                return Ok(());
            }
            let (end, said) = (outcome.termination, String::from_utf8_lossy(&outcome.stderr));
            let text = format!(
                "{language} does not work inside the box, where its tool ends with {end:?}: {}",
                said.trim()
            );
            Err(SandboxError::Unavailable(text))
        })
    }

    /// A tool's version, and what to put before it.
    fn ask_tool(&self, language: Language, role: Role) -> (Result<Outcome, SandboxError>, &'static str) {
        let work = if role == Role::Compiler { Work::Compile } else { Work::Run };
        let Some(tool) = language.entry().tool(work) else {
            return (Err(SandboxError::Unavailable(format!("{language} has no such tool"))), "");
        };
        let ask = || {
            let room = Room::of(language, role);
            self.walls.pool()?.tool(room)?;
            let nothing = image::sealed(&b""[..]).map_err(step_error("source"))?;
            let needs = language.entry().needs;
            let job =
                Job { action: Action::Tool, args: tool.version.clone(), needs, ..Job::new(room, &nothing) };
            Ok(self.repeat(&job, &[], &Limits::COMPILE)?.outcome)
        };
        (ask(), &tool.label)
    }
}
