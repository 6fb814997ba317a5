// Rows of a table by index, and the way back. Also gathers and scatters rows of states.
//
// embedding_forward: grid rows, block 128. embedding_backward: grid distinct tokens, block 128. No shared memory.

template <class T>
__device__ void embedding_forward(const T* table, const u32* tokens, T* out, u32 width) {
    const T* from = table + (u64)tokens[blockIdx.x] * width;
    T* to = out + (u64)blockIdx.x * width;
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) to[i] = from[i];
}
BOTH(embedding_forward, (const T* table, const u32* tokens, T* out, u32 width), (table, tokens, out, width))

// Adds rows of dx to the gradient. Block b serves token distinct[b], whose rows are
// order[starts[b] .. starts[b + 1]], so a token that repeats is summed in order, by one block, without atomics.
template <class T>
__device__ void embedding_backward(
    const T* dx, const u32* distinct, const u32* starts, const u32* order, float* d_table, u32 width
) {
    float* to = d_table + (u64)distinct[blockIdx.x] * width;
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) {
        float sum = 0;
        for (u32 at = starts[blockIdx.x]; at < starts[blockIdx.x + 1]; at++) {
            sum += load(dx + (u64)order[at] * width + i);
        }
        to[i] += sum;
    }
}
BOTH(
    embedding_backward,
    (const T* dx, const u32* distinct, const u32* starts, const u32* order, float* d_table, u32 width),
    (dx, distinct, starts, order, d_table, width)
)
