// Tiles that were chosen, of a frame that lies in page-locked memory of the host: only what is looked at travels.

#include "records.cuh"

// Copy some rows of a frame to the GPU: rows y with first <= y % every < first + count.
//
// source   (height, row) bytes, page-locked; row is a multiple of 16
// target   the same on the GPU
// grid     any number of threads shares the work
extern "C" __global__ void fetch_rows(const unsigned char* source, unsigned char* target, int height, int row, int every,
                                      int first, int count)
{
    int vectors = row / 16, whole = height / every, over = height % every;
    int rest = over > first ? min(over - first, count) : 0;
    long long all = (long long)(whole * count + rest) * vectors, step = (long long)gridDim.x * blockDim.x;
    for (long long k = blockIdx.x * (long long)blockDim.x + threadIdx.x; k < all; k += step) {
        int line = (int)(k / vectors);
        size_t at = ((size_t)(line / count) * every + first + line % count) * row + (size_t)(k % vectors) * 16;
        *(uint4*)(target + at) = *(const uint4*)(source + at);
    }
}

// Copy the pixels of tiles to the GPU, and up to 15 bytes beside them, but for rows that `fetch_rows` has copied.
//
// source, target, every, first, count   as above
// origins  (tiles, 2) upper left corner (x, y) of each, px
// grid     x threads share a tile, y the tiles
extern "C" __global__ void fetch_tiles(const unsigned char* source, unsigned char* target, int row, int height,
                                       const int2* origins, int wide, int high, int every, int first, int count)
{
    int2 origin = origins[blockIdx.y];
    int begin = origin.x * 3 / 16, end = min((origin.x + wide) * 3 + 15, row) / 16;
    int across = end - begin, lines = min(high, height - origin.y);
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < across * lines; k += gridDim.x * blockDim.x) {
        int y = origin.y + k / across, place = y % every;
        if (place >= first && place < first + count) continue;
        size_t at = (size_t)y * row + (size_t)(begin + k % across) * 16;
        *(uint4*)(target + at) = *(const uint4*)(source + at);
    }
}

// Put what a network gave for chosen tiles where it belongs among all tiles.
//
// source   (chosen, bytes); target: (tiles, bytes)
// tiles    which, one for each blockIdx.y
// grid     x threads share a tile
extern "C" __global__ void spread(const unsigned char* source, unsigned char* target, int bytes, const int* tiles)
{
    const unsigned char* from = source + (size_t)blockIdx.y * bytes;
    unsigned char* to = target + (size_t)tiles[blockIdx.y] * bytes;
    int me = blockIdx.x * blockDim.x + threadIdx.x, step = gridDim.x * blockDim.x;
    if (bytes % 16) {
        for (int k = me; k < bytes; k += step) to[k] = from[k];
        return;
    }
    for (int k = me; k < bytes / 16; k += step) ((uint4*)to)[k] = ((const uint4*)from)[k];
}

__device__ bool same_place(const Candidate& a, const Candidate& b, float least)
{
    if (a.label != b.label) return false;
    float wide = min(a.x1, b.x1) - max(a.x0, b.x0), high = min(a.y1, b.y1) - max(a.y0, b.y0);
    if (wide <= 0 || high <= 0) return false;
    float shared = wide * high;
    float both = (a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - shared;
    return shared >= least * both;
}

__device__ bool is_fresh(const Candidate& one, const Candidate* others, int count, float least)
{
    for (int k = 0; k < count; ++k)
        if (same_place(one, others[k], least)) return false;
    return true;
}

// Find the tiles where something came, went or moved since they were last looked at. Tiles that were not looked at
// now have what they had.
//
// now, then    (tiles, limit) detections of each tile, and those of the frame before; counts: (tiles,) how many
// told         least score of what counts
// unsettled    (tiles,) 1 or 0
// grid         x the tiles
extern "C" __global__ void settle(const Candidate* now, const int* counts, const Candidate* then,
                                  const int* then_counts, int limit, float told, float least, int* unsettled)
{
    int tile = blockIdx.x, count = counts[tile], before = then_counts[tile];
    const Candidate *mine = now + (size_t)tile * limit, *theirs = then + (size_t)tile * limit;
    bool fresh = false;
    for (int k = threadIdx.x; k < count; k += blockDim.x)
        fresh |= mine[k].score >= told && is_fresh(mine[k], theirs, before, least);
    for (int k = threadIdx.x; k < before; k += blockDim.x)
        fresh |= theirs[k].score >= told && is_fresh(theirs[k], mine, count, least);
    bool any = __syncthreads_or(fresh);
    if (threadIdx.x == 0) unsettled[tile] = any;
}

// Find the tiles in which the global pass sees something new that it is not sure of, and that fits into a tile.
//
// now, then    (limit) detections of the frame, and those of the frame before
// corners      (tiles, 2) upper left corner (x, y) of each tile
// news         (tiles,) 1 or 0
// grid         x the tiles
extern "C" __global__ void news_of(const Candidate* now, const int* counts, const Candidate* then,
                                   const int* then_counts, const int2* corners, int wide, int high, float unsure,
                                   float least, int* news)
{
    float x = corners[blockIdx.x].x, y = corners[blockIdx.x].y;
    bool found = false;
    for (int k = threadIdx.x; k < counts[0]; k += blockDim.x) {
        Candidate one = now[k];
        bool meets = one.x0 < x + wide && one.y0 < y + high && one.x1 > x && one.y1 > y;
        bool fits = one.x1 - one.x0 <= wide && one.y1 - one.y0 <= high;
        found |= meets && fits && one.score < unsure && is_fresh(one, then, then_counts[0], least);
    }
    bool any = __syncthreads_or(found);
    if (threadIdx.x == 0) news[blockIdx.x] = any;
}
