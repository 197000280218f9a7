// SHA-256's constants, its portable kernel, and salted hashing of many short messages with any kernel.
#include "sha256.hpp"

#include <cstring>

#include "blocks.hpp"

namespace parley {

const std::uint32_t SHA256_IV[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

alignas(16) const std::uint32_t SHA256_K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

namespace {
#include "sha256_lanes.hpp"

// Salt of 16 bytes and at most 39 of message: one block, cut off by a mask so that 48 bytes can be copied at once.
constexpr std::size_t SALT = 16, FITS = 64 - SALT - 9, COPIED = 48;

struct Cut {
  std::uint8_t mask[2 * COPIED] = {};
  constexpr Cut() {
    for (std::size_t i = 0; i < COPIED; i++) mask[i] = 0xff;
  }
};
constexpr Cut CUT;

void one_block(std::uint8_t* block, const std::uint8_t* salt, const std::uint8_t* message, std::size_t bytes,
               bool room) {
  std::uint64_t body[6] = {}, mask[6];
  if (room) {
    std::memcpy(body, message, COPIED);
    std::memcpy(mask, CUT.mask + COPIED - bytes, COPIED);
    for (int i = 0; i < 6; i++) body[i] &= mask[i];
  } else {
    std::memcpy(body, message, bytes);
  }
  std::memcpy(block, salt, SALT);
  std::memcpy(block + SALT, body, COPIED);
  const std::size_t bits = 8 * (SALT + bytes);
  block[SALT + bytes] = 0x80;
  block[62] = static_cast<std::uint8_t>(bits >> 8), block[63] = static_cast<std::uint8_t>(bits);
}

void whole(const ShaKernel& kernel, const std::uint8_t* salt, std::size_t salt_bytes, const std::uint8_t* message,
           std::size_t bytes, std::uint8_t* out) {
  std::uint32_t h[8];
  std::memcpy(h, SHA256_IV, sizeof h);
  std::uint8_t buffer[64];
  std::size_t used = 0;
  const std::uint8_t* parts[2] = {salt, message};
  const std::size_t sizes[2] = {salt_bytes, bytes};
  for (int k = 0; k < 2; k++)
    for (std::size_t i = 0; i < sizes[k];) {
      const std::size_t n = sizes[k] - i < 64 - used ? sizes[k] - i : 64 - used;
      std::memcpy(buffer + used, parts[k] + i, n);
      used += n, i += n;
      if (used == 64) kernel.compress(h, buffer, 1), used = 0;
    }
  buffer[used++] = 0x80;
  if (used > 56) {
    std::memset(buffer + used, 0, 64 - used);
    kernel.compress(h, buffer, 1), used = 0;
  }
  std::memset(buffer + used, 0, 56 - used);
  const std::uint64_t bits = __builtin_bswap64(8 * static_cast<std::uint64_t>(salt_bytes + bytes));
  std::memcpy(buffer + 56, &bits, 8);
  kernel.compress(h, buffer, 1);
  for (int i = 0; i < 8; i++) {
    const std::uint32_t x = __builtin_bswap32(h[i]);
    std::memcpy(out + 4 * i, &x, 4);
  }
}

} // namespace

void sha256_salted(const ShaKernel& kernel, const std::uint8_t* salt, std::size_t salt_bytes, const std::uint8_t* data,
                   const std::int64_t* offsets, std::size_t n, std::uint8_t* out) {
  constexpr std::size_t BATCH = 32;
  alignas(64) std::uint8_t blocks[64 * BATCH];
  const std::int64_t end = offsets[n];
  for (std::size_t at = 0; at < n;) {
    std::size_t k = 0;
    for (; k < BATCH && at + k < n; k++) {
      const std::int64_t from = offsets[at + k];
      const auto bytes = static_cast<std::size_t>(offsets[at + k + 1] - from);
      if (salt_bytes != SALT || bytes > FITS) break;
      one_block(blocks + 64 * k, salt, data + from, bytes, end - from >= static_cast<std::int64_t>(COPIED));
    }
    kernel.single(blocks, out + 32 * at, k);
    at += k;
    if (k == BATCH || at == n) continue;
    whole(kernel, salt, salt_bytes, data + offsets[at], static_cast<std::size_t>(offsets[at + 1] - offsets[at]),
          out + 32 * at);
    at++;
  }
}

const ShaKernel SHA256_BASELINE = {"baseline", single, compress};

} // namespace parley
