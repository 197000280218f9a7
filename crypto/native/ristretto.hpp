// Batch ristretto255: one common scalar, n elements.
#pragma once
#include <cstddef>
#include <cstdint>

#include "wipe.hpp"

namespace parley {

// A secret scalar k as 64 odd digits of radix 16, least significant first: half of k modulo the order is
// sum (-1)^negative (2 index + 1) 16^i. Every word is 0 or all ones; the top digit is positive.
struct Digits {
    struct Digit {
        std::uint64_t bit[3]; // of the index, 0 to 7, lowest first
        std::uint64_t negative;
    };
    Digit at[64];
};

// Of a scalar below the group's order, 32 bytes little endian; takes the same steps for every scalar.
void recode(Digits& out, const std::uint8_t k[32]);

// multiply: encodings in; hash: 64 uniform bytes in. `digits` null: no multiplication. `out` null: check only.
// ok[i] is 0 for a non-canonical encoding, the identity as input, and the identity as result; its row is zeros.
struct RistrettoKernel {
    void (*multiply)(std::uint8_t* out, const std::uint8_t* in, std::uint8_t* ok, std::size_t n, const Digits* digits);
    void (*hash)(std::uint8_t* out, const std::uint8_t* uniform64, std::uint8_t* ok, std::size_t n,
                 const Digits* digits);
};

inline constexpr std::uint8_t GENERATOR[32] = {0xe2, 0xf2, 0xae, 0x0a, 0x6a, 0xbc, 0x4e, 0x71, 0xa8, 0x84, 0xa9,
                                               0x61, 0xc5, 0x00, 0x51, 0x5f, 0x58, 0xe3, 0x0b, 0x6a, 0xa5, 0x82,
                                               0xdd, 0x8d, 0xb6, 0xa6, 0x59, 0x45, 0xe0, 0x8d, 0x2d, 0x76};

extern const RistrettoKernel RISTRETTO_BASELINE;
extern const RistrettoKernel RISTRETTO_IFMA; // only where cpu_has_ifma()
// a + b or a - b, portable; false, and zeros, where the inputs or the result are not elements other than the identity.
bool ristretto_add(std::uint8_t* out, const std::uint8_t* a, const std::uint8_t* b, bool minus);
bool cpu_has_ifma();
const RistrettoKernel& ristretto_kernel(); // the one to use here and now; throws on an unknown PARLEY_CPU

} // namespace parley
