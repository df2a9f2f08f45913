use super::Loaded;

#[test]
fn a_library_that_is_not_there_is_named() {
    let names = [c"libanabranch-none.so.1", c"libanabranch-none.so"];
    let reason = Loaded::open(&names).unwrap_err();
    assert!(names.iter().all(|name| reason.contains(&*name.to_string_lossy())), "{reason}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_first_name_that_is_found_counts_and_a_missing_function_is_named() {
    let library = Loaded::open(&[c"libanabranch-none.so.1", c"libc.so.6"]).unwrap();
    assert!(library.symbol(c"strlen").is_ok());
    let reason = library.symbol(c"cublasLtMatmul").unwrap_err();
    assert!(reason.contains("cublasLtMatmul"), "{reason}");
}
