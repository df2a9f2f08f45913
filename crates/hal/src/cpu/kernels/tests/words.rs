//! Convolutions in fewer bits, bit for bit against plain loops that round in the same way.

use super::dots::nearest_half;
use super::products::random_conv;
use super::*;
use crate::kernel::{Conv2d, Function, Precision};

const REDUCED: [Precision; 2] = [Precision::Bf16, Precision::Int8];

/// A convolution that is taken in fewer bits, with something behind its sums that is the same on
/// every instruction set.
fn narrow_conv(random: &mut Random, precision: Precision) -> Conv2d {
    loop {
        let conv = random_conv(random);
        let activation = random.pick(&[Function::Identity, Function::Relu]);
        let conv = Conv2d { packed: true, activation, precision, ..conv };
        if Kernels::default().packed_bytes(&Kernel::Conv2d(conv.clone())).is_some() {
            return conv;
        }
    }
}

/// The same convolution in `f32`, on plain operands.
fn plain(conv: &Conv2d) -> Kernel {
    Kernel::Conv2d(Conv2d { packed: false, precision: Precision::F32, ..conv.clone() })
}

/// Runs a convolution with its packed weight.
fn reduced(isa: Isa, conv: &Conv2d, inputs: &[Vec<f32>]) -> Vec<f32> {
    let kernel = Kernel::Conv2d(conv.clone());
    let mut inputs = inputs.to_vec();
    inputs[1] = packed(isa, &kernel, &inputs[1]);
    run(isa, &kernel, &inputs)
}

/// What an image, or the weight of an output channel, becomes: integers without their zero, and
/// what one of them stands for.
#[expect(clippy::cast_possible_truncation, reason = "integers of a few bits")]
fn integers(values: &[f32], is_image: bool) -> (Vec<i64>, f32) {
    let (low, high) = values.iter().fold((0.0f32, 0.0f32), |(l, h), &x| (l.min(x), h.max(x)));
    if !is_image {
        let scale = (high.max(-low) / 127.0).max(f32::MIN_POSITIVE);
        let of = |x: &f32| (x / scale).round_ties_even() as i64;
        return (values.iter().map(of).collect(), scale);
    }
    let scale = (high / 255.0 - low / 255.0).max(f32::MIN_POSITIVE);
    let (inverse, zero) = (1.0 / scale, (-low / scale).round_ties_even() as i64);
    let of = |x: &f32| (((x * inverse).round_ties_even() as i64) + zero).clamp(0, 255) - zero;
    (values.iter().map(of).collect(), scale)
}

/// The elements that meet in each sum, in the order of the depth: channels of `per_word`, in each
/// the taps; `None` in the padding. The place in the input, and that in the weight.
fn pairs(conv: &Conv2d, at: [usize; 4]) -> Vec<(Option<usize>, usize)> {
    let [n, oc, oy, ox] = at;
    let ([h, w], [kh, kw]) = (conv.in_size, conv.kernel);
    let ins = conv.in_channels / conv.groups;
    let first = oc / (conv.out_channels / conv.groups) * ins;
    let mut all = Vec::new();
    for ic in 0..ins {
        for (ky, kx) in (0..kh).flat_map(|y| (0..kw).map(move |x| (y, x))) {
            let y = (oy * conv.stride[0] + ky * conv.dilation[0]).checked_sub(conv.pads[0]);
            let x = (ox * conv.stride[1] + kx * conv.dilation[1]).checked_sub(conv.pads[1]);
            let inside = y.filter(|&y| y < h).zip(x.filter(|&x| x < w));
            let place = |(y, x)| ((n * conv.in_channels + first + ic) * h + y) * w + x;
            all.push((inside.map(place), ((oc * ins + ic) * kh + ky) * kw + kx));
        }
    }
    all
}

