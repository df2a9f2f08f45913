use super::*;

const SAID: &str = "test_add\tAdd\tpassed\t\n\
                    test_cast\tCast\tpassed\t\n\
                    test_loop\tLoop\tunsupported\tthe operator 'Loop' is not known\n\
                    test_range_expanded\t(several)\tfailed\ty: element 0 is 1, not 2\n\
                    test_sub\tSub\tfailed\ty: element 0 is 1, not 2\n";

#[test]
fn cases_count_for_their_operator_for_all_and_for_the_core() {
    let report = Report::parse(SAID).unwrap();
    assert_eq!(report.all, Counts { passed: 2, failed: 2, unsupported: 1 });
    assert_eq!(report.core, Counts { passed: 1, failed: 1, unsupported: 0 });
    assert_eq!(report.operators["Loop"], Counts { unsupported: 1, ..Counts::default() });
    let json = "{\"total\":5,\"passed\":2,\"failed\":2,\"unsupported\":1,\
                \"core_total\":2,\"core_passed\":1}";
    assert_eq!(report.json(), json);
}

#[test]
fn a_case_that_ends_otherwise_is_drift_in_either_direction() {
    let record = Report::parse(SAID).unwrap().table();
    let drift = |said: &str| Report::parse(said).unwrap().drift(&record);
    assert!(drift(SAID).is_empty());
    let worse = SAID.replace("Add\tpassed", "Add\tfailed");
    assert!(drift(&worse).contains(&"recorded Add 1 0 0".to_owned()), "{:?}", drift(&worse));
    let better = SAID.replace("Loop\tunsupported", "Loop\tpassed");
    assert!(drift(&better).contains(&"found    Loop 1 0 0".to_owned()), "{:?}", drift(&better));
    let missing: String = SAID.lines().skip(1).map(|line| format!("{line}\n")).collect();
    assert!(drift(&missing).contains(&"recorded Add 1 0 0".to_owned()));
}

#[test]
fn what_is_no_report_is_refused() {
    assert!(Report::parse("test_add").is_err());
    assert!(Report::parse("test_add\tAdd\tskipped\t").is_err());
}

/// The promise of the README: a record below it is not one to keep.
#[test]
fn the_recorded_counts_are_not_below_what_is_promised() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(RECORD);
    let record = fs::read_to_string(path).unwrap();
    let passed = |name: &str| -> usize {
        let line = record.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    assert!(680 <= passed("core"), "{} core cases pass", passed("core"));
    assert!(1350 <= passed("all"), "{} cases pass", passed("all"));
}
