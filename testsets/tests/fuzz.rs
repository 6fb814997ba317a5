//! Every loader on files that somebody broke: it never panics, says what is wrong in one line, takes time that grows with
//! the file, and memory that does not.
//!
//! A harness per file in `corpus/` cuts its rows up, joins them with others', swells numbers and nesting, also inside of what is
//! packed, and reads the result under every format. `ASSAY_FUZZ_SECONDS` gives each harness so much time instead of
//! its usual executions; `.ci/long` gives three minutes. A failure names its seed, which makes the same file again.

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use assay_testsets::{Format, LoadError, Problem, load, load_completions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use libtest_mimic::{Arguments, Failed, Trial};
use tempfile::NamedTempFile;

#[cfg(feature = "parquet")]
#[path = "parquet/writer.rs"]
mod writer;

/// Executions of a harness by default.
const USUAL: u64 = 1_000;
/// No file here is a megabyte; a loader that needs this long has gone wrong on the busiest machine.
const TOO_LONG: Duration = Duration::from_secs(120);
const ROLE: &str = "__bomb";

fn main() -> ExitCode {
    let process: Vec<String> = std::env::args().collect();
    if let [_, role, name] = process.as_slice()
        && role == ROLE
    {
        let bomb = HEAVY.iter().find(|(known, ..)| known == name).expect("a bomb");
        read_bomb(&bomb.1(), bomb.2);
        return ExitCode::SUCCESS;
    }
    let mut trials: Vec<Trial> = corpus()
        .into_iter()
        .map(|file| {
            let name = file.file_name().expect("a name").to_string_lossy().into_owned();
            Trial::test(format!("fuzz_{name}"), move || harness(&file))
        })
        .collect();
    trials.push(Trial::test("fuzz_kattis", packages));
    #[cfg(feature = "parquet")]
    trials.push(Trial::test("fuzz_parquet", parquet));
    trials.push(Trial::test("every_format_has_a_corpus", every_format));
    trials.push(Trial::test("time_grows_with_the_length", light_bombs));
    if std::env::var_os("ASSAY_LONG").is_some() {
        trials.extend(HEAVY.iter().map(|(name, ..)| Trial::test(*name, || in_a_small_process(name))));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn corpus() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).expect("the corpus");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files
}

/// Each file is what its name says, so that no loader is left out.
fn every_format() -> Result<(), Failed> {
    let packages = load(&folder().join("kattis"), None)?;
    if packages.format() != Format::Kattis || packages.count() != 3 {
        return Err("the packages are not taken for such".into());
    }
    for format in Format::ALL.into_iter().filter(|format| *format != Format::Kattis) {
        let file = folder().join(format!("{}.jsonl", format.name()));
        let problems = load(&file, None)?;
        if problems.format() != format {
            return Err(format!("{} is taken for {}", file.display(), problems.format().name()).into());
        }
        problems.collect::<Result<Vec<_>, LoadError>>()?;
    }
    for name in ["completions.jsonl", "completions.json"] {
        load_completions(&folder().join(name))?;
    }
    Ok(())
}

fn harness(seeds: &Path) -> Result<(), Failed> {
    let own = std::fs::read(seeds)?;
    let others: Vec<Vec<u8>> = corpus().iter().map(std::fs::read).collect::<Result<_, _>>()?;
    fuzz(&seeds.display().to_string(), |random| mutant(random, &own, &others))
}

/// Packages as archives: a file of one changed inside, or the archive itself.
fn packages() -> Result<(), Failed> {
    let root = folder().join("kattis");
    let mut seeds = Vec::new();
    for package in std::fs::read_dir(&root)? {
        let mut files = Vec::new();
        collect(&package?.path(), &root, &mut files)?;
        seeds.push(files);
    }
    seeds.sort();
    let others: Vec<Vec<u8>> = seeds.iter().flatten().map(|(_, bytes)| bytes.clone()).collect();
    fuzz("kattis", |random| {
        let mut files = seeds[random.below(seeds.len())].clone();
        for _ in 0..random.below(3) {
            let at = random.below(files.len());
            mutate(random, &mut files[at].1, &others);
        }
        if random.below(4) == 0 {
            files.swap_remove(random.below(files.len()));
        }
        let mut bytes = zip(&files, random.below(2) == 0);
        for _ in 0..[0, 0, 1, 2][random.below(4)] {
            mutate(random, &mut bytes, &others);
        }
        bytes
    })
}

/// The corpus as parquet files, with the bytes of one changed: in its pages, or in what it says of them.
#[cfg(feature = "parquet")]
fn parquet() -> Result<(), Failed> {
    use ::parquet::basic::{Compression, ZstdLevel};
    let ways = [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())];
    let mut seeds = Vec::new();
    for path in corpus().iter().filter(|path| path.extension().is_some_and(|ending| ending == "jsonl")) {
        let text = std::fs::read_to_string(path)?;
        let rows: Vec<_> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        seeds.extend(ways.map(|way| writer::parquet(&rows, way, 2)));
    }
    // What the library says of damage it asserts not to be there is no finding, and much.
    std::panic::set_hook(Box::new(|_| {}));
    let found = fuzz("parquet", |random| {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..1 + random.below(3) {
            match random.below(3) {
                0 => mutate(random, &mut bytes, &seeds),
                // Lengths are kept, or nothing behind them would be read.
                _ => {
                    let at = 4 + random.below(bytes.len().saturating_sub(12));
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << random.below(8);
                    }
                }
            }
        }
        bytes
    });
    drop(std::panic::take_hook());
    found
}

