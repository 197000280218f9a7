// The other side: a received batch's sums by bin, and their release.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "lattice_arith.hpp"
#include "lattice_core.hpp"
#include "lattice_parts.hpp"

namespace parley::lattice {

PublicKey::PublicKey(int n, int channels, const u8* open, const u8* packed) : n_(n), channels_(channels) {
  const Context& c = context(n);
  const std::size_t size = n, bytes = size / 4 * 25;
  poly_ = c.poly();
  p1_ = Area<u64>(GROUP * poly_);
  p0_ = Area<u64>(GROUP * channels * poly_);
  u8 nonce[12];
  for (int t = 0; t < GROUP; ++t)
    for (int i = 0; i < c.ring.primes; ++i) {
      nonce_for(nonce, FOR_KEY, static_cast<u64>(t) * c.ring.primes + i);
      uniform(c, c.ring.prime[i], &p1_[t * poly_ + i * size], open, nonce);
    }
  for (std::size_t k = 0; k < static_cast<std::size_t>(GROUP) * channels * c.ring.primes; ++k)
    if (!unpack50(&p0_[k * size], packed + k * bytes, size, c.ring.prime[k % c.ring.primes].q))
      throw Refused{"bad_key", "a residue is not canonical"};
}

Sums::Sums(int n, int channels, int x, std::size_t slots)
    : n_(n), channels_(channels), x_(x), slots_(slots), polynomials_((slots + x - 1) / x) {
  const Context& c = context(n);
  d_ = Area<u64>(polynomials_ * c.poly());
  b_ = Area<u64>(polynomials_ * channels * c.ring.primes * x);
}

void Sums::add(const Sums& other, bool negative) {
  if (other.n_ != n_ || other.channels_ != channels_ || other.x_ != x_ || other.slots_ != slots_)
    throw Refused{"bad_shape", "sums of one shape"};
  const Context& c = context(n_);
  const auto join = [&](Area<u64>& to, const Area<u64>& from, std::size_t run) {
    for (std::size_t k = 0; k < to.size(); ++k) {
      const u64 q = c.ring.prime[k / run % c.ring.primes].q;
      to[k] = negative ? minus(q, to[k], from[k]) : plus(q, to[k], from[k]);
    }
  };
  join(d_, other.d_, n_);
  join(b_, other.b_, x_);
  worst_ = std::max(worst_, other.worst_);
}

// One call's state: rows in chunks; in each, blocks are prepared, then groups of slots are summed.
class Summation {
 public:
  Summation(Sums& sums, const Message& m, const Bins* b, const Columns* f, int threads);
  void run();

 private:
  struct Own {  // one thread's
    Area<double> scratch, limbs, coefficients;
    Area<u64> a;  // [primes][N], and two more
  };
  void layout();
  void chunk(std::size_t at, std::size_t rows);
  void expand(Own& w, std::size_t block, std::size_t slot);
  void split(Own& w);
  bool rows_of(Own& w, std::size_t block, std::size_t slot);
  std::size_t source(std::size_t i) const;
  template <class T>
  bool turn(const T* data, std::size_t at, std::size_t from, std::size_t to);
  bool turn_factors(std::size_t at, std::size_t from, std::size_t to);
  void sum(Own& w, std::size_t rows, std::size_t from, std::size_t to);
  void round(Own& w, std::size_t from, std::size_t to, double* worst);

