// Which candidates of an image are kept: for the kernel keep_best of candidates.cu.

// Whether `a` comes before `b`: higher score; ties by class, box and place in the head.
__device__ bool before(const Candidate& a, const Candidate& b)
{
    if (a.score != b.score) return a.score > b.score;
    if (a.label != b.label) return a.label < b.label;
    if (a.x0 != b.x0) return a.x0 < b.x0;
    if (a.y0 != b.y0) return a.y0 < b.y0;
    if (a.x1 != b.x1) return a.x1 < b.x1;
    if (a.y1 != b.y1) return a.y1 < b.y1;
    return a.source < b.source;
}

__device__ double side(float begin, float end) { return fmax((double)end - (double)begin, 0.0); }

// Intersection over union, in the CPU's precision and order of operations.
__device__ double overlap(const Candidate& a, const Candidate& b)
{
    double shared = side(fmaxf(a.x0, b.x0), fminf(a.x1, b.x1)) * side(fmaxf(a.y0, b.y0), fminf(a.y1, b.y1));
    double whole = side(a.x0, a.x1) * side(a.y0, a.y1) + side(b.x0, b.x1) * side(b.y0, b.y1) - shared;
    return whole > 0 ? shared / whole : 0;
}

// Whether overlap(a, b) exceeds a threshold from 0 on.
//
// Double precision is slow on many GPUs, and mostly says what single precision does: that is right to 17
// roundings of 2^-24 each, unless numbers are so small or so large that they lose more.
__device__ bool overlaps(const Candidate& a, const Candidate& b, double threshold)
{
    float width = fminf(a.x1, b.x1) - fmaxf(a.x0, b.x0), height = fminf(a.y1, b.y1) - fmaxf(a.y0, b.y0);
    if (!(width > 0 && height > 0)) return false;
    float shared = width * height;
    float whole = (a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - shared;
    float least = (float)threshold * whole;
    if (whole < 1e8f && least > 1e-8f && fabsf(shared - least) > 1e-5f * least) return shared > least;
    return overlap(a, b) > threshold;
}

const int NONE = -1;

__device__ int better(const Candidate* list, int a, int b)
{
    if (a == NONE) return b;
    if (b == NONE) return a;
    return before(list[b], list[a]) ? b : a;
}

// The best of every thread's choice, for all threads of the block.
__device__ int best_of_block(const Candidate* list, int mine)
{
    __shared__ int of_warp[32];
    for (int offset = 16; offset; offset /= 2)
        mine = better(list, mine, __shfl_xor_sync(~0u, mine, offset));
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = mine;
    __syncthreads();
    mine = threadIdx.x % 32 < blockDim.x / 32 ? of_warp[threadIdx.x % 32] : NONE;
    for (int offset = 16; offset; offset /= 2)
        mine = better(list, mine, __shfl_xor_sync(~0u, mine, offset));
    __syncthreads();
    return mine;
}

// Suppression among any number of candidates: the best of those left is looked for each time. Returns how
// many are kept. Suppressed candidates get a negative score.
__device__ int keep_of_many(Candidate* list, int count, double threshold, int limit, const Placement& placement,
                            Candidate* kept)
{
    int found = 0, best = NONE;
    for (int i = threadIdx.x; i < count; i += blockDim.x) best = better(list, best, i);
    best = best_of_block(list, best);
    while (best != NONE) {
        Candidate chosen = list[best];
        if (threadIdx.x == 0) kept[found] = in_image(chosen, placement);
        if (++found == limit) break;
        __syncthreads();
        int next = NONE;
        for (int i = threadIdx.x; i < count; i += blockDim.x) {
            if (list[i].score < 0) continue;
            if (i == best || (list[i].label == chosen.label && overlaps(chosen, list[i], threshold)))
                list[i].score = -1;
            else
                next = better(list, next, i);
        }
        __syncthreads();
        best = best_of_block(list, next);
    }
    return found;
}

const int EACH = 4;    // candidates of a thread that has them in registers
const int FEW = 1024;  // and of a block that has them in shared memory: 32 KB

// Bring candidates into shared memory from best to worst. Returns false if they have no order: a number is NaN.
__device__ bool sort_few(const Candidate* list, int count, Candidate* sorted)
{
    Candidate mine[EACH];
    int place[EACH];
    bool nan = false;
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
        int i = threadIdx.x + k * blockDim.x;
        if (i >= count) break;
        const Candidate c = sorted[i] = mine[k] = list[i];
        nan |= c.score != c.score || c.x0 != c.x0 || c.y0 != c.y0 || c.x1 != c.x1 || c.y1 != c.y1;
    }
    if (__syncthreads_or(nan)) return false;
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
        place[k] = 0;
        if (threadIdx.x + k * blockDim.x >= count) break;
        for (int i = 0; i < count; ++i) place[k] += before(sorted[i], mine[k]);
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
        if (threadIdx.x + k * blockDim.x >= count) break;
        sorted[place[k]] = mine[k];
    }
    __syncthreads();
    return true;
}

// Suppression among few candidates that are sorted: the next one is the first of those left. Returns how many
// are kept. A round costs one barrier, and nothing comes from global memory.
__device__ int keep_of_few(const Candidate* sorted, int count, double threshold, int limit,
                           const Placement& placement, Candidate* kept)
{
    __shared__ unsigned left[2][FEW / 32];  // bits of those left, before and after a round in turn
    Candidate mine[EACH];
    int place[EACH], found = 0;
    bool open[EACH];
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
        int i = threadIdx.x + k * blockDim.x;
        open[k] = i < count;
        place[k] = NONE;
        if (open[k]) mine[k] = sorted[i];
    }
    for (int best = 0, turn = 0; best < count; turn ^= 1) {
        const Candidate chosen = sorted[best];
#pragma unroll
        for (int k = 0; k < EACH; ++k) {
            int i = threadIdx.x + k * blockDim.x;
            if (k * blockDim.x >= count) break;
            if (i == best) place[k] = found;
            if (open[k])
                open[k] = i != best && !(mine[k].label == chosen.label && overlaps(chosen, mine[k], threshold));
            unsigned word = __ballot_sync(~0u, open[k]);
            if (i % 32 == 0 && i < count) left[turn][i / 32] = word;
        }
        if (++found == limit) break;
        __syncthreads();
        int word = best / 32, words = (count + 31) / 32;
        while (word < words && !left[turn][word]) ++word;
        best = word < words ? word * 32 + __ffs(left[turn][word]) - 1 : count;
    }
#pragma unroll
    for (int k = 0; k < EACH; ++k)
        if (place[k] != NONE) kept[place[k]] = in_image(mine[k], placement);
    return found;
}
