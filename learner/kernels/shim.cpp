// Runs the kernels for a test that speaks over pipes. Requests on standard input, little-endian:
//
//   'B' u64 bytes, data            makes a buffer; buffers are numbered from 0
//   'R' u32 buffer                 answers with its bytes
//   'L' text name, u32 grid x, y, u32 block, u32 shared bytes, u32 order, u32 count, arguments (kind, u32)
//   'F'                            frees all buffers
//   'U'                            answers with the names of kernels not launched so far, but for the broken ones: a text
//
// A text is u32 bytes and the bytes. Only 'R' and 'U' are answered, so that requests need not wait for each other; what
// fails ends the program, and says which kernel it was.

#include "shim.h"
#include <memory>

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

#include "../tests/kernels/broken.cu"

static void read_bytes(void* to, size_t bytes) {
    if (bytes > 0 && fread(to, bytes, 1, stdin) != 1) shim::fail("the request ends early");
}

static void write_bytes(const void* from, size_t bytes) {
    if (bytes > 0 && fwrite(from, bytes, 1, stdout) != 1) shim::fail("nobody reads the answer");
}

static uint32_t read_u32() {
    uint32_t value;
    read_bytes(&value, 4);
    return value;
}

static std::string read_text() {
    std::string text(read_u32(), ' ');
    read_bytes(&text[0], text.size());
    return text;
}

static std::vector<std::unique_ptr<shim::Guarded>> buffers;

static shim::Guarded& buffer(uint32_t which) {
    if (which >= buffers.size()) shim::fail("there is no such buffer");
    return *buffers[which];
}

static void launch() {
    const std::string name = read_text();
    shim::Dim grid;
    grid.x = read_u32();
    grid.y = read_u32();
    const uint32_t block = read_u32(), shared_bytes = read_u32(), order = read_u32(), count = read_u32();
    std::vector<shim::Argument> arguments;
    for (uint32_t i = 0; i < count; i++) {
        char kind;
        read_bytes(&kind, 1);
        const uint32_t bits = read_u32();
        arguments.push_back({kind, bits, kind == 'b' ? buffer(bits).data : nullptr});
    }
    auto known = shim::table().find(name);
    if (known == shim::table().end()) shim::fail("there is no kernel " + name);
    known->second.launched = true;
    shim::running = known->first.c_str();
    shim::kernel = known->second.call(arguments);
    shim::launch(grid, block, shared_bytes, order);
}

static void answer_unlaunched() {
    std::string names;
    for (const auto& known : shim::table()) {
        if (!known.second.launched && known.first.rfind("broken", 0) != 0) names += known.first + " ";
    }
    const uint32_t bytes = names.size();
    write_bytes(&bytes, 4);
    write_bytes(names.data(), bytes);
}

int main() {
    shim::catch_bad_addresses();
    char request;
    while (fread(&request, 1, 1, stdin) == 1) {
        if (request == 'B') {
            uint64_t bytes;
            read_bytes(&bytes, 8);
            buffers.push_back(std::make_unique<shim::Guarded>(bytes));
            read_bytes(buffers.back()->data, bytes);
        } else if (request == 'R') {
            const shim::Guarded& asked = buffer(read_u32());
            write_bytes(asked.data, asked.bytes);
        } else if (request == 'L') {
            launch();
        } else if (request == 'F') {
            buffers.clear();
        } else if (request == 'U') {
            answer_unlaunched();
        } else {
            shim::fail("unknown request");
        }
        fflush(stdout);
    }
}
