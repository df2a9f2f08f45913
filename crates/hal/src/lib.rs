//! What a device must promise, and every device there is.
//!
//! The contract is four nouns: a [`Device`](device::Device) allocates [`Memory`](buffer::Memory),
//! makes in-order [`Queue`](device::Queue)s, and runs the [`Submission`](command::Submission)s that
//! it is given; it tells a [`Sink`](device::Sink) how each one ended. Everything else (what may be
//! submitted when, who owns which memory, who learns of which error) is decided above, in the
//! kernel. What a device computes is named by [`Kernel`](kernel::Kernel) descriptors.
//!
//! The types here are the inner side of the runtime: the kernel above is trusted to keep the
//! obligations that [`Queue::submit`](device::Queue::submit) lists for its caller.

pub mod any;
pub mod buffer;
pub mod command;
pub mod cpu;
pub mod cuda;
pub mod device;
pub mod dtype;
mod engine;
pub mod error;
mod heap;
pub mod kernel;
pub mod null;
mod order;
pub mod pages;
pub mod sim;
mod threads;
