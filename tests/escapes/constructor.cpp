// Runs before main and after it.
// expect: exited 0
#include <cstdio>
#include <fcntl.h>
#include <initializer_list>
#include <unistd.h>
static void look() {
    for (const char *path : {"/etc/shadow", "/proc/1/environ", "/dev/mem"}) {
        char byte;
        int fd = open(path, O_RDONLY);
        if (fd >= 0 && read(fd, &byte, 1) == 1) { puts("ESCAPED: read"); fflush(stdout); }
    }
}
__attribute__((constructor)) static void before() { look(); }
__attribute__((destructor)) static void after() { look(); }
int main() {}
