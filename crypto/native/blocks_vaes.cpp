// x86 with AVX-512 and VAES: four AES blocks an instruction, and the convolution in registers.
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
    for (; n >= 16; n -= 16, x += 256) some<4>(x);
    for (; n >= 4; n -= 4, x += 64) some<1>(x);
    for (; n > 0; n--, x += 16) {
      __m128i b = _mm_xor_si128(load(x), s.round[0]);
      for (int r = 1; r < 10; r++) b = _mm_aesenc_si128(b, s.round[r]);
      store(x, _mm_aesenclast_si128(b, s.round[10]));
    }
  }

 private:
  template <int N> // fours
  void some(u8* x) const {
    __m512i b[N], k = _mm512_broadcast_i32x4(s.round[0]);
    for (int i = 0; i < N; i++) b[i] = _mm512_xor_si512(_mm512_loadu_si512(x + 64 * i), k);
    for (int r = 1; r < 10; r++) {
      k = _mm512_broadcast_i32x4(s.round[r]);
      for (int i = 0; i < N; i++) b[i] = _mm512_aesenc_epi128(b[i], k);
    }
    k = _mm512_broadcast_i32x4(s.round[10]);
    for (int i = 0; i < N; i++) _mm512_storeu_si512(x + 64 * i, _mm512_aesenclast_epi128(b[i], k));
  }
};

// One register holds PER positions; the window of REGISTERS registers holds a position and everything it reaches.
template <int PER, int REGISTERS>
struct Window {
  __m512i w[REGISTERS];

  void load_from(const u8* z) {
    for (int k = 0; k < REGISTERS; k++) w[k] = _mm512_loadu_si512(z + 64 * k);
  }
  void store_to(u8* z) const {
    for (int k = 0; k < REGISTERS; k++) _mm512_storeu_si512(z + 64 * k, w[k]);
  }
  void add(__m512i x, u64 mask) { // mask: one bit for each 64-bit word of the window
    for (int k = 0; k < REGISTERS; k++)
      w[k] = _mm512_mask_xor_epi64(w[k], static_cast<__mmask8>(mask >> (8 * k)), w[k], x);
  }
  // The first register is done; the window moves on by one.
  void advance(u8* z) {
    _mm512_storeu_si512(z, w[0]);
    for (int k = 0; k + 1 < REGISTERS; k++) w[k] = w[k + 1];
    w[REGISTERS - 1] = _mm512_loadu_si512(z + 64 * REGISTERS);
  }
};

template <int P>
inline void step128(Window<4, 7>& window, u32 taps) {
  const u64 reach = _pdep_u64(static_cast<u64>(taps) << (P + 1), 0x5555555555555555ull) * 3;
  window.add(_mm512_shuffle_i64x2(window.w[0], window.w[0], P * 0x55), reach);
}

// Positions [0, n) of a row whose positions up to n + 32 exist; n is a multiple of 4 (8 for words).
inline void convolve_inner(Block* z, std::size_t n, const u32* taps) {
  if (n == 0) return;
  u8* at = reinterpret_cast<u8*>(z);
  Window<4, 7> window;
  window.load_from(at);
  for (std::size_t i = 0; i < n; i += 4, at += 64) {
    step128<0>(window, taps[i]);
    step128<1>(window, taps[i + 1]);
    step128<2>(window, taps[i + 2]);
    step128<3>(window, taps[i + 3]);
    window.advance(at);
  }
  window.store_to(at);
}

inline void convolve_inner(u64* z, std::size_t n, const u32* taps) {
  if (n == 0) return;
  u8* at = reinterpret_cast<u8*>(z);
  Window<8, 4> window;
  window.load_from(at);
  for (std::size_t i = 0; i < n; i += 8, at += 64) {
    for (int p = 0; p < 8; p++)
      window.add(_mm512_permutexvar_epi64(_mm512_set1_epi64(p), window.w[0]), static_cast<u64>(taps[i + p]) << (p + 1));
    window.advance(at);
  }
  window.store_to(at);
}

#define PARLEY_CONVOLVE_INNER
#include "blocks_group.hpp"

} // namespace

const BlockKernel BLOCKS_VAES = Kernel::all("vaes");

} // namespace parley
