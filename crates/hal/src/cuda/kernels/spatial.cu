// Windows over volumes, and regions of images.

// One axis: `size` elements, and `count` windows, of which the first begins `before` them.
struct WindowAxis {
    u64 size, count, taps, stride, gap, before;
};

struct Windows {
    u64 outputs;
    u32 columns_first, unused;
    WindowAxis axes[3];
};

static __device__ __forceinline__ u64 below(const WindowAxis &axis, u64 start, u64 end) {
    u64 taps = end > start ? (end - start + axis.gap - 1) / axis.gap : 0;
    return taps < axis.taps ? taps : axis.taps;
}

// The place of the largest element of each window; NaN is larger than every number.
template <class T> static __device__ __forceinline__ void peak(const T *x, i64 *y, const Windows &p) {
    u64 output = thread_index();
    if (output >= p.outputs) return;
    u64 first[3], seen[3], rest = output;
    for (int i = 2; i >= 0; i--) {
        const WindowAxis &axis = p.axes[i];
        u64 start = rest % axis.count * axis.stride;
        rest /= axis.count;
        u64 skipped = below(axis, start, axis.before);
        first[i] = start + skipped * axis.gap - axis.before;
        seen[i] = below(axis, start, axis.before + axis.size) - skipped;
    }
    u64 depth = p.axes[0].size, height = p.axes[1].size, width = p.axes[2].size;
    u64 plane = rest * depth * height * width;
    bool found = false;
    T most = 0;
    u64 place = 0;
    for (u64 i = 0; i < seen[0]; i++)
        for (u64 j = 0; j < seen[1]; j++)
            for (u64 k = 0; k < seen[2]; k++) {
                u64 z = first[0] + i * p.axes[0].gap;
                u64 row = first[1] + j * p.axes[1].gap;
                u64 column = first[2] + k * p.axes[2].gap;
                T v = x[plane + (z * height + row) * width + column];
                if (found && !(most < v || (v != v && most == most))) continue;
                found = true;
                most = v;
                place = p.columns_first ? (column * height + row) * depth + z : (z * height + row) * width + column;
            }
    y[output] = (i64)(plane + place);
}

#define PEAK(NAME, T)                                                                              \
    extern "C" __global__ void __launch_bounds__(256) NAME(const T *x, i64 *y, Windows p) {        \
        peak<T>(x, y, p);                                                                          \
    }
PEAK(ab_peak, float)
PEAK(ab_double_peak, double)

// The window that has its tap `tap` at an element, counted from where the first window begins.
static __device__ __forceinline__ bool window_at(const WindowAxis &axis, u64 at, u64 tap, u64 &window) {
    u64 shift = tap * axis.gap;
    if (shift > at) return false;
    window = (at - shift) / axis.stride;
    return window * axis.stride == at - shift && window < axis.count;
}

// Each element sums up the windows that have a tap there, tap after tap.
template <class T> static __device__ __forceinline__ void fold(const T *x, T *y, const Windows &p) {
    u64 output = thread_index();
    if (output >= p.outputs) return;
    u64 at[3], rest = output;
    for (int i = 2; i >= 0; i--) {
        at[i] = rest % p.axes[i].size + p.axes[i].before;
        rest /= p.axes[i].size;
    }
    u64 rows = p.axes[1].count, columns = p.axes[2].count;
    u64 each = p.axes[0].count * rows * columns;
    double sum = 0.0;
    for (u64 i = 0; i < p.axes[0].taps; i++) {
        u64 z, row, column;
        if (!window_at(p.axes[0], at[0], i, z)) continue;
        for (u64 j = 0; j < p.axes[1].taps; j++) {
            if (!window_at(p.axes[1], at[1], j, row)) continue;
            u64 tap = ((rest * p.axes[0].taps + i) * p.axes[1].taps + j) * p.axes[2].taps;
            for (u64 k = 0; k < p.axes[2].taps; k++)
                if (window_at(p.axes[2], at[2], k, column))
                    sum += (double)x[(tap + k) * each + (z * rows + row) * columns + column];
        }
    }
    y[output] = (T)sum;
}

#define FOLD(NAME, T)                                                                              \
    extern "C" __global__ void __launch_bounds__(256) NAME(const T *x, T *y, Windows p) {          \
        fold<T>(x, y, p);                                                                          \
    }
