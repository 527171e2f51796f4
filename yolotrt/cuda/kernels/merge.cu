// Join what overlapping tiles, and the global pass, saw of the same objects.
//
// The decisions of yolotrt/geometry/seams.py, where they are explained, and of yolotrt/pipeline/merge.py, made
// from the same numbers in the same precision: compiled without contraction to fused multiply-adds. Instead of
// sweeps and early exits all pairs are looked at, which suits a GPU.
//
// All kernels take everything from a Work, since they pass much on to each other.

#include "records.cuh"

const int GLOBAL_PASS = -1;
const int NONE = -1;
const int MOST_EDGES = 4096;  // fragments that may be joined; with more, or too many pairs, the host merges
const float NEAR = 0.1f;      // as _NEAR in seams.py, and so on
const float RIVAL = 0.8f;
const double INSIDE = 0.8;

// What a tile, or the global pass, shows: left, top, right, bottom px, and which of these borders
// lie inside the frame, as bits.
struct Look {
    int seen[4];
    int inner;
};

// A detection together with what its tile could see; px of the frame.
struct View {
    float box[4];
    float score;
    int label, tile;
    int seen[4];
    int cut, near;                 // ends at a border, or near one: bits for left, top, right, bottom
    int left, top, right, bottom;  // its mask: [left, right) x [top, bottom)
    int begin, step;               // column of a row's first bit, and words per row
    const unsigned* words;
};
static_assert(sizeof(View) == 88, "as VIEW_BYTES in device_merge.py");

enum Relation { COVERED, CONTINUED, MISTAKEN, REFUTED };

// Two views that may be one object; `one` is the part, if one of them is.
struct Pair {
    double agreement;  // of fragments, inside the strip that both tiles show
    int one, other;
    int relation, unused;
};
static_assert(sizeof(Pair) == 24, "as PAIR_BYTES in device_merge.py");

struct Rival {
    int better, worse;
};

enum Fate { OPEN, IS_COVERED, IS_MISTAKEN, KEPT, DROPPED };

struct State {
    int pairs, rivals, contenders, overflow;
};

struct Found {
    int objects, pieces, overflow, unused;
};

struct Object {
    float box[4];
    float score;
    int label, first, end;  // its pieces
};

// A row of PackedMasks.pieces.
struct Piece {
    long long x, y, width, height, bit, step;
};

struct Work {
    const Header* headers[2];  // of the tiles, and of the global pass or null
    const Record* records[2];
    const unsigned* bits[2];
    long long capacity[2];  // words of `bits`
    const Look* looks;      // of each tile, then of the global pass
    State* state;           // zeroed
    View* views;
    int* fate;
    int* rank;   // from best to worst
    int* group;  // views joined to one object: the first of them, and a list
    int* next;
    float* boxes;  // (n, 4) of owners, around all that they own
    int* owner;    // the best of a group
    int* order;    // contenders from best to worst
    int* waits;
    Pair* pairs;
    int* edges;  // pairs of fragments, then the same in the order in which they are joined
    Rival* rivals;
    Found* found;  // these three on the host
    Object* objects;
    Piece* pieces;
    double border, threshold, duplicate;
    int global_look;  // index into `looks`
    int room;   // for pairs, and for rivals
    int masks, unused;
};

__device__ int count_of(const Work& w) { return w.headers[0]->records + (w.headers[1] ? w.headers[1]->records : 0); }

// -- boxes --------------------------------------------------------------------------------------------------

__device__ double side(double begin, double end) { return fmax(end - begin, 0.0); }

__device__ double area(const float* a) { return side(a[0], a[2]) * side(a[1], a[3]); }

template <class B> __device__ double shared_area(const float* a, const B* b)
{
    return side(fmax((double)a[0], (double)b[0]), fmin((double)a[2], (double)b[2])) *
           side(fmax((double)a[1], (double)b[1]), fmin((double)a[3], (double)b[3]));
}

// Whether detection `a` comes before `b`: higher score; ties by class, box and place.
__device__ bool before(const View& a, const float* box_a, int i, const View& b, const float* box_b, int j)
{
    if (a.score != b.score) return a.score > b.score;
    if (a.label != b.label) return a.label < b.label;
    for (int k = 0; k < 4; ++k)
        if (box_a[k] != box_b[k]) return box_a[k] < box_b[k];
    return i < j;
}

// How far from the k-th side of a box a border is still near.
__device__ double slack(const float* box, int k) { return (box[k % 2 + 2] - box[k % 2]) * NEAR; }

