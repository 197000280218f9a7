// Arithmetic modulo one 50-bit prime on single words, without a branch or a division: internal to every file that
// includes it, so that no wide copy can stand in for a portable one.
#pragma once
#include "lattice.hpp"

namespace parley::lattice {

static inline u64 less_once(u64 x, u64 q) {  // x - q where that does not wrap
  const u64 y = x - q;
  return y + (q & (0 - (y >> 63)));
}
// x below 2^64.
static inline u64 reduce64(const Prime& p, u64 x) {
  const u64 r = x - static_cast<u64>((static_cast<u128>(x) * p.inverse64) >> 64) * p.q;
  return less_once(less_once(r, p.q), p.q);
}
// a * b below 2^112: the quotient is at most 3 too small.
static inline u64 times(const Prime& p, u64 a, u64 b) {
  const u128 t = static_cast<u128>(a) * b;
  const u64 high = static_cast<u64>(t >> 48);
  const u64 quotient = static_cast<u64>((static_cast<u128>(high) * p.barrett) >> 62);
  const u64 r = static_cast<u64>(t) - quotient * p.q;
  return less_once(less_once(r, 2 * p.q), p.q);
}
static inline u64 plus(u64 q, u64 a, u64 b) { return less_once(a + b, q); }
static inline u64 minus(u64 q, u64 a, u64 b) { return less_once(a + q - b, q); }
// A signed number of less than 2^62 in size.
static inline u64 residue(const Prime& p, i64 v) {
  const u64 sign = static_cast<u64>(v >> 63);
  const u64 r = reduce64(p, (static_cast<u64>(v) ^ sign) - sign);
  const u64 negative = less_once(p.q - r, p.q);
  return (r & ~sign) | (negative & sign);
}

}  // namespace parley::lattice
