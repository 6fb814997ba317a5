// A file that includes itself.
// expect: refused
#include __FILE__
int main() {}