  Sums& out_;
  const Message& m_;
  const Bins* const b_;        // one of the two
  const Columns* const f_;
  const Context& c_;
  const Shape shape_;
  const double* plan_;
  const std::size_t n_, l_;
  const int streams_, threads_;
  const std::size_t width_;                    // words of an extended row
  std::size_t rows_, blocks_, groups_, step_;  // of a chunk: rows, blocks; doubles between parts of spectra
  std::size_t flush_, reduce_;                 // rows between two roundings, two reductions of b
  std::vector<u32> offsets_;
  std::vector<Column> columns_;
  std::vector<Span> spans_;
  std::vector<Spans> by_group_;
  std::vector<std::size_t> first_, last_;  // features of each group
  std::vector<Own> own_;
  Area<double> spectra_, acc_;
  Area<u64> extended_;
  Area<u8> bins_;
  Area<i8> factors_;  // [columns][rows], zero behind the last row
};

Summation::Summation(Sums& sums, const Message& m, const Bins* b, const Columns* f, int threads)
    : out_(sums), m_(m), b_(b), f_(f), c_(context(sums.n_)), shape_(c_.k.shape(c_.ring, m.x)), plan_(plan_of(c_, m.x)),
      n_(sums.n_), l_(n_ / m.x), streams_(m.channels * c_.ring.primes), threads_(std::max(threads, 1)),
      width_(static_cast<std::size_t>(m.x) * (f == nullptr ? 2 : 3)), flush_(FLUSH) {
  std::size_t most = std::min(CHUNK, (std::size_t{32} << 20) / (streams_ * width_ * sizeof(u64)));
  if (f != nullptr) {
    // Rounding errors grow with the factors and the columns that share a polynomial.
    int largest = 1;
    for (std::size_t k = 0; k < f->n * f->columns; ++k) largest = std::max(largest, std::abs(int{f->data[k]}));
    flush_ = FLUSH / (32 * static_cast<std::size_t>(largest));
    most = std::min(most, flush_);
  }
  rows_ = std::max(most / l_ * l_, l_);
  rows_ = std::min(rows_, (m.rows + l_ - 1) / l_ * l_);
  blocks_ = rows_ / l_;
  groups_ = (out_.slots_ + shape_.slots - 1) / shape_.slots;
  step_ = blocks_ * (shape_.spectrum / shape_.lane_groups);
  spectra_ = Area<double>(blocks_ * shape_.spectrum);
  acc_ = Area<double>(groups_ * shape_.sums);
  extended_ = Area<u64>(rows_ * streams_ * width_);
  if (b != nullptr) bins_ = Area<u8>(b->features * rows_);
  else factors_ = Area<i8>(f->columns * rows_);
  for (int t = 0; t < threads_; ++t)
    own_.push_back({Area<double>(shape_.scratch), Area<double>(c_.ring.limbs * n_),
                    Area<double>(shape_.polynomials * c_.ring.limbs * n_), Area<u64>((c_.ring.primes + 2) * n_)});
  reduce_ = FACTORS / m.x;
  if (b != nullptr) layout();
}

// Slots are handed out feature after feature, so a vector's lanes are shared by features with few bins.
void Summation::layout() {
  u32 offset = 0;
  for (std::size_t f = 0; f < b_->features; offset += b_->counts[f++])
    columns_.push_back({&bins_[f * rows_], offset, b_->counts[f]});
  std::size_t from = 0;
  std::vector<std::size_t> begins;
  for (std::size_t g = 0; g < groups_; ++g) {
    const std::size_t low = g * shape_.slots, high = low + shape_.slots;
    while (columns_[from].offset + columns_[from].count <= low) ++from;
    std::size_t f = from;
    begins.push_back(spans_.size());
    for (; f < columns_.size() && columns_[f].offset < high; ++f)
      spans_.push_back({columns_[f].bins, static_cast<int>(columns_[f].offset) - static_cast<int>(low)});
    first_.push_back(from);
    last_.push_back(f);
  }
  begins.push_back(spans_.size());
  // Every feature of a polynomial adds a term of each row to each of its sums.
  std::size_t together = 1;
  for (std::size_t g = 0; g < groups_; ++g) together = std::max(together, last_[g] - first_[g]);
  reduce_ = CHUNK / together;
  flush_ = FLUSH / together;
  for (std::size_t g = 0; g < groups_; ++g)
    by_group_.push_back({&spans_[begins[g]], static_cast<int>(begins[g + 1] - begins[g])});
}

void Summation::run() {
  std::size_t since = 0;
  for (std::size_t at = 0; at < m_.rows; at += rows_) {
    const std::size_t rows = std::min(rows_, m_.rows - at);
    chunk(at, rows);
    since += rows;
    if (since + rows_ <= flush_ && at + rows_ < m_.rows) continue;
    since = 0;
    const int parts = parts_of(groups_, threads_);
    std::vector<double> worst(parts, 0.0);
    each_part(parts, [&](int p) { round(own_[p], groups_ * p / parts, groups_ * (p + 1) / parts, &worst[p]); });
    for (const double x : worst) out_.worst_ = std::max(out_.worst_, x);
    if (!(out_.worst_ < 0.25)) throw Refused{"inexact", "a sum of transforms is too far from a whole number"};
  }
}

void Summation::chunk(std::size_t at, std::size_t rows) {
  const std::size_t blocks = (rows + l_ - 1) / l_, first = at / l_;
  std::atomic<bool> bad_bins{false}, bad_residue{false};
  const int parts = parts_of(blocks, threads_);
  each_part(parts, [&](int p) {
    Own& w = own_[p];
    const std::size_t from = blocks * p / parts, to = blocks * (p + 1) / parts;
    for (std::size_t k = from; k < to; ++k) {
      expand(w, m_.first + first + k, k);
      if (!rows_of(w, first + k, k)) bad_residue = true;
    }
    const std::size_t end = std::min(to * l_, rows);
    const bool fine = f_ != nullptr ? turn_factors(at, from * l_, to * l_)
                      : b_->wide    ? turn(static_cast<const u16*>(b_->data), at, from * l_, end)
                                    : turn(static_cast<const u8*>(b_->data), at, from * l_, end);
    if (!fine) bad_bins = true;
  });
  if (bad_residue) throw Refused{"bad_ciphertext", "a residue is not canonical"};
  if (bad_bins) throw Refused{"bad_bins", "a bin is not below its feature's number of bins, or a row out of range"};
  const std::size_t tile = 4;  // groups, so that threads part between tiles
  const std::size_t tiles = (groups_ + tile - 1) / tile;
  const int sums = parts_of(tiles, threads_);
  each_part(sums, [&](int p) {
    sum(own_[p], rows, tiles * p / sums * tile, std::min(tiles * (p + 1) / sums * tile, groups_));
  });
}

// The spectrum of a block's a, in limbs.
void Summation::expand(Own& w, std::size_t block, std::size_t slot) {
  u8 nonce[12];
  for (int i = 0; i < c_.ring.primes; ++i) {
    nonce_for(nonce, FOR_BLOCK, block * c_.ring.primes + i);
    uniform(c_, c_.ring.prime[i], &w.a[i * n_], m_.open, nonce);
    c_.k.inverse(c_.ring, i, &w.a[i * n_]);
  }
  split(w);
  c_.k.spectrum(c_.ring, m_.x, plan_, w.limbs.data(), &spectra_[slot * (shape_.spectrum / shape_.lane_groups)], step_,
                w.scratch.data());
}

// a modulo q as whole numbers of few bits: mixed radix first (Garner), then limbs in the middle of their range.
void Summation::split(Own& w) {
  const Prime* p = c_.ring.prime;
  double* out = w.limbs.data();
  u64 *a0 = w.a.data(), *h1 = a0 + c_.ring.primes * n_, *h2 = h1 + n_;
  c_.k.lift(p[1], h1, a0 + n_, a0, p[0].q, false, p[1].inverse_of[0], n_);
  if (c_.ring.primes == 2) {
    for (std::size_t j = 0; j < n_; ++j) {
      const i64 high = static_cast<i64>(h1[j]) - static_cast<i64>(p[1].q & (0 - ((p[1].q / 2 - h1[j]) >> 63)));
      i128 v = static_cast<i128>(high) * static_cast<i64>(p[0].q) + static_cast<i64>(a0[j]);
      for (int l = 0; l < 2; ++l) {
        const i64 low = static_cast<i64>((static_cast<u64>(v) + (u64{1} << 33)) & ((u64{1} << 34) - 1)) - (i64{1} << 33);
        out[l * n_ + j] = static_cast<double>(low);
        v = (v - low) >> 34;
      }
      out[2 * n_ + j] = static_cast<double>(static_cast<i64>(v));
    }
    return;
  }
  c_.k.lift(p[2], h2, a0 + 2 * n_, a0, p[0].q, false, p[2].inverse_of[0], n_);
  c_.k.lift(p[2], h2, h2, h1, p[1].q, false, p[2].inverse_of[1], n_);
  constexpr i64 MASK = (1 << 30) - 1;
  const i64 c0 = static_cast<i64>(p[0].q) & MASK, c1 = static_cast<i64>(p[0].q >> 30);
  i64 d[4];
  for (int l = 0; l < 4; ++l) d[l] = static_cast<i64>(c_.ring.product[l]);
  for (std::size_t j = 0; j < n_; ++j) {
    const i64 r = static_cast<i64>(a0[j]), g = static_cast<i64>(h1[j]);
    const i64 h = static_cast<i64>(h2[j]) - static_cast<i64>(p[2].q & (0 - ((p[2].q / 2 - h2[j]) >> 63)));
    const i64 g0 = g & MASK, g1 = g >> 30, h0 = h & MASK, h1_ = h >> 30;
    i64 v[LIMBS] = {(r & MASK) + g0 * c0 + h0 * d[0], (r >> 30) + g0 * c1 + g1 * c0 + h0 * d[1] + h1_ * d[0],
                    g1 * c1 + h0 * d[2] + h1_ * d[1], h0 * d[3] + h1_ * d[2], h1_ * d[3]};
    for (int l = 0; l < LIMBS - 1; ++l) {
      const i64 low = ((v[l] + (i64{1} << 29)) & MASK) - (i64{1} << 29);
      out[l * n_ + j] = static_cast<double>(low);
      v[l + 1] += (v[l] - low) >> 30;
    }
    out[4 * n_ + j] = static_cast<double>(v[4]);
  }
}

// The words of b that a row's slices are cut from: row j of a block holds coefficients m L + L - 1 - j.
bool Summation::rows_of(Own& w, std::size_t block, std::size_t slot) {
  const std::size_t bytes = n_ / 4 * 25, x = m_.x;
  bool fine = true;
  for (int s = 0; s < streams_; ++s) {
    const u64 q = c_.ring.prime[s % c_.ring.primes].q;
    u64* b = w.a.data();
    fine &= unpack50(b, m_.blocks + (block * streams_ + s) * bytes, n_, q);
    for (std::size_t j = 0; j < l_; ++j) {
      u64* e = &extended_[((slot * l_ + j) * streams_ + s) * width_];
      for (std::size_t k = 0; k < x; ++k) {
        const u64 v = b[k * l_ + l_ - 1 - j];
        e[x + k] = v;
        e[k] = less_once(q - v, q);
      }
      if (width_ > 2 * x) std::memcpy(e + 2 * x, e, x * sizeof(u64));
    }
  }
  return fine;
}

// Where the message's row i lies; at least n where it lies nowhere.
std::size_t Summation::source(std::size_t i) const {
  const i64* order = f_ != nullptr ? f_->order : b_->order;
  return order == nullptr ? i : static_cast<std::size_t>(order[i]);
}

bool Summation::turn_factors(std::size_t at, std::size_t from, std::size_t to) {
  for (std::size_t r = from; r < to; ++r) {
    const bool there = at + r < m_.rows;
    const std::size_t which = there ? source(at + r) : 0;
    if (there && which >= f_->n) return false;
    for (std::size_t c = 0; c < f_->columns; ++c) factors_[c * rows_ + r] = there ? f_->data[which * f_->columns + c] : i8{0};
  }
  return true;
}

// Rows [from, to) of the chunk at `at`, feature by feature.
template <class T>
bool Summation::turn(const T* data, std::size_t at, std::size_t from, std::size_t to) {
  constexpr std::size_t RUN = 64;
  const T* row[RUN];
  bool fine = true;
  for (std::size_t r = from; r < to; r += RUN) {
    const std::size_t n = std::min(RUN, to - r);
    for (std::size_t k = 0; k < n; ++k) {
      const std::size_t which = source(at + r + k);
      if (which >= b_->n) return false;
      row[k] = data + which * b_->features;
    }
    for (std::size_t f = 0; f < b_->features; ++f) {
      u8* to_ = &bins_[f * rows_ + r];
      const unsigned count = b_->counts[f];
      unsigned above = 0;
      for (std::size_t k = 0; k < n; ++k) {
        const unsigned bin = row[k][f];
        above |= bin >= count;
        to_[k] = static_cast<u8>(bin);
      }
      if (above != 0) {
        std::memset(to_, 0, n);
        fine = false;
      }
    }
  }
  return fine;
}

void Summation::sum(Own& w, std::size_t rows, std::size_t from, std::size_t to) {
  if (from >= to) return;
  const std::size_t blocks = (rows + l_ - 1) / l_, x = m_.x;
  const std::size_t p0 = from * shape_.polynomials;
  const std::size_t p1 = std::min(to * shape_.polynomials, out_.polynomials_);
  u64* b = &out_.b_[p0 * streams_ * x];
  const auto reduce = [&] {
    for (std::size_t k = 0; k < (p1 - p0) * streams_ * x; ++k)
      b[k] = reduce64(c_.ring.prime[k / x % c_.ring.primes], b[k]);
  };
  if (f_ != nullptr) {
    const std::size_t column = p0 * x;
    const Factors part{&factors_[column * rows_], rows_, f_->columns - column};
    c_.k.accumulate_factors(c_.ring, m_.x, plan_, part, to - from, spectra_.data(), blocks, step_,
                            &acc_[from * shape_.sums], w.scratch.data());
    for (std::size_t r = 0; r < rows; r += reduce_) {
      c_.k.factor_slices(m_.x, streams_, &extended_[r * streams_ * width_], r, std::min(reduce_, rows - r), part, p1 - p0,
                         b);
      reduce();
    }
    return;
  }
  c_.k.accumulate(c_.ring, m_.x, plan_, &by_group_[from], to - from, spectra_.data(), blocks, step_, rows,
                  &acc_[from * shape_.sums], w.scratch.data());
  const std::size_t features = last_[to - 1] - first_[from], tile = x >= 32 ? 8 : 16;
  std::size_t since = 0;
  for (std::size_t r = 0; r < rows; r += tile) {
    if (since + tile > reduce_) reduce(), since = 0;
    c_.k.slices(m_.x, streams_, &extended_[r * streams_ * width_], r, std::min(tile, rows - r), &columns_[first_[from]],
                features, p0, p1, b);
    since += tile;
  }
  reduce();
}

// Groups' spectral sums to integers modulo the primes; the sums begin anew.
void Summation::round(Own& w, std::size_t from, std::size_t to, double* worst) {
  const std::size_t limbs = c_.ring.limbs;
  for (std::size_t g = from; g < to; ++g) {
    double* acc = &acc_[g * shape_.sums];
    c_.k.coefficients(c_.ring, m_.x, plan_, acc, w.coefficients.data(), w.scratch.data());
    for (int k = 0; k < shape_.polynomials; ++k) {
      const std::size_t poly = g * shape_.polynomials + k;
      if (poly >= out_.polynomials_) break;
      const double* d = &w.coefficients[k * limbs * n_];
      *worst = std::max(*worst, c_.k.distance(d, limbs * n_));
      for (int i = 0; i < c_.ring.primes; ++i) c_.k.fold(c_.ring, i, &out_.d_[poly * c_.poly() + i * n_], d);
    }
    std::memset(acc, 0, shape_.sums * sizeof(double));
  }
}

void Sums::histogram(const Message& m, const Bins& b, int threads) {
  if (m.rows != 0 && slots_ != 0) Summation(*this, m, &b, nullptr, threads).run();
}

void Sums::products(const Message& m, const Columns& f, int threads) {
  if (m.rows != 0 && slots_ != 0) Summation(*this, m, nullptr, &f, threads).run();
}

}  // namespace parley::lattice
