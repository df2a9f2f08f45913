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
    // Quotients by `in_group` and `window_width` are the high words of products with these; 0
    // stands for a divisor of 1.
    u32 by_in_group, by_window_width;
    u64 columns;
    Activation f;
};

static __device__ __forceinline__ u32 quotient(u32 x, u32 reciprocal) {
    return reciprocal ? __umulhi(x, reciprocal) : x;
}

static __device__ __forceinline__ float4 add(float4 a, float4 b) {
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

// One sum, by multiply-adds in the order of the depth.
static __device__ __noinline__ float conv_dot(const Conv p, const float *x, const float *weight, u32 at, int first, int depth) {
    float sum = 0.0f;
    u32 pixels = p.out_height * p.out_width;
    u32 image = at / pixels;
    u32 pixel = at - image * pixels;
    i32 first_y = (i32)(pixel / p.out_width * p.stride_y) - p.top;
    i32 first_x = (i32)(pixel % p.out_width * p.stride_x) - p.left;
    x += (u64)image * p.in_channels * p.height * p.width;
#pragma unroll 1
    for (int k = 0; k < depth; k++) {
        u32 tap = (u32)(first + k) / p.in_group;
        u32 channel = (u32)(first + k) - tap * p.in_group;
        i32 iy = first_y + (i32)(tap / p.window_width * p.dilation_y);
        i32 ix = first_x + (i32)(tap % p.window_width * p.dilation_x);
        bool present = (u32)iy < p.height && (u32)ix < p.width;
        float v = present ? x[((u64)channel * p.height + iy) * p.width + ix] : 0.0f;
        sum = fmaf(v, weight[k], sum);
    }
    return sum;
}

// The sums of a tile. Those that multiply-adds made are not computed again.
template <bool SETTLES_> struct ConvDot {
    static const bool SETTLES = SETTLES_;
    const Conv &p;
    const float *x, *weight;
    u32 first_column;
    int first, depth;

    __device__ __forceinline__ float at(int row, int column) const {
        u32 at = first_column + column;
        return at < p.columns ? conv_dot(p, x, weight + (u64)row * p.pitch, at, first, depth) : 0.0f;
    }
};

// Where the elements of the output go; the partial sums have the same places.
template <class Dot> struct Image {
    Dot dot;
    const float *bias;
    const float *residual;
    float *y;
    float *partial;
    u32 columns, pixels, out_channels, first_row, rows, first_column;
    Activation f;

    // Four neighbours of a row, of which those inside the output are written.
    __device__ __forceinline__ void put(int row, int column, float4 sum) const {
        u32 first = first_column + column;
        if ((u32)row >= rows || first >= columns) return;
        if constexpr (Dot::SETTLES) sum = settled(sum, dot, row, column);
        u32 channel = first_row + row;
        u32 image = first / pixels;
        u32 pixel = first - image * pixels;
        u64 at = ((u64)image * out_channels + channel) * pixels + pixel;
        bool wide = pixels % 4 == 0 && aligned16(y) && (!residual || aligned16(residual));
        if (wide && partial) {
            *(float4 *)(partial + at) = sum;
            return;
        }
        // The places of the neighbours, which may lie in the next image.
        u64 place[4] = {at, at, at, at};
        float v[4] = {sum.x, sum.y, sum.z, sum.w};
        if (!wide) {
            u64 jump = (u64)(out_channels - 1) * pixels;
#pragma unroll
            for (int c = 1; c < 4; c++) {
                pixel++;
                place[c] = place[c - 1] + 1 + (pixel == pixels ? jump : 0);
                pixel = pixel == pixels ? 0 : pixel;
            }
        }
        if (partial) {
#pragma unroll
            for (int c = 0; c < 4; c++)
                if (first + c < columns) partial[place[c]] = v[c];
            return;
        }
        float shift = bias ? bias[channel] : 0.0f;
        float4 done = make_float4(v[0] + shift, v[1] + shift, v[2] + shift, v[3] + shift);
        if (residual) {
            float4 more;
            if (wide) {
                more = *(const float4 *)(residual + at);
            } else {
                more.x = residual[place[0]];
                more.y = first + 1 < columns ? residual[place[1]] : 0.0f;
                more.z = first + 2 < columns ? residual[place[2]] : 0.0f;
                more.w = first + 3 < columns ? residual[place[3]] : 0.0f;
            }
            done = add(done, more);
        }
        done = activate(f, done);
        if (wide) {
            *(float4 *)(y + at) = done;
            return;
        }
#pragma unroll
        for (int c = 0; c < 4; c++)
            if (first + c < columns) y[place[c]] = part(done, c);
    }
};

// Bias, residual and activation of one element.
static __device__ __forceinline__ void write_one(const float *bias, const float *residual, float *y, u32 channel, u64 at,
                                                 float sum, const Activation &f) {
    if (bias) sum += bias[channel];
    if (residual) sum += residual[at];
    y[at] = activate(f, sum);
}

// Each thread copies elements of one column of each stage: of one output pixel. The input channels of
// a group have less than 2^31 elements, and there are less than 2^31 columns.
template <class T, int PLANES> struct ConvSource {
    static const bool LONG = true;
    static const int STEP = T::THREADS / T::BN;
    DeepCopy<T, T::BM, PLANES> weight;
    const Conv &p;
    const float *x;
    i32 first_y, first_x;
    bool inside;
    int area, line, k;
    // Where the stage is, when each lies within one tap.
    bool whole, present;
    int channel, tap_y, tap_x;
    const float *from;

    __device__ __forceinline__ ConvSource(const float *weights, i64 rows, const Conv &p, const float *x, u32 column, int k)
        : weight(weights, p.pitch, 1, p.pitch / 2, rows), p(p), line(threadIdx.x / T::BN), k(k), whole(p.in_group % T::BK == 0) {
        u32 pixels = p.out_height * p.out_width;
        inside = column < p.columns;
        if (!inside) column = 0;
        u32 image = column / pixels;
        u32 pixel = column - image * pixels;
        u32 oy = pixel / p.out_width;
        u32 ox = pixel - oy * p.out_width;
        first_y = (i32)(oy * p.stride_y) - p.top;
        first_x = (i32)(ox * p.stride_x) - p.left;
        area = (int)(p.height * p.width);
        this->x = x + (u64)image * p.in_channels * area;
        u32 tap = quotient((u32)k, p.by_in_group);
        channel = k - (int)(tap * p.in_group);
        tap_y = (int)quotient(tap, p.by_window_width);
        tap_x = (int)tap - tap_y * (int)p.window_width;
        aim();
    }

    __device__ __forceinline__ void aim() {
        i32 iy = first_y + tap_y * (i32)p.dilation_y;
        i32 ix = first_x + tap_x * (i32)p.dilation_x;
        present = inside && (u32)iy < p.height && (u32)ix < p.width;
        from = x + (present ? (channel + line) * area + iy * (i32)p.width + ix : 0);
    }

    __device__ __forceinline__ void fill(u32 to_a, u32 to_b, int left) {
        weight.fill(to_a, left);
        u32 own = to_b + 4 * (line * T::FLAT_PITCH + threadIdx.x % T::BN);
        if (whole) {
#pragma unroll
            for (int i = 0; i < T::BK / STEP; i++)
                copy_4(own + 4 * i * STEP * T::FLAT_PITCH, present ? from + i * STEP * area : x, present);
            from += T::BK * area;
            channel += T::BK;
            if (channel == (int)p.in_group) {
                channel = 0;
                tap_x++;
                if (tap_x == (int)p.window_width) {
                    tap_x = 0;
                    tap_y++;
                }
                aim();
            }
            return;
        }
#pragma unroll
        for (int i = 0; i < T::BK / STEP; i++) {
            u32 at = (u32)(k + line + i * STEP);
            u32 tap = quotient(at, p.by_in_group);
            u32 row = quotient(tap, p.by_window_width);
            i32 iy = first_y + (i32)(row * p.dilation_y);
            i32 ix = first_x + (i32)((tap - row * p.window_width) * p.dilation_x);
            bool here = inside && line + i * STEP < left && (u32)iy < p.height && (u32)ix < p.width;
            int offset = (int)(at - tap * p.in_group) * area + iy * (i32)p.width + ix;
            copy_4(own + 4 * i * STEP * T::FLAT_PITCH, x + (here ? offset : 0), here);
        }
        k += T::BK;
    }
};

template <class T>
static __device__ __forceinline__ void convolution(const float *x, const float *weight, const float *bias,
                                                   const float *residual, float *y, float *partial, const Conv &p) {
    const int KIND = T::IS_WHOLE ? SPLIT_FLAT : FLAT;
    float *memory = Room<T, KIND>::memory();
    u32 block = blockIdx.x;
    u32 first_row = block % p.tiles_m * T::BM;
    block /= p.tiles_m;
    u32 first_column = block % p.tiles_n * T::BN;
    u32 group = block / p.tiles_n;
    u32 first = blockIdx.y * p.part;
    int depth = (int)min(p.part, p.depth - first);
    weight += ((u64)group * p.out_group + first_row) * p.pitch + first;
    x += (u64)group * p.in_group * p.height * p.width;
    ConvSource<T, Room<T, KIND>::A_PLANES> source(weight, p.out_group - first_row, p, x,
                                                  first_column + threadIdx.x % T::BN, (int)first);
    Core<T, KIND, T::TENSOR> core;
    accumulate<T, KIND>(source, memory, depth, core);
    u64 size = (u64)p.out_channels * p.columns;
    u32 pixels = p.out_height * p.out_width;
    ConvDot<T::TENSOR> dot = {p, x, weight, first_column, (int)first, depth};
    Image<ConvDot<T::TENSOR>> target = {dot, bias, residual, y, p.parts > 1 ? partial + blockIdx.y * size : 0, (u32)p.columns, pixels,
                               p.out_channels, group * p.out_group + first_row, p.out_group - first_row, first_column, p.f};
    finish<T, KIND>(target, memory, core);
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
CONVOLUTION(ab_conv_tensor_128x64, Tensor128x64, 2)
CONVOLUTION(ab_conv_tensor_64x64, Tensor64x64, 4)
CONVOLUTION(ab_conv_tensor_64x32, Tensor64x32, 4)
CONVOLUTION(ab_conv_tensor_32x32, Tensor32x32, 4)
CONVOLUTION(ab_conv_tf32_128x64, Tf32128x64, 2)
CONVOLUTION(ab_conv_tf32_64x64, Tf3264x64, 4)
CONVOLUTION(ab_conv_tf32_64x32, Tf3264x32, 4)
CONVOLUTION(ab_conv_tf32_32x32, Tf3232x32, 4)

// Adds the parts of the sums in their order. The output is a run of planes of `pixels` elements.
extern "C" __global__ void ab_conv_join(const float *bias, const float *residual, float *y, const float *partial,
                                        u64 size, u32 pixels, u32 channels, u32 parts, u32 unused, Activation f) {
    u64 at = thread_index();
    if (pixels % 4 == 0 && aligned16(y) && (!residual || aligned16(residual))) {
        at *= 4;
        if (at >= size) return;
        float4 sum = *(const float4 *)(partial + at);
        for (u32 s = 1; s < parts; s++) sum = add(sum, *(const float4 *)(partial + s * size + at));
        float shift = bias ? bias[at / pixels % channels] : 0.0f;
        sum = add(sum, make_float4(shift, shift, shift, shift));
        if (residual) sum = add(sum, *(const float4 *)(residual + at));
        *(float4 *)(y + at) = activate(f, sum);
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
