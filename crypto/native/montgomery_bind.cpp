// Python's door to montgomery.hpp: shapes and dtypes are checked here, the GIL is released inside.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstring>
#include <memory>
#include <stdexcept>

#include "montgomery.hpp"

namespace nb = nanobind;
using namespace parley;

namespace {

template <class T>
using In = nb::ndarray<const T, nb::numpy, nb::c_contig, nb::device::cpu>;
using Out = nb::ndarray<nb::numpy, Limb>;

void need(bool ok, const char* what) {
  if (!ok) throw std::invalid_argument(what);
}

Out fresh(size_t rows, size_t limbs) {
  Limb* data = new Limb[rows * limbs + 1];
  nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<Limb*>(p); });
  return Out(data, {rows, limbs}, owner);
}

template <class F>
void spread(size_t n, int threads, F f) {
  nb::gil_scoped_release free;
  parallel(n, threads, [](void* p, size_t b, size_t e) {
    for (size_t i = b; i < e; ++i) (*static_cast<F*>(p))(i);
  }, &f);
}

class Field {
 public:
  explicit Field(In<Limb> n) : m_(checked(n), n.shape(0)) {}

  size_t limbs() const { return m_.limbs(); }
  const char* kernel() const { return m_.kernel(); }
  const Modulus& modulus() const { return m_; }

  void rows(const In<Limb>& a) const { need(a.ndim() == 2 && a.shape(1) == m_.limbs(), "rows of the modulus' limbs"); }

  // Montgomery products row by row; b may have one row for all.
  Out mul(In<Limb> a, In<Limb> b, int threads) const {
    rows(a), rows(b);
    need(b.shape(0) == a.shape(0) || b.shape(0) == 1, "as many rows on both sides, or one");
    const size_t n = a.shape(0), step = b.shape(0) == 1 ? 0 : m_.limbs(), l = m_.limbs();
    Out out = fresh(n, l);
    products(out.data(), a.data(), b.data(), step, n, threads);
    return out;
  }

  Out enter(In<Limb> a, int threads) const { return constant(a, m_.square(), threads); }
  Out leave(In<Limb> a, int threads) const {
    std::vector<Limb> one(m_.limbs(), 0);
    one[0] = 1;
    return constant(a, one.data(), threads);
  }

  Out pow(In<Limb> a, In<Limb> e, int threads) const {
    rows(a);
    need(e.ndim() == 1, "an exponent in limbs");
    const size_t n = a.shape(0), l = m_.limbs(), words = e.shape(0);
    Out out = fresh(n, l);
    nb::gil_scoped_release free;
    ranges(n, m_.lanes(), threads, [&, o = out.data(), x = a.data(), y = e.data()](size_t i, size_t to) {
      m_.pow(o + i * l, x + i * l, y, words, to - i);
    });
    return out;
  }

  // One product over all rows (Montgomery form in and out).
  Out product(In<Limb> a) const {
    rows(a);
    const size_t l = m_.limbs(), n = a.shape(0);
    Out out = fresh(1, l);
    nb::gil_scoped_release free;
    m_.product(out.data(), a.data(), n);
    return out;
  }

  // (features * bins) products of the rows that fall in each bin, feature-major; an empty bin is one.
  Out histogram(In<Limb> ct, In<uint16_t> bins, In<int64_t> chosen, size_t n_bins, int threads) const {
    rows(ct);
    need(bins.ndim() == 2 && bins.shape(0) == ct.shape(0) && chosen.ndim() == 1, "bins (n, features), rows (m)");
    const size_t n = ct.shape(0), features = bins.shape(1), m = chosen.shape(0), l = m_.limbs();
    const int64_t* r = chosen.data();
    const uint16_t* b = bins.data();
    for (size_t i = 0; i < m; ++i) {
      need(r[i] >= 0 && static_cast<size_t>(r[i]) < n, "a row out of range");
      for (size_t f = 0; f < features; ++f) need(b[r[i] * features + f] < n_bins, "a bin out of range");
    }
    Out out = fresh(features * n_bins, l);
    nb::gil_scoped_release free;
    m_.histogram(out.data(), {ct.data(), b, r, features, n_bins}, m, threads);
    return out;
  }

