// Convolution of few products a sum: a block has the weight of 32 output channels and what 32 pixels
// see in shared memory, and a thread has four channels of one pixel.

#define THIN_DEPTH 32
#define THIN_ROWS 32
#define THIN_PIXELS 32
#define THIN_THREADS 256

// Four more than a multiple of 32, so that four rows of eight steps of the depth meet no bank twice.
#define THIN_PITCH (THIN_ROWS + 4)

// A block for each tile of pixels, tile of output channels, and group. Quotients by the pixels of an
// image and the width of the output are the high words of products with the last two.
extern "C" __global__ void __launch_bounds__(THIN_THREADS)
    ab_conv_thin(const float *x, const float *weight, const float *bias, const float *residual, float *y, Conv p,
                 u32 by_pixels, u32 by_out_width) {
    __shared__ __align__(16) float weights[THIN_DEPTH * THIN_PITCH];
    __shared__ __align__(16) float seen[THIN_DEPTH * THIN_PIXELS];
    u32 lane = threadIdx.x % 32;
    u32 warp = threadIdx.x / 32;
    u32 column = blockIdx.x * THIN_PIXELS + lane;
    u32 first_row = blockIdx.y * THIN_ROWS;
    u32 group = blockIdx.z;
    // Steps of the depth beyond the last one are zeros.
    u32 depth = (p.depth + 3) / 4 * 4;
    // The weight, eight neighbours of a row at a time.
    u32 row = threadIdx.x / 8;
    bool is_row = first_row + row < p.out_group;
    const float *of_row = weight + ((u64)group * p.out_group + (is_row ? first_row + row : 0)) * p.pitch;
    u32 to = (u32)__cvta_generic_to_shared(weights + row);
#pragma unroll 1
    for (u32 k = threadIdx.x % 8; k < depth; k += 8) {
        bool here = is_row && k < p.depth;
        copy_4(to + 4 * k * THIN_PITCH, here ? of_row + k : weight, here);
    }
    // What the pixels see, a step of the depth a warp.
    bool is_pixel = column < p.columns;
    if (!is_pixel) column = 0;
    u32 pixels = p.out_height * p.out_width;
    u32 image = quotient(column, by_pixels);
    u32 pixel = column - image * pixels;
    u32 line = quotient(pixel, by_out_width);
    i32 first_y = (i32)(line * p.stride_y) - p.top;
    i32 first_x = (i32)((pixel - line * p.out_width) * p.stride_x) - p.left;
    u32 area = p.height * p.width;
    x += ((u64)image * p.in_channels + (u64)group * p.in_group) * area;
    to = (u32)__cvta_generic_to_shared(seen + lane);
#pragma unroll 1
    for (u32 k = warp; k < depth; k += THIN_THREADS / 32) {
        u32 tap = quotient(k, p.by_in_group);
        u32 tap_y = quotient(tap, p.by_window_width);
        i32 iy = first_y + (i32)(tap_y * p.dilation_y);
        i32 ix = first_x + (i32)((tap - tap_y * p.window_width) * p.dilation_x);
        bool here = is_pixel && k < p.depth && (u32)iy < p.height && (u32)ix < p.width;
        int offset = (int)((k - tap * p.in_group) * area) + iy * (i32)p.width + ix;
        copy_4(to + 4 * k * THIN_PIXELS, x + (here ? offset : 0), here);
    }
    copies_commit();
    copies_wait<0>();
    __syncthreads();
    const float *of_pixel = seen + lane;
    const float *of_rows = weights + 4 * warp;
    float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll 1
    for (u32 k = 0; k < depth; k += 4) {
#pragma unroll
        for (int d = 0; d < 4; d++) {
            float v = of_pixel[d * THIN_PIXELS];
            float4 w = *(const float4 *)(of_rows + d * THIN_PITCH);
            sum.x = fmaf(v, w.x, sum.x);
            sum.y = fmaf(v, w.y, sum.y);
            sum.z = fmaf(v, w.z, sum.z);
            sum.w = fmaf(v, w.w, sum.w);
        }
        of_pixel += 4 * THIN_PIXELS;
        of_rows += 4 * THIN_PITCH;
    }
    u32 first = first_row + 4 * warp;
    if (!is_pixel || first >= p.out_group) return;
    u32 rows = min(p.out_group - first, 4u);
    u32 channel = group * p.out_group + first;
    u64 at = ((u64)image * p.out_channels + channel) * pixels + pixel;
    float v[4] = {sum.x, sum.y, sum.z, sum.w};
#pragma unroll
    for (int c = 0; c < 4; c++)
        if (c < rows) {
            if (bias) v[c] += bias[channel + c];
            if (residual) v[c] += residual[at + (u64)c * pixels];
        }
    float4 done = activate(p.f, make_float4(v[0], v[1], v[2], v[3]));
#pragma unroll
    for (int c = 0; c < 4; c++)
        if (c < rows) y[at + (u64)c * pixels] = part(done, c);
}
