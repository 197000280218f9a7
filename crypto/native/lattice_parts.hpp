// What the portable files of the lattice share: streams' purposes, threads, and steps that both sides take.
#pragma once
#include <atomic>
#include <exception>
#include <mutex>

#include "montgomery.hpp"
#include "lattice_core.hpp"

namespace parley::lattice {

// Streams under one key are told apart by purpose and number; no key serves two uses of one pair.
enum Purpose : u32 {
  FOR_SECRET = 1, FOR_KEY, FOR_KEY_NOISE, FOR_BLOCK, FOR_NOISE, FOR_U, FOR_D_NOISE, FOR_B_NOISE,
  FOR_TURN, FOR_TURN_NOISE,
};

inline int parts_of(std::size_t work, int threads) {
  const std::size_t most = threads < 1 ? 1 : static_cast<std::size_t>(threads);
  return static_cast<int>(work == 0 ? 1 : work < most ? work : most);
}

// f(part) for every part, each on a thread of its own; the first exception comes out when all are done.
template <class F>
void each_part(int parts, F f) {
  std::exception_ptr failed;
  std::mutex lock;
  auto guarded = [&](int part) {
    try {
      f(part);
    } catch (...) {
      const std::lock_guard<std::mutex> held(lock);
      if (!failed) failed = std::current_exception();
    }
  };
  parallel(parts, parts, [](void* p, std::size_t from, std::size_t to) {
    for (std::size_t k = from; k < to; ++k) (*static_cast<decltype(guarded)*>(p))(static_cast<int>(k));
  }, &guarded);
  if (failed) std::rethrow_exception(failed);
}

void ternary(const Context&, i64* out, u64* words, const u8* key, const u8* nonce);
void binomial(const Context&, i64* out, u64* words, const u8* key, const u8* nonce);
void small_to_ring(const Context&, u64* out, const i64* e);      // transformed, every prime
void unshift(const Context&, u64* out, int x);                   // X^-(L-1), transformed, every prime
void every_lth(const Context&, int prime, const u64* f, int x, u64* out);  // coefficients 0, L, 2L, ... of f's inverse

struct Decoded {
  i64 sum;
  u64 far;  // from a whole number, times 2^16
};
// A phase modulo the first prime, times factor / 2^64, to the nearest whole number.
static inline Decoded decode(const Prime& p, u64 phase, u128 factor) {
  const u64 above = (p.q / 2 - phase) >> 63;
  const i128 value = static_cast<i128>(static_cast<i64>(phase - (p.q & (0 - above)))) * static_cast<i128>(factor);
  const i64 sum = static_cast<i64>((value + (static_cast<i128>(1) << 63)) >> 64);
  const i64 off = static_cast<i64>((value - (static_cast<i128>(sum) << 64)) >> 48);
  return {sum, static_cast<u64>(off < 0 ? -off : off)};
}
inline void raise_to(std::atomic<u32>& most, u32 value) {
  u32 seen = most.load();
  while (seen < value && !most.compare_exchange_weak(seen, value)) {}
}

// From all primes to the first, dividing by the others and rounding; n values, `step` apart by prime.
void to_first(const Context&, u64* v, std::size_t step, std::size_t n);

// What makes a polynomial of sums fit to be sent, before anything else is done to it.
class Protection {
 public:
  struct Work {  // one thread's; d [primes][N] and b [channels][primes][x] are the protected polynomial
    Secret<u64> u, shifted, t, words, d, b;
    Secret<i64> e;
    std::size_t group = ~std::size_t{0};
    Work(const Context& c, int channels, int x)
        : u(c.poly()), shifted(c.poly()), t(c.ring.n), words(c.ring.n), d(c.poly()),
          b(static_cast<std::size_t>(channels) * c.ring.primes * x), e(c.ring.n) {}
  };
  Protection(const Sums&, const PublicKey&, int flood, const u8* random, bool bare);
  void protect(Work&, std::size_t polynomial) const;
  Sums::Use use(const Work&, std::size_t polynomial) const;

 private:
  void begin(Work&, std::size_t group) const;
  const Sums& s_;
  const PublicKey& key_;
  const Context& c_;
  int flood_;
  const u8* random_;
  bool bare_;
  Area<u64> shift_;
};

}  // namespace parley::lattice
