// Products of tiles on tensor cores, which multiply numbers of eleven bits.
//
// A number is the sum of two such parts, of which the second is what the first leaves over. Three
// products of parts make the product of two numbers; the fourth is smaller than what is left over
// of both. Tensor cores cut off where they should round when they add, so they add no more than a few
// products, which are added to the others by ordinary additions.
//
// Whoever asks for less has the product of the first parts alone, and tensor cores add all of them: what
// they cut off is far below what is left of a number.

// Each of the warps of a slice has WM by WN of the BM by BN sums.
template <int BM_, int BN_, int BK_, int WM_, int WN_, int KS_, int STAGES_, bool IS_WHOLE_> struct TensorTile {
    static const int BM = BM_, BN = BN_, BK = BK_, WM = WM_, WN = WN_, KS = KS_, STAGES = STAGES_, PARTS = 1;
    static const bool IS_WHOLE = IS_WHOLE_;
    static const int GROUP = BM / WM * (BN / WN) * 32;
    static const int THREADS = GROUP * KS;
    // Four more than a multiple of eight, so that eight rows of sixteen bytes meet no bank twice.
    static const int PITCH = BK + 4;
    // Eight more than a multiple of 32, so that four rows of 32 bytes do not.
    static const int FLAT_PITCH = BN + 8;
    static const bool TENSOR = true;
};

// Steps of eight along the depth that a tensor core adds.
#define TENSOR_STEPS 4

// The first part is rounded, so that the rests have no direction; the second one is exact, and tensor
// cores take its first eleven bits. What is not finite, or becomes so, makes a sum that is not finite.
static __device__ __forceinline__ Split split(u32 x) {
    u32 high = (x + 0x1000) & 0xffffe000;
    return {high, __float_as_uint(__uint_as_float(x) - __uint_as_float(high))};
}

// Four squares of eight by eight halves of words: of rows of four words, lane i gets word i % 4 of row
// i / 4 of each. The lanes name the rows.
static __device__ __forceinline__ void load_squares(u32 address, u32 (&words)[4]) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(address)
                 : "memory");
}

