//! WASI preview 1 for programs that read stdin and write stdout: no files of the host, no sockets, no clock.
//!
//! A module sees its arguments, what environment its language's entry says, three streams and, where the caller gives it
//! files, a directory of these, to be read ([`files`]); every other path and every socket call fails, so there is no
//! authority to take away.
//! Everything it can observe follows from the module, its arguments and its input:
//!
//! - time is the fuel it has burnt plus what it has slept; sleeping moves that clock at once instead of
//!   waiting, and sleeping longer than `Limits::wall_time` ends the run;
//! - random bytes are a hash stream seeded from module, arguments, input and files.
//!
//! Pointers and lengths come from the guest and are checked against its memory at every use; host work is
//! charged in fuel like the guest's own, so no call is a cheap way to keep the host busy.

mod files;

use std::fmt;
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::{Caller, Engine, Extern, FuncType, Linker, Trap, Val, ValType};

use files::Files;

use crate::sys::Lent;
use crate::wasm::{Host, Rate, Task};

/// The name of the module these functions are imported from.
const MODULE: &str = "wasi_snapshot_preview1";

/// What the guest's clock says at the start, in seconds: 2024-01-01 00:00:00 UTC.
const START_OF_TIME: u64 = 1_704_067_200;

/// Fuel for entering the host, and per piece of a vectored call or subscription.
const FUEL_PER_CALL: u64 = 200;
const FUEL_PER_PIECE: u64 = 10;
/// Fuel per byte moved, and per random byte made.
const FUEL_PER_BYTE: u64 = 1;
const FUEL_PER_RANDOM_BYTE: u64 = 8;

/// Sizes of the preview 1 records.
const IOVEC: u32 = 8;
const SUBSCRIPTION: u32 = 48;
const EVENT: u32 = 32;

const STDIN: u32 = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// Preview 1 error numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Errno {
    Badf = 8,
    Exist = 20,
    Fault = 21,
    Inval = 28,
    Isdir = 31,
    Mfile = 33,
    Nametoolong = 37,
    Noent = 44,
    Notdir = 54,
    Notsock = 57,
    Notsup = 58,
    Rofs = 69,
    Spipe = 70,
    Notcapable = 76,
}

/// Why the host ended the guest from inside a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// `proc_exit`.
    Exit(i32),
    /// `proc_raise`.
    Raise(i32),
    /// Wrote more than `Limits::output`.
    Output,
    /// Slept longer than `Limits::wall_time`.
    Slept,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Stop {}

/// How a call ends other than well: the guest is told, or it is over.
enum Failure {
    Errno(Errno),
    End(wasmtime::Error),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Failure {
        Failure::Errno(errno)
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Failure {
        Failure::End(wasmtime::Error::new(stop))
    }
}

impl From<wasmtime::Error> for Failure {
    fn from(error: wasmtime::Error) -> Failure {
        Failure::End(error)
    }
}

type Call<T = ()> = Result<T, Failure>;

/// What a program may see and touch.
#[derive(Debug)]
pub(crate) struct Wasi {
    args: Vec<Vec<u8>>,
    environment: Vec<Vec<u8>>,
    stdin: Lent,
    read: usize,
    /// fd 1 and fd 2.
    pub(crate) written: [Vec<u8>; 2],
    open: [bool; 3],
    files: Files,
    output_limit: usize,
    pub(crate) slept: Duration,
    sleep_limit: Duration,
    rate: Rate,
    fuel: u64,
    random: Random,
}

impl Wasi {
    /// `fuel` is what the store starts with at what rate; `lent` are the task's stdin and files; `seed` is a hash of
    /// module, arguments, input and files.
    pub(crate) fn new(task: &Task<'_>, lent: &[Lent], (rate, fuel): (Rate, u64), seed: [u8; 32]) -> Wasi {
        let zero_ended = |text: &str| [text.as_bytes(), b"\0"].concat();
        let open_files = task.limits.open_files;
        let files = task.files.map(|files| Files::new(files::named(files, &lent[1..]), open_files));
        Wasi {
            args: std::iter::once("program")
                .chain(task.args.iter().map(String::as_str))
                .map(zero_ended)
                .collect(),
            environment: task.environment.iter().map(|text| zero_ended(text)).collect(),
            stdin: lent[0].clone(),
            read: 0,
            written: [Vec::new(), Vec::new()],
            open: [true; 3],
            files: files.unwrap_or_default(),
            output_limit: usize::try_from(task.limits.output).unwrap_or(usize::MAX),
            slept: Duration::ZERO,
            sleep_limit: task.limits.wall_time,
            rate,
            fuel,
            random: Random { seed, block: [0; 32], next: 0 },
        }
    }

