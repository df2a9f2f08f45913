// Convolution of few products a sum: a block has the weight of 32 output channels and what 32 pixels
// see in shared memory, and a thread has four channels of one pixel.

#define THIN_DEPTH 32
#define THIN_ROWS 32
#define THIN_PIXELS 32
#define THIN_THREADS 256

// Four more than a multiple of 32, so that four rows of eight steps of the depth meet no bank twice.
#define THIN_PITCH (THIN_ROWS + 4)

extern "C" __global__ void __launch_bounds__(THIN_THREADS)
    ab_conv_thin(const float *x, const float *weight, const float *bias, const float *residual, float *y, Conv p) {
    __shared__ __align__(16) float weights[THIN_DEPTH * THIN_PITCH];
    __shared__ __align__(16) float seen[THIN_DEPTH * THIN_PIXELS];
    u32 lane = threadIdx.x % 32;
    u32 warp = threadIdx.x / 32;
    u32 block = blockIdx.x;
    u32 first_row = block % p.tiles_m * THIN_ROWS;
    block /= p.tiles_m;
    u32 column = block % p.tiles_n * THIN_PIXELS + lane;
    u32 group = block / p.tiles_n;
    // The weight, eight neighbours of a row at a time.
    u32 row = threadIdx.x / 8;
    bool is_row = first_row + row < p.out_group;
    const float *of_row = weight + ((u64)group * p.out_group + (is_row ? first_row + row : 0)) * p.pitch;
    u32 to = (u32)__cvta_generic_to_shared(weights + row);
    for (u32 k = threadIdx.x % 8; k < p.depth; k += 8) copy_4(to + 4 * k * THIN_PITCH, of_row + k, is_row);
    // What the pixels see, a step of the depth a warp.
    bool is_pixel = column < p.columns;
    if (!is_pixel) column = 0;
    u32 pixels = p.out_height * p.out_width;
    u32 image = column / pixels;
    u32 pixel = column - image * pixels;
    u32 line = pixel / p.out_width;
    i32 first_y = (i32)(line * p.stride_y) - p.top;
    i32 first_x = (i32)((pixel - line * p.out_width) * p.stride_x) - p.left;
    u32 area = p.height * p.width;
    x += ((u64)image * p.in_channels + (u64)group * p.in_group) * area;
    to = (u32)__cvta_generic_to_shared(seen + lane);
    for (u32 k = warp; k < p.depth; k += THIN_THREADS / 32) {
        u32 tap = quotient(k, p.by_in_group);
        u32 tap_y = quotient(tap, p.by_window_width);
        i32 iy = first_y + (i32)(tap_y * p.dilation_y);
        i32 ix = first_x + (i32)((tap - tap_y * p.window_width) * p.dilation_x);
        bool here = is_pixel && (u32)iy < p.height && (u32)ix < p.width;
        int offset = (int)((k - tap * p.in_group) * area) + iy * (i32)p.width + ix;
        copy_4(to + 4 * k * THIN_PIXELS, x + (here ? offset : 0), here);
    }
    copies_commit();
    copies_wait<0>();
    __syncthreads();
    const float *of_pixel = seen + lane;
    const float *of_rows = weights + 4 * warp;
    float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll 4
    for (u32 k = 0; k < p.depth; k++) {
        float v = of_pixel[k * THIN_PIXELS];
        float4 w = *(const float4 *)(of_rows + k * THIN_PITCH);
        sum.x = fmaf(v, w.x, sum.x);
        sum.y = fmaf(v, w.y, sum.y);
        sum.z = fmaf(v, w.z, sum.z);
        sum.w = fmaf(v, w.w, sum.w);
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
