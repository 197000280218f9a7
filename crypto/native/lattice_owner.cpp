// The owner's side: keys, fresh encryption of rows, decryption of replies. Secrets meet transforms, products and sums
// whose steps do not depend on them.
#include <atomic>
#include <cstring>
#include <utility>

#include "lattice_arith.hpp"
#include "lattice_core.hpp"
#include "lattice_parts.hpp"

namespace parley::lattice {

void ternary(const Context& c, i64* out, u64* words, const u8* key, const u8* nonce) {
  const std::size_t n = c.ring.n;
  c.k.keystream(reinterpret_cast<u8*>(words), n / 8, key, nonce, 0);
  // floor(3 w / 2^64): off from uniform by 2^-64 a coefficient.
  for (std::size_t j = 0; j < n; ++j) out[j] = static_cast<i64>((static_cast<u128>(words[j]) * 3) >> 64) - 1;
}

void binomial(const Context& c, i64* out, u64* words, const u8* key, const u8* nonce) {
  c.k.keystream(reinterpret_cast<u8*>(words), c.ring.n / 8, key, nonce, 0);
  c.k.binomial(out, words, c.ring.n);
}

void small_to_ring(const Context& c, u64* out, const i64* e) {
  const std::size_t n = c.ring.n;
  std::memset(out, 0, c.poly() * sizeof(u64));
  for (int i = 0; i < c.ring.primes; ++i) {
    c.k.add_small(c.ring.prime[i], out + i * n, e, n);
    c.k.forward(c.ring, i, out + i * n);
  }
}

void unshift(const Context& c, u64* out, int x) {
  const std::size_t n = c.ring.n, l = n / x;
  std::memset(out, 0, c.poly() * sizeof(u64));
  for (int i = 0; i < c.ring.primes; ++i) {
    out[i * n + n - (l - 1)] = c.ring.prime[i].q - 1;  // X^-(L-1) = -X^(N-L+1)
    c.k.forward(c.ring, i, out + i * n);
  }
}

void every_lth(const Context& c, int prime, const u64* f, int x, u64* out) {
  const Prime& p = c.ring.prime[prime];
  const std::size_t l = c.ring.n / x;
  for (int b = 0; b < x; ++b) {
    u64 s = 0;  // at most 1024 values below 2^50
    for (std::size_t j = 0; j < l; ++j) s += f[b * l + j];
    out[b] = reduce64(p, s);
  }
  for (int m = x / 2, t = 1; m >= 1; m /= 2, t *= 2)
    for (int i = 0; i < m; ++i)
      for (int j = 2 * i * t; j < 2 * i * t + t; ++j) {
        const u64 u = out[j], v = out[j + t];
        out[j] = plus(p.q, u, v);
        out[j + t] = times(p, minus(p.q, u, v), p.iw[m + i]);
      }
  for (int j = 0; j < x; ++j) out[j] = times(p, out[j], p.ninv);
}

std::size_t reply_size(int n, int channels, int x) {
  return (static_cast<std::size_t>(n) + static_cast<std::size_t>(channels) * x) / 4 * 25;
}

Owner::Owner(int n, int channels, const u8* secret, const u8* open) : n_(n), channels_(channels) {
  const Context& c = context(n);
  const std::size_t size = n, poly = c.poly(), bytes = size / 4 * 25;
  secret_ = Secret<u64>(channels * poly);
  public_.resize(public_size());
  Secret<i64> e(size);
  Secret<u64> words(size), noise(poly), product(size);
  Area<u64> p1(size);
  u8 nonce[12];
  for (int k = 0; k < channels; ++k) {
    nonce_for(nonce, FOR_SECRET, k);
    ternary(c, e.data(), words.data(), secret, nonce);
    small_to_ring(c, &secret_[k * poly], e.data());
  }
  u8* out = public_.data();
  for (int t = 0; t < GROUP; ++t)
    for (int k = 0; k < channels; ++k) {
      nonce_for(nonce, FOR_KEY_NOISE, static_cast<u64>(t) * channels + k);
      binomial(c, e.data(), words.data(), secret, nonce);
      small_to_ring(c, noise.data(), e.data());
      for (int i = 0; i < c.ring.primes; ++i, out += bytes) {
        const Prime& p = c.ring.prime[i];
        nonce_for(nonce, FOR_KEY, static_cast<u64>(t) * c.ring.primes + i);
        uniform(c, p, p1.data(), open, nonce);
        c.k.multiply(p, product.data(), p1.data(), &secret_[k * poly + i * size], size);
        for (std::size_t j = 0; j < size; ++j) product[j] = plus(p.q, product[j], noise[i * size + j]);
        pack50(out, product.data(), size);
      }
    }
}

std::size_t Owner::public_size() const {
  return static_cast<std::size_t>(GROUP) * channels_ * context(n_).poly() / 4 * 25;
}
void Owner::public_key(u8* out) const { std::memcpy(out, public_.data(), public_.size()); }

namespace {

struct Encrypting {
  Secret<u64> words, b;
  Secret<i64> e;  // [channels][N]
  Area<u64> a;
  Encrypting(std::size_t n, int channels) : words(n), b(n), e(channels * n), a(n) {}
};

}  // namespace

void Owner::encrypt(u8* out, const i64* values, std::size_t rows, int x, const u64* scale, const u8* open,
                    const u8* noise, int threads, std::size_t first) const {
  if (closed()) throw Refused{"closed", "this key was closed"};
  const Context& c = context(n_);
  const std::size_t n = n_, l = n / x, blocks = (rows + l - 1) / l, bytes = n / 4 * 25;
  const std::size_t block_bytes = bytes * channels_ * c.ring.primes;
  std::vector<Encrypting> own;
  const int parts = parts_of(blocks, threads);
  for (int t = 0; t < parts; ++t) own.emplace_back(n, channels_);
  each_part(parts, [&](int part) {
    Encrypting& w = own[part];
    u8 nonce[12];
    for (std::size_t k = blocks * part / parts; k < blocks * (part + 1) / parts; ++k) {
      const std::size_t here = rows - k * l < l ? rows - k * l : l;
      for (int ch = 0; ch < channels_; ++ch) {
        nonce_for(nonce, FOR_NOISE, k * channels_ + ch);
        binomial(c, &w.e[ch * n], w.words.data(), noise, nonce);
      }
      for (int i = 0; i < c.ring.primes; ++i) {
        const Prime& p = c.ring.prime[i];
        nonce_for(nonce, FOR_BLOCK, (first + k) * c.ring.primes + i);
        uniform(c, p, w.a.data(), open, nonce);
        for (int ch = 0; ch < channels_; ++ch) {
          c.k.multiply(p, w.b.data(), w.a.data(), &secret_[(static_cast<std::size_t>(ch) * c.ring.primes + i) * n], n);
          c.k.inverse(c.ring, i, w.b.data());
          c.k.add_small(p, w.b.data(), &w.e[ch * n], n);
          for (std::size_t j = 0; j < here; ++j) {
            const u64 m = times(p, residue(p, values[(k * l + j) * channels_ + ch]), scale[i]);
            w.b[l - 1 - j] = plus(p.q, w.b[l - 1 - j], m);
          }
          pack50(out + k * block_bytes + (static_cast<std::size_t>(ch) * c.ring.primes + i) * bytes, w.b.data(), n);
        }
      }
    }
  });
}

void Owner::decrypt(i64* out, const u8* replies, std::size_t polynomials, int x, u128 factor, int threads,
                    u32* far) const {
  if (closed()) throw Refused{"closed", "this key was closed"};
  const Context& c = context(n_);
  const Prime& p = c.ring.prime[0];
  const std::size_t n = n_, size = reply_size(n_, channels_, x), d_bytes = n / 4 * 25;
  Secret<u64> shifted(channels_ * n);
  Area<u64> shift(c.poly());
  unshift(c, shift.data(), x);
  for (int ch = 0; ch < channels_; ++ch)
    c.k.multiply(p, &shifted[ch * n], shift.data(), &secret_[ch * c.poly()], n);
  const int parts = parts_of(polynomials, threads);
  std::vector<Secret<u64>> own;
  for (int t = 0; t < parts; ++t) own.emplace_back(2 * n + 64 + static_cast<std::size_t>(channels_) * x);
  std::atomic<bool> bad{false};
  std::atomic<u32> most{0};
  each_part(parts, [&](int part) {
    u64 *d = own[part].data(), *product = d + n, *inner = product + n, *b = inner + 64;
    u64 worst = 0;
    for (std::size_t k = polynomials * part / parts; k < polynomials * (part + 1) / parts; ++k) {
      const u8* in = replies + k * size;
      if (!unpack50(d, in, n, p.q) || !unpack50(b, in + d_bytes, static_cast<std::size_t>(channels_) * x, p.q)) bad = true;
      c.k.forward(c.ring, 0, d);
      for (int ch = 0; ch < channels_; ++ch) {
        c.k.multiply(p, product, d, &shifted[ch * n], n);
        every_lth(c, 0, product, x, inner);
        for (int r = 0; r < x; ++r) {
          const Decoded v = decode(p, minus(p.q, b[ch * x + r], inner[r]), factor);
          out[(k * x + r) * channels_ + ch] = v.sum;
          worst = v.far > worst ? v.far : worst;
        }
      }
    }
    raise_to(most, static_cast<u32>(worst));
  });
  if (bad) throw Refused{"bad_ciphertext", "a residue is not canonical"};
  *far = most;
}

}  // namespace parley::lattice
