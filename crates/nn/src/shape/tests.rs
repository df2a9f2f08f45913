use proptest::prelude::*;

use super::*;

#[test]
fn products_overflow_unless_something_is_zero() {
    assert_eq!(element_count(&[]), Some(1));
    assert_eq!(element_count(&[usize::MAX, 2]), None);
    assert_eq!(element_count(&[usize::MAX, 2, 0]), Some(0));
}

#[test]
fn shapes_broadcast_from_the_right() {
    assert_eq!(broadcast([&[3, 1][..], &[4][..]]), Some(vec![3, 4]));
    assert_eq!(broadcast([&[][..], &[2, 1][..], &[1, 5][..]]), Some(vec![2, 5]));
    assert_eq!(broadcast([&[0, 3][..], &[1][..]]), Some(vec![0, 3]));
    assert_eq!(broadcast([&[2, 3][..], &[4, 3][..]]), None);
}

#[test]
fn axes_count_from_the_end() {
    assert_eq!(resolve_axis(-1, 3), Some(2));
    assert_eq!(resolve_axis(3, 3), None);
    assert_eq!(resolve_axis(-4, 3), None);
    assert_eq!(resolve_axis(i64::MIN, 3), None);
}

#[test]
fn a_transposed_view_reshapes_only_where_runs_allow() {
    let view = View::contiguous(&[2, 3, 4]).transpose(&[1, 0, 2]);
    assert!(view.reshape(&[6, 4]).is_none());
    let split = view.reshape(&[3, 2, 2, 2]).unwrap();
    assert!(split.positions().eq(view.positions()));
}

#[test]
fn a_view_shows_itself() {
    assert_eq!(Show(&[4, 3]).to_string(), "[4×3]");
    let dims = [Dim::Symbol("batch".into()), Dim::Known(3), Dim::Any];
    assert_eq!(ShowDims(&dims).to_string(), "[batch×3×?]");
}

/// The same elements as `view`, found by brute force.
fn naive(view: &View) -> Vec<usize> {
    let mut positions = vec![isize::try_from(view.offset).unwrap()];
    for (&extent, &stride) in view.shape.iter().zip(&view.strides) {
        positions = positions
            .into_iter()
            .flat_map(|base| (0..extent).map(move |i| base + isize::try_from(i).unwrap() * stride))
            .collect();
    }
    positions.into_iter().map(|position| usize::try_from(position).unwrap()).collect()
}

proptest! {
    #[test]
    fn views_agree_with_brute_force(
        shape in prop::collection::vec(1usize..5, 3),
        order in Just(vec![0usize, 1, 2]).prop_shuffle(),
        axis in 0usize..3,
        reverse: bool,
    ) {
        let view = View::contiguous(&shape).transpose(&order);
        let extent = view.shape[axis];
        let view = if reverse {
            view.slice(axis, extent - 1, -1, extent)
        } else {
            view.slice(axis, extent / 2, 1, extent - extent / 2)
        };
        prop_assert!(view.positions().eq(naive(&view)));
        let mut wide = vec![2];
        wide.extend(&view.shape);
        let expanded = view.expand(&wide);
        prop_assert!(expanded.positions().eq(naive(&expanded)));
        prop_assert_eq!(expanded.count(), 2 * view.count());
        let mut flat = vec![view.shape[0] * view.shape[1], view.shape[2]];
        if let Some(reshaped) = view.reshape(&flat) {
            prop_assert!(reshaped.positions().eq(view.positions()));
        }
        flat = vec![view.count()];
        if let Some(reshaped) = view.reshape(&flat) {
            prop_assert!(reshaped.positions().eq(view.positions()));
        }
    }
}
