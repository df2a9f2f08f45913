use proptest::prelude::*;

use super::place;
use crate::device::Span;

fn span(start_ns: u64, end_ns: u64) -> Span {
    Span { start_ns, end_ns }
}

#[test]
fn the_first_span_sets_the_clock() {
    let far = 1_700_000_000_000_000_000;
    let (offset, placed) = place(0, span(far + 10, far + 30), span(100, 150));
    assert!(100 <= placed.start_ns && placed.end_ns <= 150);
    assert_eq!(placed.end_ns - placed.start_ns, 20);
    let (later, placed) = place(offset, span(far + 1010, far + 1030), span(1000, 1200));
    assert_eq!(later, offset, "nothing contradicts it");
    assert_eq!(placed.end_ns - placed.start_ns, 20);
}

#[test]
fn a_contradiction_moves_the_clock_as_little_as_it_can() {
    let (offset, _) = place(0, span(1_000, 1_010), span(50, 100));
    let (earlier, placed) = place(offset, span(2_000, 2_010), span(900, 1_000));
    assert_eq!(placed, span(990, 1_000), "it had ended when the host saw it");
    assert_eq!(offset.wrapping_sub(earlier), 100);
}

proptest! {
    #[test]
    fn a_span_lies_where_the_host_knows_it_to_be(
        start in any::<u32>(), length in 0_u64..1 << 40, known in any::<u32>(),
        width in 0_u64..1 << 40, offset in any::<u64>(),
    ) {
        let (start, known) = (u64::from(start), u64::from(known));
        let known = span(known, known + width);
        let (_, placed) = place(offset, span(start, start + length), known);
        prop_assert!(known.start_ns <= placed.start_ns);
        prop_assert!(placed.start_ns <= placed.end_ns);
        prop_assert!(placed.end_ns <= known.end_ns);
    }
}
