use super::Function;

#[test]
fn the_error_function_is_exact() {
    for (x, expected) in [
        (0.0, 0.0),
        (0.5, 0.520_499_877_813_046_5),
        (1.0, 0.842_700_792_949_714_9),
        (2.9, 0.999_958_902_121_900_5),
        (3.5, 0.999_999_256_901_627_7),
        (9.0, 1.0),
    ] {
        for sign in [1.0, -1.0] {
            let error = Function::Erf.of(sign * x) - sign * expected;
            assert!(error.abs() < 1e-15, "erf({x}): {error:e}");
        }
    }
    assert!(Function::Erf.of(f64::NAN).is_nan());
}
