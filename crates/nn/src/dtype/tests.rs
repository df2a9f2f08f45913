use super::*;

#[test]
fn every_half_survives_a_round_trip() {
    for bits in 0..=u16::MAX {
        let value = f16_to_f64(bits);
        if value.is_nan() {
            assert!(f16_to_f64(f64_to_f16(value)).is_nan());
        } else {
            assert_eq!(f64_to_f16(value), bits, "{bits:#06x}");
        }
    }
}

#[test]
fn halves_round_to_even_and_overflow_to_infinity() {
    assert_eq!(f64_to_f16(1.0 + 2f64.powi(-11)), 0x3c00);
    assert_eq!(f64_to_f16(1.0 + 3.0 * 2f64.powi(-11)), 0x3c02);
    assert_eq!(f64_to_f16(65504.0), 0x7bff);
    assert_eq!(f64_to_f16(65519.9), 0x7bff);
    assert_eq!(f64_to_f16(65520.0), 0x7c00);
    assert_eq!(f64_to_f16(-1e300), 0xfc00);
    assert_eq!(f64_to_f16(2f64.powi(-25)), 0);
    assert_eq!(f64_to_f16(1.1 * 2f64.powi(-25)), 1);
    assert_eq!(f64_to_f16(-0.0), 0x8000);
}

#[test]
fn bfloats_round_to_even() {
    assert_eq!(f64_to_bf16(1.0), 0x3f80);
    assert_eq!(f64_to_bf16(1.0 + 2f64.powi(-8)), 0x3f80);
    assert_eq!(f64_to_bf16(1.0 + 3.0 * 2f64.powi(-8)), 0x3f82);
    assert!(bf16_to_f64(f64_to_bf16(f64::NAN)).is_nan());
    assert_eq!(bf16_to_f64(f64_to_bf16(f64::NEG_INFINITY)), f64::NEG_INFINITY);
}

#[test]
fn integers_saturate() {
    assert_eq!(truncate_i64(-2.9), -2);
    assert_eq!(truncate_i64(1e300), i64::MAX);
    assert_eq!(truncate_i64(f64::NAN), 0);
}
