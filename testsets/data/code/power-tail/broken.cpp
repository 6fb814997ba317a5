#include <iostream>

int main() {
    unsigned long long a, b, m;
    std::cin >> a >> b >> m
    std::cout << power(a, b, m) << "\n";
}
