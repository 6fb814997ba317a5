// CUDA on a CPU, so that the kernels' own text runs in a test.
//
// Theory of operation. A block's threads are fibers on one real thread. A fiber runs until it waits, at
// __syncthreads for its block or at a shuffle or __syncwarp for its warp, or until it ends. When none can run, each
// warp of which all threads wait for the warp goes on; else, if all threads of the block wait for the block, all go
// on. Anything else is a barrier that some thread never reaches, which hangs or misbehaves on a GPU: the program
// ends and says so. Blocks run one after another.
//
// Fibers run in the launch's order: rising, falling, or shuffled anew at every turn. A kernel that forgot a barrier
// gives other results in another order. Shared memory is full of NaN before each block, and it, like every buffer,
// ends at a page that may not be touched, so an index one too great ends the program.
//
// Not shown by this: speed, registers, bank conflicts, races between blocks, the last bit of expf.

#pragma once

// Some compilers ask for it unasked, and then a jump to another stack looks like an attack.
#undef _FORTIFY_SOURCE

#include <algorithm>
#include <csetjmp>
#include <csignal>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define SHARED float* shared = shim::shared_memory
#define ENTRY(name) static shim::Entry entry_##name(#name, name);

namespace shim {

// The kernel that runs, for messages.
static const char* running = "no kernel";

[[noreturn]] static void fail(const std::string& what) {
    fprintf(stderr, "shim: %s: %s\n", running, what.c_str());
    exit(3);
}

static void bad_address(int) {
    const char what[] = ": an index outside its buffer or outside shared memory\n";
    for (const char* part : {"shim: ", running, what}) {
        if (write(2, part, strlen(part)) < 0) break;
    }
    _exit(3);
}

// On a stack of its own: a fiber's may be what overflowed.
[[maybe_unused]] static void catch_bad_addresses() {
    static char stack[64 * 1024];
    stack_t own = {};
    own.ss_sp = stack;
    own.ss_size = sizeof stack;
    struct sigaction action = {};
    action.sa_handler = bad_address;
    action.sa_flags = SA_ONSTACK;
    if (sigaltstack(&own, nullptr) != 0 || sigaction(SIGSEGV, &action, nullptr) != 0) fail("no signal handler");
}

struct Dim {
    unsigned x = 1, y = 1, z = 1;
};

static Dim block_index, thread_index, block_size, grid_size;
static float* shared_memory;

// Memory whose end is the end of the last page that may be touched.
struct Guarded {
    char *pages = nullptr, *data = nullptr;
    size_t bytes = 0, mapped = 0;

    explicit Guarded(size_t bytes) : bytes(bytes) {
        const size_t page = sysconf(_SC_PAGESIZE);
        mapped = (bytes + page - 1) / page * page + page;
        void* at = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) fail("out of memory");
        pages = (char*)at;
        if (mprotect(pages + mapped - page, page, PROT_NONE) != 0) fail("mprotect failed");
        data = pages + mapped - page - bytes;
    }
    Guarded(const Guarded&) = delete;
    ~Guarded() { munmap(pages, mapped); }
};

enum class State { Runs, WaitsForWarp, WaitsForBlock, Done };

struct Fiber {
    State state = State::Done;
    bool started = false;
    unsigned shuffles = 0;
    jmp_buf at;
    ucontext_t start;
    std::vector<char> stack;
};

static std::vector<Fiber> fibers(1024);
static unsigned current, threads;
static jmp_buf scheduler;
static std::function<void()> kernel;
// What each thread shows its warp, twice: a thread may be one shuffle ahead of another, never two.
static uint64_t shown[2][1024];

// setjmp and longjmp switch between stacks that exist; ucontext only makes them, since it costs a system call.
static void leave(State why) {
    fibers[current].state = why;
    if (_setjmp(fibers[current].at) == 0) _longjmp(scheduler, 1);
}

static void run_forever() {
    for (;;) {
        kernel();
        leave(State::Done);
    }
}

__attribute__((noinline)) static void resume(unsigned thread) {
    current = thread;
    thread_index.x = thread;
    Fiber& fiber = fibers[thread];
    if (_setjmp(scheduler) != 0) return;
    if (fiber.started) _longjmp(fiber.at, 1);
    fiber.started = true;
    fiber.stack.resize(64 * 1024);
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack.data();
    fiber.start.uc_stack.ss_size = fiber.stack.size();
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, run_forever, 0);
    setcontext(&fiber.start);
}

static bool all_of(unsigned from, unsigned to, State state) {
    for (unsigned t = from; t < to; t++) {
        if (fibers[t].state != state) return false;
    }
    return true;
}

static void release(unsigned from, unsigned to) {
    for (unsigned t = from; t < to; t++) fibers[t].state = State::Runs;
}

