// SHA-256 by the CPU's own instructions, two messages side by side to hide their latency.
#include <immintrin.h>

#include <cstring>

#include "blocks.hpp"
#include "sha256.hpp"

namespace parley {
namespace {

using u8 = std::uint8_t;

inline __m128i load(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }

inline __m128i swapped(__m128i x) { // bytes of each 32-bit word
  return _mm_shuffle_epi8(x, _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll));
}

// State as the instructions want it: (a, b, e, f) and (c, d, g, h), first letter in the highest word.
struct State {
  __m128i abef, cdgh;
};

inline State packed(const std::uint32_t* h) {
  auto word = [&](int i) { return static_cast<int>(h[i]); };
  return {_mm_set_epi32(word(0), word(1), word(4), word(5)), _mm_set_epi32(word(2), word(3), word(6), word(7))};
}

template <int L>
inline void rounds(State s[L], const u8* blocks, std::size_t stride) {
  __m128i m[L][4];
  State t[L];
  for (int l = 0; l < L; l++) {
    for (int i = 0; i < 4; i++) m[l][i] = swapped(load(blocks + stride * static_cast<std::size_t>(l) + 16 * i));
    t[l] = s[l];
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) {
    const __m128i k = load(SHA256_K + 4 * i);
    for (int l = 0; l < L; l++) {
      const __m128i w = _mm_add_epi32(m[l][i & 3], k);
      t[l].cdgh = _mm_sha256rnds2_epu32(t[l].cdgh, t[l].abef, w);
      t[l].abef = _mm_sha256rnds2_epu32(t[l].abef, t[l].cdgh, _mm_shuffle_epi32(w, 0x0e));
      if (i < 12) {
        const __m128i x = _mm_sha256msg1_epu32(m[l][i & 3], m[l][(i + 1) & 3]);
        const __m128i y = _mm_alignr_epi8(m[l][(i + 3) & 3], m[l][(i + 2) & 3], 4);
        m[l][i & 3] = _mm_sha256msg2_epu32(_mm_add_epi32(x, y), m[l][(i + 3) & 3]);
      }
    }
  }
  for (int l = 0; l < L; l++)
    s[l] = {_mm_add_epi32(t[l].abef, s[l].abef), _mm_add_epi32(t[l].cdgh, s[l].cdgh)};
}

// (b, a) and (d, c), lowest first, are a, b, c, d in memory once each pair of words is reversed bytewise.
inline void digest(u8* out, const State& s) {
  const __m128i reverse = _mm_set_epi64x(0x08090a0b0c0d0e0fll, 0x0001020304050607ll);
  const __m128i front = _mm_shuffle_epi8(_mm_unpackhi_epi64(s.abef, s.cdgh), reverse);
  const __m128i back = _mm_shuffle_epi8(_mm_unpacklo_epi64(s.abef, s.cdgh), reverse);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), front);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 16), back);
}

template <int L>
inline void some(const u8* blocks, u8* digests) {
  State s[L];
  for (int l = 0; l < L; l++) s[l] = packed(SHA256_IV);
  rounds<L>(s, blocks, 64);
  for (int l = 0; l < L; l++) digest(digests + 32 * l, s[l]);
}

void single(const u8* blocks, u8* digests, std::size_t n) {
  constexpr int L = 2;
  for (; n >= L; n -= L, blocks += 64 * L, digests += 32 * L) some<L>(blocks, digests);
  for (; n > 0; n--, blocks += 64, digests += 32) some<1>(blocks, digests);
}

void compress(std::uint32_t h[8], const u8* blocks, std::size_t n) {
  State s[1] = {packed(h)};
  for (; n > 0; n--, blocks += 64) rounds<1>(s, blocks, 64);
  u8 bytes[32];
  digest(bytes, s[0]);
  for (int i = 0; i < 8; i++) {
    std::uint32_t x;
    std::memcpy(&x, bytes + 4 * i, 4);
    h[i] = __builtin_bswap32(x);
  }
}

} // namespace

const ShaKernel SHA256_NI = {"sha-ni", single, compress};

} // namespace parley
