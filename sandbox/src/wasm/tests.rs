//! Modules in text form, one row each; no toolchain needed.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use proptest::prelude::*;

use super::budget::TABLE_ELEMENTS;
use super::compiler::leb128;
use super::{Compiler, Rate, Refusal, Room, Runtime, Settings, Shelf, Task, on_own_stack};
use crate::sys::lend;
use crate::{InputFile, Limits, Outcome, Termination};

const SMALL: Limits =
    Limits { cpu_time: Duration::from_millis(200), memory: 1 << 20, output: 1000, ..Limits::DEFAULT };

/// A WASI command: the imports most rows use, 64 KiB of memory, and `body` in `_start`. The first 16 bytes of
/// memory are scratch, `data` lies at 1024.
fn command(body: &str, data: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (import "wasi_snapshot_preview1" "proc_raise" (func $raise (param i32) (result i32)))
            (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_seek" (func $seek (param i32 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_open"
                (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (table $table 1 funcref)
            (type $nothing (func))
            (data (i32.const 1024) "{data}")
            (func $recurse (call $recurse))
            (func $again (return_call $again))
            ;; Writes bytes at..at+length to fd and leaves the error number.
            (func $print (param $fd i32) (param $at i32) (param $length i32) (result i32)
                (i32.store (i32.const 0) (local.get $at))
                (i32.store (i32.const 4) (local.get $length))
                (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
            ;; Ends the program with the error number as exit code.
            (func (export "_start") {body}))"#
    );
    wat::parse_str(text).unwrap()
}

const SETTINGS: Settings = Settings { slots: 4, rate: Rate::DEFAULT, compiler: Compiler::Here };

/// One engine for all rows.
fn engine() -> &'static Runtime {
    static ENGINE: OnceLock<Runtime> = OnceLock::new();
    ENGINE.get_or_init(|| Runtime::in_room(Room::Pooled, SETTINGS).unwrap())
}

fn run(module: &[u8], args: &[String], stdin: &[u8], limits: &Limits) -> Result<Outcome, Refusal> {
    let prepared = engine().prepare(module, &Limits::COMPILE).unwrap()?;
    Ok(engine().run(&prepared, &Task { args, stdin, ..Task::new(limits) }).unwrap())
}

fn go(module: &[u8], stdin: &str, limits: &Limits) -> Outcome {
    run(module, &[], stdin.as_bytes(), limits).unwrap()
}

#[test]
fn every_end_has_its_termination() {
    use Termination::*;
    let grow = "(memory.grow (i32.const 100))";
    let locals =
        format!("(call $deep) (return) ) (func $deep (local {}) (call $deep)", "i64 ".repeat(40_000));
    let rows: [(&str, &str, Termination); 32] = [
        ("returns", "", Exited(0)),
        ("exits with 0", "(call $exit (i32.const 0))", Exited(0)),
        ("exits with 7", "(call $exit (i32.const 7))", Exited(7)),
        ("abort", "unreachable", Signaled(libc::SIGILL)),
        ("raises SIGABRT", "(drop (call $raise (i32.const 6)))", Signaled(6)),
        ("raises an unknown signal", "(call $exit (call $raise (i32.const 99)))", Exited(28)),
        ("divides by zero", "(drop (i32.div_s (i32.const 1) (i32.const 0)))", Signaled(libc::SIGFPE)),
        ("overflows", "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", Signaled(libc::SIGFPE)),
        ("converts a NaN", "(drop (i32.trunc_f32_s (f32.const nan)))", Signaled(libc::SIGFPE)),
        ("reads outside", "(drop (i32.load (i32.const 0x7fffffff)))", Signaled(libc::SIGSEGV)),
        ("writes outside", "(i32.store (i32.const -4) (i32.const 1))", Signaled(libc::SIGSEGV)),
        ("calls null", "(call_indirect (type $nothing) (i32.const 0))", Signaled(libc::SIGSEGV)),
        ("calls outside the table", "(call_indirect (type $nothing) (i32.const 9))", Signaled(libc::SIGSEGV)),
        ("recurses for ever", "(call $recurse)", Signaled(libc::SIGSEGV)),
        ("recurses with forty thousand locals", &locals, Signaled(libc::SIGSEGV)),
        ("loops for ever", "(loop $l (br $l))", CpuTimeLimit),
        ("calls itself in place for ever", "(return_call $again)", CpuTimeLimit),
        ("fills for ever", "(loop $l (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536)) (br $l))", CpuTimeLimit),
        ("randomises for ever", "(loop $l (drop (call $random (i32.const 0) (i32.const 65536))) (br $l))", CpuTimeLimit),
        ("calls for ever", "(loop $l (drop (call $close (i32.const 9))) (br $l))", CpuTimeLimit),
        ("writes empty pieces for ever", "(memory.fill (i32.const 0) (i32.const 0) (i32.const 65536))
            (loop $l (drop (call $write (i32.const 1) (i32.const 0) (i32.const 8000) (i32.const 0))) (br $l))", CpuTimeLimit),
        ("grows and lives with the refusal", &format!("(drop {grow})"), Exited(0)),
        ("grows and traps on the refusal", &format!("(if (i32.eq {grow} (i32.const -1)) (then unreachable))"), MemoryLimit),
        ("grows and exits with 1", &format!("(if (i32.eq {grow} (i32.const -1)) (then (call $exit (i32.const 1))))"), MemoryLimit),
        ("grows, then loops", &format!("(drop {grow}) (loop $l (br $l))"), CpuTimeLimit),
        ("grows within the limit", "(if (i32.eq (memory.grow (i32.const 15)) (i32.const -1)) (then unreachable))", MemoryLimit),
        ("grows just to the limit", "(if (i32.eq (memory.grow (i32.const 14)) (i32.const -1)) (then unreachable))", Exited(0)),
        ("grows a table", "(drop (table.grow (ref.null func) (i32.const 10000000))) unreachable", MemoryLimit),
        ("pays for a table by the element", "(drop (table.grow (ref.null func) (i32.const 0x7fffffff))) unreachable", CpuTimeLimit),
        ("prints 1000 bytes", "(call $exit (call $print (i32.const 1) (i32.const 1024) (i32.const 1000)))", Exited(0)),
        ("prints 1001 bytes", "(call $exit (call $print (i32.const 1) (i32.const 1024) (i32.const 1001)))", OutputLimit),
        ("prints 1001 bytes to stderr", "(call $exit (call $print (i32.const 2) (i32.const 1024) (i32.const 1001)))", OutputLimit),
    ];
    for (name, body, expected) in rows {
        let outcome = go(&command(body, ""), "", &SMALL);
        assert_eq!(outcome.termination, expected, "{name}");
        assert!(outcome.stdout.len() <= 1000 && outcome.stderr.len() <= 1000, "{name}");
        assert!(outcome.usage.cpu_time <= SMALL.cpu_time, "{name}");
        assert!((65536..=1 << 20).contains(&outcome.usage.peak_memory), "{name}");
    }
}

/// The doctor once showed a machine without WebAssembly: its probe was the empty module, which no run accepts.
#[test]
fn the_engine_examines_itself() {
    engine().examine().unwrap();
}

#[test]
fn a_memory_too_large_from_the_start_is_the_memory_limit() {
    let rows = [
        r#"(module (memory (export "memory") 17) (func (export "_start")))"#,
        r#"(module (table 1000000 funcref) (func (export "_start")))"#,
    ];
    for text in rows {
        let outcome = go(&wat::parse_str(text).unwrap(), "", &SMALL);
        assert_eq!(outcome.termination, Termination::MemoryLimit, "{text}");
    }
}

/// A slot of the pool has room for so large a table and no larger one; nor is there more elsewhere.
#[test]
fn the_largest_table_is_the_same_in_either_room() {
    let limits = Limits { cpu_time: Duration::from_secs(1), memory: 1 << 30, ..SMALL };
    for room in [Room::Pooled, Room::Tight] {
        let engine = Runtime::in_room(room, SETTINGS).unwrap();
        for (more, expected) in
            [(TABLE_ELEMENTS - 1, Termination::Exited(0)), (TABLE_ELEMENTS, Termination::MemoryLimit)]
        {
            let body = format!(
                "(if (i32.eq (table.grow (ref.null func) (i32.const {more})) (i32.const -1)) (then unreachable))"
            );
            let module = engine.prepare(&command(&body, ""), &SMALL).unwrap().unwrap();
            assert_eq!(engine.run(&module, &Task::new(&limits)).unwrap().termination, expected, "{room:?}");
        }
    }
}

#[test]
fn a_refusal_by_the_modules_own_maximum_is_not_ours() {
    let text = r#"(module (memory (export "memory") 1 2)
        (func (export "_start") (drop (memory.grow (i32.const 100))) unreachable))"#;
    let outcome = go(&wat::parse_str(text).unwrap(), "", &SMALL);
    assert_eq!(outcome.termination, Termination::Signaled(libc::SIGILL));
}

#[test]
fn a_start_function_is_run_under_the_same_limits() {
    let rows = [
        ("(loop $l (br $l))", Termination::CpuTimeLimit),
        ("unreachable", Termination::Signaled(libc::SIGILL)),
    ];
    for (body, expected) in rows {
        let text = format!(r#"(module (func $s {body}) (start $s) (func (export "_start")))"#);
        assert_eq!(go(&wat::parse_str(text).unwrap(), "", &SMALL).termination, expected, "{body}");
    }
}

#[test]
fn streams_carry_bytes() {
    // Copies stdin to stdout in pieces of at most 7 bytes, then says so on stderr.
    let copy = command(
        r#"(block $end (loop $next
            (i32.store (i32.const 0) (i32.const 2048)) (i32.store (i32.const 4) (i32.const 7))
            (br_if $end (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
            (br_if $end (i32.eqz (i32.load (i32.const 8))))
            (drop (call $print (i32.const 1) (i32.const 2048) (i32.load (i32.const 8))))
            (br $next)))
        (drop (call $print (i32.const 2) (i32.const 1024) (i32.const 5)))"#,
        r"done\n",
    );
    for stdin in ["", "x", "1 2 3\n", &"0123456789".repeat(100)] {
        let outcome = go(&copy, stdin, &SMALL);
        assert_eq!(outcome.termination, Termination::Exited(0));
        assert_eq!(outcome.stdout, stdin.as_bytes());
        assert_eq!(outcome.stderr, b"done\n");
    }
}

#[test]
fn what_is_not_there_is_refused_with_its_error() {
    let rows = [
        (
            "a closed stream",
            "(drop (call $close (i32.const 1))) (call $exit (call $print (i32.const 1) (i32.const 0) (i32.const 1)))",
            8,
        ),
        (
            "a stranger's descriptor",
            "(call $exit (call $print (i32.const 3) (i32.const 0) (i32.const 1)))",
            8,
        ),
        ("writing to stdin", "(call $exit (call $print (i32.const 0) (i32.const 0) (i32.const 1)))", 8),
        ("seeking", "(call $exit (call $seek (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0)))", 70),
        ("a preopened directory", "(call $exit (call $prestat (i32.const 3) (i32.const 0)))", 8),
        (
            "opening by a stranger",
            "(call $exit (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0)
            (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 0)))",
            8,
        ),
        (
            "opening by a stream",
            "(call $exit (call $open (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0)
            (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 0)))",
            76,
        ),
        (
            "bytes outside memory",
            "(call $exit (call $print (i32.const 1) (i32.const 65530) (i32.const 7)))",
            21,
        ),
        (
            "bytes at the end of memory",
            "(call $exit (call $print (i32.const 1) (i32.const 65530) (i32.const 6)))",
            0,
        ),
        (
            "no subscriptions",
            "(call $exit (call $poll (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))",
            28,
        ),
        ("an unknown clock", "(call $exit (call $clock (i32.const 9) (i64.const 0) (i32.const 0)))", 28),
    ];
    for (name, body, errno) in rows {
        let outcome = go(&command(body, ""), "", &SMALL);
        assert_eq!(outcome.termination, Termination::Exited(errno), "{name}");
    }
}

