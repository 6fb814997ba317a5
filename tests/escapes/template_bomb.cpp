// A template that doubles at every step.
// expect: refused
template <int N> struct Bomb { Bomb<N - 1> a; Bomb<N - 1> b; };
template <> struct Bomb<0> { char c[1 << 20]; };
template <int N, int M> struct Deep { static const int v = Deep<N - 1, M * 2>::v + Deep<N - 1, M * 2 + 1>::v; };
template <int M> struct Deep<0, M> { static const int v = 1; };
int main() { return Deep<40, 0>::v + sizeof(Bomb<60>); }
