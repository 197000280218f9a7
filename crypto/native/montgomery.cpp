#include "montgomery.hpp"

#include <algorithm>
#include <cstring>
#include <thread>

#include "ristretto.hpp"

namespace parley {
namespace {

using Wide = unsigned __int128;

// Coarsely integrated operand scanning (Koc, Acar, Kaliski 1996). L is a compile-time size where it is a usual one,
// so that the inner loops unroll; 0 means any.
template <size_t L>
void mul_cios(Limb* out, const Limb* a, const Limb* b, const Limb* n, Limb inv, size_t any) {
  const size_t limbs = L ? L : any;
  Limb t[98] = {0};
  for (size_t i = 0; i < limbs; ++i) {
    const Limb x = b[i];
    Limb carry = 0;
    for (size_t j = 0; j < limbs; ++j) {
      const Wide s = static_cast<Wide>(a[j]) * x + t[j] + carry;
      t[j] = static_cast<Limb>(s);
      carry = static_cast<Limb>(s >> 64);
    }
    const Wide top = static_cast<Wide>(t[limbs]) + carry;
    t[limbs] = static_cast<Limb>(top);
    t[limbs + 1] = static_cast<Limb>(top >> 64);
    const Limb q = t[0] * inv;
    carry = static_cast<Limb>((static_cast<Wide>(q) * n[0] + t[0]) >> 64);
    for (size_t j = 1; j < limbs; ++j) {
      const Wide s = static_cast<Wide>(q) * n[j] + t[j] + carry;
      t[j - 1] = static_cast<Limb>(s);
      carry = static_cast<Limb>(s >> 64);
    }
    const Wide end = static_cast<Wide>(t[limbs]) + carry;
    t[limbs - 1] = static_cast<Limb>(end);
    t[limbs] = t[limbs + 1] + static_cast<Limb>(end >> 64);
  }
  Limb reduced[98];
  Limb borrow = 0;
  for (size_t j = 0; j < limbs; ++j) {
    const Wide d = static_cast<Wide>(t[j]) - n[j] - borrow;
    reduced[j] = static_cast<Limb>(d);
    borrow = static_cast<Limb>(d >> 64) & 1;
  }
  const Limb keep = 0 - static_cast<Limb>(t[limbs] == 0 && borrow);  // all ones: t was below n already
  for (size_t j = 0; j < limbs; ++j) out[j] = (t[j] & keep) | (reduced[j] & ~keep);
}

Limb minus_inverse(Limb n) {
  Limb x = n;  // correct to 3 bits; each step doubles that
  for (int i = 0; i < 6; ++i) x *= 2 - n * x;
  return 0 - x;
}

// r = 2 r mod n for r < n.
void doubled(Limb* r, const Limb* n, size_t limbs) {
  Limb carry = 0;
  for (size_t j = 0; j < limbs; ++j) {
    const Limb next = r[j] >> 63;
    r[j] = (r[j] << 1) | carry;
    carry = next;
  }
  bool above = carry != 0;
  if (!above) {
    above = true;
    for (size_t j = limbs; j-- > 0;)
      if (r[j] != n[j]) {
        above = r[j] > n[j];
        break;
      }
  }
  if (!above) return;
  Limb borrow = 0;
  for (size_t j = 0; j < limbs; ++j) {
    const Wide d = static_cast<Wide>(r[j]) - n[j] - borrow;
    r[j] = static_cast<Limb>(d);
    borrow = static_cast<Limb>(d >> 64) & 1;
  }
}

}  // namespace

Modulus::Modulus(const Limb* n, size_t limbs)
    : limbs_(limbs), inv_(minus_inverse(n[0])), n_(n, n + limbs), one_(limbs, 0), r2_(limbs, 0) {
  switch (limbs) {
    case 32: mul_ = mul_cios<32>; break;
    case 48: mul_ = mul_cios<48>; break;
    case 64: mul_ = mul_cios<64>; break;
    case 96: mul_ = mul_cios<96>; break;
    default: mul_ = mul_cios<0>;
  }
  // One choice for every kernel of the module: cpu.cpp makes it, and refuses an unknown PARLEY_CPU.
  [[maybe_unused]] const bool portable = &ristretto_kernel() == &RISTRETTO_BASELINE;
#if defined(PARLEY_HAS_IFMA)
  if (!portable) lanes_ = lanes_ifma(n, limbs);
#endif
  const size_t bits = lanes_ ? lanes_->r_bits() : 64 * limbs;
  std::vector<Limb> r(limbs, 0);
  r[0] = 1;
  for (size_t i = 0; i < bits; ++i) doubled(r.data(), n_.data(), limbs);
  one_ = r;
  if (lanes_) lanes_->enable(one_.data());
  for (size_t i = 0; i < bits; ++i) doubled(r.data(), n_.data(), limbs);
  r2_ = r;
}

void Modulus::mul(Limb* out, const Limb* a, const Limb* b, size_t b_step, size_t n) const {
  if (lanes_) return lanes_->mul(out, a, b, b_step, n);
  for (size_t i = 0; i < n; ++i) mul_(out + i * limbs_, a + i * limbs_, b + i * b_step, n_.data(), inv_, limbs_);
}

void Modulus::pow(Limb* out, const Limb* a, const Limb* e, size_t words, size_t n) const {
  if (lanes_) return lanes_->pow(out, a, e, words, n);
  for (size_t i = 0; i < n; ++i) power(out + i * limbs_, a + i * limbs_, e, words);
}

void Modulus::power(Limb* out, const Limb* a, const Limb* e, size_t words) const {
  std::vector<Limb> table(16 * limbs_);
  std::copy(one_.begin(), one_.end(), table.begin());
  for (size_t k = 1; k < 16; ++k) mul(&table[k * limbs_], &table[(k - 1) * limbs_], a);
  std::vector<Limb> acc(one_);
  for (size_t i = words; i-- > 0;)
    for (int shift = 60; shift >= 0; shift -= 4) {
      for (int k = 0; k < 4; ++k) mul(acc.data(), acc.data(), acc.data());
      mul(acc.data(), acc.data(), &table[((e[i] >> shift) & 15) * limbs_]);
    }
  std::copy(acc.begin(), acc.end(), out);
}

void Modulus::product(Limb* out, const Limb* x, size_t n) const {
  constexpr size_t K = Lanes::COUNT;
  std::vector<Limb> acc(K * limbs_);
  for (size_t k = 0; k < K; ++k) std::copy(one_.begin(), one_.end(), &acc[k * limbs_]);
  for (size_t i = 0; i < n; i += K) mul(acc.data(), acc.data(), x + i * limbs_, limbs_, std::min(K, n - i));
  for (size_t half = K / 2; half > 0; half /= 2) mul(acc.data(), acc.data(), &acc[half * limbs_], limbs_, half);
  std::copy(acc.begin(), acc.begin() + static_cast<std::ptrdiff_t>(limbs_), out);
}

void Modulus::join(Limb* out, const Limb* x, size_t n, size_t group, size_t shift, size_t from, size_t to) const {
  if (lanes_) return lanes_->join(out, x, n, group, shift, from, to);
  for (size_t g = from; g < to; ++g) {
    const size_t begin = g * group, end = std::min(n, begin + group);
    Limb* acc = out + g * limbs_;
    std::copy(x + (end - 1) * limbs_, x + end * limbs_, acc);
    for (size_t i = end - 1; i-- > begin;) {
      for (size_t k = 0; k < shift; ++k) mul(acc, acc, acc);
      mul(acc, acc, x + i * limbs_);
    }
  }
}

void Modulus::histogram(Limb* out, const Lanes::Table& t, size_t m, int threads) const {
  if (lanes_) return histogram_lanes(out, t, m, threads);
  ranges(t.features, 1, threads, [&](size_t from, size_t to) {
    for (size_t f = from; f < to; ++f) histogram_one(out + f * t.n_bins * limbs_, t, m, f);
  });
}

void Modulus::histogram_one(Limb* out, const Lanes::Table& t, size_t m, size_t f) const {
  std::vector<uint8_t> used(t.n_bins, 0);
  for (size_t i = 0; i < m; ++i) {
    const auto r = static_cast<size_t>(t.rows[i]);
    const size_t bin = t.bins[r * t.features + f];
    const Limb* row = t.ct + r * limbs_;
    Limb* cell = out + bin * limbs_;
    if (used[bin]) mul(cell, cell, row);
    else std::copy(row, row + limbs_, cell), used[bin] = 1;
  }
  for (size_t k = 0; k < t.n_bins; ++k)
    if (!used[k]) std::copy(one_.begin(), one_.end(), out + k * limbs_);
}

// A lane takes one feature over one part of the rows. Features seldom fill the lanes of every thread, so the rows are
// cut into as many parts as cost least, the products that put the parts together included.
void Modulus::histogram_lanes(Limb* out, const Lanes::Table& t, size_t m, int threads) const {
  constexpr size_t K = Lanes::COUNT;
  const auto up = [](size_t a, size_t b) { return (a + b - 1) / b; };
  const size_t workers = static_cast<size_t>(std::max(threads, 1)), cells = t.features * t.n_bins;
  size_t parts = 1, best = ~size_t{0};
  for (size_t p = 1; p <= 2 * K; ++p) {
    const size_t cost = up(up(t.features * p, K), workers) * up(m, p) + (p - 1) * up(up(cells, K), workers);
    if (cost < best) best = cost, parts = p;
  }
  std::vector<Limb> spare((parts - 1) * cells * limbs_);
  const size_t tasks = t.features * parts;
  ranges(tasks, K, threads, [&](size_t from, size_t to) {
    for (; from < to; from += K) {
      Lanes::Tasks group{std::min(K, to - from), {}, {}, {}};
      std::vector<Limb> sums(group.count * t.n_bins * limbs_);
      for (size_t j = 0; j < group.count; ++j) {
        const size_t part = (from + j) / t.features;
        group.feature[j] = (from + j) % t.features;
        group.from[j] = m * part / parts;
        group.to[j] = m * (part + 1) / parts;
      }
      lanes_->tally(sums.data(), t, group);
      for (size_t j = 0; j < group.count; ++j) {
        const size_t part = (from + j) / t.features, size = t.n_bins * limbs_;
        Limb* whole = part ? &spare[(part - 1) * cells * limbs_] : out;
        std::copy(&sums[j * size], &sums[j * size] + size, whole + group.feature[j] * size);
      }
    }
  });
  ranges(cells, K, threads, [&](size_t from, size_t to) {
    Limb* o = out + from * limbs_;
    for (size_t p = 0; p + 1 < parts; ++p) mul(o, o, &spare[(p * cells + from) * limbs_], limbs_, to - from);
  });
}

FixedBase::FixedBase(const Modulus& m, const Limb* base_mont, size_t exponent_bytes, int threads)
    : m_(m), windows_(exponent_bytes), table_(exponent_bytes * 256 * m.limbs()) {
  const size_t limbs = m.limbs();
  std::vector<Limb> start(windows_ * limbs);
  std::copy(base_mont, base_mont + limbs, start.begin());
  for (size_t w = 1; w < windows_; ++w) {
    Limb* x = &start[w * limbs];
    std::copy(x - limbs, x, x);
    for (int k = 0; k < 8; ++k) m.mul(x, x, x);
  }
  // Digit by digit, so that the windows fill the lanes.
  ranges(windows_, m.lanes(), threads, [&](size_t from, size_t to) {
    std::vector<Limb> column((to - from) * limbs);
    for (size_t w = from; w < to; ++w) std::copy(m.one(), m.one() + limbs, &column[(w - from) * limbs]);
    for (size_t d = 0; d < 256; ++d) {
      if (d) m.mul(column.data(), column.data(), &start[from * limbs], limbs, to - from);
      for (size_t w = from; w < to; ++w) {
        const Limb* x = &column[(w - from) * limbs];
        std::copy(x, x + limbs, &table_[(w * 256 + d) * limbs]);
      }
    }
  });
}

void FixedBase::pow(Limb* out, const uint8_t* e, size_t n) const {
  const size_t limbs = m_.limbs();
  if (m_.lanes_) return m_.lanes_->walk(out, table_.data(), e, windows_, n);
  for (size_t i = 0; i < n; ++i, out += limbs, e += windows_) {
    std::copy(&table_[e[0] * limbs], &table_[e[0] * limbs] + limbs, out);
    for (size_t w = 1; w < windows_; ++w) m_.mul(out, out, &table_[(w * 256 + e[w]) * limbs]);
  }
}

void parallel(size_t n, int threads, void (*body)(void*, size_t, size_t), void* state) {
  const size_t parts = std::min<size_t>(std::max(threads, 1), std::max<size_t>(n, 1));
  std::vector<std::thread> pool;
  for (size_t p = 1; p < parts; ++p) pool.emplace_back(body, state, n * p / parts, n * (p + 1) / parts);
  body(state, 0, n / parts);
  for (auto& t : pool) t.join();
}

}  // namespace parley
