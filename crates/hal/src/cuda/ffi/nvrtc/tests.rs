use super::{Nvrtc, errors, fits};

#[test]
fn a_compiler_that_is_not_there_is_named() {
    let names = [c"libanabranch-none.so.1", c"libanabranch-none.so"];
    let Err(reason) = Nvrtc::find_in(&names, (13, 0)) else { panic!("there is none") };
    assert!(names.iter().all(|name| reason.contains(&*name.to_string_lossy())), "{reason}");
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_no_compiler_is_refused_by_what_it_lacks() {
    let names = [c"libanabranch-none.so.1", c"libc.so.6"];
    let Err(reason) = Nvrtc::find_in(&names, (13, 0)) else { panic!("it compiles nothing") };
    assert!(reason.contains("nvrtcVersion"), "{reason}");
}

#[test]
fn a_compiler_is_as_new_as_is_needed_and_no_newer_than_the_driver() {
    for version in [(12, 0), (12, 4), (12, 8)] {
        assert_eq!(fits(version, (12, 8)), Ok(()));
    }
    for (version, named) in [((11, 8), "12.0"), ((12, 9), "12.8"), ((13, 0), "12.8")] {
        let reason = fits(version, (12, 8)).unwrap_err();
        assert!(reason.contains(named), "{version:?}: {reason}");
    }
}

#[test]
fn errors_are_told_without_warnings_and_not_all_of_them() {
    let log = "anabranch.cu(1): warning #1\n\
               anabranch.cu(2): error: expected a \";\"\n  int x\n       ^\n\
               1 error detected in the compilation of \"anabranch.cu\".\n";
    let told = errors(log);
    assert!(told.starts_with("anabranch.cu(2): error: expected a \";\"; 1 error"), "{told}");
    assert!(!told.contains("warning"), "{told}");
    assert!(errors(&"an error\n".repeat(1000)).len() < 100);
    assert_eq!(errors(""), "");
}
