// ChaCha20 for 2W blocks at once, and centred binomial noise.
namespace parley::lattice {
namespace {

constexpr int B = 2 * W;  // blocks at once
typedef u32 S __attribute__((vector_size(4 * B), may_alias));
typedef u32 Row __attribute__((vector_size(16), may_alias, aligned(4)));

template <int K>
PARLEY_INLINE S turn(S x) { return (x << K) | (x >> (32 - K)); }

#if PARLEY_LANES == 4
// Whole bytes move by one shuffle; AVX2 has no rotation. (SSE2 has neither, AVX-512 has both.)
typedef u8 Bytes __attribute__((vector_size(4 * B), may_alias));
template <int BYTES>
PARLEY_INLINE S turn_bytes(S x) {
  Bytes from;
  for (int k = 0; k < 4 * B; ++k) from[k] = static_cast<u8>((k & ~3) | ((k - BYTES) & 3));
  return (S)__builtin_shuffle((Bytes)x, from);
}
template <>
inline __attribute__((always_inline)) S turn<16>(S x) { return turn_bytes<2>(x); }
template <>
inline __attribute__((always_inline)) S turn<8>(S x) { return turn_bytes<1>(x); }
#endif

PARLEY_INLINE void quarter(S& a, S& b, S& c, S& d) {
  a += b; d = turn<16>(d ^ a);
  c += d; b = turn<12>(b ^ c);
  a += b; d = turn<8>(d ^ a);
  c += d; b = turn<7>(b ^ c);
}

template <int D>
PARLEY_INLINE void exchange4(S* v) {  // one step of turning 4 x 4 words over, in every 16 bytes
  typedef u32 I __attribute__((vector_size(4 * B)));
  I low, high;
  for (int l = 0; l < B; ++l) {
    low[l] = static_cast<u32>((l & D) ? B + l - D : l);
    high[l] = static_cast<u32>((l & D) ? B + l : l + D);
  }
  for (int i = 0; i < 4; ++i)
    if (!(i & D)) {
      const S a = v[i], b = v[i + D];
      v[i] = __builtin_shuffle(a, b, low);
      v[i + D] = __builtin_shuffle(a, b, high);
    }
}

// Words 4k to 4k + 3 of every block to their places.
PARLEY_INLINE void place(u8* out, S* v, std::size_t blocks) {
  exchange4<2>(v);
  exchange4<1>(v);
  union { S s; Row r[B / 4]; } u;
  for (int i = 0; i < 4; ++i) {
    u.s = v[i];
    for (int g = 0; g < B / 4; ++g)
      if (const std::size_t block = 4 * g + i; block < blocks) *reinterpret_cast<Row*>(out + 64 * block) = u.r[g];
  }
}

void keystream(u8* out, std::size_t blocks, const u8* key, const u8* nonce, u32 counter) {
  u32 word[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
  __builtin_memcpy(word + 4, key, 32);
  word[12] = counter;
  __builtin_memcpy(word + 13, nonce, 12);
  S lane;
  for (int l = 0; l < B; ++l) lane[l] = static_cast<u32>(l);
  for (std::size_t at = 0; at < blocks; at += B) {
    S start[16], x[16];
    for (int i = 0; i < 16; ++i) start[i] = S{} + word[i];
    start[12] += lane + static_cast<u32>(at);
    for (int i = 0; i < 16; ++i) x[i] = start[i];
    for (int round = 0; round < 10; ++round) {
      quarter(x[0], x[4], x[8], x[12]);
      quarter(x[1], x[5], x[9], x[13]);
      quarter(x[2], x[6], x[10], x[14]);
      quarter(x[3], x[7], x[11], x[15]);
      quarter(x[0], x[5], x[10], x[15]);
      quarter(x[1], x[6], x[11], x[12]);
      quarter(x[2], x[7], x[8], x[13]);
      quarter(x[3], x[4], x[9], x[14]);
    }
    for (int i = 0; i < 16; ++i) x[i] += start[i];
    for (int k = 0; k < 4; ++k) place(out + 64 * at + 16 * k, x + 4 * k, blocks - at);
  }
}

// Ones among the low 21 bits of every lane.
PARLEY_INLINE Q ones21(Q x) {
  x &= all(u64{0x1fffff});
  x -= (x >> 1) & all(u64{0x555555});
  x = (x & all(u64{0x333333})) + ((x >> 2) & all(u64{0x333333}));
  x = (x + (x >> 4)) & all(u64{0x0f0f0f});
  return (x + (x >> 8) + (x >> 16)) & all(u64{0x1f});
}

void binomial(i64* out, const u64* words, std::size_t n) {
  for (std::size_t j = 0; j < n; j += W) {
    const Q x = loadq(words + j);
    storeq(reinterpret_cast<u64*>(out) + j, ones21(x) - ones21(x >> 21));
  }
}

}  // namespace
}  // namespace parley::lattice
