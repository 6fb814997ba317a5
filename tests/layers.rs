//! What must stay true of the house as a whole: its arrows, its licences, where `unsafe` may live, what
//! stands at the top level. Each rule is data; each test says which rule broke and where.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Room -> rooms it may name. Arrows only point down, and sideways arrows do not exist.
const ARROWS: [(&str, &[&str]); 5] = [
    ("assay-sandbox", &[]),
    ("assay-testsets", &[]),
    ("assay-verifier", &["assay-sandbox", "assay-testsets"]),
    ("assay-learner", &["assay-testsets", "assay-verifier"]),
    ("assay", &["assay-sandbox"]),
];

/// Foreign crate -> the only rooms that may name it. Async, tensors and walls each have one floor; the learner asks the system
/// for its cores and no more. Tests may use more: they send signals and make requests.
const FENCES: [(&str, &[&str]); 9] = [
    ("tokio", &["assay-verifier", "assay-learner"]),
    ("axum", &["assay-verifier", "assay-learner"]),
    ("reqwest", &["assay-verifier", "assay-learner"]),
    ("evalexpr", &["assay-verifier"]),
    ("candle-core", &["assay-learner"]),
    ("cudarc", &["assay-learner"]),
    ("wasmtime", &["assay-sandbox"]),
    ("seccompiler", &["assay-sandbox"]),
    ("nix", &["assay-sandbox", "assay-learner"]),
];

/// The only files that may say `unsafe`.
const UNSAFE_FILES: [&str; 3] = ["sandbox/src/sys.rs", "learner/src/gemm.rs", "learner/src/cuda/gpu.rs"];

/// Everything that may stand at the top level beside dotfiles.
const TOP_LEVEL: [&str; 10] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "learner",
    "sandbox",
    "tests",
    "testsets",
    "verifier",
];

/// Licences whose terms a permissive project can take in.
const PERMISSIVE: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

#[test]
fn arrows_point_down() {
    let allowed: BTreeMap<_, _> = ARROWS.into_iter().collect();
    let metadata = metadata();
    let mut broken = Vec::new();
    for package in workspace_packages(&metadata) {
        let name = text(package, "name");
        let may =
            allowed.get(name).unwrap_or_else(|| panic!("package {name} is not in ARROWS: give it a floor"));
        for dependency in array(package, "dependencies") {
            let other = text(dependency, "name");
            if allowed.contains_key(other) && !may.contains(&other) {
                broken.push(format!("{name} -> {other}"));
            }
        }
    }
    assert!(broken.is_empty(), "arrows that point up or sideways: {broken:?}");
}

#[test]
fn foreign_crates_stay_behind_their_fences() {
    let metadata = metadata();
    let mut broken = Vec::new();
    for package in workspace_packages(&metadata) {
        let name = text(package, "name");
        for dependency in array(package, "dependencies").iter().filter(|d| d["kind"] != "dev") {
            let other = text(dependency, "name");
            let fence = FENCES.iter().find(|(krate, _)| *krate == other);
            if fence.is_some_and(|(_, rooms)| !rooms.contains(&name)) {
                broken.push(format!("{name} names {other}"));
            }
        }
    }
    assert!(broken.is_empty(), "crates outside their room: {broken:?}");
}

#[test]
fn licences_are_permissive() {
    // What features bring is fetched where they are built, and in CI; elsewhere there is nothing to read of it.
    let metadata = metadata_with(&["--all-features"]).unwrap_or_else(|_| metadata());
    let used: BTreeSet<&str> =
        array(&metadata["resolve"], "nodes").iter().map(|node| text(node, "id")).collect();
    let mut refused = Vec::new();
    for package in array(&metadata, "packages").iter().filter(|p| used.contains(text(p, "id"))) {
        let licence = package["license"].as_str().unwrap_or("");
        if !permissive(licence) {
            refused.push(format!("{} {}: `{licence}`", text(package, "name"), text(package, "version")));
        }
    }
    assert!(used.len() > 100, "the resolved graph is suspiciously small: {}", used.len());
    assert!(refused.is_empty(), "licences to look at: {refused:#?}");
}

