// Rotary positions, in place: in each head, numbers i and i + half turn by the row's angle i; sign -1 turns back,
// which is the gradient's way.
//
// Grid rows, block 128, no shared memory. cosine and sine hold `half` angles per position.

template <class T>
__device__ void rope(
    T* x, const u32* positions, const float* cosine, const float* sine, float sign, u32 heads, u32 half
) {
    T* row = x + (u64)blockIdx.x * heads * 2 * half;
    u64 angles = (u64)positions[blockIdx.x] * half;
    for (u32 pair = threadIdx.x; pair < heads * half; pair += blockDim.x) {
        u32 i = pair % half;
        T* first = row + (pair / half) * 2 * half + i;
        T* second = first + half;
        float c = cosine[angles + i], s = sign * sine[angles + i];
        float a = load(first), b = load(second);
        store(first, a * c - b * s);
        store(second, b * c + a * s);
    }
}
BOTH(
    rope,
    (T* x, const u32* positions, const float* cosine, const float* sine, float sign, u32 heads, u32 half),
    (x, positions, cosine, sine, sign, heads, half)
)
