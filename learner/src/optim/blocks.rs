//! A moment in 8 bits a number: blocks of 256 numbers, each with its greatest magnitude as scale.
//!
//! # Theory of operation
//! The 8 bits choose among levels between 0 and the block's greatest magnitude. As in the 8-bit optimisers of the field the
//! levels are dynamic: seven decades, each with twice as many levels as the one below, so that small numbers keep a few
//! bits and the large ones two decimal digits. The first moment has a sign and 128 levels. Of the second its root is kept,
//! with 255 levels: a root has half the decades of its square.
//!
//! Two things are not as usual, because a quotient of the two is taken:
//! - A root that is not 0 never becomes 0. Else a number whose gradients are far below its neighbours' would be divided by
//!   `eps` in the step in which its gradient is 0.
//! - A root is rounded up or down by chance, so that its mean is right. A second moment changes by a thousandth in a step,
//!   levels lie a hundredth apart: rounded to the nearest it would stay where it is. The chance is a function of the step
//!   and the place, so a resumed run repeats it.

use std::sync::LazyLock;

/// Numbers that share a scale.
pub(super) const BLOCK: usize = 256;

/// One moment of one parameter.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Blocks {
    /// One per number.
    pub(super) codes: Vec<u8>,
    /// One per block; the last block may be shorter.
    pub(super) scales: Vec<f32>,
}

impl Blocks {
    /// All zero.
    pub(super) fn zeros(count: usize) -> Blocks {
        Blocks { codes: vec![0; count], scales: vec![0.0; count.div_ceil(BLOCK)] }
    }
}

/// The levels of a code, and how to find the one below a number.
struct Levels {
    /// Rising from 0 to 1; then infinity, which nothing reaches.
    values: Vec<f32>,
    /// By the upper half of a number's bits, counted from `FIRST`: the greatest level that is not above such numbers. No two
    /// levels share an upper half, so the next one is the only other candidate.
    below: Vec<u8>,
}

/// The upper half of the bits of 5.5e-7, the lowest level above 0.
const FIRST: u32 = 0x3513;
/// And of 1.
const LAST: u32 = 0x3f80;

/// With 128 levels, for a number with a sign.
static SIGNED: LazyLock<Levels> = LazyLock::new(|| Levels::new(1));
/// With 255, for one without.
static UNSIGNED: LazyLock<Levels> = LazyLock::new(|| Levels::new(2));

impl Levels {
    /// Seven decades up to 1; the lowest has `least` levels.
    fn new(least: u32) -> Levels {
        let mut values = vec![0.0];
        for decade in 0..7 {
            let (count, top) = (least << decade, 10f64.powi(decade - 6));
            let level = |index: u32| (top * (0.1 + 0.9 * f64::from(index) / f64::from(count))) as f32;
            values.extend((1..=count).map(level));
        }
        let below = |half: u32| values.iter().filter(|level| level.to_bits() >> 16 < half).count() - 1;
        let below = (FIRST..=LAST).map(|half| below(half) as u8).collect();
        values.push(f32::INFINITY);
        Levels { values, below }
    }

    /// The greatest level that is not above `x`, of 0..=1.
    #[inline(always)]
    fn below(&self, x: f32) -> usize {
        let half = (x.to_bits() >> 16).clamp(FIRST, LAST) - FIRST;
        let level = usize::from(self.below[half as usize]);
        level + usize::from(x >= self.values[level + 1])
    }
}

/// The numbers of a block of the first moment.
#[inline(always)]
pub(super) fn decode_signed(codes: &[u8], scale: f32, out: &mut [f32]) {
    let levels = &SIGNED.values;
    for (out, &code) in out.iter_mut().zip(codes) {
        let magnitude = levels[usize::from(code & 0x7f)] * scale;
        *out = if code & 0x80 == 0 { magnitude } else { -magnitude };
    }
}

/// Stores a block of the first moment, each number as the nearest level; returns its scale.
#[inline(always)]
pub(super) fn encode_signed(values: &[f32], codes: &mut [u8]) -> f32 {
    let levels = &*SIGNED;
    let (scale, inverse) = scale(values.iter().map(|value| value.abs()));
    for (code, value) in codes.iter_mut().zip(values) {
        let x = (value.abs() * inverse).min(1.0);
        let level = levels.below(x);
        let nearest = level + usize::from(x - levels.values[level] > levels.values[level + 1] - x);
        *code = nearest as u8 | if *value < 0.0 { 0x80 } else { 0 };
    }
    scale
}

/// The numbers of a block of the second moment, of which the roots are stored.
#[inline(always)]
pub(super) fn decode_square(codes: &[u8], scale: f32, out: &mut [f32]) {
    let levels = &UNSIGNED.values;
    for (out, &code) in out.iter_mut().zip(codes) {
        let root = levels[usize::from(code)] * scale;
        *out = root * root;
    }
}

/// Stores the roots of a block of the second moment, rounded by the chance that `key` and the place decide; returns the
/// scale. Overwrites `values`.
#[inline(always)]
pub(super) fn encode_square(values: &mut [f32], codes: &mut [u8], key: u32) -> f32 {
    let levels = &*UNSIGNED;
    values.iter_mut().for_each(|value| *value = value.sqrt());
    let (scale, inverse) = scale(values.iter().copied());
    for (at, (code, value)) in codes.iter_mut().zip(values).enumerate() {
        let x = (*value * inverse).min(1.0);
        let level = levels.below(x);
        let (low, high) = (levels.values[level], levels.values[level + 1]);
        // At the highest level the next one is infinite, and nothing is above the level itself.
        let up = x - low > (high - low) * uniform(key, at as u32);
        let least = usize::from(x > 0.0);
        *code = (level + usize::from(up)).max(least) as u8;
    }
    scale
}

