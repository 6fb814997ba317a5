// Makes the assembler put a file of the host into the binary.
// expect: refused
asm(".incbin \"/etc/shadow\"");
int main() {}
