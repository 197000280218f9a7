// Which symmetric kernels run: the widest the CPU has, or what PARLEY_CPU asks for.
#if defined(PARLEY_HAS_AESNI)
#include <cpuid.h>
#endif

#include "blocks.hpp"
#include "cpu.hpp"

namespace parley {
namespace {

#if defined(PARLEY_HAS_AESNI)
struct Leaf7 { // for what __builtin_cpu_supports of GCC 12 has no word
  unsigned a = 0, b = 0, c = 0, d = 0;
  Leaf7() { __get_cpuid_count(7, 0, &a, &b, &c, &d); }
};

bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"); }
bool has_aesni() { return has_avx2() && __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul"); }
bool has_vaes() {
  return has_aesni() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") && (Leaf7().c >> 9 & 1);
}
bool has_sha() { return __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3") && (Leaf7().b >> 29 & 1); }
#endif

} // namespace

const BlockKernel& block_kernel() {
  const Widest most = widest_wanted();
#if defined(PARLEY_HAS_AESNI)
  static const bool vaes = has_vaes(), aesni = has_aesni();
  if (most == Widest::ANY && vaes) return BLOCKS_VAES;
  if (most != Widest::BASELINE && aesni) return BLOCKS_AESNI;
#endif
  (void)most;
  return BLOCKS_BASELINE;
}

const ShaKernel& sha_kernel() {
  const Widest most = widest_wanted();
#if defined(PARLEY_HAS_AESNI)
  static const bool sha = has_sha(), avx2 = has_avx2();
  if (most == Widest::ANY && sha) return SHA256_NI;
  if (most != Widest::BASELINE && avx2) return SHA256_AVX2;
#endif
  (void)most;
  return SHA256_BASELINE;
}

} // namespace parley
