// From a chunk of logits to what the learner wants of each token, its gradient, and the draw of the next one.
// The product that makes the logits is cuBLAS's; they exist for a chunk of rows at a time.
//
// All: grid rows, block 256. Shared floats: head_statistics 8, head_draw 256 + 8, head_gradient none.

// Of softmax(z / T), per row: log-probability of the target, entropy, variance of z / T, log sum exp (z / T).
template <class T>
__device__ void head_statistics(
    const T* logits, const u32* targets, float* statistics, float inverse_temperature, u32 vocabulary
) {
    SHARED;
    const T* z = logits + (u64)blockIdx.x * vocabulary;
    float top = MINUS_INFINITY;
    for (u32 i = threadIdx.x; i < vocabulary; i += blockDim.x) top = fmaxf(top, load(z + i));
    top = block_max(top, shared);
    float total = 0, first = 0, second = 0;
    for (u32 i = threadIdx.x; i < vocabulary; i += blockDim.x) {
        float s = (load(z + i) - top) * inverse_temperature, e = expf(s);
        total += e;
        // A logit of minus infinity has probability 0 and adds nothing; 0 times infinity would be no number.
        first += e > 0 ? s * e : 0;
        second += e > 0 ? s * s * e : 0;
    }
    total = block_sum(total, shared);
    first = block_sum(first, shared);
    second = block_sum(second, shared);
    if (threadIdx.x > 0) return;
    double mean = (double)first / total, log_total = log((double)total);
    double variance = (double)second / total - mean * mean;
    float* to = statistics + 4 * (u64)blockIdx.x;
    to[0] = (float)((double)((load(z + targets[blockIdx.x]) - top) * inverse_temperature) - log_total);
    to[1] = (float)(log_total - mean);
    to[2] = (float)(variance > 0 ? variance : 0);
    to[3] = (float)(log_total + (double)(top * inverse_temperature));
}
BOTH(
    head_statistics,
    (const T* logits, const u32* targets, float* statistics, float inverse_temperature, u32 vocabulary),
    (logits, targets, statistics, inverse_temperature, vocabulary)
)

// Writes dLoss/dz over the logits, given dLoss/dlogprob: (g / T) (1[target] - p).
template <class T>
__device__ void head_gradient(
    T* logits, const u32* targets, const float* statistics, const float* gradient, float inverse_temperature,
    u32 vocabulary
) {
    T* z = logits + (u64)blockIdx.x * vocabulary;
    float push = gradient[blockIdx.x] * inverse_temperature, log_sum = statistics[4 * (u64)blockIdx.x + 3];
    u32 target = targets[blockIdx.x];
    for (u32 i = threadIdx.x; i < vocabulary; i += blockDim.x) {
        float p = expf(load(z + i) * inverse_temperature - log_sum);
        store(z + i, push * ((i == target ? 1.0f : 0.0f) - p));
    }
}
BOTH(
    head_gradient,
    (T* logits, const u32* targets, const float* statistics, const float* gradient, float inverse_temperature,
     u32 vocabulary),
    (logits, targets, statistics, gradient, inverse_temperature, vocabulary)
)

// Draws from softmax(z / T) with the row's uniform number, or takes the best id (the lowest of equals) where that
// is negative; gives the id and its log-probability. A thread owns `span` neighbouring ids, so that a running sum
// over threads, and then within one, is the running sum over the vocabulary.
template <class T>
__device__ void head_draw(
    const T* logits, const float* uniforms, u32* ids, float* logprobs, float inverse_temperature, u32 vocabulary
) {
    SHARED;
    float* slots = shared + blockDim.x;
    const T* z = logits + (u64)blockIdx.x * vocabulary;
    const u32 span = (vocabulary + blockDim.x - 1) / blockDim.x;
    const u32 from = threadIdx.x * span, to = from + span < vocabulary ? from + span : vocabulary;
    float top = MINUS_INFINITY;
    for (u32 i = from; i < to; i++) top = fmaxf(top, load(z + i));
    top = block_max(top, slots);
    const float uniform = uniforms[blockIdx.x];
    float sum = 0, best = 0;
    for (u32 i = from; i < to; i++) {
        float s = load(z + i) - top;
        sum += expf(s * inverse_temperature);
        best += s == 0 ? 1 : 0;
    }
    __syncthreads();
    shared[threadIdx.x] = sum;
    float total = block_sum(sum, slots);
    // The greedy draw is the draw of 0 from weights that count the best ids.
    __syncthreads();
    if (uniform < 0) shared[threadIdx.x] = best;
    __syncthreads();
    if (threadIdx.x > 0) return;
    double whole = 0, before = 0;
    for (u32 t = 0; t < blockDim.x; t++) whole += shared[t];
    double threshold = uniform < 0 ? 0 : uniform * whole;
    // Rounding may keep the running sum below the threshold: then it is the last id that has weight.
    u32 owner = 0;
    double before_owner = 0;
    for (u32 t = 0; t < blockDim.x; t++) {
        if (shared[t] > 0) owner = t, before_owner = before;
        before += shared[t];
        if (before > threshold) break;
    }
    u32 id = owner * span;
    double running = before_owner;
    for (u32 i = owner * span; i < (owner + 1) * span && i < vocabulary; i++) {
        float s = load(z + i) - top;
        float weight = uniform < 0 ? (s == 0 ? 1.0f : 0.0f) : expf(s * inverse_temperature);
        if (weight > 0) id = i;
        running += weight;
        if (running > threshold) break;
    }
    ids[blockIdx.x] = id;
    logprobs[blockIdx.x] = (float)((double)((load(z + id) - top) * inverse_temperature) - log((double)total));
}
BOTH(
    head_draw,
    (const T* logits, const float* uniforms, u32* ids, float* logprobs, float inverse_temperature, u32 vocabulary),
    (logits, uniforms, ids, logprobs, inverse_temperature, vocabulary)
)
