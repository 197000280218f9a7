// One kernel, written once for vectors of LANES doubles and compiled once per instruction set. A file defines
// PARLEY_LANES, PARLEY_FMA(a, b, c) = a * b + c and PARLEY_FNMA(a, b, c) = c - a * b on vectors (exact products where
// PARLEY_EXACT_FMA), PARLEY_KERNEL and PARLEY_NAME, and includes this. Everything but the table at the end is internal.
#include "lattice.hpp"
#include "lattice_arith.hpp"

#define PARLEY_INLINE static inline __attribute__((always_inline))

namespace parley::lattice {
namespace {

constexpr int W = PARLEY_LANES;
typedef double V __attribute__((vector_size(8 * W), may_alias));
typedef double Vu __attribute__((vector_size(8 * W), may_alias, aligned(8)));
typedef i64 M __attribute__((vector_size(8 * W), may_alias));
typedef u64 Q __attribute__((vector_size(8 * W), may_alias));
typedef u64 Qu __attribute__((vector_size(8 * W), may_alias, aligned(8)));

PARLEY_INLINE V all(double x) { return V{} + x; }
PARLEY_INLINE Q all(u64 x) { return Q{} + x; }
PARLEY_INLINE V load(const double* p) { return *reinterpret_cast<const Vu*>(p); }
PARLEY_INLINE void store(double* p, V v) { *reinterpret_cast<Vu*>(p) = v; }
PARLEY_INLINE Q loadq(const u64* p) { return *reinterpret_cast<const Qu*>(p); }
PARLEY_INLINE void storeq(u64* p, Q v) { *reinterpret_cast<Qu*>(p) = v; }
PARLEY_INLINE V fma(V a, V b, V c) { return PARLEY_FMA(a, b, c); }
PARLEY_INLINE V fnma(V a, V b, V c) { return PARLEY_FNMA(a, b, c); }  // c - a b
constexpr double MAGIC = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds a number below 2^51 in size
PARLEY_INLINE V nearest(V x) { return (x + all(MAGIC)) - all(MAGIC); }

template <int D>
PARLEY_INLINE void exchange(V* v) {
  if constexpr (D >= 1) {
    M low, high;
    for (int l = 0; l < W; ++l) {
      low[l] = (l & D) ? W + l - D : l;
      high[l] = (l & D) ? W + l : l + D;
    }
    for (int i = 0; i < W; ++i)
      if (!(i & D)) {
        const V a = v[i], b = v[i + D];
        v[i] = __builtin_shuffle(a, b, low);
        v[i + D] = __builtin_shuffle(a, b, high);
      }
    exchange<D / 2>(v);
  }
}
// W vectors as a W x W matrix, turned over.
PARLEY_INLINE void transpose(V* v) { exchange<W / 2>(v); }

}  // namespace
}  // namespace parley::lattice

#include "lattice_unit_stream.hpp"
#include "lattice_unit_ring.hpp"
#include "lattice_unit_spectrum.hpp"
#include "lattice_unit_sums.hpp"

namespace parley::lattice {

extern const Kernel PARLEY_KERNEL = {
    PARLEY_NAME, W, keystream, forward, inverse, multiply, add, scale, add_small, binomial, lift, fold, distance,
    shape, plan, spectrum, accumulate, accumulate_factors, coefficients, slices, factor_slices,
};

}  // namespace parley::lattice
