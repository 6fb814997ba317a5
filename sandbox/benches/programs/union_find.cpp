#include <bits/stdc++.h>
#define all(v) begin(v), end(v)
using namespace std;
using ll = long long;

int find(vector<int> &parent, int x) { return parent[x] == x ? x : parent[x] = find(parent, parent[x]); }

int main() {
    int n, m;
    cin >> n >> m;
    vector<tuple<ll, int, int>> edges(m);
    for (auto &[w, a, b] : edges) cin >> a >> b >> w;
    sort(all(edges));
    vector<int> parent(n + 1);
    iota(all(parent), 0);
    ll total = 0;
    for (auto [w, a, b] : edges) {
        a = find(parent, a), b = find(parent, b);
        if (a != b) parent[a] = b, total += w;
    }
    cout << total << "\n";
}
