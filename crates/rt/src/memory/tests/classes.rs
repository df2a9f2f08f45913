//! Size classes and segments.

use super::*;

#[test]
fn classes_hold_what_they_are_for_and_waste_little() {
    let mut last = 0;
    for class in Class::all() {
        assert!(last < class.block_bytes());
        assert_eq!(class.block_bytes() % anabranch_hal::buffer::ALIGN_BYTES, 0);
        assert_eq!(Class::of(class.block_bytes()), Some(class));
        last = class.block_bytes();
    }
    assert!((1 << 47) <= last);
    assert_eq!(Class::of(last + 1), None);
    assert_eq!(Class::of(usize::MAX), None);
    assert_eq!(Class::of(0), Class::of(1));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_class_is_the_smallest_that_holds_a_size(bytes in 257_usize..(1 << 47)) {
        let block = Class::of(bytes).unwrap().block_bytes();
        prop_assert!(bytes <= block);
        prop_assert!((block - bytes) * 5 < block, "{} of {} are wasted", block - bytes, block);
    }

    #[test]
    fn a_segment_is_one_block_or_as_much_as_there_is(
        bytes in 1_usize..(1 << 30),
        held in 0_usize..(1 << 16),
    ) {
        let class = Class::of(bytes).unwrap();
        let counts: Vec<u32> = class.segment_blocks(held).collect();
        prop_assert_eq!(counts.last(), Some(&1));
        let preferred = class.block_bytes() * counts[0] as usize;
        let bound = (held * class.block_bytes()).clamp(1 << 16, 1 << 20);
        prop_assert!(counts[0] == 1 || preferred <= bound);
        prop_assert!(counts[0] == 256 || bound < preferred + class.block_bytes());
    }
}
