// Runs through its stack.
// expect: signaled 11
int f(int n) { volatile char b[1024]; b[0] = n; return f(n + 1) + b[0]; }
int main() { return f(1); }
