#include <bits/stdc++.h>
using namespace std;

template <int N>
struct Matrix {
    array<array<long long, N>, N> at{};
    Matrix operator*(const Matrix &other) const {
        Matrix result;
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++)
                for (int k = 0; k < N; k++)
                    result.at[i][j] = (result.at[i][j] + at[i][k] * other.at[k][j]) % 1000000007;
        return result;
    }
};

int main() {
    long long n;
    cin >> n;
    Matrix<2> power, base;
    power.at = {{{1, 0}, {0, 1}}};
    base.at = {{{1, 1}, {1, 0}}};
    for (; n; n /= 2, base = base * base)
        if (n & 1) power = power * base;
    cout << power.at[0][1] << "\n";
}
