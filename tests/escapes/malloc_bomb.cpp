// Touches memory until it is killed.
// expect: memory_limit
#include <cstdlib>
#include <cstring>
int main() { for (;;) { void *p = malloc(1 << 20); if (!p) abort(); memset(p, 1, 1 << 20); } }
