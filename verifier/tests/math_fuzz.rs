//! The checker on input made at random, much of it: it never panics or spends more than its budget, equality has no
//! direction, and no verdict contradicts floats computed without it. Every execution has a seed, from `ASSAY_FUZZ_FROM`
//! (0) on, `ASSAY_FUZZ` (20,000) of them; `.ci/long` asks for ten million. Progress goes to stderr, so a long run can be
//! cut and gone on with, and a finding names its seed.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use assay_verifier::math::{Gold, MathProfile, MathResult, MathVerdict, Prediction, grade, reading};

/// Executions of each test by default.
const USUAL: u64 = 20_000;

/// Findings after which a run ends.
const ENOUGH: usize = 20;

/// Seeds between two lines of progress.
const REPORT: u64 = 500_000;

fn seeds_to_run() -> Range<u64> {
    let number = |name| std::env::var(name).ok().map(|asked| asked.parse::<u64>().expect(name));
    let from = number("ASSAY_FUZZ_FROM").unwrap_or(0);
    from..from + number("ASSAY_FUZZ").unwrap_or(USUAL)
}

/// Tries seeds; all findings are said together at the end.
fn for_each_seed(name: &str, seeds: Range<u64>, mut attempt: impl FnMut(u64) -> Result<(), String>) {
    let (start, count) = (std::time::Instant::now(), seeds.end - seeds.start);
    let mut findings = Vec::new();
    for seed in seeds.clone() {
        let found = catch_unwind(AssertUnwindSafe(|| attempt(seed)));
        if let Err(what) = found.unwrap_or_else(|_| Err("it panicked".to_owned())) {
            eprintln!("{name}: seed {seed}: {what}");
            findings.push(format!("seed {seed}: {what}"));
        }
        let done = seed + 1 - seeds.start;
        if done.is_multiple_of(REPORT) {
            eprintln!(
                "{name}: seeds {}..{} done in {:?}, {} findings",
                seeds.start,
                seed + 1,
                start.elapsed(),
                findings.len()
            );
        }
        if findings.len() >= ENOUGH {
            break;
        }
    }
    assert!(findings.is_empty(), "{name}: {} findings:\n{}", findings.len(), findings.join("\n"));
    println!("{name}: {count} executions in {:?}", start.elapsed());
}

