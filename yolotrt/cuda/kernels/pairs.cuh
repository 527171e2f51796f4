// Which views may be one object: kernels of merge.cu.

// -- pairs ---------------------------------------------------------------------------------------------------

__device__ int doubt(const View& v) { return v.cut ? 2 : v.near ? 1 : 0; }

// Whether `cover` goes on beyond a border where `part` ends; see _goes_beyond in seams.py.
__device__ bool goes_beyond(const View& part, const View& cover, bool near)
{
    for (int k = 0; k < 4; ++k) {
        double beyond = (double)cover.box[k] - part.seen[k];
        if (k < 2) beyond = -beyond;
        if (near ? (part.near >> k & 1) && beyond > slack(part.box, k) : (part.cut >> k & 1) && beyond > 0)
            return !near || cover.score >= part.score * RIVAL;
    }
    return false;
}

// Whether `part` is cut by a border beyond which the tile of `other` can look.
__device__ bool cut_inside(const View& part, const View& other)
{
    for (int k = 0; k < 4; ++k) {
        int further = k < 2 ? part.seen[k] - other.seen[k] : other.seen[k] - part.seen[k];
        if ((part.cut >> k & 1) && further > 0) return true;
    }
    return false;
}

__device__ bool holds_middle(const float* outer, const float* inner)
{
    float x = (inner[0] + inner[2]) / 2, y = (inner[1] + inner[3]) / 2;
    return outer[0] < x && x < outer[2] && outer[1] < y && y < outer[3];
}

__device__ void strip_of(const View& a, const View& b, int* strip)
{
    for (int k = 0; k < 4; ++k) strip[k] = k < 2 ? max(a.seen[k], b.seen[k]) : min(a.seen[k], b.seen[k]);
}

// What the boxes of views i and j say that they may be, or REFUTED.
__device__ Pair relation(const Work& w, const View& a, int i, const View& b, int j)
{
    Pair pair = {1, i, j, REFUTED, 0};
    if (a.tile == b.tile || !meet(a.box, b.box)) return pair;
    double shared = shared_area(a.box, b.box);
    if (a.label != b.label) {
        if (a.cut && !b.cut && b.tile != GLOBAL_PASS && holds_middle(b.box, a.box) &&
            before(b, b.box, j, a, a.box, i) && goes_beyond(a, b, false) && shared > INSIDE * area(a.box))
            pair.relation = MISTAKEN;
    } else if (doubt(a) > doubt(b)) {
        if (goes_beyond(a, b, doubt(a) == 1) && shared / fmax(area(a.box), 1e-9) > w.threshold)
            pair.relation = COVERED;
    } else if (i < j && a.cut && b.cut && (cut_inside(a, b) || cut_inside(b, a))) {
        int strip[4];
        strip_of(a, b, strip);
        double smaller = fmin(shared_area(a.box, strip), shared_area(b.box, strip));
        pair.agreement = smaller > 0 ? shared / smaller : 0;
        if (pair.agreement > w.threshold) pair.relation = CONTINUED;
    }
    return pair;
}

// Rank the views, and list the pairs whose boxes may be one object. A block takes a view at a time.
extern "C" __global__ void relate(const Work* work)
{
    const Work w = *work;
    int count = count_of(w);
    for (int i = blockIdx.x; i < count; i += gridDim.x) {
        const View mine = w.views[i];
        int rank = 0;
        for (int begin = 0; begin < count; begin += blockDim.x) {
            int j = begin + threadIdx.x;
            bool comes_first = false;
            if (j < count && j != i) {
                const View theirs = w.views[j];
                comes_first = before(theirs, theirs.box, j, mine, mine.box, i);
                Pair pair = relation(w, mine, i, theirs, j);
                if (pair.relation != REFUTED) {
                    int place = atomicAdd(&w.state->pairs, 1);
                    if (place < w.room) w.pairs[place] = pair;
                    else w.state->overflow = 1;
                }
            }
            rank += __syncthreads_count(comes_first);
        }
        if (threadIdx.x == 0) w.rank[i] = rank;
    }
}

// -- masks ---------------------------------------------------------------------------------------------------

// 32 pixels of a mask from (x, y) on, which lies in it.
__device__ unsigned pixels_from(const View& v, int x, int y)
{
    const unsigned* row = v.words + (long long)(y - v.top) * v.step;
    int bit = x - v.begin, word = bit / WORD;
    return __funnelshift_r(row[word], word + 1 < v.step ? row[word + 1] : 0, bit % WORD);
}

// This thread's part of the number of pixels that both masks have in a rectangle.
__device__ int shared_pixels(const View& a, const View& b, const int* within)
{
    int left = max(max(a.left, b.left), within[0]), top = max(max(a.top, b.top), within[1]);
    int right = min(min(a.right, b.right), within[2]), bottom = min(min(a.bottom, b.bottom), within[3]);
    if (left >= right || top >= bottom) return 0;
    int columns = (right - left + WORD - 1) / WORD, sum = 0;
    for (int k = threadIdx.x; k < columns * (bottom - top); k += blockDim.x) {
        int x = left + k % columns * WORD, y = top + k / columns;
        unsigned both = pixels_from(a, x, y) & pixels_from(b, x, y);
        if (right - x < WORD) both &= (1u << (right - x)) - 1;
        sum += __popc(both);
    }
    return sum;
}

// Refute the pairs whose masks do not agree, and mark what is covered. A block takes a pair at a time.
extern "C" __global__ void compare(const Work* work)
{
    __shared__ int shared, of_one, of_other;
    const Work w = *work;
    int count = min(w.state->pairs, w.room);
    for (int p = blockIdx.x; p < count; p += gridDim.x) {
        Pair pair = w.pairs[p];
        const View one = w.views[pair.one], other = w.views[pair.other];
        if (w.masks) {
            int strip[4];
            strip_of(one, other, strip);
            bool fragments = pair.relation == CONTINUED;
            if (threadIdx.x == 0) shared = of_one = of_other = 0;
            __syncthreads();
            atomicAdd(&shared, shared_pixels(one, other, fragments ? strip : one.seen));
            atomicAdd(&of_one, shared_pixels(one, one, fragments ? strip : one.seen));
            if (fragments) atomicAdd(&of_other, shared_pixels(other, other, strip));
            __syncthreads();
            double part = (double)shared / max(fragments ? min(of_one, of_other) : of_one, 1);
            double least = pair.relation == MISTAKEN ? INSIDE : w.threshold;
            __syncthreads();
            if (fragments) pair.agreement = part;
            if (!(part > least)) pair.relation = REFUTED;
        }
        if (threadIdx.x != 0) continue;
        w.pairs[p] = pair;
        if (pair.relation == COVERED) w.fate[pair.one] = IS_COVERED;
    }
}
