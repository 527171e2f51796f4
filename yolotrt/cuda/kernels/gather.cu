// Bring what other GPUs found to this one: they are read through their own memory where this GPU may, and through
// page-locked host memory elsewhere. A copy would need the sizes before the host knows them.

#include "records.cuh"
#include "passes.cuh"

__device__ void bring(void* to, const void* from, long long bytes)
{
    unsigned* target = (unsigned*)to;
    const unsigned* source = (const unsigned*)from;
    long long words = bytes / sizeof(unsigned), step = (long long)gridDim.x * blockDim.x;
    for (long long k = blockIdx.x * (long long)blockDim.x + threadIdx.x; k < words; k += step) target[k] = source[k];
}

// blockIdx.y is a pass. What has no room is left out: the host sees it, and runs the frame again.
extern "C" __global__ void gather(const Pass* passes, const Far* from)
{
    const Pass to = passes[blockIdx.y];
    const Far far = from[blockIdx.y];
    const Header header = *far.header;
    long long words = header.words < to.capacity ? header.words : to.capacity;
    if (blockIdx.x == 0 && threadIdx.x == 0) *to.header = header;
    bring(to.records, far.records, header.records * (long long)sizeof(Record));
    bring(to.bits, far.place ? *far.place : far.bits, words * (long long)sizeof(unsigned));
}
