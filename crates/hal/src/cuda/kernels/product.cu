// Products of tiles: the part that matrix multiplication and convolution have in common.
//
// A block computes BM by BN sums. Their depth is cut into stages of BK, which are copied to shared
// memory while earlier ones are in use, and each stage into KS slices: a group of threads for each
// slice holds sums for the whole tile, TM by TN a thread. The slices are added in their order.

// The lanes of a warp are LANES rows of columns. Neighbours share an operand in pairs: those that
// differ in the lowest bit share a column, those that differ in the next one share a row. Shared
// memory serves such pairs at once.
template <int BM_, int BN_, int BK_, int TM_, int TN_, int KS_, int STAGES_, int PARTS_, int LANES_> struct Tile {
    static const int BM = BM_, BN = BN_, BK = BK_, TM = TM_, TN = TN_, KS = KS_, STAGES = STAGES_, PARTS = PARTS_;
    static const int ROWS = BM / TM;
    static const int COLUMNS = BN / TN;
    static const int GROUP = ROWS * COLUMNS;
    static const int THREADS = GROUP * KS;
    static const int LANES = LANES_;
    static const int ACROSS = 32 / LANES;
    // Rows of operands that lie along the depth: four more, so that eight rows meet no bank twice.
    static const int PITCH = BK + 4;
    // Rows of an operand that lie along the columns.
    static const int FLAT_PITCH = BN;
    static const bool TENSOR = false;
    static const bool IS_WHOLE = false;
};

// Which sums of the tile a thread has: rows `row + i * ROWS` and columns that begin at `column`.
template <class T> struct Thread {
    int slice, row, column;

    __device__ __forceinline__ Thread() {
        int lane = threadIdx.x % 32;
        int warp = threadIdx.x % T::GROUP / 32;
        int pair = lane % (2 * T::ACROSS);
        slice = threadIdx.x / T::GROUP;
        row = warp / (T::COLUMNS / T::ACROSS) * T::LANES + lane / (2 * T::ACROSS) * 2 + pair % 2;
        column = warp % (T::COLUMNS / T::ACROSS) * T::ACROSS + pair / 2;
    }
};

// How the operands lie: the rows of the first one along the depth, the second one's as named. A
// constant that is packed for tensor cores has behind each row what they leave over of it. Patches
// are not staged.
enum { FLAT, DEEP, DEEP_SPLIT, SPLIT_FLAT, PATCHES };

// A stage of both.
template <class T, int KIND> struct Room {
    static const int A_PLANES = KIND == SPLIT_FLAT ? 2 : 1;
    static const int B_PLANES = KIND == DEEP_SPLIT ? 2 : 1;
    static const bool IS_DEEP = KIND == DEEP || KIND == DEEP_SPLIT || KIND == PATCHES;
    static const int A_STAGE = A_PLANES * T::BM * T::PITCH;
    static const int B_STAGE = IS_DEEP ? B_PLANES * T::BN * T::PITCH : T::BK * T::FLAT_PITCH;
    static const int STAGE = A_STAGE + B_STAGE;
    static const int COPIES = T::STAGES * STAGE;
    // Rows of sums on their way out.
    static const int LINE = T::TENSOR ? T::BN + (IS_DEEP ? 8 : 4) : T::BN;
    static const int SUMS = T::KS * (T::BM / T::PARTS) * LINE;
    static const int FLOATS = COPIES > SUMS ? COPIES : SUMS;

    // Tensor cores take more than a block may have without asking.
    static __device__ __forceinline__ float *memory() {
        if constexpr (T::TENSOR) {
            extern __shared__ float4 asked_for[];
            return (float *)asked_for;
        } else {
            __shared__ __align__(16) float own[FLOATS];
            return own;
        }
    }
};

// Asynchronous copies to an address in shared memory; what is beyond `bytes` becomes zero.
static __device__ __forceinline__ void copy_16(u32 to, const float *from, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}

static __device__ __forceinline__ void copy_4(u32 to, const float *from, bool present) {
    int bytes = present ? 4 : 0;
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}

