// What of a frame has changed since each tile was looked at; see pipeline/motion.py, which does the same on the host.
//
// A cell is CELL x CELL pixels. In this order for each frame: `thumbnail` and `watch`, whose counts the host waits for;
// `remember`, for the tiles that are looked at; and behind everything else `learn` and `peaks`.

const int MOST_SAMPLES = 512;  // threads of a block of `watch`
const int WARP = 32;

// Brightness of the cells, from those rows that have arrived, and its median over the last three frames.
//
// frame    (height, width, 3) uint8 BGR
// every, first, count   rows y with first <= y % every < first + count are there; of each cell some are
// last     (2, rows, columns) the brightness of the frame before, and of the one before that
// still    (rows, columns) the median; before: what it was in the frame before
// noise    (rows, columns) how much each cell varies; limit: the largest around it, times `times_noise`
// frames   how many frames there have been
// grid     x covers rows * columns threads
extern "C" __global__ void thumbnail(const unsigned char* frame, int width, int height, int every, int first, int count,
                                     int columns, int rows, float* last, float* still, float* before,
                                     const float* noise, float times_noise, float* limit, const int* frames)
{
    int index = blockIdx.x * blockDim.x + threadIdx.x, cells = columns * rows;
    if (index >= cells) return;
    int column = index % columns, row = index / columns;
    int x0 = (int)((long long)column * width / columns), x1 = (int)((long long)(column + 1) * width / columns);
    int y0 = (int)((long long)row * height / rows), y1 = (int)((long long)(row + 1) * height / rows);
    int blue = 0, green = 0, red = 0, lines = 0;
    for (int y = y0; y < y1; ++y) {
        int place = y % every;
        if (place < first || place >= first + count) continue;
        ++lines;
        const unsigned char* pixel = frame + ((size_t)y * width + x0) * 3;
        for (int x = x0; x < x1; ++x, pixel += 3) {
            blue += pixel[0];
            green += pixel[1];
            red += pixel[2];
        }
    }
    int pixels = lines * (x1 - x0);
    float now = last[index];  // a cell of which no row is there: as before
    if (pixels) now = (0.114f * blue + 0.587f * green + 0.299f * red) / pixels;
    float a = last[index], b = last[cells + index], median = now;
    if (*frames >= 2) median = fmaxf(fminf(a, b), fminf(fmaxf(a, b), now));
    before[index] = *frames ? still[index] : median;
    still[index] = median;
    last[cells + index] = a;
    last[index] = now;
    float most = 0;
    for (int v = max(row - 1, 0); v <= min(row + 1, rows - 1); ++v)
        for (int u = max(column - 1, 0); u <= min(column + 1, columns - 1); ++u)
            most = fmaxf(most, noise[(size_t)v * columns + u]);
    limit[index] = most * times_noise;
}

// Median of now / then over every `step`-th cell along both sides; all threads of the block take part.
__device__ float light(const float* now, int now_pitch, const float* then, int then_pitch, int columns, int rows,
                       int step, float* ratios, float* middle)
{
    int across = (columns + step - 1) / step, samples = across * ((rows + step - 1) / step), me = threadIdx.x;
    const float LIGHT = 4.0f;
    if (me < samples) {
        int x = me % across * step, y = me / across * step;
        ratios[me] = (now[(size_t)y * now_pitch + x] + LIGHT) / (then[(size_t)y * then_pitch + x] + LIGHT);
    }
    __syncthreads();
    if (me < samples) {
        float mine = ratios[me];
        int rank = 0;
        for (int k = 0; k < samples; ++k) rank += ratios[k] < mine || (ratios[k] == mine && k < me);
        if (rank == (samples - 1) / 2) middle[0] = mine;
        if (rank == samples / 2) middle[1] = mine;
    }
    __syncthreads();
    float median = (middle[0] + middle[1]) * 0.5f;
    __syncthreads();
    return median;
}

__device__ __forceinline__ float off_at(const float* now, int now_pitch, const float* then, int then_pitch, float gain,
                                        int x, int y)
{
    return now[(size_t)y * now_pitch + x] - then[(size_t)y * then_pitch + x] * gain;
}

// Averaged over 2 x 2 cells; the picture goes on as its mirror image.
__device__ float blurred(const float* now, int now_pitch, const float* then, int then_pitch, float gain, int columns,
                         int rows, int x, int y)
{
    int left = x ? x - 1 : min(1, columns - 1), up = y ? y - 1 : min(1, rows - 1);
    return (off_at(now, now_pitch, then, then_pitch, gain, left, up) +
            off_at(now, now_pitch, then, then_pitch, gain, x, up) +
            off_at(now, now_pitch, then, then_pitch, gain, left, y) +
            off_at(now, now_pitch, then, then_pitch, gain, x, y)) * 0.25f;
}

