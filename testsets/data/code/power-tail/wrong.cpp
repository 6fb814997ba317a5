#include <iostream>

// Products of 32-bit numbers overflow.
int main() {
    long long b;
    unsigned a, m;
    std::cin >> a >> b >> m;
    unsigned result = 1 % m;
    for (a %= m; b > 0; b >>= 1) {
        if (b & 1) result = result * a % m;
        a = a * a % m;
    }
    std::cout << result << "\n";
}
