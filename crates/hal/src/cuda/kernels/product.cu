// Products of tiles: the part that matrix multiplication and convolution have in common.
//
// A block computes BM by BN sums. Their depth is cut into stages of BK, which are copied to shared
// memory while earlier ones are in use, and each stage into KS slices: a group of threads for each
// slice holds sums for the whole tile, TM by TN a thread. The slices are added in their order.

template <int BM_, int BN_, int BK_, int TM_, int TN_, int KS_, int STAGES_, int PARTS_> struct Tile {
    static const int BM = BM_, BN = BN_, BK = BK_, TM = TM_, TN = TN_, KS = KS_, STAGES = STAGES_, PARTS = PARTS_;
    static const int ROWS = BM / TM;
    static const int COLUMNS = BN / TN;
    static const int GROUP = ROWS * COLUMNS;
    static const int THREADS = GROUP * KS;
    // Rows of operands that lie along the depth: four more, so that eight rows meet no bank twice.
    static const int PITCH = BK + 4;
    static const int A_STAGE = BM * PITCH;
};

// How a stage of the second operand lies: BN rows along the depth, or BK rows along the columns.
template <class T, bool DEEP> struct Room {
    static const int B_STAGE = DEEP ? T::BN * T::PITCH : T::BK * T::BN;
    static const int STAGE = T::A_STAGE + B_STAGE;
    static const int COPIES = T::STAGES * STAGE;
    static const int SUMS = T::KS * (T::BM / T::PARTS) * T::BN;
    static const int FLOATS = COPIES > SUMS ? COPIES : SUMS;
};

// Asynchronous copies to shared memory; what is beyond `bytes` becomes zero.
static __device__ __forceinline__ void copy_16(float *to, const float *from, int bytes) {
    u32 address = (u32)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
}

static __device__ __forceinline__ void copy_4(float *to, const float *from, bool present) {
    u32 address = (u32)__cvta_generic_to_shared(to);
    int bytes = present ? 4 : 0;
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
}

static __device__ __forceinline__ void copies_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

template <int PENDING> static __device__ __forceinline__ void copies_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

// A part of a matrix: `rows` rows from `data`, along the depth from 0 to `depth`.
struct Panel {
    const float *data;
    i64 row;
    i64 step;
    i64 rows;
    // Whether four neighbours along the contiguous axis can be copied as one.
    bool wide;
};

static __device__ __forceinline__ int bytes_of(i64 elements) {
    return elements >= 4 ? 16 : elements <= 0 ? 0 : (int)elements * 4;
}

// Copies ROWS rows along the depth, from `first` on, to rows of shared memory.
template <class T, int ROWS>
static __device__ __forceinline__ void copy_deep(float *to, const Panel &panel, i64 first, i64 end) {
    const int CHUNKS = ROWS * T::BK / 4;
    if (panel.wide) {
#pragma unroll
        for (int i = 0; i < (CHUNKS + T::THREADS - 1) / T::THREADS; i++) {
            int chunk = threadIdx.x + i * T::THREADS;
            if (CHUNKS % T::THREADS == 0 || chunk < CHUNKS) {
                int row = chunk / (T::BK / 4);
                int k = chunk % (T::BK / 4) * 4;
                int bytes = row < panel.rows ? bytes_of(end - first - k) : 0;
                const float *from = bytes > 0 ? panel.data + row * panel.row + first + k : panel.data;
                copy_16(to + row * T::PITCH + k, from, bytes);
            }
        }
    } else {
        bool along_rows = panel.row == 1;
#pragma unroll 1
        for (int i = threadIdx.x; i < ROWS * T::BK; i += T::THREADS) {
            int row = along_rows ? i % ROWS : i / T::BK;
            int k = along_rows ? i / ROWS : i % T::BK;
            bool present = row < panel.rows && first + k < end;
            const float *from = present ? panel.data + row * panel.row + (first + k) * panel.step : panel.data;
            copy_4(to + row * T::PITCH + k, from, present);
        }
    }
}

// Copies BK rows along the columns, of which `panel` counts as rows.
template <class T>
static __device__ __forceinline__ void copy_flat(float *to, const Panel &panel, i64 first, i64 end) {
    const int CHUNKS = T::BN * T::BK / 4;
    if (panel.wide) {
#pragma unroll
        for (int i = 0; i < (CHUNKS + T::THREADS - 1) / T::THREADS; i++) {
            int chunk = threadIdx.x + i * T::THREADS;
            if (CHUNKS % T::THREADS == 0 || chunk < CHUNKS) {
                int k = chunk / (T::BN / 4);
                int column = chunk % (T::BN / 4) * 4;
                int bytes = first + k < end ? bytes_of(panel.rows - column) : 0;
                const float *from = bytes > 0 ? panel.data + (first + k) * panel.step + column : panel.data;
                copy_16(to + k * T::BN + column, from, bytes);
            }
        }
    } else {
#pragma unroll 1
        for (int i = threadIdx.x; i < T::BN * T::BK; i += T::THREADS) {
            int k = i / T::BN;
            int column = i % T::BN;
            bool present = column < panel.rows && first + k < end;
            const float *from = present ? panel.data + column * panel.row + (first + k) * panel.step : panel.data;
            copy_4(to + k * T::BN + column, from, present);
        }
    }
}

