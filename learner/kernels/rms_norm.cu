// y = w x / sqrt(mean(x^2) + eps), row by row.
//
// rms_norm_forward, rms_norm_backward: grid rows, block 256, shared 8 floats.
// rms_norm_backward_weight: grid (width / 128, rows / 64) rounded up, block 128; its partial sums, one row per 64
// rows, go to sum_partials in linear.cu.

template <class T>
__device__ void rms_norm_forward(const T* x, const T* weight, T* out, float* inverse, float eps, u32 width) {
    SHARED;
    const T* row = x + (u64)blockIdx.x * width;
    float squares = 0;
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) squares += load(row + i) * load(row + i);
    float scale = 1 / sqrtf(block_sum(squares, shared) / width + eps);
    if (threadIdx.x == 0) inverse[blockIdx.x] = scale;
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) {
        store(out + (u64)blockIdx.x * width + i, load(row + i) * scale * load(weight + i));
    }
}
BOTH(
    rms_norm_forward,
    (const T* x, const T* weight, T* out, float* inverse, float eps, u32 width),
    (x, weight, out, inverse, eps, width)
)

// dx += dLoss/dx; dx holds what reaches x past the norm.
template <class T>
__device__ void rms_norm_backward(
    const T* dy, const T* x, const float* inverse, const T* weight, T* dx, u32 width
) {
    SHARED;
    u64 at = (u64)blockIdx.x * width;
    float along = 0;
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) {
        along += load(dy + at + i) * load(weight + i) * load(x + at + i);
    }
    float scale = inverse[blockIdx.x];
    along = block_sum(along, shared) * scale * scale * scale / width;
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) {
        float own = scale * load(weight + i) * load(dy + at + i) - along * load(x + at + i);
        store(dx + at + i, load(dx + at + i) + own);
    }
}
BOTH(
    rms_norm_backward,
    (const T* dy, const T* x, const float* inverse, const T* weight, T* dx, u32 width),
    (dy, x, inverse, weight, dx, width)
)

template <class T>
__device__ void rms_norm_backward_weight(
    const T* dy, const T* x, const float* inverse, float* partial, u32 rows, u32 width
) {
    u32 column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= width) return;
    float sum = 0;
    for (u32 row = blockIdx.y * 64; row < rows && row < (blockIdx.y + 1) * 64; row++) {
        u64 at = (u64)row * width + column;
        sum += load(dy + at) * load(x + at) * inverse[row];
    }
    partial[(u64)blockIdx.y * width + column] = sum;
}
BOTH(
    rms_norm_backward_weight,
    (const T* dy, const T* x, const float* inverse, float* partial, u32 rows, u32 width),
    (dy, x, inverse, partial, rows, width)
)
