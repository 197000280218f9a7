// Primitives that both x86 kernels share. Included inside each one's unnamed namespace, like the group.

using u8 = std::uint8_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

inline __m128i load(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline void store(void* p, __m128i x) { _mm_storeu_si128(static_cast<__m128i*>(p), x); }

struct Schedule {
  __m128i round[11];

  explicit Schedule(const u8* key) {
    round[0] = load(key);
    next<0x01>(1), next<0x02>(2), next<0x04>(3), next<0x08>(4), next<0x10>(5);
    next<0x20>(6), next<0x40>(7), next<0x80>(8), next<0x1b>(9), next<0x36>(10);
  }

 private:
  template <int Rcon>
  void next(int r) {
    __m128i k = round[r - 1];
    const __m128i word = _mm_shuffle_epi32(_mm_aeskeygenassist_si128(k, Rcon), 0xff);
    for (int i = 0; i < 3; i++) k = _mm_xor_si128(k, _mm_slli_si128(k, 4));
    round[r] = _mm_xor_si128(k, word);
  }
};

inline Block clmul(u64 a, u64 b) {
  const __m128i c = _mm_clmulepi64_si128(_mm_cvtsi64_si128(static_cast<long long>(a)),
                                         _mm_cvtsi64_si128(static_cast<long long>(b)), 0);
  return {static_cast<u64>(_mm_cvtsi128_si64(c)), static_cast<u64>(_mm_extract_epi64(c, 1))};
}

inline u64 reduce64(Block c) { // modulo x^64 + x^4 + x^3 + x + 1
  const __m128i r = _mm_cvtsi64_si128(0x1b);
  const __m128i x = _mm_set_epi64x(static_cast<long long>(c.hi), static_cast<long long>(c.lo));
  const __m128i once = _mm_clmulepi64_si128(x, r, 0x01);
  const __m128i twice = _mm_clmulepi64_si128(once, r, 0x01);
  return static_cast<u64>(_mm_cvtsi128_si64(_mm_xor_si128(x, _mm_xor_si128(once, twice))));
}

// Sixteen rows and eight columns at a time: a byte of each row, whose top bits movemask gathers.
inline void transpose(const u64* rows, std::size_t words, Block* out) {
  const u8* in = reinterpret_cast<const u8*>(rows);
  u8* to = reinterpret_cast<u8*>(out);
  const std::size_t width = 8 * words;
  for (std::size_t column = 0; column < width; column++)
    for (int r = 0; r < 8; r++) {
      alignas(16) u8 bytes[16];
      for (int k = 0; k < 16; k++) bytes[k] = in[(16 * r + k) * width + column];
      __m128i x = load(bytes);
      for (int k = 7; k >= 0; k--) {
        const std::uint16_t bits = static_cast<std::uint16_t>(_mm_movemask_epi8(x));
        std::memcpy(to + 16 * (8 * column + k) + 2 * r, &bits, 2);
        x = _mm_add_epi8(x, x);
      }
    }
}
