// Convolution over patches of the image: a block keeps what its output pixels see of some input
// channels in shared memory, where all taps find it, and reads the weight in the order in which the
// registers of the tensor cores take it.

// The tiles of products, and the channels of a patch, a multiple of eight for each slice. Channels
// that the image does not have are zeros.
template <int BM_, int BN_, int KS_, int CHANNELS_> struct PatchTile : TensorTile<BM_, BN_, 32, 32, 32, KS_, 1, 1> {
    static const int CHANNELS = CHANNELS_;
};

struct Patch {
    // Rows of a patch, elements from one row to the next and from one channel to the next, and zeros
    // before the first column of the image.
    u32 rows, row_pitch, plane, before;
    // Patches of a group, and of one of `parts` parts of the depth.
    u32 patches, part;
    // Blocks of pixels of an image, and of output channels of a group.
    u32 tiles_n, tiles_m;
    // Neighbours that copy one row, as a power of two, and whether they copy four elements at once.
    u32 neighbours, wide;
};

// Where a packed weight has a part of an element: squares of 16 rows and 8 steps of the depth, each
// with 32 lanes of four elements, the first parts before the second ones. The depth runs over the
// patches, the taps, and the channels of a patch.
static __device__ __forceinline__ u64 square_place(u64 row, u64 depth, u64 steps, u32 part) {
    u32 lane = (u32)(row % 8 * 4 + depth % 4);
    u32 element = (u32)(row % 16 / 8 + depth % 8 / 4 * 2);
    return ((row / 16 * steps + depth / 8) * 2 + part) * 128 + lane * 4 + element;
}

// Packs a weight of `rows` rows of `channels` by `taps` for `groups` groups; rows and channels beyond
// are zeros.
extern "C" __global__ void ab_pack_squares(const float *x, float *y, u64 groups, u64 rows, u64 channels, u64 taps,
                                           u64 patch_channels) {
    u64 at = thread_index();
    u64 steps = (channels + patch_channels - 1) / patch_channels * patch_channels * taps / 8;
    u64 squares = (rows + 15) / 16;
    if (at >= groups * squares * steps * 256) return;
    u32 place = (u32)(at % 128);
    u32 part = (u32)(at / 128 % 2);
    u64 step = at / 256 % steps;
    u64 square = at / 256 / steps % squares;
    u64 group = at / 256 / steps / squares;
    u64 row = square * 16 + place % 2 * 8 + place / 16;
    u64 depth = step * 8 + place / 2 % 2 * 4 + place / 4 % 4;
    u64 tap = depth / patch_channels % taps;
    u64 channel = depth / (patch_channels * taps) * patch_channels + depth % patch_channels;
    float v = row < rows && channel < channels ? x[((group * rows + row) * channels + channel) * taps + tap] : 0.0f;
    Split parts = split_whole(v);
    y[at] = __uint_as_float(part == 0 ? parts.high : parts.low);
}

// One sum, by multiply-adds in the order of the depth.
static __device__ __noinline__ float patch_dot(const Conv p, const float *x, const float *weight, u64 steps,
                                               u32 patch_channels, u32 at, u32 row, u32 first, u32 patches) {
    u32 taps = p.window_height * p.window_width;
    u32 patch = patch_channels * taps;
    i32 first_y = (i32)(at / p.out_width * p.stride_y) - p.top;
    i32 first_x = (i32)(at % p.out_width * p.stride_x) - p.left;
    float sum = 0.0f;
#pragma unroll 1
    for (u32 k = first * patch; k < (first + patches) * patch; k++) {
        u32 tap = k / patch_channels % taps;
        u32 channel = k / patch * patch_channels + k % patch_channels;
        if (channel >= p.in_group) continue;
        i32 iy = first_y + (i32)(tap / p.window_width * p.dilation_y);
        i32 ix = first_x + (i32)(tap % p.window_width * p.dilation_x);
        bool present = (u32)iy < p.height && (u32)ix < p.width;
        float v = present ? x[((u64)channel * p.height + iy) * p.width + ix] : 0.0f;
        sum = fmaf(v, weight[square_place(row, k, steps, 0)] + weight[square_place(row, k, steps, 1)], sum);
    }
    return sum;
}

struct PatchDot {
    static const bool SETTLES = true;
    const Conv &p;
    const float *x, *weight;
    u32 steps, channels, first_row, first_pixel, first, patches;

