// Normalisation, softmax and reductions: a warp or a block for each row.

// Elements of a row that a thread keeps; longer rows are read again.
#define KEPT 8

struct Rows {
    u64 units, length, channels, inner;
    u32 group, kind;
    float epsilon;
    u32 pooled;
    Activation f;
};

enum { GROUP, ROW, ROW_RMS };

static __device__ __noinline__ float inverse_deviation(double scale, double variance, float epsilon) {
    return (float)(scale / sqrt(variance + (double)epsilon));
}

// Statistics take two passes: the mean, then the squared distances from it. The mean is kept as a
// sum of two floats, so that a mean far larger than the deviation costs nothing.
template <int T>
static __device__ __forceinline__ void normalize(const float *x, const float *scale, const float *shift, float *y,
                                                 const Rows &p) {
    u64 unit = T == 32 ? (u64)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32 : blockIdx.x;
    if (unit >= p.units) return;
    u32 lane = threadIdx.x % T;
    x += unit * p.length;
    y += p.pooled ? unit : unit * p.length;
    bool keeps = p.length <= T * KEPT;
    float kept[KEPT];
#pragma unroll
    for (int i = 0; i < KEPT; i++) kept[i] = keeps && lane + i * T < p.length ? x[lane + i * T] : 0.0f;
    double mean = 0.0;
    double square = 0.0;
    if (p.kind != ROW_RMS) {
        double sum = 0.0;
        if (keeps) {
#pragma unroll
            for (int i = 0; i < KEPT; i++) sum += kept[i];
        } else {
            for (u64 i = lane; i < p.length; i += T) sum += x[i];
        }
        mean = fold<T, Sum>(sum) / (double)p.length;
    }
    if (keeps) {
#pragma unroll
        for (int i = 0; i < KEPT; i++) {
            double distance = lane + i * T < p.length ? kept[i] - mean : 0.0;
            square += distance * distance;
        }
    } else {
        for (u64 i = lane; i < p.length; i += T) {
            double distance = x[i] - mean;
            square += distance * distance;
        }
    }
    double variance = fold<T, Sum>(square) / (double)p.length;
    float high = (float)mean;
    // An infinite mean has no rest.
    float low = isinf(high) || high != high ? 0.0f : (float)(mean - (double)high);
    u64 first_channel = p.kind == GROUP ? unit * p.group % p.channels : 0;
    // For groups, factor and shift are those of a channel, which ends before `last`.
    u64 last = 0;
    float factor = p.kind == GROUP ? 0.0f : inverse_deviation(1.0, variance, p.epsilon);
    float offset = 0.0f;
    double sum_of_results = 0.0;
#pragma unroll 1
    for (u64 base = lane; base < p.length; base += T * KEPT) {
        float v[KEPT];
#pragma unroll
        for (int i = 0; i < KEPT; i++) {
            u64 at = base + i * T;
            v[i] = (keeps ? kept[i] : at < p.length ? x[at] : 0.0f) - high - low;
        }
        if (p.kind == GROUP) {
#pragma unroll
            for (int i = 0; i < KEPT; i++) {
                u64 at = base + i * T;
                if (at >= last && at < p.length) {
                    u64 channel = at < p.inner ? 0 : at / p.inner;
                    last = (channel + 1) * p.inner;
                    channel += first_channel;
                    factor = inverse_deviation(scale ? scale[channel] : 1.0, variance, p.epsilon);
                    offset = shift ? shift[channel] : 0.0f;
                }
                v[i] = fmaf(v[i], factor, offset);
            }
        } else {
#pragma unroll
            for (int i = 0; i < KEPT; i++) {
                u64 at = base + i * T;
                float gain = scale && at < p.length ? scale[at] : 1.0f;
                float rise = shift && at < p.length ? shift[at] : 0.0f;
                v[i] = fmaf(v[i] * factor, gain, rise);
            }
        }
#pragma unroll
        for (int i = 0; i < KEPT; i += 4) {
            float4 done = activate(p.f, make_float4(v[i], v[i + 1], v[i + 2], v[i + 3]));
#pragma unroll
            for (int c = 0; c < 4; c++) {
                u64 at = base + (i + c) * T;
                if (at >= p.length) continue;
                if (p.pooled)
                    sum_of_results += part(done, c);
                else
                    y[at] = part(done, c);
            }
        }
    }
    if (!p.pooled) return;
    double sum = fold<T, Sum>(sum_of_results);
    if (lane == 0) *y = (float)(sum / (double)p.length);
}

