// Encryption and release behind checked shapes; where the keys come from is the caller's business.
#include "lattice_door.hpp"

namespace nb = nanobind;

namespace parley::lattice {

Out<u8> encrypt(const Owner& o, const In<i64>& values, int x, const In<u64>& scale, const nb::bytes& open,
                const u8* noise, int threads, std::size_t first) {
  need(values.ndim() == 2 && values.shape(1) == static_cast<std::size_t>(o.channels()), "values (rows, channels)");
  need(allowed(o.n(), x), "x of this ring");
  const Context& c = context(o.n());
  need(scale.ndim() == 1 && scale.shape(0) == static_cast<std::size_t>(c.ring.primes), "a scale for each prime");
  for (int i = 0; i < c.ring.primes; ++i) need(scale.data()[i] < c.ring.prime[i].q, "scales below the primes");
  const std::size_t rows = values.shape(0), l = o.n() / x, blocks = (rows + l - 1) / l;
  need(first < (std::size_t{1} << 32), "a block of a batch");
  const u8* key = key32(open);
  Out<u8> out = fresh<u8>({blocks, block_size(o)});
  nb::gil_scoped_release free;
  o.encrypt(out.data(), values.data(), rows, x, scale.data(), key, noise, threads, first);
  return out;
}

Out<u8> release(const Sums& s, const PublicKey& key, int flood, const u8* random, int threads,
                std::vector<Sums::Use>* uses, bool bare) {
  need(flood >= 32 && flood <= 126, "flooding of 32 to 126 bits");
  Out<u8> out = fresh<u8>({s.polynomials(), reply_size(s.n(), s.channels(), s.x())});
  nb::gil_scoped_release free;
  s.release(out.data(), key, flood, random, threads, uses, bare);
  return out;
}

}  // namespace parley::lattice