    fn check_open(&self, fd: u32) -> Call {
        if self.open.get(fd as usize) == Some(&true) || self.files.has(fd) {
            Ok(())
        } else {
            Err(Errno::Badf.into())
        }
    }
}

/// Defines all of preview 1, so that any program built for it links.
pub(crate) fn define(linker: &mut Linker<Host>, engine: &Engine) -> wasmtime::Result<()> {
    let l = linker;
    l.func_wrap(MODULE, "args_sizes_get", |mut c: Caller<'_, Host>, count, bytes| {
        finish(args_sizes_get(&mut c, count, bytes))
    })?;
    l.func_wrap(MODULE, "args_get", |mut c: Caller<'_, Host>, pointers, bytes| {
        finish(args_get(&mut c, pointers, bytes))
    })?;
    l.func_wrap(MODULE, "environ_sizes_get", |mut c: Caller<'_, Host>, count, bytes| {
        finish(environ_sizes_get(&mut c, count, bytes))
    })?;
    l.func_wrap(MODULE, "environ_get", |mut c: Caller<'_, Host>, pointers, bytes| {
        finish(environ_get(&mut c, pointers, bytes))
    })?;
    l.func_wrap(MODULE, "clock_res_get", |mut c: Caller<'_, Host>, id, at| {
        finish(clock_res_get(&mut c, id, at))
    })?;
    l.func_wrap(MODULE, "clock_time_get", |mut c: Caller<'_, Host>, id, _: u64, at| {
        finish(clock_time_get(&mut c, id, at))
    })?;
    l.func_wrap(MODULE, "fd_read", |mut c: Caller<'_, Host>, fd, iovecs, count, at| {
        finish(fd_read(&mut c, fd, iovecs, count, at))
    })?;
    l.func_wrap(MODULE, "fd_write", |mut c: Caller<'_, Host>, fd, iovecs, count, at| {
        finish(fd_write(&mut c, fd, iovecs, count, at))
    })?;
    l.func_wrap(MODULE, "fd_close", |mut c: Caller<'_, Host>, fd| finish(fd_close(&mut c, fd)))?;
    l.func_wrap(MODULE, "fd_fdstat_get", |mut c: Caller<'_, Host>, fd, at| {
        finish(fd_fdstat_get(&mut c, fd, at))
    })?;
    l.func_wrap(MODULE, "fd_filestat_get", |mut c: Caller<'_, Host>, fd, at| {
        finish(fd_filestat_get(&mut c, fd, at))
    })?;
    l.func_wrap(MODULE, "fd_pread", |mut c: Caller<'_, Host>, fd, iovecs, count, from: u64, at| {
        finish(fd_pread(&mut c, fd, (iovecs, count), from, at))
    })?;
    l.func_wrap(MODULE, "fd_seek", |mut c: Caller<'_, Host>, fd, by: i64, whence, at| {
        finish(fd_seek(&mut c, fd, by, whence, at))
    })?;
    l.func_wrap(MODULE, "fd_tell", |mut c: Caller<'_, Host>, fd, at| finish(fd_seek(&mut c, fd, 0, 1, at)))?;
    l.func_wrap(MODULE, "fd_prestat_get", |mut c: Caller<'_, Host>, fd, at| {
        finish(fd_prestat_get(&mut c, fd, at))
    })?;
    l.func_wrap(MODULE, "fd_prestat_dir_name", |mut c: Caller<'_, Host>, fd, at, length| {
        finish(fd_prestat_dir_name(&mut c, fd, at, length))
    })?;
    l.func_wrap(
        MODULE,
        "path_open",
        |mut c: Caller<'_, Host>, fd, _: u32, at, length, flags, rights, _: u64, _: u32, opened_at| {
            finish(path_open(&mut c, fd, (at, length), (flags, rights), opened_at))
        },
    )?;
    l.func_wrap(MODULE, "path_filestat_get", |mut c: Caller<'_, Host>, fd, _: u32, at, length, to| {
        finish(path_filestat_get(&mut c, fd, (at, length), to))
    })?;
    l.func_wrap(
        MODULE,
        "path_readlink",
        |mut c: Caller<'_, Host>, fd, at, length, _: u32, _: u32, _: u32| {
            finish(path_readlink(&mut c, fd, (at, length)))
        },
    )?;
    l.func_wrap(MODULE, "fd_readdir", |mut c: Caller<'_, Host>, fd, at, length, from: u64, told_at| {
        finish(fd_readdir(&mut c, fd, (at, length), from, told_at))
    })?;
    l.func_wrap(MODULE, "poll_oneoff", |mut c: Caller<'_, Host>, from, to, count, at| {
        finish(poll_oneoff(&mut c, from, to, count, at))
    })?;
    l.func_wrap(MODULE, "random_get", |mut c: Caller<'_, Host>, at, length| {
        finish(random_get(&mut c, at, length))
    })?;
    l.func_wrap(MODULE, "sched_yield", |mut c: Caller<'_, Host>| finish(charge(&mut c, FUEL_PER_CALL)))?;
    l.func_wrap(MODULE, "proc_exit", |_: Caller<'_, Host>, code: i32| -> wasmtime::Result<()> {
        Err(wasmtime::Error::new(Stop::Exit(code)))
    })?;
    l.func_wrap(MODULE, "proc_raise", |_: Caller<'_, Host>, signal: i32| finish(proc_raise(signal)))?;
    for &(name, parameters, errno) in &REFUSED {
        refuse(l, engine, name, parameters, errno)?;
    }
    Ok(())
}

