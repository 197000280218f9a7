// Packing: protected polynomials that hold x sums each, at multiples of L = N / x, into few that hold sums everywhere
// (Chen, Dai, Kim, Song 2020, "Efficient homomorphic conversion between (ring) LWE ciphertexts"). A pair (x, y) becomes
// (x + X^h y) + turn(x - X^h y), where a turn is X -> X^g and a switch back to the secret; each doubles the message,
// which a factor 1 / M undoes beforehand. Turn keys encrypt turned secrets under themselves (circular security).
#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <utility>

#include "lattice_arith.hpp"
#include "lattice_core.hpp"
#include "lattice_parts.hpp"

namespace parley::lattice {
namespace {

constexpr int DIGIT = 25;  // bits; two digits for each prime's residue

int log2_of(std::size_t v) {
  int k = 0;
  while ((std::size_t{1} << k) < v) ++k;
  return k;
}

// out = a(X^g) modulo q.
void turned(u64* out, const u64* a, std::size_t n, std::size_t g, u64 q) {
  for (std::size_t j = 0, to = 0; j < n; ++j, to = (to + g) & (2 * n - 1)) {
    const u64 negative = less_once(q - a[j], q);
    out[to & (n - 1)] = to < n ? a[j] : negative;
  }
}

std::size_t turn_of(int x, int step) { return 1 + ((std::size_t{2} * x) << step); }  // 2 N / L = 2 x

// (Q / q_prime) 2^(DIGIT part) modulo prime i: not zero for i = prime alone.
u64 gadget(const Context& c, int prime, int part) {
  const Prime& p = c.ring.prime[prime];
  u64 g = u64{1} << (DIGIT * part);
  for (int j = 0; j < c.ring.primes; ++j)
    if (j != prime) g = times(p, g, reduce64(p, c.ring.prime[j].q));
  return g;
}

}  // namespace

std::size_t together(int n, int x, std::size_t polynomials) {
  return std::min<std::size_t>(n / x, std::size_t{1} << log2_of(std::max<std::size_t>(polynomials, 1)));
}
std::size_t packed_size(int n, int channels) { return static_cast<std::size_t>(n) * (1 + channels) / 4 * 25; }
std::size_t turn_keys_size(int n, int channels, int x) {
  const Context& c = context(n);
  return static_cast<std::size_t>(log2_of(n / x)) * 2 * c.ring.primes * channels * c.poly() / 4 * 25;
}

void Owner::turn_keys(u8* out, int x, const u8* secret, const u8* open) {
  if (closed()) throw Refused{"closed", "this key was closed"};
  if (turned_) throw Refused{"used", "packing keys are made once"};
  turned_ = true;
  const Context& c = context(n_);
  const std::size_t n = n_, poly = c.poly(), bytes = n / 4 * 25;
  const int turns = log2_of(n / x), digits = 2 * c.ring.primes;
  Secret<u64> s(n), other(channels_ * poly), noise(poly), words(n), product(n);
  Secret<i64> e(n);
  Area<u64> a(n);
  u8 nonce[12];
  for (int t = 0; t < turns; ++t) {
    for (int ch = 0; ch < channels_; ++ch)
      for (int i = 0; i < c.ring.primes; ++i) {
        std::memcpy(s.data(), &secret_[ch * poly + i * n], n * sizeof(u64));
        c.k.inverse(c.ring, i, s.data());
        turned(&other[ch * poly + i * n], s.data(), n, turn_of(x, t), c.ring.prime[i].q);
        c.k.forward(c.ring, i, &other[ch * poly + i * n]);
      }
    for (int d = 0; d < digits; ++d)
      for (int ch = 0; ch < channels_; ++ch) {
        const u64 number = (static_cast<u64>(t) * digits + d) * channels_ + ch;
        nonce_for(nonce, FOR_TURN_NOISE, number);
        binomial(c, e.data(), words.data(), secret, nonce);
        small_to_ring(c, noise.data(), e.data());
        for (int i = 0; i < c.ring.primes; ++i, out += bytes) {
          const Prime& p = c.ring.prime[i];
          nonce_for(nonce, FOR_TURN, (static_cast<u64>(t) * digits + d) * c.ring.primes + i);
          uniform(c, p, a.data(), open, nonce);
          c.k.multiply(p, product.data(), a.data(), &secret_[ch * poly + i * n], n);
          const u64 g = i == d / 2 ? gadget(c, i, d % 2) : 0;
          for (std::size_t j = 0; j < n; ++j)
            product[j] = plus(p.q, plus(p.q, product[j], noise[i * n + j]), times(p, other[ch * poly + i * n + j], g));
          pack50(out, product.data(), n);
        }
      }
  }
}

TurnKeys::TurnKeys(int n, int channels, int x, const u8* open, const u8* packed)
    : n_(n), channels_(channels), x_(x), digits_(2 * context(n).ring.primes), poly_(context(n).poly()) {
  const Context& c = context(n);
  const std::size_t size = n, bytes = size / 4 * 25;
  const int turns = log2_of(n / x);
  keys_ = Area<u64>(static_cast<std::size_t>(turns) * digits_ * (1 + channels) * poly_);
  u64* to = keys_.data();
  u8 nonce[12];
  for (int k = 0; k < turns * digits_; ++k) {
    for (int i = 0; i < c.ring.primes; ++i, to += size) {
      nonce_for(nonce, FOR_TURN, static_cast<u64>(k) * c.ring.primes + i);
      uniform(c, c.ring.prime[i], to, open, nonce);
    }
    for (int i = 0; i < channels * c.ring.primes; ++i, to += size, packed += bytes)
      if (!unpack50(to, packed, size, c.ring.prime[i % c.ring.primes].q))
        throw Refused{"bad_key", "a residue is not canonical"};
  }
}

namespace {

// a, then b by channel, in coefficients: [1 + channels][primes][N].
using Pair = std::unique_ptr<Area<u64>>;

class Packer {
 public:
  struct Work {
    Protection::Work leaf;
    Area<u64> shifted, difference, digit, sum, product;
    Work(const Context& c, int channels, int x)
        : leaf(c, channels, x), shifted(c.ring.n), difference((1 + channels) * c.poly()), digit(c.ring.n),
          sum((1 + channels) * c.poly()), product(c.ring.n) {}
  };

