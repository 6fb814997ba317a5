// A driver, a cuBLAS and a cuRAND with as much as the learner asks of them, on the CPU: with this library in their places
// the program built with CUDA runs, all of it, where there is no GPU.
//
// Theory of operation. Memory is memory of this process, each piece of which ends at a page that may not be touched; a stream
// does at once what it is told, so order is kept and waiting is nothing. A module is the kernels' own text, behind shim.h; the
// image that was to be loaded is not looked at. A product sums in f64. Names that are not here are in the library too, and
// fail (cuda-build.sh makes them, weak, from cudarc's bindings), so what is newly asked for shows by name.
//
// Not shown by this: what a GPU does at the same time, its memory's limits, cuBLAS's rounding, speed.

#include "shim.h"
#include <memory>
#include <mutex>

#include "prelude.cuh"

#include "attention.cu"
#include "decode.cu"
#include "embedding.cu"
#include "head.cu"
#include "linear.cu"
#include "optimizer.cu"
#include "rms_norm.cu"
#include "rope.cu"
#include "swiglu.cu"

// CUresult and cublasStatus_t; 0 is success in both.
enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, NOT_FOUND = 500 };

// What the GPU says it has.
static const size_t MEMORY_BYTES = 4ull << 30;

static std::mutex lock;
static std::map<void*, std::unique_ptr<shim::Guarded>> pieces;
static size_t used_bytes;
static char some_context, some_stream, some_module, some_pool, some_handle;

// The piece that an address lies in holds all that begins there, or it is not copied.
static bool holds(const void* at, size_t bytes) {
    std::lock_guard<std::mutex> own(lock);
    auto after = pieces.upper_bound((void*)at);
    if (after == pieces.begin()) return false;
    const shim::Guarded& piece = *std::prev(after)->second;
    return (const char*)at + bytes <= piece.data + piece.bytes;
}

static int give(void** to, size_t bytes) {
    std::lock_guard<std::mutex> own(lock);
    if (bytes == 0) return INVALID_VALUE;
    if (used_bytes + bytes > MEMORY_BYTES) return OUT_OF_MEMORY;
    // A GPU aligns to 256; the end of the piece is where the watched page begins, so it is its length that is rounded, to
    // what the widest number needs.
    auto piece = std::make_unique<shim::Guarded>((bytes + 7) / 8 * 8);
    memset(piece->data, 0xff, piece->bytes);
    *to = piece->data;
    used_bytes += piece->bytes;
    pieces[piece->data] = std::move(piece);
    return OK;
}

static int take_back(void* at) {
    std::lock_guard<std::mutex> own(lock);
    auto found = pieces.find(at);
    if (found == pieces.end()) return INVALID_VALUE;
    used_bytes -= found->second->bytes;
    pieces.erase(found);
    return OK;
}

static float number_at(const void* base, int type, size_t at) {
    if (type == 0) return ((const float*)base)[at];
    return load((const bf16*)base + at);
}

extern "C" {

int cuInit(unsigned) { return OK; }
int cuDriverGetVersion(int* version) { return *version = 13000, OK; }
int cuDeviceGetCount(int* count) { return *count = 1, OK; }
int cuDeviceGet(int* device, int ordinal) { return *device = ordinal, ordinal == 0 ? OK : 101; }
int cuDeviceGetName(char* name, int bytes, int) { return snprintf(name, bytes, "the shim on a CPU"), OK; }
int cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = MEMORY_BYTES, OK; }
int cuDeviceGetAttribute(int* value, int attribute, int) {
    // Compute capability 9.0, and memory pools; of the rest nothing.
    return *value = attribute == 75 ? 9 : attribute == 76 ? 0 : attribute == 115 ? 1 : 0, OK;
}
int cuDeviceGetDefaultMemPool(void** pool, int) { return *pool = &some_pool, OK; }
int cuMemPoolSetAttribute(void*, int, void*) { return OK; }
int cuMemPoolGetAttribute(void*, int, void* value) { return memset(value, 0, 8), OK; }
int cuDevicePrimaryCtxRetain(void** context, int) { return *context = &some_context, OK; }
int cuDevicePrimaryCtxRelease_v2(int) { return OK; }
int cuCtxGetCurrent(void** context) { return *context = &some_context, OK; }
int cuCtxSetCurrent(void*) { return OK; }
int cuCtxSynchronize() { return OK; }
int cuStreamCreate(void** stream, unsigned) { return *stream = &some_stream, OK; }
int cuStreamDestroy_v2(void*) { return OK; }
int cuStreamSynchronize(void*) { return OK; }
int cuStreamIsCapturing(void*, int* status) { return *status = 0, OK; }