/// What a program that can only read cannot do: the call, its parameters (`i` 32 bits, `l`
/// 64 bits) and the error when the first parameter is an open descriptor (`EBADF` when it is not).
const REFUSED: [(&str, &str, Errno); 21] = [
    ("fd_advise", "illi", Errno::Spipe),
    ("fd_allocate", "ill", Errno::Spipe),
    ("fd_datasync", "i", Errno::Inval),
    ("fd_fdstat_set_flags", "ii", Errno::Notsup),
    ("fd_fdstat_set_rights", "ill", Errno::Notcapable),
    ("fd_filestat_set_size", "il", Errno::Inval),
    ("fd_filestat_set_times", "illi", Errno::Notsup),
    ("fd_pwrite", "iiili", Errno::Spipe),
    ("fd_renumber", "ii", Errno::Notsup),
    ("fd_sync", "i", Errno::Inval),
    ("path_create_directory", "iii", Errno::Notcapable),
    ("path_filestat_set_times", "iiiilli", Errno::Notcapable),
    ("path_link", "iiiiiii", Errno::Notcapable),
    ("path_remove_directory", "iii", Errno::Notcapable),
    ("path_rename", "iiiiii", Errno::Notcapable),
    ("path_symlink", "iiiii", Errno::Notcapable),
    ("path_unlink_file", "iii", Errno::Notcapable),
    ("sock_accept", "iii", Errno::Notsock),
    ("sock_recv", "iiiiii", Errno::Notsock),
    ("sock_send", "iiiii", Errno::Notsock),
    ("sock_shutdown", "ii", Errno::Notsock),
];

fn refuse(
    linker: &mut Linker<Host>,
    engine: &Engine,
    name: &str,
    parameters: &str,
    errno: Errno,
) -> wasmtime::Result<()> {
    let types = parameters.chars().map(|letter| if letter == 'l' { ValType::I64 } else { ValType::I32 });
    let signature = FuncType::new(engine, types, [ValType::I32]);
    linker.func_new(MODULE, name, signature, move |mut caller, parameters, results| {
        let fd = parameters.first().and_then(Val::i32).unwrap_or(-1);
        let answer = charge(&mut caller, FUEL_PER_CALL)
            .and_then(|()| caller.data().wasi.check_open(fd.cast_unsigned()))
            .and_then(|()| Err(errno.into()));
        results[0] = Val::I32(finish(answer)?);
        Ok(())
    })?;
    Ok(())
}

/// The guest's memory and what it may see, for the length of one call.
struct Guest<'a> {
    memory: &'a mut [u8],
    wasi: &'a mut Wasi,
}

/// Pays for the call and looks into the guest's memory.
fn enter<'a>(caller: &'a mut Caller<'_, Host>, cost: u64) -> Call<Guest<'a>> {
    charge(caller, cost)?;
    let memory = caller.get_export("memory").and_then(Extern::into_memory).ok_or(Errno::Fault)?;
    let (memory, host) = memory.data_and_store_mut(caller);
    Ok(Guest { memory, wasi: &mut host.wasi })
}

