#include <bits/stdc++.h>
using namespace std;

int main() {
    map<string, int> count;
    string line;
    while (getline(cin, line)) {
        stringstream words(line);
        string word;
        while (words >> word) {
            transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return tolower(c); });
            count[word]++;
        }
    }
    vector<pair<int, string>> order;
    for (auto &[word, times] : count) order.emplace_back(-times, word);
    sort(order.begin(), order.end());
    for (auto &[times, word] : order) cout << word << ": " << -times << '\n';
}
