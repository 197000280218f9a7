// Which kernel runs: the widest the CPU has, or what PARLEY_CPU asks for: "baseline", the portable code everywhere, or
// "avx2", at most AVX2 (code without a version for it is then the portable one). Results are the same bytes either way.
#include <cstdlib>
#include <stdexcept>
#include <string_view>

#include "cpu.hpp"
#include "lattice.hpp"
#include "ristretto.hpp"

namespace parley {

Widest widest_wanted() {
  const char* set = std::getenv("PARLEY_CPU");
  const std::string_view name = set == nullptr ? "" : set;
  if (name.empty()) return Widest::ANY;
  if (name == "avx2") return Widest::AVX2;
  if (name == "baseline") return Widest::BASELINE;
  throw std::invalid_argument("PARLEY_CPU is unset, empty, avx2 or baseline");
}

bool cpu_has_ifma() {
#if defined(PARLEY_HAS_IFMA)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512ifma");
#else
  return false;
#endif
}

const RistrettoKernel& ristretto_kernel() {
  const Widest most = widest_wanted();
#if defined(PARLEY_HAS_IFMA)
  if (most == Widest::ANY && cpu_has_ifma()) return RISTRETTO_IFMA;
#endif
  (void)most;
  return RISTRETTO_BASELINE;
}

namespace lattice {

const Kernel& kernel() {
  const Widest most = widest_wanted();
#if defined(PARLEY_HAS_IFMA)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (most == Widest::ANY && avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return AVX512;
  if (most != Widest::BASELINE && avx2) return AVX2;
#endif
  (void)most;
  return BASELINE;
}

}  // namespace lattice
}  // namespace parley