fn collect(folder: &Path, root: &Path, files: &mut Vec<(String, Vec<u8>)>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.strip_prefix(root) {
            Ok(name) if path.is_file() => files.push((name.display().to_string(), std::fs::read(&path)?)),
            _ => collect(&path, root, files)?,
        }
    }
    files.sort();
    Ok(())
}

/// Files made of seeds, until there were enough; the first that is read badly is told.
fn fuzz(name: &str, make: impl Fn(&mut Random) -> Vec<u8>) -> Result<(), Failed> {
    let seconds = std::env::var("ASSAY_FUZZ_SECONDS").ok().and_then(|asked| asked.parse().ok());
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let from = std::env::var("ASSAY_FUZZ_SEED").ok().and_then(|asked| asked.parse().ok()).unwrap_or(0);
    let (mut seed, mut good) = (from, 0);
    let file = NamedTempFile::new()?;
    while until.map_or(seed < from + USUAL, |until| Instant::now() < until) {
        let bytes = make(&mut Random::of(seed));
        std::fs::write(file.path(), &bytes)?;
        let started = Instant::now();
        let read = catch_unwind(AssertUnwindSafe(|| read(file.path())));
        let blame = |what: String| {
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).into_owned();
            Failed::from(format!("seed {seed} of {name}: {what}\n{text}"))
        };
        good += read.map_err(|_| blame("a panic".to_owned()))?.map_err(blame)?;
        if started.elapsed() > TOO_LONG {
            return Err(blame(format!("{} bytes took {:.0?}", bytes.len(), started.elapsed())));
        }
        seed += 1;
    }
    println!("{name}: {} files, {good} problems read", seed - from);
    Ok(())
}

/// Reads a file as everything it could be; how many problems were in it, or what should not be.
fn read(path: &Path) -> Result<u64, String> {
    read_as(path, std::iter::once(None).chain(Format::ALL.map(Some)))
}

fn read_as(path: &Path, formats: impl Iterator<Item = Option<Format>>) -> Result<u64, String> {
    let mut good = 0;
    for format in formats {
        match load(path, format) {
            Ok(problems) => {
                for problem in problems {
                    match problem {
                        Ok(problem) => good += comes_back(&problem)?,
                        Err(error) => in_one_line(&error)?,
                    }
                }
            }
            Err(error) => in_one_line(&error)?,
        }
    }
    if let Err(error) = load_completions(path) {
        in_one_line(&error)?;
    }
    Ok(good)
}

/// What was read can be said in our own form.
fn comes_back(problem: &Problem) -> Result<u64, String> {
    match Problem::from_json(&problem.to_json()) {
        Ok(again) if again == *problem => Ok(1),
        other => Err(format!("{problem:?}\ncame back as {other:?}")),
    }
}

fn in_one_line(error: &LoadError) -> Result<(), String> {
    let text = error.to_string();
    let whole = text.contains("expected ") && text.contains(", found ") && text.contains("; ");
    match whole && !text.contains('\n') && text.len() < 1000 {
        true => Ok(()),
        false => Err(format!("a message that helps nobody: {text:?}")),
    }
}

/// A small generator: a failure names its seed and can be repeated.
struct Random(u64);

impl Random {
    fn of(seed: u64) -> Random {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d);
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 11) as usize % n.max(1)
    }

    /// A piece of some bytes, mostly short.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let from = self.below(length + 1);
        let most = if self.below(4) == 0 { length - from } else { (length - from).min(24) };
        from..from + self.below(most + 1)
    }
}

const TOKENS: [&str; 40] = [
    "[",
    "]",
    "{",
    "}",
    "\"",
    "\\",
    ",",
    ":",
    "\n",
    "\r\n",
    "null",
    "true",
    "1e999",
    "-0",
    "1.50",
    "18446744073709551616",
    "NaN",
    "\"\"",
    "[]",
    "{}",
    "{\"a\":1}",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "\u{e9}",
    "\u{0}",
    "()",
    "'",
    "\"fn_name\":\"f\"",
    "\"inputs\"",
    "\"outputs\"",
    "\"metadata\":{}",
    "\"func_name\"",
    "assert f(1) == 2",
    "#### 1",
    "\"id\":1",
    "1e-320",
    "=",
    "\"type\":\"stdin\"",
    "Error",
];

