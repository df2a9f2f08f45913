// Batched matrix multiplication.

#define BATCH_AXES_MAX 8

struct MatMul {
    i64 m, n, k;
    i64 a_row, a_column, b_row, b_column, y_row, y_column;
    // Depth of a part of the sum, a multiple of every BK below 2^31; more than one part go to
    // scratch memory.
    i64 part;
    // How far what tensor cores leave over of `b` is behind it.
    i64 b_apart;
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

// One sum, by multiply-adds in the order of the depth.
static __device__ __noinline__ float dot(const float *a, const float *b, i64 a_step, i64 b_step, int depth) {
    float sum = 0.0f;
#pragma unroll 1
    for (int k = 0; k < depth; k++) sum = fmaf(a[k * a_step], b[k * b_step], sum);
    return sum;
}

// The sums of a tile.
struct MatMulDot {
    const float *a, *b;
    i64 a_row, a_step, b_column, b_step, columns;
    int depth;

    __device__ __forceinline__ float at(int row, int column) const {
        if (column >= columns) return 0.0f;
        return dot(a + row * a_row, b + column * b_column, a_step, b_step, depth);
    }
};

template <bool TENSOR> struct MatMulTarget {
    Elements elements;
    MatMulDot dot;
    float *partial;
    i64 m, n, i, j;

    __device__ __forceinline__ void put(int row, int column, float4 sum) const {
        if (i + row >= m || j + column >= n) return;
        if (TENSOR) sum = settled(sum, dot, row, column);
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

template <class T, int KIND> struct Columns {
    typedef DeepCopy<T, T::BN, Room<T, KIND>::B_PLANES> Copy;

    static __device__ __forceinline__ Copy of(const float *b, const MatMul &p, i64 left) {
        return Copy(b, p.b_column, p.b_row, p.b_apart, left);
    }
};

template <class T> struct Columns<T, FLAT> {
    typedef FlatCopy<T> Copy;

    static __device__ __forceinline__ Copy of(const float *b, const MatMul &p, i64 left) {
        return Copy(b, p.b_column, p.b_row, left);
    }
};

template <class T, int KIND> struct MatMulSource {
    static const bool LONG = false;
    DeepCopy<T, T::BM, 1> a;
    typename Columns<T, KIND>::Copy b;

    __device__ __forceinline__ void fill(u32 to_a, u32 to_b, int left) {
        a.fill(to_a, left);
        b.fill(to_b, left);
    }
};

template <class T, int KIND>
static __device__ __forceinline__ void matmul(const float *a, const float *b, const float *bias,
                                              const float *residual, float *y, float *partial, const MatMul &p) {
    float *memory = Room<T, KIND>::memory();
    u32 block = blockIdx.x;
    i64 j = (i64)(block % p.tiles_n) * T::BN;
    block /= p.tiles_n;
    i64 i = (i64)(block % p.tiles_m) * T::BM;
    u64 matrix = block / p.tiles_m;
    i64 offset[3];
    locate(p, matrix, offset);
    i64 first = blockIdx.y * p.part;
    int depth = (int)(first + p.part < p.k ? p.part : p.k - first);
    a += offset[0] + i * p.a_row + first * p.a_column;
    b += offset[1] + j * p.b_column + first * p.b_row;
    MatMulSource<T, KIND> source = {DeepCopy<T, T::BM, 1>(a, p.a_row, p.a_column, 0, p.m - i),
                                    Columns<T, KIND>::of(b, p, p.n - j)};
    Core<T, KIND, T::TENSOR> core;
    accumulate<T, KIND>(source, memory, depth, core);
    float *own = p.parts > 1 ? partial + (blockIdx.y * p.matrices + matrix) * p.m * p.n : 0;
    MatMulDot dot = {a, b, p.a_row, p.a_column, p.b_column, p.b_row, p.n - j, depth};
    MatMulTarget<T::TENSOR> target = {Elements(p, bias, residual, y, offset[2]), dot, own, p.m, p.n, i, j};
    finish<T, KIND>(target, memory, core);
}

#define MATMUL(NAME, TILE, KIND, BLOCKS)                                                           \
    extern "C" __global__ void __launch_bounds__(TILE::THREADS, BLOCKS)                            \
        NAME(const float *a, const float *b, const float *bias, const float *residual, float *y,   \
             float *partial, MatMul p) {                                                           \
        matmul<TILE, KIND>(a, b, bias, residual, y, partial, p);                                   \
    }
MATMUL(ab_matmul_128x128, Tile128x128, FLAT, 1)
MATMUL(ab_matmul_64x64, Tile64x64, FLAT, 2)
MATMUL(ab_matmul_64x32, Tile64x32, FLAT, 2)
MATMUL(ab_matmul_32x32, Tile32x32, FLAT, 2)
MATMUL(ab_matmul_32x16, Tile32x16, FLAT, 2)
MATMUL(ab_matmul_deep_128x128, Tile128x128, DEEP, 1)
MATMUL(ab_matmul_deep_64x64, Tile64x64, DEEP, 2)
MATMUL(ab_matmul_deep_64x32, Tile64x32, DEEP, 2)
MATMUL(ab_matmul_deep_32x32, Tile32x32, DEEP, 2)
MATMUL(ab_matmul_deep_32x16, Tile32x16, DEEP, 2)

#define TENSOR_MATMUL(SIZE, BLOCKS)                                                                \
    MATMUL(ab_matmul_tensor_##SIZE, Tensor##SIZE, FLAT, BLOCKS)                                    \
    MATMUL(ab_matmul_tensor_deep_##SIZE, Tensor##SIZE, DEEP, BLOCKS)                               \
    MATMUL(ab_matmul_tensor_split_##SIZE, Tensor##SIZE, DEEP_SPLIT, BLOCKS)
#define REDUCED_MATMUL(NAME, TILE, BLOCKS)                                                         \
    MATMUL(ab_matmul_##NAME, TILE, FLAT, BLOCKS)                                                   \
    MATMUL(ab_matmul_deep_##NAME, TILE, DEEP, BLOCKS)
REDUCED_MATMUL(tf32_128x64, Tf32128x64, 2)
REDUCED_MATMUL(tf32_64x64, Tf3264x64, 4)
REDUCED_MATMUL(tf32_64x32, Tf3264x32, 4)
REDUCED_MATMUL(tf32_32x32, Tf3232x32, 4)
TENSOR_MATMUL(128x64, 2)
TENSOR_MATMUL(64x64, 4)
TENSOR_MATMUL(64x32, 4)
TENSOR_MATMUL(32x32, 4)

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
