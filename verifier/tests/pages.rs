//! Reports made of rows: figures against ones computed by hand, and pages that are whole, closed and harmless whatever a
//! submission holds.

use assay_verifier::report::{self, About, Conditions, Detail, Graded, Outcome, Side, Summary};
use assay_verifier::window::Window;
use serde_json::{Value, json};

/// What a submission may hold to get out of the page it is shown in.
const HOSTILE: [&str; 10] = [
    "</pre></details><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"'><svg/onload=alert(1)>",
    "</style><style>*{background:url(http://example.org/x)}",
    "<!--",
    "]]>",
    "&lt;script&gt;",
    "</title><base href=http://example.org/>",
    "\u{0}\u{8}\u{1b}[2J\u{202e}\u{2066}\u{feff}\u{2028}",
    "javascript:alert(1)",
];

fn about(id: &str, difficulty: Option<&str>, platform: Option<&str>, date: Option<&str>) -> About {
    About {
        question_id: id.to_owned(),
        difficulty: difficulty.map(str::to_owned),
        platform: platform.map(str::to_owned),
        contest_date: date.map(str::to_owned),
        gold: None,
    }
}

fn rows(id: &str, sample: usize, verdict: Option<&str>, text: &str) -> (Graded, Detail) {
    let graded = Graded {
        question_id: id.to_owned(),
        sample,
        outcome: if verdict.is_some() { Outcome::Graded } else { Outcome::InfraError },
        verdict: verdict.map(str::to_owned),
        passed: usize::from(verdict == Some("accepted")),
        total: 2,
        score: None,
        failed_test: None,
        cpu_time: 0.25,
        wall_time: 0.5,
    };
    let detail = Detail {
        question_id: id.to_owned(),
        sample,
        reason: text.to_owned(),
        extraction: Some("last_fence".to_owned()),
        test_cpu_us: vec![900, 20_000],
        test_memory: vec![3 << 20, 9 << 20],
        input: text.to_owned(),
        expected: format!("1\n{text}\n3"),
        actual: format!("1\n{text}!\n3"),
        error: text.to_owned(),
        ..Detail::default()
    };
    (graded, detail)
}

/// Two problems of four samples, one of each kind of group.
fn two_problems() -> Summary {
    let abouts = [
        about("a", Some("easy"), Some("atcoder"), Some("2024-08-03T00:00:00")),
        about("abc337_e", Some("hard"), Some("atcoder"), Some("2024-09-03T00:00:00")),
        about("outside", Some("hard"), Some("atcoder"), Some("2023-01-01")),
    ];
    let window = Window { from: Some("2024-08-01".into()), ..Window::default() };
    let mut summary = Summary::new(abouts, &window);
    for (id, verdicts) in [
        ("a", ["accepted", "accepted", "accepted", "wrong_answer"]),
        ("abc337_e", ["accepted", "runtime_error", "runtime_error", "time_limit_exceeded"]),
    ] {
        for (sample, verdict) in verdicts.into_iter().enumerate() {
            let (graded, detail) = rows(id, sample, Some(verdict), "x");
            summary.add(&graded, &detail, || "print(1)\n".to_owned());
        }
    }
    summary
}

fn conditions<'a>(provenance: &'a Value, window: &'a Window) -> Conditions<'a> {
    Conditions { provenance, window, wall_seconds: 1.5, notes: &[] }
}

/// Only samples of problems with points have a score; each problem counts once, however many samples it has.
#[test]
fn scores_are_averaged_over_the_problems_that_have_them() {
    let (provenance, window) = (json!({}), Window::default());
    let mut summary = two_problems();
    assert_eq!(report::json(&summary, &conditions(&provenance, &window))["mean_score"], json!(null));
    for (id, scores) in [("points", &[Some(1.0), Some(0.25)][..]), ("more", &[Some(0.0)]), ("none", &[None])]
    {
        for (sample, score) in scores.iter().enumerate() {
            let (graded, detail) = rows(id, sample, Some("wrong_answer"), "x");
            summary.add(&Graded { score: *score, ..graded }, &detail, String::new);
        }
    }
    let mean = report::json(&summary, &conditions(&provenance, &window))["mean_score"].clone();
    assert_eq!(mean, json!(0.625 / 2.0));
}

