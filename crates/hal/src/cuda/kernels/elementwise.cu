// Functions of one and of two tensors, the choice between two, and conversions. A thread writes
// four neighbours where they are numbers.

static __device__ __forceinline__ float4 load_four(const float *x, u64 at, u64 count) {
    if (at + 4 <= count && aligned16(x)) return *(const float4 *)(x + at);
    return make_float4(at < count ? x[at] : 0.0f, at + 1 < count ? x[at + 1] : 0.0f,
                       at + 2 < count ? x[at + 2] : 0.0f, at + 3 < count ? x[at + 3] : 0.0f);
}

static __device__ __forceinline__ void store_four(float *y, u64 at, u64 count, float4 v) {
    if (at + 4 <= count && aligned16(y)) {
        *(float4 *)(y + at) = v;
        return;
    }
    if (at < count) y[at] = v.x;
    if (at + 1 < count) y[at + 1] = v.y;
    if (at + 2 < count) y[at + 2] = v.z;
    if (at + 3 < count) y[at + 3] = v.w;
}

extern "C" __global__ void ab_unary(const float *x, float *y, u64 count, Activation f) {
    u64 at = 4 * thread_index();
    if (at < count) store_four(y, at, count, activate(f, load_four(x, at, count)));
}

// Each operand is as long as the output, or one element.
extern "C" __global__ void ab_binary_flat(const float *a, const float *b, float *y, u64 count, u32 function,
                                          u32 whole, Activation f) {
    u64 at = 4 * thread_index();
    if (at >= count) return;
    float4 left = whole & 1 ? load_four(a, at, count) : make_float4(a[0], a[0], a[0], a[0]);
    float4 right = whole & 2 ? load_four(b, at, count) : make_float4(b[0], b[0], b[0], b[0]);
    store_four(y, at, count, activate(f, join(function, left, right)));
}

// The rows of the output have `width` elements, a multiple of four; `axes` are those of the rows.
// Within a row each operand is as long as the row, or one element.
extern "C" __global__ void ab_binary_rows(const float *a, const float *b, float *y, u64 count, u32 width,
                                          u32 function, u32 whole, u32 unused, Activation f, Axes<2> axes) {
    u64 at = 4 * thread_index();
    if (at >= count) return;
    i64 offset[2];
    u64 row = at / width;
    u64 column = at - row * width;
    locate(axes, row, offset);
    const float *left = a + offset[0];
    const float *right = b + offset[1];
    float4 p = whole & 1 ? load_four(left + column, 0, 4) : make_float4(left[0], left[0], left[0], left[0]);
    float4 q = whole & 2 ? load_four(right + column, 0, 4) : make_float4(right[0], right[0], right[0], right[0]);
    store_four(y, at, count, activate(f, join(function, p, q)));
}

extern "C" __global__ void ab_binary(const float *a, const float *b, float *y, u64 count, u32 function,
                                     u32 unused, Activation f, Axes<2> axes) {
    u64 at = thread_index();
    if (at >= count) return;
    i64 offset[2];
    locate(axes, at, offset);
    float p = a[offset[0]];
    float q = b[offset[1]];
    float4 r = join(function, make_float4(p, p, p, p), make_float4(q, q, q, q));
    y[at] = activate(f, r).x;
}

template <class T>
static __device__ __forceinline__ void select(const u8 *condition, const T *a, const T *b, T *y, u64 count,
                                              const Axes<3> &axes) {
    u64 at = thread_index();
    if (at >= count) return;
    i64 offset[3];
    locate(axes, at, offset);
    y[at] = condition[offset[0]] != 0 ? a[offset[1]] : b[offset[2]];
}

#define SELECT(NAME, T)                                                                            \
    extern "C" __global__ void NAME(const u8 *condition, const T *a, const T *b, T *y, u64 count,  \
                                    Axes<3> axes) {                                                \
        select<T>(condition, a, b, y, count, axes);                                                \
    }
SELECT(ab_select_1, u8)
SELECT(ab_select_2, u16)
SELECT(ab_select_4, u32)
SELECT(ab_select_8, u64)

enum {
    F32, F16, BF16, F64, I64, I32, I16, I8, U64, U32, U16, U8, BOOL
};

