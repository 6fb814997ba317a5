// Sampling's attention: one new query row per rollout against a paged cache of keys and values.
//
// A pool is slots of kv_width numbers; a page is `page` slots on end, and row r's position p lies in slot
// pages[r * most_pages + p / page] * page + p % page. Rollouts of one prompt name the same pages.
//
// cache_write: grid rows, block 128, no shared memory. attention_decode: grid (rows, heads), block 128, shared
// 4 (dim + 2) floats; dim is at most 128.

// Puts row r of k (or v) into slot slots[r] of the pool.
template <class T>
__device__ void cache_write(const T* rows, const u32* slots, T* pool, u32 width) {
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) {
        pool[(u64)slots[blockIdx.x] * width + i] = rows[(u64)blockIdx.x * width + i];
    }
}
BOTH(cache_write, (const T* rows, const u32* slots, T* pool, u32 width), (rows, slots, pool, width))

// Each warp walks over every 4th position with a running maximum; the four are joined at the end.
template <class T>
__device__ void attention_decode(
    const T* q, const T* keys, const T* values, const u32* pages, const u32* lengths, T* out, u32 heads, u32 group,
    u32 dim, u32 page, u32 most_pages, float scale
) {
    SHARED;
    const u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
    const u32 kv_width = heads / group * dim, column = blockIdx.y / group * dim;
    const T* query = q + ((u64)blockIdx.x * heads + blockIdx.y) * dim;
    float own[4] = {}, top = MINUS_INFINITY, total = 0;
    for (u32 at = warp; at < lengths[blockIdx.x]; at += warps) {
        u64 slot = (u64)pages[blockIdx.x * most_pages + at / page] * page + at % page;
        float score = 0;
        for (u32 d = lane; d < dim; d += 32) {
            score += load(query + d) * load(keys + slot * kv_width + column + d);
        }
        score = scale * lanes_sum(score, 32);
        float new_top = fmaxf(top, score), factor = expf(top - new_top), p = expf(score - new_top);
        top = new_top;
        total = total * factor + p;
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            u32 d = lane + 32 * i;
            if (d < dim) own[i] = own[i] * factor + p * load(values + slot * kv_width + column + d);
        }
    }
    float *tops = shared, *totals = tops + warps, *sums = totals + warps;
    if (lane == 0) tops[warp] = top, totals[warp] = total;
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        if (lane + 32 * i < dim) sums[warp * dim + lane + 32 * i] = own[i];
    }
    __syncthreads();
    float all = MINUS_INFINITY, weight = 0;
    for (u32 w = 0; w < warps; w++) all = fmaxf(all, tops[w]);
    // A warp without a position has total 0 and top minus infinity: e^(that - all) is 0.
    for (u32 w = 0; w < warps; w++) weight += totals[w] * expf(tops[w] - all);
    for (u32 d = threadIdx.x; d < dim; d += blockDim.x) {
        float sum = 0;
        for (u32 w = 0; w < warps; w++) sum += sums[w * dim + d] * expf(tops[w] - all);
        store(out + ((u64)blockIdx.x * heads + blockIdx.y) * dim + d, sum / weight);
    }
}
BOTH(
    attention_decode,
    (const T* q, const T* keys, const T* values, const u32* pages, const u32* lengths, T* out, u32 heads, u32 group,
     u32 dim, u32 page, u32 most_pages, float scale),
    (q, keys, values, pages, lengths, out, heads, group, dim, page, most_pages, scale)
)
