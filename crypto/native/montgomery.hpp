// Batch arithmetic modulo one odd number of 16 to 96 limbs (64 bits each), Montgomery form: portable C++, and eight
// rows at a time where the CPU has AVX-512-IFMA.
// Guarantee: what leaves Montgomery form depends on the inputs alone, never on the CPU or the number of threads.
// Montgomery form itself is x * R mod n with the kernel's own R: such rows stay with the modulus that made them.
// Not guaranteed: constant time. Table indices and branches depend on nonces and exponents of the machine's owner.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace parley {

using Limb = uint64_t;

// Several rows per instruction. Rows are of 64-bit limbs, below n, before and after every call.
class Lanes {
 public:
  static constexpr size_t COUNT = 8;
  // Lane j multiplies the rows `from[j]` to `to[j]` of a list into the bins of feature[j].
  struct Tasks {
    size_t count, feature[COUNT], from[COUNT], to[COUNT];
  };
  struct Table {
    const Limb* ct;
    const uint16_t* bins;
    const int64_t* rows;
    size_t features, n_bins;
  };

  virtual ~Lanes() = default;
  virtual size_t r_bits() const = 0;
  virtual void enable(const Limb* one) = 0;  // R mod n, before the calls below other than mul
  virtual void mul(Limb* out, const Limb* a, const Limb* b, size_t b_step, size_t n) const = 0;
  virtual void pow(Limb* out, const Limb* a, const Limb* e, size_t words, size_t n) const = 0;
  virtual void walk(Limb* out, const Limb* table, const uint8_t* e, size_t windows, size_t n) const = 0;
  virtual void join(Limb* out, const Limb* x, size_t n, size_t group, size_t shift, size_t from, size_t to) const = 0;
  virtual void tally(Limb* out, const Table& t, const Tasks& tasks) const = 0;
};

// Null where there is no code for this size. Only on a CPU with AVX-512-IFMA.
std::unique_ptr<Lanes> lanes_ifma(const Limb* n, size_t limbs);

class Modulus {
 public:
  Modulus(const Limb* n, size_t limbs);
  const char* kernel() const { return lanes_ ? "ifma" : "baseline"; }
  size_t lanes() const { return lanes_ ? Lanes::COUNT : 1; }
  size_t limbs() const { return limbs_; }
  const Limb* value() const { return n_.data(); }
  const Limb* one() const { return one_.data(); }      // R mod n
  const Limb* square() const { return r2_.data(); }    // R^2 mod n
  // out = a * b / R mod n; any of the three may be the same.
  void mul(Limb* out, const Limb* a, const Limb* b) const { mul(out, a, b, limbs_, 1); }
  // The same for n rows; the row of b advances by b_step limbs, 0 for one that serves all.
  void mul(Limb* out, const Limb* a, const Limb* b, size_t b_step, size_t n) const;
  // out = a^e for n rows in Montgomery form, one e of `words` limbs; fixed windows of four bits.
  void pow(Limb* out, const Limb* a, const Limb* e, size_t words, size_t n) const;
  // The product of n rows.
  void product(Limb* out, const Limb* x, size_t n) const;
  // For groups [from, to): out[g] = prod_j x[g * group + j]^(2^(shift * j)); the last of all may be shorter.
  void join(Limb* out, const Limb* x, size_t n, size_t group, size_t shift, size_t from, size_t to) const;
  // (features, n_bins) products of the m listed rows that fall in each bin; an empty bin is one.
  void histogram(Limb* out, const Lanes::Table& t, size_t m, int threads) const;

 private:
  friend class FixedBase;
  using Mul = void (*)(Limb*, const Limb*, const Limb*, const Limb*, Limb, size_t);
  void power(Limb* out, const Limb* a, const Limb* e, size_t words) const;
  void histogram_one(Limb* out, const Lanes::Table& t, size_t m, size_t f) const;
  void histogram_lanes(Limb* out, const Lanes::Table& t, size_t m, int threads) const;
  size_t limbs_;
  Limb inv_;
  std::vector<Limb> n_, one_, r2_;
  Mul mul_;
  std::unique_ptr<Lanes> lanes_;
};

// base^(digit << (8 * window)) for every window and digit: a fixed-base power is one product per byte of the exponent.
class FixedBase {
 public:
  FixedBase(const Modulus& m, const Limb* base_mont, size_t exponent_bytes, int threads);
  // out (Montgomery form) = base^e for n rows e, little endian of exponent_bytes each.
  void pow(Limb* out, const uint8_t* e, size_t n) const;
  size_t bytes() const { return windows_; }

 private:
  const Modulus& m_;
  size_t windows_;
  std::vector<Limb> table_;
};

// Runs body(begin, end) over [0, n) on up to `threads` threads.
void parallel(size_t n, int threads, void (*body)(void*, size_t, size_t), void* state);

// The same for a callable, on ranges that begin at multiples of `grain`.
template <class F>
void ranges(size_t n, size_t grain, int threads, F f) {
  struct State { F& f; size_t n, grain; } state{f, n, grain};
  parallel((n + grain - 1) / grain, threads, [](void* p, size_t begin, size_t end) {
    auto& s = *static_cast<State*>(p);
    const size_t to = end * s.grain;
    if (begin < end) s.f(begin * s.grain, to < s.n ? to : s.n);
  }, &state);
}

}  // namespace parley
