// What stands beside the matrix product of a linear layer; the product itself is cuBLAS's.
//
// bias_add: grid rows, block 128. add: block 256, any grid. column_sum: grid (width / 128, rows / 64) rounded up,
// block 128, one row of partial sums per 64 rows. sum_partials: grid width / 128 rounded up, block 128.
// No shared memory.

template <class T>
__device__ void bias_add(T* y, const T* bias, u32 width) {
    T* row = y + (u64)blockIdx.x * width;
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) store(row + i, load(row + i) + load(bias + i));
}
BOTH(bias_add, (T* y, const T* bias, u32 width), (y, bias, width))

// y += x: the residual stream, and the sum of gradients.
template <class T>
__device__ void add(T* y, const T* x, u32 count) {
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (u64)gridDim.x * blockDim.x) {
        store(y + i, load(y + i) + load(x + i));
    }
}
BOTH(add, (T* y, const T* x, u32 count), (y, x, count))

template <class T>
__device__ void column_sum(const T* x, float* partial, u32 rows, u32 width) {
    u32 column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= width) return;
    float sum = 0;
    for (u32 row = blockIdx.y * 64; row < rows && row < (blockIdx.y + 1) * 64; row++) {
        sum += load(x + (u64)row * width + column);
    }
    partial[(u64)blockIdx.y * width + column] = sum;
}
BOTH(column_sum, (const T* x, float* partial, u32 rows, u32 width), (x, partial, rows, width))

// Adds the partial sums to a parameter's gradient.
extern "C" __global__ void sum_partials(const float* partial, float* into, u32 parts, u32 width) {
    u32 column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= width) return;
    float sum = 0;
    for (u32 part = 0; part < parts; part++) sum += partial[(u64)part * width + column];
    into[column] += sum;
}
ENTRY(sum_partials)
