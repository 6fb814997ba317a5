#include <algorithm>
#include <iostream>
#include <vector>

int main() {
    int n;
    std::cin >> n;
    std::vector<int> ends;
    for (int i = 0, value; i < n; ++i) {
        std::cin >> value;
        auto at = std::lower_bound(ends.begin(), ends.end(), value);
        if (at == ends.end()) ends.push_back(value);
        else *at = value;
    }
    std::cout << ends.size() << "\n";
}