/// Grades within the budget.
fn graded(gold: &Gold, prediction: Prediction<'_>, profile: &MathProfile) -> Result<MathResult, String> {
    let result = grade(gold, prediction, profile);
    let most = profile.budget.fuel + 2 * profile.budget.reserve;
    if result.steps > most {
        Err(format!("{} steps of {most} for {prediction:?}", result.steps))
    } else {
        Ok(result)
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
        (self.next() >> 11) as usize % n
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// Cells of the table of answers, to be cut up and joined.
fn seeds() -> Vec<&'static str> {
    let rows = include_str!("answers.txt").lines().filter(|line| !line.starts_with(['#', '=']));
    let cells = rows.flat_map(|row| row.splitn(3, " | ").take(2));
    cells.filter(|cell| cell.len() < 120 && !cell.contains("<<")).collect()
}

/// A seed with a piece of another in it, a piece less, or a piece twice.
fn mutant(random: &mut Random, seeds: &[&str]) -> String {
    let mut text: Vec<char> = random.pick(seeds).chars().collect();
    for _ in 0..1 + random.below(3) {
        let from = random.below(text.len() + 1);
        let to = from + random.below(text.len() + 1 - from);
        let piece: Vec<char> = match random.below(4) {
            0 => Vec::new(),
            1 => text[from..to].repeat(2),
            2 => random
                .pick(&["{", "}", "^", "_", "\\frac", "(", ")", "-", ",", " ", "1", "x", "!"])
                .chars()
                .collect(),
            _ => {
                let other: Vec<char> = random.pick(seeds).chars().collect();
                let start = random.below(other.len() + 1);
                other[start..(start + 8).min(other.len())].to_vec()
            }
        };
        text.splice(from..to, piece);
    }
    text.into_iter().collect()
}

#[test]
fn mutants_never_panic_and_equality_has_no_direction() {
    let seeds = seeds();
    let profile = MathProfile::STRICT;
    let profiles = MathProfile::NAMES.map(|name| MathProfile::named(name).expect("a known profile"));
    let mut equal = 0;
    for_each_seed("mutants", seeds_to_run(), |seed| {
        let random = &mut Random::of(seed);
        let (a, b) = (mutant(random, &seeds), mutant(random, &seeds));
        let b = if random.below(8) == 0 { a.replace(' ', "") } else { b };
        let any = &profiles[random.below(profiles.len())];
        if let Ok(gold) = Gold::parse(&a, any) {
            graded(&gold, Prediction::Completion(&b), any)?;
        }
        let Ok(gold) = Gold::parse(&a, &profile) else { return Ok(()) };
        if graded(&gold, Prediction::Answer(&b), &profile)?.verdict != MathVerdict::Equal {
            return Ok(());
        }
        equal += 1;
        // A gold in percent also takes the bare number, and a chain may stand for its value.
        let one_sided = a.contains(['%', '=']) || b.contains(['%', '=']) || a.contains("percent");
        if let (Ok(gold), false) = (Gold::parse(&b, &profile), one_sided)
            && graded(&gold, Prediction::Answer(&a), &profile)?.verdict == MathVerdict::Different
        {
            return Err(format!("{a:?} equals {b:?}, but not the other way round"));
        }
        Ok(())
    });
    println!("{equal} equal pairs");
}

/// Whatever is read is printed so that it is read again as the same.
#[test]
fn what_is_printed_is_read_again() {
    let seeds = seeds();
    let profile = MathProfile::STRICT;
    let mut printed = 0;
    for_each_seed("printing", seeds_to_run(), |seed| {
        let text = mutant(&mut Random::of(seed), &seeds);
        let Ok(gold) = Gold::parse(&text, &profile) else { return Ok(()) };
        let Ok(first) = reading(gold.text(), &profile) else { return Ok(()) };
        printed += 1;
        let again = graded(&gold, Prediction::Answer(&first.read_as), &profile)?;
        // Brackets add to the nesting, decimals of an approximation lose their unit, and an equation that is never true
        // is compared with nothing.
        let nested = again.verdict == MathVerdict::Limit
            || first.read_as.contains("\\approx")
            || (again.verdict == MathVerdict::Unsupported && first.read_as.contains('='));
        match again.verdict == MathVerdict::Equal || nested {
            true => Ok(()),
            false => Err(format!("{text:?} printed as {:?}: {again:?}", first.read_as)),
        }
    });
    println!("{printed} printed");
    assert!(printed > 0);
}

/// The points at which expressions are computed beside the checker.
const POINTS: [(f64, f64); 4] = [(0.7, 1.9), (1.3, 0.4), (2.1, 2.6), (0.2, 1.1)];

/// An expression in x and y: two spellings of it, how tightly they bind, and its floats at the points.
#[derive(Clone)]
struct Expression {
    text: String,
    other: String,
    /// 0 sum, 1 product, 2 factor that can be raised.
    binds: (u8, u8),
    values: [Value; 4],
}

/// A float, and how far it may be from the number it stands for: sin(pi) e^27 is zero, and 6e-5 in floats.
#[derive(Clone, Copy)]
struct Value {
    is: f64,
    error: f64,
}

impl Value {
    /// After an operation that may have moved its result by `error`, before it was rounded.
    fn of(is: f64, error: f64) -> Value {
        Value { is, error: error + 4.0 * f64::EPSILON * is.abs() }
    }

    fn plus(self, other: Value) -> Value {
        Value::of(self.is + other.is, self.error + other.error)
    }

    fn times(self, other: Value) -> Value {
        let Value { is, error } = other;
        Value::of(self.is * is, self.is.abs() * error + is.abs() * self.error + self.error * error)
    }

    fn over(self, other: Value) -> Value {
        let (is, least) = (self.is / other.is, other.is.abs() - other.error);
        match least > 0.0 {
            true => Value::of(is, (self.error + is.abs() * other.error) / least),
            false => Value { is, error: f64::INFINITY },
        }
    }

    fn power(self, exponent: usize) -> Value {
        (0..exponent).fold(Value::of(1.0, 0.0), |power, _| power.times(self))
    }

    fn negative(self) -> Value {
        Value { is: -self.is, ..self }
    }

    fn magnitude(self) -> Value {
        Value { is: self.is.abs(), ..self }
    }

    fn sine(self) -> Value {
        Value::of(self.is.sin(), self.error + f64::EPSILON)
    }

    fn exponential(self) -> Value {
        Value::of(self.is.exp(), self.is.exp() * self.error.exp_m1())
    }
}

fn bracketed(text: &str, binds: u8, wanted: u8) -> String {
    if binds < wanted { format!("({text})") } else { text.to_owned() }
}

fn expression(random: &mut Random, depth: u32) -> Expression {
    if depth == 0 || random.below(6) == 0 {
        return leaf(random);
    }
    let a = expression(random, depth - 1);
    let zip = |b: &Expression, f: fn(Value, Value) -> Value| {
        std::array::from_fn(|at| f(a.values[at], b.values[at]))
    };
    match random.below(10) {
        0 | 1 => {
            let b = expression(random, depth - 1);
            let text = format!("{}+{}", a.text, bracketed(&b.text, b.binds.0, 1));
            let other = format!("{}+{}", b.other, bracketed(&a.other, a.binds.1, 1));
            Expression { text, other, binds: (0, 0), values: zip(&b, Value::plus) }
        }
        2 => {
            let b = expression(random, depth - 1);
            let text = format!("{}-{}", a.text, bracketed(&b.text, b.binds.0, 1));
            let other = format!("-({})+{}", b.other, bracketed(&a.other, a.binds.1, 1));
            Expression { text, other, binds: (0, 0), values: zip(&b, |a, b| a.plus(b.negative())) }
        }
        3 | 4 => {
            let b = expression(random, depth - 1);
            let (left, right) = (bracketed(&a.text, a.binds.0, 1), bracketed(&b.text, b.binds.0, 1));
            let other = format!("({})({})", b.other, a.other);
            Expression {
                text: format!("{left}\\cdot {right}"),
                other,
                binds: (1, 1),
                values: zip(&b, Value::times),
            }
        }
        5 => {
            let b = expression(random, depth - 1);
            let other = format!("({})\\cdot ({})^{{-1}}", a.other, b.other);
            let text = format!("\\frac{{{}}}{{{}}}", a.text, b.text);
            Expression { text, other, binds: (1, 1), values: zip(&b, Value::over) }
        }
        6 => {
            let n = random.below(4);
            let text = format!("{}^{{{n}}}", bracketed(&a.text, a.binds.0, 2));
            let other = if n == 2 { format!("({0})({0})", a.other) } else { format!("({})^{n}", a.other) };
            Expression { text, other, binds: (1, 1), values: a.values.map(|x| x.power(n)) }
        }
        7 => {
            let squared = format!("({})^2", a.text);
            let other = format!("|{}|", bracketed(&a.other, a.binds.1, 3));
            Expression {
                text: format!("\\sqrt{{{squared}}}"),
                other,
                binds: (1, 2),
                values: a.values.map(Value::magnitude),
            }
        }
        8 => {
            let other = format!("\\cos(\\frac{{\\pi}}{{2}}-({}))", a.other);
            let text = format!("\\sin({})", a.text);
            Expression { text, other, binds: (1, 1), values: a.values.map(Value::sine) }
        }
        _ => {
            let exponent = format!("e^{{{}}}", a.text);
            let other = format!("\\frac{{1}}{{e^{{-({})}}}}", a.other);
            Expression { text: exponent, other, binds: (1, 1), values: a.values.map(Value::exponential) }
        }
    }
}

fn leaf(random: &mut Random) -> Expression {
    let values = |floats: [f64; 4]| floats.map(|float| Value::of(float, 0.0));
    let plain = |text: &str, other: &str, floats| Expression {
        text: text.to_owned(),
        other: other.to_owned(),
        binds: (2, 1),
        values: values(floats),
    };
    match random.below(6) {
        0 | 1 => plain("x", "x", POINTS.map(|(x, _)| x)),
        2 => plain("y", "\\frac{2y}{2}", POINTS.map(|(_, y)| y)),
        3 => plain("\\pi", "\\frac{\\pi}{1}", [std::f64::consts::PI; 4]),
        4 => {
            let n = 1 + random.below(30) as i32;
            plain(&n.to_string(), &format!("\\frac{{{}}}{{3}}", 3 * n), [f64::from(n); 4])
        }
        _ => {
            let (n, d) = (1 + random.below(20) as i32, 2 + random.below(9) as i32);
            let text = format!("\\frac{{{n}}}{{{d}}}");
            let other = format!("{}/{}", 2 * n, 2 * d);
            Expression { text, other, binds: (1, 1), values: values([f64::from(n) / f64::from(d); 4]) }
        }
    }
}

/// Whether floats prove two expressions to be different: well apart at some point, whatever was lost on the way.
fn apart(a: &[Value; 4], b: &[Value; 4]) -> bool {
    let differ = |x: &Value, y: &Value| {
        let apart = (x.is - y.is).abs();
        apart.is_finite() && apart > 1e-4 * (1.0 + x.is.abs()) + 2.0 * (x.error + y.error)
    };
    a.iter().zip(b).any(|(x, y)| differ(x, y))
}

#[test]
fn no_verdict_contradicts_floats() {
    let profile = MathProfile::STRICT;
    let (mut rewritten, mut equal, mut different) = (0, 0, 0);
    let all = seeds_to_run();
    for_each_seed("floats", all.start / 4..all.end / 4, |seed| {
        let random = &mut Random::of(seed);
        // The deepest cost ten times the others.
        let depth = if random.below(8) == 0 { 4 } else { 1 + random.below(3) as u32 };
        let (a, b) = (expression(random, depth), expression(random, depth));
        let Ok(gold) = Gold::parse(&a.text, &profile) else { return Ok(()) };
        let same = graded(&gold, Prediction::Answer(&a.other), &profile)?;
        rewritten += u64::from(same.verdict == MathVerdict::Equal);
        if same.verdict == MathVerdict::Different && a.values.iter().all(|value| value.is.is_finite()) {
            return Err(format!("{:?} is {:?}: {same:?}", a.text, a.other));
        }
        for (other, values) in [
            (b.text.clone(), b.values),
            (format!("{}+10^{{-3}}", a.other), a.values.map(|x| x.plus(Value::of(1e-3, 0.0)))),
            (format!("-({})", a.other), a.values.map(Value::negative)),
        ] {
            let found = graded(&gold, Prediction::Answer(&other), &profile)?;
            match found.verdict {
                MathVerdict::Equal if apart(&a.values, &values) => {
                    return Err(format!("{:?} is not {other:?}: {found:?}", a.text));
                }
                MathVerdict::Equal => equal += 1,
                MathVerdict::Different => different += 1,
                _ => {}
            }
        }
        Ok(())
    });
    println!("{rewritten} rewrites equal, {equal} others equal, {different} different");
    assert!(rewritten > 0 && different > 0);
}
