//! Intervals of big floats, each end rounded outward by dashu's correctly rounded operations.

use super::real::Real;
use crate::math::ast::Function;
use dashu_float::round::mode::{Down, Up};
use dashu_float::{ConstCache, Context, FpResult, Repr};
use dashu_int::IBig;
use dashu_int::ops::BitTest;
use dashu_ratio::RBig;
use std::cmp::Ordering;

/// An interval of big floats, each end rounded outward at `bits` bits.
#[derive(Clone, Debug)]
pub(super) struct Big {
    low: Repr<2>,
    high: Repr<2>,
    bits: usize,
}

fn down(bits: usize) -> Context<Down> {
    Context::new(bits)
}

pub(super) fn up(bits: usize) -> Context<Up> {
    Context::new(bits)
}

/// The bits of a logarithm's first Newton step, which about trebles those of a float.
const COARSE: usize = 160;

/// ln x to the precision of a float, for a start.
fn approximate_ln(x: &Repr<2>) -> Option<Repr<2>> {
    let (significand, exponent) = x.clone().into_parts();
    let shift = significand.bit_len().saturating_sub(64);
    let leading = u64::try_from(significand >> shift).ok()?;
    let value = (leading as f64).ln() + (exponent as f64 + shift as f64) * std::f64::consts::LN_2;
    // As a multiple of 2^-40.
    (value.abs() < 1e15).then(|| Repr::new(IBig::from((value * 2_f64.powi(40)) as i128), -40))
}

/// A number to the precision of a float: zero or infinity beyond their range.
fn approximate(x: &Repr<2>) -> Option<f64> {
    let (significand, exponent) = x.clone().into_parts();
    let shift = significand.bit_len().saturating_sub(64);
    let leading = i128::try_from(significand >> shift).ok()?;
    let power = (exponent as i64).saturating_add(shift as i64).clamp(-2000, 2000);
    // In two halves: 2^-1080 times 2^64 is in range.
    Some(leading as f64 * 2_f64.powi((power / 2) as i32) * 2_f64.powi((power - power / 2) as i32))
}

/// The number out of a rounded result; infinities end the evaluation.
fn finite<R: dashu_float::round::Round>(result: FpResult<dashu_float::FBig<R, 2>>) -> Option<Repr<2>> {
    let repr = result.ok()?.value().into_repr();
    repr.is_finite().then_some(repr)
}

/// Whether |x| < 2^-bits. dashu rounds correctly by working with more and more bits until it sees on which side of a
/// number of `bits` bits the value lies: for a function of e^(-10^11), 10^11 of them. Such arguments never reach it; there
/// e^x is 1, sin x, arcsin x and arctan x are x and cos x is 1 to within 2^-bits.
fn is_tiny(x: &Repr<2>, bits: usize) -> bool {
    log2_size(x) <= -(bits as i64)
}

/// The least power of two above |x|, as its logarithm.
fn log2_size(x: &Repr<2>) -> i64 {
    match *x.significand() == IBig::ZERO {
        true => i64::MIN,
        false => (x.exponent() as i64).saturating_add(x.significand().bit_len() as i64),
    }
}

fn size(x: &Repr<2>) -> Repr<2> {
    if *x < Repr::zero() { -x.clone() } else { x.clone() }
}

/// x less 2^-bits, rounded down.
fn below(x: &Repr<2>, bits: usize) -> Option<Repr<2>> {
    finite(down(bits).sub(x, &Repr::new(IBig::ONE, -(bits as isize))))
}

impl Big {
    pub(super) fn new(low: Option<Repr<2>>, high: Option<Repr<2>>, bits: usize) -> Option<Big> {
        Some(Big { low: low?, high: high?, bits })
    }

    fn is_above_zero(&self) -> bool {
        self.sign() == Some(Ordering::Greater)
    }

    /// What lies less than a unit in the last place above a value that is not negative.
    fn around(low: Repr<2>, bits: usize) -> Option<Big> {
        let unit = Repr::new(IBig::ONE, 2 - bits as isize);
        let above = finite(up(bits).mul(&low, &unit))?;
        let high = finite(up(bits).add(&low, &above));
        Big::new(Some(low), high, bits)
    }

