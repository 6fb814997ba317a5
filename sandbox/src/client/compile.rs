//! From a source to what runs: compilers behind the walls, and the precompiled header that spares them most of the work.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::cache::{Made, Product};
use super::guest::Done;
use super::headers::{self, Header};
use super::job::Job;
use super::pool::{Role, Room};
use super::{Sandbox, step_error};
use crate::language::main_class;
use crate::protocol::{Action, Found};
use crate::{Language, Limits, Outcome, Program, SandboxError, Termination, image};

impl Sandbox {
    /// What the compiler made, or how it refused.
    pub(super) fn compile(&self, program: &Program, limits: &Limits) -> Result<Made, SandboxError> {
        let entry = program.language.entry();
        let room = Room::of(program.language, Role::Compiler);
        let found = self.walls.pool()?.tool(room)?;
        let mut key = Sha256::new();
        let decisive = format!("{entry:?} {found:?} {limits:?}");
        [decisive.as_bytes(), &program.source].iter().for_each(|part| key.update(Sha256::digest(part)));
        self.walls
            .pool()?
            .programs
            .get(key.finalize().into(), || self.compile_now(program, limits, room, &found))
    }

    fn compile_now(
        &self,
        program: &Program,
        limits: &Limits,
        room: Room,
        found: &Found,
    ) -> Result<Made, SandboxError> {
        let entry = program.language.entry();
        let class = main_class(&program.source);
        let name = entry.source.replace("{class}", &class);
        let args = entry.compile.iter().filter_map(|argument| match argument.as_str() {
            "{source}" => Some(name.clone()),
            "{output}" => Some(format!("/tmp/{}", entry.product)),
            other => flag_of(other, found),
        });
        let args: Vec<String> = args.collect();
        let source = image::sealed(program.source.as_slice()).map_err(step_error("source"))?;
        let job = |args| Job {
            action: Action::Tool,
            args,
            source: Some(name.clone()),
            product: Some(&entry.product),
            environment: &entry.compiler_environment,
            needs: entry.compiler_needs,
            ..Job::new(room, &source)
        };
        // What the compiler says of a header differs by the line that says from where it was included, so one that has
        // something to say compiles as if there were no precompiled header. What takes too long with it takes longer without.
        let settled = |done: &Done| match done.outcome.termination {
            Termination::Exited(0) => done.outcome.stderr.is_empty(),
            Termination::CpuTimeLimit | Termination::WallTimeLimit => true,
            _ => false,
        };
        let quick = self.header(program, room, found).and_then(|place| {
            let args = ["-isystem".to_string(), place].into_iter().chain(args.iter().cloned()).collect();
            self.repeat(&job(args), &[], limits).ok().filter(settled)
        });
        let done = match quick {
            Some(done) => done,
            None => self.repeat(&job(args), &[], limits)?,
        };
        if done.outcome.termination != Termination::Exited(0) {
            self.vouch(program.language, Role::Compiler)?;
            return Ok(Err(Outcome { refused: true, ..done.outcome }));
        }
        let Some(binary) = done.binary else { return Ok(Err(without_program(done.outcome))) };
        // A copy of this process's own: the pages of the first are charged to the slot that wrote them.
        let file = Arc::new(image::duplicate(&binary).map_err(step_error("binary"))?);
        Ok(Ok(Product { file, usage: done.outcome.usage }))
    }

    /// The directory with the precompiled header, where the source asks for it and it can be had.
    fn header(&self, program: &Program, room: Room, found: &Found) -> Option<String> {
        let entry = program.language.entry();
        let headers = self.walls.pool().ok()?.headers.as_ref().filter(|_| entry.header)?;
        if !headers::begins(&program.source) {
            return None;
        }
        let decisive = format!("{:?} {found:?}", entry.compile);
        let key = Sha256::digest(decisive).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        headers.get(&key, || self.precompile(program.language, room, found))
    }

    /// Precompiles the header, in a slot that nothing else has run in.
    fn precompile(&self, language: Language, room: Room, found: &Found) -> Result<Header, SandboxError> {
        let entry = language.entry();
        let one = image::sealed(&b"#include <bits/stdc++.h>\n"[..]).map_err(step_error("source"))?;
        let flags = || {
            let own = |argument: &&String| {
                !["{source}", "{output}", "-o", "-x", "c++"].contains(&argument.as_str())
            };
            entry.compile.iter().filter(own).filter_map(|flag| flag_of(flag, found))
        };
        let tool = |args: Vec<String>, product| Job {
            action: Action::Tool,
            args,
            source: Some(entry.source.clone()),
            product,
            needs: entry.compiler_needs,
            ..Job::new(room, &one)
        };
        let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
        let list = tool(flags().chain(words(&["-x", "c++", "-M", &entry.source])).collect(), None);
        let list = self.repeat(&list, &[], &Limits::COMPILE)?.outcome;
        let path = headers::in_list(&list.stdout).ok_or_else(left_nothing)?;
        let output = format!("/tmp/{}", entry.product);
        let args = flags().chain(words(&["-x", "c++-header", &path, "-o", &output])).collect();
        let limits = Limits {
            cpu_time: Duration::from_secs(60),
            wall_time: Duration::from_secs(60),
            ..Limits::COMPILE
        };
        let job = tool(args, Some(&entry.product));
        let lease = self.walls.pool()?.lease_new(room)?;
        let done = Self::start_on(lease, &job, false, &limits)?.run_to_end(&[], false)?;
        Ok(Header { path, precompiled: done.binary.ok_or_else(left_nothing)? })
    }
}

/// A compiler's argument as it is given, where it is given at all.
fn flag_of(flag: &str, found: &Found) -> Option<String> {
    match flag {
        "{static}" => found.link_static.then(|| "-static".to_string()),
        other => Some(other.to_string()),
    }
}

/// What became of a source that a compiler is content with, though it left no program: an empty one, a library, too much.
fn without_program(mut outcome: Outcome) -> Outcome {
    outcome.refused = true;
    outcome.stderr.extend(b"the compiler left no program, or one larger than what is taken\n");
    outcome
}

fn left_nothing() -> SandboxError {
    SandboxError::Step {
        step: "binary",
        source: std::io::Error::other("the compiler succeeded and left nothing"),
    }
}
