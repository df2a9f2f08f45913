//! What one core can do at the very most, to hold kernels against: arithmetic between registers,
//! and reading alone.

use std::hint::black_box;

use super::simd::{Isa, Simd, Work};

/// Chains of multiply-adds that do not wait for each other: enough for two instructions a cycle of
/// four or five cycles each, and few enough for sixteen registers.
const CHAINS: usize = 12;

/// Makes `rounds` times twelve fused multiply-adds of whole vectors, and returns how many
/// multiplications and additions these are. Thread-safe; does not block.
pub fn multiply_add(rounds: usize) -> usize {
    Isa::detect().run(MultiplyAdd { rounds })
}

/// Reads every element once, and returns their sum, so that no reading can be left out.
/// Thread-safe; does not block.
pub fn read(data: &[f32]) -> f32 {
    Isa::detect().run(Read { data })
}

struct MultiplyAdd {
    rounds: usize,
}

impl Work for MultiplyAdd {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> usize {
        let (a, b) = (simd.splat(black_box(0.5)), simd.splat(black_box(1.0)));
        let mut chains = [b; CHAINS];
        for _ in 0..self.rounds {
            for chain in &mut chains {
                *chain = simd.fma(*chain, a, b);
            }
        }
        black_box(total(simd, chains));
        self.rounds * CHAINS * S::LANES * 2
    }
}

struct Read<'a> {
    data: &'a [f32],
}

impl Work for Read<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let mut chains = [simd.splat(0.0); CHAINS];
        let mut pieces = self.data.chunks_exact(CHAINS * S::LANES);
        for piece in &mut pieces {
            for (chain, lanes) in chains.iter_mut().zip(piece.chunks_exact(S::LANES)) {
                *chain = simd.add(*chain, simd.load(lanes));
            }
        }
        total(simd, chains) + pieces.remainder().iter().sum::<f32>()
    }
}

/// The sum of all lanes.
#[inline(always)]
fn total<S: Simd>(simd: S, chains: [S::V; CHAINS]) -> f32 {
    let mut lanes = [0.0; 16];
    let sum = chains.into_iter().fold(simd.splat(0.0), |sum, chain| simd.add(sum, chain));
    simd.store(sum, &mut lanes);
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_as_it_is() {
        let data: Vec<f32> = (0..1000u16).map(f32::from).collect();
        for isa in Isa::all() {
            let lanes = isa.lanes();
            assert_eq!(
                isa.run(MultiplyAdd { rounds: 3 }),
                3 * CHAINS * lanes * 2,
                "{}",
                isa.name()
            );
            for count in [0, 1, 191, 1000] {
                let sum = isa.run(Read { data: &data[..count] });
                let expected = data[..count].iter().sum::<f32>();
                assert!((sum - expected).abs() < 0.5, "{}: {sum} of {count}", isa.name());
            }
        }
    }
}
