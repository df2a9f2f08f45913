//! Plain Rust, for processors without a set of their own, and to test the others against.

use std::ops::Range;
use std::ptr::NonNull;

use super::{QUAD, QUADS_MAX, Simd, Work, elements};

/// Exists everywhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

const LANES: usize = 4;

/// One vector.
type V = [f32; LANES];

macro_rules! lanewise {
    ($($name:ident($a:ident $(, $b:ident)*) = $value:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, mut $a: V $(, $b: V)*) -> V {
            for i in 0..LANES {
                let ($a, $($b,)*) = (&mut $a[i], $($b[i],)*);
                *$a = $value;
            }
            $a
        }
    )*};
}

/// A function of its own for each kind of work, as those that enable instructions are: a copy in
/// every place that hands work over would take most of the time to compile this crate.
#[inline(never)]
fn enter<W: Work>(simd: Portable, work: W) -> W::Output {
    work.run(simd)
}

impl Simd for Portable {
    type V = V;
    type M = [bool; LANES];
    type Lanes = [usize; 2];

    const LANES: usize = LANES;
    const ROWS: usize = 4;
    const SUMS: usize = 12;

    #[inline(always)]
    fn run<W: Work>(self, work: W) -> W::Output {
        enter(self, work)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> V {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, source: &[f32]) -> V {
        let source = &source[..LANES];
        [source[0], source[1], source[2], source[3]]
    }

    #[inline(always)]
    fn store(self, a: V, target: &mut [f32]) {
        target[..LANES].copy_from_slice(&a);
    }

    #[inline(always)]
    fn lanes(self, numbers: Range<usize>) -> [usize; 2] {
        [numbers.start, numbers.end]
    }

    #[inline(always)]
    unsafe fn load_lanes(self, address: *const f32, lanes: [usize; 2]) -> V {
        // SAFETY: By the caller.
        unsafe { elements(address, lanes) }
    }

    #[inline(always)]
    fn load_partial(self, source: &[f32]) -> V {
        let mut a = [0.0; LANES];
        a[..source.len()].copy_from_slice(source);
        a
    }

    #[inline(always)]
    unsafe fn load_quads(self, [address, ..]: [NonNull<f32>; QUADS_MAX]) -> V {
        // SAFETY: The caller has the elements.
        unsafe { address.cast::<V>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store_quads(self, a: V, [address, ..]: [Option<NonNull<f32>>; QUADS_MAX]) {
        if let Some(address) = address {
            // SAFETY: The caller has the elements.
            unsafe { address.cast::<V>().write_unaligned(a) };
        }
    }

    #[inline(always)]
    fn turn_quads(self, quads: [V; QUAD]) -> [V; QUAD] {
        std::array::from_fn(|k| std::array::from_fn(|row| quads[row][k]))
    }

    #[inline(always)]
    fn store_partial(self, a: V, target: &mut [f32]) {
        target.copy_from_slice(&a[..target.len()]);
    }

    lanewise! {
        add(a, b) = *a + b;
        sub(a, b) = *a - b;
        mul(a, b) = *a * b;
        div(a, b) = *a / b;
        larger(a, b) = if *a > b { *a } else { b };
        smaller(a, b) = if *a < b { *a } else { b };
        sqrt(a) = a.sqrt();
        abs(a) = a.abs();
        floor(a) = a.floor();
        ceil(a) = a.ceil();
        round(a) = a.round_ties_even();
        copysign(a, b) = a.copysign(b);
    }

    // Two roundings: a fused one would be a call of the mathematics library.
    #[inline(always)]
    fn fma(self, a: V, b: V, c: V) -> V {
        self.add(self.mul(a, b), c)
    }

    // In two steps, because `2^n` alone may be no number.
    #[inline(always)]
    fn ldexp(self, a: V, n: V) -> V {
        let half = self.floor(self.mul(n, self.splat(0.5)));
        self.mul(self.mul(a, power_of_two(half)), power_of_two(self.sub(n, half)))
    }

    #[inline(always)]
    fn less(self, a: V, b: V) -> [bool; LANES] {
        let mut mask = [false; LANES];
        for i in 0..LANES {
            mask[i] = a[i] < b[i];
        }
        mask
    }

    #[inline(always)]
    fn unordered(self, a: V, b: V) -> [bool; LANES] {
        let mut mask = [false; LANES];
        for i in 0..LANES {
            mask[i] = a[i].is_nan() | b[i].is_nan();
        }
        mask
    }

    #[inline(always)]
    fn select(self, mask: [bool; LANES], a: V, mut b: V) -> V {
        for i in 0..LANES {
            b[i] = if mask[i] { a[i] } else { b[i] };
        }
        b
    }

    #[inline(always)]
    fn deinterleave(self, a: V, b: V) -> (V, V) {
        ([a[0], a[2], b[0], b[2]], [a[1], a[3], b[1], b[3]])
    }

    #[inline(always)]
    fn interleave(self, a: V, b: V) -> (V, V) {
        ([a[0], b[0], a[1], b[1]], [a[2], b[2], a[3], b[3]])
    }

    #[inline(always)]
    fn prefetch(self, _: &[f32], _: usize) {}
}

#[inline(always)]
fn power_of_two(mut n: V) -> V {
    for x in &mut n {
        // Adding 1.5 * 2^23 leaves the integer in the low bits.
        let bits = (*x + 12_582_912.0).to_bits();
        *x = f32::from_bits(bits.wrapping_add(127) << 23);
    }
    n
}
