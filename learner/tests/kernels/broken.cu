// Kernels that are wrong, each in the way its name says: what the shim must notice. Part of no module.

extern "C" __global__ void broken_index(float* x) {
    x[threadIdx.x + 1] = 0;
}
ENTRY(broken_index)

extern "C" __global__ void broken_shared_index(float* x) {
    SHARED;
    x[threadIdx.x] = shared[threadIdx.x + 1];
}
ENTRY(broken_shared_index)

extern "C" __global__ void broken_barrier(float* x) {
    if (threadIdx.x == 0) return;
    __syncthreads();
    x[threadIdx.x] = 1;
}
ENTRY(broken_barrier)

// Between writing and reading a barrier is missing.
extern "C" __global__ void broken_race(float* x) {
    SHARED;
    shared[threadIdx.x] = (float)threadIdx.x;
    x[threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}
ENTRY(broken_race)