// Adds the product of 16 by 8 and 8 by 8 numbers.
static __device__ __forceinline__ void multiply_add(float (&sum)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

template <class T, int KIND> struct Core<T, KIND, true> {
    typedef Room<T, KIND> R;
    static const int DOWN = T::WM / 16;
    static const int ACROSS = T::WN / 8;
    static const int STEPS = T::BK / T::KS / 8;
    int lane, slice, row, column, pending;
    float sums[DOWN][ACROSS][4];
    float fresh[DOWN][ACROSS][4];

    __device__ __forceinline__ Core() {
        lane = threadIdx.x % 32;
        slice = threadIdx.x / T::GROUP;
        int warp = threadIdx.x % T::GROUP / 32;
        row = warp / (T::BN / T::WN) * T::WM;
        column = warp % (T::BN / T::WN) * T::WN;
        pending = 0;
#pragma unroll
        for (int i = 0; i < DOWN; i++)
#pragma unroll
            for (int j = 0; j < ACROSS; j++)
#pragma unroll
                for (int c = 0; c < 4; c++) sums[i][j][c] = fresh[i][j][c] = 0.0f;
    }

    // Loads both parts of 16 rows of the first operand.
    __device__ __forceinline__ void load_left(u32 from, Split (&parts)[4]) const {
        u32 words[4];
        load_squares(from, words);
        if (R::A_PLANES == 2) {
            u32 low[4];
            load_squares(from + 4 * T::BM * T::PITCH, low);
#pragma unroll
            for (int c = 0; c < 4; c++) parts[c] = {words[c] & 0xffffe000, low[c]};
        } else {
#pragma unroll
            for (int c = 0; c < 4; c++) parts[c] = split(words[c]);
        }
    }

    // Loads both parts of two times eight columns of a deep operand.
    __device__ __forceinline__ void load_right(u32 from, Split (&first)[2], Split (&second)[2]) const {
        u32 words[4];
        load_squares(from, words);
        if (R::B_PLANES == 2) {
            u32 low[4];
            load_squares(from + 4 * T::BN * T::PITCH, low);
#pragma unroll
            for (int c = 0; c < 2; c++) {
                first[c] = {words[c] & 0xffffe000, low[c]};
                second[c] = {words[c + 2] & 0xffffe000, low[c + 2]};
            }
        } else {
#pragma unroll
            for (int c = 0; c < 2; c++) {
                first[c] = split(words[c]);
                second[c] = split(words[c + 2]);
            }
        }
    }

    // Adds the products of one stage.
    __device__ __forceinline__ void multiply(const float *a, const float *b) {
        u32 from_a = (u32)__cvta_generic_to_shared(a) + 4 * ((row + lane % 16) * T::PITCH + lane / 16 * 4);
        u32 from_b = (u32)__cvta_generic_to_shared(b);
        from_b += 4 * ((column + lane / 16 * 8 + lane % 8) * T::PITCH + lane / 8 % 2 * 4);
        const float *flat = b + lane % 4 * T::FLAT_PITCH + column + lane / 4 * 4;
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            int k = (slice * STEPS + step) * 8;
            Split l[DOWN][4], r[ACROSS][2];
#pragma unroll
            for (int i = 0; i < DOWN; i++) load_left(from_a + 4 * (i * 16 * T::PITCH + k), l[i]);
            if (R::IS_DEEP) {
#pragma unroll
                for (int j = 0; j < ACROSS; j += 2) load_right(from_b + 4 * (j * 8 * T::PITCH + k), r[j], r[j + 1]);
            } else {
#pragma unroll
                for (int half = 0; half < 2; half++)
#pragma unroll
                    for (int q = 0; q < ACROSS; q += 4) {
                        uint4 words = *(const uint4 *)(flat + (k + half * 4) * T::FLAT_PITCH + q * 8);
                        r[q][half] = split(words.x);
                        r[q + 1][half] = split(words.y);
                        r[q + 2][half] = split(words.z);
                        r[q + 3][half] = split(words.w);
                    }
            }
            add(l, r);
            if (T::IS_WHOLE && STEPS >= TENSOR_STEPS && step % TENSOR_STEPS == TENSOR_STEPS - 1) end();
        }
        if (STEPS < TENSOR_STEPS) count(STEPS);
    }

    // Counts steps whose products were added, and ends with those that a tensor core may add.
    __device__ __forceinline__ void count(int steps) {
        pending += steps;
        if (T::IS_WHOLE && pending >= TENSOR_STEPS) end();
    }

    // Adds the products of one step.
    __device__ __forceinline__ void add(const Split (&l)[DOWN][4], const Split (&r)[ACROSS][2]) {
        if (T::IS_WHOLE) add_rests(l, r);
#pragma unroll
        for (int i = 0; i < DOWN; i++)
#pragma unroll
            for (int j = 0; j < ACROSS; j++)
                multiply_add(fresh[i][j], l[i][0].high, l[i][1].high, l[i][2].high, l[i][3].high, r[j][0].high, r[j][1].high);
    }

    // Adds the products with what first parts leave over.
    __device__ __forceinline__ void add_rests(const Split (&l)[DOWN][4], const Split (&r)[ACROSS][2]) {
#pragma unroll
        for (int i = 0; i < DOWN; i++)
#pragma unroll
            for (int j = 0; j < ACROSS; j++)
                multiply_add(fresh[i][j], l[i][0].low, l[i][1].low, l[i][2].low, l[i][3].low, r[j][0].high, r[j][1].high);
#pragma unroll
        for (int i = 0; i < DOWN; i++)
#pragma unroll
            for (int j = 0; j < ACROSS; j++)
                multiply_add(fresh[i][j], l[i][0].high, l[i][1].high, l[i][2].high, l[i][3].high, r[j][0].low, r[j][1].low);
    }

    // Leaves all sums to be computed again.
    __device__ __forceinline__ void forget() {
#pragma unroll
        for (int i = 0; i < DOWN; i++)
#pragma unroll
            for (int j = 0; j < ACROSS; j++)
#pragma unroll
                for (int c = 0; c < 4; c++) sums[i][j][c] = __uint_as_float(0x7fffffff);
    }

    // Adds what the tensor core added.
    __device__ __forceinline__ void end() {
        pending = 0;
#pragma unroll
        for (int i = 0; i < DOWN; i++)
#pragma unroll
            for (int j = 0; j < ACROSS; j++)
#pragma unroll
                for (int c = 0; c < 4; c++) {
                    sums[i][j][c] += fresh[i][j][c];
                    fresh[i][j][c] = 0.0f;
                }
    }

    // Writes the sums where those of the slice belong. Of a flat operand, lane i read four columns
    // from 4 * (i / 4) on, one for each product.
    __device__ __forceinline__ void store(float *memory, int band) const {
        const int LINE = R::LINE;
        const int BAND = T::BM / T::PARTS;
        if (row / BAND != band) return;
        float *own = memory + (slice * BAND + row % BAND + lane / 4) * LINE + column;
#pragma unroll
        for (int i = 0; i < DOWN; i++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float *line = own + (i * 16 + half * 8) * LINE;
                if (R::IS_DEEP) {
#pragma unroll
                    for (int j = 0; j < ACROSS; j++)
                        *(float2 *)(line + j * 8 + lane % 4 * 2) = make_float2(sums[i][j][half * 2], sums[i][j][half * 2 + 1]);
                } else {
#pragma unroll
                    for (int q = 0; q < ACROSS / 4; q++)
#pragma unroll
                        for (int c = 0; c < 2; c++) {
                            float *quad = line + q * 32 + (lane % 4 * 2 + c) * 4;
                            *(float4 *)quad = make_float4(sums[i][q * 4][half * 2 + c], sums[i][q * 4 + 1][half * 2 + c],
                                                          sums[i][q * 4 + 2][half * 2 + c], sums[i][q * 4 + 3][half * 2 + c]);
                        }
                }
            }
    }
};

#define TENSOR_TILES(NAME, IS_WHOLE)                                                               \
    typedef TensorTile<128, 64, 32, 32, 32, 1, 2, IS_WHOLE> NAME##128x64;                          \
    typedef TensorTile<64, 64, 32, 32, 32, 1, 2, IS_WHOLE> NAME##64x64;                            \
    typedef TensorTile<64, 32, 32, 32, 32, 2, 2, IS_WHOLE> NAME##64x32;                            \
    typedef TensorTile<32, 32, 32, 32, 32, 4, 4, IS_WHOLE> NAME##32x32;
TENSOR_TILES(Tensor, true)
TENSOR_TILES(Tf32, false)