  // Groups of `group` rows joined as sum_j row_j * 2^(shift*j) of their plaintexts; (ceil(n/group), limbs).
  Out join(In<Limb> a, size_t group, size_t shift, int threads) const {
    rows(a);
    need(group > 0, "at least one row in a group");
    const size_t n = a.shape(0), l = m_.limbs(), groups = (n + group - 1) / group;
    Out out = fresh(groups, l);
    nb::gil_scoped_release free;
    ranges(groups, m_.lanes(), threads, [&, o = out.data(), x = a.data()](size_t from, size_t to) {
      m_.join(o, x, n, group, shift, from, to);
    });
    return out;
  }

  void products(Limb* out, const Limb* a, const Limb* b, size_t step, size_t n, int threads) const {
    const size_t l = m_.limbs();
    nb::gil_scoped_release free;
    ranges(n, m_.lanes(), threads, [&](size_t i, size_t to) { m_.mul(out + i * l, a + i * l, b + i * step, step, to - i); });
  }

 private:
  static const Limb* checked(const In<Limb>& n) {
    need(n.ndim() == 1 && n.shape(0) >= 16 && n.shape(0) <= 96 && (n.data()[0] & 1), "an odd modulus of 16 to 96 limbs");
    return n.data();
  }

  Out constant(In<Limb> a, const Limb* c, int threads) const {
    rows(a);
    const size_t n = a.shape(0), l = m_.limbs();
    Out out = fresh(n, l);
    products(out.data(), a.data(), c, 0, n, threads);
    return out;
  }

  Modulus m_;
};

class Power {
 public:
  Power(const Field& f, In<Limb> base, size_t exponent_bytes, int threads) : field_(&f) {
    need(base.ndim() == 1 && base.shape(0) == f.limbs() && exponent_bytes > 0 && exponent_bytes <= 1024, "a base of the modulus' limbs");
    const Limb* b = base.data();
    nb::gil_scoped_release free;
    table_ = std::make_unique<FixedBase>(f.modulus(), b, exponent_bytes, threads);
  }
  // (n, bytes) little-endian exponents to (n, limbs) powers in Montgomery form.
  Out pow(In<uint8_t> e, int threads) const {
    need(e.ndim() == 2 && e.shape(1) == table_->bytes(), "exponents of the table's length");
    const size_t n = e.shape(0), l = field_->limbs(), w = table_->bytes();
    Out out = fresh(n, l);
    nb::gil_scoped_release free;
    ranges(n, field_->modulus().lanes(), threads, [&, o = out.data(), x = e.data()](size_t i, size_t to) {
      table_->pow(o + i * l, x + i * w, to - i);
    });
    return out;
  }

 private:
  const Field* field_;
  std::unique_ptr<FixedBase> table_;
};

// Rows of signed channels as one integer each, sum_c v_c * 2^(slot*c), modulo n (half the limbs of n^2),
// and from it 1 + m*n, the deterministic part of a Paillier ciphertext.
Out plaintexts(In<int64_t> values, In<Limb> n, size_t slot, int threads) {
  need(values.ndim() == 2 && n.ndim() == 1 && n.shape(0) <= 48, "values (rows, channels), n in limbs");
  const size_t rows = values.shape(0), channels = values.shape(1), half = n.shape(0);
  need((channels - 1) * slot + 64 < 64 * half, "channels that fit below n");
  Out out = fresh(rows, 2 * half);
  spread(rows, threads, [&, o = out.data(), v = values.data(), mod = n.data()](size_t i) {
    Limb m[50] = {0};
    for (size_t c = 0; c < channels; ++c) {
      const int64_t x = v[i * channels + c];
      const size_t at = slot * c / 64, off = slot * c % 64;
      const Limb fill = x < 0 ? ~Limb{0} : 0;
      const Limb low = static_cast<Limb>(x) << off;
      const Limb high = off ? (static_cast<Limb>(x) >> (64 - off)) | (fill << off) : fill;
      unsigned __int128 s = static_cast<unsigned __int128>(m[at]) + low;
      m[at] = static_cast<Limb>(s);
      for (size_t j = at + 1; j < half; ++j) {
        s = static_cast<unsigned __int128>(m[j]) + (j == at + 1 ? high : fill) + static_cast<Limb>(s >> 64);
        m[j] = static_cast<Limb>(s);
      }
    }
    if (m[half - 1] >> 63) {  // negative in two's complement: add n once
      unsigned __int128 s = 0;
      for (size_t j = 0; j < half; ++j) {
        s = static_cast<unsigned __int128>(m[j]) + mod[j] + static_cast<Limb>(s >> 64);
        m[j] = static_cast<Limb>(s);
      }
    }
    Limb* t = o + i * 2 * half;
    std::memset(t, 0, 16 * half);
    for (size_t a = 0; a < half; ++a) {
      Limb carry = 0;
      for (size_t b = 0; b < half; ++b) {
        const unsigned __int128 s = static_cast<unsigned __int128>(m[a]) * mod[b] + t[a + b] + carry;
        t[a + b] = static_cast<Limb>(s);
        carry = static_cast<Limb>(s >> 64);
      }
      t[a + half] = carry;
    }
    for (size_t j = 0; j < 2 * half && ++t[j] == 0; ++j) {}
  });
  return out;
}

