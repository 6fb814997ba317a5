//! What is asked of a slot: a program, or a tool at work on one, with its arguments, files and what it needs beside the limits.

use std::os::fd::OwnedFd;

use super::pool::{Role, Room};
use super::{ADDRESS_SLACK, Executable, Image, Script, step_error};
use crate::language::Needs;
use crate::protocol::{Action, Flavour, Run};
use crate::workplace::free_name;
use crate::{InputFile, Judge, Limits, SandboxError, Workplace, image};

/// What to run, and where.
pub(super) struct Job<'a> {
    pub(super) room: Room,
    pub(super) action: Action,
    pub(super) args: Vec<String>,
    pub(super) files: Vec<SealedFile>,
    pub(super) image: &'a OwnedFd,
    /// The image's name in the box, if it is to lie there.
    pub(super) source: Option<String>,
    /// What to take out of the slot's /tmp afterwards.
    pub(super) product: Option<&'a str>,
    pub(super) environment: &'a [String],
    pub(super) needs: Needs,
    /// The runtime's own arguments, with places for what follows from the limits.
    pub(super) runtime: Vec<String>,
    pub(super) script: Option<&'a Script>,
    pub(super) seed: u64,
    /// What is wanted out of the slot's /tmp, where that is the program's place.
    pub(super) fetch: Option<Vec<String>>,
}

/// An input file in a sealed memory file.
pub(super) struct SealedFile {
    pub(super) name: String,
    pub(super) content: OwnedFd,
    pub(super) length: u64,
}

impl<'a> Job<'a> {
    pub(super) fn new(room: Room, image: &'a OwnedFd) -> Job<'a> {
        Job {
            room,
            action: Action::Native,
            args: Vec::new(),
            files: Vec::new(),
            image,
            source: None,
            product: None,
            environment: &[],
            needs: Needs::default(),
            runtime: Vec::new(),
            script: None,
            seed: 0,
            fetch: None,
        }
    }

    pub(super) fn runtime_arguments(&self, limits: &Limits) -> impl Iterator<Item = String> {
        let (memory, stack) =
            ((limits.memory >> 20).to_string(), (limits.stack.min(1 << 30) >> 10).to_string());
        self.runtime
            .iter()
            .map(move |argument| argument.replace("{memory_mib}", &memory).replace("{stack_kib}", &stack))
    }

    /// The warm process it wants to be forked from.
    pub(super) fn flavour(&self) -> Option<Flavour> {
        match self.action {
            Action::Python => self.script.map(|script| script.flavour),
            Action::Native if self.fetch.is_none() => Some(Flavour::Native),
            Action::Native => None,
            Action::Tool => None,
        }
    }
}

impl Executable {
    /// The job of running this program on its own.
    pub(super) fn job(&self, stdin: &[u8]) -> Result<Job<'_>, SandboxError> {
        let room = Room::of(self.language, Role::Program);
        let job = match &self.image {
            Image::Script(script) => Job {
                action: Action::Python,
                source: Some(self.language.entry().source.clone()),
                script: Some(script),
                seed: hash(script.seed, stdin),
                ..Job::new(room, &script.source)
            },
            Image::Binary(image) => Job { needs: self.language.entry().needs, ..Job::new(room, image) },
            Image::Hosted(hosted) => {
                let entry = self.language.entry();
                let source = Some(entry.image.clone());
                let (needs, environment) = (entry.needs, entry.environment.as_slice());
                let action = Action::Tool;
                let fill = |argument: &String| {
                    argument.replace("{image}", &entry.image).replace("{class}", &hosted.class)
                };
                let runtime = entry.run.iter().map(fill).collect();
                Job { action, source, needs, environment, runtime, ..Job::new(room, &hosted.file) }
            }
            Image::Module(_) => {
                return Err(SandboxError::Invalid(
                    "a WebAssembly program takes part in no session and no interactive run".into(),
                ));
            }
        };
        Ok(Job { args: self.args.clone(), ..job })
    }
}

