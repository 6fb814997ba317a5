// Causal attention within each sequence of a packed batch; `group` query heads share a key/value head.
//
// Theory of operation. A sequence is cut into tiles of 16 rows; tiles[3 b ..] is tile b's first row, its
// sequence's first row, and one past its sequence's last. A block of 256 threads holds one tile and walks over
// the others it meets; thread (row, column) computes one score of the 16 x 16, and of its row every 16th number
// of the results. Probabilities of a row stay in its half warp. The forward pass keeps a running maximum (scores
// are never all in memory); the backward pass computes probabilities again from log_sums, once for dq by query
// tile and once for dk and dv by key tile, so that no two blocks add to one number.
//
// attention_forward, attention_backward_query: grid (tiles, heads); attention_backward_key_value: grid (tiles,
// heads / group). Block 256. Shared floats: 3 (forward) or 4 tiles of 16 (dim + 1), and 2 of 16 x 17.
// attention_backward_along: grid (rows x heads / 8) rounded up, block 256, no shared memory. dim is at most 128.

#define TILE 16
// Numbers of a row that one thread holds: 128 / TILE.
#define OWN 8
#define P_STRIDE (TILE + 1)

// Rows first .. first + TILE of one head; zero from `end` on.
template <class T>
__device__ inline void load_tile(float* to, const T* from, u32 first, u32 end, u32 stride, u32 column, u32 dim) {
    for (u32 i = threadIdx.x; i < TILE * dim; i += blockDim.x) {
        u32 row = i / dim, d = i % dim;
        bool inside = first + row < end;
        to[row * (dim + 1) + d] = inside ? load(from + (u64)(first + row) * stride + column + d) : 0;
    }
}

__device__ inline float tile_dot(const float* a, const float* b, u32 dim) {
    float sum = 0;
    for (u32 d = 0; d < dim; d++) sum += a[d] * b[d];
    return sum;
}

// own[i] += sum over the tile of weights[c] * rows[c][column + 16 i].
__device__ inline void add_weighted(float* own, const float* weights, const float* rows, u32 column, u32 dim) {
#pragma unroll
    for (u32 i = 0; i < OWN; i++) {
        u32 d = column + TILE * i;
        if (d >= dim) continue;
        float sum = 0;
        for (u32 c = 0; c < TILE; c++) sum += weights[c] * rows[c * (dim + 1) + d];
        own[i] += sum;
    }
}

template <class T>
__device__ inline void store_own(T* to, const float* own, float factor, u32 column, u32 dim) {
#pragma unroll
    for (u32 i = 0; i < OWN; i++) {
        if (column + TILE * i < dim) store(to + column + TILE * i, own[i] * factor);
    }
}

template <class T>
__device__ void attention_forward(
    const T* q, const T* k, const T* v, const u32* tiles, T* out, float* log_sums, u32 heads, u32 group, u32 dim,
    float scale
) {
    SHARED;
    const u32 row = threadIdx.x / TILE, column = threadIdx.x % TILE;
    const u32 first = tiles[3 * blockIdx.x], start = tiles[3 * blockIdx.x + 1], end = tiles[3 * blockIdx.x + 2];
    const u32 head = blockIdx.y, q_width = heads * dim, kv_width = heads / group * dim;
    const u32 at = first + row, size = TILE * (dim + 1);
    float *qs = shared, *ks = qs + size, *vs = ks + size, *ps = vs + size;
    load_tile(qs, q, first, end, q_width, head * dim, dim);
    float top = MINUS_INFINITY, total = 0, own[OWN] = {};
    for (u32 key = start; key < first + TILE && key < end; key += TILE) {
        __syncthreads();
        load_tile(ks, k, key, end, kv_width, head / group * dim, dim);
        load_tile(vs, v, key, end, kv_width, head / group * dim, dim);
        __syncthreads();
        bool seen = key + column <= at && at < end;
        float score = seen ? scale * tile_dot(qs + row * (dim + 1), ks + column * (dim + 1), dim) : MINUS_INFINITY;
        float new_top = fmaxf(top, lanes_max(score, TILE));
        // A row of the tile past the sequence's end has seen nothing: minus infinity less itself is no number.
        float p = seen ? expf(score - new_top) : 0;
        float factor = new_top > top ? expf(top - new_top) : 1;
        top = new_top;
        total = total * factor + lanes_sum(p, TILE);
        ps[row * P_STRIDE + column] = p;
        __syncwarp();
#pragma unroll
        for (u32 i = 0; i < OWN; i++) own[i] *= factor;
        add_weighted(own, ps + row * P_STRIDE, vs, column, dim);
    }
    if (at >= end) return;
    store_own(out + (u64)at * q_width + head * dim, own, 1 / total, column, dim);
    if (column == 0) log_sums[(u64)at * heads + head] = top + logf(total);
}
BOTH(
    attention_forward,
    (const T* q, const T* k, const T* v, const u32* tiles, T* out, float* log_sums, u32 heads, u32 group, u32 dim,
     float scale),
    (q, k, v, tiles, out, log_sums, heads, group, dim, scale)
)