static __device__ __forceinline__ void copies_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

template <int PENDING> static __device__ __forceinline__ void copies_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

static __device__ __forceinline__ int at_most(i64 value, int most) { return value < most ? (int)value : most; }

// The bytes of up to four elements.
static __device__ __forceinline__ int bytes_of(int elements) { return 4 * min(max(elements, 0), 4); }

// What a thread copies of each stage of an operand whose rows lie along the depth. Where addresses
// allow it, it copies four neighbours at once. Of two planes, the second one is `apart` elements
// behind the first.
template <class T, int ROWS, int PLANES> struct DeepCopy {
    static const int LINE = T::BK / 4;
    static const int HOP = T::THREADS / LINE;
    static const int EACH = (ROWS * LINE + T::THREADS - 1) / T::THREADS;
    const float *data;
    i64 row, step, apart;
    int rows, line, k;
    bool wide;
    const float *from[EACH];

    __device__ __forceinline__ DeepCopy(const float *data, i64 row, i64 step, i64 apart, i64 rows_left)
        : data(data), row(row), step(step), apart(apart), rows(at_most(rows_left, ROWS)), line(threadIdx.x / LINE),
          k(threadIdx.x % LINE * 4), wide(step == 1 && row % 4 == 0 && aligned16(data)) {
#pragma unroll
        for (int i = 0; i < EACH; i++) from[i] = data + (line + i * HOP < rows ? (line + i * HOP) * row + k : 0);
    }

    // Copies the next stage, of which `left` elements of the depth exist.
    __device__ __forceinline__ void fill(u32 to, int left) {
        if (wide) {
            u32 own = to + 4 * (line * T::PITCH + k);
            int bytes = left >= T::BK ? 16 : bytes_of(left - k);
#pragma unroll
            for (int i = 0; i < EACH; i++) {
                if (ROWS * LINE % T::THREADS == 0 || line + i * HOP < ROWS) {
                    int valid = line + i * HOP < rows ? bytes : 0;
                    copy_16(own + 4 * i * HOP * T::PITCH, from[i], valid);
                    if (PLANES == 2) copy_16(own + 4 * (ROWS + i * HOP) * T::PITCH, from[i] + apart, valid);
                }
                from[i] += T::BK;
            }
            return;
        }
        bool along_rows = row == 1;
#pragma unroll 1
        for (int i = threadIdx.x; i < ROWS * T::BK; i += T::THREADS) {
            int r = along_rows ? i % ROWS : i / T::BK;
            int d = along_rows ? i / ROWS : i % T::BK;
            bool present = r < rows && d < left;
            const float *source = present ? data + r * row + d * step : data;
            copy_4(to + 4 * (r * T::PITCH + d), source, present);
            if (PLANES == 2) copy_4(to + 4 * ((ROWS + r) * T::PITCH + d), source + apart, present);
        }
        data += T::BK * step;
    }
};

// The same for an operand whose columns lie side by side at each depth.
template <class T> struct FlatCopy {
    static const int LINE = T::BN / 4;
    static const int HOP = T::THREADS / LINE;
    static const int EACH = (T::BK * LINE + T::THREADS - 1) / T::THREADS;
    const float *data;
    i64 column, step;
    int columns, line, first;
    bool wide;
    const float *from;

    __device__ __forceinline__ FlatCopy(const float *data, i64 column, i64 step, i64 columns_left)
        : data(data), column(column), step(step), columns(at_most(columns_left, T::BN)), line(threadIdx.x / LINE),
          first(threadIdx.x % LINE * 4), wide(column == 1 && step % 4 == 0 && aligned16(data)) {
        from = data + line * step + (first < columns ? first : 0);
    }

    __device__ __forceinline__ void fill(u32 to, int left) {
        if (wide) {
            u32 own = to + 4 * (line * T::FLAT_PITCH + first);
            int bytes = bytes_of(columns - first);
#pragma unroll
            for (int i = 0; i < EACH; i++) {
                int k = line + i * HOP;
                if (T::BK * LINE % T::THREADS == 0 || k < T::BK) {
                    const float *source = k < left ? from + i * HOP * step : data;
                    if (columns == T::BN)
                        copy_16(own + 4 * i * HOP * T::FLAT_PITCH, source, k < left ? 16 : 0);
                    else
                        copy_16(own + 4 * i * HOP * T::FLAT_PITCH, source, k < left ? bytes : 0);
                }
            }
            from += T::BK * step;
            return;
        }
#pragma unroll 1
        for (int i = threadIdx.x; i < T::BN * T::BK; i += T::THREADS) {
            int k = i / T::BN;
            int c = i % T::BN;
            bool present = c < columns && k < left;
            copy_4(to + 4 * (k * T::FLAT_PITCH + c), present ? data + c * column + k * step : data, present);
        }
        data += T::BK * step;
    }
};

