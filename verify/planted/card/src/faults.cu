// One fault for each check of compute-sanitizer. Blocks have 64 threads, and `data` as many words.

// Writes behind the end of an allocation.
extern "C" __global__ void planted_memcheck(unsigned* data) {
    data[threadIdx.x + 32] = threadIdx.x;
}

// Every thread reads what its neighbour writes, and nothing is between the two.
extern "C" __global__ void planted_racecheck(unsigned* data) {
    __shared__ unsigned words[64];
    words[threadIdx.x] = threadIdx.x;
    data[threadIdx.x] = words[(threadIdx.x + 33) % 64];
}

// Reads what nobody has written.
extern "C" __global__ void planted_initcheck(unsigned* data) {
    data[threadIdx.x] = data[(threadIdx.x + 1) % 64] + 1;
}

// Threads come to a barrier of a warp that does not name them.
extern "C" __global__ void planted_synccheck(unsigned* data) {
    unsigned named = __ballot_sync(0xffffffff, threadIdx.x % 32 < 16);
    data[threadIdx.x] = named;
    __syncwarp(named);
}