// along[row, head] = d_out . out: what softmax's gradient takes off every score's. One warp per row and head.
template <class T>
__device__ void attention_backward_along(const T* out, const T* d_out, float* along, u32 count, u32 dim) {
    u32 which = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    float sum = 0;
    if (which < count) {
        for (u32 d = threadIdx.x % 32; d < dim; d += 32) {
            sum += load(out + (u64)which * dim + d) * load(d_out + (u64)which * dim + d);
        }
    }
    sum = lanes_sum(sum, 32);
    if (which < count && threadIdx.x % 32 == 0) along[which] = sum;
}
BOTH(
    attention_backward_along,
    (const T* out, const T* d_out, float* along, u32 count, u32 dim),
    (out, d_out, along, count, dim)
)

template <class T>
__device__ void attention_backward_query(
    const T* q, const T* k, const T* v, const T* d_out, const float* log_sums, const float* along,
    const u32* tiles, T* dq, u32 heads, u32 group, u32 dim, float scale
) {
    SHARED;
    const u32 row = threadIdx.x / TILE, column = threadIdx.x % TILE;
    const u32 first = tiles[3 * blockIdx.x], start = tiles[3 * blockIdx.x + 1], end = tiles[3 * blockIdx.x + 2];
    const u32 head = blockIdx.y, q_width = heads * dim, kv_width = heads / group * dim;
    const u32 at = first + row, stride = dim + 1, size = TILE * stride;
    float *qs = shared, *dos = qs + size, *ks = dos + size, *vs = ks + size, *ds = vs + size;
    load_tile(qs, q, first, end, q_width, head * dim, dim);
    load_tile(dos, d_out, first, end, q_width, head * dim, dim);
    const float log_sum = at < end ? log_sums[(u64)at * heads + head] : 0;
    const float taken = at < end ? along[(u64)at * heads + head] : 0;
    float own[OWN] = {};
    for (u32 key = start; key < first + TILE && key < end; key += TILE) {
        __syncthreads();
        load_tile(ks, k, key, end, kv_width, head / group * dim, dim);
        load_tile(vs, v, key, end, kv_width, head / group * dim, dim);
        __syncthreads();
        float d_score = 0;
        if (key + column <= at && at < end) {
            float p = expf(scale * tile_dot(qs + row * stride, ks + column * stride, dim) - log_sum);
            d_score = p * (tile_dot(dos + row * stride, vs + column * stride, dim) - taken);
        }
        ds[row * P_STRIDE + column] = d_score;
        __syncwarp();
        add_weighted(own, ds + row * P_STRIDE, ks, column, dim);
    }
    if (at < end) store_own(dq + (u64)at * q_width + head * dim, own, scale, column, dim);
}
BOTH(
    attention_backward_query,
    (const T* q, const T* k, const T* v, const T* d_out, const float* log_sums, const float* along,
     const u32* tiles, T* dq, u32 heads, u32 group, u32 dim, float scale),
    (q, k, v, d_out, log_sums, along, tiles, dq, heads, group, dim, scale)
)

// Here a thread's row is a key and its column a query.
template <class T>
__device__ void attention_backward_key_value(
    const T* q, const T* k, const T* v, const T* d_out, const float* log_sums, const float* along,
    const u32* tiles, T* dk, T* dv, u32 heads, u32 group, u32 dim, float scale
) {
    SHARED;
    const u32 row = threadIdx.x / TILE, column = threadIdx.x % TILE;
    const u32 first = tiles[3 * blockIdx.x], end = tiles[3 * blockIdx.x + 2];
    const u32 kv_head = blockIdx.y, q_width = heads * dim, kv_width = heads / group * dim;
    const u32 at = first + row, stride = dim + 1, size = TILE * stride;
    float *qs = shared, *dos = qs + size, *ks = dos + size, *vs = ks + size;
    float *ps = vs + size, *ds = ps + TILE * P_STRIDE;
    load_tile(ks, k, first, end, kv_width, kv_head * dim, dim);
    load_tile(vs, v, first, end, kv_width, kv_head * dim, dim);
    float own_k[OWN] = {}, own_v[OWN] = {};
    for (u32 head = kv_head * group; head < (kv_head + 1) * group; head++) {
        for (u32 query = first; query < end; query += TILE) {
            __syncthreads();
            load_tile(qs, q, query, end, q_width, head * dim, dim);
            load_tile(dos, d_out, query, end, q_width, head * dim, dim);
            __syncthreads();
            float p = 0, d_score = 0;
            if (at <= query + column && query + column < end) {
                u64 statistic = (u64)(query + column) * heads + head;
                p = expf(scale * tile_dot(qs + column * stride, ks + row * stride, dim) - log_sums[statistic]);
                d_score = p * (tile_dot(dos + column * stride, vs + row * stride, dim) - along[statistic]);
            }
            ps[row * P_STRIDE + column] = p;
            ds[row * P_STRIDE + column] = d_score;
            __syncwarp();
            add_weighted(own_k, ds + row * P_STRIDE, qs, column, dim);
            add_weighted(own_v, ps + row * P_STRIDE, dos, column, dim);
        }
    }
    if (at >= end) return;
    store_own(dk + (u64)at * kv_width + kv_head * dim, own_k, scale, column, dim);
    store_own(dv + (u64)at * kv_width + kv_head * dim, own_v, 1, column, dim);
}
BOTH(
    attention_backward_key_value,
    (const T* q, const T* k, const T* v, const T* d_out, const float* log_sums, const float* along,
     const u32* tiles, T* dk, T* dv, u32 heads, u32 group, u32 dim, float scale),
    (q, k, v, d_out, log_sums, along, tiles, dk, dv, heads, group, dim, scale)
)
