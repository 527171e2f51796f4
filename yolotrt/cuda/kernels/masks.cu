// Masks of the kept detections, drawn inside their boxes at the resolution of the image's frame.
//
// Compiled with -DHEAD_HALF and -DPROTO_HALF: 1 for FP16, 0 for FP32.

#include "records.cuh"

template <bool HALF> struct Stored;
template <> struct Stored<false> { typedef float type; };
template <> struct Stored<true> { typedef unsigned short type; };

__device__ __forceinline__ float number(float x) { return x; }
#if HEAD_HALF || PROTO_HALF
__device__ __forceinline__ float number(unsigned short bits)
{
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}
#endif

typedef Stored<HEAD_HALF>::type Head;
typedef Stored<PROTO_HALF>::type Prototype;

const int ROWS_AT_ONCE = 8;  // rows that a warp draws of 32 columns: neighbours share what they are made of
const int MOST_COEFFICIENTS = 64;

// Where one pixel of the frame lies between prototype pixels along one axis: three neighbours.
struct Taps {
    int first;
    float weights[3];
};

__device__ Record record_of(const Candidate& c, int width, int height)
{
    Record r = {c.x0, c.y0, c.x1, c.y1, c.score, c.label, c.source, c.image};
    r.left = min(max((int)ceilf(c.x0), 0), width);
    r.top = min(max((int)ceilf(c.y0), 0), height);
    r.right = min(max((int)ceilf(c.x1), 0), width);
    r.bottom = min(max((int)ceilf(c.y1), 0), height);
    return r;
}

// List the kept detections of all images in order, and deal out the space and the work of their masks.
//
// One block of whole warps.
//
// kept         (images, limit)
// kept_count   (images) int
// first        (images) int, scratch
// state        as in candidates.cu; zeroed for the next frame
// unit_rows    rows of a unit of work; 0 draws no masks
// header       on the device; `host_header` and `host_records` get a copy
// records      (images * limit)
extern "C" __global__ void lay_out(const Candidate* kept, const int* kept_count, int images, int limit,
                                   int* state, int width, int height, int unit_rows, int* first,
                                   Header* header, Record* records, Header* host_header, Record* host_records)
{
    int count = 0;
    for (int begin = 0; begin < images; begin += blockDim.x) {
        int image = begin + threadIdx.x, total;
        int place = scan(image < images ? kept_count[image] : 0, total);
        if (image < images) first[image] = count + place;
        count += total;
    }
    __syncthreads();
    for (int image = threadIdx.x / 32; image < images; image += blockDim.x / 32)  // a warp per image
        for (int i = threadIdx.x % 32; i < kept_count[image]; i += 32)
            records[first[image] + i] = record_of(kept[(size_t)image * limit + i], width, height);
    __syncthreads();

    int units = 0;
    long long words = 0;
    for (int begin = 0; begin < count; begin += blockDim.x) {
        int index = begin + threadIdx.x, my_units = 0, all_units;
        long long my_words = 0, all_words;
        if (index < count && unit_rows) {
            int columns = max(records[index].right - records[index].left, 0);
            int rows = max(records[index].bottom - records[index].top, 0);
            my_words = (long long)words_per_row(records[index]) * rows;
            my_units = columns ? (rows + unit_rows - 1) / unit_rows : 0;
        }
        int unit = units + scan(my_units, all_units);
        long long word = words + scan(my_words, all_words);
        if (index < count) {
            records[index].unit = unit;
            records[index].word = word;
            host_records[index] = records[index];
        }
        units += all_units;
        words += all_words;
    }
    if (threadIdx.x == 0) {
        Header result = {count, units, state[images], 0, words};
        *header = result;
        *host_header = result;
    }
    __syncthreads();
    for (int i = threadIdx.x; i <= images; i += blockDim.x) state[i] = 0;
}

// The last record whose work begins at or before `unit`.
__device__ int owner(const Record* records, int count, int unit)
{
    int low = 0, high = count - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (records[middle].unit <= unit) low = middle;
        else high = middle - 1;
    }
    return low;
}

// One column of pixels, interpolated along three lines of a window: those that a row of pixels is made of.
struct Lines {
    const float* window;
    int wide, tall;
    Taps taps;
    int left;  // the first of the window's columns that the pixels are made of
    int first;
    float sums[3];

    __device__ float sum(int line) const
    {
        const float* at = window + min(line, tall - 1) * wide;
        float sum = 0;
#pragma unroll
        for (int b = 0; b < 3; ++b) sum = fmaf(taps.weights[b], at[min(left + b, wide - 1)], sum);
        return sum;
    }