impl Guest<'_> {
    fn bytes(&mut self, at: u32, length: u32) -> Call<&mut [u8]> {
        let (at, length) = (at as usize, length as usize);
        let end = at.checked_add(length).ok_or(Errno::Fault)?;
        Ok(self.memory.get_mut(at..end).ok_or(Errno::Fault)?)
    }

    fn read<const N: usize>(&self, at: u32) -> Call<[u8; N]> {
        let at = at as usize;
        let bytes = at.checked_add(N).and_then(|end| self.memory.get(at..end));
        Ok(bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(Errno::Fault)?)
    }

    fn write<const N: usize>(&mut self, at: u32, bytes: [u8; N]) -> Call {
        let length = u32::try_from(N).map_err(|_| Errno::Fault)?;
        self.bytes(at, length)?.copy_from_slice(&bytes);
        Ok(())
    }

    fn write_u32(&mut self, at: u32, value: u32) -> Call {
        self.write(at, value.to_le_bytes())
    }

    fn write_sizes(&mut self, count: usize, count_at: u32, bytes: usize, bytes_at: u32) -> Call {
        self.write_u32(count_at, u32::try_from(count).map_err(|_| Errno::Inval)?)?;
        self.write_u32(bytes_at, u32::try_from(bytes).map_err(|_| Errno::Inval)?)
    }

    /// Texts one after the other, and the list of where each begins.
    fn write_texts(&mut self, texts: &[Vec<u8>], pointers: u32, bytes_at: u32) -> Call {
        let (mut pointer, mut at) = (pointers, bytes_at);
        for text in texts {
            let length = u32::try_from(text.len()).map_err(|_| Errno::Inval)?;
            self.write_u32(pointer, at)?;
            self.bytes(at, length)?.copy_from_slice(text);
            pointer = offset(pointer, 1, 4)?;
            at = at.checked_add(length).ok_or(Errno::Fault)?;
        }
        Ok(())
    }

    /// Whether the descriptor is a file's or a directory's; `other` is for the streams.
    fn check_file(&self, fd: u32, other: Errno) -> Call {
        self.wasi.check_open(fd)?;
        if self.wasi.files.has(fd) { Ok(()) } else { Err(other.into()) }
    }

    /// Whether the descriptor is the root's.
    fn check_root(&self, fd: u32) -> Call {
        self.wasi.check_open(fd)?;
        if fd == files::FIRST && self.wasi.files.is_directory(fd) { Ok(()) } else { Err(Errno::Badf.into()) }
    }

    /// A path of the guest's, and what it may lead to.
    fn path(&mut self, at: u32, length: u32) -> Call<(&[u8], &mut Files)> {
        if length as usize > files::MAX_PATH {
            return Err(Errno::Nametoolong.into());
        }
        let end = at.checked_add(length).ok_or(Errno::Fault)?;
        let path = self.memory.get(at as usize..end as usize).ok_or(Errno::Fault)?;
        Ok((path, &mut self.wasi.files))
    }

    /// Where piece `index` of a vectored call lies.
    fn iovec(&self, iovecs: u32, index: u32) -> Call<(u32, u32)> {
        let at = offset(iovecs, index, IOVEC)?;
        let record: [u8; IOVEC as usize] = self.read(at)?;
        let [a, b, c, d, e, f, g, h] = record;
        Ok((u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])))
    }
}

/// Takes fuel for work done by the host.
fn charge(caller: &mut Caller<'_, Host>, cost: u64) -> Call {
    let fuel = caller.get_fuel()?;
    caller.set_fuel(fuel.saturating_sub(cost))?;
    if cost > fuel { Err(Failure::End(Trap::OutOfFuel.into())) } else { Ok(()) }
}

fn finish(result: Call) -> wasmtime::Result<i32> {
    match result {
        Ok(()) => Ok(0),
        Err(Failure::Errno(errno)) => Ok(errno as i32),
        Err(Failure::End(error)) => Err(error),
    }
}

fn offset(base: u32, index: u32, size: u32) -> Call<u32> {
    Ok(index.checked_mul(size).and_then(|offset| base.checked_add(offset)).ok_or(Errno::Fault)?)
}

