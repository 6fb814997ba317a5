#include <iostream>

int main() {
    unsigned long long a, b, m;
    std::cin >> a >> b >> m;
    volatile unsigned long long result = 1 % m;
    while (b-- > 0) result = result * a % m;
    std::cout << result << "\n";
}
