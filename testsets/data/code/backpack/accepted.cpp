#include <algorithm>
#include <iostream>
#include <vector>

int main() {
    int n, w;
    std::cin >> n >> w;
    std::vector<long long> best(w + 1);
    for (int i = 0; i < n; ++i) {
        int weight, value;
        std::cin >> weight >> value;
        for (int room = w; room >= weight; --room) best[room] = std::max(best[room], best[room - weight] + value);
    }
    std::cout << best[w] << "\n";
}