/// The guest's monotonic clock: fuel burnt and time slept.
fn now(caller: &Caller<'_, Host>) -> Call<Duration> {
    let wasi = &caller.data().wasi;
    let burnt = wasi.fuel.saturating_sub(caller.get_fuel()?);
    Ok(wasi.rate.time(burnt).saturating_add(wasi.slept))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn args_sizes_get(caller: &mut Caller<'_, Host>, count_at: u32, bytes_at: u32) -> Call {
    let mut guest = enter(caller, FUEL_PER_CALL)?;
    let (count, bytes) = sizes(&guest.wasi.args);
    guest.write_sizes(count, count_at, bytes, bytes_at)
}

fn args_get(caller: &mut Caller<'_, Host>, pointers: u32, bytes_at: u32) -> Call {
    let (_, total) = sizes(&caller.data().wasi.args);
    let mut guest = enter(caller, FUEL_PER_CALL + FUEL_PER_BYTE * total as u64)?;
    let args = guest.wasi.args.clone();
    guest.write_texts(&args, pointers, bytes_at)
}

fn environ_sizes_get(caller: &mut Caller<'_, Host>, count_at: u32, bytes_at: u32) -> Call {
    let mut guest = enter(caller, FUEL_PER_CALL)?;
    let (count, bytes) = sizes(&guest.wasi.environment);
    guest.write_sizes(count, count_at, bytes, bytes_at)
}

fn environ_get(caller: &mut Caller<'_, Host>, pointers: u32, bytes_at: u32) -> Call {
    let (_, total) = sizes(&caller.data().wasi.environment);
    let mut guest = enter(caller, FUEL_PER_CALL + FUEL_PER_BYTE * total as u64)?;
    let environment = guest.wasi.environment.clone();
    guest.write_texts(&environment, pointers, bytes_at)
}

/// How many texts, and their bytes together.
fn sizes(texts: &[Vec<u8>]) -> (usize, usize) {
    (texts.len(), texts.iter().map(Vec::len).sum())
}

fn clock_res_get(caller: &mut Caller<'_, Host>, id: u32, at: u32) -> Call {
    if id > 3 {
        return Err(Errno::Inval.into());
    }
    enter(caller, FUEL_PER_CALL)?.write(at, 1_u64.to_le_bytes())
}

/// Clocks: 0 realtime, 1 monotonic, 2 and 3 CPU time of process and thread.
fn clock_time_get(caller: &mut Caller<'_, Host>, id: u32, at: u32) -> Call {
    let now = now(caller)?;
    let time = match id {
        0 => now + Duration::from_secs(START_OF_TIME),
        1 => now,
        2 | 3 => now.saturating_sub(caller.data().wasi.slept),
        _ => return Err(Errno::Inval.into()),
    };
    enter(caller, FUEL_PER_CALL)?.write(at, nanoseconds(time).to_le_bytes())
}

fn fd_read(caller: &mut Caller<'_, Host>, fd: u32, iovecs: u32, count: u32, read_at: u32) -> Call {
    let guest = enter(caller, FUEL_PER_CALL + FUEL_PER_PIECE * u64::from(count))?;
    guest.wasi.check_open(fd)?;
    let (content, from) = match fd {
        STDIN => (guest.wasi.stdin.clone(), guest.wasi.read as u64),
        STDOUT | STDERR => return Err(Errno::Badf.into()),
        _ => guest.wasi.files.content(fd)?,
    };
    let total = scatter(caller, (iovecs, count), left(&content, from), read_at)?;
    let wasi = &mut caller.data_mut().wasi;
    match fd {
        STDIN => wasi.read += total,
        _ => wasi.files.advance(fd, total),
    }
    Ok(())
}

fn fd_pread(
    caller: &mut Caller<'_, Host>,
    fd: u32,
    (iovecs, count): (u32, u32),
    from: u64,
    read_at: u32,
) -> Call {
    let guest = enter(caller, FUEL_PER_CALL + FUEL_PER_PIECE * u64::from(count))?;
    guest.check_file(fd, Errno::Spipe)?;
    let (content, _) = guest.wasi.files.content(fd)?;
    scatter(caller, (iovecs, count), left(&content, from), read_at).map(drop)
}

/// What of it lies behind a position.
fn left(content: &Lent, from: u64) -> &[u8] {
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    content.bytes().get(from..).unwrap_or_default()
}

/// Copies to the guest's pieces of memory as much as is there and fits, paid for before it is done; says how much.
fn scatter(
    caller: &mut Caller<'_, Host>,
    (iovecs, count): (u32, u32),
    bytes: &[u8],
    told_at: u32,
) -> Call<usize> {
    let mut guest = enter(caller, 0)?;
    let mut total = 0;
    for index in 0..count {
        let (at, length) = guest.iovec(iovecs, index)?;
        let taken = (bytes.len() - total).min(length as usize);
        guest.bytes(at, taken as u32)?;
        total += taken;
    }
    charge(caller, FUEL_PER_BYTE * total as u64)?;
    let mut guest = enter(caller, 0)?;
    let mut rest = &bytes[..total];
    for index in 0..count {
        let (at, length) = guest.iovec(iovecs, index)?;
        let (piece, after) = rest.split_at(rest.len().min(length as usize));
        guest.bytes(at, piece.len() as u32)?.copy_from_slice(piece);
        rest = after;
    }
    // The guest may have had a piece written over the list of pieces itself.
    let total = total - rest.len();
    guest.write_u32(told_at, u32::try_from(total).map_err(|_| Errno::Inval)?)?;
    Ok(total)
}

fn fd_seek(caller: &mut Caller<'_, Host>, fd: u32, by: i64, whence: u32, at: u32) -> Call {
    let mut guest = enter(caller, FUEL_PER_CALL)?;
    guest.check_file(fd, Errno::Spipe)?;
    let position = guest.wasi.files.seek(fd, by, whence)?;
    guest.write(at, position.to_le_bytes())
}

fn fd_prestat_get(caller: &mut Caller<'_, Host>, fd: u32, at: u32) -> Call {
    let mut guest = enter(caller, FUEL_PER_CALL)?;
    guest.check_root(fd)?;
    // The only kind there is, 0, and the length of the name.
    guest.write_u32(at, 0)?;
    guest.write_u32(offset(at, 1, 4)?, files::ROOT.len() as u32)
}

fn fd_prestat_dir_name(caller: &mut Caller<'_, Host>, fd: u32, at: u32, length: u32) -> Call {
    let mut guest = enter(caller, FUEL_PER_CALL)?;
    guest.check_root(fd)?;
    if (length as usize) < files::ROOT.len() {
        return Err(Errno::Nametoolong.into());
    }
    guest.bytes(at, files::ROOT.len() as u32)?.copy_from_slice(files::ROOT);
    Ok(())
}

fn path_open(
    caller: &mut Caller<'_, Host>,
    fd: u32,
    (at, length): (u32, u32),
    (flags, rights): (u32, u64),
    opened_at: u32,
) -> Call {
    let mut guest = enter_path(caller, fd, length)?;
    // So that nothing is opened whose number cannot be told.
    guest.write_u32(opened_at, 0)?;
    let (path, files) = guest.path(at, length)?;
    let opened = files.open(fd, path, flags, rights)?;
    guest.write_u32(opened_at, opened)
}

fn path_filestat_get(caller: &mut Caller<'_, Host>, fd: u32, (at, length): (u32, u32), to: u32) -> Call {
    let mut guest = enter_path(caller, fd, length)?;
    let (path, files) = guest.path(at, length)?;
    let record = files.record_at(fd, path)?;
    guest.write(to, record)
}

/// Nothing is a link.
fn path_readlink(caller: &mut Caller<'_, Host>, fd: u32, (at, length): (u32, u32)) -> Call {
    let mut guest = enter_path(caller, fd, length)?;
    let (path, files) = guest.path(at, length)?;
    files.record_at(fd, path)?;
    Err(Errno::Inval.into())
}

/// Pays for following a path: its bytes, as far as they are looked at, and a look at every name there is.
fn enter_path<'a>(caller: &'a mut Caller<'_, Host>, fd: u32, length: u32) -> Call<Guest<'a>> {
    let names = caller.data().wasi.files.count() as u64;
    let length = u64::from(length).min(files::MAX_PATH as u64);
    let cost = FUEL_PER_CALL + FUEL_PER_BYTE * length + FUEL_PER_PIECE * names;
    let guest = enter(caller, cost)?;
    guest.check_file(fd, Errno::Notcapable)?;
    Ok(guest)
}

/// Lists a directory; a record that does not fit whole is cut, which tells the guest that there is more.
fn fd_readdir(
    caller: &mut Caller<'_, Host>,
    fd: u32,
    (at, length): (u32, u32),
    from: u64,
    told_at: u32,
) -> Call {
    let guest = enter(caller, FUEL_PER_CALL)?;
    guest.check_file(fd, Errno::Notdir)?;
    let mut records = guest.wasi.files.list(fd, from)?;
    charge(caller, FUEL_PER_BYTE * records.len() as u64)?;
    records.truncate(length as usize);
    let used = records.len() as u32;
    let mut guest = enter(caller, 0)?;
    guest.bytes(at, used)?.copy_from_slice(&records);
    guest.write_u32(told_at, used)
}

fn fd_write(caller: &mut Caller<'_, Host>, fd: u32, iovecs: u32, count: u32, written_at: u32) -> Call {
    let mut guest = enter(caller, FUEL_PER_CALL + FUEL_PER_PIECE * u64::from(count))?;
    guest.wasi.check_open(fd)?;
    let stream = match fd {
        STDOUT => 0,
        STDERR => 1,
        _ => return Err(Errno::Badf.into()),
    };
    let mut total: u32 = 0;
    for index in 0..count {
        let (at, length) = guest.iovec(iovecs, index)?;
        total = total.checked_add(length).ok_or(Errno::Inval)?;
        let Guest { memory, wasi } = &mut guest;
        let end = (at as usize).checked_add(length as usize).ok_or(Errno::Fault)?;
        let bytes = memory.get(at as usize..end).ok_or(Errno::Fault)?;
        let room = wasi.output_limit - wasi.written[stream].len();
        wasi.written[stream].extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            return Err(Stop::Output.into());
        }
    }
    guest.write_u32(written_at, total)?;
    charge(caller, FUEL_PER_BYTE * u64::from(total))
}

