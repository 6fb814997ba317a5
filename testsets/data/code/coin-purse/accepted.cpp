#include <iostream>
#include <vector>

int main() {
    int k, s;
    std::cin >> k >> s;
    std::vector<int> ways(s + 1);
    ways[0] = 1;
    for (int i = 0; i < k; ++i) {
        int coin;
        std::cin >> coin;
        for (int total = coin; total <= s; ++total) ways[total] = (ways[total] + ways[total - coin]) % 998244353;
    }
    std::cout << ways[s] << "\n";
}
