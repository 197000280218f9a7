// Python's door to ristretto.hpp and sha512.hpp: shapes are checked here, the GIL is released inside.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <stdexcept>
#include <thread>
#include <vector>

#include "ristretto.hpp"
#include "sha512.hpp"

namespace nb = nanobind;
using namespace parley;

namespace {

using Bytes = nb::ndarray<const std::uint8_t, nb::numpy, nb::c_contig, nb::device::cpu>;
using Offsets = nb::ndarray<const std::int64_t, nb::numpy, nb::c_contig, nb::device::cpu>;
using Out = nb::ndarray<nb::numpy, std::uint8_t>;

constexpr std::size_t CHUNK = 256;

void need(bool ok, const char* what) {
  if (!ok) throw std::invalid_argument(what);
}

Out fresh(std::size_t rows, std::size_t columns) {
  auto* data = new std::uint8_t[rows * columns + 1];
  nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<std::uint8_t*>(p); });
  return Out(data, {rows, columns}, owner);
}

// Chunks of 256 elements over the threads, in any order.
template <class F>
void chunks(std::size_t n, int threads, F body) {
  nb::gil_scoped_release free;
  const std::size_t count = (n + CHUNK - 1) / CHUNK;
  const std::size_t workers = std::min<std::size_t>(std::max(threads, 1), std::max<std::size_t>(count, 1));
  auto work = [&](std::size_t w) {
    for (std::size_t c = w; c < count; c += workers) body(c * CHUNK, std::min(n - c * CHUNK, CHUNK));
  };
  std::vector<std::thread> pool;
  for (std::size_t w = 1; w < workers; ++w) pool.emplace_back(work, w);
  work(0);
  for (auto& t : pool) t.join();
}

// The secret scalar of one call in digits, wiped when the call ends; no bytes stand for no multiplication.
class Secret {
 public:
  explicit Secret(const Bytes& scalar) {
    need(scalar.ndim() == 1 && (scalar.shape(0) == 32 || scalar.shape(0) == 0), "a scalar of 32 bytes, or none");
    given_ = scalar.shape(0) == 32;
    if (given_) recode(digits_, scalar.data());
  }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { wipe(&digits_, sizeof digits_); }
  const Digits* digits() const { return given_ ? &digits_ : nullptr; }

 private:
  Digits digits_;
  bool given_;
};

// (n, 32) products and (n, 1) verdicts.
nb::tuple multiply(Bytes points, Bytes scalar, int threads) {
  need(points.ndim() == 2 && points.shape(1) == 32, "points (n, 32)");
  const Secret secret(scalar);
  const std::size_t n = points.shape(0);
  Out out = fresh(n, 32), ok = fresh(n, 1);
  const RistrettoKernel& kernel = ristretto_kernel();
  chunks(n, threads, [&, o = out.data(), g = ok.data(), p = points.data()](std::size_t at, std::size_t m) {
    kernel.multiply(o + 32 * at, p + 32 * at, g + at, m, secret.digits());
  });
  return nb::make_tuple(out, ok);
}

nb::tuple hash(Bytes data, Offsets offsets, Bytes dst, Bytes scalar, int threads) {
  need(data.ndim() == 1 && offsets.ndim() == 1 && offsets.shape(0) >= 1 && dst.ndim() == 1, "packed ids and a tag");
  const Secret secret(scalar);
  const std::size_t n = offsets.shape(0) - 1;
  const std::int64_t* at_ = offsets.data();
  need(at_[0] >= 0 && static_cast<std::size_t>(at_[n]) <= data.shape(0), "offsets inside the data");
  for (std::size_t i = 0; i < n; ++i) need(at_[i] <= at_[i + 1], "ascending offsets");
  const Expander expander(dst.data(), dst.shape(0));
  Out out = fresh(n, 32), ok = fresh(n, 1);
  const RistrettoKernel& kernel = ristretto_kernel();
  chunks(n, threads, [&, o = out.data(), g = ok.data(), d = data.data()](std::size_t at, std::size_t m) {
    std::uint8_t uniform[64 * CHUNK];
    for (std::size_t i = 0; i < m; ++i)
      expander.expand(uniform + 64 * i, d + at_[at + i], static_cast<std::size_t>(at_[at + i + 1] - at_[at + i]));
    kernel.hash(o + 32 * at, uniform, g + at, m, secret.digits());
  });
  return nb::make_tuple(out, ok);
}

// 64 uniform bytes a row, without hashing: the map of RFC 9496, times the scalar if there is one.
nb::tuple map_multiply(Bytes rows, Bytes scalar, int threads) {
  need(rows.ndim() == 2 && rows.shape(1) == 64, "rows (n, 64)");
  const Secret secret(scalar);
  const std::size_t n = rows.shape(0);
  Out out = fresh(n, 32), ok = fresh(n, 1);
  const RistrettoKernel& kernel = ristretto_kernel();
  chunks(n, threads, [&, o = out.data(), g = ok.data(), p = rows.data()](std::size_t at, std::size_t m) {
    kernel.hash(o + 32 * at, p + 64 * at, g + at, m, secret.digits());
  });
  return nb::make_tuple(out, ok);
}

// (n, 1) verdicts alone.
Out check(Bytes points, int threads) {
  need(points.ndim() == 2 && points.shape(1) == 32, "points (n, 32)");
  const std::size_t n = points.shape(0);
  Out ok = fresh(n, 1);
  const RistrettoKernel& kernel = ristretto_kernel();
  chunks(n, threads, [&, g = ok.data(), p = points.data()](std::size_t at, std::size_t m) {
    kernel.multiply(nullptr, p + 32 * at, g + at, m, nullptr);
  });
  return ok;
}

}  // namespace

void bind_curve(nb::module_& m) {
  m.def("ristretto_multiply", &multiply);
  m.def("ristretto_check", &check);
  m.def("ristretto_kernel", [] { return &ristretto_kernel() == &RISTRETTO_BASELINE ? "baseline" : "ifma"; });
  m.def("ristretto_hash", &hash);
  m.def("ristretto_map_multiply", &map_multiply);
}