// The sums of a thread. Tensor cores have another one.
template <class T, int KIND, bool TENSOR> struct Core;

template <class T, int KIND> struct Core<T, KIND, false> {
    static const bool IS_DEEP = Room<T, KIND>::IS_DEEP;
    const Thread<T> thread;
    float sums[T::TM][T::TN];

    __device__ __forceinline__ Core() {
#pragma unroll
        for (int i = 0; i < T::TM; i++)
#pragma unroll
            for (int j = 0; j < T::TN; j++) sums[i][j] = 0.0f;
    }

    // Adds the products of one stage.
    __device__ __forceinline__ void multiply(const float *a, const float *b) {
        const int DEPTH = T::BK / T::KS;
#pragma unroll
        for (int step = 0; step < DEPTH; step += 4) {
            int k = thread.slice * DEPTH + step;
            float4 left[T::TM];
#pragma unroll
            for (int i = 0; i < T::TM; i++) left[i] = *(const float4 *)(a + (thread.row + i * T::ROWS) * T::PITCH + k);
            if (IS_DEEP) {
#pragma unroll
                for (int j = 0; j < T::TN; j++) {
                    float4 right = *(const float4 *)(b + (thread.column + j * T::COLUMNS) * T::PITCH + k);
#pragma unroll
                    for (int d = 0; d < 4; d++)
#pragma unroll
                        for (int i = 0; i < T::TM; i++)
                            sums[i][j] = fmaf(part(left[i], d), part(right, d), sums[i][j]);
                }
            } else {
#pragma unroll
                for (int d = 0; d < 4; d++)
#pragma unroll
                    for (int q = 0; q < T::TN / 4; q++) {
                        float4 right = *(const float4 *)(b + (k + d) * T::BN + thread.column * 4 + q * T::COLUMNS * 4);
#pragma unroll
                        for (int j = 0; j < 4; j++)
#pragma unroll
                            for (int i = 0; i < T::TM; i++)
                                sums[i][q * 4 + j] = fmaf(part(left[i], d), part(right, j), sums[i][q * 4 + j]);
                    }
            }
        }
    }

    __device__ __forceinline__ void end() {}

    // Writes the sums of one band of rows where those of its slice belong.
    __device__ __forceinline__ void store(float *memory, int band) const {
        float *own = memory + thread.slice * (T::BM / T::PARTS) * T::BN;
#pragma unroll
        for (int i = 0; i < T::TM / T::PARTS; i++) {
            float *line = own + (thread.row + i * T::ROWS) * T::BN;
            if (IS_DEEP) {
#pragma unroll
                for (int j = 0; j < T::TN; j++) line[thread.column + j * T::COLUMNS] = sums[band * (T::TM / T::PARTS) + i][j];
            } else {
#pragma unroll
                for (int q = 0; q < T::TN / 4; q++) {
                    const float *s = &sums[band * (T::TM / T::PARTS) + i][q * 4];
                    *(float4 *)(line + thread.column * 4 + q * T::COLUMNS * 4) = make_float4(s[0], s[1], s[2], s[3]);
                }
            }
        }
    }
};

