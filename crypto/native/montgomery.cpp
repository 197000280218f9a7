#include "montgomery.hpp"

#include <algorithm>
#include <cstring>
#include <thread>

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
  std::vector<Limb> r(limbs, 0);
  r[0] = 1;
  for (size_t i = 0; i < 64 * limbs; ++i) doubled(r.data(), n_.data(), limbs);
  one_ = r;
  for (size_t i = 0; i < 64 * limbs; ++i) doubled(r.data(), n_.data(), limbs);
  r2_ = r;
}

void Modulus::pow(Limb* out, const Limb* a, const Limb* e, size_t words) const {
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
  struct State { FixedBase* self; const Limb* start; } state{this, start.data()};
  parallel(windows_, threads, [](void* p, size_t begin, size_t end) {
    auto& s = *static_cast<State*>(p);
    const size_t n = s.self->m_.limbs();
    for (size_t w = begin; w < end; ++w) {
      Limb* row = &s.self->table_[w * 256 * n];
      std::copy(s.self->m_.one(), s.self->m_.one() + n, row);
      for (size_t d = 1; d < 256; ++d) s.self->m_.mul(row + d * n, row + (d - 1) * n, s.start + w * n);
    }
  }, &state);
}

void FixedBase::pow(Limb* out, const uint8_t* e) const {
  const size_t limbs = m_.limbs();
  std::copy(&table_[e[0] * limbs], &table_[e[0] * limbs] + limbs, out);
  for (size_t w = 1; w < windows_; ++w) m_.mul(out, out, &table_[(w * 256 + e[w]) * limbs]);
}

void parallel(size_t n, int threads, void (*body)(void*, size_t, size_t), void* state) {
  const size_t parts = std::min<size_t>(std::max(threads, 1), std::max<size_t>(n, 1));
  std::vector<std::thread> pool;
  for (size_t p = 1; p < parts; ++p) pool.emplace_back(body, state, n * p / parts, n * (p + 1) / parts);
  body(state, 0, n / parts);
  for (auto& t : pool) t.join();
}

}  // namespace parley