    // Go to the lines from `line` on. Enlarged, the next row of pixels is made of the same, or of one further.
    __device__ void go_to(int line, bool anew)
    {
        if (!anew && line == first) return;
        bool next = !anew && line == first + 1;
        sums[0] = next ? sums[1] : sum(line);
        sums[1] = next ? sums[2] : sum(line + 1);
        sums[2] = sum(line + 2);
        first = line;
    }
};

// Draw masks: sum of coefficient * prototype, enlarged to the frame, above zero.
//
// Blocks take units in turn: bands of unit_rows rows of one mask, whose words lie side by side. Shared
// memory holds the window of the prototypes' weighted sum that a band is interpolated from, and behind it the
// band's words, so that they leave for the host side by side.
//
// head             coefficient k of row or anchor s of an image is at
//                  [image * head_size + coefficient_begin + k * coefficient_step + s * source_step]
// prototypes       (images, coefficients, proto_height, proto_width)
// taps_x, taps_y   (width), (height) of the image's frame
// bits             `capacity` words on the device; bit j of a word is the j-th pixel of its 32
// host_place       where on the host a copy goes; another place for each frame
extern "C" __global__ void draw_masks(const Header* header, const Record* records, const Head* head,
                                      int head_size, int coefficient_begin, int coefficient_step,
                                      int source_step, int coefficients, const Prototype* prototypes,
                                      int proto_width, int proto_height, const Taps* taps_x,
                                      const Taps* taps_y, int unit_rows, unsigned* bits,
                                      unsigned* const* host_place, int capacity, Header* host_header)
{
    extern __shared__ float window[];
    __shared__ float weights[MOST_COEFFICIENTS];
    __shared__ Record shared_record;
    unsigned* host_bits = *host_place;
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;

    for (int unit = blockIdx.x; unit < header->units; unit += gridDim.x) {
        if (threadIdx.x == 0) shared_record = records[owner(records, header->records, unit)];
        __syncthreads();
        const Record r = shared_record;
        int y0 = r.top + (unit - r.unit) * unit_rows, y1 = min(y0 + unit_rows, r.bottom);
        int words = words_per_row(r), begin_x = r.left / BYTE * BYTE;
        bool room = r.word + (long long)words * (r.bottom - r.top) <= capacity;  // else the header tells the host
        if (room) {
            const Head* source = head + (size_t)r.image * head_size + coefficient_begin + (size_t)r.source * source_step;
            for (int k = threadIdx.x; k < coefficients; k += blockDim.x)
                weights[k] = number(source[(size_t)k * coefficient_step]);
        }
        __syncthreads();
        if (!room) continue;

        int left = taps_x[r.left].first, right = min(taps_x[r.right - 1].first + 3, proto_width);
        int top = taps_y[y0].first, bottom = min(taps_y[y1 - 1].first + 3, proto_height);
        int wide = right - left, tall = bottom - top;
        size_t plane = (size_t)proto_width * proto_height;
        const Prototype* corner = prototypes + (size_t)r.image * coefficients * plane + (size_t)top * proto_width + left;
        bool broken = false;
        for (int i = threadIdx.x; i < wide * tall; i += blockDim.x) {
            const Prototype* at = corner + (size_t)(i / wide) * proto_width + i % wide;
            float sum = 0;
#pragma unroll 8
            for (int k = 0; k < coefficients; ++k) sum = fmaf(weights[k], number(at[k * plane]), sum);
            window[i] = sum;
            broken |= !(fabsf(sum) <= 3.402823466e38f);
        }
        if (broken) host_header->broken = 1;
        __syncthreads();

        float* band = window + wide * tall;
        int rows = y1 - y0, parts = (rows + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE;
        for (int task = warp; task < words * parts; task += warps) {
            int column = task % words, first_row = task / words * ROWS_AT_ONCE;
            int end_row = min(first_row + ROWS_AT_ONCE, rows), x = begin_x + column * WORD + lane;
            Taps h = taps_x[min(max(x, r.left), r.right - 1)];
            Lines lines = {window, wide, tall, h, h.first - left};
            for (int row = first_row; row < end_row; ++row) {
                Taps v = taps_y[y0 + row];
                lines.go_to(v.first - top, row == first_row);
                float logit = 0;
#pragma unroll
                for (int a = 0; a < 3; ++a) logit = fmaf(v.weights[a], lines.sums[a], logit);
                unsigned word = __ballot_sync(~0u, x >= r.left && x < r.right && logit > 0);
                if (lane == 0) band[row * words + column] = __uint_as_float(word);
            }
        }
        __syncthreads();
        size_t target = r.word + (size_t)(y0 - r.top) * words;
        for (int i = threadIdx.x; i < words * rows; i += blockDim.x) {
            unsigned word = __float_as_uint(band[i]);
            bits[target + i] = word;
            host_bits[target + i] = word;
        }
        __syncthreads();
    }
}
