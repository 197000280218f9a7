// The kernel for AVX-512 F, DQ and VL.
#include <immintrin.h>
#define PARLEY_LANES 8
#define PARLEY_EXACT_FMA
#define PARLEY_FMA(a, b, c) (V)_mm512_fmadd_pd((__m512d)(a), (__m512d)(b), (__m512d)(c))
#define PARLEY_SPREAD(p) (V)_mm512_broadcast_f64x4(_mm256_loadu_pd(p))
#define PARLEY_FNMA(a, b, c) (V)_mm512_fnmadd_pd((__m512d)(a), (__m512d)(b), (__m512d)(c))
#define PARLEY_KERNEL AVX512
#define PARLEY_NAME "avx512"
#include "lattice_unit.hpp"
