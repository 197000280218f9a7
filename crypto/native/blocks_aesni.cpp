// x86 with AES-NI, PCLMULQDQ and AVX2.
#include <immintrin.h>

#include <cstring>

#include "blocks.hpp"

namespace parley {
namespace {

#include "blocks_x86.hpp"

struct Aes {
  Schedule s;
  explicit Aes(const u8* key) : s(key) {}

  void encrypt(u8* x, std::size_t n) const { // in place
    for (; n >= 8; n -= 8, x += 128) some<8>(x);
    for (; n > 0; n--, x += 16) some<1>(x);
  }

 private:
  template <int N>
  void some(u8* x) const {
    __m128i b[N];
    for (int i = 0; i < N; i++) b[i] = _mm_xor_si128(load(x + 16 * i), s.round[0]);
    for (int r = 1; r < 10; r++)
      for (int i = 0; i < N; i++) b[i] = _mm_aesenc_si128(b[i], s.round[r]);
    for (int i = 0; i < N; i++) store(x + 16 * i, _mm_aesenclast_si128(b[i], s.round[10]));
  }
};

#include "blocks_group.hpp"

} // namespace

const BlockKernel BLOCKS_AESNI = Kernel::all("aesni");

} // namespace parley
