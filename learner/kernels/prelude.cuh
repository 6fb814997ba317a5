// What every kernel file is compiled after: number formats, reductions. Include-free, so that nvcc, nvrtc and,
// behind shim.h, a C++ compiler read the same text.
//
// Conventions. All sizes are u32, products of sizes u64. Sums are taken in a fixed order, there is no atomic, so
// the same launch gives the same bits. A block is a multiple of 32 threads. Shared memory is dynamic; each file
// says how many floats a launch needs. Kernels named _f32 and _bf16 differ in how activations and weights are
// stored; all arithmetic, all statistics and all gradients of parameters are f32.

#ifndef SHARED
#define SHARED extern __shared__ float shared[]
#endif
// The shim enters a kernel into its table here.
#ifndef ENTRY
#define ENTRY(name)
#endif

typedef unsigned int u32;
typedef unsigned long long u64;

// The upper half of an f32.
struct bf16 {
    unsigned short bits;
};

__device__ inline float load(const float* at) {
    return *at;
}

__device__ inline float load(const bf16* at) {
    return __uint_as_float((u32)at->bits << 16);
}

__device__ inline void store(float* at, float value) {
    *at = value;
}

// Rounds to nearest, ties to even; NaN stays NaN.
__device__ inline void store(bf16* at, float value) {
    u32 bits = __float_as_uint(value);
    u32 rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    at->bits = (unsigned short)(value == value ? rounded : (bits >> 16) | 0x40);
}

// The entry points NAME_f32 and NAME_bf16 of the template NAME; T is the stored type in PARAMETERS.
#define BOTH(NAME, PARAMETERS, ARGUMENTS)                                                                     \
    namespace of_f32 {                                                                                        \
    typedef float T;                                                                                          \
    extern "C" __global__ void NAME##_f32 PARAMETERS {                                                        \
        NAME ARGUMENTS;                                                                                       \
    }                                                                                                         \
    ENTRY(NAME##_f32)                                                                                         \
    }                                                                                                         \
    namespace of_bf16 {                                                                                       \
    typedef bf16 T;                                                                                           \
    extern "C" __global__ void NAME##_bf16 PARAMETERS {                                                       \
        NAME ARGUMENTS;                                                                                       \
    }                                                                                                         \
    ENTRY(NAME##_bf16)                                                                                        \
    }

#define EVERY_LANE 0xffffffffu
#define MINUS_INFINITY __uint_as_float(0xff800000u)

// Sum over groups of `lanes` neighbouring threads, a power of two up to 32; all of them get it.
template <class N>
__device__ inline N lanes_sum(N value, u32 lanes) {
    for (u32 step = lanes / 2; step > 0; step /= 2) value += __shfl_xor_sync(EVERY_LANE, value, step);
    return value;
}

__device__ inline float lanes_max(float value, u32 lanes) {
    for (u32 step = lanes / 2; step > 0; step /= 2) {
        value = fmaxf(value, __shfl_xor_sync(EVERY_LANE, value, step));
    }
    return value;
}

// Sum over the block; all threads get it. `slots`: shared memory, one number per warp.
template <class N>
__device__ inline N block_sum(N value, N* slots) {
    value = lanes_sum(value, 32);
    // The slots may still be read for the sum before this one.
    __syncthreads();
    if (threadIdx.x % 32 == 0) slots[threadIdx.x / 32] = value;
    __syncthreads();
    N total = 0;
    for (u32 warp = 0; warp < blockDim.x / 32; warp++) total += slots[warp];
    return total;
}

__device__ inline float block_max(float value, float* slots) {
    value = lanes_max(value, 32);
    __syncthreads();
    if (threadIdx.x % 32 == 0) slots[threadIdx.x / 32] = value;
    __syncthreads();
    float top = slots[0];
    for (u32 warp = 1; warp < blockDim.x / 32; warp++) top = fmaxf(top, slots[warp]);
    return top;
}