fn fd_close(caller: &mut Caller<'_, Host>, fd: u32) -> Call {
    charge(caller, FUEL_PER_CALL)?;
    let wasi = &mut caller.data_mut().wasi;
    wasi.check_open(fd)?;
    match wasi.open.get_mut(fd as usize) {
        Some(open) => *open = false,
        None => wasi.files.close(fd),
    }
    Ok(())
}

/// A stream of unknown type (neither terminal nor file, so the C library buffers it whole) that can only be
/// read or written.
fn fd_fdstat_get(caller: &mut Caller<'_, Host>, fd: u32, at: u32) -> Call {
    const RIGHT_READ: u64 = 1 << 1;
    const RIGHT_WRITE: u64 = 1 << 6;
    const RIGHT_POLL: u64 = 1 << 27;
    let mut guest = enter(caller, FUEL_PER_CALL)?;
    guest.wasi.check_open(fd)?;
    if guest.wasi.files.has(fd) {
        let record = guest.wasi.files.status(fd);
        return guest.write(at, record);
    }
    let rights = RIGHT_POLL | if fd == STDIN { RIGHT_READ } else { RIGHT_WRITE };
    let mut record = [0; 24];
    record[8..16].copy_from_slice(&rights.to_le_bytes());
    guest.write(at, record)
}