/// Every element of the output with what lies behind the sums.
fn finished(
    conv: &Conv2d,
    inputs: &[Vec<f32>],
    sum: impl Fn([usize; 4], Vec<(Option<usize>, usize)>) -> f32,
) -> Vec<f32> {
    let [oh, ow] = conv.out_size().unwrap();
    let mut found = Vec::new();
    for (n, oc) in (0..conv.batch).flat_map(|n| (0..conv.out_channels).map(move |c| (n, c))) {
        for (oy, ox) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
            let at = [n, oc, oy, ox];
            let mut y = sum(at, pairs(conv, at));
            if conv.bias {
                y += inputs[2][oc];
            }
            if conv.residual {
                y += inputs[2 + usize::from(conv.bias)][found.len()];
            }
            found.push(if conv.activation == Function::Relu && y < 0.0 { 0.0 } else { y });
        }
    }
    found
}

/// Sums of integers without an end, at a level for each image and group.
fn of_integers(conv: &Conv2d, inputs: &[Vec<f32>]) -> Vec<f32> {
    let plane = conv.in_channels / conv.groups * conv.in_size[0] * conv.in_size[1];
    let depth = conv.in_channels / conv.groups * conv.kernel[0] * conv.kernel[1];
    let levels = |values: &[f32], run: usize, is_image: bool| -> (Vec<i64>, Vec<f32>) {
        let runs = values.chunks_exact(run.max(1)).map(|run| integers(run, is_image));
        let (integers, scales): (Vec<_>, Vec<_>) = runs.unzip();
        (integers.concat(), scales)
    };
    let (x, x_scales) = levels(&inputs[0], plane, true);
    let (w, w_scales) = levels(&inputs[1], depth, false);
    finished(conv, inputs, |[n, oc, ..], pairs| {
        let products = pairs.into_iter().map(|(at, tap)| at.map_or(0, |at| x[at] * w[tap]));
        let sum = i32::try_from(products.sum::<i64>()).unwrap();
        let group = oc / (conv.out_channels / conv.groups);
        sum as f32 * (x_scales[n * conv.groups + group] * w_scales[oc])
    })
}

/// Sums of rounded factors in `f32`: of two neighbouring channels the second one first.
fn of_halves(conv: &Conv2d, inputs: &[Vec<f32>]) -> Vec<f32> {
    let rounded = |values: &[f32]| values.iter().map(|&x| nearest_half(x)).collect::<Vec<_>>();
    let (x, w) = (rounded(&inputs[0]), rounded(&inputs[1]));
    let taps = conv.kernel[0] * conv.kernel[1];
    finished(conv, inputs, |_, pairs| {
        let product = |k: usize| match pairs.get(k) {
            Some(&(Some(at), tap)) => x[at] * w[tap],
            _ => 0.0,
        };
        let channels = pairs.len() / taps;
        let places = (0..channels).step_by(2).flat_map(|c| (0..taps).map(move |tap| (c, tap)));
        places.fold(0.0, |sum, (c, tap)| {
            sum + product((c + 1) * taps + tap) + product(c * taps + tap)
        })
    })
}

fn check(random: &mut Random, conv: &Conv2d) {
    let mut inputs = inputs(random, &plain(conv));
    // Images of one sign only, and of different sizes.
    let image = conv.in_channels * conv.in_size[0] * conv.in_size[1];
    for (n, values) in inputs[0].chunks_exact_mut(image.max(1)).enumerate() {
        let size = [1.0, 300.0, 1e-3][n % 3];
        values.iter_mut().for_each(|x| *x = size * if n % 2 == 0 { *x } else { x.abs() });
    }
    let expected = match conv.precision {
        Precision::Int8 => of_integers(conv, &inputs),
        _ => of_halves(conv, &inputs),
    };
    for isa in Isa::all() {
        let found = reduced(isa, conv, &inputs);
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!(found == expected, "{}: {conv:?} {i}: {found} {expected}", isa.name());
        }
        assert_eq!(found.len(), expected.len());
    }
}

#[test]
fn narrow_convolutions_are_sums_of_rounded_factors() {
    let mut random = Random::new(41);
    for round in 0..400 {
        let conv = narrow_conv(&mut random, REDUCED[round % 2]);
        check(&mut random, &conv);
    }
}

