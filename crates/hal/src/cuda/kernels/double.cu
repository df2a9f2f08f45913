// Functions of one and of two numbers in double precision, and products of matrices of doubles and of
// integers, which wrap.

static __device__ __forceinline__ double sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }

// NaN stays NaN.
static __device__ __forceinline__ double clip(double x, double low, double high) {
    double y = low > x ? low : x;
    return high < y ? high : y;
}

static __device__ __forceinline__ double softplus(double x) { return (0.0 > x ? 0.0 : x) + log1p(exp(-fabs(x))); }

static __device__ __noinline__ double apply(Activation f, double x) {
    switch (f.kind) {
    case RELU: return 0.0 > x ? 0.0 : x;
    case LEAKY_RELU: return x < 0.0 ? x * f.a : x;
    case HARD_SIGMOID: return clip(f.a * x + f.b, 0.0, 1.0);
    case HARD_SWISH: return x * clip(x / 6.0 + 0.5, 0.0, 1.0);
    case SIGMOID: return sigmoid(x);
    case SILU: return x * sigmoid(x);
    case TANH: return tanh(x);
    case GELU: return x * 0.5 * (1.0 + erf(x * 0.70710678118654752440));
    case GELU_TANH: return x * 0.5 * (1.0 + tanh(0.79788456080286535588 * (x + 0.044715 * (x * x * x))));
    case ERF: return erf(x);
    case EXP: return exp(x);
    case LOG: return log(x);
    case SQRT: return sqrt(x);
    case RECIPROCAL: return 1.0 / x;
    // As bits: arithmetic makes the same NaN of every NaN.
    case NEG: return __longlong_as_double(__double_as_longlong(x) ^ (i64)(1ull << 63));
    case ABS: return __longlong_as_double(__double_as_longlong(x) & 0x7fffffffffffffffll);
    case FLOOR: return floor(x);
    case CEIL: return ceil(x);
    case SIN: return sin(x);
    case COS: return cos(x);
    case CLIP: return clip(x, (double)f.a, (double)f.b);
    case ELU: return x < 0.0 ? f.a * expm1(f.b * x) : f.c * x;
    case SOFTPLUS: return softplus(x);
    case SOFTSIGN: return x / (1.0 + fabs(x));
    case MISH: return x * tanh(softplus(x));
    case SWISH: return x / (1.0 + exp(-f.a * x));
    case THRESHOLDED_RELU: return x <= f.a ? 0.0 : x;
    case ROUND: return rint(x);
    case SIGN: return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x;
    case TAN: return tan(x);
    case ASIN: return asin(x);
    case ACOS: return acos(x);
    case ATAN: return atan(x);
    case SINH: return sinh(x);
    case COSH: return cosh(x);
    case ASINH: return asinh(x);
    case ACOSH: return acosh(x);
    case ATANH: return atanh(x);
    default: return x;
    }
}

// NaN wins; of equal numbers, the second one is the result.
static __device__ __forceinline__ double join(u32 function, double a, double b) {
    switch (function) {
    case ADD: return a + b;
    case SUB: return a - b;
    case MUL: return a * b;
    case DIV: return a / b;
    case MIN: return a != a || a < b ? a : b;
    case MAX: return a != a || b < a ? a : b;
    case SLOPE: return a < 0.0 ? a * b : a;
    case REM: return fmod(a, b);
    default: return pow(a, b);
    }
}

extern "C" __global__ void ab_double_unary(const double *x, double *y, u64 count, Activation f) {
    u64 at = thread_index();
    if (at < count) y[at] = apply(f, x[at]);
}

extern "C" __global__ void ab_double_binary(const double *a, const double *b, double *y, u64 count, u32 function,
                                            u32 unused, Activation f, Axes<2> axes) {
    u64 at = thread_index();
    if (at >= count) return;
    i64 offset[2];
    locate(axes, at, offset);
    y[at] = apply(f, join(function, a[offset[0]], b[offset[1]]));
}

// Where the elements of a matrix lie.
struct PlainMatrix {
    u64 row, column;
};

struct PlainProduct {
    u64 rows, columns, depth;
    PlainMatrix a, b, y;
    float alpha;
    u32 unused;
    Activation f;
    // The products of a batch, and the strides of `a`, `b` and `y` along them.
    Axes<3> batch;
};

// Rows and columns of a block's sums, of which a thread has two by two, and the depth of a stage.
#define PLAIN_TILE 32
#define PLAIN_DEPTH 16

