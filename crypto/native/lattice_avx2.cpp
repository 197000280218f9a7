// The kernel for AVX2 with FMA.
#include <immintrin.h>
#define PARLEY_LANES 4
#define PARLEY_EXACT_FMA
#define PARLEY_FMA(a, b, c) (V)_mm256_fmadd_pd((__m256d)(a), (__m256d)(b), (__m256d)(c))
#define PARLEY_FNMA(a, b, c) (V)_mm256_fnmadd_pd((__m256d)(a), (__m256d)(b), (__m256d)(c))
#define PARLEY_KERNEL AVX2
#define PARLEY_NAME "avx2"
#include "lattice_unit.hpp"