// x mod p*q from its remainders: xp + p * ((xq - xp) / p mod q), for moduli of equal size with p < 2q.
Out combine(In<Limb> xp, In<Limb> xq, const Field& q, In<Limb> p, In<Limb> p_inverse, int threads) {
  q.rows(xp), q.rows(xq);
  const size_t l = q.limbs(), n = xp.shape(0);
  need(xq.shape(0) == n && p.ndim() == 1 && p.shape(0) == l && p_inverse.ndim() == 1 && p_inverse.shape(0) == l,
       "remainders of one size");
  Out out = fresh(n, 2 * l);
  std::vector<Limb> quotients(n * l);
  spread(n, threads, [&, a = xp.data(), b = xq.data()](size_t i) {
    const Limb* mod = q.modulus().value();
    Limb* d = &quotients[i * l];
    Limb t[96];
    auto sub = [l](Limb* r, const Limb* x, const Limb* y) {
      Limb borrow = 0;
      for (size_t j = 0; j < l; ++j) {
        const unsigned __int128 s = static_cast<unsigned __int128>(x[j]) - y[j] - borrow;
        r[j] = static_cast<Limb>(s);
        borrow = static_cast<Limb>(s >> 64) & 1;
      }
      return borrow;
    };
    if (sub(t, a + i * l, mod)) std::copy(a + i * l, a + (i + 1) * l, t);
    if (sub(d, b + i * l, t)) {
      Limb carry = 0;
      for (size_t j = 0; j < l; ++j) {
        const unsigned __int128 s = static_cast<unsigned __int128>(d[j]) + mod[j] + carry;
        d[j] = static_cast<Limb>(s);
        carry = static_cast<Limb>(s >> 64);
      }
    }
  });
  q.products(quotients.data(), quotients.data(), p_inverse.data(), 0, n, threads);
  spread(n, threads, [&, o = out.data(), a = xp.data(), pv = p.data()](size_t i) {
    const Limb* d = &quotients[i * l];
    Limb* x = o + i * 2 * l;
    std::copy(a + i * l, a + (i + 1) * l, x);
    std::memset(x + l, 0, 8 * l);
    for (size_t j = 0; j < l; ++j) {
      Limb carry = 0;
      for (size_t k = 0; k < l; ++k) {
        const unsigned __int128 s = static_cast<unsigned __int128>(d[j]) * pv[k] + x[j + k] + carry;
        x[j + k] = static_cast<Limb>(s);
        carry = static_cast<Limb>(s >> 64);
      }
      for (size_t k = j + l; carry && k < 2 * l; ++k) {
        x[k] += carry;
        carry = x[k] < carry;
      }
    }
  });
  return out;
}

}  // namespace

void bind_montgomery(nb::module_& m) {
  nb::class_<Field>(m, "Field")
      .def(nb::init<In<Limb>>())
      .def_prop_ro("limbs", &Field::limbs)
      .def_prop_ro("kernel", &Field::kernel)
      .def("mul", &Field::mul)
      .def("enter", &Field::enter)
      .def("leave", &Field::leave)
      .def("pow", &Field::pow)
      .def("product", &Field::product)
      .def("histogram", &Field::histogram)
      .def("join", &Field::join);
  nb::class_<Power>(m, "Power")
      .def(nb::init<const Field&, In<Limb>, size_t, int>(), nb::keep_alive<1, 2>())
      .def("pow", &Power::pow);
  m.def("plaintexts", &plaintexts);
  m.def("combine", &combine);
}