#[test]
fn licence_expressions_are_read_right() {
    let rows = [
        ("MIT", true),
        ("MIT OR Apache-2.0", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0-only OR MIT", true),
        ("GPL-3.0-only", false),
        ("AGPL-3.0-only", false),
        ("MIT AND GPL-3.0-only", false),
        ("(MIT OR GPL-2.0) AND Unicode-3.0", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", true),
        ("LGPL-3.0-or-later", false),
        ("", false),
    ];
    for (expression, expected) in rows {
        assert_eq!(permissive(expression), expected, "{expression:?}");
    }
}

#[test]
fn evalexpr_stays_on_its_last_mit_line() {
    let metadata = metadata();
    for package in array(&metadata, "packages").iter().filter(|p| p["name"] == "evalexpr") {
        assert!(text(package, "version").starts_with("11."), "evalexpr 12 and later are AGPL");
        assert_eq!(package["license"], "MIT");
    }
}

#[test]
fn unsafe_lives_in_named_files_only() {
    let mut found = Vec::new();
    for file in sources() {
        let path = relative(&file);
        let text = fs::read_to_string(&file).expect("source files are UTF-8");
        let says_unsafe = text.lines().any(|line| {
            let code = line.split("//").next().unwrap_or("");
            ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "allow(unsafe_code"]
                .iter()
                .any(|form| code.contains(form))
        });
        if says_unsafe && !UNSAFE_FILES.contains(&path.as_str()) && path != "tests/layers.rs" {
            found.push(path);
        }
    }
    assert!(found.is_empty(), "unsafe outside {UNSAFE_FILES:?}: {found:?}");
}

#[test]
fn every_unsafe_block_has_its_safety_line() {
    for path in UNSAFE_FILES {
        let Ok(text) = fs::read_to_string(root().join(path)) else { continue };
        let blocks = text.lines().filter(|line| line.contains("unsafe {")).count();
        let lines = text.lines().filter(|line| line.contains("SAFETY:")).count();
        assert!(lines >= blocks, "{path}: {blocks} unsafe blocks, {lines} SAFETY lines");
    }
}

#[test]
fn sources_are_ascii() {
    let odd: Vec<_> = sources()
        .into_iter()
        .filter(|file| !fs::read(file).expect("readable").is_ascii())
        .map(|file| relative(&file))
        .collect();
    assert!(odd.is_empty(), "write other characters as escapes: {odd:?}");
}

#[test]
fn top_level_holds_only_the_house() {
    let strangers: Vec<_> = fs::read_dir(root())
        .expect("the root is readable")
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && name != "target" && name != "runs")
        .filter(|name| !TOP_LEVEL.contains(&name.as_str()))
        .collect();
    assert!(strangers.is_empty(), "not part of the house: {strangers:?}");
}

#[test]
fn readme_names_every_design_page() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    for room in ["sandbox", "testsets", "verifier", "learner"] {
        let page = format!("{room}/DESIGN.md");
        assert!(root().join(&page).is_file(), "{page} is missing");
        assert!(readme.contains(&page), "README.md does not name {page}");
    }
}

/// The README once named a file that had been split long before.
#[test]
fn pages_link_to_what_is_there() {
    let rooms = ["learner", "sandbox", "testsets", "verifier"];
    let mut pages = vec![root().join("README.md")];
    rooms.iter().for_each(|room| walk(&root().join(room), "md", &mut pages));
    let mut broken = Vec::new();
    for page in &pages {
        let text = fs::read_to_string(page).expect("pages are UTF-8");
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let folder = page.parent().expect("a page lies in a folder");
        let is_path = |target: &&str| !target.is_empty() && !target.contains(":") && !target.contains(' ');
        broken.extend(
            targets
                .filter(is_path)
                .filter(|target| !folder.join(target).exists())
                .map(|target| format!("{} -> {target}", relative(page))),
        );
    }
    assert!(pages.len() > 4, "where are the pages?");
    assert!(broken.is_empty(), "links that lead nowhere: {broken:?}");
}

/// True if the SPDX expression can be satisfied with permissive licences alone. `/` is the old `OR`.
fn permissive(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    !tokens.is_empty() && any_of(&tokens, &mut at) && at == tokens.len()
}

fn any_of(tokens: &[&str], at: &mut usize) -> bool {
    let mut holds = all_of(tokens, at);
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        holds |= all_of(tokens, at);
    }
    holds
}

fn all_of(tokens: &[&str], at: &mut usize) -> bool {
    let mut holds = one(tokens, at);
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        holds &= one(tokens, at);
    }
    holds
}

fn one(tokens: &[&str], at: &mut usize) -> bool {
    if tokens.get(*at) == Some(&"(") {
        *at += 1;
        let holds = any_of(tokens, at);
        *at += 1;
        return holds;
    }
    let Some(name) = tokens.get(*at) else { return false };
    *at += 1;
    let mut licence = (*name).to_owned();
    if tokens.get(*at) == Some(&"WITH") {
        licence = format!("{licence} WITH {}", tokens.get(*at + 1).unwrap_or(&""));
        *at += 2;
    }
    PERMISSIVE.contains(&licence.as_str())
}

fn metadata() -> Value {
    metadata_with(&[]).unwrap_or_else(|error| panic!("cargo metadata: {error}"))
}

fn metadata_with(features: &[&str]) -> Result<Value, String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .args(features)
        .current_dir(root())
        .output()
        .expect("cargo runs");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON"))
}

fn workspace_packages(metadata: &Value) -> Vec<&Value> {
    let members: BTreeSet<&str> =
        array(metadata, "workspace_members").iter().map(|id| id.as_str().expect("an id")).collect();
    let packages: Vec<_> =
        array(metadata, "packages").iter().filter(|p| members.contains(text(p, "id"))).collect();
    assert_eq!(packages.len(), ARROWS.len(), "a package came or went: update ARROWS");
    packages
}

/// Every Rust file of the house.
fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for room in ["learner", "sandbox", "tests", "testsets", "verifier"] {
        walk(&root().join(room), "rs", &mut files);
    }
    assert!(files.len() > 5, "no sources found under {}", root().display());
    files
}

/// The files below a folder with this ending.
fn walk(folder: &Path, ending: &str, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.map(|entry| entry.expect("entry").path()) {
        if entry.is_dir() && entry.file_name().is_some_and(|name| name != "target") {
            walk(&entry, ending, files);
        } else if entry.extension().is_some_and(|extension| extension == ending) {
            files.push(entry);
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn relative(file: &Path) -> String {
    file.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("`{key}` is not a string in {value}"))
}

fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("`{key}` is not an array"))
}