// One block from its first thread to its last. `order` 0: rising, 1: falling, else the seed of shuffles.
static void run_block(unsigned order) {
    static std::vector<unsigned> turn;
    static std::mt19937 random;
    turn.resize(threads);
    for (unsigned t = 0; t < threads; t++) turn[t] = order == 1 ? threads - 1 - t : t, fibers[t].shuffles = 0;
    random.seed(order);
    release(0, threads);
    while (!all_of(0, threads, State::Done)) {
        if (order > 1) std::shuffle(turn.begin(), turn.end(), random);
        for (unsigned t : turn) {
            if (fibers[t].state == State::Runs) resume(t);
        }
        bool released = false;
        for (unsigned warp = 0; warp < threads; warp += 32) {
            if (all_of(warp, warp + 32, State::WaitsForWarp)) release(warp, warp + 32), released = true;
        }
        if (released || all_of(0, threads, State::Done)) continue;
        if (!all_of(0, threads, State::WaitsForBlock)) fail("a barrier that not every thread reaches");
        release(0, threads);
    }
}

static void launch(Dim grid, unsigned block, size_t shared_bytes, unsigned order) {
    if (block == 0 || block % 32 != 0 || block > 1024) fail("a block must be 32, 64, .. 1024 threads");
    if (shared_bytes > 48 * 1024) fail("more than 48 KiB of shared memory");
    Guarded memory(shared_bytes);
    shared_memory = (float*)memory.data;
    grid_size = grid;
    block_size = {block, 1, 1};
    threads = block;
    for (block_index.y = 0; block_index.y < grid.y; block_index.y++) {
        for (block_index.x = 0; block_index.x < grid.x; block_index.x++) {
            memset(memory.data, 0xff, shared_bytes);
            run_block(order);
        }
    }
}

template <class N>
static N shuffle_xor(N value, unsigned mask) {
    static_assert(sizeof(N) <= 8, "shuffles carry up to 8 bytes");
    Fiber& fiber = fibers[current];
    uint64_t* lane = shown[fiber.shuffles++ % 2];
    memcpy(&lane[current], &value, sizeof(N));
    leave(State::WaitsForWarp);
    memcpy(&value, &lane[current ^ mask], sizeof(N));
    return value;
}

// The table of kernels: a name, and how to call it with arguments that came as text or numbers.
struct Argument {
    char kind;  // 'b' buffer, 'u' u32, 'f' f32
    uint32_t bits;
    void* buffer;
};

inline void take(const Argument& a, uint32_t& to) {
    if (a.kind != 'u') fail("expected a u32 argument");
    to = a.bits;
}

inline void take(const Argument& a, float& to) {
    if (a.kind != 'f') fail("expected an f32 argument");
    memcpy(&to, &a.bits, 4);
}

template <class T>
void take(const Argument& a, T*& to) {
    if (a.kind != 'b') fail("expected a buffer argument");
    to = (T*)a.buffer;
}

using Call = std::function<std::function<void()>(const std::vector<Argument>&)>;

struct Known {
    Call call;
    // As a driver gives them: the address of each argument.
    std::function<std::function<void()>(void**)> call_at;
    bool launched = false;
};

static std::map<std::string, Known>& table() {
    static std::map<std::string, Known> known;
    return known;
}

template <class... A, size_t... I>
std::function<void()> bound(void (*f)(A...), const std::vector<Argument>& given, std::index_sequence<I...>) {
    if (given.size() != sizeof...(A)) fail("wrong number of arguments");
    std::tuple<A...> values;
    (take(given[I], std::get<I>(values)), ...);
    return [f, values] { std::apply(f, values); };
}

template <class... A, size_t... I>
std::function<void()> bound_at(void (*f)(A...), void** given, std::index_sequence<I...>) {
    std::tuple<A...> values(*(A*)given[I]...);
    return [f, values] { std::apply(f, values); };
}

struct Entry {
    template <class... A>
    Entry(const char* name, void (*f)(A...)) {
        table()[name].call_at = [f](void** given) { return bound_at(f, given, std::index_sequence_for<A...>()); };
        table()[name].call = [f](const std::vector<Argument>& given) {
            return bound(f, given, std::index_sequence_for<A...>());
        };
    }
};

}  // namespace shim

#define blockIdx shim::block_index
#define threadIdx shim::thread_index
#define blockDim shim::block_size
#define gridDim shim::grid_size

static inline void __syncthreads() {
    shim::leave(shim::State::WaitsForBlock);
}

static inline void __syncwarp() {
    shim::leave(shim::State::WaitsForWarp);
}

template <class N>
static inline N __shfl_xor_sync(unsigned, N value, unsigned mask) {
    return shim::shuffle_xor(value, mask);
}

static inline float __uint_as_float(unsigned bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static inline unsigned __float_as_uint(float value) {
    unsigned bits;
    memcpy(&bits, &value, 4);
    return bits;
}
