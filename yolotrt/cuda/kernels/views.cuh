// What the kernels that merge pass on to each other, and the geometry of boxes.

const int GLOBAL_PASS = -1;
const int NONE = -1;
const int MOST_EDGES = 4096;  // fragments that may be joined; with more, or too many pairs, the host merges
const float NEAR = 0.1f;      // as _NEAR in seams.py, and so on
const float RIVAL = 0.8f;
const double INSIDE = 0.8;  // also in doubt.py, with the next nine
const float CONFIDENT = 0.25f;
const float HALVED = 0.5f;
const double SAME = 0.3;
const double SAME_PIECE = 0.5;
const double LARGER = 1.2;
const double FAINT = 0.1;
const double LOUDER = 2;
const double LAST = 1 + 1.0 / 4096;
const double ORDER = 1.0 / 1024;

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
static_assert(sizeof(View) == 88, "as VIEW_BYTES in pipeline/device/merge.py");

enum Relation { COVERED, CONTINUED, MISTAKEN, REFUTED };

// Two views that may be one object; `one` is the part, if one of them is.
struct Pair {
    double agreement;  // of fragments, inside the strip that both tiles show
    int one, other;
    int relation, unused;
};
static_assert(sizeof(Pair) == 24, "as PAIR_BYTES in pipeline/device/merge.py");

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
    const Pass* passes;  // over tiles, in their order, and perhaps the global pass behind them
    const Look* looks;   // of each tile, then of the global pass
    State* state;        // zeroed
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
    double visible, conf;  // square px that the global pass sees, infinite without one; score that all exceed
    int global_look;  // index into `looks`
    int room;   // for pairs, and for rivals
    int masks, pass_count;
};

__device__ int count_of(const Work& w)
{
    int count = 0;
    for (int p = 0; p < w.pass_count; ++p) count += w.passes[p].header->records;
    return count;
}

// How many views are of tiles; those of the global pass come behind them.
__device__ int tiled_of(const Work& w)
{
    int count = 0;
    for (int p = 0; p < w.pass_count && w.passes[p].first < w.global_look; ++p) count += w.passes[p].header->records;
    return count;
}

struct Place {
    int pass, record;
};

// The record that a view is of.
__device__ Place place_of(const Work& w, int i)
{
    int pass = 0;
    for (; pass + 1 < w.pass_count && i >= w.passes[pass].header->records; ++pass) i -= w.passes[pass].header->records;
    return {pass, i};
}

// -- boxes --------------------------------------------------------------------------------------------------

__device__ double side(double begin, double end) { return fmax(end - begin, 0.0); }

__device__ double area(const float* a) { return side(a[0], a[2]) * side(a[1], a[3]); }

template <class B> __device__ double shared_area(const float* a, const B* b)
{
    return side(fmax((double)a[0], (double)b[0]), fmin((double)a[2], (double)b[2])) *
           side(fmax((double)a[1], (double)b[1]), fmin((double)a[3], (double)b[3]));
}

// Whether shared_area(a, b) > 0, without double precision: most boxes do not meet, and many GPUs are slow there.
__device__ bool meet(const float* a, const float* b)
{
    return fminf(a[2], b[2]) > fmaxf(a[0], b[0]) && fminf(a[3], b[3]) > fmaxf(a[1], b[1]);
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
