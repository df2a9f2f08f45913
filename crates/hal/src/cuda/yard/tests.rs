use super::Idle;
use crate::device::Priority;

#[test]
fn the_latest_of_a_priority_is_taken_once() {
    let mut idle = Idle(Vec::new());
    assert_eq!(idle.take(Priority::Normal), None);
    for (priority, name) in
        [(Priority::Normal, 'a'), (Priority::High, 'b'), (Priority::Normal, 'c')]
    {
        idle.put(priority, name);
    }
    assert_eq!(idle.take(Priority::Low), None);
    assert_eq!(idle.take(Priority::Normal), Some('c'));
    assert_eq!(idle.take(Priority::High), Some('b'));
    assert_eq!(idle.take(Priority::Normal), Some('a'));
    assert_eq!(idle.take(Priority::Normal), None);
}
