// Determinants.

// What is compared: NaN is larger than every number, and of equal ones the last comes first.
struct Pivot {
    u64 size, row;
};

static __device__ __forceinline__ Pivot larger(const Pivot &a, const Pivot &b) {
    return b.size > a.size || (b.size == a.size && b.row > a.row) ? b : a;
}

// A block for each matrix, by elimination in double precision. No two operations become one, so that
// results are those of the processor.
template <class T> static __device__ __forceinline__ void determinant(const T *x, double *work, T *y, u64 side) {
    __shared__ Pivot found[256];
    const T *source = x + (u64)blockIdx.x * side * side;
    double *matrix = work + (u64)blockIdx.x * side * side;
    for (u64 i = threadIdx.x; i < side * side; i += 256) matrix[i] = (double)source[i];
    double product = 1.0;
    for (u64 column = 0; column < side; column++) {
        __syncthreads();
        Pivot best = {0, column};
        for (u64 row = column + threadIdx.x; row < side; row += 256) {
            double size = fabs(matrix[row * side + column]);
            best = larger(best, {size != size ? ~0ull : (u64)__double_as_longlong(size), row});
        }
        found[threadIdx.x] = best;
        for (u32 half = 128; half > 0; half /= 2) {
            __syncthreads();
            if (threadIdx.x < half) found[threadIdx.x] = larger(found[threadIdx.x], found[threadIdx.x + half]);
        }
        __syncthreads();
        u64 pivot = found[0].row;
        double first = matrix[pivot * side + column];
        if (first == 0.0) {
            product = 0.0;
            break;
        }
        __syncthreads();
        if (pivot != column) {
            product = -product;
            for (u64 i = column + threadIdx.x; i < side; i += 256) {
                double above = matrix[column * side + i];
                matrix[column * side + i] = matrix[pivot * side + i];
                matrix[pivot * side + i] = above;
            }
        }
        product = __dmul_rn(product, first);
        __syncthreads();
        for (u64 row = column + 1 + threadIdx.x; row < side; row += 256)
            matrix[row * side + column] = __ddiv_rn(matrix[row * side + column], first);
        __syncthreads();
        u64 width = side - column - 1;
        for (u64 at = threadIdx.x; at < width * width; at += 256) {
            u64 row = column + 1 + at / width;
            u64 i = column + 1 + at % width;
            double less = __dmul_rn(matrix[row * side + column], matrix[column * side + i]);
            matrix[row * side + i] = __dsub_rn(matrix[row * side + i], less);
        }
    }
    if (threadIdx.x == 0) y[blockIdx.x] = (T)product;
}

#define DETERMINANT(NAME, T)                                                                       \
    extern "C" __global__ void NAME(const T *x, double *work, T *y, u64 side) {                    \
        determinant<T>(x, work, y, side);                                                          \
    }
DETERMINANT(ab_determinant, float)
DETERMINANT(ab_double_determinant, double)
