// Fills shared memory and unmaps all but a page of each piece: it stays, and the process looks small.
// expect: memory_limit
// expect CD: memory_limit | exited 0
#include <cstdio>
#include <cstring>
#include <sys/mman.h>
int main() {
    const long piece = 64 << 20;
    for (long filled = 0; filled < (1L << 30); filled += piece) {
        char *place = (char *)mmap(0, piece, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (place == MAP_FAILED) return 0;
        for (long at = 0; at < piece; at += 1 << 20) {
            memset(place + at, 1, 1 << 20);
            if (at) munmap(place + at, 1 << 20);
        }
    }
    printf("ESCAPED: holds a gigabyte\n");
}
