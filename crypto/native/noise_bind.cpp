// Python's door to noise.hpp: the GIL is released, and taken back for the moment in which more bytes are asked for.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstring>
#include <stdexcept>

#include "noise.hpp"

namespace nb = nanobind;
using namespace parley;

namespace {

using Values = nb::ndarray<nb::numpy, std::int64_t>;
using Sampler = void (*)(const Refill&, std::int64_t*, std::size_t, std::uint64_t, std::uint64_t);

template <Sampler sampler, int limit>
Values sample(nb::callable source, std::size_t n, std::uint64_t num, std::uint64_t den) {
  if (num == 0 || den == 0 || num >> limit || den >> limit) throw std::invalid_argument("a scale out of range");
  auto* data = new std::int64_t[n + 1];
  nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<std::int64_t*>(p); });
  const Refill refill = [&](std::uint8_t* to, std::size_t size) {
    nb::gil_scoped_acquire held;
    const nb::object drawn = source(size);
    if (!nb::isinstance<nb::bytes>(drawn) || nb::borrow<nb::bytes>(drawn).size() != size)
      throw std::invalid_argument("the source gave other bytes than were asked for");
    std::memcpy(to, nb::borrow<nb::bytes>(drawn).c_str(), size);
  };
  {
    nb::gil_scoped_release free;
    sampler(refill, data, n, num, den);
  }
  return Values(data, {n}, owner);
}

}  // namespace

void bind_noise(nb::module_& m) {
  m.def("discrete_laplace", sample<discrete_laplace, 52>, nb::arg("source"), nb::arg("n"), nb::arg("num"), nb::arg("den"));
  m.def("discrete_gaussian", sample<discrete_gaussian, 58>, nb::arg("source"), nb::arg("n"), nb::arg("num"),
        nb::arg("den"));
}
