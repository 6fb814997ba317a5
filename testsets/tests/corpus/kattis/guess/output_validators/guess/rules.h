#include "rules.h"
enum { RIGHT = 42, WRONG = 43 };
