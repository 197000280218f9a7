// Which kernel runs: the widest the CPU has, or the portable one where PARLEY_CPU=baseline asks for it. Results
// are the same bytes either way.
#include <cstdlib>
#include <stdexcept>
#include <string_view>

#include "ristretto.hpp"

namespace parley {

bool cpu_has_ifma() {
#if defined(PARLEY_HAS_IFMA)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512ifma");
#else
  return false;
#endif
}

const RistrettoKernel& ristretto_kernel() {
  const char* wanted = std::getenv("PARLEY_CPU");
  const bool baseline = wanted != nullptr && std::string_view(wanted) == "baseline";
  if (wanted != nullptr && *wanted != 0 && !baseline)
    throw std::invalid_argument("PARLEY_CPU is unset, empty or baseline");
#if defined(PARLEY_HAS_IFMA)
  if (!baseline && cpu_has_ifma()) return RISTRETTO_IFMA;
#endif
  return RISTRETTO_BASELINE;
}

}  // namespace parley
