// From a detection head to the detections that are kept, in the frame of the image each came from.
//
// Compiled with -DHALF=1 for an FP16 head and -DHALF=0 for FP32, and without contraction to fused
// multiply-adds: thresholds compare the same numbers as the CPU does.

#include "records.cuh"

#if HALF
typedef unsigned short Value;
__device__ __forceinline__ float number(Value bits)
{
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}
#else
typedef float Value;
__device__ __forceinline__ float number(Value x) { return x; }
#endif

__device__ __forceinline__ bool finite(float x) { return fabsf(x) <= 3.402823466e38f; }

// How the images of a batch lie in the network's input; `width` and `height` are the image's.
struct Placement {
    float pad_x, pad_y, scale_x, scale_y;
    int width, height;
};

__device__ Candidate in_image(Candidate c, const Placement& p)
{
    c.x0 = fminf(fmaxf((c.x0 - p.pad_x) / p.scale_x, 0.0f), (float)p.width);
    c.x1 = fminf(fmaxf((c.x1 - p.pad_x) / p.scale_x, 0.0f), (float)p.width);
    c.y0 = fminf(fmaxf((c.y0 - p.pad_y) / p.scale_y, 0.0f), (float)p.height);
    c.y1 = fminf(fmaxf((c.y1 - p.pad_y) / p.scale_y, 0.0f), (float)p.height);
    return c;
}

// Find the anchors of a raw head whose best class scores above the threshold.
//
// head        (images, 4 + labels + coefficients, anchors); boxes as centre and size
// first       image of the first block: groups of images are searched one by one
// images      of all groups
// state       (images + 1) int, zeroed: candidates of each image, and whether the head is broken
// candidates  (images, anchors), filled from the front in any order
// grid        x covers the anchors, y the images of the group
extern "C" __global__ void find_candidates(const Value* head, int rows, int labels, int anchors,
                                           float threshold, int first, int images, int* state,
                                           Candidate* candidates)
{
    int anchor = blockIdx.x * blockDim.x + threadIdx.x, image = first + blockIdx.y;
    if (anchor >= anchors) return;
    const Value* column = head + (size_t)image * rows * anchors + anchor;

    Candidate found;
    found.score = number(column[(size_t)4 * anchors]);
    found.label = 0;
    bool broken = found.score != found.score;
#pragma unroll 8
    for (int label = 1; label < labels; ++label) {
        float score = number(column[(size_t)(4 + label) * anchors]);
        broken |= score != score;
        if (score > found.score) {
            found.score = score;
            found.label = label;
        }
    }
    broken |= !finite(found.score);
    if (found.score > threshold) {
        float x = number(column[0]), y = number(column[anchors]);
        float half_width = number(column[(size_t)2 * anchors]) / 2;
        float half_height = number(column[(size_t)3 * anchors]) / 2;
        found.x0 = x - half_width;
        found.y0 = y - half_height;
        found.x1 = x + half_width;
        found.y1 = y + half_height;
        found.source = anchor;
        found.image = image;
        broken |= !finite(found.x0) || !finite(found.y0) || !finite(found.x1) || !finite(found.y1);
        candidates[(size_t)image * anchors + atomicAdd(&state[image], 1)] = found;
    }
    if (broken) state[images] = 1;
}

#include "suppression.cuh"

// Non-maximum suppression within each class: take the best, drop what overlaps it, again.
//
// One block per image from `first` on. Blocks are whole warps.
//
// candidates  (images, capacity), used up
// kept        (images, limit), best first, in the image's frame
// kept_count  (images) int
extern "C" __global__ void keep_best(const int* state, Candidate* candidates, int capacity, double threshold,
                                     int first, int limit, float pad_x, float pad_y, float scale_x, float scale_y,
                                     int width, int height, Candidate* kept, int* kept_count)
{
    __shared__ Candidate sorted[FEW];
    const Placement placement = {pad_x, pad_y, scale_x, scale_y, width, height};
    int image = first + blockIdx.x, count = state[image];
    Candidate* list = candidates + (size_t)image * capacity;
    kept += (size_t)image * limit;
    bool few = count <= FEW && count <= EACH * (int)blockDim.x && sort_few(list, count, sorted);
    int found = few ? keep_of_few(sorted, count, threshold, limit, placement, kept)
                    : keep_of_many(list, count, threshold, limit, placement, kept);
    if (threadIdx.x == 0) kept_count[image] = found;
}

// Read an end-to-end head: rows above the threshold, in their order.
//
// One block per image from `first` on; blocks are whole warps.
//
// head        (images, rows, columns): x0, y0, x1, y1, score, class, coefficients
// state       as for find_candidates; only the last value is written
extern "C" __global__ void read_end2end(const Value* head, int rows, int columns, float threshold, int limit,
                                        float pad_x, float pad_y, float scale_x, float scale_y, int width,
                                        int height, int first, int images, int* state, Candidate* kept,
                                        int* kept_count)
{
    const Placement placement = {pad_x, pad_y, scale_x, scale_y, width, height};
    __shared__ int of_warp[32];
    int image = first + blockIdx.x, found = 0, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    for (int begin = 0; begin < rows; begin += blockDim.x) {
        int index = begin + threadIdx.x;
        const Value* row = head + ((size_t)image * rows + index) * columns;
        float score = index < rows ? number(row[4]) : -1;
        bool chosen = index < rows && score > threshold;
        unsigned votes = __ballot_sync(~0u, chosen);
        if (lane == 0) of_warp[warp] = __popc(votes);
        __syncthreads();
        int place = found + __popc(votes & ((1u << lane) - 1));
        for (int w = 0; w < blockDim.x / 32; ++w) {
            if (w < warp) place += of_warp[w];
            found += of_warp[w];
        }
        __syncthreads();
        bool broken = !finite(score);
        if (chosen && place < limit) {
            float label = number(row[5]);
            Candidate c = {number(row[0]), number(row[1]), number(row[2]), number(row[3]), score,
                           (int)label, index, image};
            broken |= !finite(c.x0) || !finite(c.y0) || !finite(c.x1) || !finite(c.y1) || !finite(label);
            kept[(size_t)image * limit + place] = in_image(c, placement);
        }
        if (broken) state[images] = 1;
    }
    if (threadIdx.x == 0) kept_count[image] = min(found, limit);
}
