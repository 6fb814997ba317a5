#include <bits/stdc++.h>
using namespace std;

struct Tree {
    int size = 1;
    vector<long long> sum;
    explicit Tree(int n) {
        while (size < n) size *= 2;
        sum.assign(2 * size, 0);
    }
    void add(int at, long long x) {
        for (at += size; at; at /= 2) sum[at] += x;
    }
    long long query(int from, int to) {
        long long result = 0;
        for (from += size, to += size; from < to; from /= 2, to /= 2) {
            if (from & 1) result += sum[from++];
            if (to & 1) result += sum[--to];
        }
        return result;
    }
};

int main() {
    int n, q;
    scanf("%d %d", &n, &q);
    Tree tree(n);
    while (q--) {
        int kind, a, b;
        scanf("%d %d %d", &kind, &a, &b);
        if (kind == 1) tree.add(a, b);
        else printf("%lld\n", tree.query(a, b));
    }
}