/// The job of running a judge's program.
pub(super) fn judge_job<'a>(judge: &Judge<'a>, stdin: &[u8]) -> Result<Job<'a>, SandboxError> {
    let job = judge.executable.job(stdin)?;
    let args = all_args(judge);
    let words = args.iter().map(String::as_bytes).chain(judge.files.iter().map(|file| file.bytes));
    let seed = words.fold(job.seed, hash);
    let files = judge.files.iter().map(SealedFile::new).collect::<Result<_, _>>()?;
    Ok(Job { room: Room::of(judge.executable.language, Role::Judge), args, files, seed, ..job })
}

/// The job of running a program in a directory of its own: by an interpreter that is started for it.
pub(super) fn work_job<'a>(
    executable: &'a Executable,
    place: &Workplace<'_>,
    stdin: &[u8],
) -> Result<Job<'a>, SandboxError> {
    let job = executable.job(stdin)?;
    let source = job.source.as_deref().map(|name| free_name(name, place));
    let runtime = match (&executable.image, &source) {
        (Image::Script(_), Some(name)) => ["-s", "-B", name].map(String::from).to_vec(),
        (Image::Hosted(_), Some(name)) => {
            let taken = executable.language.entry().image.as_str();
            job.runtime
                .iter()
                .map(|argument| if argument == taken { name } else { argument })
                .cloned()
                .collect()
        }
        _ => Vec::new(),
    };
    let action = if source.is_some() { Action::Tool } else { Action::Native };
    let files = place.files.iter().map(|(path, bytes)| SealedFile::new(&InputFile { name: path, bytes }));
    Ok(Job {
        room: Room::of(executable.language, Role::Workplace),
        action,
        source,
        runtime,
        files: files.collect::<Result<_, _>>()?,
        fetch: Some(place.fetch.iter().copied().map(String::from).collect()),
        script: None,
        ..job
    })
}

pub(super) fn all_args(judge: &Judge<'_>) -> Vec<String> {
    let more = judge.args.iter().copied().map(String::from);
    judge.executable.args.iter().cloned().chain(more).collect()
}

impl SealedFile {
    pub(super) fn new(file: &InputFile<'_>) -> Result<SealedFile, SandboxError> {
        let content = image::sealed(file.bytes).map_err(step_error("source"))?;
        Ok(SealedFile { name: file.name.into(), content, length: file.bytes.len() as u64 })
    }
}

pub(super) fn request(job: &Job<'_>, compiled: bool, values: bool, limits: &Limits) -> Run {
    Run {
        action: job.action,
        args: job.runtime_arguments(limits).chain(job.args.iter().cloned()).collect(),
        source: job.source.clone(),
        product: job.product.map(str::to_string),
        environment: job.environment.to_vec(),
        files: job.files.iter().map(|file| file.name.clone()).collect(),
        at_work: job.fetch.is_some(),
        fetch: job.fetch.clone().unwrap_or_default(),
        warm: job.flavour(),
        seed: job.seed,
        values,
        compiled,
        export: job.script.is_some() && !compiled,
        // The supervisor's own watch comes first; this one holds when the supervisor is starved. In a session the
        // limit holds per exchange, so there is no total to set.
        cpu_seconds: if values { u64::MAX } else { (limits.cpu_time * 3 / 2).as_secs().saturating_add(3) },
        address_space: limits.memory.saturating_add(ADDRESS_SLACK + job.needs.address_space()),
        stack: limits.stack,
        open_files: limits.open_files.into(),
        processes: limits.processes.into(),
    }
}

/// FNV-1a over the length and the first 64 KiB: what a program's random numbers start from must be the same for the
/// same program and input, and differ for most others.
pub(super) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed.rotate_left(17) ^ bytes.len() as u64;
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().take(64 << 10).fold(start, mix)
}
