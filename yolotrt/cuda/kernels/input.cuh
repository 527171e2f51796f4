// What network input is written with: values of 0 to 1, 8 pixels at a time. Needs HALF.

#if HALF
typedef unsigned short Value;
__device__ __forceinline__ Value value(float x)
{
    Value bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}
#else
typedef float Value;
__device__ __forceinline__ Value value(float x) { return x; }
#endif

const int PIXELS = 8;      // pixels per thread: at least 16 bytes per channel out
const unsigned PADDING = 114;

// level / 255, correctly rounded as a division is, in three operations.
__device__ __forceinline__ float unit(unsigned level)
{
    const float reciprocal = 1.0f / 255.0f;
    float x = (float)level, quotient = x * reciprocal;
    return fmaf(fmaf(-quotient, 255.0f, x), reciprocal, quotient);
}

union Packed {
    Value values[PIXELS];
    uint4 vectors[PIXELS * sizeof(Value) / sizeof(uint4)];
};

// Store 8 pixels of one channel.
__device__ __forceinline__ void store(Value* target, const Packed& packed)
{
#pragma unroll
    for (int i = 0; i < PIXELS * sizeof(Value) / sizeof(uint4); ++i)
        reinterpret_cast<uint4*>(target)[i] = packed.vectors[i];
}

// The two neighbours of a pixel along one axis of an enlarged or reduced picture, and their weights in
// 1/2048, exactly as OpenCV's bilinear resizing of 8-bit pictures has them.
struct Neighbours {
    int first, second;
    int weight_first, weight_second;
};

__device__ Neighbours neighbours_at(float at, int size, bool clamp_share)
{
    int first = (int)floorf(at);
    float share = at - first;
    if (clamp_share && (first < 0 || first >= size - 1)) share = 0;
    Neighbours n;
    n.first = min(max(first, 0), size - 1);
    n.second = min(max(first + 1, 0), size - 1);
    n.weight_first = __float2int_rn((1 - share) * 2048);
    n.weight_second = __float2int_rn(share * 2048);
    return n;
}

// Where a pixel's centre lies in the picture that it is made of.
__device__ float place(int index, double scale)
{
    return (float)__dadd_rn(__dmul_rn(index + 0.5, scale), -0.5);
}

__device__ Neighbours neighbours(int index, double scale, int size, bool clamp_share)
{
    return neighbours_at(place(index, scale), size, clamp_share);
}