// Adds the products of a depth; `source` fills its stages one after the other, STAGES - 1 ahead of the
// products.
template <class T, int KIND, class Source>
static __device__ __forceinline__ void accumulate(Source &source, float *memory, int depth, Core<T, KIND, T::TENSOR> &core) {
    typedef Room<T, KIND> R;
    u32 base = (u32)__cvta_generic_to_shared(memory);
    int left = depth;
    int use = 0;
    int fill = 0;
    int ahead = T::STAGES - 1;
    if (!Source::LONG) {
#pragma unroll 1
        for (; ahead > 0; ahead--) {
            if (left > 0) source.fill(base + 4 * fill * R::STAGE, base + 4 * (fill * R::STAGE + R::A_STAGE), left);
            left -= T::BK;
            copies_commit();
            fill++;
        }
    }
    // A source whose code is long has it once: its first rounds only fill.
#pragma unroll 1
    while (depth > 0) {
        if (!Source::LONG || ahead == 0) {
            copies_wait<T::STAGES - 2>();
            __syncthreads();
        }
        if (left > 0) source.fill(base + 4 * fill * R::STAGE, base + 4 * (fill * R::STAGE + R::A_STAGE), left);
        left -= T::BK;
        copies_commit();
        fill = fill + 1 == T::STAGES ? 0 : fill + 1;
        if (Source::LONG && ahead > 0) {
            ahead--;
            continue;
        }
        core.multiply(memory + use * R::STAGE, memory + use * R::STAGE + R::A_STAGE);
        use = use + 1 == T::STAGES ? 0 : use + 1;
        depth -= T::BK;
    }
    copies_wait<0>();
    core.end();
}

// Adds the slices and hands four neighbours after the other to `target`, as row and column inside
// of the tile. PARTS bands of rows pass through shared memory one after the other.
template <class T, int KIND, class Target>
static __device__ __forceinline__ void finish(const Target &target, float *memory, const Core<T, KIND, T::TENSOR> &core) {
    typedef Room<T, KIND> R;
    const int BAND = T::BM / T::PARTS;
    const int QUADS = T::BN / 4;
#pragma unroll
    for (int band = 0; band < T::PARTS; band++) {
        __syncthreads();
        core.store(memory, band);
        __syncthreads();
#pragma unroll 1
        for (int quad = threadIdx.x; quad < BAND * QUADS; quad += T::THREADS) {
            int row = quad / QUADS;
            int column = quad % QUADS * 4;
            const float *from = memory + row * R::LINE + column;
            float4 sum = *(const float4 *)from;
#pragma unroll
            for (int s = 1; s < T::KS; s++) {
                float4 more = *(const float4 *)(from + s * BAND * R::LINE);
                sum.x += more.x;
                sum.y += more.y;
                sum.z += more.z;
                sum.w += more.w;
            }
            target.put(band * BAND + row, column, sum);
        }
    }
}

// Of four neighbours, those that are not finite are computed again: what tensor cores make of
// parts that overflow or are infinite is not what multiply-adds make of the whole.
template <class Dot>
static __device__ __forceinline__ float4 settled(float4 sum, const Dot &dot, int row, int column) {
    // Zero times what is not finite is not zero.
    float zero = fmaf(sum.x, 0.0f, fmaf(sum.y, 0.0f, fmaf(sum.z, 0.0f, sum.w * 0.0f)));
    if (zero == 0.0f) return sum;
    float v[4] = {sum.x, sum.y, sum.z, sum.w};
#pragma unroll
    for (int c = 0; c < 4; c++)
        if (!(fabsf(v[c]) <= 3.402823466e38f)) v[c] = dot.at(row, column + c);
    return make_float4(v[0], v[1], v[2], v[3]);
}

typedef Tile<128, 128, 16, 8, 8, 1, 2, 2, 4> Tile128x128;
typedef Tile<64, 64, 16, 8, 4, 2, 4, 1, 4> Tile64x64;
typedef Tile<64, 32, 32, 8, 4, 4, 3, 1, 4> Tile64x32;
typedef Tile<32, 32, 32, 8, 4, 8, 4, 1, 4> Tile32x32;
typedef Tile<32, 16, 32, 4, 4, 8, 5, 1, 8> Tile32x16;