#[test]
fn arguments_arrive() {
    let body = "(drop (call $args_sizes (i32.const 16) (i32.const 20)))
        (drop (call $args (i32.const 32) (i32.const 2048)))
        (drop (call $print (i32.const 1) (i32.load (i32.const 36)) (i32.sub (i32.load (i32.const 20)) (i32.const 8))))
        (call $exit (i32.load (i32.const 16)))";
    let args = ["one".to_owned(), "two words".to_owned()];
    let outcome = run(&command(body, ""), &args, b"", &SMALL).unwrap();
    assert_eq!(outcome.termination, Termination::Exited(3));
    assert_eq!(outcome.stdout, b"one\0two words\0");
}

/// Sleeps `ns` by `poll_oneoff` on the monotonic clock, then prints the clock.
fn sleeper(ns: u64) -> Vec<u8> {
    let body = format!(
        "(i32.store (i32.const 2048) (i32.const 42))
        (i32.store (i32.const 2064) (i32.const 1))
        (i64.store (i32.const 2072) (i64.const {ns}))
        (drop (call $poll (i32.const 2048) (i32.const 4096) (i32.const 1) (i32.const 16)))
        (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 3000)))
        (drop (call $print (i32.const 1) (i32.const 3000) (i32.const 8)))
        (drop (call $print (i32.const 1) (i32.const 4096) (i32.const 1)))
        (call $exit (i32.load (i32.const 16)))"
    );
    command(&body, "")
}

