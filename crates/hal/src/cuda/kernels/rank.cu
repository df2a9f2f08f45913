// The order of elements along an axis, and elements that are picked by it.

struct Rank {
    u64 lines, axis, inner, count;
    u32 largest, last;
};

// Smaller the smaller the element is. One NaN, which is above all numbers, and one zero.
static __device__ __forceinline__ u32 ascending(float x) {
    u32 bits = x != x ? 0x7fc00000u : __float_as_uint(x == 0.0f ? 0.0f : x);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

static __device__ __forceinline__ u64 ascending(double x) {
    u64 bits = x != x ? 0x7ff8000000000000ull : (u64)__double_as_longlong(x == 0.0 ? 0.0 : x);
    return bits >> 63 ? ~bits : bits | 0x8000000000000000ull;
}

static __device__ __forceinline__ u32 ascending(i32 x) { return (u32)x ^ 0x80000000u; }

static __device__ __forceinline__ u64 ascending(i64 x) { return (u64)x ^ 0x8000000000000000ull; }

static __device__ __forceinline__ u64 ascending(u64 x) { return x; }

// What comes first is the smallest; no two of a line are equal.
struct NarrowKey {
    u64 both;
    __device__ NarrowKey() : both(~0ull) {}
    __device__ NarrowKey(u32 order, u32 then) : both((u64)order << 32 | then) {}
    __device__ bool operator<(const NarrowKey &other) const { return both < other.both; }
    __device__ u32 then() const { return (u32)both; }
};

struct WideKey {
    u64 order;
    u32 last;
    __device__ WideKey() : order(~0ull), last(~0u) {}
    __device__ WideKey(u64 order, u32 then) : order(order), last(then) {}
    __device__ bool operator<(const WideKey &other) const {
        return order < other.order || (order == other.order && last < other.last);
    }
    __device__ u32 then() const { return last; }
};

static __device__ __forceinline__ NarrowKey from_lane(NarrowKey key, int step) {
    key.both = __shfl_xor_sync(0xffffffffu, key.both, step);
    return key;
}

static __device__ __forceinline__ WideKey from_lane(WideKey key, int step) {
    key.order = __shfl_xor_sync(0xffffffffu, key.order, step);
    key.last = __shfl_xor_sync(0xffffffffu, key.last, step);
    return key;
}

template <class K, class T> static __device__ __forceinline__ K rank_key(const Rank &r, T x, u32 place) {
    auto order = ascending(x);
    return K(r.largest ? ~order : order, r.last ? ~place : place);
}

template <class K> static __device__ __forceinline__ i64 rank_place(const Rank &r, const K &key) {
    return (i64)(r.last ? ~key.then() : key.then());
}

// The first element of a line of each of N threads.
template <int N, class K, class T> static __device__ __forceinline__ void first(const T *x, i64 *y, const Rank &r) {
    u64 line = thread_index() / N;
    if (line >= r.lines) return;
    u32 lane = threadIdx.x % N;
    u64 outer = line / r.inner;
    const T *from = x + outer * r.axis * r.inner + (line - outer * r.inner);
    K best;
    for (u64 at = lane; at < r.axis; at += N) {
        K key = rank_key<K>(r, from[at * r.inner], (u32)at);
        if (key < best) best = key;
    }
    if (N > 1)
        for (int step = 16; step > 0; step >>= 1) {
            K other = from_lane(best, step);
            if (other < best) best = other;
        }
    if (lane == 0) y[line] = rank_place(r, best);
}

// Each element counts those of its line that come before it.
template <class K, class T> static __device__ __forceinline__ void rank(const T *x, i64 *y, const Rank &r) {
    u64 at = thread_index();
    if (at >= r.lines * r.axis) return;
    u64 row = at / r.inner;
    u64 column = at - row * r.inner;
    u64 outer = row / r.axis;
    u64 place = row - outer * r.axis;
    const T *from = x + outer * r.axis * r.inner + column;
    K own = rank_key<K>(r, from[place * r.inner], (u32)place);
    u64 rank = 0;
    for (u64 other = 0; other < r.axis && rank < r.count; other++)
        rank += rank_key<K>(r, from[other * r.inner], (u32)other) < own;
    if (rank < r.count) y[(outer * r.count + rank) * r.inner + column] = (i64)place;
}

#define RANK(NAME, T, K)                                                                           \
    extern "C" __global__ void ab_first_thread_##NAME(const T *x, i64 *y, Rank r) {                \
        first<1, K>(x, y, r);                                                                      \
    }                                                                                              \
    extern "C" __global__ void ab_first_warp_##NAME(const T *x, i64 *y, Rank r) {                  \
        first<32, K>(x, y, r);                                                                     \
    }                                                                                              \
    extern "C" __global__ void ab_rank_##NAME(const T *x, i64 *y, Rank r) { rank<K>(x, y, r); }
RANK(float, float, NarrowKey)
RANK(double, double, WideKey)
RANK(word, i32, NarrowKey)
RANK(long, i64, WideKey)
RANK(unsigned_long, u64, WideKey)

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