    /// The logarithm of a number above zero, by Newton's step on e^y = x, which is cheaper than dashu's own: with
    /// t = x e^-y - 1 it is y + ln(1 + t), and ln(1 + t) lies within t^4 of t - t^2/2 + t^3/3 for |t| < 1/2.
    fn ln_of(x: &Repr<2>, bits: usize, constants: &mut ConstCache) -> Option<Big> {
        let mut guess = approximate_ln(x)?;
        if bits > COARSE {
            let near = Big::newton(x, &guess, COARSE, constants)?;
            // Any number will do for the next guess: its own error is enclosed there.
            guess = near.low;
        }
        Big::newton(x, &guess, bits, constants)
    }

    /// e^x for one number.
    fn exp_of(x: &Repr<2>, bits: usize, constants: &mut ConstCache) -> Option<Big> {
        if !is_tiny(x, bits) {
            return Big::around(finite(down(bits).exp(x, Some(constants)))?, bits);
        }
        // 1 + x <= e^x <= 1 + 2 |x| for |x| < 1
        let bound = finite(up(bits).add(&size(x), &size(x)))?;
        Big::new(finite(down(bits).add(&Repr::one(), x)), finite(up(bits).add(&Repr::one(), &bound)), bits)
    }

    fn newton(x: &Repr<2>, guess: &Repr<2>, bits: usize, constants: &mut ConstCache) -> Option<Big> {
        let point = |value: Repr<2>| Big { low: value.clone(), high: value, bits };
        let inverse = Big::exp_of(&-guess.clone(), bits, constants)?;
        let minus_one = point(Repr::neg_one());
        let t = point(x.clone()).times(&inverse)?.add(&minus_one)?;
        if t.log2_size() > -20 {
            return None;
        }
        let third = Big::rational(&RBig::from_parts(1.into(), 3_u8.into()), bits)?;
        let half = Big::rational(&RBig::from_parts((-1).into(), 2_u8.into()), bits)?;
        let square = t.times(&t)?;
        let cube = square.times(&t)?;
        // Nothing where the guess was exact; then any bound will do.
        let error = Repr::new(IBig::ONE, 4 * t.log2_size().max(-(bits as i64)) as isize);
        let error = Big { low: -error.clone(), high: error, bits };
        let sum = t.add(&square.times(&half)?)?.add(&cube.times(&third)?)?.add(&error)?;
        point(guess.clone()).add(&sum)
    }

    /// The angle whose sine and cosine are in this proportion, from -pi/2 to pi/2, by Newton's step: with the sine and cosine
    /// of a guess, t = tan(angle - guess), and arctan t lies within t^5 of t - t^3/3 for |t| < 1/2. Cheaper than dashu's
    /// inverse functions at both ends, for two of its sines.
    fn angle(sine: &Big, cosine: &Big, constants: &mut ConstCache) -> Option<Big> {
        let radians = approximate(&sine.low)?.atan2(approximate(&cosine.low)?);
        // As a multiple of 2^-60.
        let mut guess = Repr::new(IBig::from((radians * 2_f64.powi(60)) as i128), -60);
        let bits = sine.bits;
        if bits > COARSE {
            let coarse = |x: &Big| Big { bits: COARSE, ..x.clone() };
            // Any number will do for the next guess: its own error is enclosed there.
            guess = Big::angle_near(&coarse(sine), &coarse(cosine), &guess, constants)?.low;
        }
        Big::angle_near(sine, cosine, &guess, constants)
    }

    fn angle_near(sine: &Big, cosine: &Big, guess: &Repr<2>, constants: &mut ConstCache) -> Option<Big> {
        let bits = sine.bits;
        let guess = Big { low: guess.clone(), high: guess.clone(), bits };
        let (s, c) = guess.sin_cos(constants)?;
        let above = sine.times(&c)?.add(&cosine.times(&s)?.negated())?;
        let below = cosine.times(&c)?.add(&sine.times(&s)?)?;
        let t = above.times(&below.inverse()?)?;
        // Half a turn off, t would be as small.
        if t.log2_size() > -20 || !below.is_above_zero() {
            return None;
        }
        let minus_third = Big::rational(&RBig::from_parts((-1).into(), 3_u8.into()), bits)?;
        let cube = t.times(&t)?.times(&t)?;
        let error = Repr::new(IBig::ONE, 5 * t.log2_size().max(-(bits as i64)) as isize);
        let error = Big { low: -error.clone(), high: error, bits };
        guess.add(&t)?.add(&cube.times(&minus_third)?)?.add(&error)
    }

