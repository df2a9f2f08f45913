//! Resampling and attention beside what their definitions say of one element at a time.

use proptest::prelude::*;

use super::*;
use crate::host::array::indices;

fn number(x: usize) -> f64 {
    f64::from(u32::try_from(x).unwrap())
}

/// Elements between -1 and 1 that follow from a seed.
fn random(shape: &[usize], seed: u64) -> Tensor {
    let count: usize = shape.iter().product();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let elements = (0..count).map(|_| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        f32::from(u16::try_from(state >> 48).unwrap()) / 32_768.0 - 1.0
    });
    Tensor::from_f32(shape, elements.collect()).unwrap()
}

fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs();
        assert!(error <= 1e-6 * (1.0 + expected.abs()), "{place}: {found} and not {expected}");
    }
}

/// Where a place of the output lies in an input of `width` elements, as the operator's
/// documentation defines it.
fn origin(how: Coordinates, at: f64, scale: f64, width: f64, resized: f64) -> f64 {
    match how {
        Coordinates::Asymmetric => at / scale,
        Coordinates::AlignCorners if resized == 1.0 => 0.0,
        Coordinates::AlignCorners => at * (width - 1.0) / (resized - 1.0),
        Coordinates::PytorchHalfPixel if resized == 1.0 => -0.5,
        _ => (at + 0.5) / scale - 0.5,
    }
}

/// The elements around a place with their weights, as the documentation of each way lists them.
fn neighbours(how: Interpolation, x: f64) -> Vec<(i64, f64)> {
    let (floor, r) = (x.floor(), x - x.floor());
    #[expect(clippy::cast_possible_truncation, reason = "places are small")]
    let first = floor as i64;
    match how {
        Interpolation::Nearest { one_sided: true, prefer_ceil } => {
            vec![(first + i64::from(prefer_ceil && r != 0.0), 1.0)]
        }
        Interpolation::Nearest { prefer_ceil, .. } => {
            let up = if prefer_ceil { 0.5 <= r } else { 0.5 < r };
            vec![(first + i64::from(up), 1.0)]
        }
        Interpolation::Linear { .. } => vec![(first, 1.0 - r), (first + 1, r)],
        Interpolation::Cubic { a, .. } => vec![
            (first - 1, ((a * (r + 1.0) - 5.0 * a) * (r + 1.0) + 8.0 * a) * (r + 1.0) - 4.0 * a),
            (first, ((a + 2.0) * r - (a + 3.0)) * r * r + 1.0),
            (first + 1, ((a + 2.0) * (1.0 - r) - (a + 3.0)) * (1.0 - r) * (1.0 - r) + 1.0),
            (first + 2, ((a * (2.0 - r) - 5.0 * a) * (2.0 - r) + 8.0 * a) * (2.0 - r) - 4.0 * a),
        ],
    }
}

/// One element of the output: the sum over all neighbours in all axes.
fn resampled(x: &[f64], shape: &[usize], taps: &[Vec<(i64, f64)>]) -> f64 {
    let counts: Vec<usize> = taps.iter().map(Vec::len).collect();
    let mut sum = 0.0;
    for choice in indices(&counts) {
        let (mut place, mut weight) = (0, 1.0);
        for (axis, &chosen) in choice.iter().enumerate() {
            let (at, own) = taps[axis][chosen];
            let last = i64::try_from(shape[axis]).unwrap() - 1;
            place = place * shape[axis] + usize::try_from(at.clamp(0, last)).unwrap();
            weight *= own;
        }
        sum += x[place] * weight;
    }
    sum
}

fn interpolation() -> impl Strategy<Value = Interpolation> {
    prop_oneof![
        (any::<bool>(), any::<bool>())
            .prop_map(|(prefer_ceil, one_sided)| Interpolation::Nearest { prefer_ceil, one_sided }),
        Just(Interpolation::Linear { antialias: false }),
        prop_oneof![Just(-0.75), Just(-0.5)]
            .prop_map(|a| Interpolation::Cubic { antialias: false, a }),
    ]
}

