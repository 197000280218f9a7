// What makes sums fit to be sent: a fresh encryption of zero under the owner's key, noise that drowns what the
// errors say of the bins, and only the x coefficients of b that hold sums. All before the switch to one prime.
#include <algorithm>
#include <cstring>
#include <utility>

#include "lattice_arith.hpp"
#include "lattice_core.hpp"
#include "lattice_parts.hpp"

namespace parley::lattice {
namespace {

constexpr std::size_t FLOOD_WORDS = 8;

// Modulo p: the sum of four uniform numbers below 2^(bits - 1), each from two words, less 2^bits.
u64 flood_residue(const Prime& p, const u64* word, int bits) {
  const u128 mask = (static_cast<u128>(1) << (bits - 1)) - 1;
  u128 v = 0;
  for (std::size_t i = 0; i < FLOOD_WORDS; i += 2) v += (static_cast<u128>(word[i + 1]) << 64 | word[i]) & mask;
  const u64 two64 = reduce64(p, 0 - p.q * p.inverse64);  // 2^64 - q floor(2^64 / q)
  const u64 r = plus(p.q, times(p, reduce64(p, static_cast<u64>(v >> 64)), two64), reduce64(p, static_cast<u64>(v)));
  const u64 half = bits < 64 ? reduce64(p, u64{1} << bits) : times(p, reduce64(p, u64{1} << (bits - 64)), two64);
  return minus(p.q, r, half);
}

}  // namespace

// From all primes to the first, dividing by the others and rounding; n values, `step` apart by prime.
void to_first(const Context& c, u64* v, std::size_t step, std::size_t n) {
  for (int last = c.ring.primes - 1; last > 0; --last)
    for (int i = 0; i < last; ++i) {
      const Prime& p = c.ring.prime[i];
      c.k.lift(p, v + i * step, v + i * step, v + last * step, c.ring.prime[last].q, true, p.inverse_of[last], n);
    }
}

Protection::Protection(const Sums& sums, const PublicKey& key, int flood, const u8* random, bool bare)
    : s_(sums), key_(key), c_(context(sums.n())), flood_(flood), random_(random), bare_(bare), shift_(c_.poly()) {
  if (key.n() != sums.n() || key.channels() != sums.channels()) throw Refused{"bad_key", "sums under another kind of key"};
  unshift(c_, shift_.data(), sums.x());
}

// One u serves the polynomials of its group, each with a key element of its own.
void Protection::begin(Work& w, std::size_t group) const {
  const std::size_t n = c_.ring.n;
  u8 nonce[12];
  nonce_for(nonce, FOR_U, group);
  ternary(c_, w.e.data(), w.words.data(), random_, nonce);
  small_to_ring(c_, w.u.data(), w.e.data());
  for (int i = 0; i < c_.ring.primes; ++i)
    c_.k.multiply(c_.ring.prime[i], &w.shifted[i * n], &w.u[i * n], &shift_[i * n], n);
  w.group = group;
}

void Protection::protect(Work& w, std::size_t k) const {
  if (w.group != k / GROUP) begin(w, k / GROUP);
  const std::size_t n = c_.ring.n, x = s_.x();
  const int element = static_cast<int>(k % GROUP), primes = c_.ring.primes, channels = s_.channels();
  u8 nonce[12];
  nonce_for(nonce, FOR_D_NOISE, k);
  binomial(c_, w.e.data(), w.words.data(), random_, nonce);
  for (int i = 0; i < primes; ++i) {
    const Prime& p = c_.ring.prime[i];
    u64* d = &w.d[i * n];
    c_.k.multiply(p, d, &w.u[i * n], key_.p1(element) + i * n, n);
    c_.k.inverse(c_.ring, i, d);
    c_.k.add_small(p, d, w.e.data(), n);
    if (bare_) std::memset(d, 0, n * sizeof(u64));
    const u64* sum = &s_.d()[k * c_.poly() + i * n];
    c_.k.add(p, d, d, sum, false, n);
  }
  for (int ch = 0; ch < channels; ++ch) {
    nonce_for(nonce, FOR_B_NOISE, k * channels + ch);
    c_.k.keystream(reinterpret_cast<u8*>(w.words.data()), (1 + FLOOD_WORDS) * x / 8, random_, nonce, 0);
    c_.k.binomial(w.e.data(), w.words.data(), x);
    for (int i = 0; i < primes; ++i) {
      const Prime& p = c_.ring.prime[i];
      u64* b = &w.b[(ch * primes + i) * x];
      c_.k.multiply(p, w.t.data(), &w.shifted[i * n], key_.p0(element, ch) + i * n, n);
      every_lth(c_, i, w.t.data(), s_.x(), b);
      c_.k.add_small(p, b, w.e.data(), x);
      for (std::size_t r = 0; r < x; ++r) {
        b[r] = plus(p.q, b[r], flood_residue(p, &w.words[x + FLOOD_WORDS * r], flood_));
        if (bare_) b[r] = 0;
        b[r] = plus(p.q, b[r], s_.b()[((k * channels + ch) * primes + i) * x + r]);
      }
    }
  }
}

Sums::Use Protection::use(const Work& w, std::size_t k) const { return {static_cast<u32>(k % GROUP), w.u[0]}; }

void Sums::release(u8* out, const PublicKey& key, int flood, const u8* random, int threads, std::vector<Use>* uses,
                   bool bare) const {
  const Context& c = context(n_);
  const Protection protection(*this, key, flood, random, bare);
  const std::size_t n = n_, x = x_, size = reply_size(n_, channels_, x_), groups = (polynomials_ + GROUP - 1) / GROUP;
  const int parts = parts_of(groups, threads), primes = c.ring.primes;
  std::vector<Protection::Work> own;
  for (int t = 0; t < parts; ++t) own.emplace_back(c, channels_, x_);
  if (uses != nullptr) uses->resize(polynomials_);
  each_part(parts, [&](int part) {
    Protection::Work& w = own[part];
    const std::size_t end = std::min(groups * (part + 1) / parts * GROUP, polynomials_);
    for (std::size_t k = groups * part / parts * GROUP; k < end; ++k) {
      protection.protect(w, k);
      if (uses != nullptr) (*uses)[k] = protection.use(w, k);
      to_first(c, w.d.data(), n, n);
      u8* to = out + k * size;
      pack50(to, w.d.data(), n);
      to += n / 4 * 25;
      for (int ch = 0; ch < channels_; ++ch, to += x / 4 * 25) {
        to_first(c, &w.b[ch * primes * x], x, x);
        pack50(to, &w.b[ch * primes * x], x);
      }
    }
  });
}

}  // namespace parley::lattice