fn fd_filestat_get(caller: &mut Caller<'_, Host>, fd: u32, at: u32) -> Call {
    let mut guest = enter(caller, FUEL_PER_CALL)?;
    guest.wasi.check_open(fd)?;
    if guest.wasi.files.has(fd) {
        let record = guest.wasi.files.record(fd)?;
        return guest.write(at, record);
    }
    let mut record = [0; 64];
    record[8..16].copy_from_slice(&u64::from(fd).to_le_bytes()); // inode
    record[24..32].copy_from_slice(&1_u64.to_le_bytes()); // links
    guest.write(at, record)
}

fn proc_raise(signal: i32) -> Call {
    // 0 means "no signal"; 1 to 15 are numbered as on Linux.
    match signal {
        0 => Ok(()),
        1..=15 => Err(Stop::Raise(signal).into()),
        _ => Err(Errno::Inval.into()),
    }
}

fn random_get(caller: &mut Caller<'_, Host>, at: u32, length: u32) -> Call {
    let mut guest = enter(caller, FUEL_PER_CALL + FUEL_PER_RANDOM_BYTE * u64::from(length))?;
    guest.bytes(at, length)?;
    let Guest { memory, wasi } = &mut guest;
    wasi.random.fill(&mut memory[at as usize..at as usize + length as usize]);
    Ok(())
}

/// A hash in counter mode: not for secrets, but the same on every machine and for every run of one input.
#[derive(Debug)]
struct Random {
    seed: [u8; 32],
    block: [u8; 32],
    next: u64,
}

