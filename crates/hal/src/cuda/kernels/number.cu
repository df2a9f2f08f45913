// Numbers, functions of one and of two of them, and sums over the threads of a block.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long long i64;

static __device__ __forceinline__ bool aligned16(const void *address) {
    return ((u64)address & 15) == 0;
}

static __device__ __forceinline__ float part(const float4 &v, int i) {
    return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

// A number as the sum of two that tensor cores multiply, of eleven bits each.
struct Split {
    u32 high, low;
};

// The first eleven bits of a constant, and the next eleven. What is not finite has no rest.
static __device__ __forceinline__ Split split_constant(float x) {
    u32 bits = __float_as_uint(x);
    if (!(fabsf(x) <= 3.402823466e38f)) return {bits, 0};
    u32 high = bits & 0xffffe000;
    return {high, (__float_as_uint(x - __uint_as_float(high)) + 0x1000) & 0xffffe000};
}

// The function that is applied last, and its parameters.
struct Activation {
    u32 kind;
    float a;
    float b;
    float c;
};

enum {
    IDENTITY, RELU, LEAKY_RELU, HARD_SIGMOID, HARD_SWISH, SIGMOID, SILU, TANH, GELU, GELU_TANH, ERF,
    EXP, LOG, SQRT, RECIPROCAL, NEG, ABS, FLOOR, CEIL, SIN, COS, CLIP, ELU, SOFTPLUS, SOFTSIGN, MISH, SWISH,
    THRESHOLDED_RELU, ROUND, SIGN, TAN, ASIN, ACOS, ATAN, SINH, COSH, ASINH, ACOSH, ATANH
};

// NaN stays NaN in all of these.
static __device__ __forceinline__ float relu(float x) { return 0.0f > x ? 0.0f : x; }

static __device__ __forceinline__ float clip(float x, float low, float high) {
    float y = low > x ? low : x;
    return high < y ? high : y;
}

static __device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

#define EACH(VALUE)                                                                                \
    do {                                                                                           \
        _Pragma("unroll") for (int i = 0; i < 4; i++) {                                            \
            float x = v[i];                                                                        \
            v[i] = (VALUE);                                                                        \
        }                                                                                          \
    } while (0)

// With n = e^x * (e^x + 2), the hyperbolic tangent of ln(1 + e^x) is n / (n + 2).
static __device__ __forceinline__ float mish(float x) {
    float e = expf(x > 20.0f ? 20.0f : x);
    float n = e * (e + 2.0f);
    return x * (n / (n + 2.0f));
}

// Functions that networks hardly have: on their own, so that they cost the others no registers.
static __device__ __noinline__ float4 apply_rare(Activation f, float4 quad) {
    float v[4] = {quad.x, quad.y, quad.z, quad.w};
    switch (f.kind) {
    case ELU: EACH(x < 0.0f ? f.a * expm1f(f.b * x) : f.c * x); break;
    case SOFTPLUS: EACH((0.0f > x ? 0.0f : x) + log1pf(expf(-fabsf(x)))); break;
    case SOFTSIGN: EACH(x / (1.0f + fabsf(x))); break;
    case MISH: EACH(mish(x)); break;
    case SWISH: EACH(x * sigmoid(f.a * x)); break;
    case THRESHOLDED_RELU: EACH(x <= f.a ? 0.0f : x); break;
    case ROUND: EACH(rintf(x)); break;
    case SIGN: EACH(x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x); break;
    case TAN: EACH(tanf(x)); break;
    case ASIN: EACH(asinf(x)); break;
    case ACOS: EACH(acosf(x)); break;
    case ATAN: EACH(atanf(x)); break;
    case SINH: EACH(sinhf(x)); break;
    case COSH: EACH(coshf(x)); break;
    case ASINH: EACH(asinhf(x)); break;
    case ACOSH: EACH(acoshf(x)); break;
    case ATANH: EACH(atanhf(x)); break;
    default: break;
    }
    return make_float4(v[0], v[1], v[2], v[3]);
}

static __device__ __noinline__ float4 apply(Activation f, float4 quad) {
    float v[4] = {quad.x, quad.y, quad.z, quad.w};
    switch (f.kind) {
    case RELU: EACH(relu(x)); break;
    case LEAKY_RELU: EACH(x < 0.0f ? x * f.a : x); break;
    case HARD_SIGMOID: EACH(clip(f.a * x + f.b, 0.0f, 1.0f)); break;
    case HARD_SWISH: EACH(x * clip(x * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f)); break;
    case SIGMOID: EACH(sigmoid(x)); break;
    case SILU: EACH(x * sigmoid(x)); break;
    case TANH: EACH(tanhf(x)); break;
    case GELU: EACH(x * 0.5f * (1.0f + erff(x * 0.70710678118654752f))); break;
    case GELU_TANH: EACH(x * 0.5f * (1.0f + tanhf(0.79788456080286536f * (x + 0.044715f * (x * x * x))))); break;
    case ERF: EACH(erff(x)); break;
    case EXP: EACH(expf(x)); break;
    case LOG: EACH(logf(x)); break;
    case SQRT: EACH(sqrtf(x)); break;
    case RECIPROCAL: EACH(1.0f / x); break;
    // As bits: arithmetic makes the same NaN of every NaN.
    case NEG: EACH(__uint_as_float(__float_as_uint(x) ^ 0x80000000u)); break;
    case ABS: EACH(__uint_as_float(__float_as_uint(x) & 0x7fffffffu)); break;
    case FLOOR: EACH(floorf(x)); break;
    case CEIL: EACH(ceilf(x)); break;
    case SIN: EACH(sinf(x)); break;
    case COS: EACH(cosf(x)); break;
    case CLIP: EACH(clip(x, f.a, f.b)); break;
    default: return apply_rare(f, quad);
    }
    return make_float4(v[0], v[1], v[2], v[3]);
}

static __device__ __forceinline__ float4 activate(Activation f, float4 x) {
    if (f.kind == IDENTITY) return x;
    if (f.kind == RELU) return make_float4(relu(x.x), relu(x.y), relu(x.z), relu(x.w));
    return apply(f, x);
}

static __device__ __forceinline__ float activate(Activation f, float x) {
    return activate(f, make_float4(x, x, x, x)).x;
}

enum { ADD, SUB, MUL, DIV, POW, MIN, MAX, SLOPE, REM };

static __device__ __forceinline__ float smaller(float a, float b) {
    float least = b < a ? b : a;
    return b != b ? b : least;
}

static __device__ __forceinline__ float larger(float a, float b) {
    float most = b > a ? b : a;
    return b != b ? b : most;
}

static __device__ __noinline__ float4 powers(float4 a, float4 b) {
    return make_float4(powf(a.x, b.x), powf(a.y, b.y), powf(a.z, b.z), powf(a.w, b.w));
}

static __device__ __noinline__ float4 rests(float4 a, float4 b) {
    return make_float4(fmodf(a.x, b.x), fmodf(a.y, b.y), fmodf(a.z, b.z), fmodf(a.w, b.w));
}

static __device__ __forceinline__ float slope(float a, float b) { return a < 0.0f ? a * b : a; }

static __device__ __forceinline__ float4 join(u32 function, float4 a, float4 b) {
    switch (function) {
    case ADD: return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
    case SUB: return make_float4(a.x - b.x, a.y - b.y, a.z - b.z, a.w - b.w);
    case MUL: return make_float4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w);
    case DIV: return make_float4(a.x / b.x, a.y / b.y, a.z / b.z, a.w / b.w);
    case MIN: return make_float4(smaller(a.x, b.x), smaller(a.y, b.y), smaller(a.z, b.z), smaller(a.w, b.w));
    case MAX: return make_float4(larger(a.x, b.x), larger(a.y, b.y), larger(a.z, b.z), larger(a.w, b.w));
    case SLOPE: return make_float4(slope(a.x, b.x), slope(a.y, b.y), slope(a.z, b.z), slope(a.w, b.w));
    case REM: return rests(a, b);
    default: return powers(a, b);
    }
}