    /// The arc sine; near -1 and 1, where it grows without bound, dashu's at both ends.
    fn arc_sine(&self, constants: &mut ConstCache) -> Option<Big> {
        let one = Big::rational(&RBig::ONE, self.bits)?;
        let rest = one.add(&self.times(self)?.negated())?;
        if rest.log2_size() > -64
            && let Some(found) = rest.root(2).and_then(|cosine| Big::angle(self, &cosine, constants))
        {
            return Some(found);
        }
        let bits = self.bits;
        let low = finite(down(bits).asin(&self.low, Some(constants)));
        Big::new(low, finite(up(bits).asin(&self.high, Some(constants))), bits)
    }

    /// Refuses arguments whose function value would need an astronomic exponent.
    fn is_moderate(&self) -> bool {
        self.log2_size() < 40
    }
}

impl Real for Big {
    fn rational(value: &RBig, bits: usize) -> Option<Big> {
        let above: Repr<2> = Repr::from(value.numerator().clone());
        if value.is_int() && value.numerator().bit_len() <= bits {
            return Some(Big { low: above.clone(), high: above, bits });
        }
        let below: Repr<2> = Repr::from(value.denominator().clone());
        Big::new(finite(down(bits).div(&above, &below)), finite(up(bits).div(&above, &below)), bits)
    }

    fn pi(bits: usize, constants: &mut ConstCache) -> Option<Big> {
        let low = down(bits).pi::<2>(Some(constants)).value().into_repr();
        let high = up(bits).pi::<2>(Some(constants)).value().into_repr();
        Some(Big { low, high, bits })
    }

    fn add(&self, other: &Big) -> Option<Big> {
        let bits = self.bits;
        Big::new(
            finite(down(bits).add(&self.low, &other.low)),
            finite(up(bits).add(&self.high, &other.high)),
            bits,
        )
    }

    fn negated(&self) -> Big {
        Big { low: -self.high.clone(), high: -self.low.clone(), bits: self.bits }
    }

    fn times(&self, other: &Big) -> Option<Big> {
        let (bits, zero) = (self.bits, Repr::<2>::zero());
        // The usual case needs two products and not eight.
        if self.low >= zero && other.low >= zero {
            let (low, high) = (down(bits).mul(&self.low, &other.low), up(bits).mul(&self.high, &other.high));
            return Big::new(finite(low), finite(high), bits);
        }
        let pairs = [
            (&self.low, &other.low),
            (&self.low, &other.high),
            (&self.high, &other.low),
            (&self.high, &other.high),
        ];
        let (mut low, mut high): (Option<Repr<2>>, Option<Repr<2>>) = (None, None);
        for (a, b) in pairs {
            let floor = finite(down(bits).mul(a, b))?;
            let ceiling = finite(up(bits).mul(a, b))?;
            low = Some(match low {
                Some(low) if low <= floor => low,
                _ => floor,
            });
            high = Some(match high {
                Some(high) if high >= ceiling => high,
                _ => ceiling,
            });
        }
        Big::new(low, high, bits)
    }

    fn inverse(&self) -> Option<Big> {
        if !matches!(self.sign(), Some(Ordering::Less | Ordering::Greater)) {
            return None;
        }
        let one: Repr<2> = Repr::one();
        let bits = self.bits;
        Big::new(finite(down(bits).div(&one, &self.high)), finite(up(bits).div(&one, &self.low)), bits)
    }

    fn root(&self, n: usize) -> Option<Big> {
        if !self.is_above_zero() || n == 0 || n > 64 {
            return None;
        }
        let bits = self.bits;
        if n == 2 {
            return Big::new(finite(down(bits).sqrt(&self.low)), finite(up(bits).sqrt(&self.high)), bits);
        }
        Big::new(finite(down(bits).nth_root(n, &self.low)), finite(up(bits).nth_root(n, &self.high)), bits)
    }

    fn exp(&self, constants: &mut ConstCache) -> Option<Big> {
        if !self.is_moderate() {
            return None;
        }
        let bits = self.bits;
        let width = finite(up(bits).sub(&self.high, &self.low))?;
        if width > Repr::one() {
            let low = Big::exp_of(&self.low, bits, constants)?.low;
            return Big::new(Some(low), Some(Big::exp_of(&self.high, bits, constants)?.high), bits);
        }
        // One evaluation for both ends: e^w <= 1 + 2w for w from 0 to 1.
        let low = Big::exp_of(&self.low, bits, constants)?;
        let growth = finite(up(bits).add(&Repr::one(), &finite(up(bits).add(&width, &width))?));
        Big::new(Some(low.low), finite(up(bits).mul(&low.high, &growth?)), bits)
    }

