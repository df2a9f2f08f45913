// Convolution over patches of the image: a block keeps all that its output pixels see in shared
// memory, where every tap finds it, and reads the weight in the order in which the registers of the
// tensor cores take it.

// Channels of a patch. Those that a group does not have are zeros.
#define PATCH_CHANNELS 32

struct Patch {
    // Rows of a patch, elements from one row to the next and from one channel to the next, and zeros
    // before the first column of the image.
    u32 rows, row_pitch, plane, before;
    // Elements are copied in fours, so many a row, and at once where a row of the image has whole ones.
    u32 fours, wide;
    // Quotients by `fours`, `rows` and the width of the output are the high words of products with
    // these, as those of `Conv`.
    u32 by_fours, by_rows, by_out_width;
};

// Where a packed weight has an element: squares of 16 rows and 8 steps of the depth, each with 32 lanes
// of four elements. The depth runs over the taps and, within a tap, over the channels. Every block reads
// the weight of all its rows, so what tensor cores leave over of an element is not packed beside it.
static __device__ __forceinline__ u64 square_place(u64 row, u64 depth, u64 steps) {
    u32 lane = (u32)(row % 8 * 4 + depth % 4);
    u32 element = (u32)(row % 16 / 8 + depth % 8 / 4 * 2);
    return (row / 16 * steps + depth / 8) * 128 + lane * 4 + element;
}

// Packs a weight of `rows` rows of `channels` by `taps` for `groups` groups; rows and channels beyond
// are zeros.
extern "C" __global__ void ab_pack_squares(const float *x, float *y, u64 groups, u64 rows, u64 channels, u64 taps) {
    u64 at = thread_index();
    u64 steps = taps * (PATCH_CHANNELS / 8);
    u64 squares = (rows + 15) / 16;
    if (at >= groups * squares * steps * 128) return;
    u32 place = (u32)(at % 128);
    u64 step = at / 128 % steps;
    u64 square = at / 128 / steps % squares;
    u64 group = at / 128 / steps / squares;
    u64 row = square * 16 + place % 2 * 8 + place / 16;
    u64 depth = step * 8 + place / 2 % 2 * 4 + place / 4 % 4;
    u64 tap = depth / PATCH_CHANNELS;
    u64 channel = depth % PATCH_CHANNELS;
    y[at] = row < rows && channel < channels ? x[((group * rows + row) * channels + channel) * taps + tap] : 0.0f;
}

// One sum, by multiply-adds in the order of the depth.
static __device__ __noinline__ float patch_dot(const Conv p, const float *x, const float *weight, u32 at, u32 row) {
    u64 steps = (u64)p.window_height * p.window_width * (PATCH_CHANNELS / 8);
    i32 first_y = (i32)(at / p.out_width * p.stride_y) - p.top;
    i32 first_x = (i32)(at % p.out_width * p.stride_x) - p.left;
    float sum = 0.0f;
#pragma unroll 1
    for (u32 k = 0; k < p.depth; k++) {
        u32 tap = k / p.in_group;
        u32 channel = k - tap * p.in_group;
        i32 iy = first_y + (i32)(tap / p.window_width * p.dilation_y);
        i32 ix = first_x + (i32)(tap % p.window_width * p.dilation_x);
        bool present = (u32)iy < p.height && (u32)ix < p.width;
        float v = present ? x[((u64)channel * p.height + iy) * p.width + ix] : 0.0f;
        u64 depth = tap * PATCH_CHANNELS + channel;
        sum = fmaf(v, weight[square_place(row, depth, steps)], sum);
    }
    return sum;
}

struct PatchDot {
    static const bool SETTLES = true;
    const Conv &p;
    const float *x, *weight;
    u32 first_row, first_pixel;

    __device__ __forceinline__ float at(int row, int column) const {
        u32 pixel = first_pixel + column;
        return pixel < p.out_height * p.out_width ? patch_dot(p, x, weight, pixel, first_row + row) : 0.0f;
    }
};

