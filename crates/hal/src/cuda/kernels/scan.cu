// Running sums and products.

// A warp for each line: 32 elements are joined with those before them at a time.
template <class T, class W>
static __device__ __forceinline__ void scan(const T *x, T *y, u64 lines, u64 axis, u64 inner, u32 product,
                                            u32 exclusive, u32 reverse) {
    u64 line = thread_index() / 32;
    if (line >= lines) return;
    u32 lane = threadIdx.x % 32;
    u64 outer = line / inner;
    u64 first = outer * axis * inner + (line - outer * inner);
    W empty = product ? (W)1 : (W)0;
    W before = empty;
    for (u64 start = 0; start < axis; start += 32) {
        u64 step = start + lane;
        bool inside = step < axis;
        u64 at = first + (reverse ? axis - 1 - step : step) * inner;
        W sum = inside ? (W)x[at] : empty;
        for (u32 distance = 1; distance < 32; distance *= 2) {
            W other = __shfl_up_sync(0xffffffffu, sum, distance);
            if (lane >= distance) sum = product ? other * sum : other + sum;
        }
        sum = product ? before * sum : before + sum;
        W last = __shfl_sync(0xffffffffu, sum, 31);
        W left = __shfl_up_sync(0xffffffffu, sum, 1);
        if (lane == 0) left = before;
        if (inside) y[at] = (T)(exclusive ? left : sum);
        before = last;
    }
}

// Integers are added as unsigned ones, which wrap.
#define SCAN(NAME, T, W)                                                                           \
    extern "C" __global__ void NAME(const T *x, T *y, u64 lines, u64 axis, u64 inner, u32 product, \
                                    u32 exclusive, u32 reverse, u32 unused) {                      \
        scan<T, W>(x, y, lines, axis, inner, product, exclusive, reverse);                         \
    }
SCAN(ab_scan_float, float, double)
SCAN(ab_scan_double, double, double)
SCAN(ab_scan_long, i64, u64)
SCAN(ab_scan_word, i32, u32)
