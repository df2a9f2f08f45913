//! Forgets memory that nothing points to any longer.

fn main() {
    let mut numbers = Vec::with_capacity(1 << 16);
    numbers.push(std::hint::black_box(42_u64));
    println!("{}", numbers[0]);
    std::mem::forget(numbers);
    // What the stack still holds would count as reachable.
    std::hint::black_box([0_u8; 1 << 14]);
}
