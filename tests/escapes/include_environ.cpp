// Makes the compiler show an environment.
// expect: refused
#include "/proc/self/environ"
#include "/proc/1/environ"
int main() { return nothing_came; }
