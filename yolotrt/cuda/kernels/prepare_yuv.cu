// Network input from one frame as decoders give it: RGB in [0, 1], NCHW.
//
// A frame is (height, width) brightness and behind it (height / 2, width / 2, 2) colour samples, U first;
// width and height are even. Compiled with -DHALF=1 for FP16 and -DHALF=0 for FP32 values, and with -DWIDE=1
// for samples of 16 bits (P010) and -DWIDE=0 for bytes (NV12).

#include "input.cuh"

#if WIDE
typedef unsigned short Sample;
__device__ __forceinline__ float number(Sample s) { return (float)s; }
#else
typedef unsigned char Sample;
__device__ __forceinline__ float number(Sample s) { return (float)((unsigned)s << 8); }
#endif

// Red, green and blue as levels. `colours` are eight numbers: see yolotrt/data/colours.py.
__device__ __forceinline__ void levels(float y, float u, float v, const float* colours, unsigned (&rgb)[3])
{
    float bright = y * colours[0];
    float value[3] = {bright + v * colours[1] + colours[5],
                      bright + (u * colours[2] + v * colours[3]) + colours[6],
                      bright + u * colours[4] + colours[7]};
#pragma unroll
    for (int i = 0; i < 3; ++i) rgb[i] = (unsigned)__float2int_rn(fminf(fmaxf(value[i], 0.0f), 255.0f));
}

// A colour between four samples, with shares of the right and of the lower ones.
__device__ __forceinline__ float between(const Sample* upper, const Sample* lower, int left, int right,
                                         float across, float down)
{
    float above = number(upper[left]) * (1 - across) + number(upper[right]) * across;
    float below = number(lower[left]) * (1 - across) + number(lower[right]) * across;
    return above * (1 - down) + below * down;
}

// Cut tiles from a frame; see prepare.cu.
//
// site_x, site_y  where colour samples lie, in half pixels from the upper left one of their four pixels
extern "C" __global__ void cut_tiles_yuv(const Sample* frame, int width, int height, const int2* origins,
                                         Value* tiles, int tile_width, int tile_height, int site_x, int site_y,
                                         const float* colours)
{
    int per_row = tile_width / PIXELS;
    int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= per_row * tile_height) return;
    int row = index / per_row, column = index % per_row * PIXELS;
    int2 origin = origins[blockIdx.y];
    int x = origin.x + column, y = origin.y + row;

    const Sample* chroma = frame + (size_t)width * height;
    int quarter_y = 2 * y - site_y, last_x = width / 2 - 1, last_y = height / 2 - 1;
    const Sample* upper = chroma + (size_t)min(max(quarter_y >> 2, 0), last_y) * width;
    const Sample* lower = chroma + (size_t)min(max((quarter_y >> 2) + 1, 0), last_y) * width;
    float down = (quarter_y & 3) * 0.25f;
    Packed packed[3];
#pragma unroll
    for (int i = 0; i < PIXELS; ++i) {
        unsigned rgb[3] = {PADDING, PADDING, PADDING};
        if (x + i < width && y < height) {
            int quarter_x = 2 * (x + i) - site_x;
            int left = 2 * min(max(quarter_x >> 2, 0), last_x);
            int right = 2 * min(max((quarter_x >> 2) + 1, 0), last_x);
            float across = (quarter_x & 3) * 0.25f;
            levels(number(frame[(size_t)y * width + x + i]), between(upper, lower, left, right, across, down),
                   between(upper + 1, lower + 1, left, right, across, down), colours, rgb);
        }
#pragma unroll
        for (int channel = 0; channel < 3; ++channel) packed[channel].values[i] = value(unit(rgb[channel]));
    }
    size_t plane = (size_t)tile_width * tile_height;
    Value* target = tiles + blockIdx.y * 3 * plane + (size_t)row * tile_width + column;
#pragma unroll
    for (int channel = 0; channel < 3; ++channel) store(target + channel * plane, packed[channel]);
}

// A sample between four of a plane; `each` numbers make a sample.
__device__ __forceinline__ float fitted(const Sample* plane, int width, int each, Neighbours x, Neighbours y)
{
    const Sample* upper = plane + (size_t)y.first * width;
    const Sample* lower = plane + (size_t)y.second * width;
    float left = x.weight_first / 2048.0f, right = x.weight_second / 2048.0f;
    float above = number(upper[x.first * each]) * left + number(upper[x.second * each]) * right;
    float below = number(lower[x.first * each]) * left + number(lower[x.second * each]) * right;
    return above * (y.weight_first / 2048.0f) + below * (y.weight_second / 2048.0f);
}

// Letterbox a frame; see prepare.cu. Brightness and colours are scaled before they become red, green and blue,
// without rounding in between.
extern "C" __global__ void letterbox_yuv(const Sample* frame, int width, int height, Value* image,
                                         int model_width, int model_height, int pad_x, int pad_y,
                                         int resized_width, int resized_height, double scale_x, double scale_y,
                                         int site_x, int site_y, const float* colours)
{
    int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= model_width * model_height) return;
    int column = index % model_width - pad_x, row = index / model_width - pad_y;
    unsigned rgb[3] = {PADDING, PADDING, PADDING};
    if (column >= 0 && column < resized_width && row >= 0 && row < resized_height) {
        Neighbours x = neighbours(column, scale_x, width, true), y = neighbours(row, scale_y, height, false);
        Neighbours across = neighbours_at((place(column, scale_x) - 0.5f * site_x) / 2, width / 2, false);
        Neighbours down = neighbours_at((place(row, scale_y) - 0.5f * site_y) / 2, height / 2, false);
        const Sample* chroma = frame + (size_t)width * height;
        levels(fitted(frame, width, 1, x, y), fitted(chroma, width, 2, across, down),
               fitted(chroma + 1, width, 2, across, down), colours, rgb);
    }
    size_t plane = (size_t)model_width * model_height;
#pragma unroll
    for (int channel = 0; channel < 3; ++channel) image[channel * plane + index] = value(unit(rgb[channel]));
}
