// Questions about two tensors.

enum { EQUAL, LESS, LESS_OR_EQUAL, AND, OR };

template <class T>
static __device__ __forceinline__ void compare(const T *a, const T *b, u8 *y, u64 count, u32 question,
                                               const Axes<2> &axes) {
    u64 at = thread_index();
    if (at >= count) return;
    i64 offset[2];
    locate(axes, at, offset);
    T left = a[offset[0]], right = b[offset[1]];
    bool answer;
    switch (question) {
    case EQUAL: answer = left == right; break;
    case LESS: answer = left < right; break;
    case LESS_OR_EQUAL: answer = left <= right; break;
    case AND: answer = left != 0 && right != 0; break;
    default: answer = left != 0 || right != 0; break;
    }
    y[at] = answer;
}

#define COMPARE(NAME, T)                                                                           \
    extern "C" __global__ void NAME(const T *a, const T *b, u8 *y, u64 count, u32 question,        \
                                    u32 unused, Axes<2> axes) {                                    \
        compare<T>(a, b, y, count, question, axes);                                                \
    }
COMPARE(ab_compare_float, float)
COMPARE(ab_compare_double, double)
COMPARE(ab_compare_long, i64)
COMPARE(ab_compare_word, i32)
COMPARE(ab_compare_unsigned_long, u64)
COMPARE(ab_compare_byte, u8)
