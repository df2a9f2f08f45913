// Pooling over windows and to a fixed size.

// One axis of the windows: at regular steps, or such that they cut the axis into `parts`.
struct PoolAxis {
    u64 size, window, stride, dilation, before, after, parts;
};

struct Pool {
    u64 outputs;
    u32 average, count_padding;
    PoolAxis y, x;
};

struct Taps {
    u64 first, step, count, padded;
};

static __device__ __forceinline__ u64 below(const PoolAxis &axis, u64 start, u64 end) {
    u64 taps = end > start ? (end - start + axis.dilation - 1) / axis.dilation : 0;
    return taps < axis.window ? taps : axis.window;
}

static __device__ __forceinline__ Taps taps_of(const PoolAxis &axis, u64 index) {
    Taps taps;
    if (axis.window == 0) {
        taps.first = index * axis.size / axis.parts;
        taps.step = 1;
        taps.count = ((index + 1) * axis.size + axis.parts - 1) / axis.parts - taps.first;
        taps.padded = taps.count;
        return taps;
    }
    // Taps at start + i * dilation, in coordinates of the padded image.
    u64 start = index * axis.stride;
    u64 skipped = below(axis, start, axis.before);
    u64 inside = below(axis, start, axis.before + axis.size);
    taps.first = start + skipped * axis.dilation - axis.before;
    taps.step = axis.dilation;
    taps.count = inside - skipped;
    taps.padded = below(axis, start, axis.before + axis.size + axis.after);
    return taps;
}

// T threads for each output.
template <int T> static __device__ __forceinline__ void pool(const float *x, float *y, const Pool &p) {
    u64 output = thread_index() / T;
    u32 lane = threadIdx.x % T;
    if (output >= p.outputs) return;
    u64 row = output / p.x.parts;
    u64 column = output - row * p.x.parts;
    u64 plane = row / p.y.parts;
    row -= plane * p.y.parts;
    Taps rows = taps_of(p.y, row);
    Taps columns = taps_of(p.x, column);
    const float *from = x + (plane * p.y.size + rows.first) * p.x.size + columns.first;
    double sum = 0.0;
    double most = Largest::empty();
    if (T == 1) {
        for (u64 i = 0; i < rows.count; i++)
            for (u64 j = 0; j < columns.count; j++) {
                float v = from[i * rows.step * p.x.size + j * columns.step];
                if (p.average)
                    sum += v;
                else
                    most = Largest::join(most, v);
            }
    } else {
        u64 count = rows.count * columns.count;
        for (u64 k = lane; k < count; k += T) {
            u64 i = k / columns.count;
            float v = from[i * rows.step * p.x.size + (k - i * columns.count) * columns.step];
            if (p.average)
                sum += v;
            else
                most = Largest::join(most, v);
        }
        if (p.average)
            sum = fold<32, Sum>(sum);
        else
            most = fold<32, Largest>(most);
    }
    if (lane > 0) return;
    double elements = p.count_padding ? (double)rows.padded * (double)columns.padded
                                      : (double)rows.count * (double)columns.count;
    y[output] = (float)(p.average ? sum / elements : most);
}

extern "C" __global__ void __launch_bounds__(256) ab_pool_thread(const float *x, float *y, Pool p) { pool<1>(x, y, p); }

extern "C" __global__ void __launch_bounds__(256) ab_pool_warp(const float *x, float *y, Pool p) { pool<32>(x, y, p); }