#[test]
fn sleeping_moves_the_guests_clock_and_counts_as_wall_time() {
    let outcome = go(&sleeper(3_000_000_000), "", &SMALL);
    assert_eq!(outcome.termination, Termination::Exited(1), "one event");
    let slept = u64::from_le_bytes(outcome.stdout[..8].try_into().unwrap());
    assert!((3_000_000_000..3_100_000_000).contains(&slept), "{slept}");
    assert_eq!(outcome.stdout[8], 42, "the event carries its userdata");
    assert!(outcome.usage.wall_time >= Duration::from_secs(3));
    assert_eq!(outcome.stdout, go(&sleeper(3_000_000_000), "", &SMALL).stdout, "the clock repeats");
    assert_eq!(go(&sleeper(u64::MAX), "", &SMALL).termination, Termination::WallTimeLimit);
}

#[test]
fn random_bytes_follow_from_the_input() {
    let random = command(
        "(drop (call $random (i32.const 2048) (i32.const 100)))
        (call $exit (call $print (i32.const 1) (i32.const 2048) (i32.const 100)))",
        "",
    );
    let first = go(&random, "a", &SMALL).stdout;
    assert_eq!(first, go(&random, "a", &SMALL).stdout);
    assert_ne!(first, go(&random, "b", &SMALL).stdout);
    assert_ne!(first[..32], first[32..64]);
    assert_ne!(first, run(&random, &["x".to_owned()], b"a", &SMALL).unwrap().stdout);
}