    __device__ __forceinline__ float at(int row, int column) const {
        u32 pixel = first_pixel + column;
        if (pixel >= p.out_height * p.out_width) return 0.0f;
        return patch_dot(p, x, weight, steps, channels, pixel, first_row + row, first, patches);
    }
};

// Copies one patch of the channels from `first` on, whose first row of pixels is `first_y`.
template <class T>
static __device__ __forceinline__ void copy_patch(const Conv &p, const Patch &q, const float *x, u32 first, i32 first_y,
                                                  float *to) {
    u32 lane = threadIdx.x & (q.neighbours - 1);
    u32 behind = q.before + p.width;
    bool wide = q.wide && aligned16(x);
    u32 base = (u32)__cvta_generic_to_shared(to);
#pragma unroll 1
    for (u32 line = threadIdx.x / q.neighbours; line < T::CHANNELS * q.rows; line += T::THREADS / q.neighbours) {
        u32 channel = line / q.rows;
        u32 row = line - channel * q.rows;
        i32 y = first_y + (i32)row;
        bool present = (u32)y < p.height && first + channel < p.in_group;
        const float *from = x + (present ? ((u64)(first + channel) * p.height + y) * p.width : 0);
        u32 own = channel * q.plane + row * q.row_pitch;
        if (wide) {
            for (u32 i = lane * 4; i < p.width; i += q.neighbours * 4)
                copy_16(base + 4 * (own + q.before + i), from + i, present ? 16 : 0);
        } else {
            for (u32 i = lane; i < p.width; i += q.neighbours) copy_4(base + 4 * (own + q.before + i), from + i, present);
        }
        for (u32 i = lane; i < q.row_pitch - p.width; i += q.neighbours)
            to[own + (i < q.before ? i : i - q.before + behind)] = 0.0f;
    }
}

static __device__ __forceinline__ u32 load_shared(u32 address) {
    u32 word;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(address) : "memory");
    return word;
}

