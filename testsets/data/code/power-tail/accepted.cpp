#include <iostream>

int main() {
    unsigned long long a, b, m;
    std::cin >> a >> b >> m;
    unsigned long long result = 1 % m;
    for (a %= m; b > 0; b >>= 1) {
        if (b & 1) result = result * a % m;
        a = a * a % m;
    }
    std::cout << result << "\n";
}