#[test]
fn fuel_is_exact_and_repeats() {
    let body = "(local $i i32) (loop $l
        (i32.store (i32.const 64) (local.get $i))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $i) (i32.const 1000000))))";
    let module = command(body, "");
    let first = go(&module, "", &SMALL);
    assert_eq!(first.termination, Termination::Exited(0));
    // Neighbours that keep every core busy change nothing.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let again = go(&module, "", &SMALL);
                    assert_eq!(again.usage.cpu_time, first.usage.cpu_time);
                    assert_eq!(again.usage.peak_memory, 65536 + 8);
                }
            });
        }
    });
    // The limit is the use to the unit: so much is enough, a thousandth of a percent less is not.
    let exact = Limits { cpu_time: first.usage.cpu_time, ..SMALL };
    assert_eq!(go(&module, "", &exact).termination, Termination::Exited(0));
    let less = Limits { cpu_time: first.usage.cpu_time.mul_f64(0.99999), ..SMALL };
    assert_eq!(go(&module, "", &less).termination, Termination::CpuTimeLimit);
}

/// Programs that end in every way there is, with the fuel of each: the same in twenty runs, on a busy machine, in either
/// room, in a slot of the pool that others have used.
#[test]
fn every_end_repeats_to_the_unit() {
    let limits = Limits { cpu_time: Duration::from_millis(5), ..SMALL };
    let tight = Runtime::in_room(Room::Tight, SETTINGS).unwrap();
    let spin = "(local $i i32) (loop $l (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (i32.store (i32.const 64) (local.get $i)) (br_if $l (i32.lt_u (local.get $i) (i32.const 20000))))";
    let ends = [
        "",
        "(call $exit (i32.const 3))",
        "unreachable",
        "(drop (i32.div_s (i32.const 1) (i32.load (i32.const 128))))",
        "(drop (i32.load (i32.const 0x7fffffff)))",
        "(call $recurse)",
        "(loop $l (br $l))",
        "(loop $l (drop (call $random (i32.const 0) (i32.const 65536))) (br $l))",
        "(if (i32.eq (memory.grow (i32.const 100)) (i32.const -1)) (then unreachable))",
        "(if (i32.eq (memory.grow (i32.const 65536)) (i32.const -1)) (then unreachable))",
        "(loop $l (drop (call $print (i32.const 1) (i32.const 1024) (i32.const 100))) (br $l))",
    ];
    for end in ends {
        let module = command(&format!("{spin} {end}"), "");
        let [pooled, tight] = [engine(), &tight].map(|engine| (engine, engine.prepare(&module, &SMALL)));
        let facts = |(engine, prepared): &(&Runtime, super::Compiled)| {
            let prepared = prepared.as_ref().unwrap().as_ref().unwrap();
            let outcome = engine.run(prepared, &Task::new(&limits)).unwrap();
            (outcome.termination, outcome.usage.fuel, outcome.usage.peak_memory, outcome.stdout)
        };
        let first = facts(&pooled);
        std::thread::scope(|scope| {
            for place in [&pooled, &pooled, &tight, &tight] {
                scope.spawn(|| (0..10).for_each(|_| assert_eq!(facts(place), first, "{end}")));
            }
        });
    }
}

