//! Numbers that a seed determines, on every machine and in every version.

/// The generator SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly between −1 and 1.
    pub(crate) fn signed_unit(&mut self) -> f32 {
        const SCALE: f32 = 1.0 / (1 << 23) as f32;
        let bits = u32::try_from(self.next() >> 40).expect("24 bits fit into 32");
        let bits = i32::try_from(bits).expect("24 bits fit into 31");
        #[expect(clippy::cast_precision_loss, reason = "24 bits fit into the mantissa")]
        let centred = (bits - (1 << 23)) as f32;
        centred * SCALE
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn is_splitmix64() {
        // The published first outputs for seed 1234567.
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn stays_in_range() {
        let mut random = Random::new(7);
        let values: Vec<f32> = (0..10_000).map(|_| random.signed_unit()).collect();
        assert!(values.iter().all(|value| (-1.0..1.0).contains(value)));
        let mean: f32 = values.iter().sum::<f32>() / 10_000.0;
        assert!(mean.abs() < 0.05, "{mean}");
    }
}
