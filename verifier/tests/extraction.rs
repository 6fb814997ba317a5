//! Extraction, whatever the text: no panic, nothing invented, and time that grows with the length.
//!
//! The texts in `completions/` are cut up and joined at random; `ASSAY_FUZZ_SECONDS` asks for so much time of that instead
//! of the usual executions, and `.ci/long` for three minutes.

use std::time::{Duration, Instant};

use assay_sandbox::Language;
use assay_verifier::Extraction;
use proptest::prelude::*;

/// Text made of what the modes look for, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("```"),
        Just("````"),
        Just("`"),
        Just("python"),
        Just("cpp"),
        Just("py"),
        Just("\n"),
        Just("\r\n"),
        Just(" "),
        Just("\t"),
        Just("<think>"),
        Just("</think>"),
        Just("</think"),
        Just("PYTHON]"),
        Just("x = 1"),
        Just("\u{e9}"),
        Just("\u{1f600}"),
        Just("```python\n"),
        Just("\n```\n"),
        Just("#"),
        Just("{"),
        Just("~~~"),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn languages() -> [Option<Language>; 3] {
    [None, Some(Language::Python3), Some(Language::Cpp17)]
}

/// Every line of the program stands in the completion, and nobody but `whole` and `verl` finds one without a fence.
fn check(completion: &str) -> Result<(), TestCaseError> {
    for mode in Extraction::ALL {
        for language in languages() {
            let Some((program, _)) = mode.program(completion, language) else { continue };
            prop_assert!(program.len() <= completion.len(), "{mode:?} {completion:?}");
            for line in program.split('\n') {
                prop_assert!(completion.contains(line), "{mode:?} invents {line:?} in {completion:?}");
            }
            let needs_fence = !matches!(mode, Extraction::Whole | Extraction::Verl);
            prop_assert!(!needs_fence || completion.contains("```"), "{mode:?} {completion:?}");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn pieces_of_fences(completion in pieces()) {
        check(&completion)?;
    }

    #[test]
    fn any_text(completion in ".{0,200}") {
        check(&completion)?;
    }

    /// A plain answer is found by everybody.
    #[test]
    fn a_plain_fence_is_found(code in "[a-z =()]{1,40}(\n[a-z =()]{0,40}){0,5}") {
        let completion = format!("<think>hm</think>So:\n```python\n{code}\n```\n");
        for mode in Extraction::ALL.into_iter().filter(|mode| *mode != Extraction::Whole) {
            let found = mode.program(&completion, Some(Language::Python3)).map(|(program, _)| program);
            prop_assert_eq!(found.as_deref().map(str::trim), Some(code.trim()), "{:?}", mode);
        }
    }
}

#[test]
fn mutants_of_completions() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/completions");
    let files = std::fs::read_dir(folder).expect("the completions").map(|file| file.expect("a file").path());
    let mut seeds: Vec<String> = files.map(|file| std::fs::read_to_string(file).expect("a text")).collect();
    seeds.sort();
    let seconds = std::env::var("ASSAY_FUZZ_SECONDS").ok().and_then(|asked| asked.parse().ok());
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let (mut seed, mut found) = (0_u64, 0_u64);
    while until.map_or(seed < 20_000, |until| Instant::now() < until) {
        let text = mutant(seed, &seeds);
        if let Err(error) = check(&text) {
            panic!("seed {seed}: {error}");
        }
        found += u64::from(Extraction::LastFence.program(&text, None).is_some());
        seed += 1;
    }
    println!("{seed} completions, a program in {found}");
    assert!(found > 0 && found < seed);
}

/// One of the texts with pieces taken out, put in, doubled or brought from another.
fn mutant(seed: u64, seeds: &[String]) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d;
    let mut below = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % n.max(1)
    };
    let marks = [
        "```", "`", "\n", "\r", "<think>", "</think>", "python", " ", "\t", "{", "\u{e9}", "\u{2028}", "~~~",
    ];
    let mut text = seeds[below(seeds.len())].clone();
    for _ in 0..1 + below(6) {
        let at = text.ceil_char_boundary(below(text.len() + 1));
        let end = text.ceil_char_boundary((at + below(40)).min(text.len()));
        let piece = match below(5) {
            0 => String::new(),
            1 => text[at..end].repeat(2),
            2 => marks[below(marks.len())].repeat(1 + below(5)),
            3 => marks[below(marks.len())].to_owned(),
            _ => {
                let other = &seeds[below(seeds.len())];
                let from = other.ceil_char_boundary(below(other.len() + 1));
                other[from..other.ceil_char_boundary((from + below(60)).min(other.len()))].to_owned()
            }
        };
        text.replace_range(at..end, &piece);
    }
    text
}

/// Quadratic scans would take minutes for these; the bound is far from what a busy machine needs.
#[test]
fn time_grows_with_the_length() {
    let rows = [
        "```",
        "```a",
        "```python\n",
        "``` ```\n",
        "`",
        "<think>",
        "</think>```\n",
        "````\n```\n",
        "a",
        "\n",
    ];
    for row in rows {
        let completion = row.repeat((4 << 20) / row.len());
        let started = Instant::now();
        for mode in Extraction::ALL {
            let _program = mode.program(&completion, None);
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{row:?} took {:?}", started.elapsed());
    }
}