// Count what has changed in each tile.
//
// limit    (rows, columns) by how much a cell has to differ, but for `least`, which the host writes for each frame
// seen     (tiles, pitch) what each tile looked like when it was looked at, row after row
// spans    (tiles, 5) first column, first row, columns, rows, and which cells tell the light: every so many
// step     which cells of the whole frame tell the light
// gain     how the light of the frame changed since the frame before; for `learn`
// signs    (tiles, 8) changed cells, blind cells, unused, sums of slopes
// grid     x the tiles; blocks of MOST_SAMPLES
extern "C" __global__ void __launch_bounds__(512) watch(const float* still, const float* before, const float* limit,
                                                        const float* seen, int pitch, const int* spans, int columns,
                                                        int rows, const float* least, float hides, int step,
                                                        float* gain, float* signs)
{
    __shared__ float ratios[MOST_SAMPLES];
    __shared__ float middle[2];
    __shared__ float parts[8][MOST_SAMPLES / WARP];
    const int* span = spans + blockIdx.x * 5;
    int left = span[0], top = span[1], wide = span[2], high = span[3];
    const float* mine = still + (size_t)top * columns + left;
    const float* bound = limit + (size_t)top * columns + left;
    const float* then = seen + (size_t)blockIdx.x * pitch;
    float lowest = *least, of_tile = light(mine, columns, then, wide, wide, high, span[4], ratios, middle);
    float half = 0.5f * of_tile;
    float sums[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    for (int k = threadIdx.x; k < wide * high; k += blockDim.x) {
        int x = k % wide, y = k / wide;
        float most = fmaxf(bound[(size_t)y * columns + x], lowest);
        sums[0] += fabsf(blurred(mine, columns, then, wide, of_tile, wide, high, x, y)) > most;
        sums[1] += most > hides;
        if (x == 0 || y == 0 || x == wide - 1 || y == high - 1) continue;
        float across = (then[k + 1] - then[k - 1]) * half, down = (then[k + wide] - then[k - wide]) * half;
        float off = off_at(mine, columns, then, wide, of_tile, x, y);
        sums[3] += across * across;
        sums[4] += across * down;
        sums[5] += down * down;
        sums[6] += across * off;
        sums[7] += down * off;
    }
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    for (int i = 0; i < 8; ++i) {
        float value = sums[i];
        for (int mask = WARP / 2; mask; mask /= 2) value += __shfl_xor_sync(0xffffffff, value, mask);
        if (lane == 0) parts[i][warp] = value;
    }
    __syncthreads();
    if (threadIdx.x < 8) {
        float value = 0;
        for (int w = 0; w < (int)blockDim.x / WARP; ++w) value += parts[threadIdx.x][w];
        signs[blockIdx.x * 8 + threadIdx.x] = value;
    }
    if (blockIdx.x) return;
    float of_frame = light(still, columns, before, columns, columns, rows, step, ratios, middle);
    if (threadIdx.x == 0) *gain = of_frame;
}

// Learn how much each cell varies by itself, and count the frame.
//
// steps    (rows, columns) by how much each cell changed since the frame before
// grid     x covers rows * columns threads
extern "C" __global__ void learn(const float* still, const float* before, float* noise, float* steps,
                                 const float* gain, int columns, int rows, float speed, int* frames)
{
    int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index == 0) *frames = min(*frames + 1, 2);
    if (index >= columns * rows) return;
    float step = fabsf(blurred(still, columns, before, columns, *gain, columns, rows, index % columns, index / columns));
    steps[index] = step;
    step = fminf(step, 3 * noise[index] + 1);
    noise[index] += speed * (step - noise[index]);
}

// Find the strongest change of each tile since the frame before.
//
// peaks    (tiles,)
// grid     x the tiles; blocks of MOST_SAMPLES
extern "C" __global__ void peaks(const float* steps, int columns, const int* spans, float* peak)
{
    __shared__ float parts[MOST_SAMPLES / WARP];
    const int* span = spans + blockIdx.x * 5;
    float most = 0;
    for (int k = threadIdx.x; k < span[2] * span[3]; k += blockDim.x)
        most = fmaxf(most, steps[(size_t)(span[1] + k / span[2]) * columns + span[0] + k % span[2]]);
    for (int mask = WARP / 2; mask; mask /= 2) most = fmaxf(most, __shfl_xor_sync(0xffffffff, most, mask));
    if (threadIdx.x % WARP == 0) parts[threadIdx.x / WARP] = most;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int w = 1; w < (int)blockDim.x / WARP; ++w) most = fmaxf(most, parts[w]);
        peak[blockIdx.x] = most;
    }
}

// Remember what tiles look like that are looked at now.
//
// tiles    which, one for each blockIdx.y
// grid     x threads share the cells of a tile
extern "C" __global__ void remember(const float* still, int columns, const int* spans, const int* tiles, int pitch,
                                    float* seen)
{
    int tile = tiles[blockIdx.y];
    const int* span = spans + tile * 5;
    int wide = span[2];
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < wide * span[3]; k += gridDim.x * blockDim.x)
        seen[(size_t)tile * pitch + k] = still[(size_t)(span[1] + k / wide) * columns + span[0] + k % wide];
}