#define NORMALIZE(NAME, T, THREADS)                                                                \
    extern "C" __global__ void __launch_bounds__(THREADS)                                          \
        NAME(const float *x, const float *scale, const float *shift, float *y, Rows p) {           \
        normalize<T>(x, scale, shift, y, p);                                                       \
    }
NORMALIZE(ab_normalize_warp, 32, 128)
NORMALIZE(ab_normalize_half, 128, 128)
NORMALIZE(ab_normalize_block, 256, 256)

// Elements of a plane that a thread of a warp keeps.
#define PLANE_KEPT 32

// Groups of one channel, of elements that a warp keeps: a warp for each, two a block. Four sums are
// on their way at a time.
extern "C" __global__ void __launch_bounds__(64)
    ab_normalize_plane(const float *x, const float *scale, const float *shift, float *y, Rows p) {
    u64 unit = (u64)blockIdx.x * 2 + threadIdx.x / 32;
    if (unit >= p.units) return;
    u32 lane = threadIdx.x % 32;
    u32 length = (u32)p.length;
    x += unit * length;
    y += p.pooled ? unit : unit * length;
    float kept[PLANE_KEPT];
#pragma unroll
    for (int i = 0; i < PLANE_KEPT; i++) kept[i] = lane + i * 32 < length ? x[lane + i * 32] : 0.0f;
    double sums[4] = {};
#pragma unroll
    for (int i = 0; i < PLANE_KEPT; i++) sums[i % 4] += kept[i];
    double mean = fold<32, Sum>(sums[0] + sums[1] + (sums[2] + sums[3])) / (double)length;
    double squares[4] = {};
#pragma unroll
    for (int i = 0; i < PLANE_KEPT; i++) {
        double distance = lane + i * 32 < length ? kept[i] - mean : 0.0;
        squares[i % 4] += distance * distance;
    }
    double variance = fold<32, Sum>(squares[0] + squares[1] + (squares[2] + squares[3])) / (double)length;
    float high = (float)mean;
    // An infinite mean has no rest.
    float low = isinf(high) || high != high ? 0.0f : (float)(mean - (double)high);
    u64 channel = unit % p.channels;
    float factor = inverse_deviation(scale ? scale[channel] : 1.0, variance, p.epsilon);
    float offset = shift ? shift[channel] : 0.0f;
    double results[4] = {};
#pragma unroll
    for (int i = 0; i < PLANE_KEPT; i += 4) {
        float v[4];
#pragma unroll
        for (int c = 0; c < 4; c++) v[c] = fmaf(kept[i + c] - high - low, factor, offset);
        float4 done = activate(p.f, make_float4(v[0], v[1], v[2], v[3]));
#pragma unroll
        for (int c = 0; c < 4; c++) {
            u32 at = lane + (i + c) * 32;
            if (at >= length) continue;
            if (p.pooled)
                results[c] += part(done, c);
            else
                y[at] = part(done, c);
        }
    }
    if (!p.pooled) return;
    double sum = fold<32, Sum>(results[0] + results[1] + (results[2] + results[3]));
    if (lane == 0) *y = (float)(sum / (double)length);
}

