//! Extraction, whatever the text: no panic, nothing invented, and time that grows with the length.

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
