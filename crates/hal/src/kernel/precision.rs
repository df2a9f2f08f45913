//! In how many bits products are computed.

/// What is left of the factors of a product when they are multiplied. A device may keep more of
/// them where that is not slower. A value; thread-safe.
///
/// ```
/// use anabranch_hal::kernel::Precision;
/// assert_eq!(Precision::default().to_string(), "f32");
/// assert!(Precision::Tf32.takes_plain() && !Precision::Int8.takes_plain());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// All of them.
    #[default]
    F32,
    /// Eleven bits of each. Products are exact, and sums are in `f32`. A device that multiplies
    /// like that also takes factors that are not packed.
    Tf32,
    /// Both factors are rounded to `bf16`. Products and sums are in `f32`.
    Bf16,
    /// Each column, or output channel, is scaled to 8-bit integers when it is packed; each row, or
    /// the channels of a group in an image, when it is multiplied. Sums are exact. A row or a group
    /// with an infinity or NaN yields NaN.
    Int8,
}

impl Precision {
    /// Every one, from the most accurate to the least.
    pub const ALL: [Self; 4] = [Self::F32, Self::Tf32, Self::Bf16, Self::Int8];

    /// The longest sums of 8-bit products that 32 bits hold.
    pub const INT8_DEPTH_MAX: usize = 1 << 16;

    /// Whether the second factor need not be a packed constant.
    pub const fn takes_plain(self) -> bool {
        matches!(self, Self::F32 | Self::Tf32)
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        })
    }
}
