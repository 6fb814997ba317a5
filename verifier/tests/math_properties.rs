//! The checker on random input: it never panics, knows an answer from its neighbour, and agrees with floats.

use assay_verifier::math::{Gold, MathProfile, MathResult, MathVerdict, Prediction, grade};
use proptest::prelude::*;

fn compare(gold: &str, answer: &str) -> Option<MathResult> {
    let profile = MathProfile::STRICT;
    Gold::parse(gold, &profile).ok().map(|gold| grade(&gold, Prediction::Answer(answer), &profile))
}

fn verdict(gold: &str, answer: &str) -> MathVerdict {
    compare(gold, answer).unwrap_or_else(|| panic!("{gold:?} is a readable gold")).verdict
}

/// Pieces of LaTeX, plain text and rubbish.
fn fragment() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "\\frac",
        "\\sqrt",
        "\\sqrt[",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "\\{",
        "\\}",
        "|",
        "^",
        "_",
        "+",
        "-",
        "*",
        "/",
        "!",
        "=",
        "<",
        ">",
        "\\le",
        "\\ne",
        ",",
        ";",
        ":",
        "'",
        "%",
        "\\%",
        "$",
        "\\$",
        "&",
        "\\\\",
        "\\pi",
        "e",
        "i",
        "x",
        "y",
        "xy",
        "f",
        "\\sin",
        "\\ln",
        "\\log",
        "\\log_",
        "\\infty",
        "\\cup",
        "\\pm",
        "\\in",
        "\\text{",
        "\\text{or}",
        "\\text{ cm}",
        "or",
        "and",
        "\\begin{pmatrix}",
        "\\end{pmatrix}",
        "\\begin{cases}",
        "\\end{cases}",
        "\\left",
        "\\right",
        "\\overline{",
        "^\\circ",
        "\\binom",
        "\\lfloor",
        "\\rfloor",
        "\\boxed{",
        "</think>",
        "<think>",
        " ",
        "\\,",
        "\\!",
        "{,}",
        "0",
        "1",
        "2",
        "3",
        "12",
        "999",
        "0.5",
        "1e9",
        "e9",
        "\u{200b}",
        "\u{2212}",
        "\u{b2}",
        "\u{221a}",
        "\u{bd}",
        "\u{430}",
        "\u{1d7d9}",
        "...",
        "\\ldots",
        "\\approx",
        "\\mathrm{",
        "\\mathbf{",
        "\\",
        "\n",
        "\t",
        "#",
        "@",
        "\"",
        "\\'",
        "\u{e9}",
    ])
    .prop_map(str::to_owned);
    prop_oneof![8 => fixed, 1 => "\\PC{0,6}", 1 => "[0-9]{1,40}"]
}

fn soup() -> impl Strategy<Value = String> {
    prop::collection::vec(fragment(), 0..24).prop_map(|parts| parts.concat())
}

/// An expression, the same for evalexpr with all numbers as floats, and its float value.
fn arithmetic() -> impl Strategy<Value = (String, String)> {
    let leaf = (1_i32..60, 0_u8..3).prop_map(|(value, places)| match places {
        0 => (value.to_string(), format!("{value}.0")),
        1 => (format!("{}.{}", value / 10, value % 10), format!("{}.{}", value / 10, value % 10)),
        _ => (format!("\\frac{{{value}}}{{7}}"), format!("({value}.0/7.0)")),
    });
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| (format!("({}+{})", a.0, b.0), format!("({}+{})", a.1, b.1))),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| (format!("({}-{})", a.0, b.0), format!("({}-{})", a.1, b.1))),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| (format!("{}\\cdot {}", a.0, b.0), format!("({}*{})", a.1, b.1))),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| (format!("\\frac{{{}}}{{{}}}", a.0, b.0), format!("({}/{})", a.1, b.1))),
            (inner.clone(), 0_u8..3)
                .prop_map(|(a, n)| (format!("({})^{{{n}}}", a.0), format!("(({})^{n})", a.1))),
            inner.prop_map(|a| (format!("\\sqrt{{({})^2}}", a.0), format!("math::sqrt(({})^2)", a.1))),
        ]
    })
}