impl Random {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            let place = (self.next % 32) as usize;
            if place == 0 {
                let counter = (self.next / 32).to_le_bytes();
                self.block = Sha256::new().chain_update(self.seed).chain_update(counter).finalize().into();
            }
            *byte = self.block[place];
            self.next += 1;
        }
    }
}

/// One subscription of `poll_oneoff`, and when or how it is ready.
struct Subscription {
    userdata: [u8; 8],
    kind: u8,
    ready: Ready,
}

enum Ready {
    At(Duration),
    Now { bytes: u64, hangup: bool },
    Failed(Errno),
}

/// Answers at once: streams are always ready, and when only clocks are asked for, the guest's clock moves to
/// the earliest of them.
fn poll_oneoff(caller: &mut Caller<'_, Host>, from: u32, to: u32, count: u32, stored_at: u32) -> Call {
    if count == 0 {
        return Err(Errno::Inval.into());
    }
    charge(caller, FUEL_PER_CALL + FUEL_PER_PIECE * u64::from(count))?;
    let start = now(caller)?;
    let mut guest = enter(caller, 0)?;
    let mut earliest: Option<Duration> = None;
    for index in 0..count {
        let due = match subscription(&guest, offset(from, index, SUBSCRIPTION)?, start)?.ready {
            Ready::At(due) => due,
            Ready::Now { .. } | Ready::Failed(_) => start,
        };
        earliest = Some(earliest.map_or(due, |earliest| earliest.min(due)));
    }
    let wake = earliest.unwrap_or(start).max(start);
    guest.wasi.slept = guest.wasi.slept.saturating_add(wake - start);
    if guest.wasi.slept > guest.wasi.sleep_limit {
        return Err(Stop::Slept.into());
    }
    let mut stored = 0;
    for index in 0..count {
        let subscription = subscription(&guest, offset(from, index, SUBSCRIPTION)?, start)?;
        let due = !matches!(subscription.ready, Ready::At(due) if due > wake);
        if due {
            let at = offset(to, stored, EVENT)?;
            guest.write(at, event(&subscription))?;
            stored += 1;
        }
    }
    guest.write_u32(stored_at, stored)
}

/// Reads a subscription; clocks are told in the guest's monotonic time.
fn subscription(guest: &Guest<'_>, at: u32, now: Duration) -> Call<Subscription> {
    let record: [u8; SUBSCRIPTION as usize] = guest.read(at)?;
    let u64_at = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| record[at + i]));
    let u32_at = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| record[at + i]));
    let kind = record[8];
    let fd = u32_at(16);
    let wasi = &guest.wasi;
    let left = (wasi.stdin.bytes().len() - wasi.read) as u64;
    let open = wasi.check_open(fd).is_ok();
    let ready = match kind {
        0 => clock_due(u32_at(16), u64_at(24), record[40] & 1 == 1, now),
        1 if open && fd == STDIN => Ready::Now { bytes: left, hangup: left == 0 },
        2 if open && (fd == STDOUT || fd == STDERR) => Ready::Now { bytes: 1 << 16, hangup: false },
        1 | 2 => Ready::Failed(Errno::Badf),
        _ => return Err(Errno::Inval.into()),
    };
    Ok(Subscription { userdata: std::array::from_fn(|i| record[i]), kind, ready })
}

fn clock_due(id: u32, timeout: u64, absolute: bool, now: Duration) -> Ready {
    let timeout = Duration::from_nanos(timeout);
    match (id, absolute) {
        (0 | 1, false) => Ready::At(now.saturating_add(timeout)),
        (0, true) => Ready::At(timeout.saturating_sub(Duration::from_secs(START_OF_TIME))),
        (1, true) => Ready::At(timeout),
        _ => Ready::Failed(Errno::Inval),
    }
}

fn event(subscription: &Subscription) -> [u8; EVENT as usize] {
    let mut record = [0; EVENT as usize];
    record[..8].copy_from_slice(&subscription.userdata);
    record[10] = subscription.kind;
    match subscription.ready {
        Ready::Failed(errno) => record[8..10].copy_from_slice(&(errno as u16).to_le_bytes()),
        Ready::Now { bytes, hangup } => {
            record[16..24].copy_from_slice(&bytes.to_le_bytes());
            record[24] = u8::from(hangup);
        }
        Ready::At(_) => {}
    }
    record
}
