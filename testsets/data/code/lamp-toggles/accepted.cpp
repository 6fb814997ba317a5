#include <cmath>
#include <iostream>

int main() {
    long long n;
    std::cin >> n;
    long long root = static_cast<long long>(std::sqrt(static_cast<long double>(n)));
    while (root * root > n) --root;
    while ((root + 1) * (root + 1) <= n) ++root;
    std::cout << root << "\n";
}
