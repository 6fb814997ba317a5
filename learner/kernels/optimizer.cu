// AdamW in place, and the norm of all gradients.
//
// adamw_*: block 256, any grid. sum_of_squares: grid 64, block 256, shared 16 floats; total: grid 1, block 256,
// shared 16 floats. scale: block 256, any grid.

// m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  w = keep w - rate m / (sqrt(v) root + eps), with keep =
// 1 - lr decay, rate = lr / (1 - b1^t), root = 1 / sqrt(1 - b2^t). `clip` scales the gradient first.
struct AdamRule {
    float beta1, rest1, beta2, rest2, keep, rate, root, eps, clip;
};

__device__ inline float adam(AdamRule r, float w, float g, float* m, float* v) {
    g *= r.clip;
    *m = r.beta1 * *m + r.rest1 * g;
    *v = r.beta2 * *v + r.rest2 * g * g;
    return r.keep * w - r.rate * *m / (sqrtf(*v) * r.root + r.eps);
}

extern "C" __global__ void adamw_f32(
    float* value, const float* gradient, float* first, float* second, float beta1, float rest1, float beta2,
    float rest2, float keep, float rate, float root, float eps, float clip, u32 count
) {
    AdamRule rule = {beta1, rest1, beta2, rest2, keep, rate, root, eps, clip};
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (u64)gridDim.x * blockDim.x) {
        value[i] = adam(rule, value[i], gradient[i], first + i, second + i);
    }
}
ENTRY(adamw_f32)

// The model's weights are bf16; what is updated is their f32 master, so that a step below a bf16's last bit is
// not lost.
extern "C" __global__ void adamw_bf16(
    bf16* value, float* master, const float* gradient, float* first, float* second, float beta1, float rest1,
    float beta2, float rest2, float keep, float rate, float root, float eps, float clip, u32 count
) {
    AdamRule rule = {beta1, rest1, beta2, rest2, keep, rate, root, eps, clip};
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (u64)gridDim.x * blockDim.x) {
        master[i] = adam(rule, master[i], gradient[i], first + i, second + i);
        store(value + i, master[i]);
    }
}
ENTRY(adamw_bf16)

// Not in the kernels themselves: extern "C" would make another variable of it.
__device__ inline double* slots() {
    SHARED;
    return (double*)shared;
}

// partial[block] = the block's share of sum(x^2), in f64: 7 billion squares.
extern "C" __global__ void sum_of_squares(const float* x, double* partial, u32 count) {
    double sum = 0;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (u64)gridDim.x * blockDim.x) {
        sum += (double)x[i] * x[i];
    }
    sum = block_sum(sum, slots());
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}
ENTRY(sum_of_squares)

// out[0] += the sum of the partial sums.
extern "C" __global__ void total(const double* partial, double* out, u32 count) {
    double sum = 0;
    for (u32 i = threadIdx.x; i < count; i += blockDim.x) sum += partial[i];
    sum = block_sum(sum, slots());
    if (threadIdx.x == 0) out[0] += sum;
}
ENTRY(total)

extern "C" __global__ void scale(float* x, float factor, u32 count) {
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (u64)gridDim.x * blockDim.x) {
        x[i] *= factor;
    }
}
ENTRY(scale)
