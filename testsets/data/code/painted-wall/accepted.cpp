#include <algorithm>
#include <iostream>
#include <vector>

int main() {
    int n;
    std::cin >> n;
    std::vector<std::pair<long long, long long>> strokes(n);
    for (auto& [left, right] : strokes) std::cin >> left >> right;
    std::sort(strokes.begin(), strokes.end());
    long long painted = 0, reach = 0;
    for (auto [left, right] : strokes) {
        painted += std::max(0LL, right - std::max(left, reach));
        reach = std::max(reach, right);
    }
    std::cout << painted << "\n";
}
