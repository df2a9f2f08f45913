//! Reads memory that was given back.

fn main() {
    let number = Box::into_raw(Box::new(42_u64));
    // SAFETY: None: this is the defect that AddressSanitizer has to report.
    let read = unsafe {
        drop(Box::from_raw(number));
        std::ptr::read_volatile(number)
    };
    println!("{read}");
}
