//! A graphics processor as a device, through the driver of CUDA.

mod kernels;