// Statistics are given. A block does up to 1024 elements of one plane, or of several items when a
// plane is one element.
extern "C" __global__ void __launch_bounds__(256)
    ab_normalize_given(const float *x, const float *scale, const float *shift, const float *mean, const float *variance,
                       float *y, Rows p) {
    u64 pieces = (p.inner + 1023) / 1024;
    u64 first, end, channel;
    bool planes = p.inner > 1;
    if (planes) {
        u64 plane = blockIdx.x / pieces;
        channel = plane % p.channels;
        first = plane * p.inner + blockIdx.x % pieces * 1024 + threadIdx.x;
        end = (plane + 1) * p.inner;
    } else {
        first = (u64)blockIdx.x * 1024 + threadIdx.x;
        end = p.units;
    }
    float factor = 0.0f, offset = 0.0f, centre = 0.0f;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        u64 at = first + i * 256;
        if (at < end) {
            if (!planes || i == 0) {
                if (!planes) channel = at % p.channels;
                factor = inverse_deviation(scale ? scale[channel] : 1.0, variance[channel], p.epsilon);
                offset = shift ? shift[channel] : 0.0f;
                centre = mean[channel];
            }
            y[at] = activate(p.f, fmaf(x[at] - centre, factor, offset));
        }
    }
}

// Softmax of rows of neighbours.
template <int T>
static __device__ __forceinline__ void softmax(const float *x, float *y, u64 rows, u64 length, u32 logarithm) {
    u64 row = T == 32 ? (u64)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32 : blockIdx.x;
    if (row >= rows) return;
    u32 lane = threadIdx.x % T;
    x += row * length;
    y += row * length;
    bool keeps = length <= T * KEPT;
    const float lowest = __int_as_float(0xff800000);
    float kept[KEPT];
    float most = lowest;
#pragma unroll
    for (int i = 0; i < KEPT; i++) {
        kept[i] = keeps && lane + i * T < length ? x[lane + i * T] : lowest;
        most = larger(most, kept[i]);
    }
    if (!keeps)
        for (u64 i = lane; i < length; i += T) most = larger(most, x[i]);
    most = (float)fold<T, Largest>(most);
    double sum = 0.0;
    if (keeps) {
#pragma unroll
        for (int i = 0; i < KEPT; i++)
            if (lane + i * T < length) {
                float e = expf(kept[i] - most);
                sum += e;
                if (!logarithm) kept[i] = e;
            }
    } else {
        for (u64 i = lane; i < length; i += T) sum += expf(x[i] - most);
    }
    sum = fold<T, Sum>(sum);
    float divisor = (float)sum;
    float shift = logarithm ? (float)log(sum) : 0.0f;
    if (keeps) {
#pragma unroll
        for (int i = 0; i < KEPT; i++)
            if (lane + i * T < length) y[lane + i * T] = logarithm ? kept[i] - most - shift : kept[i] / divisor;
    } else {
        for (u64 i = lane; i < length; i += T) {
            float distance = x[i] - most;
            y[i] = logarithm ? distance - shift : expf(distance) / divisor;
        }
    }
}

extern "C" __global__ void __launch_bounds__(128)
    ab_softmax_warp(const float *x, float *y, u64 rows, u64 length, u32 logarithm) {
    softmax<32>(x, y, rows, length, logarithm);
}

extern "C" __global__ void __launch_bounds__(128)
    ab_softmax_half(const float *x, float *y, u64 rows, u64 length, u32 logarithm) {
    softmax<128>(x, y, rows, length, logarithm);
}

extern "C" __global__ void __launch_bounds__(256)
    ab_softmax_block(const float *x, float *y, u64 rows, u64 length, u32 logarithm) {
    softmax<256>(x, y, rows, length, logarithm);
}