// A value on its way between two types: of one of four kinds.
struct Wide {
    u32 kind;
    float single;
    double twice;
    i64 whole;
    u64 natural;
};

enum { SINGLE, DOUBLE, SIGNED, UNSIGNED };

static __device__ __forceinline__ float half_to_float(u16 stored) {
    u32 sign = (u32)(stored & 0x8000) << 16;
    u32 magnitude = stored & 0x7fff;
    // Moving exponent and mantissa into place leaves the exponent 112 too small; a product mends
    // that, for numbers below the normal range too.
    float scaled = __uint_as_float(magnitude << 13) * __uint_as_float(0x77800000);
    float special = __uint_as_float(magnitude << 13 | 0x7f800000);
    return __uint_as_float(__float_as_uint(magnitude >= 0x7c00 ? special : scaled) | sign);
}

static __device__ __forceinline__ Wide widen(u32 from, const void *x, u64 at) {
    Wide w;
    w.kind = UNSIGNED;
    w.single = 0.0f;
    w.twice = 0.0;
    w.whole = 0;
    w.natural = 0;
    switch (from) {
    case F32: w.kind = SINGLE; w.single = ((const float *)x)[at]; break;
    case F16: w.kind = SINGLE; w.single = half_to_float(((const u16 *)x)[at]); break;
    case BF16: w.kind = SINGLE; w.single = __uint_as_float((u32)((const u16 *)x)[at] << 16); break;
    case F64: w.kind = DOUBLE; w.twice = ((const double *)x)[at]; break;
    case I64: w.kind = SIGNED; w.whole = ((const i64 *)x)[at]; break;
    case I32: w.kind = SIGNED; w.whole = ((const i32 *)x)[at]; break;
    case I16: w.kind = SIGNED; w.whole = ((const i16 *)x)[at]; break;
    case I8: w.kind = SIGNED; w.whole = ((const i8 *)x)[at]; break;
    case U64: w.natural = ((const u64 *)x)[at]; break;
    case U32: w.natural = ((const u32 *)x)[at]; break;
    case U16: w.natural = ((const u16 *)x)[at]; break;
    case U8: w.natural = ((const u8 *)x)[at]; break;
    default: w.natural = ((const u8 *)x)[at] != 0; break;
    }
    return w;
}

// Of a float truncated, and the nearest of the bounds outside of them; 0 for NaN. Integers keep their
// lowest bits.
static __device__ __forceinline__ i64 to_signed(const Wide &w, i64 low, i64 high) {
    if (w.kind == SIGNED) return w.whole;
    if (w.kind == UNSIGNED) return (i64)w.natural;
    double x = w.kind == SINGLE ? (double)w.single : w.twice;
    if (x != x) return 0;
    // 2^63 is the first value that does not fit.
    i64 value = x >= 9223372036854775808.0    ? 0x7fffffffffffffffll
                : x < -9223372036854775808.0 ? -0x7fffffffffffffffll - 1
                                             : (i64)x;
    return value < low ? low : value > high ? high : value;
}

static __device__ __forceinline__ u64 to_unsigned(const Wide &w, u64 high) {
    if (w.kind == SIGNED) return (u64)w.whole;
    if (w.kind == UNSIGNED) return w.natural;
    double x = w.kind == SINGLE ? (double)w.single : w.twice;
    if (!(x > 0.0)) return 0;
    u64 value = x >= 18446744073709551616.0 ? 0xffffffffffffffffull : (u64)x;
    return value > high ? high : value;
}

// An integer as a double, rounded to odd where it does not fit.
static __device__ __forceinline__ double odd_double(u64 x) {
    u64 sticky = (x & 0x7ff) == 0 ? 0 : 0x800;
    return (double)(x < (1ull << 53) ? x : ((x & ~0x7ffull) | sticky));
}

