// Elements that are written by position, and the positions that tuples of indices name.

#define WIDTH_MAX 8

struct Locate {
    u64 count, width;
    u64 extent[WIDTH_MAX], step[WIDTH_MAX];
    Axes<1> axes;
};

template <class T>
static __device__ __forceinline__ void locate_tuples(const T *tuples, i64 *y, u32 *failure, const Locate &p) {
    u64 at = thread_index();
    if (at >= p.count) return;
    i64 position[1];
    locate(p.axes, at, position);
    for (u64 i = 0; i < p.width; i++) {
        i64 index = (i64)tuples[at * p.width + i];
        if (index < 0) index += (i64)p.extent[i];
        if (index < 0 || (u64)index >= p.extent[i]) {
            *failure = 1;
            index = 0;
        }
        position[0] += index * (i64)p.step[i];
    }
    y[at] = position[0];
}

extern "C" __global__ void ab_locate_long(const i64 *tuples, i64 *y, u32 *failure, Locate p) {
    locate_tuples<i64>(tuples, y, failure, p);
}

extern "C" __global__ void ab_locate_word(const i32 *tuples, i64 *y, u32 *failure, Locate p) {
    locate_tuples<i32>(tuples, y, failure, p);
}

extern "C" __global__ void ab_scatter_begin(u32 *last, u64 rows) {
    u64 at = thread_index();
    if (at < rows) last[at] = 0;
}

// One more than the number of the last update of each row.
extern "C" __global__ void ab_scatter_last(const i64 *positions, u32 *last, u32 *failure, u64 count, u64 rows) {
    u64 at = thread_index();
    if (at >= count) return;
    i64 row = positions[at];
    if (row < 0 || (u64)row >= rows) {
        *failure = 1;
        return;
    }
    atomicMax(last + row, (u32)at + 1);
}

// The updates of each row as a list, by one more than their numbers, in the order of time.
extern "C" __global__ void ab_scatter_lists(const i64 *positions, u32 *heads, u32 *next, u32 *failure, u64 count,
                                            u64 rows) {
    u64 at = thread_index();
    if (at >= count) return;
    i64 row = positions[at];
    if (row < 0 || (u64)row >= rows) {
        *failure = 1;
        return;
    }
    next[at] = atomicExch(heads + row, (u32)at + 1);
}

// Puts each list into the order of numbers, so that nothing is left of time: runs of one, two, four
// and so on are merged in pairs.
extern "C" __global__ void ab_scatter_order(u32 *heads, u32 *next, u64 rows) {
    u64 row = thread_index();
    if (row >= rows) return;
    u32 list = heads[row];
    bool sorted = list == 0;
    for (u32 size = 1; !sorted; size *= 2) {
        u32 left = list, tail = 0;
        list = 0;
        sorted = true;
        while (left) {
            u32 right = left, lefts = 0, rights = size;
            while (lefts < size && right) {
                lefts++;
                right = next[right - 1];
            }
            sorted = sorted && right == 0;
            while (lefts || (rights && right)) {
                bool from_left = lefts && (!rights || !right || left < right);
                u32 taken = from_left ? left : right;
                if (from_left) {
                    left = next[left - 1];
                    lefts--;
                } else {
                    right = next[right - 1];
                    rights--;
                }
                if (tail)
                    next[tail - 1] = taken;
                else
                    list = taken;
                tail = taken;
            }
            left = right;
        }
        next[tail - 1] = 0;
    }
    heads[row] = list;
}

template <class T>
static __device__ __forceinline__ void scatter(const T *x, const T *updates, T *y, const u32 *last, u64 total,
                                               u64 run) {
    u64 at = thread_index();
    if (at >= total) return;
    u64 row = at / run;
    u32 update = last[row];
    y[at] = update == 0 ? x[at] : updates[(u64)(update - 1) * run + (at - row * run)];
}

#define SCATTER(NAME, T)                                                                           \
    extern "C" __global__ void NAME(const T *x, const T *updates, T *y, const u32 *last,           \
                                    u64 total, u64 run, u32 way, u32 unused) {                     \
        scatter<T>(x, updates, y, last, total, run);                                               \
    }
SCATTER(ab_scatter_1, u8)
SCATTER(ab_scatter_2, u16)
SCATTER(ab_scatter_4, u32)
SCATTER(ab_scatter_8, u64)

enum { C_REPLACE, C_ADD, C_MUL, C_MIN, C_MAX };

// Numbers are added and multiplied as W, which is unsigned for integers, so that they wrap.
template <class T, class W> static __device__ __forceinline__ T combined(u32 way, T old, T fresh) {
    switch (way) {
    case C_ADD: return (T)((W)old + (W)fresh);
    case C_MUL: return (T)((W)old * (W)fresh);
    case C_MIN: return fresh < old ? fresh : old;
    default: return fresh > old ? fresh : old;
    }
}

// The updates of a row in their order.
template <class T, class W>
static __device__ __forceinline__ void combine(const T *x, const T *updates, T *y, const u32 *heads, const u32 *next,
                                               u64 total, u64 run, u32 way) {
    u64 at = thread_index();
    if (at >= total) return;
    u64 row = at / run;
    T value = x[at];
    for (u32 update = heads[row]; update; update = next[update - 1])
        value = combined<T, W>(way, value, updates[(u64)(update - 1) * run + (at - row * run)]);
    y[at] = value;
}

#define COMBINE(NAME, T, W)                                                                        \
    extern "C" __global__ void NAME(const T *x, const T *updates, T *y, const u32 *heads,          \
                                    const u32 *next, u64 total, u64 run, u32 way, u32 unused) {    \
        combine<T, W>(x, updates, y, heads, next, total, run, way);                                \
    }
COMBINE(ab_combine_float, float, float)
COMBINE(ab_combine_double, double, double)
COMBINE(ab_combine_long, i64, u64)
COMBINE(ab_combine_word, i32, u32)
