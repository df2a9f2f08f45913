//! Numbers in fewer bits: the nearest `bf16`, and the 8-bit integers of a level.

use super::simd::Simd;

/// Pieces of a run that are looked at beside each other.
const CHAINS: usize = 4;
/// The most elements of a vector.
const LANES_MAX: usize = 16;
/// Added to a small number, it leaves the nearest integer in the lowest bits.
const INTEGERS: f32 = 12_582_912.0;

/// What the integers of some factors stand for: `(integer - zero) * scale`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Level {
    pub(super) scale: f32,
    pub(super) zero: u8,
}

impl Level {
    /// The level at which some numbers, and zero, take all of 8 bits. Its scale is NaN when there
    /// is an infinity or NaN among them.
    #[inline(always)]
    pub(super) fn of<S: Simd>(simd: S, values: &[f32]) -> Self {
        let nothing = simd.splat(0.0);
        let (mut low, mut high, mut odd) =
            ([nothing; CHAINS], [nothing; CHAINS], [nothing; CHAINS]);
        let mut note = |chain: usize, x: S::V| {
            low[chain] = simd.smaller(x, low[chain]);
            high[chain] = simd.larger(x, high[chain]);
            // Nothing but an infinity or NaN makes more than nothing of zero.
            odd[chain] = simd.fma(x, nothing, odd[chain]);
        };
        let mut pieces = values.chunks_exact(CHAINS * S::LANES);
        for piece in &mut pieces {
            for chain in 0..CHAINS {
                note(chain, simd.load(&piece[chain * S::LANES..]));
            }
        }
        for lanes in pieces.remainder().chunks(S::LANES) {
            note(0, simd.load_some(lanes));
        }
        let each = |chains: [S::V; CHAINS]| {
            let mut lanes = [0.0; CHAINS * LANES_MAX];
            for (chain, lanes) in chains.into_iter().zip(lanes.chunks_exact_mut(LANES_MAX)) {
                simd.store(chain, lanes);
            }
            lanes
        };
        if each(odd).into_iter().any(f32::is_nan) {
            return Self { scale: f32::NAN, zero: 0 };
        }
        let low = each(low).into_iter().fold(0.0, f32::min);
        let high = each(high).into_iter().fold(0.0, f32::max);
        let scale = (high / 255.0 - low / 255.0).max(f32::MIN_POSITIVE);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "from 0 to 255, as low is in the range"
        )]
        #[expect(clippy::cast_sign_loss, reason = "as above")]
        let zero = (-low / scale).round_ties_even().min(255.0) as u8;
        Self { scale, zero }
    }

    /// How numbers become integers.
    #[inline(always)]
    pub(super) fn bytes(self) -> Bytes {
        let zero = f32::from(self.zero);
        let (low, high) = (-zero, 255.0 - zero);
        Bytes { inverse: 1.0 / self.scale, low, high, zero: self.zero.into() }
    }
}

/// The way from numbers to the integers of a level.
#[derive(Clone, Copy)]
pub(super) struct Bytes {
    inverse: f32,
    low: f32,
    high: f32,
    zero: u32,
}

impl Bytes {
    /// The nearest integer, ties to even before the zero is added; any for NaN.
    #[inline(always)]
    pub(super) fn of(self, value: f32) -> u32 {
        let steps = value * self.inverse;
        let steps = if steps > self.low { steps } else { self.low };
        let steps = if steps < self.high { steps } else { self.high };
        (steps + INTEGERS).to_bits().wrapping_add(self.zero) & 0xff
    }
}

/// The scale at which the numbers of a constant take the integers from -127 to 127.
pub(super) fn scale(values: impl Iterator<Item = f32>) -> f32 {
    let largest = values.fold(0.0, |largest, value| value.abs().max(largest));
    (largest / 127.0).max(f32::MIN_POSITIVE)
}

/// The nearest integer from -127 to 127, ties to even.
#[expect(clippy::cast_possible_truncation, reason = "clamped, and NaN becomes 0")]
pub(super) fn signed(value: f32, scale: f32) -> i8 {
    (value / scale).round_ties_even().clamp(-127.0, 127.0) as i8
}

/// The nearest `bf16`, ties to even; NaN stays NaN.
#[inline(always)]
pub(super) fn half(value: f32) -> u32 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    if value.is_nan() { bits >> 16 | 0x40 } else { rounded }
}
