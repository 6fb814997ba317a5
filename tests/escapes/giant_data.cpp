// Makes the compiler write a file of gigabytes.
// expect: refused
char data[3u << 30] = {1};
int main() { return data[1]; }
