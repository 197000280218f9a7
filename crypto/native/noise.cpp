// Every decision compares a fraction of integers with uniform bits, one at a time, so that no probability is rounded.
#include "noise.hpp"

#include <cstring>
#include <vector>

namespace parley {
namespace {

using u128 = unsigned __int128;
using i128 = __int128;

class Bits {
 public:
  explicit Bits(const Refill& refill) : refill_(refill), buffer_(1 << 16), at_(buffer_.size()) {}
  ~Bits() {
    explicit_bzero(buffer_.data(), buffer_.size());
    word_ = 0;
  }
  Bits(const Bits&) = delete;
  Bits& operator=(const Bits&) = delete;

  bool next() {
    if (left_ == 0) {
      if (at_ == buffer_.size()) {
        refill_(buffer_.data(), buffer_.size());
        at_ = 0;
      }
      std::memcpy(&word_, buffer_.data() + at_, 8);
      at_ += 8;
      left_ = 64;
    }
    const bool bit = word_ & 1;
    word_ >>= 1;
    --left_;
    return bit;
  }

  // Uniform in 0 .. n-1, by rejection.
  std::uint64_t below(std::uint64_t n) {
    int width = 0;
    while (width < 64 && (n - 1) >> width) ++width;
    for (;;) {
      std::uint64_t x = 0;
      for (int i = 0; i < width; ++i) x = x << 1 | next();
      if (x < n) return x;
    }
  }

 private:
  const Refill& refill_;
  std::vector<std::uint8_t> buffer_;
  std::size_t at_;
  std::uint64_t word_ = 0;
  int left_ = 0;
};

// True with probability p / q, p <= q < 2^127: a uniform number is compared with p / q by their binary digits.
bool bernoulli(Bits& bits, u128 p, u128 q) {
  for (;;) {
    p <<= 1;
    const bool digit = p >= q;
    if (digit) p -= q;
    const bool drawn = bits.next();
    if (drawn != digit) return digit;
  }
}

// True with probability exp(-p / q), p <= q.
bool bernoulli_exp_below_one(Bits& bits, u128 p, u128 q) {
  std::uint64_t k = 1;
  while (bernoulli(bits, p, q) && bernoulli(bits, 1, k)) ++k;
  return k & 1;
}

// True with probability exp(-p / q).
bool bernoulli_exp(Bits& bits, u128 p, u128 q) {
  for (; p > q; p -= q)
    if (!bernoulli_exp_below_one(bits, 1, 1)) return false;
  return bernoulli_exp_below_one(bits, p, q);
}

// Magnitudes from 2^60 on are drawn again; at a scale below 2^53 their probability is below exp(-100).
std::int64_t laplace(Bits& bits, std::uint64_t num, std::uint64_t den) {
  for (;;) {
    const std::uint64_t low = bits.below(num);
    if (!bernoulli_exp_below_one(bits, low, num)) continue;
    std::uint64_t whole = 0;
    while (bernoulli_exp_below_one(bits, 1, 1)) ++whole;
    const u128 magnitude = (low + static_cast<u128>(num) * whole) / den;
    const bool negative = bits.next();
    if ((negative && magnitude == 0) || magnitude >> 60) continue;
    return negative ? -static_cast<std::int64_t>(magnitude) : static_cast<std::int64_t>(magnitude);
  }
}

std::uint64_t floor_root(std::uint64_t x) {
  std::uint64_t root = 0;
  for (std::uint64_t bit = std::uint64_t{1} << 31; bit; bit >>= 1)
    if ((root + bit) * (root + bit) <= x) root += bit;
  return root;
}

// A candidate so far out that its distance does not fit 64 bits would be taken with probability below exp(-2^10).
std::int64_t gaussian(Bits& bits, std::uint64_t num, std::uint64_t den, std::uint64_t t) {
  const u128 q = 2 * static_cast<u128>(num) * den * t * t;
  for (;;) {
    const std::int64_t y = laplace(bits, t, 1);
    const i128 signed_distance = static_cast<i128>(y < 0 ? -y : y) * den * t - num;
    const u128 distance = signed_distance < 0 ? -signed_distance : signed_distance;
    if (!(distance >> 64) && bernoulli_exp(bits, distance * distance, q)) return y;
  }
}

}  // namespace

void discrete_laplace(const Refill& refill, std::int64_t* out, std::size_t n, std::uint64_t num, std::uint64_t den) {
  Bits bits(refill);
  for (std::size_t i = 0; i < n; ++i) out[i] = laplace(bits, num, den);
}

void discrete_gaussian(const Refill& refill, std::int64_t* out, std::size_t n, std::uint64_t num, std::uint64_t den) {
  Bits bits(refill);
  const std::uint64_t t = floor_root(num / den) + 1;
  for (std::size_t i = 0; i < n; ++i) out[i] = gaussian(bits, num, den, t);
}

}  // namespace parley
