// Makes the compiler show a file of the host.
// expect: refused
#include "/etc/shadow"
int main() {}
