// Which symmetric kernels run: the widest the CPU has, or what PARLEY_CPU asks for.
#include <cstdlib>
#include <stdexcept>
#include <string_view>

#if defined(PARLEY_HAS_AESNI)
#include <cpuid.h>
#endif

#include "blocks.hpp"

namespace parley {
namespace {

enum class Path { baseline, avx2, any };

Path wanted() {
  const char* name = std::getenv("PARLEY_CPU");
  if (name == nullptr || *name == 0) return Path::any;
  if (std::string_view(name) == "baseline") return Path::baseline;
  if (std::string_view(name) == "avx2") return Path::avx2;
  throw std::invalid_argument("PARLEY_CPU is unset, empty, avx2 or baseline");
}

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
  const Path path = wanted();
#if defined(PARLEY_HAS_AESNI)
  static const bool vaes = has_vaes(), aesni = has_aesni();
  if (path == Path::any && vaes) return BLOCKS_VAES;
  if (path != Path::baseline && aesni) return BLOCKS_AESNI;
#endif
  (void)path;
  return BLOCKS_BASELINE;
}

const ShaKernel& sha_kernel() {
  const Path path = wanted();
#if defined(PARLEY_HAS_AESNI)
  static const bool sha = has_sha(), avx2 = has_avx2();
  if (path == Path::any && sha) return SHA256_NI;
  if (path != Path::baseline && avx2) return SHA256_AVX2;
#endif
  (void)path;
  return SHA256_BASELINE;
}

} // namespace parley