/// One slot, so that the second program gets the first one's memory: none of what was there may be left.
#[test]
fn a_slot_of_the_pool_comes_back_empty() {
    let engine = Runtime::in_room(Room::Pooled, Settings { slots: 1, ..SETTINGS }).unwrap();
    let image = format!(r#"(data (i32.const 65536) "{}")"#, "image".repeat(1000));
    let module = |memory: &str, body: &str| {
        let text = format!(
            r#"(module (memory (export "memory") {memory}) (func (export "_start") (local $i i32) {body}))"#
        );
        let module = wat::parse_str(text).unwrap();
        engine.prepare(&module, &Limits::COMPILE).unwrap().unwrap()
    };
    let leave = module(
        &format!("20) {image} (table $t 100 funcref"),
        "(memory.fill (i32.const 0) (i32.const 0xa5) (i32.const 1310720))",
    );
    // Traps where a byte is not zero.
    let search = module(
        "20",
        "(loop $l (if (i64.ne (i64.load (local.get $i)) (i64.const 0)) (then unreachable))
            (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 8))) (i32.const 1310720))))",
    );
    let limits = Limits { memory: 2 << 20, ..SMALL };
    for _ in 0..5 {
        for program in [&leave, &search] {
            let outcome = engine.run(program, &Task::new(&limits)).unwrap();
            assert_eq!(outcome.termination, Termination::Exited(0));
        }
    }
}

/// More callers than slots: they wait for each other, none is refused.
#[test]
fn runs_wait_for_a_slot() {
    let engine = Runtime::in_room(Room::Pooled, Settings { slots: 2, ..SETTINGS }).unwrap();
    let module =
        engine.prepare(&command("(drop (memory.grow (i32.const 10)))", ""), &SMALL).unwrap().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let outcome = engine.run(&module, &Task::new(&SMALL)).unwrap();
                    assert_eq!(outcome.termination, Termination::Exited(0));
                }
            });
        }
    });
}

#[test]
fn a_module_is_compiled_once() {
    let module = command("(drop (i32.const 4711))", "");
    let [first, second] = [0, 1].map(|_| engine().prepare(&module, &SMALL).unwrap().unwrap());
    assert!(std::sync::Arc::ptr_eq(&first, &second));
}

/// The user's own module is compiled once for all processes, and again where what was kept is no machine code of ours.
#[test]
fn a_kept_module_runs_as_a_compiled_one() {
    let place = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(place.path().into());
    let module = command("(call $exit (i32.const 3))", "");
    let go = || {
        let engine = Runtime::in_room(Room::Pooled, SETTINGS).unwrap();
        let prepared = engine.prepare_own(&module, &Limits::COMPILE, Some(&shelf)).unwrap().unwrap();
        let outcome = engine.run(&prepared, &Task::new(&SMALL)).unwrap();
        (outcome.termination, outcome.usage.fuel)
    };
    let files = || place.path().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let first = go();
    assert_eq!((first.0, go()), (Termination::Exited(3), first));
    let [file] = &files()[..] else { panic!("{:?}", files()) };
    let kept = fs::read(file).unwrap();
    shelf.keep(file.file_name().unwrap().to_str().unwrap(), b"of another engine").unwrap();
    assert_eq!(go(), first);
    assert_eq!((files().len(), fs::read(file).unwrap()), (1, kept));
}

