#include <cstdio>
#include <cstdlib>
#include "rules.h"

int main(int argc, char **argv) {
    int secret, guess, left = atoi(argv[4]);
    FILE *input = fopen(argv[1], "r");
    if (fscanf(input, "%d", &secret) != 1) return 1;
    while (left-- && scanf("%d", &guess) == 1) {
        puts(guess == secret ? "equal" : guess < secret ? "higher" : "lower");
        fflush(stdout);
        if (guess == secret) return RIGHT;
    }
    return WRONG;
}