// -- views ---------------------------------------------------------------------------------------------------

__device__ View view_of(const Work& w, int pass, const Record& r)
{
    View v;
    const Look& look = w.looks[pass ? w.global_look : r.image];
    const float box[4] = {r.x0, r.y0, r.x1, r.y1};
    v.score = r.score;
    v.label = r.label;
    v.tile = pass ? GLOBAL_PASS : r.image;
    v.cut = v.near = 0;
    for (int k = 0; k < 4; ++k) {
        v.box[k] = box[k] + (float)look.seen[k % 2];
        v.seen[k] = look.seen[k];
    }
    for (int k = 0; k < 4; ++k) {
        double gap = fabs((double)v.box[k] - v.seen[k]);
        if (!(look.inner >> k & 1)) continue;
        if (gap <= w.border) v.cut |= 1 << k;
        if (gap <= slack(v.box, k)) v.near |= 1 << k;
    }
    v.near |= v.cut;
    v.left = r.left + look.seen[0];
    v.top = r.top + look.seen[1];
    v.right = r.right + look.seen[0];
    v.bottom = r.bottom + look.seen[1];
    v.begin = r.left / BYTE * BYTE + look.seen[0];
    v.step = words_per_row(r);
    v.words = w.bits[pass] + r.word;
    // A mask that had no room was not drawn; the host will run the frame again.
    if (r.word + (long long)v.step * (r.bottom - r.top) > w.capacity[pass]) v.right = v.left;
    return v;
}

// Make the views. Any grid.
extern "C" __global__ void look(const Work* work)
{
    const Work w = *work;
    int tiled = w.headers[0]->records, count = count_of(w);
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        int pass = i >= tiled;
        View v = view_of(w, pass, w.records[pass][pass ? i - tiled : i]);
        w.views[i] = v;
        w.fate[i] = OPEN;
        w.group[i] = i;
        w.next[i] = NONE;
        w.waits[i] = NONE;
    }
}

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
    double shared = shared_area(a.box, b.box);
    if (a.tile == b.tile || !(shared > 0)) return pair;
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

// -- objects -------------------------------------------------------------------------------------------------

// Whether fragments are joined along pair `a` before those of pair `b`.
__device__ bool joins_first(const Work& w, const Pair& a, const Pair& b)
{
    if (a.agreement != b.agreement) return a.agreement > b.agreement;
    int a0 = w.rank[a.one], a1 = w.rank[a.other], b0 = w.rank[b.one], b1 = w.rank[b.other];
    if (min(a0, a1) != min(b0, b1)) return min(a0, a1) < min(b0, b1);
    return max(a0, a1) < max(b0, b1);
}

// Put the second group behind the first, unless they are one or a tile would come twice into it.
__device__ void join_groups(const Work& w, int first, int second)
{
    if (first == second) return;
    int last = NONE;
    for (int i = first; i != NONE; last = i, i = w.next[i])
        for (int j = second; j != NONE; j = w.next[j])
            if (w.views[i].tile == w.views[j].tile) return;
    w.next[last] = second;
    for (int j = second; j != NONE; j = w.next[j]) w.group[j] = first;
}

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
    for (int e = threadIdx.x; e < edges; e += blockDim.x) {
        const Pair pair = w.pairs[w.edges[e]];
        int place = 0;
        for (int f = 0; f < edges; ++f) place += f != e && joins_first(w, w.pairs[w.edges[f]], pair);
        w.edges[MOST_EDGES + place] = w.edges[e];
    }
    __syncthreads();
    if (threadIdx.x == 0)
        for (int e = 0; e < edges; ++e) {
            const Pair pair = w.pairs[w.edges[MOST_EDGES + e]];
            join_groups(w, w.group[pair.one], w.group[pair.other]);
        }
    __syncthreads();
    for (int i = threadIdx.x; i < count; i += blockDim.x)
        if (w.group[i] == i) lead(w, i);
    for (int p = threadIdx.x; p < pairs; p += blockDim.x) {
        const Pair pair = w.pairs[p];
        bool alone = w.group[pair.one] == pair.one && w.next[pair.one] == NONE;
        if (pair.relation == MISTAKEN && alone && w.fate[pair.one] != IS_COVERED && w.fate[pair.other] != IS_COVERED)
            w.fate[pair.one] = IS_MISTAKEN;
    }
}

