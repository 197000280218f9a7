// For tests alone, in a module of its own that no wheel contains: seeds instead of the system's randomness, replies
// without their protection, and what must never leave a party.
#include <nanobind/stl/vector.h>

#include <cstring>

#include "lattice_door.hpp"
#include "lattice_parts.hpp"

namespace nb = nanobind;
using namespace parley::lattice;

namespace {

template <class T>
Out<T> copied(const T* from, std::initializer_list<std::size_t> shape) {
  Out<T> out = fresh<T>(shape);
  std::memcpy(out.data(), from, out.size() * sizeof(T));
  return out;
}

Out<u64> transform(int n, int prime, bool forward, In<u64> a) {
  const Context& c = context(n);
  need(a.ndim() == 1 && a.shape(0) == static_cast<std::size_t>(n) && prime < c.ring.primes, "one polynomial");
  Area<u64> work(n);
  std::memcpy(work.data(), a.data(), n * sizeof(u64));
  (forward ? c.k.forward : c.k.inverse)(c.ring, prime, work.data());
  return copied(work.data(), {static_cast<std::size_t>(n)});
}

Out<u64> product(int n, int prime, In<u64> a, In<u64> b) {
  const Context& c = context(n);
  need(a.ndim() == 1 && a.shape(0) == b.shape(0) && a.shape(0) % 8 == 0, "as many factors on both sides");
  Area<u64> x(a.shape(0)), y(a.shape(0));
  std::memcpy(x.data(), a.data(), a.shape(0) * sizeof(u64));
  std::memcpy(y.data(), b.data(), a.shape(0) * sizeof(u64));
  c.k.multiply(c.ring.prime[prime], x.data(), x.data(), y.data(), a.shape(0));
  return copied(x.data(), {a.shape(0)});
}

Out<u8> keystream(nb::bytes key, nb::bytes nonce, u32 counter, std::size_t blocks) {
  need(nonce.size() == 12, "a nonce of 12 bytes");
  Out<u8> out = fresh<u8>({blocks * 64});
  kernel().keystream(out.data(), blocks, key32(key), reinterpret_cast<const u8*>(nonce.c_str()), counter);
  return out;
}

Out<i64> noise(In<u64> words) {
  need(words.ndim() == 1 && words.shape(0) % 8 == 0, "words in eights");
  Area<i64> out(words.shape(0));
  kernel().binomial(out.data(), words.data(), words.shape(0));
  return copied(out.data(), {words.shape(0)});
}

// Residues modulo q (any number of at most 50 bits) as `uniform` draws them.
Out<u64> residues(int n, u64 q, nb::bytes key, nb::bytes nonce) {
  Prime p{};
  p.q = q;
  Area<u64> out(n);
  uniform(context(n), p, out.data(), key32(key), reinterpret_cast<const u8*>(nonce.c_str()));
  return copied(out.data(), {static_cast<std::size_t>(n)});
}

// Coefficients [limbs][N] there and back through the short transform.
Out<double> there_and_back(int n, int x, In<double> limbs) {
  const Context& c = context(n);
  const Shape s = c.k.shape(c.ring, x);
  const std::size_t k = c.ring.limbs, l = n / x;
  need(limbs.ndim() == 2 && limbs.shape(0) == k && limbs.shape(1) == static_cast<std::size_t>(n), "limbs (k, n)");
  Area<double> spectrum(s.spectrum), sums(s.sums), scratch(s.scratch), out(s.polynomials * k * n);
  c.k.spectrum(c.ring, x, plan_of(c, x), limbs.data(), spectrum.data(), s.spectrum / s.lane_groups, scratch.data());
  const std::size_t from = s.spectrum / s.lane_groups, to = s.sums / s.lane_groups, runs = l * 2 * k;
  const std::size_t lanes = from / runs, wide = to / runs;
  for (std::size_t part = 0; part < s.lane_groups; ++part)
    for (std::size_t v = 0; v < runs; ++v)
      for (std::size_t i = 0; i < wide; ++i) sums[part * to + v * wide + i] = spectrum[part * from + v * lanes + i % lanes];
  c.k.coefficients(c.ring, x, plan_of(c, x), sums.data(), out.data(), scratch.data());
  return copied(out.data(), {k, static_cast<std::size_t>(n)});
}

}  // namespace

NB_MODULE(_native_testing, m) {
  nb::module_::import_("parley.crypto._native");
  m.def("transform", &transform);
  m.def("product", &product);
  m.def("keystream", &keystream);
  m.def("noise", &noise);
  m.def("residues", &residues);
  m.def("there_and_back", &there_and_back);
  m.def("owner_from_seed", [](int n, int channels, nb::bytes secret, nb::bytes open) {
    return Owner(n, channels, key32(secret), key32(open));
  });
  m.def("encrypt_seeded", [](const Owner& o, In<i64> values, int x, In<u64> scale, nb::bytes open, nb::bytes noise_,
                             int threads) { return encrypt(o, values, x, scale, open, key32(noise_), threads); });
  m.def("release_seeded", [](const Sums& s, const PublicKey& key, int flood, nb::bytes random, int threads, bool bare) {
    std::vector<Sums::Use> uses;
    Out<u8> out = release(s, key, flood, key32(random), threads, &uses, bare);
    nb::list pairs;
    for (const auto& u : uses) pairs.append(nb::make_tuple(u.element, u.u));
    return nb::make_tuple(out, pairs);
  });
  m.def("turn_keys_seeded", [](Owner& o, int x, nb::bytes secret, nb::bytes open) {
    Out<u8> out = fresh<u8>({turn_keys_size(o.n(), o.channels(), x)});
    o.turn_keys(out.data(), x, key32(secret), key32(open));
    return out;
  });
  m.def("release_packed_seeded", [](const Sums& s, const PublicKey& key, const TurnKeys& turns, int flood,
                                    nb::bytes random, int threads) {
    const std::size_t m = together(s.n(), s.x(), s.polynomials());
    Out<u8> out = fresh<u8>({(s.polynomials() + m - 1) / m, packed_size(s.n(), s.channels())});
    s.release_packed(out.data(), key, turns, flood, key32(random), threads);
    return out;
  });
  m.def("parts", [](const Sums& s) {
    const std::size_t k = s.polynomials(), primes = context(s.n()).ring.primes, n = s.n(), x = s.x(), ch = s.channels();
    return nb::make_tuple(copied(s.d().data(), {k, primes, n}), copied(s.b().data(), {k, ch, primes, x}));
  });
  m.def("secrets", [](int n, int channels, nb::bytes secret) {
    const Context& c = context(n);
    Out<i64> out = fresh<i64>({static_cast<std::size_t>(channels), static_cast<std::size_t>(n)});
    Area<u64> words(n);
    u8 nonce[12];
    for (int k = 0; k < channels; ++k) {
      nonce_for(nonce, FOR_SECRET, k);
      ternary(c, out.data() + static_cast<std::size_t>(k) * n, words.data(), key32(secret), nonce);
    }
    return out;
  });
}
