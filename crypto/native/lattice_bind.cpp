// Python's door to the lattice: shapes and dtypes are checked here, secrets and noise are drawn here from the system.
#include <unistd.h>
#if defined(__APPLE__)
#include <sys/random.h>
#endif

#include <nanobind/stl/optional.h>

#include <optional>

#include "lattice_door.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace parley::lattice {

namespace {

// 32 bytes of the system's randomness, wiped when they go.
struct Fresh {
  u8 key[32];
  Fresh() {
    if (getentropy(key, sizeof key) != 0) throw Refused{"no_randomness", "the system gives no randomness"};
  }
  ~Fresh() { wipe(key, sizeof key); }
  Fresh(const Fresh&) = delete;
};

void check_ring(int n, int channels) {
  need(n == 4096 || n == 8192, "a ring of 4096 or 8192");
  need(channels >= 1 && channels <= 64, "1 to 64 channels");
}

// packed: the reply's polynomials before they were packed, 0 where they were not.
nb::tuple decrypt(const Owner& o, In<u8> replies, int x, u64 high, u64 low, std::size_t packed, int threads) {
  need(allowed(o.n(), x), "x of this ring");
  const std::size_t size = packed != 0 ? packed_size(o.n(), o.channels()) : reply_size(o.n(), o.channels(), x);
  need(replies.ndim() == 2 && replies.shape(1) == size, "replies of this size");
  need(high < (u64{1} << 13), "a factor below 2^77");
  const std::size_t k = packed != 0 ? packed : replies.shape(0);
  if (packed != 0) {
    const std::size_t m = together(o.n(), x, packed);
    need(packed <= (std::size_t{1} << 26) && replies.shape(0) == (packed + m - 1) / m, "as many replies as polynomials need");
  }
  Out<i64> out = fresh<i64>({k * x, static_cast<std::size_t>(o.channels())});
  const u128 factor = static_cast<u128>(high) << 64 | low;
  u32 far = 0;
  {
    nb::gil_scoped_release free;
    if (packed != 0) o.decrypt_packed(out.data(), replies.data(), k, x, factor, threads, &far);
    else o.decrypt(out.data(), replies.data(), k, x, factor, threads, &far);
  }
  return nb::make_tuple(out, far);
}

Out<u8> release_packed(const Sums& s, const PublicKey& key, const TurnKeys& turns, int flood, int threads) {
  need(flood >= 32 && flood <= 126, "flooding of 32 to 126 bits");
  const std::size_t m = together(s.n(), s.x(), s.polynomials());
  Out<u8> out = fresh<u8>({(s.polynomials() + m - 1) / m, packed_size(s.n(), s.channels())});
  const Fresh random;
  nb::gil_scoped_release free;
  s.release_packed(out.data(), key, turns, flood, random.key, threads);
  return out;
}

template <class T>
Bins bins_of(const In<T>& bins, const In<u32>& counts) {
  need(bins.ndim() == 2 && counts.ndim() == 1 && counts.shape(0) == bins.shape(1), "bins (n, features), their counts");
  return {bins.data(), sizeof(T) == 2, bins.shape(0), bins.shape(1), nullptr, counts.data()};
}

Message message(const Sums& s, const In<u8>& blocks, std::size_t rows, const nb::bytes& open, std::size_t first = 0) {
  const std::size_t l = s.n() / s.x(), size = static_cast<std::size_t>(s.channels()) * context(s.n()).poly() / 4 * 25;
  need(blocks.ndim() == 2 && blocks.shape(0) == (rows + l - 1) / l && blocks.shape(1) == size,
       "blocks of this key and as many as the rows need");
  return {blocks.data(), rows, s.x(), s.channels(), key32(open), first};
}

const i64* order_of(const In<i64>& order, std::size_t rows) {
  need(order.ndim() == 1 && order.shape(0) == rows, "a row for each row of the message");
  return order.data();
}

template <class T>
void histogram(Sums& s, In<u8> blocks, std::size_t rows, nb::bytes open, In<T> bins, std::optional<In<i64>> order,
               In<u32> counts, int threads, std::size_t first) {
  Bins b = bins_of<T>(bins, counts);
  std::size_t slots = 0;
  for (std::size_t f = 0; f < b.features; slots += b.counts[f++])
    need(b.counts[f] >= 1 && b.counts[f] <= 256, "1 to 256 bins");
  need(slots == s.slots(), "as many bins in all as slots");
  need(first < (std::size_t{1} << 32), "a block of a batch");
  const Message m = message(s, blocks, rows, open, first);
  if (order) b.order = order_of(*order, rows);
  else need(b.n == rows, "bins for each row of the message");
  nb::gil_scoped_release free;
  s.histogram(m, b, threads);
}

void products(Sums& s, In<u8> blocks, std::size_t rows, nb::bytes open, In<i8> factors, std::optional<In<i64>> order,
              int threads) {
  need(factors.ndim() == 2 && factors.shape(1) == s.slots(), "factors (n, as many columns as slots)");
  const Message m = message(s, blocks, rows, open);
  Columns f{factors.data(), factors.shape(0), factors.shape(1), nullptr};
  if (order) f.order = order_of(*order, rows);
  else need(f.n == rows, "factors for each row of the message");
  nb::gil_scoped_release free;
  s.products(m, f, threads);
}

void translate(const std::exception_ptr& p, void*) {
  try {
    std::rethrow_exception(p);
  } catch (const Refused& r) {
    const nb::object type = nb::module_::import_("parley.crypto.errors").attr("CryptoError");
    PyErr_SetObject(type.ptr(), type(r.code, r.message).ptr());
  }
}

}  // namespace
}  // namespace parley::lattice

