// A static array far over the limit, touched page by page.
// expect: memory_limit
static char a[2000000000];
int main() { for (long i = 0; i < 2000000000; i += 4096) a[i] = 1; return a[5]; }
