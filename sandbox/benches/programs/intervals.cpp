#include <bits/stdc++.h>
using namespace std;

struct Interval {
    int from, to;
    bool operator<(const Interval &other) const { return tie(from, to) < tie(other.from, other.to); }
};

int main() {
    int n;
    cin >> n;
    set<Interval> merged;
    for (int i = 0; i < n; i++) {
        Interval next;
        cin >> next.from >> next.to;
        auto at = merged.lower_bound({next.from, INT_MIN});
        if (at != merged.begin() && prev(at)->to >= next.from) at = prev(at);
        while (at != merged.end() && at->from <= next.to) {
            next = {min(next.from, at->from), max(next.to, at->to)};
            at = merged.erase(at);
        }
        merged.insert(next);
    }
    for (const Interval &one : merged) cout << one.from << ' ' << one.to << '\n';
}
