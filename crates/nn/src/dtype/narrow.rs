//! Types of a byte or less, which are converted by what they are made of.

use super::DType;

/// How a float of a byte or less is built.
struct Format {
    exponent_bits: u32,
    mantissa_bits: u32,
    bias: i32,
    /// The largest number.
    largest: f64,
    special: Special,
}

/// What the format spends on things that are not numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Special {
    /// Infinities and NaN at the largest exponent.
    Ieee,
    /// NaN where all bits but the sign are set.
    OneNan,
    /// NaN where zero would be negative.
    NegativeZero,
    Nothing,
}

fn format(dtype: DType) -> Format {
    let (exponent_bits, mantissa_bits, bias, largest, special) = match dtype {
        DType::F8E4M3FN => (4, 3, 7, 448.0, Special::OneNan),
        DType::F8E4M3FNUZ => (4, 3, 8, 240.0, Special::NegativeZero),
        DType::F8E5M2 => (5, 2, 15, 57_344.0, Special::Ieee),
        DType::F8E5M2FNUZ => (5, 2, 16, 57_344.0, Special::NegativeZero),
        _ => (2, 1, 1, 6.0, Special::Nothing),
    };
    Format { exponent_bits, mantissa_bits, bias, largest, special }
}

/// The value of an integer of `bits` bits in two's complement.
pub(crate) fn signed(byte: u8, bits: u32) -> i64 {
    let shift = 8 - bits;
    i64::from((byte << shift).cast_signed() >> shift)
}

/// The value of a narrow float.
pub(crate) fn to_f64(dtype: DType, byte: u8) -> f64 {
    if dtype == DType::F8E8M0 {
        return if byte == 0xff { f64::NAN } else { 2f64.powi(i32::from(byte) - 127) };
    }
    let format = format(dtype);
    let width = format.exponent_bits + format.mantissa_bits;
    let (magnitude, negative) = (byte & low_bits(width), byte >> width & 1 == 1);
    let is_nan = match format.special {
        Special::NegativeZero => negative && magnitude == 0,
        Special::OneNan => magnitude == low_bits(width),
        Special::Ieee | Special::Nothing => false,
    };
    if is_nan {
        return f64::NAN;
    }
    let exponent = i32::from(magnitude >> format.mantissa_bits);
    let mantissa = f64::from(magnitude & low_bits(format.mantissa_bits));
    let one = 2f64.powi(exponents(format.mantissa_bits));
    let value = if format.special == Special::Ieee
        && exponent == exponents(low_bits(format.exponent_bits).into())
    {
        if mantissa == 0.0 { f64::INFINITY } else { f64::NAN }
    } else if exponent == 0 {
        mantissa / one * 2f64.powi(1 - format.bias)
    } else {
        (1.0 + mantissa / one) * 2f64.powi(exponent - format.bias)
    };
    if negative { -value } else { value }
}

/// The nearest narrow float, ties to even; the next power of two upwards. What is too large becomes
/// the largest number if it `saturates`, and infinity or NaN otherwise.
pub(crate) fn from_f64(dtype: DType, value: f64, saturates: bool) -> u8 {
    if dtype == DType::F8E8M0 {
        return power_above(value.abs());
    }
    let format = format(dtype);
    let width = format.exponent_bits + format.mantissa_bits;
    let sign = if value.is_sign_negative() { 1 << width } else { 0 };
    let infinity = low_bits(format.exponent_bits) << format.mantissa_bits;
    let largest = match format.special {
        Special::Ieee => infinity - 1,
        Special::OneNan => low_bits(width) - 1,
        Special::NegativeZero | Special::Nothing => low_bits(width),
    };
    let not_a_number = match format.special {
        Special::Ieee | Special::OneNan => sign | low_bits(width),
        Special::NegativeZero => 1 << width,
        Special::Nothing => 1 << width,
    };
    if value.is_nan() {
        return not_a_number;
    }
    // Half a step above the largest number is where rounding would leave the format.
    let step = format.largest - to_f64(dtype, largest - 1);
    let beyond = format.largest + step / 2.0 <= value.abs();
    if beyond && !saturates && format.special != Special::Nothing {
        return if format.special == Special::Ieee { sign | infinity } else { not_a_number };
    }
    let magnitude = nearest(dtype, value.abs().min(format.largest), largest);
    if magnitude == 0 && format.special == Special::NegativeZero { 0 } else { sign | magnitude }
}

/// The code of the least power of two that is not below a value.
fn power_above(value: f64) -> u8 {
    if value.is_nan() {
        return 0xff;
    }
    least(0xfe, |code| value <= to_f64(DType::F8E8M0, code))
}

/// The code of the nearest number up to that of `largest`, among numbers that grow with their
/// codes; ties to even codes.
fn nearest(dtype: DType, value: f64, largest: u8) -> u8 {
    let above = least(largest, |code| value <= to_f64(dtype, code));
    let below = above.saturating_sub(1);
    let (up, down) = (to_f64(dtype, above) - value, value - to_f64(dtype, below));
    if down < up || (down == up && below.is_multiple_of(2)) { below } else { above }
}

/// The least code up to `most` that reaches something, as all codes behind it do; the last one
/// where none does.
fn least(most: u8, reaches: impl Fn(u8) -> bool) -> u8 {
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low + (high - low) / 2;
        if reaches(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

fn low_bits(count: u32) -> u8 {
    u8::MAX.checked_shr(8 - count.min(8)).unwrap_or(0)
}

fn exponents(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOATS: [DType; 6] = [
        DType::F8E4M3FN,
        DType::F8E4M3FNUZ,
        DType::F8E5M2,
        DType::F8E5M2FNUZ,
        DType::F8E8M0,
        DType::F4E2M1,
    ];

    #[test]
    fn every_number_survives_the_way_there_and_back() {
        for dtype in FLOATS {
            let codes = if dtype == DType::F4E2M1 { 0..=15 } else { 0..=u8::MAX };
            for code in codes {
                let value = to_f64(dtype, code);
                if value.is_finite() {
                    let back = to_f64(dtype, from_f64(dtype, value, true));
                    assert_eq!(back.to_bits(), value.to_bits(), "{dtype} {code:#x}");
                }
            }
        }
    }

    #[test]
    fn the_largest_numbers_are_those_of_the_specification() {
        let found = FLOATS[..4].iter().map(|&dtype| to_f64(dtype, from_f64(dtype, 1e9, true)));
        assert_eq!(found.collect::<Vec<_>>(), [448.0, 240.0, 57_344.0, 57_344.0]);
        assert!(to_f64(DType::F8E4M3FN, from_f64(DType::F8E4M3FN, 1e9, false)).is_nan());
        assert_eq!(to_f64(DType::F8E5M2, from_f64(DType::F8E5M2, -1e9, false)), f64::NEG_INFINITY);
        assert_eq!(to_f64(DType::F4E2M1, from_f64(DType::F4E2M1, -100.0, true)), -6.0);
    }

    #[test]
    fn small_integers_have_a_sign() {
        assert_eq!([signed(0xf, 4), signed(8, 4), signed(7, 4)], [-1, -8, 7]);
        assert_eq!([signed(3, 2), signed(2, 2), signed(1, 2)], [-1, -2, 1]);
    }
}
