#include <bits/stdc++.h>
using namespace std;

int main() {
    ios::sync_with_stdio(false);
    int limit;
    cin >> limit;
    vector<bool> composite(limit + 1);
    vector<int> primes;
    for (int i = 2; i <= limit; i++) {
        if (composite[i]) continue;
        primes.push_back(i);
        for (long long j = 1LL * i * i; j <= limit; j += i) composite[j] = true;
    }
    cout << primes.size() << "\n";
    for (size_t i = 0; i < min<size_t>(10, primes.size()); i++) cout << primes[i] << " \n"[i + 1 == primes.size()];
}
