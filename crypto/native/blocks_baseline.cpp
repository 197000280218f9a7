// Portable kernel: AES-128 bitsliced over sixteen blocks, so that no table is indexed by a secret; GF(2^64) by
// shifts and masks. Slow beside the CPU's own instructions, and the reference they are tested against.
#include <cstring>

#include "blocks.hpp"

namespace parley {
namespace {

using u8 = std::uint8_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

// Bit j of every byte of sixteen blocks: element c is column c of the state, row r of it at bits 16 r to 16 r + 15.
typedef u64 Plane __attribute__((vector_size(32)));

struct Planes {
  Plane b[8];
};

inline u64 transpose8(u64 x) { // 8 x 8 bits
  u64 t = (x ^ (x >> 7)) & 0x00aa00aa00aa00aaull;
  x ^= t ^ (t << 7);
  t = (x ^ (x >> 14)) & 0x0000cccc0000ccccull;
  x ^= t ^ (t << 14);
  t = (x ^ (x >> 28)) & 0x00000000f0f0f0f0ull;
  return x ^ t ^ (t << 28);
}

void slice(const u8* in, Planes& p) {
  u64 words[8][4] = {};
  for (int i = 0; i < 16; i++) {
    u64 half[2] = {0, 0};
    for (int k = 0; k < 16; k++) half[k / 8] |= u64(in[16 * k + i]) << (8 * (k % 8));
    const u64 low = transpose8(half[0]), high = transpose8(half[1]);
    for (int j = 0; j < 8; j++) {
      const u64 sixteen = ((low >> (8 * j)) & 0xff) | (((high >> (8 * j)) & 0xff) << 8);
      words[j][i / 4] |= sixteen << (16 * (i % 4));
    }
  }
  std::memcpy(p.b, words, sizeof words);
}

void unslice(const Planes& p, u8* out) {
  u64 words[8][4];
  std::memcpy(words, p.b, sizeof words);
  for (int i = 0; i < 16; i++) {
    u64 low = 0, high = 0;
    for (int j = 0; j < 8; j++) {
      const u64 sixteen = words[j][i / 4] >> (16 * (i % 4));
      low |= (sixteen & 0xff) << (8 * j);
      high |= ((sixteen >> 8) & 0xff) << (8 * j);
    }
    low = transpose8(low), high = transpose8(high);
    for (int k = 0; k < 8; k++) out[16 * k + i] = u8(low >> (8 * k)), out[16 * (k + 8) + i] = u8(high >> (8 * k));
  }
}

inline void reduce8(Plane c[15], Planes& r) { // modulo x^8 + x^4 + x^3 + x + 1
  for (int k = 14; k >= 8; k--) c[k - 8] ^= c[k], c[k - 7] ^= c[k], c[k - 5] ^= c[k], c[k - 4] ^= c[k];
  for (int k = 0; k < 8; k++) r.b[k] = c[k];
}

void times8(const Planes& x, const Planes& y, Planes& r) {
  Plane c[15] = {};
  for (int i = 0; i < 8; i++)
    for (int j = 0; j < 8; j++) c[i + j] ^= x.b[i] & y.b[j];
  reduce8(c, r);
}

void square8(const Planes& x, Planes& r) {
  Plane c[15] = {};
  for (int i = 0; i < 8; i++) c[2 * i] = x.b[i];
  reduce8(c, r);
}

// The S-box: x^254 by 2, 3, 12, 15, 240, 252, then the affine map.
void sub_bytes(Planes& x) {
  Planes x2, x3, x12, t;
  square8(x, x2);
  times8(x2, x, x3);
  square8(x3, t), square8(t, x12);
  times8(x12, x3, t);
  for (int k = 0; k < 4; k++) square8(t, t);
  times8(t, x12, t);
  times8(t, x2, t);
  for (int i = 0; i < 8; i++) {
    x.b[i] = t.b[i] ^ t.b[(i + 4) % 8] ^ t.b[(i + 5) % 8] ^ t.b[(i + 6) % 8] ^ t.b[(i + 7) % 8];
    if ((0x63 >> i) & 1) x.b[i] = ~x.b[i];
  }
}

inline void shift_rows(Planes& x) {
  for (auto& b : x.b) {
    const Plane one = __builtin_shufflevector(b, b, 1, 2, 3, 0), two = __builtin_shufflevector(b, b, 2, 3, 0, 1);
    const Plane three = __builtin_shufflevector(b, b, 3, 0, 1, 2);
    b = (b & 0xffffull) | (one & 0xffff0000ull) | (two & 0xffff00000000ull) | (three & 0xffff000000000000ull);
  }
}

inline void mix_columns(Planes& x) {
  Planes t, next;
  for (int i = 0; i < 8; i++) {
    next.b[i] = (x.b[i] >> 16) | (x.b[i] << 48);
    t.b[i] = x.b[i] ^ next.b[i];
  }
  for (int i = 0; i < 8; i++) {
    Plane doubled = i ? t.b[i - 1] : t.b[7];
    if (i == 1 || i == 3 || i == 4) doubled ^= t.b[7];
    x.b[i] = doubled ^ next.b[i] ^ ((t.b[i] >> 32) | (t.b[i] << 32));
  }
}

struct Aes {
  Planes round[11];

