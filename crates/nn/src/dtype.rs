//! Element types, and conversions of single elements.

pub(crate) mod narrow;

pub use anabranch_hal::dtype::DType;

/// Rounds to the nearest `f32`, ties to even; beyond its range is infinity.
#[expect(clippy::cast_possible_truncation, reason = "rounding is what is asked for")]
pub(crate) fn round_f32(value: f64) -> f32 {
    value as f32
}

/// Truncates towards zero and saturates; NaN is 0.
#[expect(clippy::cast_possible_truncation, reason = "saturation is what is asked for")]
pub(crate) fn truncate_i64(value: f64) -> i64 {
    value as i64
}

/// The value of an IEEE half.
pub(crate) fn f16_to_f64(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from((bits >> 10) & 0x1f);
    let mantissa = f64::from(bits & 0x3ff);
    sign * match exponent {
        0 => mantissa * 2f64.powi(-24),
        0x1f if mantissa == 0.0 => f64::INFINITY,
        0x1f => f64::NAN,
        _ => (1024.0 + mantissa) * 2f64.powi(exponent - 25),
    }
}

/// The nearest IEEE half, ties to even.
#[expect(clippy::cast_possible_truncation, reason = "each cast keeps the bits that it needs")]
#[expect(clippy::cast_sign_loss, reason = "the sign is kept apart")]
pub(crate) fn f64_to_f16(value: f64) -> u16 {
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    let magnitude = value.abs();
    if value.is_nan() {
        return sign | 0x7e00;
    }
    // From here on the distance of neighbouring halves is a power of two that f64 can divide by.
    let exponent = (((magnitude.to_bits() >> 52) as i32) - 1023).max(-14);
    let steps = (magnitude / 2f64.powi(exponent - 10)).round_ties_even();
    if exponent > 15 || (exponent == 15 && steps >= 2048.0) {
        return sign | 0x7c00;
    }
    // A carry out of the mantissa increments the exponent, as it should.
    let base = ((exponent + 14) << 10) as u16;
    sign | (base + steps as u16)
}

/// The value of a bfloat16.
pub(crate) fn bf16_to_f64(bits: u16) -> f64 {
    f64::from(f32::from_bits(u32::from(bits) << 16))
}

/// The nearest bfloat16, ties to even.
#[expect(clippy::cast_possible_truncation, reason = "the upper half is what is asked for")]
pub(crate) fn f64_to_bf16(value: f64) -> u16 {
    let single = round_f32(value);
    if single.is_nan() {
        return ((single.to_bits() >> 16) | 0x40) as u16;
    }
    let bits = single.to_bits();
    (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

#[cfg(test)]
mod tests;