// Softmax down columns that lie side by side: 32 columns a block, eight threads for each.
extern "C" __global__ void __launch_bounds__(256)
    ab_softmax_columns(const float *x, float *y, u64 outer, u64 length, u64 inner, u32 logarithm) {
    __shared__ double parts[8][32];
    u64 blocks = (inner + 31) / 32;
    u64 column = blockIdx.x % blocks * 32 + threadIdx.x;
    bool inside = column < inner;
    u64 start = blockIdx.x / blocks * length * inner + column;
    double most = Largest::empty();
    if (inside)
        for (u64 i = threadIdx.y; i < length; i += 8) most = Largest::join(most, x[start + i * inner]);
    parts[threadIdx.y][threadIdx.x] = most;
    __syncthreads();
    most = parts[0][threadIdx.x];
    for (int i = 1; i < 8; i++) most = Largest::join(most, parts[i][threadIdx.x]);
    __syncthreads();
    float top = (float)most;
    double sum = 0.0;
    if (inside)
        for (u64 i = threadIdx.y; i < length; i += 8) sum += expf(x[start + i * inner] - top);
    parts[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    sum = parts[0][threadIdx.x];
    for (int i = 1; i < 8; i++) sum += parts[i][threadIdx.x];
    if (!inside) return;
    float divisor = (float)sum;
    float shift = logarithm ? (float)log(sum) : 0.0f;
    for (u64 i = threadIdx.y; i < length; i += 8) {
        float distance = x[start + i * inner] - top;
        y[start + i * inner] = logarithm ? distance - shift : expf(distance) / divisor;
    }
}

enum { REDUCE_SUM, REDUCE_MEAN, REDUCE_MAX, REDUCE_MIN, REDUCE_PROD, REDUCE_SUM_SQUARE, REDUCE_L1, REDUCE_L2 };

struct Reduce {
    u64 outputs, depth;
    // Depth that one of `parts` blocks reduces; more than one part go to scratch memory.
    u64 part;
    u32 parts, kind;
    Axes<1> kept, reduced;
};

static __device__ __forceinline__ double empty_of(u32 kind) {
    switch (kind) {
    case REDUCE_MAX: return Largest::empty();
    case REDUCE_MIN: return Smallest::empty();
    case REDUCE_PROD: return 1.0;
    default: return 0.0;
    }
}

static __device__ __forceinline__ double joined(u32 kind, double a, double b) {
    switch (kind) {
    case REDUCE_MAX: return Largest::join(a, b);
    case REDUCE_MIN: return Smallest::join(a, b);
    case REDUCE_PROD: return a * b;
    default: return a + b;
    }
}

static __device__ __forceinline__ double taken(u32 kind, double x) {
    switch (kind) {
    case REDUCE_SUM_SQUARE:
    case REDUCE_L2: return x * x;
    case REDUCE_L1: return fabs(x);
    default: return x;
    }
}

static __device__ __forceinline__ double ended(u32 kind, double sum, u64 depth) {
    switch (kind) {
    case REDUCE_MEAN: return sum / (double)depth;
    case REDUCE_L2: return sqrt(sum);
    default: return sum;
    }
}

static __device__ __forceinline__ u64 place(const Axes<1> &axes, u64 position) {
    if (axes.rank == 1) return position * (u64)axes.stride[0][0];
    i64 offset[1];
    locate(axes, position, offset);
    return (u64)offset[0];
}

template <int T> static __device__ __forceinline__ double folded(u32 kind, double x) {
    switch (kind) {
    case REDUCE_MAX: return fold<T, Largest>(x);
    case REDUCE_MIN: return fold<T, Smallest>(x);
    case REDUCE_PROD: return fold<T, Product>(x);
    default: return fold<T, Sum>(x);
    }
}

// The sum of every T-th element from `first` on; eight are on their way at a time.
template <int T, class N>
static __device__ __forceinline__ double sum_of(const N *x, u64 first, u64 end, u64 stride) {
    double sum = 0.0;
    u64 i = first;
#pragma unroll 1
    for (; i + 7 * T < end; i += 8 * T) {
        N v[8];
#pragma unroll
        for (int c = 0; c < 8; c++) v[c] = x[(i + c * T) * stride];
#pragma unroll
        for (int c = 0; c < 8; c++) sum += v[c];
    }
#pragma unroll 1
    for (; i < end; i += T) sum += x[i * stride];
    return sum;
}

// A warp or a block for each output, or for a part of one.
template <int T, class N>
static __device__ __forceinline__ void reduce(const N *x, N *y, double *partial, const Reduce &p) {
    u64 unit = T == 32 ? (u64)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32 : blockIdx.x;
    if (unit >= p.outputs * p.parts) return;
    u32 lane = threadIdx.x % T;
    u64 output = unit;
    u64 first = 0;
    if (p.parts > 1) {
        output = unit / p.parts;
        first = unit % p.parts * p.part;
    }
    u64 end = first + p.part < p.depth ? first + p.part : p.depth;
    x += place(p.kept, output);
    double sum = empty_of(p.kind);
    if (p.reduced.rank == 1 && p.kind <= REDUCE_MEAN) {
        sum = sum_of<T>(x, first + lane, end, (u64)p.reduced.stride[0][0]);
    } else if (p.reduced.rank == 1) {
        u64 stride = (u64)p.reduced.stride[0][0];
#pragma unroll 4
        for (u64 i = first + lane; i < end; i += T) sum = joined(p.kind, sum, taken(p.kind, x[i * stride]));
    } else {
        for (u64 i = first + lane; i < end; i += T) sum = joined(p.kind, sum, taken(p.kind, x[place(p.reduced, i)]));
    }
    sum = folded<T>(p.kind, sum);
    if (lane == 0) {
        if (p.parts > 1)
            partial[unit] = sum;
        else
            y[output] = (N)ended(p.kind, sum, p.depth);
    }
}

// Outputs that lie side by side in x: 32 of them a block, eight threads for each.
template <class N>
static __device__ __forceinline__ void reduce_columns(const N *x, N *y, double *partial, const Reduce &p) {
    __shared__ double sums[8][32];
    u64 unit = blockIdx.x / p.parts;
    u64 part = blockIdx.x % p.parts;
    u64 output = unit * 32 + threadIdx.x;
    u64 first = part * p.part;
    u64 end = first + p.part < p.depth ? first + p.part : p.depth;
    double sum = empty_of(p.kind);
    if (output < p.outputs) {
        const N *from = x + place(p.kept, output);
        for (u64 i = first + threadIdx.y; i < end; i += 8)
            sum = joined(p.kind, sum, taken(p.kind, from[place(p.reduced, i)]));
    }
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || output >= p.outputs) return;
    for (int i = 1; i < 8; i++) sum = joined(p.kind, sum, sums[i][threadIdx.x]);
    if (p.parts > 1)
        partial[output * p.parts + part] = sum;
    else
        y[output] = (N)ended(p.kind, sum, p.depth);
}