int cuMemGetInfo_v2(size_t* free, size_t* all) { return *free = MEMORY_BYTES - used_bytes, *all = MEMORY_BYTES, OK; }
int cuMemAllocAsync(void** to, size_t bytes, void*) { return give(to, bytes); }
int cuMemAlloc_v2(void** to, size_t bytes) { return give(to, bytes); }
int cuMemFreeAsync(void* at, void*) { return take_back(at); }
int cuMemFree_v2(void* at) { return take_back(at); }
int cuMemsetD8Async(void* at, unsigned char value, size_t bytes, void*) {
    if (!holds(at, bytes)) return INVALID_VALUE;
    return memset(at, value, bytes), OK;
}
int cuMemcpyHtoDAsync_v2(void* to, const void* from, size_t bytes, void*) {
    if (!holds(to, bytes)) return INVALID_VALUE;
    return memcpy(to, from, bytes), OK;
}
int cuMemcpyDtoHAsync_v2(void* to, const void* from, size_t bytes, void*) {
    if (!holds(from, bytes)) return INVALID_VALUE;
    return memcpy(to, from, bytes), OK;
}
int cuMemcpyDtoDAsync_v2(void* to, const void* from, size_t bytes, void*) {
    if (!holds(from, bytes) || !holds(to, bytes)) return INVALID_VALUE;
    return memcpy(to, from, bytes), OK;
}

int cuModuleLoadData(void** module, const void*) { return *module = &some_module, OK; }
int cuModuleUnload(void*) { return OK; }
int cuModuleGetFunction(const void** function, void*, const char* name) {
    auto known = shim::table().find(name);
    if (known == shim::table().end()) return NOT_FOUND;
    return *function = &*known, OK;
}
int cuLaunchKernel(
    const void* function, unsigned x, unsigned y, unsigned z, unsigned block, unsigned block_y, unsigned block_z,
    unsigned shared_bytes, void*, void** arguments, void**
) {
    std::lock_guard<std::mutex> own(lock);
    const auto& known = *(const std::pair<const std::string, shim::Known>*)function;
    if (x == 0 || y == 0 || z != 1 || block_y != 1 || block_z != 1 || y > 65535) return INVALID_VALUE;
    shim::running = known.first.c_str();
    shim::kernel = known.second.call_at(arguments);
    shim::Dim grid;
    grid.x = x;
    grid.y = y;
    shim::launch(grid, block, shared_bytes, 0);
    return OK;
}

int cuGetErrorName(int error, const char** name) {
    return *name = error == NO_DEVICE ? "CUDA_ERROR_NO_DEVICE" : "an error of the shim", OK;
}
int cuGetErrorString(int error, const char** words) { return cuGetErrorName(error, words); }

int cublasCreate_v2(void** handle) { return *handle = &some_handle, OK; }
int cublasDestroy_v2(void*) { return OK; }
int cublasSetStream_v2(void*, void*) { return OK; }
// By columns: out (m x n) = alpha left right + beta out; an operand's operation 1 is "transposed".
int cublasGemmEx(
    void*, int left_operation, int right_operation, int m, int n, int k, const float* alpha, const void* left,
    int left_type, int left_stride, const void* right, int right_type, int right_stride, const float* beta, void* out,
    int out_type, int out_stride, int compute, int
) {
    const auto known = [](int type) { return type == 0 || type == 14; };
    const bool types = known(left_type) && left_type == right_type && (out_type == 0 || out_type == left_type);
    if (!types || compute != 68) return 15;
    if (left_stride < (left_operation ? k : m) || right_stride < (right_operation ? n : k) || out_stride < m) return 7;
    for (size_t j = 0; j < (size_t)n; j++) {
        for (size_t i = 0; i < (size_t)m; i++) {
            double sum = 0;
            for (size_t c = 0; c < (size_t)k; c++) {
                const size_t l = left_operation ? i * left_stride + c : c * left_stride + i;
                const size_t r = right_operation ? c * right_stride + j : j * right_stride + c;
                sum += (double)number_at(left, left_type, l) * number_at(right, right_type, r);
            }
            const size_t at = j * out_stride + i;
            const float before = *beta == 0 ? 0 : *beta * number_at(out, out_type, at);
            const float value = *alpha * (float)sum + before;
            if (out_type == 0) ((float*)out)[at] = value;
            else store((bf16*)out + at, value);
        }
    }
    return OK;
}

int curandCreateGenerator(void** generator, int) { return *generator = &some_handle, OK; }
int curandDestroyGenerator(void*) { return OK; }
int curandSetStream(void*, void*) { return OK; }
int curandSetPseudoRandomGeneratorSeed(void*, unsigned long long) { return OK; }
}
