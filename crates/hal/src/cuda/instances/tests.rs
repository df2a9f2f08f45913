use anabranch_sync::Arc;

use super::{KEPT_MAX, Kept, Key};
use crate::command::Executable;
use crate::cuda::lowering::Place;

fn executable() -> Arc<Executable> {
    Arc::new(Executable::new(Vec::new(), None))
}

fn key(executable: &Arc<Executable>, address: u64) -> Key {
    let places = vec![Place { address, bytes: 64 }];
    Key { executable: Arc::clone(executable), nodes: 0..1, places }
}

#[test]
fn what_is_kept_is_found_by_all_of_its_key() {
    let (one, other) = (executable(), executable());
    let mut kept = Kept::new();
    assert!(kept.put(key(&one, 64), 'a').is_empty());
    assert_eq!(kept.take(&key(&other, 64)), None);
    assert_eq!(kept.take(&key(&one, 128)), None);
    assert_eq!(kept.take(&Key { nodes: 1..2, ..key(&one, 64) }), None);
    assert_eq!(kept.take(&key(&one, 64)), Some('a'));
    assert_eq!(kept.take(&key(&one, 64)), None, "it is in use");
}

#[test]
fn the_one_that_was_not_used_for_the_longest_goes() {
    let executable = executable();
    let mut kept = Kept::new();
    for address in 0..KEPT_MAX as u64 {
        assert!(kept.put(key(&executable, address), address).is_empty());
    }
    let used = kept.take(&key(&executable, 0)).unwrap();
    assert!(kept.put(key(&executable, 0), used).is_empty());
    let gone = kept.put(key(&executable, 99), 99);
    assert_eq!(gone.into_iter().map(|(_, made)| made).collect::<Vec<_>>(), [1]);
}

#[test]
fn what_nobody_else_has_goes() {
    let (mut kept, lasting) = (Kept::new(), executable());
    let passing = executable();
    assert!(kept.put(key(&passing, 1), 1).is_empty());
    assert!(kept.put(key(&passing, 2), 2).is_empty());
    drop(passing);
    let gone = kept.put(key(&lasting, 3), 3);
    assert_eq!(gone.into_iter().map(|(_, made)| made).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(kept.take(&key(&lasting, 3)), Some(3));
}

#[test]
fn what_is_similar_is_taken_when_there_is_no_room() {
    let (one, other) = (executable(), executable());
    let mut kept = Kept::new();
    assert!(kept.put(key(&other, 0), 0).is_empty());
    for address in 1..KEPT_MAX as u64 {
        assert_eq!(kept.take_similar(&key(&one, 99)), None, "there is room");
        assert!(kept.put(key(&one, address), address).is_empty());
    }
    assert_eq!(kept.take_similar(&Key { nodes: 1..2, ..key(&one, 99) }), None);
    assert_eq!(kept.take_similar(&key(&one, 99)), Some(1), "the oldest of the same nodes");
    assert_eq!(kept.take(&key(&one, 1)), None, "it is in use");
}

#[test]
fn what_is_forgotten_is_dead_or_the_oldest() {
    let (mut kept, lasting, passing) = (Kept::new(), executable(), executable());
    for (executable, made) in [(&lasting, 1), (&passing, 2), (&lasting, 3)] {
        assert!(kept.put(key(executable, made), made).is_empty());
    }
    assert!(kept.forget(0).is_empty());
    drop(passing);
    let mut forget =
        |count| -> Vec<u64> { kept.forget(count).into_iter().map(|(_, made)| made).collect() };
    assert_eq!(forget(0), [2]);
    assert_eq!(forget(1), [1]);
    assert!(forget(0).is_empty());
}
