// Scalars modulo the group's order, recoded once a batch. Portable, and the same steps for every scalar.
#include <cstring>

#include "ristretto.hpp"

namespace parley {
namespace {

using u64 = std::uint64_t;
constexpr u64 ORDER[4] = {0x5812631a5cf5d3edull, 0x14def9dea2f79cd6ull, 0, 0x1000000000000000ull};

// w += order where `mask` is all ones; no carry leaves the top, since both are below 2^254.
void add_order(u64 w[4], u64 mask) {
    u64 carry = 0;
    for (int i = 0; i < 4; i++) {
        const unsigned __int128 s = static_cast<unsigned __int128>(w[i]) + (ORDER[i] & mask) + carry;
        w[i] = static_cast<u64>(s);
        carry = static_cast<u64>(s >> 64);
    }
}

void halve(u64 w[4]) {
    for (int i = 0; i < 3; i++) w[i] = (w[i] >> 1) | (w[i + 1] << 63);
    w[3] >>= 1;
}

} // namespace

void recode(Digits& out, const std::uint8_t k[32]) {
    u64 w[4];
    std::memcpy(w, k, 32);
    add_order(w, 0 - (w[0] & 1)); // even, then half of it modulo the order
    halve(w);
    add_order(w, (w[0] & 1) - 1); // odd
    // An odd k is sum (2 u_i - 15) 16^i with u = (k + 2^256 - 1) / 2, that is, k >> 1 with bit 255 set.
    halve(w);
    w[3] |= u64(1) << 63;
    for (int i = 0; i < 64; i++) {
        const u64 u = (w[i / 16] >> (4 * (i % 16))) & 15;
        const u64 negative = (u >> 3) - 1;
        const u64 index = u ^ negative;
        out.at[i].negative = negative;
        for (int b = 0; b < 3; b++) out.at[i].bit[b] = 0 - ((index >> b) & 1);
    }
    wipe(w, sizeof w);
}

} // namespace parley
