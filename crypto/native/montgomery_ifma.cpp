// Eight rows at a time with AVX-512-IFMA: 52-bit digits, values below 2n between products (R > 4n, so a product of two
// such values over R stays below 2n), reduced below n when they leave (Gueron, Krasnov 2012: almost Montgomery).
// Bound: a digit's sum takes four products' halves below 2^52 per step over at most 119 steps: under 2^61.
#include <immintrin.h>

#include <algorithm>
#include <vector>

#include "montgomery.hpp"

namespace parley {
namespace {

using V = __m512i;
constexpr Limb M52 = (Limb{1} << 52) - 1;

inline V all(Limb x) { return _mm512_set1_epi64(static_cast<long long>(x)); }

template <size_t L>
class Ifma final : public Lanes {
  static constexpr size_t K = COUNT;
  static constexpr size_t D = (64 * L + 2 + 51) / 52;  // digits, two bits to spare
  using Rows = const Limb* [K];
  struct Elem { V v[D]; };

 public:
  explicit Ifma(const Limb* n) {
    for (size_t j = 0; j < D; ++j) n_[j] = digit(n, j);
    Limb inverse = n[0];  // correct to 3 bits; each step doubles that
    for (int i = 0; i < 6; ++i) inverse *= 2 - n[0] * inverse;
    k0_ = (0 - inverse) & M52;
  }
  size_t r_bits() const override { return 52 * D; }
  void enable(const Limb* one) override {
    for (size_t j = 0; j < D; ++j) one_[j] = digit(one, j);
    one_row_.assign(one, one + L);
  }

  void mul(Limb* out, const Limb* a, const Limb* b, size_t b_step, size_t n) const override {
    for (size_t at = 0; at < n; at += K) {
      const size_t k = std::min(K, n - at);
      Elem x, y;
      load(x, a + at * L, L, k);
      load(y, b + at * b_step, b_step, k);
      times(x, x, y);
      save(out + at * L, x, k);
    }
  }

  void pow(Limb* out, const Limb* a, const Limb* e, size_t words, size_t n) const override {
    std::vector<Elem> power(16);
    for (size_t at = 0; at < n; at += K) {
      const size_t k = std::min(K, n - at);
      set_one(power[0]);
      load(power[1], a + at * L, L, k);
      for (size_t d = 2; d < 16; ++d) times(power[d], power[d - 1], power[1]);
      Elem r = power[0];
      for (size_t i = words; i-- > 0;)
        for (int shift = 60; shift >= 0; shift -= 4) {
          for (int s = 0; s < 4; ++s) times(r, r, r);
          times(r, r, power[(e[i] >> shift) & 15]);
        }
      save(out + at * L, r, k);
    }
  }

  void walk(Limb* out, const Limb* table, const uint8_t* e, size_t windows, size_t n) const override {
    for (size_t at = 0; at < n; at += K) {
      const size_t k = std::min(K, n - at);
      Elem r, f;
      for (size_t w = 0; w < windows; ++w) {
        Rows rows;
        for (size_t j = 0; j < K; ++j) rows[j] = table + (w * 256 + (j < k ? e[(at + j) * windows + w] : 0)) * L;
        collect(w ? f : r, rows);
        if (w) times(r, r, f);
      }
      save(out + at * L, r, k);
    }
  }

  void join(Limb* out, const Limb* x, size_t n, size_t group, size_t shift, size_t from, size_t to) const override {
    for (size_t at = from; at < to; at += K) {
      Elem r, f;
      set_one(r);
      for (size_t j = group; j-- > 0;) {
        for (size_t s = 0; j + 1 < group && s < shift; ++s) times(r, r, r);
        Rows rows;
        for (size_t k = 0; k < K; ++k) {
          const size_t i = (at + k) * group + j;
          rows[k] = at + k < to && i < n ? x + i * L : one_row_.data();
        }
        collect(f, rows);
        times(r, r, f);
      }
      save(out + at * L, r, std::min(K, to - at));
    }
  }

  // out: (count, n_bins) rows. Each lane has bins of its own, so no two lanes meet in one.
  void tally(Limb* out, const Table& t, const Tasks& tasks) const override {
    const size_t cells = tasks.count * t.n_bins;
    std::vector<Limb> sums((cells + 1) * D);  // the last one serves lanes that have run out of rows
    for (size_t i = 0; i <= cells; ++i) std::copy(one_, one_ + D, &sums[i * D]);
    size_t most = 0;
    for (size_t j = 0; j < tasks.count; ++j) most = std::max(most, tasks.to[j] - tasks.from[j]);
    for (size_t i = 0; i < most; ++i) {
      Rows rows;
      Limb* bin[K];
      for (size_t j = 0; j < K; ++j) {
        rows[j] = one_row_.data();
        bin[j] = &sums[cells * D];
        if (j >= tasks.count || tasks.from[j] + i >= tasks.to[j]) continue;
        const auto r = static_cast<size_t>(t.rows[tasks.from[j] + i]);
        rows[j] = t.ct + r * L;
        bin[j] = &sums[(j * t.n_bins + t.bins[r * t.features + tasks.feature[j]]) * D];
      }
      Elem value, sum;
      collect(value, rows);
      const V at = _mm512_loadu_si512(bin);
      for (size_t d = 0; d < D; ++d) sum.v[d] = _mm512_i64gather_epi64(_mm512_add_epi64(at, all(8 * d)), nullptr, 1);
      times(sum, sum, value);
      for (size_t d = 0; d < D; ++d) _mm512_i64scatter_epi64(nullptr, _mm512_add_epi64(at, all(8 * d)), sum.v[d], 1);
    }
    for (size_t i = 0; i < cells; i += K) {
      const size_t k = std::min(K, cells - i);
      const V index = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
      const V at = _mm512_mullo_epi64(_mm512_min_epu64(index, all(k - 1)), all(D));
      Elem sum;
      for (size_t d = 0; d < D; ++d) sum.v[d] = _mm512_i64gather_epi64(at, &sums[i * D + d], 8);
      save(out + i * L, sum, k);
    }
  }