#[test]
fn deep_narrow_convolutions_are_as_right() {
    let mut random = Random::new(42);
    for precision in REDUCED {
        let base = Conv2d {
            bias: true,
            residual: true,
            activation: Function::Relu,
            kernel: [2, 3],
            packed: true,
            precision,
            ..Conv2d::plain(2, [301, 21], [6, 11])
        };
        check(&mut random, &base);
        check(&mut random, &Conv2d { stride: [2, 2], ..base.clone() });
        let wide = Conv2d { kernel: [1, 1], in_channels: 2700, pads: [0; 4], ..base.clone() };
        check(&mut random, &wide);
        check(&mut random, &Conv2d { stride: [1, 2], in_channels: 30, ..wide });
        let kernel = [7, 7];
        let stem = Conv2d { in_channels: 3, in_size: [40, 40], stride: [2, 2], kernel, ..base };
        check(&mut random, &Conv2d { pads: [3; 4], ..stem });
    }
}

/// A whole convolution tile by tile, in some order, each by a core of its own or all by one.
fn in_tiles(
    isa: Isa,
    conv: &Conv2d,
    inputs: &[Vec<f32>],
    is_forward: bool,
    cores: usize,
) -> Vec<u32> {
    let kernel = Kernel::Conv2d(conv.clone());
    let mut memory: Vec<Memory> = inputs.iter().map(|input| Memory::of(&to_bytes(input))).collect();
    let bytes = kernel.operands().unwrap().last().unwrap().bytes.unwrap();
    memory.push(Memory::new(bytes, 0xa5));
    let sizes = inputs.iter().map(|input| 4 * input.len()).chain([bytes]);
    let operands: Vec<RawOperand> = memory
        .iter_mut()
        .zip(sizes)
        .map(|(memory, bytes)| RawOperand { address: memory.address(0), bytes })
        .collect();
    let kernels = Kernels::from(isa);
    let (count, _) = kernels.tiles(&kernel);
    assert!(count > 3, "one tile says nothing");
    let mut scratches: Vec<Scratch> = (0..cores).map(|core| Scratch::new(core, cores)).collect();
    for index in 0..count {
        let first = if is_forward { index } else { count - 1 - index };
        let scratch = &mut scratches[index % cores];
        // SAFETY: The operands are as large as the kernel asks, and nobody else has them.
        unsafe { kernels.run(&kernel, &operands, Span { first, count: 1 }, scratch) }.unwrap();
    }
    bits(&from_bytes(&memory[inputs.len()].read(0, bytes)))
}

#[test]
fn narrow_convolutions_do_not_depend_on_who_runs_their_tiles() {
    let mut random = Random::new(43);
    for precision in REDUCED {
        let conv = Conv2d {
            groups: 2,
            kernel: [2, 3],
            packed: true,
            precision,
            ..Conv2d::plain(3, [48, 160], [30, 41])
        };
        let mut inputs = inputs(&mut random, &plain(&conv));
        for isa in Isa::all() {
            let weight = std::mem::take(&mut inputs[1]);
            inputs[1] = packed(isa, &Kernel::Conv2d(conv.clone()), &weight);
            let alone = in_tiles(isa, &conv, &inputs, true, 1);
            for (is_forward, cores) in [(false, 1), (true, 2), (false, 3), (true, 1000)] {
                let found = in_tiles(isa, &conv, &inputs, is_forward, cores);
                assert!(found == alone, "{} {precision}: {cores} cores", isa.name());
            }
            inputs[1] = weight;
        }
    }
}

#[test]
fn narrow_convolutions_do_not_see_other_images() {
    let mut random = Random::new(44);
    for precision in REDUCED {
        for (channels, groups, in_size) in
            [([3, 24], 1, [31, 33]), ([72, 40], 2, [9, 10]), ([400, 20], 1, [7, 7])]
        {
            let of = |batch| {
                let conv = Conv2d::plain(batch, channels, in_size);
                Conv2d { groups, kernel: [3, 4], packed: true, precision, ..conv }
            };
            let mut inputs = inputs(&mut random, &plain(&of(5)));
            let image = inputs[0].len() / 5;
            inputs[0][3 * image..4 * image].iter_mut().for_each(|x| *x *= 1000.0);
            inputs[0][image] = f32::INFINITY;
            for isa in Isa::all() {
                let images = |first: usize, batch: usize| {
                    let x = inputs[0][first * image..][..batch * image].to_vec();
                    bits(&reduced(isa, &of(batch), &[x, inputs[1].clone()]))
                };
                let all = images(0, 5);
                let each = all.len() / 5;
                for (first, batch) in [(0, 1), (2, 1), (3, 1), (4, 1), (2, 2), (0, 3)] {
                    let (found, name) = (images(first, batch), isa.name());
                    let part = &all[first * each..][..batch * each];
                    assert!(found == part, "{name} {precision}: {batch} images from {first}");
                }
                let values: Vec<f32> = all.iter().map(|&bits| f32::from_bits(bits)).collect();
                let odd = |n: usize| values[n * each..][..each].iter().any(|y| !y.is_finite());
                assert_eq!([0, 1, 2, 3, 4].map(odd), [false, true, false, false, false]);
            }
        }
    }
}