fn coordinates() -> impl Strategy<Value = Coordinates> {
    prop_oneof![
        Just(Coordinates::HalfPixel),
        Just(Coordinates::PytorchHalfPixel),
        Just(Coordinates::AlignCorners),
        Just(Coordinates::Asymmetric),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn images_are_resampled_as_defined(
        coordinates in coordinates(),
        interpolation in interpolation(),
        exclude_outside in any::<bool>(),
        axes in prop::collection::vec((1_usize..7, 1_usize..9), 1..4),
        seed in any::<u64>(),
    ) {
        let cubic = matches!(interpolation, Interpolation::Cubic { .. });
        let exclude_outside = exclude_outside && cubic;
        let (shape, sizes): (Vec<usize>, Vec<usize>) = axes.into_iter().unzip();
        let x = random(&shape, seed);
        let resize = Resize {
            coordinates,
            interpolation,
            axes: None,
            exclude_outside,
            extrapolation: 0.0,
            keep_aspect: KeepAspect::Stretch,
        };
        let wanted: Vec<i64> = sizes.iter().map(|&size| i64::try_from(size).unwrap()).collect();
        let none = floats(&[0], &[]);
        let inputs = [x.clone(), none.clone(), none, whole(&[sizes.len()], &wanted)];
        let found = first(&Op::Resize(resize), &inputs);
        let x = x.to_f64();
        let expected: Vec<f64> = indices(&sizes)
            .map(|at| {
                let taps: Vec<Vec<(i64, f64)>> = at
                    .iter()
                    .enumerate()
                    .map(|(axis, &at)| {
                        let (width, size) = (number(shape[axis]), number(sizes[axis]));
                        let scale = size / width;
                        if scale == 1.0 {
                            return vec![(i64::try_from(at).unwrap(), 1.0)];
                        }
                        let place = origin(coordinates, number(at), scale, width, size);
                        let mut taps = neighbours(interpolation, place);
                        if exclude_outside {
                            let inside = 0..i64::try_from(shape[axis]).unwrap();
                            taps.retain(|(at, _)| inside.contains(at));
                            let sum: f64 = taps.iter().map(|(_, weight)| weight).sum();
                            taps.iter_mut().for_each(|(_, weight)| *weight /= sum);
                        }
                        taps
                    })
                    .collect();
                resampled(&x, &shape, &taps)
            })
            .collect();
        close(&found, &expected);
    }

    #[test]
    fn attention_is_as_defined(
        [batch, key_heads, shared, positions, keys, width, value_width] in prop::array::uniform7(1_usize..5),
        (causal, masked, capped, has_past) in any::<(bool, bool, bool, bool)>(),
        seed in any::<u64>(),
    ) {
        let (heads, past) = (key_heads * shared, if has_past { 2 } else { 0 });
        let all = past + keys;
        let attention = Attention {
            causal,
            query_heads: None,
            key_heads: None,
            scale: None,
            softcap: if capped { 1.5 } else { 0.0 },
            scores: 3,
        };
        let q = random(&[batch, heads, positions, width], seed);
        let k = random(&[batch, key_heads, keys, width], seed ^ 1);
        let v = random(&[batch, key_heads, keys, value_width], seed ^ 2);
        let mask = random(&[positions, all], seed ^ 3);
        let old_k = random(&[batch, key_heads, past, width], seed ^ 4);
        let old_v = random(&[batch, key_heads, past, value_width], seed ^ 5);
        let given = [Some(&q), Some(&k), Some(&v), masked.then_some(&mask)]
            .into_iter()
            .chain(if has_past { [Some(&old_k), Some(&old_v)] } else { [None, None] });
        let facts: Vec<Option<Fact>> =
            given.map(|tensor| tensor.cloned().map(Fact::constant)).collect();
        let facts = Facts(facts.iter().map(Option::as_ref).collect());
        let op = super::attention(attention);
        let results = op.infer(&facts, 1).unwrap();
        let found = fold::evaluate(&op, &facts, &results).unwrap().unwrap()[0].to_f64();

        let [q, k, v, mask, old_k, old_v] =
            [&q, &k, &v, &mask, &old_k, &old_v].map(Tensor::to_f64);
        // Element `w` of position `at`, of which the first ones are of the past.
        let element = |old: &[f64], new: &[f64], wide: usize, [b, h, at, w]: [usize; 4]| {
            let row = b * key_heads + h;
            match at.checked_sub(past) {
                None => old[(row * past + at) * wide + w],
                Some(at) => new[(row * keys + at) * wide + w],
            }
        };
        let expected: Vec<f64> = indices(&[batch, heads, positions, value_width])
            .map(|place| {
                let [b, h, at, w] = [0, 1, 2, 3].map(|axis| place[axis]);
                let from = (b * heads + h) * positions + at;
                let weights: Vec<f64> = (0..all)
                    .map(|key| {
                        let products = (0..width).map(|i| {
                            q[from * width + i] * element(&old_k, &k, width, [b, h / shared, key, i])
                        });
                        let mut score = products.sum::<f64>() / number(width).sqrt();
                        if capped {
                            score = 1.5 * (score / 1.5).tanh();
                        }
                        if masked {
                            score += mask[at * all + key];
                        }
                        if causal && past + at < key { 0.0 } else { score.exp() }
                    })
                    .collect();
                let sum: f64 = weights.iter().sum();
                let values = (0..all).map(|key| {
                    weights[key] / sum * element(&old_v, &v, value_width, [b, h / shared, key, w])
                });
                values.sum()
            })
            .collect();
        close(&found, &expected);
    }
}
