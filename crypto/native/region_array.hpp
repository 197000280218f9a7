// Arrays for Python over regions: cleared when Python lets go of them.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <initializer_list>

#include "region.hpp"

namespace parley {

template <class T>
nanobind::ndarray<nanobind::numpy, T> wiped_array(std::initializer_list<std::size_t> shape) {
  std::size_t n = 1;
  for (const std::size_t s : shape) n *= s;
  void* p = region(n * sizeof(T));
  nanobind::capsule owner(p, [](void* q) noexcept { release(q); });
  return nanobind::ndarray<nanobind::numpy, T>(p, shape.size(), shape.begin(), owner);
}

} // namespace parley