#[test]
fn figures_are_those_computed_by_hand() {
    let (provenance, window) = (json!({"profile": "judge"}), Window::named("lcb-v5").expect("a window"));
    let report = report::json(&two_problems(), &conditions(&provenance, &window));
    let near = |pointer: &str, expected: f64| {
        let value =
            report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer}: {report}"));
        assert!((value - expected).abs() < 1e-12, "{pointer}: {value} {expected}");
    };
    assert_eq!(
        (&report["problems"], &report["samples"], &report["graded"]),
        (&json!(2), &json!(8), &json!(8))
    );
    // Rates 3/4 and 1/4: mean 1/2, standard deviation sqrt(1/8), over sqrt(2).
    near("/pass@1", 0.5);
    near("/standard_error", 0.25);
    // Each p(1-p)/(n-1) = 3/16/3 = 1/16; the root of their sum over 2 problems.
    near("/standard_error_of_sampling", (1.0_f64 / 8.0).sqrt() / 2.0);
    assert_eq!(report["interval_95"], json!([0.25, 0.75]));
    // k = 2: 1 - 0/6 and 1 - C(3,2)/C(4,2) = 1/2; k = 4: both.
    assert_eq!(report["pass@k_unbiased"], json!({"1": 0.5, "2": 0.75, "4": 1.0}));
    let drawn = report["pass@k_100_resamples"]["2"].as_f64().expect("a number");
    assert!((drawn - 0.75).abs() < 0.1, "{drawn}");
    assert_eq!(report["pass@k_100_resamples"]["4"], json!(1.0));
    near("/pass@1_without_known_faults", 0.75);
    assert_eq!(report["known_faults"], json!([{"question_id": "abc337_e", "fault": "interactive"}]));
    assert_eq!(report["by_difficulty"][1]["name"], json!("hard"));
    near("/by_difficulty/1/pass@1", 0.25);
    assert_eq!(report["by_month"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        report["solve_rates"][0],
        json!({"question_id": "a", "samples": 4, "accepted": 3, "rate": 0.75})
    );
    near("/cpu_seconds", 2.0);
    // Of each sample one test below 1 ms and one of 20 ms; 3 MiB and 9 MiB.
    assert_eq!(
        report["test_cpu_seconds"]["counts"].as_array().expect("counts")[..5],
        [8, 0, 0, 0, 8].map(Value::from)
    );
    assert_eq!(
        report["test_memory_bytes"]["counts"].as_array().expect("counts")[..5],
        [0, 0, 8, 0, 8].map(Value::from)
    );
    assert_eq!(report["extractions"], json!({"last_fence": 8}));
    let warning = report["warnings"][0].as_str().expect("a warning");
    assert!(warning.contains("279") && warning.contains("2 here"), "{warning}");
}

/// What is kept to be shown must not depend on which thread was faster.
#[test]
fn a_report_does_not_depend_on_the_order_of_samples() {
    let all: Vec<(Graded, Detail)> = (0..200)
        .map(|i| {
            let verdict = ["wrong_answer", "accepted", "runtime_error"][i % 3];
            rows(&format!("p{}", i / 10), i % 10, Some(verdict), "x")
        })
        .collect();
    let page = |order: &mut dyn Iterator<Item = &(Graded, Detail)>| {
        let abouts = (0..20).map(|i| about(&format!("p{i}"), None, None, None));
        let mut summary = Summary::new(abouts, &Window::default());
        for (graded, detail) in order {
            summary.add(graded, detail, || format!("{} {}", graded.question_id, graded.sample));
        }
        report::html(&summary, &conditions(&Value::Null, &Window::default()))
    };
    let (forward, backward) = (page(&mut all.iter()), page(&mut all.iter().rev()));
    assert!(forward == backward, "pages differ");
    assert_eq!(forward.matches("<details").count(), 24, "twelve of each of two verdicts");
}

fn hostile_page() -> String {
    let abouts = HOSTILE.map(|text| about(text, Some(text), Some(text), Some("2024-08-01")));
    let mut summary = Summary::new(abouts, &Window::default());
    for (index, text) in HOSTILE.iter().enumerate() {
        let verdict = [Some("wrong_answer"), Some("accepted"), None][index % 3];
        for sample in 0..2 {
            let (graded, mut detail) = rows(text, sample, verdict, &HOSTILE.join("\n"));
            detail.extraction = Some((*text).to_owned());
            detail.proof = Some((*text).to_owned());
            detail.trust = Some((*text).to_owned());
            summary.add(&graded, &detail, || HOSTILE.join("\n"));
        }
    }
    let files = json!({"file": HOSTILE.join(" ")});
    let provenance =
        json!({"completions": files, "problems": files, HOSTILE[0]: HOSTILE[1], "profile": HOSTILE[2]});
    report::html(&summary, &conditions(&provenance, &Window::default()))
}

fn compare_page() -> String {
    let verdict = |i: usize, by: usize| Some(if i.is_multiple_of(by) { "accepted" } else { "wrong_answer" });
    let run = |by: usize| -> Vec<Graded> {
        (0..40)
            .map(|i| rows(&format!("{}{}", HOSTILE[i % 10], i / 20), i % 4, verdict(i, by), "").0)
            .collect()
    };
    let (first, second) = (run(2), run(3));
    let abouts: Vec<About> = (0..20)
        .map(|i| about(&format!("{}{}", HOSTILE[i % 10], i / 10), Some(HOSTILE[i % 3]), None, None))
        .collect();
    let (a, b) = (json!({HOSTILE[0]: HOSTILE[1]}), json!({HOSTILE[0]: HOSTILE[2]}));
    let side = |name, graded, provenance| Side { name, graded, about: &abouts, provenance };
    let result = report::compare(side(HOSTILE[0], &first, &a), side(HOSTILE[3], &second, &b))
        .expect("common problems");
    result.html()
}

