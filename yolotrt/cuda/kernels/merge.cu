// Join what overlapping tiles, and the global pass, saw of the same objects.
//
// The decisions of yolotrt/geometry/seams.py, where they are explained, and of yolotrt/pipeline/merge.py, made
// from the same numbers in the same precision: compiled without contraction to fused multiply-adds. Instead of
// sweeps and early exits all pairs are looked at, which suits a GPU.
//
// All kernels take everything from a Work, since they pass much on to each other.

#include "records.cuh"
#include "passes.cuh"
#include "views.cuh"

// -- views ---------------------------------------------------------------------------------------------------

__device__ View view_of(const Work& w, const Pass& pass, const Record& r)
{
    View v;
    int image = pass.first + r.image;
    const Look& look = w.looks[image];
    const float box[4] = {r.x0, r.y0, r.x1, r.y1};
    v.score = r.score;
    v.label = r.label;
    v.tile = image == w.global_look ? GLOBAL_PASS : image;
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
    v.words = pass.bits + r.word;
    // A mask that had no room was not drawn; the host will run the frame again.
    if (r.word + (long long)v.step * (r.bottom - r.top) > pass.capacity) v.right = v.left;
    return v;
}

// Make the views. Any grid.
extern "C" __global__ void look(const Work* work)
{
    const Work w = *work;
    int count = count_of(w);
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        const Place at = place_of(w, i);
        w.views[i] = view_of(w, w.passes[at.pass], w.passes[at.pass].records[at.record]);
        w.fate[i] = OPEN;
        w.group[i] = i;
        w.next[i] = NONE;
        w.waits[i] = NONE;
    }
}

#include "pairs.cuh"
#include "joins.cuh"

// -- objects -------------------------------------------------------------------------------------------------

__device__ bool contends(const Work& w, int i) { return w.fate[i] == OPEN && w.owner[i] == i; }

// The score of an object whose odds are divided; see lowered() of doubt.py.
__device__ float lowered(const Work& w, double s, double against, double said)
{
    double odds = fmax(s / (s + against * (1 - s)), fmin(s, said));
    return (float)fmax(odds, fmin(s, w.conf * (LAST + odds * ORDER)));
}

// By what silence about an object divides its odds; see heard_of() of doubt.py.
__device__ double silence(const Work& w, double size, bool piece)
{
    double times = sqrt(size / w.visible);
    times += LOUDER * fmax(0.0, 1 - w.conf / CONFIDENT) * (times * times - times);
    return piece ? times * times : times;
}

// Weigh what tiles found by what the global pass saw there; see doubt.py. Any grid.
extern "C" __global__ void weigh(const Work* work)
{
    const Work w = *work;
    int tiled = tiled_of(w), count = count_of(w);
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < tiled; i += gridDim.x * blockDim.x) {
        if (!contends(w, i)) continue;
        const float* box = w.boxes + 4 * i;
        const bool touches = w.views[i].near;
        double size = area(box), said = 0;
        bool contradicted = false, piece = false, has_to_be_seen = size >= w.visible;
        if (!touches && !has_to_be_seen) continue;
        for (int j = tiled; j < count; ++j) {
            const View& seen = w.views[j];
            if (!meet(box, seen.box)) continue;
            double shared = shared_area(box, seen.box), of_seen = area(seen.box), whole = size + of_seen - shared;
            bool within = touches && shared > INSIDE * size, other = seen.label != w.views[i].label;
            if (!other && whole > 0 && shared / whole > (touches ? SAME_PIECE : SAME)) said = fmax(said, (double)seen.score);
            if (other && within && seen.score >= CONFIDENT && seen.score >= w.views[i].score) contradicted = true;
            if (within && seen.score >= FAINT && of_seen > LARGER * size) piece = true;
        }
        if (contradicted) w.views[i].score *= HALVED;
        if (!has_to_be_seen) continue;
        double against = 1 + (silence(w, size, piece) - 1) * fmax(0.0, 1 - said / CONFIDENT);
        if (against > 1) w.views[i].score = lowered(w, w.views[i].score, against, said);
    }
}

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
                if (better && theirs.label == mine.label && theirs.tile != mine.tile && meet(my_box, box)) {
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
    const Place at = place_of(w, i);
    const Pass& pass = w.passes[at.pass];
    const Record& r = pass.records[at.record];
    const Look& look = w.looks[pass.first + r.image];
    bool empty = r.right <= r.left || r.bottom <= r.top;
    long long word = r.word;
    for (int p = 0; p < at.pass; ++p) word += w.passes[p].header->words;  // as if all bits lay behind each other
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