/// A readable value.
fn value() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        (-999_i32..999).prop_map(|n| n.to_string()),
        (-99_i32..99, 1_i32..40).prop_map(|(a, b)| format!("\\frac{{{a}}}{{{b}}}")),
        (1_i32..50, 2_i32..50).prop_map(|(a, b)| format!("{a}\\sqrt{{{b}}}")),
        (1_i32..50, 1_i32..9).prop_map(|(a, b)| format!("\\frac{{{a}\\pi}}{{{b}}}")),
        (1_i32..9, 1_i32..9).prop_map(|(a, b)| format!("{a}+{b}i")),
        (1_i32..9, 1_i32..9).prop_map(|(a, b)| format!("{a}x^2-{b}y")),
        (1_i32..9, 1_i32..9).prop_map(|(a, b)| format!("\\ln({a}+{b}\\sqrt{{7}})")),
    ]
}

/// A readable answer of some kind.
fn answer() -> impl Strategy<Value = String> {
    let number = value().boxed();
    let pair = (number.clone(), number.clone());
    prop_oneof![
        4 => number,
        1 => pair.clone().prop_map(|(a, b)| format!("({a},{b})")),
        1 => pair.clone().prop_map(|(a, b)| format!("{a}, {b}")),
        1 => pair.clone().prop_map(|(a, b)| format!("\\{{{a},{b}\\}}")),
        1 => pair.clone().prop_map(|(a, b)| format!("[{a},{b})")),
        1 => pair.prop_map(|(a, b)| format!("\\begin{{pmatrix}}{a}\\\\{b}\\end{{pmatrix}}")),
    ]
}