    fn ln(&self, constants: &mut ConstCache) -> Option<Big> {
        if !self.is_above_zero() {
            return None;
        }
        let bits = self.bits;
        let low = Big::ln_of(&self.low, bits, constants)?;
        // ln b - ln a <= (b - a) / a
        let width = finite(up(bits).sub(&self.high, &self.low))?;
        let growth = finite(up(bits).div(&width, &self.low))?;
        Big::new(Some(low.low), finite(up(bits).add(&low.high, &growth)), bits)
    }

    fn sin_cos(&self, constants: &mut ConstCache) -> Option<(Big, Big)> {
        if !self.is_moderate() {
            return None;
        }
        // |sin a - sin b| <= |a - b|: the value at one end, widened by the width of the argument. Rounded down it lies
        // less than 2^(1 - bits) below the value, which is at most 1.
        let bits = self.bits;
        let width = finite(up(bits).sub(&self.high, &self.low))?;
        let unit = Repr::new(IBig::ONE, 1 - bits as isize);
        let above = finite(up(bits).add(&width, &unit))?;
        let spread = |value: Option<Repr<2>>| {
            let value = value?;
            Big::new(finite(down(bits).sub(&value, &width)), finite(up(bits).add(&value, &above)), bits)
        };
        if is_tiny(&self.low, bits) {
            return Some((spread(below(&self.low, bits))?, spread(below(&Repr::one(), bits))?));
        }
        let (sine, cosine) = down(bits).sin_cos(&self.low, Some(constants));
        Some((spread(finite(sine))?, spread(finite(cosine))?))
    }

    fn inverse_function(&self, function: &Function, constants: &mut ConstCache) -> Option<Big> {
        match function {
            Function::ArcSin => self.arc_sine(constants),
            Function::ArcCos => {
                let half = Big::rational(&RBig::from_parts(1.into(), 2_u8.into()), self.bits)?;
                let right_angle = Big::pi(self.bits, constants)?.times(&half)?;
                right_angle.add(&self.arc_sine(constants)?.negated())
            }
            Function::ArcTan => {
                let one = Big::rational(&RBig::ONE, self.bits)?;
                Big::angle(self, &one, constants)
            }
            _ => None,
        }
    }

    fn sign(&self) -> Option<Ordering> {
        let zero: Repr<2> = Repr::zero();
        if self.low > zero {
            Some(Ordering::Greater)
        } else if self.high < zero {
            Some(Ordering::Less)
        } else if self.low == zero && self.high == zero {
            Some(Ordering::Equal)
        } else {
            None
        }
    }

    fn floors(&self) -> Option<(i64, i64)> {
        if self.log2_size() > 60 {
            return None;
        }
        let floor = |x: &Repr<2>| {
            let (significand, exponent) = x.clone().into_parts();
            let shift = exponent.unsigned_abs();
            // `>>` on a big integer rounds towards minus infinity.
            i64::try_from(if exponent >= 0 { significand << shift } else { significand >> shift }).ok()
        };
        Some((floor(&self.low)?, floor(&self.high)?))
    }

    fn log2_size(&self) -> i64 {
        log2_size(&self.low).max(log2_size(&self.high))
    }

    fn cost(bits: usize) -> u64 {
        if bits <= 128 { 50 } else { 150 }
    }

