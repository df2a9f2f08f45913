// Between floats and the few values of integers of a byte.

template <class T>
static __device__ __forceinline__ void quantize(const float *x, const float *scale, const T *zero, T *y, u64 count,
                                                u64 channels, u64 inner, float low, float high) {
    u64 at = thread_index();
    if (at >= count) return;
    u64 channel = at / inner % channels;
    float code = __fadd_rn(rintf(__fdiv_rn(x[at], scale[channel])), zero ? (float)zero[channel] : 0.0f);
    // What is not a number is neither above nor below anything.
    y[at] = code != code ? (T)0 : code < low ? (T)low : code > high ? (T)high : (T)code;
}

extern "C" __global__ void ab_quantize_unsigned(const float *x, const float *scale, const u8 *zero, u8 *y, u64 count,
                                                u64 channels, u64 inner) {
    quantize<u8>(x, scale, zero, y, count, channels, inner, 0.0f, 255.0f);
}

extern "C" __global__ void ab_quantize_signed(const float *x, const float *scale, const i8 *zero, i8 *y, u64 count,
                                              u64 channels, u64 inner) {
    quantize<i8>(x, scale, zero, y, count, channels, inner, -128.0f, 127.0f);
}

template <class T>
static __device__ __forceinline__ void dequantize(const T *x, const float *scale, const T *zero, float *y, u64 count,
                                                  u64 channels, u64 inner) {
    u64 at = thread_index();
    if (at >= count) return;
    u64 channel = at / inner % channels;
    double number = (double)x[at] - (zero ? (double)zero[channel] : 0.0);
    y[at] = (float)(number * (double)scale[channel]);
}

extern "C" __global__ void ab_dequantize_unsigned(const u8 *x, const float *scale, const u8 *zero, float *y, u64 count,
                                                  u64 channels, u64 inner) {
    dequantize<u8>(x, scale, zero, y, count, channels, inner);
}

extern "C" __global__ void ab_dequantize_signed(const i8 *x, const float *scale, const i8 *zero, float *y, u64 count,
                                                u64 channels, u64 inner) {
    dequantize<i8>(x, scale, zero, y, count, channels, inner);
}

extern "C" __global__ void ab_dequantize_word(const i32 *x, const float *scale, const i32 *zero, float *y, u64 count,
                                              u64 channels, u64 inner) {
    dequantize<i32>(x, scale, zero, y, count, channels, inner);
}
