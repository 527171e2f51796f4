// Just enough CUDA to run the kernels on a CPU. The threads of a block are fibers that take turns and
// change over at barriers; blocks run one after another.

#undef _FORTIFY_SOURCE  // its longjmp refuses to change to another stack
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(threads)

struct uint3 { unsigned x, y, z; };
struct int2 { int x, y; };
struct uint4 { unsigned x, y, z, w; };

static uint3 threadIdx, blockIdx, blockDim, gridDim;
alignas(16) static float window[1 << 16];  // dynamic shared memory

using std::max;
using std::min;

struct Fiber {
    ucontext_t context;  // where it begins
    jmp_buf place;       // where it goes on
    std::vector<char> stack;
    bool begun, done;
};

struct Barrier {
    int alive = 0, arrived = 0, passed = 0;
};

static jmp_buf scheduler;
static std::vector<Fiber> fibers;
static Barrier of_block;
static std::vector<Barrier> of_warps;
static std::vector<long long> exchanged;

// swapcontext would ask the kernel for the mask of signals each time, which takes longer than all the rest.
inline void resume(Fiber& fiber)
{
    if (_setjmp(scheduler)) return;
    if (fiber.begun) _longjmp(fiber.place, 1);
    fiber.begun = true;
    setcontext(&fiber.context);
}

inline void pause(Fiber& fiber)
{
    if (!_setjmp(fiber.place)) _longjmp(scheduler, 1);
}

inline void release_if_full(Barrier& barrier)
{
    if (barrier.arrived == barrier.alive) {
        barrier.arrived = 0;
        ++barrier.passed;
    }
}

inline void wait_at(Barrier& barrier)
{
    int passed = barrier.passed;
    unsigned me = threadIdx.x;
    ++barrier.arrived;
    release_if_full(barrier);
    while (barrier.passed == passed) pause(fibers[me]);
}

inline void leave(Barrier& barrier)  // a thread that has returned holds up nobody
{
    if (--barrier.alive) release_if_full(barrier);
}

inline void __syncthreads() { wait_at(of_block); }

inline int __syncthreads_count(bool vote)
{
    static int sum;
    sum += vote;
    wait_at(of_block);
    int all = sum;
    wait_at(of_block);
    sum = 0;
    wait_at(of_block);
    return all;
}

inline bool __syncthreads_or(bool vote) { return __syncthreads_count(vote) > 0; }

template <class T> T warp_read(T mine, int lane)
{
    unsigned warp = threadIdx.x / 32;
    std::memcpy(&exchanged[threadIdx.x], &mine, sizeof mine);
    wait_at(of_warps[warp]);
    T theirs;
    std::memcpy(&theirs, &exchanged[warp * 32 + lane], sizeof theirs);
    wait_at(of_warps[warp]);
    return theirs;
}

template <class T> T __shfl_xor_sync(unsigned, T mine, int mask) { return warp_read(mine, threadIdx.x % 32 ^ mask); }

template <class T> T __shfl_up_sync(unsigned, T mine, int by)
{
    int lane = threadIdx.x % 32;
    return warp_read(mine, lane >= by ? lane - by : lane);
}

inline unsigned __ballot_sync(unsigned, bool vote)
{
    unsigned first = threadIdx.x / 32 * 32, votes = 0;
    exchanged[threadIdx.x] = vote;
    wait_at(of_warps[first / 32]);
    for (int lane = 0; lane < 32; ++lane) votes |= (unsigned)exchanged[first + lane] << lane;
    wait_at(of_warps[first / 32]);
    return votes;
}

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int atomicAdd(int* at, int by)
{
    *at += by;
    return *at - by;
}
template <class T> T __ldg(const T* at) { return *at; }
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned by)
{
    return (unsigned)(((unsigned long long)high << 32 | low) >> (by & 31));
}
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline int __float2int_rn(float x) { return (int)std::rint(x); }
inline float __uint_as_float(unsigned x) { float y; std::memcpy(&y, &x, 4); return y; }
inline unsigned __float_as_uint(float x) { unsigned y; std::memcpy(&y, &x, 4); return y; }

static const std::function<void()>* running;

inline void fiber_main()
{
    unsigned me = threadIdx.x;
    (*running)();
    fibers[me].done = true;
    threadIdx = {me, 0, 0};
    leave(of_warps[me / 32]);
    leave(of_block);
    pause(fibers[me]);
}

inline void run(unsigned x, unsigned y, unsigned threads, const std::function<void()>& kernel)
{
    gridDim = {x, y, 1};
    blockDim = {threads, 1, 1};
    running = &kernel;
    fibers.resize(threads);
    exchanged.assign((threads + 31) / 32 * 32, 0);
    for (unsigned block = 0; block < x * y; ++block) {
        blockIdx = {block % x, block / x, 0};
        of_block = Barrier{(int)threads};
        of_warps.assign((threads + 31) / 32, Barrier{});
        for (unsigned t = 0; t < threads; ++t) {
            ++of_warps[t / 32].alive;
            Fiber& fiber = fibers[t];
            fiber.stack.resize(32768);
            fiber.begun = fiber.done = false;
            getcontext(&fiber.context);
            fiber.context.uc_stack.ss_sp = fiber.stack.data();
            fiber.context.uc_stack.ss_size = fiber.stack.size();
            fiber.context.uc_link = nullptr;
            makecontext(&fiber.context, fiber_main, 0);
        }
        for (bool left = true; left;) {
            left = false;
            for (unsigned t = 0; t < threads; ++t)
                if (!fibers[t].done) {
                    threadIdx = {t, 0, 0};
                    resume(fibers[t]);
                    left = true;
                }
        }
    }
}