    fn light(bits: usize) -> u64 {
        if bits <= 128 { 1 } else { 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::{Big, ConstCache, Function, IBig, Real, Repr, down, finite, up};
    use dashu_ratio::RBig;

    /// Exponentials and logarithms are enclosed by one evaluation and a bound: dashu's own must lie inside.
    #[test]
    fn enclosures_hold_what_dashu_rounds() {
        let constants = &mut ConstCache::new();
        for (above, below) in
            [(1, 3_u32), (2, 1), (7, 1), (1_000_003, 7), (1, 1_000_003), (355, 113), (1, 1), (999, 1000)]
        {
            for bits in [128, 512] {
                let x = Big::rational(&RBig::from_parts(above.into(), below.into()), bits).unwrap();
                let (e, l) = (x.exp(constants), x.ln(constants).unwrap());
                for end in [&x.low, &x.high] {
                    let ln =
                        finite(down(bits).ln(end, None)).unwrap()..=finite(up(bits).ln(end, None)).unwrap();
                    assert!(l.low <= *ln.start() && *ln.end() <= l.high, "ln {above}/{below} at {bits} bits");
                    assert!(l.log2_width() < 24 - bits as i64, "ln {above}/{below}: {l:?}");
                    if above < 1000 {
                        let e = e.as_ref().unwrap();
                        let exp = finite(down(bits).exp(end, None)).unwrap()
                            ..=finite(up(bits).exp(end, None)).unwrap();
                        assert!(
                            e.low <= *exp.start() && *exp.end() <= e.high,
                            "e^({above}/{below}) at {bits} bits"
                        );
                    }
                }
            }
        }
    }

    /// The same for angles.
    #[test]
    fn angles_hold_what_dashu_rounds() {
        let constants = &mut ConstCache::new();
        for (above, below) in
            [(0, 1_u32), (1, 3), (-1, 3), (1, 2), (-99, 100), (999_999, 1_000_000), (1, 1_000_003), (1, 1)]
        {
            for bits in [128, 512] {
                let x = Big::rational(&RBig::from_parts(above.into(), below.into()), bits).unwrap();
                let all = [Function::ArcSin, Function::ArcCos, Function::ArcTan];
                for function in all {
                    let found = x.inverse_function(&function, constants).unwrap();
                    let exact = |end: &Repr<2>| {
                        let context = down(2 * bits);
                        finite(match function {
                            Function::ArcSin => context.asin(end, None),
                            Function::ArcCos => context.acos(end, None),
                            _ => context.atan(end, None),
                        })
                        .unwrap()
                    };
                    for value in [exact(&x.low), exact(&x.high)] {
                        let inside = found.low <= value && value <= found.high;
                        assert!(inside, "{function:?} {above}/{below} at {bits} bits: {found:?}");
                    }
                    assert!(found.log2_width() < 34 - bits as i64, "{function:?} {above}/{below}: {found:?}");
                }
            }
        }
        for large in [40, 4000] {
            let x = Repr::new(IBig::ONE, large);
            let x = Big { low: x.clone(), high: x.clone(), bits: 512 };
            let found = x.inverse_function(&Function::ArcTan, constants).unwrap();
            let value = finite(down(1024).atan(&x.low, None)).unwrap();
            assert!(found.low <= value && value <= found.high, "arctan 2^{large}: {found:?}");
        }
    }

    /// exp asked dashu for e^(e^(-e^27)), which took 10^11 bits to round: a comparison that never ended.
    #[test]
    fn tiny_arguments_cost_no_more_than_others() {
        let constants = &mut ConstCache::new();
        for power in [-513_isize, -600, -100_000, -1_000_000_000_000] {
            for sign in [1_i8, -1] {
                let x = Repr::new(IBig::from(sign), power);
                let x = Big { low: x.clone(), high: x, bits: 512 };
                let (sine, cosine) = x.sin_cos(constants).unwrap();
                let near = |value: &Big, middle: i8| {
                    let distance = value.add(&Big::rational(&RBig::from(-middle), 512).unwrap()).unwrap();
                    assert!(distance.log2_size() < -505, "2^{power}: {value:?}");
                };
                near(&x.exp(constants).unwrap(), 1);
                near(&sine, 0);
                near(&cosine, 1);
                near(&x.inverse_function(&Function::ArcSin, constants).unwrap(), 0);
                near(&x.inverse_function(&Function::ArcTan, constants).unwrap(), 0);
                near(&x.inverse_function(&Function::ArcCos, constants).unwrap().cosine(constants), 0);
            }
        }
        // Where both ways are open they agree.
        for power in [-500_isize, -511, -512, -513] {
            let x = Repr::new(IBig::from(3), power - 2);
            let e = Big::exp_of(&x, 512, constants).unwrap();
            let exact = finite(down(2048).exp(&x, None)).unwrap();
            assert!(e.low <= exact && exact <= e.high, "e^(3 * 2^{power})");
        }
    }

    impl Big {
        fn cosine(&self, constants: &mut ConstCache) -> Big {
            self.sin_cos(constants).unwrap().1
        }

        fn log2_width(&self) -> i64 {
            self.add(&self.negated()).unwrap().log2_size()
        }
    }
}