#[test]
fn the_largest_integers_fit_the_deepest_windows() {
    let channels = Precision::INT8_DEPTH_MAX / 16;
    let conv = Conv2d {
        kernel: [4, 4],
        pads: [0; 4],
        packed: true,
        precision: Precision::Int8,
        ..Conv2d::plain(2, [channels, 3], [4, 4])
    };
    let depth = Precision::INT8_DEPTH_MAX;
    let x = [vec![1.0; depth], vec![-1.0; depth]].concat();
    let w = [vec![1.0; depth], vec![-1.0; depth], vec![0.0; depth]].concat();
    let most = depth as f32;
    for isa in Isa::all() {
        let found = reduced(isa, &conv, &[x.clone(), w.clone()]);
        for (found, expected) in found.iter().zip([most, -most, 0.0, -most, most, 0.0]) {
            assert!((found - expected).abs() <= 1e-5 * most, "{found} instead of {expected}");
        }
    }
    let deeper = Kernel::Conv2d(Conv2d { in_channels: channels + 1, ..conv });
    assert!(deeper.operands().is_err());
    assert_eq!(Kernels::default().packed_bytes(&deeper), None);
}

#[test]
fn what_takes_fewer_bits_follows_from_the_weight() {
    let dense = Conv2d { packed: true, ..Conv2d::plain(4, [32, 24], [10, 12]) };
    for precision in REDUCED {
        let bytes = |conv: &Conv2d| {
            let conv = Conv2d { precision, ..conv.clone() };
            Kernels::default().packed_bytes(&Kernel::Conv2d(conv))
        };
        let strided = Conv2d { stride: [2, 2], ..dense.clone() };
        let found = bytes(&strided).unwrap();
        let image = Conv2d { batch: 1, in_size: [3, 3], pads: [0; 4], ..strided.clone() };
        assert_eq!(bytes(&image), Some(found));
        let plain = 4 * 24 * 32 * 9;
        assert!(found < plain * 6 / 10, "{found} bytes instead of {plain}");
        let narrow = Conv2d { kernel: [1, 1], pads: [0; 4], in_channels: 24, ..dense.clone() };
        assert!(bytes(&narrow).is_some());
        for other in [
            Conv2d { groups: 32, out_channels: 32, ..strided.clone() },
            Conv2d { in_channels: 2, kernel: [5, 5], ..strided.clone() },
            Conv2d { in_channels: 23, ..narrow },
        ] {
            assert_eq!(bytes(&other), None, "{other:?}");
        }
        // Large tiles of Winograd's algorithm save more than products of two.
        assert_eq!(bytes(&dense).is_some(), precision == Precision::Int8);
        assert!(bytes(&Conv2d { in_channels: 320, out_channels: 320, ..dense.clone() }).is_some());
    }
}

/// What a word has room for behind the last channel is nothing, whatever it meets.
#[test]
fn an_infinity_in_the_last_channel_stays_one() {
    let conv = Conv2d {
        pads: [0; 4],
        packed: true,
        precision: Precision::Bf16,
        ..Conv2d::plain(1, [3, 2], [3, 3])
    };
    let mut inputs = [vec![1.0; 27], [[1.0; 27], [-1.0; 27]].concat()];
    inputs[0][20] = f32::INFINITY;
    for isa in Isa::all() {
        assert_eq!(reduced(isa, &conv, &inputs), [f32::INFINITY, f32::NEG_INFINITY]);
    }
}