// The value as a float, rounded to odd where it does not fit: a later rounding to fewer bits then
// gives what one rounding would have given.
static __device__ __forceinline__ float odd_float(const Wide &w) {
    if (w.kind == SINGLE) return w.single;
    double x = w.twice;
    if (w.kind == SIGNED) {
        double magnitude = odd_double(w.whole < 0 ? 0 - (u64)w.whole : (u64)w.whole);
        x = w.whole < 0 ? -magnitude : magnitude;
    } else if (w.kind == UNSIGNED) {
        x = odd_double(w.natural);
    }
    float nearest = (float)x;
    u32 bits = __float_as_uint(nearest);
    bool exact = (double)nearest == x || x != x || isinf(x);
    u32 shrink = fabs((double)nearest) > fabs(x) ? 1 : 0;
    // Bits of one sign are in order: the neighbour towards the value has an odd last bit.
    return exact || (bits & 1) ? nearest : __uint_as_float(bits + 1 - shrink * 2);
}

static __device__ __forceinline__ u16 to_half(float x) {
    u32 bits = __float_as_uint(x);
    u32 sign = (bits >> 16) & 0x8000;
    u32 magnitude = bits & 0x7fffffff;
    // Normal results: the exponent is rebased and the mantissa rounded in one sum. Smaller ones:
    // adding 0.5 leaves the rounded multiple of 2^-24 in the low bits.
    u32 normal = magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1);
    u32 small = __float_as_uint(__uint_as_float(magnitude) + 0.5f) - 0x3f000000;
    u32 special = magnitude > 0x7f800000 ? 0x7e00 : 0x7c00;
    u32 finite = magnitude < 0x38800000 ? small : normal >> 13;
    return (u16)(sign | (magnitude >= 0x47800000 ? special : finite));
}

static __device__ __forceinline__ u16 to_brain(float x) {
    u32 bits = __float_as_uint(x);
    u32 rounded = bits + 0x7fff + ((bits >> 16) & 1);
    return (u16)((x != x ? bits | 0x00400000 : rounded) >> 16);
}

static __device__ __forceinline__ float to_float(const Wide &w) {
    switch (w.kind) {
    case SINGLE: return w.single;
    case DOUBLE: return (float)w.twice;
    case SIGNED: return (float)w.whole;
    default: return (float)w.natural;
    }
}

static __device__ __forceinline__ double to_double(const Wide &w) {
    switch (w.kind) {
    case SINGLE: return (double)w.single;
    case DOUBLE: return w.twice;
    case SIGNED: return (double)w.whole;
    default: return (double)w.natural;
    }
}

static __device__ __forceinline__ bool to_bool(const Wide &w) {
    switch (w.kind) {
    case SINGLE: return w.single != 0.0f;
    case DOUBLE: return w.twice != 0.0;
    case SIGNED: return w.whole != 0;
    default: return w.natural != 0;
    }
}

extern "C" __global__ void ab_cast(const void *x, void *y, u64 count, u32 from, u32 to) {
    u64 at = thread_index();
    if (at >= count) return;
    Wide w = widen(from, x, at);
    switch (to) {
    case F32: ((float *)y)[at] = to_float(w); break;
    case F16: ((u16 *)y)[at] = to_half(odd_float(w)); break;
    case BF16: ((u16 *)y)[at] = to_brain(odd_float(w)); break;
    case F64: ((double *)y)[at] = to_double(w); break;
    case I64: ((i64 *)y)[at] = to_signed(w, -0x7fffffffffffffffll - 1, 0x7fffffffffffffffll); break;
    case I32: ((i32 *)y)[at] = (i32)to_signed(w, -0x7fffffffll - 1, 0x7fffffffll); break;
    case I16: ((i16 *)y)[at] = (i16)to_signed(w, -0x8000ll, 0x7fffll); break;
    case I8: ((i8 *)y)[at] = (i8)to_signed(w, -0x80ll, 0x7fll); break;
    case U64: ((u64 *)y)[at] = to_unsigned(w, 0xffffffffffffffffull); break;
    case U32: ((u32 *)y)[at] = (u32)to_unsigned(w, 0xffffffffull); break;
    case U16: ((u16 *)y)[at] = (u16)to_unsigned(w, 0xffffull); break;
    case U8: ((u8 *)y)[at] = (u8)to_unsigned(w, 0xffull); break;
    default: ((u8 *)y)[at] = to_bool(w) ? 1 : 0; break;
    }
}
