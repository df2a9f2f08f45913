use super::*;

#[test]
fn the_table_is_sorted_and_has_no_operator_twice() {
    assert!(OPERATORS.is_sorted_by(|a, b| a.name < b.name));
    assert!(catalogue::OPERATORS.is_sorted_by(|a, b| a.name < b.name));
    let mut names: Vec<&str> = names().collect();
    names.sort_unstable();
    assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
}

#[test]
fn an_unknown_operator_is_named() {
    let error = find("Loop").err().unwrap();
    assert!(error.to_string().contains("'Loop'"));
    assert_eq!(find("Conv").unwrap().name, "Conv");
}
