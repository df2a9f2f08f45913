// Convolution: output channels are rows, output pixels of all images are columns, and the depth runs
// over the taps of the window and, within a tap, over the input channels.

struct Conv {
    u32 batch, in_channels, out_channels, groups;
    u32 height, width, out_height, out_width;
    u32 window_height, window_width, stride_y, stride_x, dilation_y, dilation_x;
    i32 top, left;
    // Channels of a group; rows of the weight are `pitch` elements apart.
    u32 in_group, out_group, depth, pitch;
    u32 tiles_m, tiles_n, part, parts;
    // Quotients by `in_group` and `window_width` are the high words of products with these, or
    // computed when they are 0.
    u32 by_in_group, by_window_width;
    u64 columns;
    Activation f;
};

static __device__ __forceinline__ u32 quotient(u32 x, u32 divisor, u32 reciprocal) {
    return reciprocal ? __umulhi(x, reciprocal) : x / divisor;
}

// Where the elements of the output go; the partial sums have the same places.
struct Image {
    const float *bias;
    const float *residual;
    float *y;
    float *partial;
    u64 columns;
    u32 pixels, batch, out_channels, first_row, rows;
    u64 first_column;
    Activation f;

    __device__ __forceinline__ u64 place(u32 channel, u64 column) const {
        if (batch == 1) return (u64)channel * pixels + column;
        u64 image = columns >> 32 == 0 ? (u64)((u32)column / pixels) : column / pixels;
        return (image * out_channels + channel) * pixels + (column - image * pixels);
    }

    __device__ __forceinline__ void put(int row, int column, float4 sum) const;
};