template <class T>
static __device__ __forceinline__ void patched(const float *x, const float *weight, const float *bias,
                                               const float *residual, float *y, float *partial, const Conv &p,
                                               const Patch &q) {
    typedef Core<T, PATCHES, true> C;
    float *memory = Room<T, PATCHES>::memory();
    u32 block = blockIdx.x;
    u32 first_row = block % q.tiles_m * T::BM;
    block /= q.tiles_m;
    u32 first_pixel = block % q.tiles_n * T::BN;
    block /= q.tiles_n;
    u32 image = block % p.batch;
    u32 group = block / p.batch;
    u32 pixels = p.out_height * p.out_width;
    u32 area = p.height * p.width;
    u32 first = blockIdx.y * q.part;
    u32 patches = min(q.part, q.patches - first);
    u32 taps = p.window_height * p.window_width;
    u32 steps = q.patches * taps * (T::CHANNELS / 8);
    u32 squares = (p.out_group + 15) / 16;
    x += ((u64)image * p.in_channels + (u64)group * p.in_group) * area;
    weight += (u64)group * squares * steps * 256;
    u32 first_line = first_pixel / p.out_width;
    i32 first_y = (i32)(first_line * p.stride_y) - p.top;
    u32 room = T::CHANNELS * q.plane;
    // Without sums, all of them are computed again.
    if (!aligned16(weight)) patches = 0;
    copy_patch<T>(p, q, x, first * T::CHANNELS, first_y, memory);
    copies_commit();

    C core;
    int lane = core.lane;
    u32 places[C::ACROSS];
#pragma unroll
    for (int j = 0; j < C::ACROSS; j++) {
        u32 pixel = min(first_pixel + core.column + j * 8 + lane / 4, pixels - 1);
        u32 line = pixel / p.out_width;
        places[j] = (line - first_line) * p.stride_y * q.row_pitch + (pixel - line * p.out_width) * p.stride_x + q.before -
                    p.left + (lane % 4 + core.slice * 8) * q.plane;
        places[j] = (u32)__cvta_generic_to_shared(memory) + 4 * places[j];
    }
    // The squares of the warp. Those beyond the rows are read from the last one, and not used.
    const uint4 *from[C::DOWN];
#pragma unroll
    for (int i = 0; i < C::DOWN; i++) {
        u32 square = min(first_row / 16 + core.row / 16 + i, squares - 1);
        from[i] = (const uint4 *)weight + ((u64)square * steps + first * taps * (T::CHANNELS / 8) + core.slice) * 64 + lane;
    }
    if (patches == 0) core.sums_unknown();
    u32 left = patches * taps * (T::CHANNELS / 8 / T::KS);
    uint4 high[C::DOWN], low[C::DOWN];
#pragma unroll
    for (int i = 0; i < C::DOWN && patches > 0; i++) {
        high[i] = __ldg(from[i]);
        low[i] = __ldg(from[i] + 32);
    }
#pragma unroll 1
    for (u32 patch = 0; patch < patches; patch++) {
        copies_wait<0>();
        __syncthreads();
        u32 own = patch % 2 ? 4 * room : 0;
        if (patch + 1 < patches) {
            copy_patch<T>(p, q, x, (first + patch + 1) * T::CHANNELS, first_y, memory + (patch % 2 ? 0 : room));
            copies_commit();
        }
#pragma unroll 1
        for (u32 ky = 0; ky < p.window_height; ky++) {
#pragma unroll 1
            for (u32 kx = 0; kx < p.window_width; kx++) {
                u32 tap = own + 4 * (ky * p.dilation_y * q.row_pitch + kx * p.dilation_x);
#pragma unroll
                for (int step = 0; step < T::CHANNELS / 8 / T::KS; step++) {
                    Split l[C::DOWN][4], r[C::ACROSS][2];
#pragma unroll
                    for (int j = 0; j < C::ACROSS; j++) {
                        r[j][0] = split(load_shared(places[j] + tap));
                        r[j][1] = split(load_shared(places[j] + (tap + 16 * q.plane)));
                    }
#pragma unroll
                    for (int i = 0; i < C::DOWN; i++) {
                        l[i][0] = {high[i].x, low[i].x};
                        l[i][1] = {high[i].y, low[i].y};
                        l[i][2] = {high[i].z, low[i].z};
                        l[i][3] = {high[i].w, low[i].w};
                    }
                    left--;
#pragma unroll
                    for (int i = 0; i < C::DOWN; i++) {
                        if (left > 0) from[i] += 64 * T::KS;
                        high[i] = __ldg(from[i]);
                        low[i] = __ldg(from[i] + 32);
                    }
                    core.add(l, r);
                    tap += 32 * T::KS * q.plane;
                }
                core.pending += T::CHANNELS / 8 / T::KS;
                if (core.pending >= TENSOR_STEPS) core.end();
            }
        }
    }
    copies_wait<0>();
    core.end();
    u64 size = (u64)p.out_channels * p.columns;
    u32 column = image * pixels + first_pixel;
    PatchDot dot = {p, x, weight, steps, T::CHANNELS, first_row, first_pixel, first, min(q.part, q.patches - first)};
    Image<PatchDot> target = {dot, bias, residual, y, p.parts > 1 ? partial + blockIdx.y * size : 0, (image + 1) * pixels,
                              pixels, p.out_channels, group * p.out_group + first_row, p.out_group - first_row, column, p.f};
    finish<T, PATCHES>(target, memory, core);
}

#define PATCHED(NAME, TILE, BLOCKS)                                                                \
    extern "C" __global__ void __launch_bounds__(TILE::THREADS, BLOCKS)                            \
        NAME(const float *x, const float *weight, const float *bias, const float *residual,        \
             float *y, float *partial, Conv p, Patch q) {                                          \
        patched<TILE>(x, weight, bias, residual, y, partial, p, q);                                \
    }
typedef PatchTile<64, 64, 1, 32> Patch64x64x1;
typedef PatchTile<64, 64, 2, 32> Patch64x64x2;
typedef PatchTile<64, 32, 2, 32> Patch64x32x2;
typedef PatchTile<64, 32, 4, 32> Patch64x32x4;
typedef PatchTile<64, 128, 1, 32> Patch64x128x1;
typedef PatchTile<32, 64, 1, 8> Few32x64;
typedef PatchTile<32, 128, 1, 8> Few32x128;
typedef PatchTile<32, 32, 1, 8> Few32x32;
PATCHED(ab_conv_patch_64x64x1, Patch64x64x1, 4)
PATCHED(ab_conv_patch_64x64x2, Patch64x64x2, 2)
PATCHED(ab_conv_patch_64x32x2, Patch64x32x2, 4)
PATCHED(ab_conv_patch_64x32x4, Patch64x32x4, 2)
PATCHED(ab_conv_patch_64x128x1, Patch64x128x1, 2)
PATCHED(ab_conv_few_32x64, Few32x64, 4)
PATCHED(ab_conv_few_32x128, Few32x128, 2)
PATCHED(ab_conv_few_32x32, Few32x32, 8)
