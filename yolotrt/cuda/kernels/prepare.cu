// Network input from one uint8 frame: RGB in [0, 1], NCHW.
//
// Compiled with -DHALF=1 for FP16 and -DHALF=0 for FP32 values.

#include "input.cuh"

// Read the 24 bytes of 8 pixels from any address, as aligned words. The frame's buffer is at least
// 4 bytes longer than the frame.
__device__ __forceinline__ void read_inside(const unsigned char* source, unsigned (&words)[6])
{
    unsigned long long address = reinterpret_cast<unsigned long long>(source);
    const unsigned* aligned = reinterpret_cast<const unsigned*>(address & ~3ull);
    unsigned shift = (unsigned)(address & 3) * 8, low = __ldg(aligned);
#pragma unroll
    for (int i = 0; i < 6; ++i) {
        unsigned high = __ldg(aligned + i + 1);
        words[i] = __funnelshift_r(low, high, shift);
        low = high;
    }
}

// The same where some of the 8 pixels lie right of or below the frame.
__device__ __forceinline__ void read_edge(const unsigned char* frame, int width, int height, int x, int y,
                                          unsigned (&words)[6])
{
#pragma unroll
    for (int i = 0; i < 6; ++i) words[i] = 0;
#pragma unroll
    for (int byte = 0; byte < 24; ++byte) {
        int column = x + byte / 3;
        unsigned level = PADDING;
        if (column < width && y < height) level = frame[((size_t)y * width + column) * 3 + byte % 3];
        words[byte / 4] |= level << (byte % 4 * 8);
    }
}

// Cut tiles from a frame.
//
// frame    (height, width, 3) uint8
// origins  (tiles, 2) int, upper left corner (x, y) of each tile
// tiles    (tiles, 3, tile_height, tile_width) values; tile_width is a multiple of 8
// swap     1 if the frame is BGR, 0 if it is RGB
// grid     x covers tile_height * tile_width / 8 threads, y the tiles
extern "C" __global__ void cut_tiles(const unsigned char* frame, int width, int height, const int2* origins,
                                     Value* tiles, int tile_width, int tile_height, int swap)
{
    int per_row = tile_width / PIXELS;
    int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= per_row * tile_height) return;
    int row = index / per_row, column = index % per_row * PIXELS;
    int2 origin = origins[blockIdx.y];
    int x = origin.x + column, y = origin.y + row;

    unsigned words[6];
    if (y < height && x + PIXELS <= width)
        read_inside(frame + ((size_t)y * width + x) * 3, words);
    else
        read_edge(frame, width, height, x, y, words);

    size_t plane = (size_t)tile_width * tile_height;
    Value* target = tiles + blockIdx.y * 3 * plane + (size_t)row * tile_width + column;
#pragma unroll
    for (int channel = 0; channel < 3; ++channel) {
        Packed packed;
#pragma unroll
        for (int i = 0; i < PIXELS; ++i) {
            int byte = 3 * i + channel;
            packed.values[i] = value(unit(words[byte / 4] >> (byte % 4 * 8) & 255));
        }
        store(target + (swap ? 2 - channel : channel) * plane, packed);
    }
}

// Letterbox a frame: scaled by bilinear sampling between pixel centres, padded with grey. Pixel for pixel
// what OpenCV computes on the CPU.
//
// frame             (height, width, 3) uint8
// image             (3, model_height, model_width) values
// scale_x, scale_y  frame pixels per pixel inside the padding
// grid              x covers model_height * model_width threads
extern "C" __global__ void letterbox(const unsigned char* frame, int width, int height, Value* image,
                                     int model_width, int model_height, int pad_x, int pad_y,
                                     int resized_width, int resized_height, double scale_x, double scale_y,
                                     int swap)
{
    int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= model_width * model_height) return;
    int column = index % model_width - pad_x, row = index / model_width - pad_y;
    bool inside = column >= 0 && column < resized_width && row >= 0 && row < resized_height;
    Neighbours x = {0, 0, 0, 0}, y = {0, 0, 0, 0};
    if (inside) {
        x = neighbours(column, scale_x, width, true);
        y = neighbours(row, scale_y, height, false);
    }
    const unsigned char* upper = frame + (size_t)y.first * width * 3;
    const unsigned char* lower = frame + (size_t)y.second * width * 3;

    size_t plane = (size_t)model_width * model_height;
#pragma unroll
    for (int channel = 0; channel < 3; ++channel) {
        unsigned level = PADDING;
        if (inside) {
            int above = upper[x.first * 3 + channel] * x.weight_first + upper[x.second * 3 + channel] * x.weight_second;
            int below = lower[x.first * 3 + channel] * x.weight_first + lower[x.second * 3 + channel] * x.weight_second;
            level = ((y.weight_first * (above >> 4) >> 16) + (y.weight_second * (below >> 4) >> 16) + 2) >> 2;
        }
        image[(swap ? 2 - channel : channel) * plane + index] = value(unit(level));
    }
}
