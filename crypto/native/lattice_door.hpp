// What the lattice's doors to Python share: checked arrays, fresh results, refusals as CryptoError.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>

#include "lattice_core.hpp"

namespace parley::lattice {

namespace nb = nanobind;
template <class T>
using In = nb::ndarray<const T, nb::numpy, nb::c_contig, nb::device::cpu>;
template <class T>
using Out = nb::ndarray<nb::numpy, T>;

inline void need(bool ok, const char* what) {
  if (!ok) throw std::invalid_argument(what);
}

template <class T>
Out<T> fresh(std::initializer_list<std::size_t> shape) {
  std::size_t n = 1;
  for (const std::size_t s : shape) n *= s;
  T* data = new T[n + 1];
  nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
  return Out<T>(data, shape, owner);
}

inline const u8* key32(const nb::bytes& b) {
  need(b.size() == 32, "a key of 32 bytes");
  return reinterpret_cast<const u8*>(b.c_str());
}

inline std::size_t block_size(const Owner& o) {
  return static_cast<std::size_t>(o.channels()) * context(o.n()).ring.primes * o.n() / 4 * 25;
}

Out<u8> encrypt(const Owner& o, const In<i64>& values, int x, const In<u64>& scale, const nb::bytes& open,
                const u8* noise, int threads, std::size_t first = 0);
Out<u8> release(const Sums& s, const PublicKey& key, int flood, const u8* random, int threads,
                std::vector<Sums::Use>* uses, bool bare);

}  // namespace parley::lattice