static __device__ __forceinline__ float4 add(float4 a, float4 b) {
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

// Bias, residual and activation of four neighbours.
static __device__ __forceinline__ void write_four(const float *bias, const float *residual, float *y, u32 channel, u64 at,
                                                  float4 sum, const Activation &f) {
    if (bias) {
        float shift = bias[channel];
        sum = add(sum, make_float4(shift, shift, shift, shift));
    }
    if (residual) sum = add(sum, *(const float4 *)(residual + at));
    *(float4 *)(y + at) = activate(f, sum);
}

static __device__ __forceinline__ void write_one(const float *bias, const float *residual, float *y, u32 channel, u64 at,
                                                 float sum, const Activation &f) {
    if (bias) sum += bias[channel];
    if (residual) sum += residual[at];
    y[at] = activate(f, sum);
}

__device__ __forceinline__ void Image::put(int row, int column, float4 sum) const {
    u64 first = first_column + column;
    if ((u32)row >= rows || first >= columns) return;
    u32 channel = first_row + row;
    if (pixels % 4 == 0) {
        u64 at = place(channel, first);
        if (partial) {
            *(float4 *)(partial + at) = sum;
            return;
        }
        if (aligned16(y) && (!residual || aligned16(residual))) {
            write_four(bias, residual, y, channel, at, sum, f);
            return;
        }
    }
    float v[4] = {sum.x, sum.y, sum.z, sum.w};
    if (!partial && f.kind > RELU) {
        // One call of the function for all four.
#pragma unroll
        for (int c = 0; c < 4; c++)
            if (first + c < columns) {
                if (bias) v[c] += bias[channel];
                if (residual) v[c] += residual[place(channel, first + c)];
            }
        float4 done = activate(f, make_float4(v[0], v[1], v[2], v[3]));
#pragma unroll
        for (int c = 0; c < 4; c++)
            if (first + c < columns) y[place(channel, first + c)] = part(done, c);
        return;
    }
#pragma unroll
    for (int c = 0; c < 4; c++)
        if (first + c < columns) {
            u64 at = place(channel, first + c);
            if (partial)
                partial[at] = v[c];
            else {
                if (bias) v[c] += bias[channel];
                if (residual) v[c] += residual[at];
                y[at] = f.kind == RELU ? relu(v[c]) : v[c];
            }
        }
}

// Each thread copies elements of one column of a stage: of one output pixel.
template <class T> struct ConvSource {
    static const int STEP = T::THREADS / T::BN;
    Panel weight;
    const float *x;
    u32 height, width, in_group, window_width, by_in_group, by_window_width;
    i32 dilation_y, dilation_x;
    i32 first_y, first_x;
    bool inside;

    __device__ __forceinline__ void fill(float *to_a, float *to_b, i64 first, i64 end) const {
        copy_deep<T, T::BM>(to_a, weight, first, end);
        int column = threadIdx.x % T::BN;
        int line = threadIdx.x / T::BN;
        u64 area = (u64)height * width;
        if (in_group % T::BK == 0) {
            // The stage lies within one tap.
            u32 tap = quotient((u32)first, in_group, by_in_group);
            u32 channel = (u32)first - tap * in_group + line;
            u32 row = quotient(tap, window_width, by_window_width);
            i32 iy = first_y + (i32)row * dilation_y;
            i32 ix = first_x + (i32)(tap - row * window_width) * dilation_x;
            bool present = inside && (u32)iy < height && (u32)ix < width;
            const float *from = present ? x + channel * area + (i64)iy * width + ix : x;
            u64 step = present ? STEP * area : 0;
#pragma unroll
            for (int i = 0; i < T::BK / STEP; i++)
                copy_4(to_b + (line + i * STEP) * T::BN + column, from + i * step, present);
            return;
        }
#pragma unroll
        for (int i = 0; i < T::BK / STEP; i++) {
            u32 k = (u32)first + line + i * STEP;
            u32 tap = quotient(k, in_group, by_in_group);
            u32 channel = k - tap * in_group;
            u32 row = quotient(tap, window_width, by_window_width);
            i32 iy = first_y + (i32)row * dilation_y;
            i32 ix = first_x + (i32)(tap - row * window_width) * dilation_x;
            bool present = inside && k < (u32)end && (u32)iy < height && (u32)ix < width;
            const float *from = present ? x + channel * area + (i64)iy * width + ix : x;
            copy_4(to_b + (line + i * STEP) * T::BN + column, from, present);
        }
    }
};

template <class T>
static __device__ __forceinline__ void convolution(const float *x, const float *weight, const float *bias,
                                                   const float *residual, float *y, float *partial, const Conv &p) {
    __shared__ __align__(16) float memory[Room<T, false>::FLOATS];
    u32 block = blockIdx.x;
    u32 tile_m = block % p.tiles_m;
    block /= p.tiles_m;
    u64 first_column = (u64)(block % p.tiles_n) * T::BN;
    u32 group = block / p.tiles_n;
    u32 first_row = tile_m * T::BM;
    u32 pixels = p.out_height * p.out_width;
    ConvSource<T> source;
    source.weight.data = weight + ((u64)group * p.out_group + first_row) * p.pitch;
    source.weight.row = p.pitch;
    source.weight.step = 1;
    source.weight.rows = p.out_group - first_row;
    source.weight.wide = aligned16(source.weight.data);
    u64 column = first_column + threadIdx.x % T::BN;
    source.inside = column < p.columns;
    u64 image = source.inside ? (p.columns >> 32 == 0 ? (u64)((u32)column / pixels) : column / pixels) : 0;
    u32 pixel = source.inside ? (u32)(column - image * pixels) : 0;
    u32 oy = pixel / p.out_width;
    u32 ox = pixel - oy * p.out_width;
    source.first_y = (i32)(oy * p.stride_y) - p.top;
    source.first_x = (i32)(ox * p.stride_x) - p.left;
    source.x = x + (image * p.in_channels + (u64)group * p.in_group) * p.height * p.width;
    source.height = p.height;
    source.width = p.width;
    source.in_group = p.in_group;
    source.window_width = p.window_width;
    source.by_in_group = p.by_in_group;
    source.by_window_width = p.by_window_width;
    source.dilation_y = (i32)p.dilation_y;
    source.dilation_x = (i32)p.dilation_x;
    i64 first = (i64)blockIdx.y * p.part;
    i64 end = first + p.part < p.depth ? first + p.part : p.depth;
    float sums[T::TM][T::TN];
    accumulate<T, false>(source, memory, first, end, sums);
    u64 size = (u64)p.out_channels * p.columns;
    Image target = {bias, residual, y, p.parts > 1 ? partial + blockIdx.y * size : 0, p.columns, pixels, p.batch,
                    p.out_channels, group * p.out_group + first_row, p.out_group - first_row, first_column, p.f};
    finish<T, false>(target, memory, sums);
}

#define CONVOLUTION(NAME, TILE, BLOCKS)                                                            \
    extern "C" __global__ void __launch_bounds__(TILE::THREADS, BLOCKS)                            \
        NAME(const float *x, const float *weight, const float *bias, const float *residual,        \
             float *y, float *partial, Conv p) {                                                   \
        convolution<TILE>(x, weight, bias, residual, y, partial, p);                               \
    }
CONVOLUTION(ab_conv_128x128, Tile128x128, 1)
CONVOLUTION(ab_conv_64x64, Tile64x64, 2)
CONVOLUTION(ab_conv_64x32, Tile64x32, 2)
CONVOLUTION(ab_conv_32x32, Tile32x32, 2)
CONVOLUTION(ab_conv_32x16, Tile32x16, 2)

// Adds the parts of the sums in their order. The output is a run of planes of `pixels` elements.
extern "C" __global__ void ab_conv_join(const float *bias, const float *residual, float *y, const float *partial,
                                        u64 size, u32 pixels, u32 channels, u32 parts, u32 unused, Activation f) {
    u64 at = thread_index();
    if (pixels % 4 == 0 && aligned16(y) && (!residual || aligned16(residual))) {
        at *= 4;
        if (at >= size) return;
        float4 sum = *(const float4 *)(partial + at);
        for (u32 s = 1; s < parts; s++) sum = add(sum, *(const float4 *)(partial + s * size + at));
        write_four(bias, residual, y, (u32)(at / pixels % channels), at, sum, f);
        return;
    }
    for (; at < size; at += (u64)gridDim.x * blockDim.x) {
        float sum = partial[at];
        for (u32 s = 1; s < parts; s++) sum += partial[s * size + at];
        write_one(bias, residual, y, (u32)(at / pixels % channels), at, sum, f);
    }
}

// One output element a thread, for groups of few channels. The weight has the order of the packed one.
extern "C" __global__ void ab_conv_direct(const float *x, const float *weight, const float *bias, const float *residual,
                                          float *y, Conv p) {
    u64 at = thread_index();
    u32 pixels = p.out_height * p.out_width;
    if (at >= (u64)p.out_channels * p.columns) return;
    u64 plane = at / pixels;
    u32 pixel = (u32)(at - plane * pixels);
    u64 image = plane / p.out_channels;
    u32 channel = (u32)(plane - image * p.out_channels);
    u32 group = channel / p.out_group;
    u32 oy = pixel / p.out_width;
    u32 ox = pixel - oy * p.out_width;
    i32 first_y = (i32)(oy * p.stride_y) - p.top;
    i32 first_x = (i32)(ox * p.stride_x) - p.left;
    const float *from = x + (image * p.in_channels + (u64)group * p.in_group) * p.height * p.width;
    const float *w = weight + (u64)channel * p.pitch;
    u64 area = (u64)p.height * p.width;
    float sum = 0.0f;
    for (u32 ky = 0; ky < p.window_height; ky++) {
        i32 iy = first_y + (i32)(ky * p.dilation_y);
        for (u32 kx = 0; kx < p.window_width; kx++) {
            i32 ix = first_x + (i32)(kx * p.dilation_x);
            if ((u32)iy < p.height && (u32)ix < p.width) {
                const float *pixel_at = from + (u64)iy * p.width + ix;
                const float *tap = w + (u64)(ky * p.window_width + kx) * p.in_group;
                for (u32 c = 0; c < p.in_group; c++) sum = fmaf(pixel_at[c * area], tap[c], sum);
            }
        }
    }
    write_one(bias, residual, y, channel, at, sum, p.f);
}
