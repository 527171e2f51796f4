// What the kernels hand on to each other, and to the host: device_results.py has the same.

const int WORD = 32;  // pixels per word of a mask
const int BYTE = 8;   // columns that a mask's first word is aligned to

// A detection; `source` is its anchor or row in the head.
struct Candidate {
    float x0, y0, x1, y1;
    float score;
    int label, source, image;
};

// A detection and where its mask lies: rows of whole words from `word` on. The first word of a row begins
// at the last multiple of BYTE columns before `left`, so that masks can be compared byte by byte.
struct Record {
    float x0, y0, x1, y1;
    float score;
    int label, source, image;
    int left, top, right, bottom;  // pixels of the mask: [left, right) x [top, bottom)
    long long word;
    int unit, unused;
};

struct Header {
    int records, units, broken, unused;
    long long words;
};

__device__ inline int words_per_row(const Record& r)
{
    return r.right > r.left ? (r.right - r.left / BYTE * BYTE + WORD - 1) / WORD : 0;
}

// Exclusive prefix sums over the block; `total` is the sum of all.
template <class T> __device__ T scan(T mine, T& total)
{
    __shared__ T of_warp[32];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    T sum = mine;
    for (int offset = 1; offset < 32; offset *= 2) {
        T lower = __shfl_up_sync(~0u, sum, offset);
        if (lane >= offset) sum += lower;
    }
    if (lane == 31) of_warp[warp] = sum;
    __syncthreads();
    T before = 0;
    total = 0;
    for (int w = 0; w < warps; ++w) {
        if (w == warp) before = total;
        total += of_warp[w];
    }
    __syncthreads();
    return before + sum - mine;
}
