// A macro that doubles at every step.
// expect: refused
#define A x x
#define B A A A A A A A A A A
#define C B B B B B B B B B B
#define D C C C C C C C C C C
#define E D D D D D D D D D D
#define F E E E E E E E E E E
#define G F F F F F F F F F F
#define H G G G G G G G G G G
#define x 1,
int main() { int a[] = {H H H H 1}; return a[0]; }
