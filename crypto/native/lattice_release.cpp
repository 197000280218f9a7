// What makes sums fit to be sent: a fresh encryption of zero under the owner's key, uniform noise that drowns what the
// errors say of the bins, and only the x coefficients of b that hold sums. All before the switch to one prime.
#include <cstring>
#include <utility>

#include "lattice_arith.hpp"
#include "lattice_core.hpp"
#include "lattice_parts.hpp"

namespace parley::lattice {
namespace {

struct Own {
  Secret<u64> u, shifted, t, words;  // u, u X^-(L-1), products
  Secret<i64> e;
  explicit Own(const Context& c) : u(c.poly()), shifted(c.poly()), t(c.poly()), words(c.ring.n), e(c.ring.n) {}
};

// Uniform in [-2^bits, 2^bits) modulo p, from two words.
u64 flood_residue(const Prime& p, const u64* word, int bits) {
  const u128 mask = (static_cast<u128>(1) << (bits + 1)) - 1;
  const u128 v = (static_cast<u128>(word[1]) << 64 | word[0]) & mask;
  const u64 two64 = reduce64(p, 0 - p.q * p.inverse64);  // 2^64 - q floor(2^64 / q)
  const u64 r = plus(p.q, times(p, reduce64(p, static_cast<u64>(v >> 64)), two64), reduce64(p, static_cast<u64>(v)));
  const u64 half = bits < 64 ? reduce64(p, u64{1} << bits) : times(p, reduce64(p, u64{1} << (bits - 64)), two64);
  return minus(p.q, r, half);
}

// From all primes to the first, dividing by the others and rounding; n values, `step` apart by prime.
void to_first(const Context& c, u64* v, std::size_t step, std::size_t n) {
  for (int last = c.ring.primes - 1; last > 0; --last)
    for (int i = 0; i < last; ++i) {
      const Prime& p = c.ring.prime[i];
      c.k.lift(p, v + i * step, v + i * step, v + last * step, c.ring.prime[last].q, true, p.inverse_of[last], n);
    }
}

}  // namespace

void Sums::release(u8* out, const PublicKey& key, int flood, const u8* random, int threads, std::vector<Use>* uses,
                   bool bare) const {
  if (key.n() != n_ || key.channels() != channels_) throw Refused{"bad_key", "sums under another kind of key"};
  const Context& c = context(n_);
  const std::size_t n = n_, poly = c.poly(), x = x_, size = reply_size(n_, channels_, x_);
  const int primes = c.ring.primes;
  Area<u64> shift(poly);
  unshift(c, shift.data(), x_);
  const std::size_t groups = (polynomials_ + GROUP - 1) / GROUP;
  const int parts = parts_of(groups, threads);
  std::vector<Own> own;
  for (int t = 0; t < parts; ++t) own.emplace_back(c);
  if (uses != nullptr) uses->resize(polynomials_);

  const auto one = [&](Own& w, std::size_t k) {
    const int element = static_cast<int>(k % GROUP);
    u8 nonce[12];
    nonce_for(nonce, FOR_D_NOISE, k);
    binomial(c, w.e.data(), w.words.data(), random, nonce);
    for (int i = 0; i < primes; ++i) {
      const Prime& p = c.ring.prime[i];
      u64* t = &w.t[i * n];
      const u64* d = &d_[k * poly + i * n];
      c.k.multiply(p, t, &w.u[i * n], key.p1(element) + i * n, n);
      c.k.inverse(c.ring, i, t);
      c.k.add_small(p, t, w.e.data(), n);
      if (bare) std::memset(t, 0, n * sizeof(u64));
      for (std::size_t j = 0; j < n; ++j) t[j] = plus(p.q, t[j], d[j]);
    }
    to_first(c, w.t.data(), n, n);
    u8* to = out + k * size;
    pack50(to, w.t.data(), n);
    to += n / 4 * 25;
    for (int ch = 0; ch < channels_; ++ch, to += x / 4 * 25) {
      nonce_for(nonce, FOR_B_NOISE, k * channels_ + ch);
      c.k.keystream(reinterpret_cast<u8*>(w.words.data()), 3 * x / 8, random, nonce, 0);
      c.k.binomial(w.e.data(), w.words.data(), x);
      u64* b = w.t.data() + n;  // the first prime's values are sent; the room behind them is free
      for (int i = 0; i < primes; ++i) {
        const Prime& p = c.ring.prime[i];
        u64* z = b + i * x;
        c.k.multiply(p, w.t.data(), &w.shifted[i * n], key.p0(element, ch) + i * n, n);
        every_lth(c, i, w.t.data(), x_, z);
        c.k.add_small(p, z, w.e.data(), x);
        for (std::size_t r = 0; r < x; ++r) {
          z[r] = plus(p.q, z[r], flood_residue(p, &w.words[x + 2 * r], flood));
          if (bare) z[r] = 0;
          z[r] = plus(p.q, z[r], b_[((k * channels_ + ch) * primes + i) * x + r]);
        }
      }
      to_first(c, b, x, x);
      pack50(to, b, x);
    }
  };

  each_part(parts, [&](int part) {
    Own& w = own[part];
    u8 nonce[12];
    for (std::size_t g = groups * part / parts; g < groups * (part + 1) / parts; ++g) {
      nonce_for(nonce, FOR_U, g);
      ternary(c, w.e.data(), w.words.data(), random, nonce);
      small_to_ring(c, w.u.data(), w.e.data());
      for (int i = 0; i < primes; ++i)
        c.k.multiply(c.ring.prime[i], &w.shifted[i * n], &w.u[i * n], &shift[i * n], n);
      for (std::size_t k = g * GROUP; k < (g + 1) * GROUP && k < polynomials_; ++k) {
        if (uses != nullptr) (*uses)[k] = {static_cast<u32>(k % GROUP), w.u[0]};
        one(w, k);
      }
    }
  });
}

}  // namespace parley::lattice