fn mutant(random: &mut Random, own: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = own.to_vec();
    if random.below(3) == 0 {
        bytes = inside_what_is_packed(random, &bytes, others);
    }
    for _ in 0..random.below(5) {
        mutate(random, &mut bytes, others);
    }
    match random.below(12) {
        0 => packed(random, gzip(&bytes), others),
        1 => packed(random, zstd(&bytes), others),
        _ => bytes,
    }
}

fn packed(random: &mut Random, mut bytes: Vec<u8>, others: &[Vec<u8>]) -> Vec<u8> {
    if random.below(2) == 0 {
        mutate(random, &mut bytes, others);
    }
    bytes
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
    let range = random.range(bytes.len());
    let piece: Vec<u8> = match random.below(8) {
        0 => Vec::new(),
        1 => bytes[range.clone()].repeat(2 + random.below(3)),
        2 => TOKENS[random.below(TOKENS.len())].into(),
        3 => vec![random.next() as u8],
        4 => {
            let other = &others[random.below(others.len())];
            other[random.range(other.len())].to_vec()
        }
        // Deep or long, but never a megabyte.
        5 => TOKENS[random.below(TOKENS.len())].repeat(1 << random.below(14)).into(),
        6 => {
            let depth = 1 << random.below(14);
            [b"[".repeat(depth), b"1".to_vec(), b"]".repeat(depth)].concat()
        }
        _ => bytes[range.clone()].iter().map(|byte| byte ^ (1 << random.below(8))).collect(),
    };
    bytes.splice(range, piece);
}

/// The same file with other bytes inside one of its packed fields, packed well.
fn inside_what_is_packed(random: &mut Random, bytes: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let fields: Vec<&str> = text.split('"').filter(|field| field.starts_with("eJ")).collect();
    if fields.is_empty() {
        return bytes.to_owned();
    }
    let field = fields[random.below(fields.len())];
    let mut inside = Vec::new();
    let squeezed = STANDARD.decode(field).expect("the corpus is whole");
    ZlibDecoder::new(squeezed.as_slice()).read_to_end(&mut inside).expect("the corpus is whole");
    for _ in 0..1 + random.below(2) {
        mutate(random, &mut inside, others);
    }
    text.replace(field, &STANDARD.encode(zlib(&inside))).into_bytes()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// An archive as zip programs make it.
fn zip(files: &[(String, Vec<u8>)], deflate: bool) -> Vec<u8> {
    let (mut bytes, mut list) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let mut crc = flate2::Crc::new();
        crc.update(text);
        let packed = if deflate { deflated(text) } else { text.clone() };
        let length = |n: usize| u32::try_from(n).expect("a small file").to_le_bytes();
        let method = if deflate { [8, 0] } else { [0, 0] };
        let sums = [crc.sum().to_le_bytes(), length(packed.len()), length(text.len())].concat();
        let name_length = u16::try_from(name.len()).expect("a short name").to_le_bytes();
        let at = length(bytes.len());
        for part in
            [b"PK\x01\x02\x14\0\x14\0\0\0".as_slice(), &method, &[0; 4], &sums, &name_length, &[0; 12], &at]
        {
            list.extend_from_slice(part);
        }
        list.extend_from_slice(name.as_bytes());
        for part in [b"PK\x03\x04\x14\0\0\0".as_slice(), &method, &[0; 4], &sums, &name_length, &[0; 2]] {
            bytes.extend_from_slice(part);
        }
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&packed);
    }
    let count = u16::try_from(files.len()).expect("a few files").to_le_bytes();
    let place =
        [list.len(), bytes.len()].map(|n| u32::try_from(n).expect("a small archive").to_le_bytes()).concat();
    let end = [b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &place, &[0; 2]].concat();
    [bytes, list, end].concat()
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}

