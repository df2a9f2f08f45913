// Copies between strided views, selection of rows by index, and constants in the device's layout.

// Moves sixteen bytes as one where the addresses allow it, and in elements otherwise.
template <class T> struct Unit {
    T parts[16 / sizeof(T)];
};

template <class T>
static __device__ __forceinline__ void move(const T *from, T *to, u32 elements) {
    if (elements == 1) {
        *to = *from;
        return;
    }
    if (aligned16(from) && aligned16(to) && elements * sizeof(T) == 16) {
        *(uint4 *)to = *(const uint4 *)from;
        return;
    }
    for (u32 i = 0; i < elements; i++) to[i] = from[i];
}

// Copies `count` runs of `elements` elements; the views are source and target.
template <class T>
static __device__ __forceinline__ void copy(const T *x, T *y, u64 count, u32 elements, const Axes<2> &axes) {
    u64 at = thread_index();
    if (at >= count) return;
    i64 offset[2];
    locate(axes, at, offset);
    move(x + offset[0], y + offset[1], elements);
}

#define COPY(NAME, T)                                                                              \
    extern "C" __global__ void NAME(const T *x, T *y, u64 count, u32 elements, u32 unused,         \
                                    Axes<2> axes) {                                                \
        copy<T>(x, y, count, elements, axes);                                                      \
    }
COPY(ab_copy_1, u8)
COPY(ab_copy_2, u16)
COPY(ab_copy_4, u32)
COPY(ab_copy_8, u64)

// Rows of x lie along the first axis of the two, those of y along the second: squares of 32 by 32
// pass through shared memory, so that both sides are touched in their own order.
extern "C" __global__ void ab_transpose_4(const u32 *x, u32 *y, u64 across, u64 along, i64 x_stride, i64 y_stride,
                                          u64 tiles_across, u64 tiles_along, Axes<2> axes) {
    __shared__ u32 tile[32][33];
    u64 block = blockIdx.x;
    u64 first_along = block % tiles_along * 32;
    block /= tiles_along;
    u64 first_across = block % tiles_across * 32;
    i64 offset[2];
    locate(axes, block / tiles_across, offset);
    for (u32 i = threadIdx.y; i < 32; i += 8) {
        u64 row = first_along + i;
        u64 column = first_across + threadIdx.x;
        if (row < along && column < across)
            tile[i][threadIdx.x] = x[offset[0] + (i64)row * x_stride + (i64)column];
    }
    __syncthreads();
    for (u32 i = threadIdx.y; i < 32; i += 8) {
        u64 row = first_across + i;
        u64 column = first_along + threadIdx.x;
        if (row < across && column < along)
            y[offset[1] + (i64)row * y_stride + (i64)column] = tile[threadIdx.x][i];
    }
}

// Rows of x are picked in runs of `elements` elements, `runs` of which make a row.
template <class T>
static __device__ __forceinline__ void gather(const T *x, const void *indices, T *y, u32 *failure, u64 total,
                                              u64 axis, u64 count, u64 runs, u32 elements, u32 wide) {
    u64 at = thread_index();
    if (at >= total) return;
    u64 row, run;
    if (total >> 32 == 0) {
        row = (u32)at / (u32)runs;
        run = (u32)at - (u32)row * (u32)runs;
    } else {
        row = at / runs;
        run = at - row * runs;
    }
    u64 outer = row / count;
    u64 place = row - outer * count;
    i64 index = wide ? ((const i64 *)indices)[place] : (i64)((const i32 *)indices)[place];
    if (index < 0) index += (i64)axis;
    if (index < 0 || (u64)index >= axis) {
        *failure = 1;
        return;
    }
    move(x + ((outer * axis + (u64)index) * runs + run) * elements, y + at * elements, elements);
}

#define GATHER(NAME, T)                                                                            \
    extern "C" __global__ void NAME(const T *x, const void *indices, T *y, u32 *failure,           \
                                    u64 total, u64 axis, u64 count, u64 runs, u32 elements,        \
                                    u32 wide) {                                                    \
        gather<T>(x, indices, y, failure, total, axis, count, runs, elements, wide);               \
    }
GATHER(ab_gather_1, u8)
GATHER(ab_gather_2, u16)
GATHER(ab_gather_4, u32)
GATHER(ab_gather_8, u64)

// One row for each of `rows`, `depth` elements of it and zeros up to `pitch`; with two planes, then
// what tensor cores leave over of each element. Element (row, k) is at
// row * row_stride + (k / inner) * outer_stride + (k % inner) * inner_stride.
extern "C" __global__ void ab_pack(const float *x, float *y, u64 rows, u64 depth, u64 pitch, u64 planes, u64 inner,
                                   u64 row_stride, u64 outer_stride, u64 inner_stride) {
    u64 at = thread_index();
    if (at >= rows * planes * pitch) return;
    u64 line = at / pitch;
    u64 k = at - line * pitch;
    u64 row = line / planes;
    u64 outer = k / inner;
    float v = k < depth ? x[row * row_stride + outer * outer_stride + (k - outer * inner) * inner_stride] : 0.0f;
    y[at] = line % planes == 0 ? v : __uint_as_float(split_constant(v).low);
}