/// So many cases in the default tests; `PROPTEST_CASES` asks for more.
fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(usual), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn no_input_panics(gold in soup(), answer in soup()) {
        for profile in [MathProfile::STRICT, MathProfile::MATH_VERIFY] {
            if let Ok(gold) = Gold::parse(&gold, &profile) {
                let _ = grade(&gold, Prediction::Answer(&answer), &profile);
                let _ = grade(&gold, Prediction::Completion(&answer), &profile);
            }
            let five = Gold::parse("5", &profile).unwrap();
            let _ = grade(&five, Prediction::Completion(&answer), &profile);
        }
    }

    /// Whatever is readable as a gold is equal to itself, also with spaces around.
    #[test]
    fn readable_soup_equals_itself(text in soup()) {
        if let Some(result) = compare(&text, &format!(" {text} ")) {
            prop_assert!(matches!(result.verdict, MathVerdict::Equal | MathVerdict::NoAnswer), "{text:?}: {result:?}");
        }
    }

}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn equality_has_no_direction(a in answer(), b in answer()) {
        prop_assert_eq!(verdict(&a, &b) == MathVerdict::Equal, verdict(&b, &a) == MathVerdict::Equal, "{} and {}", a, b);
    }

    /// Spellings of one value.
    #[test]
    fn exact_rewrites_stay_equal(n in 1_i64..5000, d in 2_i64..200, k in 2_i64..30) {
        let gold = format!("\\frac{{{n}}}{{{d}}}");
        for rewrite in [
            format!("\\dfrac{{{}}}{{{}}}", n * k, d * k),
            format!("{n}/{d}"),
            format!("x = {n}/{d}"),
            format!("\\frac{{{}}}{{{d}}} - {k}", n + k * d),
            format!("{n} \\cdot \\frac{{1}}{{{d}}}"),
            format!("\\left(\\frac{{{d}}}{{{n}}}\\right)^{{-1}}"),
            format!("\\sqrt{{\\frac{{{}}}{{{}}}}}", n * n, d * d),
            format!("\\frac{{{n}\\sqrt{{{k}}}}}{{{d}\\sqrt{{{k}}}}}"),
            format!("\\frac{{{n}}}{{{d}}}\\left(\\sin^2 1+\\cos^2 1\\right)"),
            format!("e^{{\\ln({n}/{d})}}"),
            format!("\\${n}/{d}"),
        ] {
            prop_assert_eq!(verdict(&gold, &rewrite), MathVerdict::Equal, "{} and {}", gold, rewrite);
        }
    }

    /// Exact rewrites, one around another, of answers of every kind of value.
    #[test]
    fn chains_of_exact_rewrites_stay_equal(gold in value(), steps in prop::collection::vec(0_u8..10, 1..4), k in 2_i64..30) {
        let rewritten = steps.iter().fold(gold.clone(), |text, step| match step {
            0 => format!("({text}+{k}-{k})"),
            1 => format!("\\frac{{{k}({text})}}{{{k}}}"),
            2 => format!("-(-({text}))"),
            3 => format!("\\left({text}\\right)(\\sin^2 {k}+\\cos^2 {k})"),
            4 => format!("(({text})+\\sqrt{{{}}}-{k})", k * k),
            5 => format!("\\frac{{({text})\\sqrt{{{k}}}}}{{\\sqrt{{{k}}}}}"),
            6 => format!("(\\frac{{1}}{{2}}({text})+\\frac{{1}}{{2}}({text}))"),
            7 => format!("(2^{{{k}}}({text})\\cdot 2^{{-{k}}})"),
            8 => format!("(({text})+\\ln {k}-\\ln {k})"),
            _ => format!("(({text})\\cdot e^{{{k}}}e^{{-{k}}})"),
        });
        let found = verdict(&gold, &rewritten);
        prop_assert_eq!(found, MathVerdict::Equal, "{} and {}", gold, rewritten);
    }

    /// However near: 10^-k away is another value, and the strict profile proves it.
    #[test]
    fn a_power_of_ten_away_is_different(gold in value(), k in 1_u32..60, minus in any::<bool>()) {
        let sign = if minus { '-' } else { '+' };
        for other in [format!("{gold}{sign}10^{{-{k}}}"), format!("({gold}){sign}\\frac{{1}}{{10^{{{k}}}}}")] {
            prop_assert_eq!(verdict(&gold, &other), MathVerdict::Different, "{} and {}", gold, other);
        }
        let decimal = format!("0.{}1", "0".repeat(k as usize - 1));
        let third = format!("\\frac{{1}}{{3}}{sign}{decimal}");
        prop_assert_eq!(verdict("\\frac{1}{3}", &third), MathVerdict::Different, "{}", third);
    }

    /// Neighbours of a value.
    #[test]
    fn perturbed_values_are_different(n in 1_i64..5000, d in 2_i64..200, k in 2_i64..30) {
        let gold = format!("\\frac{{{n}}}{{{d}}}");
        for other in [
            format!("\\frac{{{}}}{{{d}}}", n + 1),
            format!("\\frac{{{n}}}{{{d}}}+10^{{-30}}"),
            format!("-\\frac{{{n}}}{{{d}}}"),
            format!("\\frac{{{n}}}{{{d}}}\\sqrt{{1000003}}"),
            format!("\\frac{{{n}}}{{{d}}}\\pi"),
            format!("\\frac{{{n}}}{{{d}}}+e^{{-{k}0}}"),
            format!("\\frac{{{n}}}{{{d}}}, {k}"),
            format!("\\frac{{{n}}}{{{d}}}x"),
            format!("({n}, {d})"),
            format!("\\pm\\frac{{{n}}}{{{d}}}"),
        ] {
            prop_assert_eq!(verdict(&gold, &other), MathVerdict::Different, "{} and {}", gold, other);
        }
    }

    /// The exact engine against evalexpr's floats: the float, read back exactly and given its rounding
    /// error, must not contradict the verdict.
    #[test]
    fn arithmetic_agrees_with_floats((latex, plain) in arithmetic()) {
        let Ok(value) = evalexpr::eval_float(&plain) else { return Ok(()) };
        if !value.is_finite() || value.abs() > 1e12 || (value != 0.0 && value.abs() < 1e-6) {
            return Ok(());
        }
        let Some(same) = compare(&latex, &latex) else { return Ok(()) };
        prop_assert_eq!(same.verdict, MathVerdict::Equal);
        let below = format!("{:.12}", value - 1e-6 * value.abs().max(1.0));
        let above = format!("{:.12}", value + 1e-6 * value.abs().max(1.0));
        prop_assert_eq!(verdict(&latex, &below), MathVerdict::Different, "{} is not {}", latex, below);
        prop_assert_eq!(verdict(&latex, &above), MathVerdict::Different, "{} is not {}", latex, above);
        // The value lies between: |x - below| + |x - above| = above - below.
        let between = format!("\\left|{latex}-({below})\\right|+\\left|{latex}-({above})\\right|");
        let width = format!("{above}-({below})");
        prop_assert_eq!(verdict(&width, &between), MathVerdict::Equal, "{} lies between {} and {}", latex, below, above);
    }
}
