// a = silu(gate) * up, number by number.
//
// Block 256, any grid: a thread takes every (grid x block)th number. No shared memory.

// For any x: where exp(-x) overflows, 1 / infinity is the right 0.
__device__ inline float sigmoid(float x) {
    return 1 / (1 + expf(-x));
}

template <class T>
__device__ void swiglu_forward(const T* gate, const T* up, T* out, u32 count) {
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (u64)gridDim.x * blockDim.x) {
        float g = load(gate + i);
        store(out + i, g * sigmoid(g) * load(up + i));
    }
}
BOTH(swiglu_forward, (const T* gate, const T* up, T* out, u32 count), (gate, up, out, count))

template <class T>
__device__ void swiglu_backward(
    const T* da, const T* gate, const T* up, T* d_gate, T* d_up, u32 count
) {
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (u64)gridDim.x * blockDim.x) {
        float g = load(gate + i), d = load(da + i), s = sigmoid(g);
        store(d_gate + i, d * load(up + i) * s * (1 + g * (1 - s)));
        store(d_up + i, d * g * s);
    }
}
BOTH(
    swiglu_backward,
    (const T* da, const T* gate, const T* up, T* d_gate, T* d_up, u32 count),
    (da, gate, up, d_gate, d_up, count)
)
