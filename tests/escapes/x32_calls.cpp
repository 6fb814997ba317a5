// Calls by x32 numbers: same architecture, other table.
// expect: forbidden_syscall
#include <cstdio>
#include <unistd.h>
#include <sys/syscall.h>
int main() { printf("ESCAPED: %ld\n", syscall(0x40000000 | 39)); }
