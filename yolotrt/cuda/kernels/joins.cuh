// Fragments that are joined to objects: for the kernels of merge.cu.

const int MOST_VIEWS = 4096;  // with no more, and no more joints, a frame's fragments are joined in shared memory
const int MOST_JOINTS = 1024;
const int MOST_TILES = 1 << 15;  // what a short holds

// Put the second group behind the first, unless they are one or a tile would come twice into it.
template <class Tiles, class Index>
__device__ void join_groups(const Tiles& tile, Index* next, Index* group, int first, int second)
{
    if (first == second) return;
    int last = NONE;
    for (int i = first; i != NONE; last = i, i = next[i])
        for (int j = second; j != NONE; j = next[j])
            if (tile[i] == tile[j]) return;
    next[last] = second;
    for (int j = second; j != NONE; j = next[j]) group[j] = first;
}

// A pair along which fragments may be joined: its agreement, and the ranks of both, the better one first.
struct Joint {
    double agreement;
    int better, worse;
};

__device__ Joint joint_of(const Work& w, const Pair& pair)
{
    int a = w.rank[pair.one], b = w.rank[pair.other];
    return {pair.agreement, min(a, b), max(a, b)};
}

// Whether fragments are joined along `a` before those of `b`.
__device__ bool joins_first(const Joint& a, const Joint& b)
{
    if (a.agreement != b.agreement) return a.agreement > b.agreement;
    if (a.better != b.better) return a.better < b.better;
    return a.worse < b.worse;
}

// -- any number of fragments ---------------------------------------------------------------------------------

struct TilesOf {
    const View* views;
    __device__ int operator[](int i) const { return views[i].tile; }
};

__device__ void join_many(const Work& w, int edges)
{
    for (int e = threadIdx.x; e < edges; e += blockDim.x) {
        const Joint mine = joint_of(w, w.pairs[w.edges[e]]);
        int place = 0;
        for (int f = 0; f < edges; ++f) place += joins_first(joint_of(w, w.pairs[w.edges[f]]), mine);
        w.edges[MOST_EDGES + place] = w.edges[e];
    }
    __syncthreads();
    if (threadIdx.x == 0)
        for (int e = 0; e < edges; ++e) {
            const Pair pair = w.pairs[w.edges[MOST_EDGES + e]];
            join_groups(TilesOf{w.views}, w.next, w.group, w.group[pair.one], w.group[pair.other]);
        }
    __syncthreads();
}

// -- few, in shared memory -----------------------------------------------------------------------------------

// What join_many() does, on copies: one thread follows the lists, and would wait for memory at every step.
__device__ void join_few(const Work& w, int count, int edges)
{
    __shared__ short tile[MOST_VIEWS], next[MOST_VIEWS], group[MOST_VIEWS];
    __shared__ Joint joints[MOST_JOINTS];
    __shared__ short one[MOST_JOINTS], other[MOST_JOINTS];  // of the joints, in their order
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        tile[i] = w.views[i].tile;
        next[i] = w.next[i];
        group[i] = w.group[i];
    }
    for (int e = threadIdx.x; e < edges; e += blockDim.x) joints[e] = joint_of(w, w.pairs[w.edges[e]]);
    __syncthreads();
    for (int e = threadIdx.x; e < edges; e += blockDim.x) {
        const Pair pair = w.pairs[w.edges[e]];
        const Joint mine = joints[e];
        int place = 0;
        for (int f = 0; f < edges; ++f) place += joins_first(joints[f], mine);
        one[place] = pair.one;
        other[place] = pair.other;
    }
    __syncthreads();
    if (threadIdx.x == 0)
        for (int e = 0; e < edges; ++e) join_groups(tile, next, group, group[one[e]], group[other[e]]);
    __syncthreads();
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        w.next[i] = next[i];
        w.group[i] = group[i];
    }
    __syncthreads();
}

// -- groups --------------------------------------------------------------------------------------------------

// Choose the best of a group as its owner, and give it the box around all.
__device__ void lead(const Work& w, int group)
{
    int best = group;
    float box[4];
    for (int k = 0; k < 4; ++k) box[k] = w.views[group].box[k];
    for (int i = group; i != NONE; i = w.next[i]) {
        if (w.rank[i] < w.rank[best]) best = i;
        for (int k = 0; k < 4; ++k) box[k] = k < 2 ? fminf(box[k], w.views[i].box[k]) : fmaxf(box[k], w.views[i].box[k]);
    }
    for (int i = group; i != NONE; i = w.next[i]) w.owner[i] = best;
    for (int k = 0; k < 4; ++k) w.boxes[4 * best + k] = box[k];
}

// Join the fragments that are left to objects. One block.
extern "C" __global__ void __launch_bounds__(1024) join(const Work* work)
{
    __shared__ int found;
    const Work w = *work;
    int count = count_of(w), pairs = min(w.state->pairs, w.room);
    if (threadIdx.x == 0) found = 0;
    __syncthreads();
    for (int p = threadIdx.x; p < pairs; p += blockDim.x) {
        const Pair pair = w.pairs[p];
        if (pair.relation != CONTINUED || w.fate[pair.one] != OPEN || w.fate[pair.other] != OPEN) continue;
        int place = atomicAdd(&found, 1);
        if (place < MOST_EDGES) w.edges[place] = p;
        else w.state->overflow = 1;
    }
    __syncthreads();
    int edges = min(found, MOST_EDGES);
    if (count <= MOST_VIEWS && edges <= MOST_JOINTS && w.global_look < MOST_TILES) join_few(w, count, edges);
    else join_many(w, edges);
    for (int i = threadIdx.x; i < count; i += blockDim.x)
        if (w.group[i] == i) lead(w, i);
    for (int p = threadIdx.x; p < pairs; p += blockDim.x) {
        const Pair pair = w.pairs[p];
        bool alone = w.group[pair.one] == pair.one && w.next[pair.one] == NONE;
        if (pair.relation == MISTAKEN && alone && w.fate[pair.one] != IS_COVERED && w.fate[pair.other] != IS_COVERED)
            w.fate[pair.one] = IS_MISTAKEN;
    }
}