  Packer(const Context& c, const Protection& protection, const TurnKeys& keys, std::size_t first, std::size_t count,
         std::size_t m)
      : c_(c), protection_(protection), keys_(keys), n_(c.ring.n), l_(n_ / keys.x()), first_(first), count_(count), m_(m) {
    for (int i = 0; i < c.ring.primes; ++i) {
      const Prime& p = c.ring.prime[i];
      u64 v = 1;  // M is a power of two, and two's inverse (q + 1) / 2
      for (std::size_t k = 1; k < m; k *= 2) v = times(p, v, (p.q + 1) / 2);
      scale_[i] = v;
    }
  }

  // What index i holds after `level` rounds; null where no polynomial went into it.
  Pair at(Work& w, int level, std::size_t i) const {
    if (level == 0) return i < count_ ? leaf(w, i) : nullptr;
    return merge(w, at(w, level - 1, i), at(w, level - 1, i + (m_ >> level)), level - 1);
  }
  Pair merge(Work& w, Pair x, const Pair& y, int step) const;

 private:
  Pair leaf(Work& w, std::size_t i) const;
  void turn(Work& w, Area<u64>& into, int step) const;
  const Context& c_;
  const Protection& protection_;
  const TurnKeys& keys_;
  const std::size_t n_, l_, first_, count_, m_;
  u64 scale_[PRIMES];
};

// A protected polynomial times X^-(L-1) / M.
Pair Packer::leaf(Work& w, std::size_t i) const {
  protection_.protect(w.leaf, first_ + i);
  const int primes = c_.ring.primes, channels = keys_.channels();
  const std::size_t x = keys_.x();
  Pair out = std::make_unique<Area<u64>>((1 + channels) * c_.poly());
  for (int k = 0; k < primes; ++k) {
    const Prime& p = c_.ring.prime[k];
    u64* a = out->data() + k * n_;
    const u64* d = &w.leaf.d[k * n_];
    std::memcpy(a, d + l_ - 1, (n_ - (l_ - 1)) * sizeof(u64));
    for (std::size_t j = 0; j < l_ - 1; ++j) a[n_ - (l_ - 1) + j] = less_once(p.q - d[j], p.q);
    c_.k.scale(p, a, a, scale_[k], n_);
    for (int ch = 0; ch < channels; ++ch)
      for (std::size_t r = 0; r < x; ++r)
        (*out)[(1 + ch) * c_.poly() + k * n_ + r * l_] = times(p, w.leaf.b[(ch * primes + k) * x + r], scale_[k]);
  }
  return out;
}

Pair Packer::merge(Work& w, Pair x, const Pair& y, int step) const {
  if (!x) return nullptr;  // polynomials fill the low indices first
  const std::size_t h = l_ >> (step + 1);
  for (int e = 0; e < 1 + keys_.channels(); ++e)
    for (int i = 0; i < c_.ring.primes; ++i) {
      const u64 q = c_.ring.prime[i].q;
      u64 *a = x->data() + e * c_.poly() + i * n_, *difference = &w.difference[e * c_.poly() + i * n_];
      if (!y) {
        std::memcpy(difference, a, n_ * sizeof(u64));
        continue;
      }
      const u64* b = y->data() + e * c_.poly() + i * n_;
      std::memcpy(&w.shifted[h], b, (n_ - h) * sizeof(u64));
      for (std::size_t j = 0; j < h; ++j) w.shifted[j] = less_once(q - b[n_ - h + j], q);
      c_.k.add(c_.ring.prime[i], difference, a, w.shifted.data(), true, n_);
      c_.k.add(c_.ring.prime[i], a, a, w.shifted.data(), false, n_);
    }
  turn(w, *x, step);
  return x;
}

// into += turn(difference).
void Packer::turn(Work& w, Area<u64>& into, int step) const {
  const std::size_t poly = c_.poly(), g = turn_of(keys_.x(), step);
  const int primes = c_.ring.primes, elements = 1 + keys_.channels();
  std::memset(w.sum.data(), 0, w.sum.size() * sizeof(u64));
  for (int own = 0; own < primes; ++own) {
    const Prime& p = c_.ring.prime[own];
    u64 k = 1;
    for (int j = 0; j < primes; ++j)
      if (j != own) k = times(p, k, p.inverse_of[j]);
    turned(w.shifted.data(), &w.difference[own * n_], n_, g, p.q);
    c_.k.scale(p, w.shifted.data(), w.shifted.data(), k, n_);
    for (int part = 0; part < 2; ++part)
      for (int i = 0; i < primes; ++i) {
        const Prime& to = c_.ring.prime[i];
        for (std::size_t j = 0; j < n_; ++j) w.digit[j] = (w.shifted[j] >> (DIGIT * part)) & ((1u << DIGIT) - 1);
        c_.k.forward(c_.ring, i, w.digit.data());
        for (int e = 0; e < elements; ++e) {
          c_.k.multiply(to, w.product.data(), w.digit.data(), keys_.key(step, 2 * own + part, e) + i * n_, n_);
          u64* sum = &w.sum[e * poly + i * n_];
          c_.k.add(to, sum, sum, w.product.data(), false, n_);
        }
      }
  }
  for (int e = 0; e < elements; ++e)
    for (int i = 0; i < primes; ++i) {
      const Prime& p = c_.ring.prime[i];
      u64 *sum = &w.sum[e * poly + i * n_], *a = into.data() + e * poly + i * n_;
      c_.k.inverse(c_.ring, i, sum);
      c_.k.add(p, a, a, sum, true, n_);
      if (e == 0) continue;
      turned(w.shifted.data(), &w.difference[e * poly + i * n_], n_, g, p.q);
      c_.k.add(p, a, a, w.shifted.data(), false, n_);
    }
}

}  // namespace

void Sums::release_packed(u8* out, const PublicKey& key, const TurnKeys& turns, int flood, const u8* random,
                          int threads) const {
  if (turns.n() != n_ || turns.channels() != channels_ || turns.x() != x_)
    throw Refused{"bad_key", "sums under another kind of key"};
  const Context& c = context(n_);
  const Protection protection(*this, key, flood, random, false);
  const std::size_t n = n_, m = together(n_, x_, polynomials_), size = packed_size(n_, channels_);
  const int levels = log2_of(m);
  // The last rounds join few subtrees, which the threads share out; a u stays within one polynomial's protection.
  const int top = std::min(levels, log2_of(static_cast<std::size_t>(std::max(threads, 1))));
  const std::size_t subtrees = std::size_t{1} << top;
  const int parts = parts_of(subtrees, threads);
  std::vector<Packer::Work> own;
  for (int t = 0; t < parts; ++t) own.emplace_back(c, channels_, x_);
  for (std::size_t first = 0; first < polynomials_; first += m, out += size) {
    const Packer packer(c, protection, turns, first, std::min(m, polynomials_ - first), m);
    std::vector<Pair> done(subtrees);
    each_part(parts, [&](int part) {
      for (std::size_t i = subtrees * part / parts; i < subtrees * (part + 1) / parts; ++i)
        done[i] = packer.at(own[part], levels - top, i);
    });
    for (int level = levels - top; level < levels; ++level)
      for (std::size_t i = 0; i < m >> (level + 1); ++i)
        done[i] = packer.merge(own[0], std::move(done[i]), done[i + (m >> (level + 1))], level);
    for (int e = 0; e < 1 + channels_; ++e) {
      u64* v = done[0]->data() + e * c.poly();
      to_first(c, v, n, n);
      pack50(out + e * (n / 4 * 25), v, n);
    }
  }
}

void Owner::decrypt_packed(i64* out, const u8* replies, std::size_t polynomials, int x, u128 factor, int threads,
                           u32* far) const {
  if (closed()) throw Refused{"closed", "this key was closed"};
  const Context& c = context(n_);
  const Prime& p = c.ring.prime[0];
  const std::size_t n = n_, l = n / x, m = together(n_, x, polynomials), bytes = n / 4 * 25;
  const std::size_t replies_ = (polynomials + m - 1) / m;
  const int parts = parts_of(replies_, threads);
  std::vector<Secret<u64>> own;
  for (int t = 0; t < parts; ++t) own.emplace_back(3 * n);
  std::atomic<bool> bad{false};
  std::atomic<u32> most{0};
  each_part(parts, [&](int part) {
    u64 *d = own[part].data(), *product = d + n, *b = product + n;
    u64 worst = 0;
    for (std::size_t k = replies_ * part / parts; k < replies_ * (part + 1) / parts; ++k) {
      const u8* in = replies + k * packed_size(n_, channels_);
      if (!unpack50(d, in, n, p.q)) bad = true;
      c.k.forward(c.ring, 0, d);
      for (int ch = 0; ch < channels_; ++ch) {
        if (!unpack50(b, in + (1 + ch) * bytes, n, p.q)) bad = true;
        c.k.multiply(p, product, d, &secret_[ch * c.poly()], n);
        c.k.inverse(c.ring, 0, product);
        for (std::size_t i = 0; i < m && k * m + i < polynomials; ++i)
          for (std::size_t r = 0; r < static_cast<std::size_t>(x); ++r) {
            const std::size_t at = r * l + i * (l / m);
            const Decoded v = decode(p, minus(p.q, b[at], product[at]), factor);
            out[((k * m + i) * x + r) * channels_ + ch] = v.sum;
            worst = std::max(worst, v.far);
          }
      }
    }
    raise_to(most, static_cast<u32>(worst));
  });
  if (bad) throw Refused{"bad_ciphertext", "a residue is not canonical"};
  *far = most;
}

}  // namespace parley::lattice
