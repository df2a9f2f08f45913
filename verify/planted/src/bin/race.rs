//! Two threads write one number, and nothing orders them.

struct Shared(std::cell::UnsafeCell<u64>);

// SAFETY: None: this is the defect that ThreadSanitizer has to report.
unsafe impl Sync for Shared {}

static NUMBER: Shared = Shared(std::cell::UnsafeCell::new(0));

fn main() {
    let add = || {
        for _ in 0..1_000 {
            // SAFETY: None, as above.
            unsafe { *NUMBER.0.get() += 1 }
        }
    };
    let threads = [std::thread::spawn(add), std::thread::spawn(add)];
    threads.map(|thread| thread.join().unwrap());
    println!("{:?}", NUMBER.0.get());
}