// Copies the patch whose first row is row `first_y` of the image, which may lie outside of it.
template <class T>
static __device__ __forceinline__ void copy_patch(const Conv &p, const Patch &q, const float *x, i32 first_y, float *to) {
    bool wide = q.wide && aligned16(x);
    u32 base = (u32)__cvta_generic_to_shared(to);
#pragma unroll 1
    for (u32 four = threadIdx.x; four < PATCH_CHANNELS * q.rows * q.fours; four += T::THREADS) {
        u32 line = quotient(four, q.by_fours);
        u32 channel = quotient(line, q.by_rows);
        u32 row = line - channel * q.rows;
        u32 column = (four - line * q.fours) * 4;
        i32 iy = first_y + (i32)row;
        i32 ix = (i32)column - (i32)q.before;
        bool present = (u32)iy < p.height && channel < p.in_group;
        const float *from = x + (i32)((channel * p.height + (u32)iy) * p.width) + ix;
        u32 own = base + 4 * (channel * q.plane + row * q.row_pitch + column);
        if (wide) {
            present = present && (u32)ix < p.width;
            copy_16(own, present ? from : x, present ? 16 : 0);
        } else {
#pragma unroll
            for (int c = 0; c < 4; c++) {
                bool here = present && (u32)(ix + c) < p.width;
                copy_4(own + 4 * c, here ? from + c : x, here);
            }
        }
    }
    copies_commit();
}

static __device__ __forceinline__ u32 load_shared(u32 address) {
    u32 word;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(address) : "memory");
    return word;
}

// Adds the products of all taps with the patch in `memory`, of which the pixels from `first_pixel` on
// are computed, in line `first_line` of the output; `weight` is that of the group.
template <class T>
static __device__ __forceinline__ void accumulate_patch(const Conv &p, const Patch &q, const float *weight, u32 first_row,
                                                        u32 first_pixel, u32 first_line, const float *memory,
                                                        Core<T, PATCHES, true> &core) {
    typedef Core<T, PATCHES, true> C;
    u32 lane = core.lane;
    u32 pixels = p.out_height * p.out_width;
    // The place of each pixel in the first channel of the lane.
    u32 places[C::ACROSS];
#pragma unroll
    for (int j = 0; j < C::ACROSS; j++) {
        u32 pixel = min(first_pixel + core.column + j * 8 + lane / 4, pixels - 1);
        u32 line = quotient(pixel, q.by_out_width);
        u32 place = (line - first_line) * p.stride_y * q.row_pitch + (pixel - line * p.out_width) * p.stride_x;
        place += q.before - p.left + (core.slice * 8 + lane % 4) * q.plane;
        places[j] = (u32)__cvta_generic_to_shared(memory) + 4 * place;
    }
    // The squares of the warp. Instead of those beyond the rows it reads the last one.
    u32 squares = (p.out_group + 15) / 16;
    u32 left = p.window_height * p.window_width * (PATCH_CHANNELS / 8);
    const uint4 *from[C::DOWN];
    uint4 next[C::DOWN];
#pragma unroll
    for (int i = 0; i < C::DOWN; i++) {
        u32 square = min((first_row + core.row) / 16 + i, squares - 1);
        from[i] = (const uint4 *)weight + ((u64)square * left + core.slice) * 32 + lane;
        next[i] = __ldg(from[i]);
    }
    left /= T::KS;
    copies_wait<0>();
    __syncthreads();
#pragma unroll 1
    for (u32 y = 0; y < p.window_height; y++) {
#pragma unroll 1
        for (u32 x = 0; x < p.window_width; x++) {
            u32 tap = 4 * (y * p.dilation_y * q.row_pitch + x * p.dilation_x);
#pragma unroll
            for (int step = 0; step < PATCH_CHANNELS / 8 / T::KS; step++) {
                Split l[C::DOWN][4], r[C::ACROSS][2];
#pragma unroll
                for (int j = 0; j < C::ACROSS; j++) {
                    r[j][0] = split(load_shared(places[j] + tap));
                    r[j][1] = split(load_shared(places[j] + (tap + 16 * q.plane)));
                }
                left--;
#pragma unroll
                for (int i = 0; i < C::DOWN; i++) {
                    l[i][0] = split(next[i].x);
                    l[i][1] = split(next[i].y);
                    l[i][2] = split(next[i].z);
                    l[i][3] = split(next[i].w);
                    // The weight of the next step, where there is one.
                    if (left > 0) from[i] += 32 * T::KS;
                    next[i] = __ldg(from[i]);
                }
                core.add(l, r);
                tap += 32 * T::KS * q.plane;
            }
            core.count(PATCH_CHANNELS / 8 / T::KS);
        }
    }
    core.end();
}