  explicit Aes(const u8* key) {
    u8 k[11][16], rcon = 1;
    std::memcpy(k[0], key, 16);
    for (int r = 1; r < 11; r++) {
      u8 word[256] = {};
      for (int i = 0; i < 4; i++) word[i] = k[r - 1][12 + (i + 1) % 4];
      Planes p;
      slice(word, p), sub_bytes(p), unslice(p, word);
      word[0] ^= rcon;
      rcon = u8((rcon << 1) ^ (0x1b & -(rcon >> 7)));
      for (int i = 0; i < 16; i++) k[r][i] = k[r - 1][i] ^ (i < 4 ? word[i] : k[r][i - 4]);
    }
    for (int r = 0; r < 11; r++) {
      u8 same[256];
      for (int b = 0; b < 16; b++) std::memcpy(same + 16 * b, k[r], 16);
      slice(same, round[r]);
    }
  }

  void encrypt(u8* x, std::size_t n) const { // in place
    u8 rest[256] = {};
    for (; n > 0; n -= n < 16 ? n : 16, x += 256) {
      u8* at = n < 16 ? rest : x;
      if (n < 16) std::memcpy(rest, x, 16 * n);
      Planes p;
      slice(at, p);
      add(p, 0);
      for (int r = 1; r < 11; r++) {
        sub_bytes(p), shift_rows(p);
        if (r < 10) mix_columns(p);
        add(p, r);
      }
      unslice(p, at);
      if (n < 16) std::memcpy(x, rest, 16 * n);
    }
  }

 private:
  void add(Planes& p, int r) const {
    for (int i = 0; i < 8; i++) p.b[i] ^= round[r].b[i];
  }
};

inline Block clmul(u64 a, u64 b) {
  u64 lo = 0, hi = 0;
  for (int i = 0; i < 64; i++) {
    const u64 m = 0 - ((b >> i) & 1);
    lo ^= (a << i) & m;
    hi ^= i ? (a >> (64 - i)) & m : 0;
  }
  return {lo, hi};
}

inline u64 reduce64(Block c) { // modulo x^64 + x^4 + x^3 + x + 1
  const u64 over = (c.hi >> 63) ^ (c.hi >> 61) ^ (c.hi >> 60);
  const u64 hi = c.hi ^ over;
  return c.lo ^ hi ^ (hi << 1) ^ (hi << 3) ^ (hi << 4);
}

// 8 x 8 bits at a time.
void transpose(const u64* rows, std::size_t words, Block* out) {
  const u8* in = reinterpret_cast<const u8*>(rows);
  u8* to = reinterpret_cast<u8*>(out);
  const std::size_t width = 8 * words;
  for (std::size_t column = 0; column < width; column++)
    for (int r = 0; r < 16; r++) {
      u64 x = 0;
      for (int k = 0; k < 8; k++) x |= u64(in[(8 * r + k) * width + column]) << (8 * k);
      x = transpose8(x);
      for (int k = 0; k < 8; k++) to[16 * (8 * column + k) + r] = u8(x >> (8 * k));
    }
}

#include "blocks_group.hpp"

} // namespace

const BlockKernel BLOCKS_BASELINE = Kernel::all("baseline");

} // namespace parley
