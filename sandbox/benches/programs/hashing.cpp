#include <bits/stdc++.h>
using namespace std;

int main() {
    string text, pattern;
    cin >> text >> pattern;
    const unsigned long long base = 1000003;
    unsigned long long power = 1, wanted = 0, rolling = 0;
    unordered_map<unsigned long long, vector<size_t>> places;
    for (size_t i = 0; i < pattern.size(); i++) {
        wanted = wanted * base + pattern[i];
        if (i) power *= base;
    }
    for (size_t i = 0; i < text.size(); i++) {
        if (i >= pattern.size()) rolling -= power * text[i - pattern.size()];
        rolling = rolling * base + text[i];
        if (i + 1 >= pattern.size()) places[rolling].push_back(i + 1 - pattern.size());
    }
    cout << places[wanted].size() << "\n";
    for (size_t at : places[wanted]) cout << at << " ";
}