// Where a tile of an image goes: `y` and the residual from the first channel and pixel on.
struct PatchTarget {
    PatchDot dot;
    const float *bias, *residual;
    float *y;
    u32 rows, columns, pixels;
    bool wide;
    Activation f;

    // Four neighbours of a row, of which those inside the image are written.
    __device__ __forceinline__ void put(int row, int column, float4 sum) const {
        if ((u32)row >= rows || (u32)column >= columns) return;
        sum = settled(sum, dot, row, column);
        u32 at = row * pixels + column;
        float shift = bias ? bias[row] : 0.0f;
        sum = add(sum, make_float4(shift, shift, shift, shift));
        if (wide) {
            if (residual) sum = add(sum, *(const float4 *)(residual + at));
            *(float4 *)(y + at) = activate(f, sum);
            return;
        }
        float more[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        if (residual) {
#pragma unroll
            for (int c = 0; c < 4; c++)
                if (column + c < columns) more[c] = residual[at + c];
            sum = add(sum, make_float4(more[0], more[1], more[2], more[3]));
        }
        sum = activate(f, sum);
#pragma unroll
        for (int c = 0; c < 4; c++)
            if (column + c < columns) y[at + c] = part(sum, c);
    }
};

// A block for each tile of output channels, tile of pixels, and group of an image.
template <class T>
static __device__ __forceinline__ void patched(const float *x, const float *weight, const float *bias,
                                               const float *residual, float *y, const Conv &p, const Patch &q) {
    float *memory = Room<T, PATCHES>::memory();
    u32 first_row = blockIdx.x * T::BM;
    u32 first_pixel = blockIdx.y * T::BN;
    u32 first_line = quotient(first_pixel, q.by_out_width);
    u32 image = blockIdx.z;
    u32 group = 0;
    if (p.groups > 1) {
        group = image / p.batch;
        image -= group * p.batch;
    }
    u32 pixels = p.out_height * p.out_width;
    x += ((u64)image * p.in_channels + (u64)group * p.in_group) * p.height * p.width;
    weight += (u64)group * ((p.out_group + 15) / 16) * p.window_height * p.window_width * (PATCH_CHANNELS / 8) * 128;
    Core<T, PATCHES, true> core;
    if (aligned16(weight)) {
        copy_patch<T>(p, q, x, (i32)(first_line * p.stride_y) - p.top, memory);
        accumulate_patch<T>(p, q, weight, first_row, first_pixel, first_line, memory, core);
    } else {
        core.forget();
    }
    PatchDot dot = {p, x, weight, first_row, first_pixel};
    u32 channel = group * p.out_group + first_row;
    u64 first = ((u64)image * p.out_channels + channel) * pixels + first_pixel;
    bool wide = pixels % 4 == 0 && aligned16(y) && (!residual || aligned16(residual));
    PatchTarget target = {dot, bias ? bias + channel : 0, residual ? residual + first : 0, y + first,
                          p.out_group - first_row, pixels - first_pixel, pixels, wide, p.f};
    finish<T, PATCHES>(target, memory, core);
}

// The channels are shared by two slices.
#define PATCHED(NAME, IS_WHOLE)                                                                       \
    extern "C" __global__ void __launch_bounds__(128, 4)                                           \
        NAME(const float *x, const float *weight, const float *bias, const float *residual,        \
             float *y, Conv p, Patch q) {                                                          \
        patched<TensorTile<64, 32, 32, 32, 32, 2, 1, IS_WHOLE>>(x, weight, bias, residual, y, p,  \
                                                                q);                                \
    }
PATCHED(ab_conv_patch, true)
PATCHED(ab_conv_patch_tf32, false)