static __device__ __forceinline__ float part(const float4 &v, int i) {
    return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

// Adds the products of one stage.
template <class T, bool DEEP>
static __device__ __forceinline__ void multiply(const float *a, const float *b, float (&sums)[T::TM][T::TN]) {
    const int slice = threadIdx.x / T::GROUP;
    const int ty = threadIdx.x % T::GROUP / T::COLUMNS;
    const int tx = threadIdx.x % T::COLUMNS;
    const int DEPTH = T::BK / T::KS;
#pragma unroll
    for (int step = 0; step < DEPTH; step += 4) {
        int k = slice * DEPTH + step;
        float4 left[T::TM];
#pragma unroll
        for (int i = 0; i < T::TM; i++) left[i] = *(const float4 *)(a + (ty + i * T::ROWS) * T::PITCH + k);
        if (DEEP) {
#pragma unroll
            for (int j = 0; j < T::TN; j++) {
                float4 right = *(const float4 *)(b + (tx + j * T::COLUMNS) * T::PITCH + k);
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
                    float4 right = *(const float4 *)(b + (k + d) * T::BN + tx * 4 + q * T::COLUMNS * 4);
#pragma unroll
                    for (int j = 0; j < 4; j++)
#pragma unroll
                        for (int i = 0; i < T::TM; i++)
                            sums[i][q * 4 + j] = fmaf(part(left[i], d), part(right, j), sums[i][q * 4 + j]);
                }
        }
    }
}

// Adds the products of all stages from `first` to `end`; `source` fills them.
template <class T, bool DEEP, class Source>
static __device__ __forceinline__ void accumulate(Source &source, float *memory, i64 first, i64 end,
                                                  float (&sums)[T::TM][T::TN]) {
    typedef Room<T, DEEP> R;
    i64 stages = (end - first + T::BK - 1) / T::BK;
#pragma unroll
    for (int i = 0; i < T::TM; i++)
#pragma unroll
        for (int j = 0; j < T::TN; j++) sums[i][j] = 0.0f;
    int fill = 0;
#pragma unroll
    for (int i = 0; i < T::STAGES - 1; i++) {
        if (i < stages) source.fill(memory + fill * R::STAGE, memory + fill * R::STAGE + T::A_STAGE, first + i * T::BK, end);
        copies_commit();
        fill++;
    }
    int use = 0;
    for (i64 stage = 0; stage < stages; stage++) {
        copies_wait<T::STAGES - 2>();
        __syncthreads();
        i64 next = stage + T::STAGES - 1;
        if (next < stages) source.fill(memory + fill * R::STAGE, memory + fill * R::STAGE + T::A_STAGE, first + next * T::BK, end);
        copies_commit();
        multiply<T, DEEP>(memory + use * R::STAGE, memory + use * R::STAGE + T::A_STAGE, sums);
        use = use + 1 == T::STAGES ? 0 : use + 1;
        fill = fill + 1 == T::STAGES ? 0 : fill + 1;
    }
    copies_wait<0>();
}

// Adds the slices and hands four neighbours after the other to `target`, as row and column inside
// of the tile. PARTS bands of rows pass through shared memory one after the other.
template <class T, bool DEEP, class Target>
static __device__ __forceinline__ void finish(const Target &target, float *memory, const float (&sums)[T::TM][T::TN]) {
    const int slice = threadIdx.x / T::GROUP;
    const int ty = threadIdx.x % T::GROUP / T::COLUMNS;
    const int tx = threadIdx.x % T::COLUMNS;
    const int BAND = T::BM / T::PARTS;
    const int QUADS = BAND * T::BN / 4;
#pragma unroll
    for (int band = 0; band < T::PARTS; band++) {
        __syncthreads();
        float *own = memory + slice * BAND * T::BN;
#pragma unroll
        for (int i = 0; i < T::TM / T::PARTS; i++) {
            float *line = own + (ty + i * T::ROWS) * T::BN;
            if (DEEP) {
#pragma unroll
                for (int j = 0; j < T::TN; j++) line[tx + j * T::COLUMNS] = sums[band * (T::TM / T::PARTS) + i][j];
            } else {
#pragma unroll
                for (int q = 0; q < T::TN / 4; q++) {
                    const float *s = &sums[band * (T::TM / T::PARTS) + i][q * 4];
                    *(float4 *)(line + tx * 4 + q * T::COLUMNS * 4) = make_float4(s[0], s[1], s[2], s[3]);
                }
            }
        }
        __syncthreads();
#pragma unroll 1
        for (int quad = threadIdx.x; quad < QUADS; quad += T::THREADS) {
            float4 sum = *(const float4 *)(memory + quad * 4);
#pragma unroll
            for (int s = 1; s < T::KS; s++) {
                float4 more = *(const float4 *)(memory + s * BAND * T::BN + quad * 4);
                sum.x += more.x;
                sum.y += more.y;
                sum.z += more.z;
                sum.w += more.w;
            }
            target.put(band * BAND + quad / (T::BN / 4), quad % (T::BN / 4) * 4, sum);
        }
    }
}

typedef Tile<128, 128, 16, 8, 8, 1, 2, 2> Tile128x128;
typedef Tile<64, 64, 16, 8, 4, 2, 4, 1> Tile64x64;
typedef Tile<64, 32, 32, 8, 4, 4, 3, 1> Tile64x32;
typedef Tile<32, 32, 32, 8, 4, 8, 4, 1> Tile32x32;
typedef Tile<32, 16, 32, 4, 4, 8, 5, 1> Tile32x16;