// Ways to make one number of many, in double precision. Which of a number and its rest is added
// first never depends on time: every sum has a fixed order.
struct Sum {
    static __device__ __forceinline__ double empty() { return 0.0; }
    static __device__ __forceinline__ double join(double a, double b) { return a + b; }
};

struct Product {
    static __device__ __forceinline__ double empty() { return 1.0; }
    static __device__ __forceinline__ double join(double a, double b) { return a * b; }
};

// NaN wins.
struct Largest {
    static __device__ __forceinline__ double empty() { return -__longlong_as_double(0x7ff0000000000000ll); }
    static __device__ __forceinline__ double join(double a, double b) {
        double most = b > a ? b : a;
        return b != b ? b : (a != a ? a : most);
    }
};

struct Smallest {
    static __device__ __forceinline__ double empty() { return __longlong_as_double(0x7ff0000000000000ll); }
    static __device__ __forceinline__ double join(double a, double b) {
        double least = b < a ? b : a;
        return b != b ? b : (a != a ? a : least);
    }
};

// Joins a number of each of T threads, which are a warp or the whole block; all of them get it.
template <int T, class F> static __device__ __forceinline__ double fold(double x) {
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) x = F::join(x, __shfl_xor_sync(0xffffffffu, x, step));
    if (T > 32) {
        __shared__ double parts[T / 32];
        __syncthreads();
        if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
        __syncthreads();
        x = parts[0];
        for (int i = 1; i < T / 32; i++) x = F::join(x, parts[i]);
    }
    return x;
}

// Extents and strides of N views of one shape, outermost axis first. Positions that fit 32 bits
// are taken apart in 32 bits.
#define AXES_MAX 16

template <int N> struct Axes {
    u64 rank;
    u64 extent[AXES_MAX];
    i64 stride[N][AXES_MAX];
};

template <int N>
static __device__ __forceinline__ void locate(const Axes<N> &axes, u64 position, i64 (&offset)[N]) {
#pragma unroll
    for (int v = 0; v < N; v++) offset[v] = 0;
    for (int axis = (int)axes.rank - 1; axis >= 0; axis--) {
        u64 index;
        if (position >> 32 == 0 && axes.extent[axis] >> 32 == 0) {
            u32 rest = (u32)position / (u32)axes.extent[axis];
            index = (u32)position - rest * (u32)axes.extent[axis];
            position = rest;
        } else {
            u64 rest = position / axes.extent[axis];
            index = position - rest * axes.extent[axis];
            position = rest;
        }
#pragma unroll
        for (int v = 0; v < N; v++) offset[v] += (i64)index * axes.stride[v][axis];
    }
}

static __device__ __forceinline__ u64 thread_index() {
    return (u64)blockIdx.x * blockDim.x + threadIdx.x;
}
