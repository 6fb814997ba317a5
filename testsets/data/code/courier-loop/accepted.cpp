#include <algorithm>
#include <iostream>
#include <vector>

int main() {
    int n;
    std::cin >> n;
    std::vector<std::vector<long long>> way(n, std::vector<long long>(n));
    for (auto& row : way) for (auto& length : row) std::cin >> length;
    const long long far = 1LL << 60;
    std::vector<std::vector<long long>> best(1 << n, std::vector<long long>(n, far));
    best[1][0] = 0;
    for (int done = 1; done < 1 << n; ++done) {
        for (int last = 0; last < n; ++last) {
            if (best[done][last] == far) continue;
            for (int other = 0; other < n; ++other) {
                if (done >> other & 1) continue;
                auto& slot = best[done | 1 << other][other];
                slot = std::min(slot, best[done][last] + way[last][other]);
            }
        }
    }
    long long answer = far;
    for (int last = 0; last < n; ++last) answer = std::min(answer, best.back()[last] + way[last][0]);
    std::cout << answer << "\n";
}
