// The order of elements along an axis, and elements that are picked by it.

struct Rank {
    u64 lines, axis, inner, count;
    u32 largest, last;
};

// Smaller the earlier an element comes; no two of a line are equal. One NaN, which is above all
// numbers, and one zero.
static __device__ __forceinline__ u64 rank_key(const Rank &r, float x, u32 place) {
    u32 bits = x != x ? 0x7fc00000u : __float_as_uint(x == 0.0f ? 0.0f : x);
    u32 ascending = bits >> 31 ? ~bits : bits | 0x80000000u;
    u32 order = r.largest ? ~ascending : ascending;
    return (u64)order << 32 | (r.last ? ~place : place);
}

static __device__ __forceinline__ i64 rank_place(const Rank &r, u64 key) {
    return (i64)(r.last ? ~(u32)key : (u32)key);
}

// The first element of a line of each of T threads.
template <int T> static __device__ __forceinline__ void first(const float *x, i64 *y, const Rank &r) {
    u64 line = thread_index() / T;
    if (line >= r.lines) return;
    u32 lane = threadIdx.x % T;
    u64 outer = line / r.inner;
    const float *from = x + outer * r.axis * r.inner + (line - outer * r.inner);
    u64 best = ~0ull;
    for (u64 at = lane; at < r.axis; at += T) {
        u64 key = rank_key(r, from[at * r.inner], (u32)at);
        best = key < best ? key : best;
    }
    if (T > 1)
        for (int step = 16; step > 0; step >>= 1) {
            u64 other = __shfl_xor_sync(0xffffffffu, best, step);
            best = other < best ? other : best;
        }
    if (lane == 0) y[line] = rank_place(r, best);
}

extern "C" __global__ void ab_first_thread(const float *x, i64 *y, Rank r) { first<1>(x, y, r); }

extern "C" __global__ void ab_first_warp(const float *x, i64 *y, Rank r) { first<32>(x, y, r); }

// Each element counts those of its line that come before it.
extern "C" __global__ void ab_rank(const float *x, i64 *y, Rank r) {
    u64 at = thread_index();
    if (at >= r.lines * r.axis) return;
    u64 row = at / r.inner;
    u64 column = at - row * r.inner;
    u64 outer = row / r.axis;
    u64 place = row - outer * r.axis;
    const float *from = x + outer * r.axis * r.inner + column;
    u64 own = rank_key(r, from[place * r.inner], (u32)place);
    u64 rank = 0;
    for (u64 other = 0; other < r.axis && rank < r.count; other++)
        rank += rank_key(r, from[other * r.inner], (u32)other) < own;
    if (rank < r.count) y[(outer * r.count + rank) * r.inner + column] = (i64)place;
}

template <class T>
static __device__ __forceinline__ void pick(const T *x, const void *indices, T *y, u32 *failure, u64 total, u64 axis,
                                            u64 count, u64 inner, u32 wide) {
    u64 at = thread_index();
    if (at >= total) return;
    u64 row = at / inner;
    i64 index = wide ? ((const i64 *)indices)[at] : (i64)((const i32 *)indices)[at];
    if (index < 0) index += (i64)axis;
    if (index < 0 || (u64)index >= axis) {
        *failure = 1;
        return;
    }
    y[at] = x[(row / count * axis + (u64)index) * inner + (at - row * inner)];
}

#define PICK(NAME, T)                                                                              \
    extern "C" __global__ void NAME(const T *x, const void *indices, T *y, u32 *failure,           \
                                    u64 total, u64 axis, u64 count, u64 inner, u32 wide,           \
                                    u32 unused) {                                                  \
        pick<T>(x, indices, y, failure, total, axis, count, inner, wide);                          \
    }
PICK(ab_pick_1, u8)
PICK(ab_pick_2, u16)
PICK(ab_pick_4, u32)
PICK(ab_pick_8, u64)