void bind_lattice(nb::module_& m) {
  using namespace parley::lattice;
  nb::register_exception_translator(translate);
  m.def("lattice_kernel", [] { return kernel().name; });
  m.def("lattice_primes", [](int n) {
    need(n == 4096 || n == 8192, "a ring of 4096 or 8192");
    nb::list out;
    for (int i = 0; i < context(n).ring.primes; ++i) out.append(context(n).ring.prime[i].q);
    return out;
  });
  m.def("lattice_reply_size", &reply_size);
  nb::class_<Owner>(m, "LatticeOwner")
      .def("__init__",
           [](Owner* o, int n, int channels, nb::bytes open) {
             check_ring(n, channels);
             const u8* key = key32(open);
             const Fresh secret;
             new (o) Owner(n, channels, secret.key, key);
           })
      .def("public_key",
           [](const Owner& o) {
             Out<u8> out = fresh<u8>({o.public_size()});
             o.public_key(out.data());
             return out;
           })
      .def("encrypt",
           [](const Owner& o, In<i64> values, int x, In<u64> scale, nb::bytes open, int threads, std::size_t first) {
             const Fresh noise;
             return encrypt(o, values, x, scale, open, noise.key, threads, first);
           },
           "values"_a, "x"_a, "scale"_a, "open"_a, "threads"_a, "first"_a = 0)
      .def("turn_keys",
           [](Owner& o, int x, nb::bytes open) {
             need(allowed(o.n(), x), "x of this ring");
             Out<u8> out = fresh<u8>({turn_keys_size(o.n(), o.channels(), x)});
             const Fresh noise;
             o.turn_keys(out.data(), x, noise.key, key32(open));
             return out;
           })
      .def("decrypt", &decrypt)
      .def("close", &Owner::close)
      .def_prop_ro("closed", &Owner::closed);
  nb::class_<PublicKey>(m, "LatticePublic")
      .def("__init__", [](PublicKey* p, int n, int channels, nb::bytes open, In<u8> packed) {
        check_ring(n, channels);
        need(packed.ndim() == 1 &&
                 packed.shape(0) == std::size_t{GROUP} * static_cast<std::size_t>(channels) * context(n).poly() / 4 * 25,
             "a key of this size");
        new (p) PublicKey(n, channels, key32(open), packed.data());
      });
  nb::class_<TurnKeys>(m, "LatticeTurns")
      .def("__init__", [](TurnKeys* t, int n, int channels, int x, nb::bytes open, In<u8> packed) {
        check_ring(n, channels);
        need(allowed(n, x), "x of this ring");
        need(packed.ndim() == 1 && packed.shape(0) == turn_keys_size(n, channels, x), "keys of this size");
        new (t) TurnKeys(n, channels, x, key32(open), packed.data());
      });
  nb::class_<Sums>(m, "LatticeSums")
      .def("__init__",
           [](Sums* s, int n, int channels, int x, std::size_t slots) {
             check_ring(n, channels);
             need(allowed(n, x) && slots <= (std::size_t{1} << 26), "x of this ring, and slots that fit a memory");
             new (s) Sums(n, channels, x, slots);
           })
      .def("histogram", &histogram<u8>, "blocks"_a, "rows"_a, "open"_a, "bins"_a, "order"_a.none(), "counts"_a,
           "threads"_a, "first"_a = 0)
      .def("histogram", &histogram<std::uint16_t>, "blocks"_a, "rows"_a, "open"_a, "bins"_a, "order"_a.none(),
           "counts"_a, "threads"_a, "first"_a = 0)
      .def("products", &products, "blocks"_a, "rows"_a, "open"_a, "factors"_a, "order"_a.none(), "threads"_a)
      .def("add", &Sums::add)
      .def("release",
           [](const Sums& s, const PublicKey& key, int flood, int threads) {
             const Fresh random;
             return release(s, key, flood, random.key, threads, nullptr, false);
           })
      .def("release_packed", &release_packed)
      .def_prop_ro("worst", &Sums::worst)
      .def_prop_ro("polynomials", &Sums::polynomials);
}
