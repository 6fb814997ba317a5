#include <algorithm>
#include <iostream>
#include <tuple>
#include <vector>

int main() {
    int n, m;
    std::cin >> n >> m;
    std::vector<std::tuple<int, int, int>> wires(m);
    for (auto& [price, a, b] : wires) std::cin >> a >> b >> price;
    std::sort(wires.begin(), wires.end());
    std::vector<int> group(n + 1);
    for (int i = 0; i <= n; ++i) group[i] = i;
    long long total = 0;
    int joined = 1;
    for (auto [price, a, b] : wires) {
        int from = group[a], to = group[b];
        if (from == to) continue;
        for (int& one : group) if (one == from) one = to;
        total += price;
        ++joined;
    }
    if (joined == n) std::cout << total << "\n";
    else std::cout << "impossible\n";
}