template <class N> static __device__ __forceinline__ void reduce_join(N *y, const double *partial, const Reduce &p) {
    u64 output = thread_index();
    if (output >= p.outputs) return;
    double sum = partial[output * p.parts];
    for (u32 i = 1; i < p.parts; i++) sum = joined(p.kind, sum, partial[output * p.parts + i]);
    y[output] = (N)ended(p.kind, sum, p.depth);
}

#define REDUCE(NAME, N)                                                                            \
    extern "C" __global__ void __launch_bounds__(128)                                              \
        NAME##_warp(const N *x, N *y, double *partial, Reduce p) {                                 \
        reduce<32>(x, y, partial, p);                                                              \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(128)                                              \
        NAME##_half(const N *x, N *y, double *partial, Reduce p) {                                 \
        reduce<128>(x, y, partial, p);                                                             \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(256)                                              \
        NAME##_block(const N *x, N *y, double *partial, Reduce p) {                                \
        reduce<256>(x, y, partial, p);                                                             \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(256)                                              \
        NAME##_columns(const N *x, N *y, double *partial, Reduce p) {                              \
        reduce_columns(x, y, partial, p);                                                          \
    }                                                                                              \
    extern "C" __global__ void NAME##_join(N *y, const double *partial, Reduce p) {                \
        reduce_join(y, partial, p);                                                                \
    }
REDUCE(ab_reduce, float)
REDUCE(ab_double_reduce, double)
