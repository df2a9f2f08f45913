// Batched matrix multiplication.

#define BATCH_AXES_MAX 8

struct MatMul {
    i64 m, n, k;
    i64 a_row, a_column, b_row, b_column, y_row, y_column;
    // Depth of a part of the sum, a multiple of every BK below 2^31; more than one part go to
    // scratch memory.
    i64 part;
    u64 matrices;
    u32 parts;
    u32 tiles_m, tiles_n;
    float alpha;
    Activation f;
    u64 rank;
    u64 extent[BATCH_AXES_MAX];
    i64 stride[3][BATCH_AXES_MAX];
};

static __device__ __forceinline__ void locate(const MatMul &p, u64 matrix, i64 (&offset)[3]) {
    offset[0] = offset[1] = offset[2] = 0;
    for (int axis = (int)p.rank - 1; axis >= 0; axis--) {
        u64 rest = matrix / p.extent[axis];
        i64 index = (i64)(matrix - rest * p.extent[axis]);
        matrix = rest;
#pragma unroll
        for (int v = 0; v < 3; v++) offset[v] += index * p.stride[v][axis];
    }
}

// Where the elements of one matrix go.
struct Elements {
    const float *bias;
    const float *residual;
    float *y;
    i64 n, y_row, y_column;
    float alpha;
    Activation f;

    __device__ __forceinline__ Elements(const MatMul &p, const float *bias, const float *residual, float *y, i64 offset)
        : bias(bias), residual(residual ? residual + offset : residual), y(y + offset), n(p.n), y_row(p.y_row),
          y_column(p.y_column), alpha(p.alpha), f(p.f) {}

    // Four neighbours in a row, of which those inside the matrix are written.
    __device__ __forceinline__ void write(i64 i, i64 j, float4 sum) const {
        i64 at = i * y_row + j * y_column;
        bool wide = y_column == 1 && j + 4 <= n && aligned16(y + at) && (!residual || aligned16(residual + at));
        float v[4] = {alpha * sum.x, alpha * sum.y, alpha * sum.z, alpha * sum.w};
#pragma unroll
        for (int c = 0; c < 4; c++)
            if (bias && j + c < n) v[c] += bias[j + c];
        if (residual && wide) {
            float4 more = *(const float4 *)(residual + at);
            v[0] += more.x;
            v[1] += more.y;
            v[2] += more.z;
            v[3] += more.w;
        } else if (residual) {
#pragma unroll
            for (int c = 0; c < 4; c++)
                if (j + c < n) v[c] += residual[at + c * y_column];
        }
        float4 done = activate(f, make_float4(v[0], v[1], v[2], v[3]));
        if (wide) {
            *(float4 *)(y + at) = done;
            return;
        }
#pragma unroll
        for (int c = 0; c < 4; c++)
            if (j + c < n) y[at + c * y_column] = part(done, c);
    }
};

struct MatMulTarget {
    Elements elements;
    float *partial;
    i64 m, n, i, j;

    __device__ __forceinline__ void put(int row, int column, float4 sum) const {
        if (i + row >= m || j + column >= n) return;
        if (partial == 0) {
            elements.write(i + row, j + column, sum);
            return;
        }
        float *to = partial + (i + row) * n + j + column;
        if (n % 4 == 0) {
            *(float4 *)to = sum;
            return;
        }
#pragma unroll
        for (int c = 0; c < 4; c++)
            if (j + column + c < n) to[c] = part(sum, c);
    }
};

template <class T, bool DEEP> struct Columns {
    typedef FlatCopy<T> Copy;
};

template <class T> struct Columns<T, true> {
    typedef DeepCopy<T, T::BN> Copy;
};

template <class T, bool DEEP> struct MatMulSource {
    static const bool LONG = false;
    DeepCopy<T, T::BM> a;
    typename Columns<T, DEEP>::Copy b;

    __device__ __forceinline__ void fill(u32 to_a, u32 to_b, int left) {
        a.fill(to_a, left);
        b.fill(to_b, left);
    }
};

template <class T, bool DEEP>
static __device__ __forceinline__ void matmul(const float *a, const float *b, const float *bias,
                                              const float *residual, float *y, float *partial, const MatMul &p) {
    __shared__ __align__(16) float memory[Room<T, DEEP>::FLOATS];
    u32 block = blockIdx.x;
    i64 j = (i64)(block % p.tiles_n) * T::BN;
    block /= p.tiles_n;
    i64 i = (i64)(block % p.tiles_m) * T::BM;
    u64 matrix = block / p.tiles_m;
    i64 offset[3];
    locate(p, matrix, offset);
    i64 first = blockIdx.y * p.part;
    int depth = (int)(first + p.part < p.k ? p.part : p.k - first);
    MatMulSource<T, DEEP> source = {
        DeepCopy<T, T::BM>(a + offset[0] + i * p.a_row + first * p.a_column, p.a_row, p.a_column, p.m - i),
        typename Columns<T, DEEP>::Copy(b + offset[1] + j * p.b_column + first * p.b_row, p.b_column, p.b_row, p.n - j)};
    float sums[T::TM][T::TN];
    accumulate<T, DEEP>(source, memory, depth, sums);
    float *own = p.parts > 1 ? partial + (blockIdx.y * p.matrices + matrix) * p.m * p.n : 0;
    MatMulTarget target = {Elements(p, bias, residual, y, offset[2]), own, p.m, p.n, i, j};
    finish<T, DEEP>(target, memory, sums);
}

