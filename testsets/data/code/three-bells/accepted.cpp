#include <iostream>
#include <numeric>

int main() {
    int k;
    std::cin >> k;
    __int128 time = 0, period = 1;
    bool possible = true;
    for (int i = 0; i < k; ++i) {
        long long p, r;
        std::cin >> p >> r;
        int tries = 0;
        while (time % p != r && tries++ < p) time += period;
        if (time % p != r) possible = false;
        if (!possible) continue;
        period = period / std::gcd(static_cast<long long>(period % p), p) * p;
    }
    if (!possible) {
        std::cout << -1 << "\n";
        return 0;
    }
    std::string digits;
    do digits.insert(digits.begin(), static_cast<char>('0' + static_cast<int>(time % 10)));
    while ((time /= 10) > 0);
    std::cout << digits << "\n";
}