/// Text that is one thing over and over, where a scan that goes back would take hours.
fn light_bombs() -> Result<(), Failed> {
    const N: usize = 1 << 19;
    let nest = |open: &str, close: &str| format!("{}1{}", open.repeat(N), close.repeat(N));
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let keys: String = (0..N / 8).map(|n| format!("\"k{n}\": 1, ")).collect();
    let inputs =
        |inputs: &str| format!("{{\"input_output\": {{\"inputs\": [{inputs}], \"outputs\": [\"1\"]}}}}");
    let literal = |text: &str| {
        let test = format!("{{\"input\": \"x = 1\", \"output\": {}}}", quoted(text));
        format!("{{\"entry_point\": \"f\", \"input_output\": [{test}]}}")
    };
    let pickle = [b"\x80\x04X\x02\0\0\0[]".as_slice(), &b"\x94q\0".repeat(N), b"."].concat();
    let lcb =
        |private: &str| format!("{{\"question_id\": \"q\", \"private_test_cases\": {}}}", quoted(private));
    let rows = [
        ("an open list", "[".repeat(N)),
        ("open objects", "{\"a\":".repeat(N)),
        ("a deep row", format!("{{\"answer\": {}}}", nest("[", "]"))),
        ("a deep test", inputs(&nest("[", "]"))),
        ("many keys", format!("{{{keys}\"answer\": \"1\"}}")),
        ("many bad rows", "{}\n".repeat(N / 8)),
        ("many commas", format!("[{}]", ",".repeat(N / 8))),
        ("backslashes", format!("{{\"answer\": {}}}", quoted(&"\\".repeat(N)))),
        ("a deep literal", literal(&nest("[", "]"))),
        ("a deep tuple", literal(&nest("(", ",)"))),
        ("a long number", literal(&"1_".repeat(N))),
        ("a long text", literal(&format!("'{}'", "\\x41".repeat(N)))),
        ("signs", literal(&"-".repeat(N))),
        ("marks of an answer", format!("{{\"problem\": \"p\", \"answer\": {}}}", quoted(&"#### ".repeat(N)))),
        ("blank base64", lcb(&" ".repeat(N))),
        ("a long pickle", lcb(&STANDARD.encode(zlib(&pickle)))),
        ("deep tests", lcb(&nest("[", "]"))),
        ("assertions", format!("{{\"test_list\": [{}]}}", quoted(&"assert f(1) == 2\n".repeat(N / 8)))),
        (
            "a deep assertion",
            format!("{{\"test_list\": [{}]}}", quoted(&format!("assert f({}) == 2", nest("(", ")")))),
        ),
        ("an open assertion", format!("{{\"test_list\": [{}]}}", quoted(&"assert f(".repeat(N / 8)))),
    ];
    let file = NamedTempFile::new()?;
    for (name, text) in rows {
        std::fs::write(file.path(), &text)?;
        let started = Instant::now();
        read_as(file.path(), std::iter::once(None)).map_err(|what| format!("{name}: {what}"))?;
        println!("{name}: {} bytes in {:.1?}", text.len(), started.elapsed());
        if started.elapsed() > TOO_LONG {
            return Err(format!("{name}: {} bytes took {:.0?}", text.len(), started.elapsed()).into());
        }
    }
    Ok(())
}

type Heavy = (&'static str, fn() -> Vec<u8>, &'static str);

/// Small files that would be many gigabytes, at the real caps, and what is said of them.
const HEAVY: [Heavy; 3] = [
    ("a_gzip_bomb_needs_no_memory", gzip_bomb, "a record of at most"),
    ("a_zstd_bomb_needs_no_memory", zstd_bomb, "a record of at most"),
    ("a_zlib_bomb_needs_no_memory", zlib_bomb, "once decompressed"),
];

const PIECE: usize = 64 << 20;

fn gzip_bomb() -> Vec<u8> {
    [gzip(b"{\"answer\": \""), gzip(&vec![b'1'; PIECE]).repeat(64)].concat()
}

fn zstd_bomb() -> Vec<u8> {
    [zstd(b"{\"answer\": \""), zstd(&vec![b'1'; PIECE]).repeat(64)].concat()
}

/// The pickle of one long text, which says its length and is blank: the reader of pieces waits for the list to begin. What is no
/// pickle it refuses at its first byte, and that bomb had ceased to be one.
fn zlib_bomb() -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    let length = 20 * PIECE as u64;
    let head = [b"\x80\x04\x8d".as_slice(), &length.to_le_bytes()].concat();
    for piece in std::iter::once(head).chain(std::iter::repeat_n(vec![b' '; PIECE], 20)) {
        encoder.write_all(&piece).expect("memory does not fail");
    }
    let packed = STANDARD.encode(encoder.finish().expect("memory does not fail"));
    format!("{{\"question_id\": \"q\", \"private_test_cases\": \"{packed}\"}}").into_bytes()
}

fn read_bomb(bytes: &[u8], says: &str) {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("room for it");
    let problems = load(file.path(), None).and_then(Iterator::collect::<Result<Vec<_>, LoadError>>);
    let error = problems.expect_err("a bomb").to_string();
    assert!(error.contains(says), "{error}");
}

/// A process that may have 4 GiB of addresses in all: what a record may have, unpacked, and as much again while its
/// buffers grow.
fn in_a_small_process(name: &str) -> Result<(), Failed> {
    let own = std::env::current_exe()?;
    let limited = "ulimit -v 4194304 && exec \"$@\"";
    let output = Command::new("sh").args(["-c", limited, "sh"]).arg(own).args([ROLE, name]).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into()),
    }
}