/// The greatest of the magnitudes, and what to multiply with to bring them to 0..=1.
#[inline(always)]
fn scale(magnitudes: impl Iterator<Item = f32>) -> (f32, f32) {
    let greatest = magnitudes.fold(0.0, |a, b| if b > a { b } else { a });
    // A block of numbers so small that 1 / greatest is infinite is as good as 0.
    if greatest > 1e-37 { (greatest, 1.0 / greatest) } else { (0.0, 0.0) }
}

/// A number in 0..1 that key and place decide.
#[inline(always)]
fn uniform(key: u32, at: u32) -> f32 {
    (scramble(key ^ at.wrapping_mul(0x9e37_79b9)) >> 8) as f32 * (1.0 / (1u32 << 24) as f32)
}

/// The key of a block: what step it is stored in, of which parameter, and where.
pub(super) fn key(step: u64, slot: usize, block: usize) -> u32 {
    [step as u32, slot as u32, block as u32].into_iter().fold(0, |key, part| scramble(key ^ scramble(part)))
}

/// Spreads each bit over all others, and is one to one.
#[inline(always)]
fn scramble(x: u32) -> u32 {
    let x = x.wrapping_add(0x6d2b_79f5);
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table finds what a search of all levels finds, at the levels, beside them, and between.
    #[test]
    fn the_level_below_is_found() {
        for levels in [&*SIGNED, &*UNSIGNED] {
            let count = levels.values.len() - 1;
            let mut tried: Vec<f32> = (0..=200_000).map(|i| i as f32 / 2e5).collect();
            for level in &levels.values[1..count] {
                tried.extend([
                    f32::from_bits(level.to_bits() - 1),
                    *level,
                    f32::from_bits(level.to_bits() + 1),
                ]);
                tried.extend([level * 0.7, level * 0.1]);
            }
            for x in tried.into_iter().filter(|x| *x <= 1.0) {
                let expected = levels.values.iter().filter(|level| **level <= x).count() - 1;
                assert_eq!(levels.below(x), expected, "{x} of {count} levels");
            }
        }
        assert_eq!((SIGNED.values.len(), UNSIGNED.values.len()), (128 + 1, 255 + 1));
    }

    #[test]
    fn first_moments_come_back_to_their_digits_and_second_ones_on_average() {
        let values: Vec<f32> =
            (0..BLOCK).map(|i| (i as f32 - 127.5) * 1e-4 * 1.07f32.powi(i as i32 % 40)).collect();
        let mut codes = vec![0; BLOCK];
        let scale = encode_signed(&values, &mut codes);
        let mut back = vec![0.0; BLOCK];
        decode_signed(&codes, scale, &mut back);
        for (value, back) in values.iter().zip(&back) {
            // The highest decade's levels are 0.014 apart, and each below has half as many over a tenth of the width.
            let bound = scale * 0.0071 + 1e-12;
            assert!((value - back).abs() <= bound && value.signum() * back.signum() >= 0.0, "{value} {back}");
        }
        let squares: Vec<f32> = values.iter().map(|value| value * value).collect();
        let mut mean = vec![0.0f64; BLOCK];
        for step in 0..2000 {
            let mut given = squares.clone();
            let scale = encode_square(&mut given, &mut codes, key(step, 3, 7));
            decode_square(&codes, scale, &mut back);
            mean.iter_mut().zip(&back).for_each(|(mean, back)| *mean += f64::from(back.sqrt()) / 2000.0);
        }
        for (value, mean) in values.iter().zip(&mean) {
            let value = f64::from(value.abs());
            // A root between two levels at most a fifth of it apart, a coin thrown 2000 times.
            assert!((value - mean).abs() < 0.01 * value, "{value} {mean}");
        }
    }

    /// A root far below its neighbours' became 0, and the quotient by it a step of hundreds of learning rates.
    #[test]
    fn what_is_not_zero_is_not_stored_as_zero() {
        let mut values = vec![1.0f32; BLOCK];
        values[1] = 1e-30;
        values[2] = 0.0;
        let mut codes = vec![0; BLOCK];
        let scale = encode_square(&mut values, &mut codes, 1);
        assert_eq!((scale, codes[0], codes[1], codes[2]), (1.0, 254, 1, 0));
        let mut back = vec![0.0; BLOCK];
        for values in [[0.0f32; 5], [1e-40; 5]] {
            let root = encode_square(&mut values.clone(), &mut codes[..5], 1);
            decode_square(&codes[..5], root, &mut back[..5]);
            assert!(back[..5].iter().zip(values).all(|(back, value)| (back - value).abs() <= 0.01 * value));
            // 1 / 1e-40 is infinite: such a first moment is as good as none.
            assert_eq!(encode_signed(&values, &mut codes[..5]), 0.0);
            decode_signed(&codes[..5], 0.0, &mut back[..5]);
            assert_eq!(back[..5], [0.0; 5]);
        }
    }
}