fn pages() -> [(&'static str, String); 4] {
    let empty = Summary::new([], &Window::default());
    [
        ("report", report::html(&two_problems(), &conditions(&json!({"x": [1, "y"]}), &Window::default()))),
        ("hostile report", hostile_page()),
        ("empty report", report::html(&empty, &conditions(&Value::Null, &Window::default()))),
        ("hostile comparison", compare_page()),
    ]
}

#[test]
fn pages_are_well_formed() {
    for (name, page) in pages() {
        let rest = page.strip_prefix("<!doctype html>\n").expect("a doctype");
        let tags = Tags::read(rest).unwrap_or_else(|what| panic!("{name}: {what}"));
        assert!(tags.0.len() > 20, "{name}");
    }
    assert!(
        Tags::read("<p><b></p></b>").is_err()
            && Tags::read("<p>").is_err()
            && Tags::read("<p x=y></p>").is_err()
    );
}

/// Only our own tags and attributes, none that runs or loads anything; no address but of a part of the page; and a policy
/// that would forbid it all anyway.
#[test]
fn pages_ask_for_nothing_and_run_nothing() {
    const TAGS: &str = " html head meta title style body header main section div p h1 h2 h3 span strong b small table thead \
                        tbody tr th td dl dt dd details summary pre svg defs pattern rect path line polyline polygon \
                        circle text ";
    const ATTRIBUTES: &str = " lang charset http-equiv content name class id width height colspan viewBox role aria-label \
                              aria-hidden patternUnits d x y x1 y1 x2 y2 cx cy r points fill text-anchor ";
    for (name, page) in pages() {
        let rest = page.strip_prefix("<!doctype html>\n").expect("a doctype");
        for (tag, attributes) in Tags::read(rest).expect("well-formed").0 {
            assert!(TAGS.contains(&format!(" {tag} ")), "{name}: <{tag}>");
            for (key, value) in attributes {
                assert!(ATTRIBUTES.contains(&format!(" {key} ")), "{name}: {key}");
                if key == "fill" {
                    assert!(value.starts_with("url(#p"), "{name}: {value}");
                }
            }
        }
        let policy = "content=\"default-src &#39;none&#39;; style-src &#39;sha256-";
        assert!(page.contains(policy), "{name}");
        let style =
            page.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).expect("a style");
        assert!(!style.contains("url(") && !style.contains("@import") && !style.contains("http"), "{name}");
        assert!(!page.contains(['\u{202e}', '\u{2066}', '\0', '\u{1b}']), "{name}");
    }
}

/// Names and attributes of the elements of a page.
struct Tags<'a>(Vec<(&'a str, Vec<(&'a str, &'a str)>)>);

impl<'a> Tags<'a> {
    /// Reads markup in which every element is closed, every attribute quoted, and `<`, `>` and `&` stand for themselves
    /// nowhere.
    fn read(text: &'a str) -> Result<Tags<'a>, String> {
        let (mut tags, mut open, mut rest) = (Vec::new(), Vec::new(), text);
        while let Some((before, after)) = rest.split_once('<') {
            if open.last() != Some(&"style") {
                Self::plain(before)?;
            }
            let (tag, behind) = after.split_once('>').ok_or_else(|| format!("an open tag: {after:.40}"))?;
            rest = behind;
            if let Some(name) = tag.strip_prefix('/') {
                match open.pop() {
                    Some(last) if last == name => continue,
                    last => return Err(format!("</{name}> closes {last:?}")),
                }
            }
            let (tag, closed) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
            let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
            tags.push((name, Self::attributes(attributes)?));
            if !closed {
                open.push(name);
            }
        }
        Self::plain(rest)?;
        if open.is_empty() { Ok(Tags(tags)) } else { Err(format!("not closed: {open:?}")) }
    }

    fn plain(text: &str) -> Result<(), String> {
        const KNOWN: [&str; 5] = ["amp;", "lt;", "gt;", "quot;", "#39;"];
        let escaped = text.split('&').skip(1).all(|rest| KNOWN.iter().any(|known| rest.starts_with(known)));
        if escaped && !text.contains('>') { Ok(()) } else { Err(format!("not escaped: {text:.80}")) }
    }

    fn attributes(mut text: &'a str) -> Result<Vec<(&'a str, &'a str)>, String> {
        let mut attributes = Vec::new();
        while !text.trim().is_empty() {
            let (name, rest) =
                text.trim_start().split_once("=\"").ok_or_else(|| format!("attribute {text:.40}"))?;
            let (value, rest) = rest.split_once('"').ok_or_else(|| format!("attribute {text:.40}"))?;
            Self::plain(value)?;
            attributes.push((name, value));
            text = rest;
        }
        Ok(attributes)
    }
}
