// Calls by the 32-bit table, which the 64-bit list does not read.
// expect: forbidden_syscall | signaled 11
#include <cstdio>
int main() {
    int result;
    asm volatile("int $0x80" : "=a"(result) : "a"(20));
    printf("ESCAPED: %d\n", result);
}