#define MATMUL(NAME, TILE, DEEP, BLOCKS)                                                           \
    extern "C" __global__ void __launch_bounds__(TILE::THREADS, BLOCKS)                            \
        NAME(const float *a, const float *b, const float *bias, const float *residual, float *y,   \
             float *partial, MatMul p) {                                                           \
        matmul<TILE, DEEP>(a, b, bias, residual, y, partial, p);                                   \
    }
MATMUL(ab_matmul_128x128, Tile128x128, false, 1)
MATMUL(ab_matmul_64x64, Tile64x64, false, 2)
MATMUL(ab_matmul_64x32, Tile64x32, false, 2)
MATMUL(ab_matmul_32x32, Tile32x32, false, 2)
MATMUL(ab_matmul_32x16, Tile32x16, false, 2)
MATMUL(ab_matmul_deep_128x128, Tile128x128, true, 1)
MATMUL(ab_matmul_deep_64x64, Tile64x64, true, 2)
MATMUL(ab_matmul_deep_64x32, Tile64x32, true, 2)
MATMUL(ab_matmul_deep_32x32, Tile32x32, true, 2)
MATMUL(ab_matmul_deep_32x16, Tile32x16, true, 2)

// Adds the parts of a sum in their order; a thread for four neighbours of a row.
extern "C" __global__ void ab_matmul_join(const float *bias, const float *residual, float *y, const float *partial,
                                          MatMul p) {
    u64 quads = (p.n + 3) / 4;
    u64 at = thread_index();
    if (at >= p.matrices * p.m * quads) return;
    i64 j = (i64)(at % quads) * 4;
    u64 line = at / quads;
    i64 i = (i64)(line % p.m);
    u64 matrix = line / p.m;
    const float *from = partial + line * p.n + j;
    u64 distance = p.matrices * p.m * p.n;
    float v[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (u32 s = 0; s < p.parts; s++) {
        if (p.n % 4 == 0) {
            float4 more = *(const float4 *)(from + s * distance);
            v[0] += more.x;
            v[1] += more.y;
            v[2] += more.z;
            v[3] += more.w;
        } else {
            for (int c = 0; c < 4; c++)
                if (j + c < p.n) v[c] += from[s * distance + c];
        }
    }
    i64 offset[3];
    locate(p, matrix, offset);
    Elements(p, bias, residual, y, offset[2]).write(i, j, make_float4(v[0], v[1], v[2], v[3]));
}

// A few rows times a matrix whose columns lie along the depth: a warp for each column of y streams
// that of b past all rows.
template <int ROWS>
static __device__ __forceinline__ void few_rows(const float *a, const float *b, const float *bias,
                                                const float *residual, float *y, const MatMul &p) {
    u32 lane = threadIdx.x % 32;
    u64 warp = (u64)(blockIdx.x % p.tiles_n) * (blockDim.x / 32) + threadIdx.x / 32;
    u64 matrix = blockIdx.x / p.tiles_n;
    i64 j = (i64)warp;
    if (j >= p.n) return;
    i64 offset[3];
    locate(p, matrix, offset);
    a += offset[0];
    b += offset[1] + j * p.b_column;
    float sums[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) sums[r] = 0.0f;
    i64 k = 0;
    if (p.b_row == 1 && p.a_column == 1 && p.a_row % 4 == 0 && aligned16(a) && aligned16(b)) {
        i64 whole = p.k / 4;
#pragma unroll 4
        for (i64 at = lane; at < whole; at += 32) {
            float4 w = __ldg((const float4 *)b + at);
#pragma unroll
            for (int r = 0; r < ROWS; r++)
                if (r < p.m) {
                    float4 x = *(const float4 *)(a + r * p.a_row + at * 4);
                    sums[r] = fmaf(x.x, w.x, fmaf(x.y, w.y, fmaf(x.z, w.z, fmaf(x.w, w.w, sums[r]))));
                }
        }
        k = whole * 4;
    }
    for (k += lane; k < p.k; k += 32) {
        float w = b[k * p.b_row];
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            if (r < p.m) sums[r] = fmaf(a[r * p.a_row + k * p.a_column], w, sums[r]);
    }
    float mine = 0.0f;
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        float sum = sums[r];
#pragma unroll
        for (int step = 16; step > 0; step >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, step);
        if (lane == r) mine = sum;
    }
    if (lane >= p.m) return;
    i64 at = offset[2] + (i64)lane * p.y_row + j * p.y_column;
    float v = p.alpha * mine;
    if (bias) v += bias[j];
    if (residual) v += residual[at];
    y[at] = activate(p.f, v);
}

#define FEW_ROWS(NAME, ROWS)                                                                       \
    extern "C" __global__ void __launch_bounds__(256)                                              \
        NAME(const float *a, const float *b, const float *bias, const float *residual, float *y,   \
             MatMul p) {                                                                           \
        few_rows<ROWS>(a, b, bias, residual, y, p);                                                \
    }
FEW_ROWS(ab_matmul_rows_1, 1)
FEW_ROWS(ab_matmul_rows_2, 2)
FEW_ROWS(ab_matmul_rows_4, 4)
FEW_ROWS(ab_matmul_rows_8, 8)
