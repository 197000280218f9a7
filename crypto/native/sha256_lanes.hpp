// SHA-256 (FIPS 180-4) over any width of lanes. Included by each unit inside its own unnamed namespace.

typedef std::uint32_t Lanes __attribute__((vector_size(32), may_alias));
constexpr std::size_t WIDTH = 8;

#define PARLEY_ROTR(x, n) (((x) >> (n)) | ((x) << (32 - (n))))

// One compression of a block of sixteen words in every lane.
template <class V>
inline void rounds(V h[8], V w[16]) {
  V a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], k = h[7];
  for (int i = 0; i < 64; i++) {
    if (i >= 16) {
      const V x = w[(i + 1) & 15], y = w[(i + 14) & 15];
      w[i & 15] += (PARLEY_ROTR(x, 7) ^ PARLEY_ROTR(x, 18) ^ (x >> 3)) + w[(i + 9) & 15] +
                   (PARLEY_ROTR(y, 17) ^ PARLEY_ROTR(y, 19) ^ (y >> 10));
    }
    const V t = k + (PARLEY_ROTR(e, 6) ^ PARLEY_ROTR(e, 11) ^ PARLEY_ROTR(e, 25)) + (g ^ (e & (f ^ g))) +
                SHA256_K[i] + w[i & 15];
    const V u = (PARLEY_ROTR(a, 2) ^ PARLEY_ROTR(a, 13) ^ PARLEY_ROTR(a, 22)) + ((a & b) | (c & (a | b)));
    k = g, g = f, f = e, e = d + t, d = c, c = b, b = a, a = t + u;
  }
  h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e, h[5] += f, h[6] += g, h[7] += k;
}

inline std::uint32_t big(const std::uint8_t* p) {
  std::uint32_t x;
  std::memcpy(&x, p, 4);
  return __builtin_bswap32(x);
}

inline void compress(std::uint32_t state[8], const std::uint8_t* blocks, std::size_t n) {
  for (; n > 0; n--, blocks += 64) {
    std::uint32_t w[16];
    for (int i = 0; i < 16; i++) w[i] = big(blocks + 4 * i);
    rounds<std::uint32_t>(state, w);
  }
}

inline void single(const std::uint8_t* blocks, std::uint8_t* digests, std::size_t n) {
  for (std::size_t at = 0; at < n; at += WIDTH) {
    const std::size_t lanes = n - at < WIDTH ? n - at : WIDTH;
    std::uint32_t words[16][WIDTH] = {}, state[8][WIDTH];
    for (std::size_t l = 0; l < lanes; l++)
      for (int i = 0; i < 16; i++) words[i][l] = big(blocks + 64 * (at + l) + 4 * i);
    Lanes w[16], h[8];
    std::memcpy(w, words, sizeof w);
    for (int i = 0; i < 8; i++) h[i] = Lanes{} + SHA256_IV[i];
    rounds<Lanes>(h, w);
    std::memcpy(state, h, sizeof h);
    for (std::size_t l = 0; l < lanes; l++)
      for (int i = 0; i < 8; i++) {
        const std::uint32_t x = __builtin_bswap32(state[i][l]);
        std::memcpy(digests + 32 * (at + l) + 4 * i, &x, 4);
      }
  }
}
