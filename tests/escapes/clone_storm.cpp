// Forks for ever and never looks at the error.
// expect: cpu_time_limit | process_limit | wall_time_limit
#include <unistd.h>
int main() { for (;;) vfork() == 0 ? _exit(0) : void(); }