FOLD(ab_fold, float)
FOLD(ab_double_fold, double)

struct Regions {
    u64 outputs, batch, channels, height, width, rows, columns, samples;
    float scale;
    u32 half_pixel, largest, unused;
};

// Where the samples of a region lie along one axis. No two operations become one, so that a place is
// rounded as on the processor.
struct Side {
    double start, part;
    u64 samples, extent;
};

#define SAMPLES_MAX 4096

static __device__ __forceinline__ Side side(const Regions &p, double from, double to, u64 parts, u64 extent) {
    double shift = p.half_pixel ? 0.5 : 0.0;
    double start = __dadd_rn(__dmul_rn(from, (double)p.scale), -shift);
    double end = __dadd_rn(__dmul_rn(to, (double)p.scale), -shift);
    double width = __dadd_rn(end, -start);
    if (!p.half_pixel) width = fmax(width, 1.0);
    Side s;
    s.start = start;
    s.part = width / (double)parts;
    s.extent = extent;
    double wanted = ceil(s.part);
    s.samples = p.samples ? p.samples : wanted > 0.0 ? (wanted > SAMPLES_MAX ? SAMPLES_MAX + 1 : (u64)wanted) : 0;
    return s;
}

// The two elements that a sample is between, and how far it is behind the first; false where it is
// outside.
static __device__ __forceinline__ bool between(const Side &s, u64 part, u64 sample, u64 (&index)[2], double &ratio) {
    double step = s.part / (double)s.samples;
    double at = __dadd_rn(s.start, __dmul_rn((double)part, s.part));
    at = __dadd_rn(at, __dmul_rn((double)sample + 0.5, step));
    if (at < -1.0 || (double)s.extent < at) return false;
    at = fmax(at, 0.0);
    u64 low = (u64)at;
    bool inner = low + 1 < s.extent;
    index[0] = inner ? low : s.extent - 1;
    index[1] = inner ? low + 1 : s.extent - 1;
    ratio = inner ? at - (double)low : 0.0;
    return true;
}

template <class T>
static __device__ __forceinline__ void regions(const T *x, const T *corners, const i64 *images, T *y, u32 *failure,
                                               const Regions &p) {
    u64 output = thread_index();
    if (output >= p.outputs) return;
    u64 column = output % p.columns, rest = output / p.columns;
    u64 row = rest % p.rows;
    rest /= p.rows;
    u64 channel = rest % p.channels, region = rest / p.channels;
    i64 image = images[region];
    if (image < 0) image += (i64)p.batch;
    const T *corner = corners + region * 4;
    Side down = side(p, corner[1], corner[3], p.rows, p.height);
    Side over = side(p, corner[0], corner[2], p.columns, p.width);
    if (image < 0 || (u64)image >= p.batch || down.samples > SAMPLES_MAX || over.samples > SAMPLES_MAX) {
        *failure = 1;
        return;
    }
    const T *plane = x + ((u64)image * p.channels + channel) * p.height * p.width;
    double sum = p.largest ? __longlong_as_double(-0x10000000000000ll) : 0.0;
    for (u64 i = 0; i < down.samples; i++)
        for (u64 j = 0; j < over.samples; j++) {
            u64 rows[2] = {0, 0}, columns[2] = {0, 0};
            double v = 0.0, u = 0.0;
            bool inside = between(down, row, i, rows, v) && between(over, column, j, columns, u);
            for (int corner = 0; corner < 4; corner++) {
                double value = inside ? (double)plane[rows[corner / 2] * p.width + columns[corner % 2]] : 0.0;
                double term = inside ? value * (corner / 2 ? v : 1.0 - v) * (corner % 2 ? u : 1.0 - u) : 0.0;
                sum = !p.largest ? sum + term : sum != sum || term <= sum ? sum : term;
            }
        }
    u64 samples = down.samples * over.samples;
    if (p.largest)
        sum = samples ? sum : 0.0;
    else
        sum = samples ? sum / (double)samples : 0.0;
    y[output] = (T)sum;
}

#define REGIONS(NAME, T)                                                                           \
    extern "C" __global__ void __launch_bounds__(256) NAME(                                        \
        const T *x, const T *corners, const i64 *images, T *y, u32 *failure, Regions p) {          \
        regions<T>(x, corners, images, y, failure, p);                                             \
    }
REGIONS(ab_regions, float)
REGIONS(ab_double_regions, double)