// Part of a matrix, with its rows side by side and zeros outside; neighbouring threads read neighbours.
template <class T>
static __device__ __forceinline__ void stage(T (&to)[PLAIN_DEPTH][PLAIN_TILE + 1], const T *from, u64 along, u64 down,
                                             u64 first, u64 end, u64 depth, u64 depth_end) {
#pragma unroll
    for (int i = 0; i < PLAIN_TILE * PLAIN_DEPTH / 256; i++) {
        u32 at = threadIdx.x + i * 256;
        u32 k = down == 1 ? at % PLAIN_DEPTH : at / PLAIN_TILE;
        u32 r = down == 1 ? at / PLAIN_DEPTH : at % PLAIN_TILE;
        bool inside = first + r < end && depth + k < depth_end;
        to[k][r] = inside ? from[(first + r) * along + (depth + k) * down] : (T)0;
    }
}

static __device__ __forceinline__ double multiply_add(double a, double b, double sum) { return fma(a, b, sum); }

static __device__ __forceinline__ u64 multiply_add(u64 a, u64 b, u64 sum) { return a * b + sum; }

static __device__ __forceinline__ u32 multiply_add(u32 a, u32 b, u32 sum) { return a * b + sum; }

static __device__ __forceinline__ double scaled(const PlainProduct &p, double sum) { return sum * (double)p.alpha; }

static __device__ __forceinline__ double activated(const PlainProduct &p, double sum) { return apply(p.f, sum); }

// Integers have neither a factor nor a function.
template <class T> static __device__ __forceinline__ T scaled(const PlainProduct &, T sum) { return sum; }

template <class T> static __device__ __forceinline__ T activated(const PlainProduct &, T sum) { return sum; }

// The products of a sum are added in their order, whatever else is in the block.
template <class T>
static __device__ __forceinline__ void plain_product(const T *a, const T *b, const T *bias, const T *residual, T *y,
                                                     const PlainProduct &p) {
    __shared__ T left[PLAIN_DEPTH][PLAIN_TILE + 1], right[PLAIN_DEPTH][PLAIN_TILE + 1];
    u64 across = (p.columns + PLAIN_TILE - 1) / PLAIN_TILE;
    u64 down = (p.rows + PLAIN_TILE - 1) / PLAIN_TILE;
    u64 rest = blockIdx.x / across;
    u64 column = blockIdx.x % across * PLAIN_TILE;
    u64 row = rest % down * PLAIN_TILE;
    i64 offset[3];
    locate(p.batch, rest / down, offset);
    a += offset[0];
    b += offset[1];
    u32 own_row = threadIdx.x / 16 * 2, own_column = threadIdx.x % 16 * 2;
    T sums[2][2] = {{0, 0}, {0, 0}};
#pragma unroll 1
    for (u64 depth = 0; depth < p.depth; depth += PLAIN_DEPTH) {
        stage(left, a, p.a.row, p.a.column, row, p.rows, depth, p.depth);
        stage(right, b, p.b.column, p.b.row, column, p.columns, depth, p.depth);
        __syncthreads();
        // Zeros behind the depth would make NaN of infinities.
        u32 steps = p.depth - depth < PLAIN_DEPTH ? (u32)(p.depth - depth) : PLAIN_DEPTH;
#pragma unroll 4
        for (u32 k = 0; k < steps; k++)
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int j = 0; j < 2; j++)
                    sums[i][j] = multiply_add(left[k][own_row + i], right[k][own_column + j], sums[i][j]);
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 2; j++) {
            u64 r = row + own_row + i, c = column + own_column + j;
            if (r >= p.rows || c >= p.columns) continue;
            u64 at = (u64)offset[2] + r * p.y.row + c * p.y.column;
            T sum = scaled(p, sums[i][j]);
            if (bias) sum += bias[c];
            if (residual) sum += residual[at];
            y[at] = activated(p, sum);
        }
}

#define PLAIN_PRODUCT(NAME, T)                                                                     \
    extern "C" __global__ void __launch_bounds__(256)                                              \
        NAME(const T *a, const T *b, const T *bias, const T *residual, T *y, PlainProduct p) {     \
        plain_product<T>(a, b, bias, residual, y, p);                                              \
    }
PLAIN_PRODUCT(ab_double_product, double)
PLAIN_PRODUCT(ab_integer_product_long, u64)
PLAIN_PRODUCT(ab_integer_product_word, u32)
