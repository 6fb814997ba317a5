#include <bits/stdc++.h>
using namespace std;

int main() {
    int n, m;
    cin >> n >> m;
    vector<vector<pair<int, long long>>> edges(n);
    while (m--) {
        int a, b;
        long long w;
        cin >> a >> b >> w;
        edges[a - 1].push_back({b - 1, w});
        edges[b - 1].push_back({a - 1, w});
    }
    vector<long long> distance(n, LLONG_MAX);
    priority_queue<pair<long long, int>, vector<pair<long long, int>>, greater<>> queue;
    queue.push({distance[0] = 0, 0});
    while (!queue.empty()) {
        auto [d, at] = queue.top();
        queue.pop();
        if (d > distance[at]) continue;
        for (auto [to, w] : edges[at])
            if (d + w < distance[to]) queue.push({distance[to] = d + w, to});
    }
    for (long long d : distance) cout << (d == LLONG_MAX ? -1 : d) << " ";
    cout << endl;
}