 private:
  static Limb digit(const Limb* row, size_t j) {
    const size_t w = 52 * j / 64, s = 52 * j % 64;
    Limb x = w < L ? row[w] >> s : 0;
    if (s > 12 && w + 1 < L) x |= row[w + 1] << (64 - s);
    return x & M52;
  }

  void set_one(Elem& e) const {
    for (size_t j = 0; j < D; ++j) e.v[j] = all(one_[j]);
  }

  // One row of limbs per lane, into digits.
  static void collect(Elem& e, const Rows& rows) {
    const V at = _mm512_loadu_si512(rows), mask = all(M52);
    const auto word = [&](size_t w) {
      return w < L ? _mm512_i64gather_epi64(_mm512_add_epi64(at, all(8 * w)), nullptr, 1) : _mm512_setzero_si512();
    };
    V here = word(0);
    size_t have = 0;  // the word in `here`
    for (size_t j = 0; j < D; ++j) {
      const size_t w = 52 * j / 64, s = 52 * j % 64;
      if (w != have) here = word(w), have = w;
      V x = _mm512_srl_epi64(here, _mm_cvtsi64_si128(static_cast<long long>(s)));
      if (s > 12) {
        here = word(w + 1), have = w + 1;
        x = _mm512_or_si512(x, _mm512_sll_epi64(here, _mm_cvtsi64_si128(static_cast<long long>(64 - s))));
      }
      e.v[j] = _mm512_and_si512(x, mask);
    }
  }

  static void load(Elem& e, const Limb* first, size_t step, size_t k) {
    Rows rows;
    for (size_t j = 0; j < K; ++j) rows[j] = first + (j < k ? j : 0) * step;
    collect(e, rows);
  }

  // The first k lanes as rows of limbs below n.
  void save(Limb* out, Elem& e, size_t k) const {
    const V mask = all(M52), lanes = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
    const auto store = static_cast<__mmask8>((1u << k) - 1);
    Elem less;
    V borrow = _mm512_setzero_si512();
    for (size_t j = 0; j < D; ++j) {
      const V x = _mm512_add_epi64(_mm512_sub_epi64(e.v[j], all(n_[j])), borrow);
      borrow = _mm512_srai_epi64(x, 63);
      less.v[j] = _mm512_and_si512(x, mask);
    }
    const __mmask8 below = _mm512_movepi64_mask(borrow);
    for (size_t j = 0; j < D; ++j) e.v[j] = _mm512_mask_mov_epi64(less.v[j], below, e.v[j]);
    const V at = _mm512_mullo_epi64(lanes, all(8 * L));
    for (size_t w = 0; w < L; ++w) {
      const size_t j = 64 * w / 52, s = 64 * w % 52;
      const auto by = [](size_t bits) { return _mm_cvtsi64_si128(static_cast<long long>(bits)); };
      V x = _mm512_or_si512(_mm512_srl_epi64(e.v[j], by(s)), _mm512_sll_epi64(e.v[j + 1], by(52 - s)));
      if (s > 40) x = _mm512_or_si512(x, _mm512_sll_epi64(e.v[j + 2], by(104 - s)));
      _mm512_mask_i64scatter_epi64(out + w, store, at, x, 1);
    }
  }

  // out = a * b / R, below 2n for a and b below 2n; any of the three may be the same.
  void times(Elem& out, const Elem& a, const Elem& b) const {
    const V zero = _mm512_setzero_si512(), k = all(k0_), mask = all(M52);
    V t[D + 1];
    for (size_t j = 0; j <= D; ++j) t[j] = zero;
    for (size_t i = 0; i < D; ++i) {
      const V bi = b.v[i];
      V aj = a.v[0], nj = all(n_[0]);
      V low = _mm512_madd52lo_epu64(t[0], aj, bi);
      const V q = _mm512_madd52lo_epu64(zero, low, k);
      low = _mm512_madd52lo_epu64(low, nj, q);
      const V carry = _mm512_srli_epi64(low, 52);  // the low digit is zero; what it carries joins the next one
      for (size_t j = 1; j < D; ++j) {
        V x = _mm512_madd52hi_epu64(t[j], aj, bi);
        V y = _mm512_madd52hi_epu64(j == 1 ? carry : zero, nj, q);
        aj = a.v[j];
        nj = all(n_[j]);
        x = _mm512_madd52lo_epu64(x, aj, bi);
        y = _mm512_madd52lo_epu64(y, nj, q);
        t[j - 1] = _mm512_add_epi64(x, y);
      }
      t[D - 1] = _mm512_madd52hi_epu64(_mm512_madd52hi_epu64(zero, aj, bi), nj, q);
    }
    V carry = zero;
    for (size_t j = 0; j < D; ++j) {
      const V x = _mm512_add_epi64(t[j], carry);
      out.v[j] = _mm512_and_si512(x, mask);
      carry = _mm512_srli_epi64(x, 52);
    }
  }

  Limb n_[D], one_[D], k0_;
  std::vector<Limb> one_row_;
};

}  // namespace

std::unique_ptr<Lanes> lanes_ifma(const Limb* n, size_t limbs) {
  switch (limbs) {
    case 32: return std::make_unique<Ifma<32>>(n);
    case 48: return std::make_unique<Ifma<48>>(n);
    case 64: return std::make_unique<Ifma<64>>(n);
    case 96: return std::make_unique<Ifma<96>>(n);
    default: return nullptr;
  }
}

}  // namespace parley