#[test]
fn fuel_and_time_convert() {
    let rate = Rate(3_000_000);
    assert_eq!(rate.fuel(Duration::from_secs(2)), 6_000_000);
    assert_eq!(rate.time(rate.fuel(Duration::from_millis(1500))), Duration::from_millis(1500));
    assert_eq!(rate.fuel(Duration::MAX), i64::MAX.cast_unsigned());
    assert_eq!(
        go(&command("(loop $l (br $l))", ""), "", &Limits { cpu_time: Duration::ZERO, ..SMALL }).termination,
        Termination::CpuTimeLimit
    );
}

#[test]
fn modules_that_are_none_are_refused_with_a_reason() {
    let long = format!(r#"(module (func (export "_start") {}))"#, "(drop (i32.const 0)) ".repeat(90_000));
    let many = format!("(module {})", format!("(func {})", "(drop (i32.const 0))".repeat(30_000)).repeat(9));
    let rows: [(Vec<u8>, &str); 12] = [
        (b"".to_vec(), "binary form"),
        (br#"(module (func (export "_start")))"#.to_vec(), "binary form"),
        (b"\x7fELF".to_vec(), "binary form"),
        (b"\0asm\x01\0\0\0\xff\xff".to_vec(), "failed to parse"),
        (b"\0asm\x0d\0\x01\0".to_vec(), "component"),
        (wat::parse_str("(module)").unwrap(), "no function `_start`"),
        (wat::parse_str(r#"(module (func (export "_start") (param i32)))"#).unwrap(), "no function `_start`"),
        (
            wat::parse_str(r#"(module (import "env" "system" (func)) (func (export "_start")))"#).unwrap(),
            "env::system",
        ),
        (wat::parse_str(long).unwrap(), "a function of 270"),
        (wat::parse_str(many).unwrap(), "too many long functions"),
        (
            wat::parse_str(format!(r#"(module {} (func (export "_start")))"#, "(table 1 funcref)".repeat(5)))
                .unwrap(),
            "table",
        ),
        (
            wat::parse_str(r#"(module (memory 65537) (func (export "_start")))"#).unwrap_or_default(),
            "memory size",
        ),
    ];
    for (module, reason) in rows {
        let refusal = run(&module, &[], b"", &SMALL).unwrap_err();
        assert!(refusal.message.contains(reason), "{refusal:?} should say {reason:?}");
        assert_eq!(refusal.termination, Termination::Exited(1));
    }
}

/// All of WASI preview 1 with its signatures (`i` 32 bits, `l` 64 bits), written down once more on purpose.
const PREVIEW_1: [(&str, &str); 45] = [
    ("args_get", "ii"),
    ("args_sizes_get", "ii"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "ili"),
    ("fd_advise", "illi"),
    ("fd_allocate", "ill"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "ill"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "il"),
    ("fd_filestat_set_times", "illi"),
    ("fd_pread", "iiili"),
    ("fd_prestat_get", "ii"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_pwrite", "iiili"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiili"),
    ("fd_renumber", "ii"),
    ("fd_seek", "ilii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiilli"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiillii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("poll_oneoff", "iiii"),
    ("proc_raise", "i"),
    ("random_get", "ii"),
    ("sched_yield", ""),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
];

/// One module per parameter value: calls all of preview 1 with that value everywhere, and once without a
/// memory.
#[test]
fn no_pointer_or_length_hurts_the_host() {
    let values: [i64; 10] = [-1, 0, 1, 2, 3, 8, 65535, 65536, 0x7fff_fff8, i64::MIN];
    for memory in [r#"(memory (export "memory") 1)"#, ""] {
        for value in values {
            let mut imports = String::new();
            let mut calls = String::new();
            for (name, letters) in PREVIEW_1 {
                let types: String = letters.chars().map(|c| if c == 'l' { " i64" } else { " i32" }).collect();
                imports += &format!(
                    r#"(import "wasi_snapshot_preview1" "{name}" (func ${name} (param{types}) (result i32)))"#
                );
                let parameter = |c| match c {
                    'l' => format!(" (i64.const {value})"),
                    _ => format!(" (i32.const {})", value as i32),
                };
                let parameters: String = letters.chars().map(parameter).collect();
                if name != "proc_raise" {
                    calls += &format!("(drop (call ${name} {parameters}))");
                }
            }
            let text = format!(r#"(module {imports} {memory} (func (export "_start") {calls}))"#);
            let prepared =
                engine().prepare(&wat::parse_str(text).unwrap(), &Limits::COMPILE).unwrap().unwrap();
            for files in [None, Some(&[InputFile { name: "a", bytes: b"bytes" }][..])] {
                let task = Task { stdin: b"input", files, ..Task::new(&SMALL) };
                let outcome = engine().run(&prepared, &task).unwrap();
                let fine = [Termination::Exited(0), Termination::CpuTimeLimit, Termination::OutputLimit];
                assert!(fine.contains(&outcome.termination), "{value}: {:?}", outcome.termination);
            }
        }
    }
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn what_fuel_misprices_is_stopped_by_the_backstop() {
    let module = command("(loop $l (br $l))", "");
    let prepared = engine().prepare(&module, &Limits::COMPILE).unwrap().unwrap();
    let limits = Limits { cpu_time: Duration::from_secs(1_000_000), ..SMALL };
    let _place = engine().gate.enter();
    let task = Task::new(&limits);
    let run = || lend(&[b""], |lent| engine().run_here(&prepared, &task, &lent, Duration::from_millis(50)));
    assert_eq!(on_own_stack(run).unwrap().unwrap().termination, Termination::WallTimeLimit);
}

/// Alone in a process of its own: other tests must not be in the figure.
#[test]
fn a_thousand_runs_leave_memory_flat() {
    const ALONE: &str = "WASM_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let arguments = ["--exact", "wasm::tests::a_thousand_runs_leave_memory_flat"];
        let mut again = Command::new(std::env::current_exe().unwrap());
        let output = again.args(arguments).env(ALONE, "1").output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}");
        return;
    }
    let module = command(
        "(drop (memory.grow (i32.const 10)))
        (memory.fill (i32.const 0) (i32.const 1) (i32.const 700000))
        (call $exit (call $print (i32.const 1) (i32.const 1024) (i32.const 1000)))",
        "",
    );
    let stdin = "x".repeat(100_000);
    let hundred = || (0..100).for_each(|_| drop(go(&module, &stdin, &SMALL)));
    hundred();
    let before = resident();
    (0..10).for_each(|_| hundred());
    let grown = resident().saturating_sub(before);
    // One leaked run in a hundred would already be 8 MB.
    assert!(grown < 6 << 20, "{grown} bytes more after a thousand runs");
}

#[test]
fn lengths_are_read_as_the_format_says() {
    let rows: [(&[u8], Option<usize>); 5] = [
        (&[5], Some(5)),
        (&[0x80, 1], Some(128)),
        (&[0xff, 0xff, 0xff, 0xff, 0x0f], Some(u32::MAX as usize)),
        (&[0x80, 0x80, 0x80, 0x80, 0x80, 1], None),
        (&[], None),
    ];
    for (bytes, value) in rows {
        assert_eq!(leb128(bytes).map(|(value, _)| value), value, "{bytes:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), magic in any::<bool>()) {
        let module = if magic { [b"\0asm\x01\0\0\0", &bytes[..]].concat() } else { bytes };
        let _ = run(&module, &[], b"", &SMALL);
    }

    /// A few bytes of a real module changed: most still parse, and none may end in our failure.
    #[test]
    fn a_damaged_module_is_refused_or_ends(
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        stdin in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        let mut module = sleeper(1000);
        for (index, byte) in damage {
            let index = index.index(module.len());
            module[index] = byte;
        }
        let limits = Limits { cpu_time: Duration::from_millis(5), ..SMALL };
        let _ = run(&module, &[], &stdin, &limits);
    }
}
