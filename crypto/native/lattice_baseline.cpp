// The portable kernel: vectors of two doubles, which every 64-bit CPU has; products modulo a prime in 64-bit words.
#define PARLEY_LANES 2
#define PARLEY_FMA(a, b, c) ((a) * (b) + (c))
#define PARLEY_FNMA(a, b, c) ((c) - (a) * (b))
#define PARLEY_KERNEL BASELINE
#define PARLEY_NAME "baseline"
#include "lattice_unit.hpp"
