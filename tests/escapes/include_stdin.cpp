// Makes the compiler wait for input that never ends.
// expect: refused
#include "/dev/stdin"
int main() { return still_nothing; }
