// Primes, tables, packing, expansion: what owner and peer share.
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <utility>

#include "lattice_arith.hpp"
#include "lattice_core.hpp"

namespace parley::lattice {

namespace {
constexpr std::size_t LARGE = std::size_t{4} << 20, PAGE = std::size_t{2} << 20;
}

// Large areas come zeroed from the system, on large pages where it has them: they are walked through again and again.
void* take(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  if (bytes < LARGE) {
    void* p = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (p == nullptr) throw std::bad_alloc();
    return std::memset(p, 0, bytes);
  }
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  const std::size_t begin = (reinterpret_cast<std::size_t>(p) + PAGE - 1) / PAGE * PAGE;
  const std::size_t end = (reinterpret_cast<std::size_t>(p) + bytes) / PAGE * PAGE;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
  return p;
}

void give(void* p, std::size_t bytes, bool clear) noexcept {
  if (p == nullptr) return;
  if (clear) wipe(p, bytes);
  if (bytes < LARGE) std::free(p);
  else munmap(p, bytes);
}

namespace {

// The largest primes below 2^50 that are 1 modulo 2 * 8192; they serve both rings.
constexpr u64 Q_VALUES[PRIMES] = {1125899906826241, 1125899906629633, 1125899905744897};

u64 power(const Prime& p, u64 a, u64 e) {
  u64 r = 1;
  for (; e != 0; e >>= 1, a = times(p, a, a))
    if (e & 1) r = times(p, r, a);
  return r;
}
u64 inverse_of(const Prime& p, u64 a) { return power(p, a, p.q - 2); }
double centred(const Prime& p, u64 a) {
  return a > p.q / 2 ? -static_cast<double>(p.q - a) : static_cast<double>(a);
}
u64 quotient64(u64 w, u64 q) { return static_cast<u64>((static_cast<u128>(w) << 64) / q); }

std::size_t reversed(std::size_t i, int bits) {
  std::size_t r = 0;
  for (int k = 0; k < bits; ++k) r = 2 * r + (i >> k & 1);
  return r;
}

// A root of order 2N: g^((q-1)/2N) for the least g that gives one.
u64 root_of(const Prime& p, int n) {
  for (u64 g = 2;; ++g) {
    const u64 root = power(p, g, (p.q - 1) / (2 * static_cast<u64>(n)));
    if (power(p, root, n) == p.q - 1) return root;
  }
}

}  // namespace

Context::Context(const Kernel& kernel, int n, int primes) : k(kernel), ring{} {
  ring.n = n;
  ring.log_n = n == 4096 ? 12 : 13;
  ring.primes = primes;
  ring.limbs = primes == 2 ? 3 : 5;
  ring.limb_bits = primes == 2 ? 34 : 30;
  ring.lanes = kernel.lanes;
  const std::size_t size = n, lanes = kernel.lanes;
  words.resize(primes * 4 * size);
  reals = Area<double>(primes * 4 * size);
  for (int i = 0; i < primes; ++i) {
    Prime& p = ring.prime[i];
    p.q = Q_VALUES[i];
    p.barrett = static_cast<u64>((static_cast<u128>(1) << 110) / p.q);
    p.inverse64 = quotient64(1, p.q);
    p.qd = static_cast<double>(p.q);
    p.qinv = 1.0 / p.qd;
    u64* w = words.data() + i * 4 * size;
    double* r = reals.data() + i * 4 * size;
    const u64 root = root_of(p, n), back = inverse_of(p, root);
    u64 a = 1, b = 1;
    for (std::size_t e = 0; e < size; ++e, a = times(p, a, root), b = times(p, b, back)) {
      const std::size_t at = reversed(e, ring.log_n);
      w[at] = a, w[2 * size + at] = b;
    }
    for (std::size_t j = 0; j < size; ++j) {
      w[size + j] = quotient64(w[j], p.q), w[3 * size + j] = quotient64(w[2 * size + j], p.q);
      r[j] = centred(p, w[j]), r[2 * size + j] = centred(p, w[2 * size + j]);
    }
    const std::size_t blocks = size / lanes;
    for (std::size_t runs = 1; runs < lanes; runs *= 2)
      for (std::size_t run = 0; run < runs; ++run)
        for (std::size_t block = 0; block < blocks; ++block) {
          const std::size_t from = blocks * runs + block * runs + run, to = (runs - 1 + run) * blocks + block;
          r[size + to] = r[from], r[3 * size + to] = r[2 * size + from];
        }
    p.w = w, p.ws = w + size, p.iw = w + 2 * size, p.iws = w + 3 * size;
    p.wd = r, p.tail = r + size, p.iwd = r + 2 * size, p.itail = r + 3 * size;
    p.ninv = inverse_of(p, static_cast<u64>(n));
    p.ninvd = centred(p, p.ninv);
    for (int l = 0; l < ring.limbs; ++l) p.limb[l] = power(p, 2, static_cast<u64>(l) * ring.limb_bits);
    for (int j = 0; j < primes; ++j)
      if (j != i) p.inverse_of[j] = inverse_of(p, reduce64(p, Q_VALUES[j]));
  }
  u128 product = static_cast<u128>(Q_VALUES[0]) * Q_VALUES[1];
  for (int l = 0; l < 4; ++l, product >>= 30) ring.product[l] = static_cast<u64>(product) & ((1u << 30) - 1);
}

const Context& context(int n) {
  static std::mutex lock;
  static std::map<std::pair<const Kernel*, int>, std::unique_ptr<Context>> made;
  const Kernel& k = kernel();
  const std::lock_guard<std::mutex> held(lock);
  auto& c = made[{&k, n}];
  if (!c) c = std::make_unique<Context>(k, n, n == 4096 ? 2 : 3);
  return *c;
}

const double* plan_of(const Context& c, int x) {
  static std::mutex lock;
  static std::map<std::pair<const Context*, int>, std::unique_ptr<Area<double>>> made;
  const std::lock_guard<std::mutex> held(lock);
  auto& p = made[{&c, x}];
  if (!p) {
    p = std::make_unique<Area<double>>(c.k.shape(c.ring, x).plan);
    c.k.plan(c.ring, x, p->data());
  }
  return p->data();
}

bool allowed(int n, int x) { return n == 4096 ? x == 8 || x == 16 || x == 32 : n == 8192 && (x == 16 || x == 32); }

// Four residues of 50 bits are 25 bytes, little endian.
void pack50(u8* out, const u64* w, std::size_t n) {
  for (std::size_t j = 0; j < n; j += 4, out += 25, w += 4) {
    const u64 a = w[0] | w[1] << 50, b = w[1] >> 14 | w[2] << 36, c = w[2] >> 28 | w[3] << 22;
    std::memcpy(out, &a, 8);
    std::memcpy(out + 8, &b, 8);
    std::memcpy(out + 16, &c, 8);
    out[24] = static_cast<u8>(w[3] >> 42);
  }
}

bool unpack50(u64* w, const u8* in, std::size_t n, u64 q) {
  constexpr u64 MASK = (u64{1} << 50) - 1;
  u64 bad = 0;
  for (std::size_t j = 0; j < n; j += 4, in += 25, w += 4) {
    u64 a, b, c;
    std::memcpy(&a, in, 8);
    std::memcpy(&b, in + 8, 8);
    std::memcpy(&c, in + 16, 8);
    w[0] = a & MASK;
    w[1] = (a >> 50 | b << 14) & MASK;
    w[2] = (b >> 36 | c << 28) & MASK;
    w[3] = c >> 22 | static_cast<u64>(in[24]) << 42;
    bad |= (q - 1 - w[0]) | (q - 1 - w[1]) | (q - 1 - w[2]) | (q - 1 - w[3]);
  }
  return bad >> 63 == 0;
}

void nonce_for(u8 out[12], u32 purpose, u64 number) {
  std::memcpy(out, &purpose, 4);
  std::memcpy(out + 4, &number, 8);
}

void uniform(const Context& c, const Prime& p, u64* out, const u8* key, const u8* nonce) {
  const std::size_t n = c.ring.n;
  c.k.keystream(reinterpret_cast<u8*>(out), n / 8, key, nonce, 0);
  u64 above = 0;
  for (std::size_t j = 0; j < n; ++j) {
    out[j] &= (u64{1} << 50) - 1;
    above |= (p.q - 1 - out[j]) >> 63;
  }
  if (above == 0) return;
  // Public values, and rarely: at most 2^-17 of the polynomials come here.
  u64 more[8];
  std::size_t used = 8;
  u32 block = static_cast<u32>(n / 8);
  for (std::size_t j = 0; j < n; ++j)
    while (out[j] >= p.q) {
      if (used == 8) c.k.keystream(reinterpret_cast<u8*>(more), 1, key, nonce, block++), used = 0;
      out[j] = more[used++] & ((u64{1} << 50) - 1);
    }
}

}  // namespace parley::lattice
