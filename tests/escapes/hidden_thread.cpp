// The main thread ends, another burns on.
// expect: cpu_time_limit
#include <pthread.h>
static void *burn(void *) { volatile unsigned long x = 0; for (;;) x = x + 1; }
int main() { pthread_t thread; pthread_create(&thread, 0, burn, 0); pthread_exit(0); }
