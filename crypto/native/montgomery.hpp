// Batch arithmetic modulo one odd number of 16 to 96 limbs (64 bits each), Montgomery form, portable C++.
// Guarantee: results depend on the inputs alone, never on the CPU or the number of threads.
// Not guaranteed: constant time. Table indices and branches depend on nonces and exponents of the machine's owner.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace parley {

using Limb = uint64_t;

class Modulus {
 public:
  Modulus(const Limb* n, size_t limbs);
  size_t limbs() const { return limbs_; }
  const Limb* value() const { return n_.data(); }
  const Limb* one() const { return one_.data(); }      // R mod n
  const Limb* square() const { return r2_.data(); }    // R^2 mod n
  // out = a * b / R mod n; any of the three may be the same.
  void mul(Limb* out, const Limb* a, const Limb* b) const { mul_(out, a, b, n_.data(), inv_, limbs_); }
  // out = a^e, a in Montgomery form, e of `words` limbs; fixed windows of four bits.
  void pow(Limb* out, const Limb* a, const Limb* e, size_t words) const;

 private:
  using Mul = void (*)(Limb*, const Limb*, const Limb*, const Limb*, Limb, size_t);
  size_t limbs_;
  Limb inv_;
  std::vector<Limb> n_, one_, r2_;
  Mul mul_;
};

// base^(digit << (8 * window)) for every window and digit: a fixed-base power is one product per byte of the exponent.
class FixedBase {
 public:
  FixedBase(const Modulus& m, const Limb* base_mont, size_t exponent_bytes, int threads);
  // out (Montgomery form) = base^e, e little endian of exponent_bytes.
  void pow(Limb* out, const uint8_t* e) const;
  size_t bytes() const { return windows_; }

 private:
  const Modulus& m_;
  size_t windows_;
  std::vector<Limb> table_;
};

// Runs body(begin, end) over [0, n) on up to `threads` threads.
void parallel(size_t n, int threads, void (*body)(void*, size_t, size_t), void* state);

}  // namespace parley
