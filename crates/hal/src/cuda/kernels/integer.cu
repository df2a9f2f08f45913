// Arithmetic of integers, which wraps.

enum { I_ADD, I_SUB, I_MUL, I_DIV, I_REM, I_MIN, I_MAX, I_AND, I_OR, I_XOR, I_LEFT, I_RIGHT, I_POW };

// One over a power is 0, but for powers of 1 and -1.
template <class T, class W> static __device__ __noinline__ T power(T base, T exponent) {
    if (exponent < (T)0) return base == (T)1 ? base : base != (T)-1 ? (T)0 : exponent & 1 ? base : (T)1;
    W result = 1, square = (W)base;
    for (u64 rest = (u64)exponent; rest; rest >>= 1) {
        if (rest & 1) result *= square;
        square *= square;
    }
    return (T)result;
}

// In W, which is unsigned and at least as wide: what does not fit wraps when it is stored.
template <class T, class W>
static __device__ __forceinline__ T whole(u32 function, T a, T b, bool &failed) {
    const bool is_signed = (T)-1 < (T)0;
    switch (function) {
    case I_ADD: return (T)((W)a + (W)b);
    case I_SUB: return (T)((W)a - (W)b);
    case I_MUL: return (T)((W)a * (W)b);
    case I_MIN: return b < a ? b : a;
    case I_MAX: return b > a ? b : a;
    case I_AND: return (T)(a & b);
    case I_OR: return (T)(a | b);
    case I_XOR: return (T)(a ^ b);
    case I_LEFT: return b < (T)0 || (u64)b >= 8 * sizeof(T) ? (T)0 : (T)((W)a << (u32)b);
    case I_POW: return power<T, W>(a, b);
    case I_RIGHT: return b < (T)0 || (u64)b >= 8 * sizeof(T) ? (T)0 : (T)(a >> (u32)b);
    default: break;
    }
    if (b == (T)0) {
        failed = true;
        return (T)0;
    }
    // The least number over -1 does not fit, so the division is not left to the processor.
    if (is_signed && b == (T)-1) return function == I_DIV ? (T)((W)0 - (W)a) : (T)0;
    if (function == I_DIV) return (T)(a / b);
    T rest = (T)(a % b);
    return rest != (T)0 && (rest < (T)0) != (b < (T)0) ? (T)(rest + b) : rest;
}

#define INTEGER(NAME, T, W)                                                                        \
    extern "C" __global__ void NAME(const T *a, const T *b, T *y, u32 *failure, u64 count,         \
                                    u32 function, u32 unused, Axes<2> axes) {                      \
        u64 at = thread_index();                                                                   \
        if (at >= count) return;                                                                   \
        i64 offset[2];                                                                             \
        locate(axes, at, offset);                                                                  \
        bool failed = false;                                                                       \
        y[at] = whole<T, W>(function, a[offset[0]], b[offset[1]], failed);                         \
        if (failed) *failure = 1;                                                                  \
    }
INTEGER(ab_integer_long, i64, u64)
INTEGER(ab_integer_word, i32, u32)
INTEGER(ab_integer_short, i16, u32)
INTEGER(ab_integer_byte, i8, u32)
INTEGER(ab_integer_unsigned_long, u64, u64)
INTEGER(ab_integer_unsigned_word, u32, u32)
INTEGER(ab_integer_unsigned_short, u16, u32)
INTEGER(ab_integer_unsigned_byte, u8, u32)

static __device__ __forceinline__ u64 whole_joined(u32 kind, u64 a, u64 b) {
    switch (kind) {
    case REDUCE_MAX: return (i64)b > (i64)a ? b : a;
    case REDUCE_MIN: return (i64)b < (i64)a ? b : a;
    case REDUCE_PROD: return a * b;
    default: return a + b;
    }
}

// A warp for each output; the order of the terms does not matter to integers. In 64 bits, of which
// the narrower type keeps the lower ones.
template <class T>
static __device__ __forceinline__ void reduce_whole(const T *x, T *y, const Reduce &p, i64 least, i64 most) {
    u64 output = thread_index() / 32;
    if (output >= p.outputs) return;
    x += place(p.kept, output);
    u64 sum = p.kind == REDUCE_MAX ? (u64)least : p.kind == REDUCE_MIN ? (u64)most : p.kind == REDUCE_PROD ? 1 : 0;
    for (u64 i = threadIdx.x % 32; i < p.depth; i += 32) {
        u64 term = (u64)(i64)x[place(p.reduced, i)];
        if (p.kind == REDUCE_SUM_SQUARE) term *= term;
        if (p.kind == REDUCE_L1 && (i64)term < 0) term = 0 - term;
        sum = whole_joined(p.kind, sum, term);
    }
    for (int step = 16; step > 0; step >>= 1)
        sum = whole_joined(p.kind, sum, __shfl_xor_sync(0xffffffffu, sum, step));
    if (threadIdx.x % 32 == 0) y[output] = (T)sum;
}

extern "C" __global__ void ab_reduce_long(const i64 *x, i64 *y, Reduce p) {
    reduce_whole<i64>(x, y, p, -0x7fffffffffffffffll - 1, 0x7fffffffffffffffll);
}

extern "C" __global__ void ab_reduce_word(const i32 *x, i32 *y, Reduce p) {
    reduce_whole<i32>(x, y, p, -0x7fffffffll - 1, 0x7fffffffll);
}