__device__ bool contends(const Work& w, int i) { return w.fate[i] == OPEN && w.owner[i] == i; }

// Order the objects from best to worst, and list those that may be duplicates. A block takes one at a time.
extern "C" __global__ void find_rivals(const Work* work)
{
    const Work w = *work;
    int count = count_of(w);
    for (int i = blockIdx.x; i < count; i += gridDim.x) {
        if (!contends(w, i)) continue;
        const View mine = w.views[i];
        const float* my_box = w.boxes + 4 * i;
        int place = 0;
        for (int begin = 0; begin < count; begin += blockDim.x) {
            int j = begin + threadIdx.x;
            bool better = false;
            if (j < count && j != i && contends(w, j)) {
                const View theirs = w.views[j];
                const float* box = w.boxes + 4 * j;
                better = before(theirs, box, j, mine, my_box, i);
                if (better && theirs.label == mine.label && theirs.tile != mine.tile) {
                    double shared = shared_area(my_box, box);
                    double whole = area(my_box) + area(box) - shared;
                    if (whole > 0 && shared / whole > w.duplicate) {
                        int at = atomicAdd(&w.state->rivals, 1);
                        if (at < w.room) w.rivals[at] = {j, i};
                        else w.state->overflow = 1;
                    }
                }
            }
            place += __syncthreads_count(better);
        }
        if (threadIdx.x == 0) {
            w.order[place] = i;
            atomicAdd(&w.state->contenders, 1);
        }
    }
}

__device__ Piece piece_of(const Work& w, int i)
{
    int tiled = w.headers[0]->records, pass = i >= tiled;
    const Record& r = w.records[pass][pass ? i - tiled : i];
    const Look& look = w.looks[pass ? w.global_look : r.image];
    bool empty = r.right <= r.left || r.bottom <= r.top;
    long long word = r.word + (pass ? w.headers[0]->words : 0);  // the host puts the bits of both passes together
    return {r.left + look.seen[0], r.top + look.seen[1], empty ? 0 : r.right - r.left, empty ? 0 : r.bottom - r.top,
            word * WORD + r.left % BYTE, (long long)words_per_row(r) * WORD};
}

// Keep, of duplicates, what no better one that is kept owns; write what is left, best first. One block.
//
// An object is settled when all its better rivals are: as suppression from the best down decides, but with as
// many rounds as chains of rivals are long.
extern "C" __global__ void __launch_bounds__(1024) keep_objects(const Work* work)
{
    const Work w = *work;
    if (w.state->overflow) {
        if (threadIdx.x == 0) *w.found = {0, 0, 1, 0};
        return;
    }
    int count = w.state->contenders, rivals = w.state->rivals, objects = 0, pieces = 0;
    bool open = true;
    for (int round = 0; open; ++round) {
        bool waits = false;
        for (int r = threadIdx.x; r < rivals; r += blockDim.x) {
            const Rival pair = w.rivals[r];
            if (w.fate[pair.worse] != OPEN) continue;
            if (w.fate[pair.better] == KEPT) w.fate[pair.worse] = DROPPED;
            else if (w.fate[pair.better] == OPEN) w.waits[pair.worse] = round;
        }
        __syncthreads();
        for (int k = threadIdx.x; k < count; k += blockDim.x) {
            int i = w.order[k];
            if (w.fate[i] != OPEN) continue;
            if (w.waits[i] == round) waits = true;
            else w.fate[i] = KEPT;
        }
        open = __syncthreads_or(waits);
    }
    for (int begin = 0; begin < count; begin += blockDim.x) {
        int i = begin + threadIdx.x < count ? w.order[begin + threadIdx.x] : NONE, parts = 0, kept_here, parts_here;
        bool kept = i != NONE && w.fate[i] == KEPT;
        if (kept && w.masks)
            for (int m = w.group[i]; m != NONE; m = w.next[m]) ++parts;
        int place = objects + scan<int>(kept, kept_here), first = pieces + scan(parts, parts_here);
        if (kept) {
            const View& v = w.views[i];
            const float* box = w.boxes + 4 * i;
            w.objects[place] = {{box[0], box[1], box[2], box[3]}, v.score, v.label, first, first + parts};
            if (w.masks)
                for (int m = w.group[i]; m != NONE; m = w.next[m]) w.pieces[first++] = piece_of(w, m);
        }
        objects += kept_here;
        pieces += parts_here;
    }
    if (threadIdx.x == 0) *w.found = {objects, pieces, 0, 0};
}
