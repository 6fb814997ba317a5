// Makes the compiler read a file without end.
// expect: refused
#include "/dev/zero"
int main() {}
