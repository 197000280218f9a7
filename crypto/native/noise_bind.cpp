// Python's door to noise_samplers.hpp: scales as words, a key of 32 bytes, int64 out; the GIL is released inside.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <stdexcept>
#include <thread>
#include <vector>

#include "noise_samplers.hpp"

namespace nb = nanobind;
using namespace parley::noise;

namespace {

using Key = nb::ndarray<const std::uint8_t, nb::numpy, nb::c_contig, nb::device::cpu>;
using Quotient = nb::ndarray<const std::uint64_t, nb::numpy, nb::c_contig, nb::device::cpu>;
using Out = nb::ndarray<nb::numpy, std::int64_t>;

constexpr std::size_t CHUNK = 4096;

void need(bool ok, const char* what) {
    if (!ok) throw std::invalid_argument(what);
}

template <class T>
nb::ndarray<nb::numpy, T> fresh(std::size_t n) {
    auto* data = new T[n + 1];
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return nb::ndarray<nb::numpy, T>(data, {n}, owner);
}

// Numerator and denominator, two words each, low word first.
struct Fraction {
    u128 num, den;
    explicit Fraction(const Quotient& q) {
        need(q.ndim() == 1 && q.shape(0) == 4, "a quotient has four words");
        const u64* w = q.data();
        num = u128(w[1]) << 64 | w[0], den = u128(w[3]) << 64 | w[2];
        need(num && den && !(num >> 120) && !(den >> 120), "a quotient of numbers from 1 to below 2^120");
    }
};

const std::uint8_t* key_of(const Key& key) {
    need(key.ndim() == 1 && key.shape(0) == 32, "a key has 32 bytes");
    return key.data();
}

// Chunk c of the output has the key's stream c, so the number of threads does not show in the values.
template <class Sampler>
void fill(std::int64_t* out, std::size_t n, const Sampler& sampler, const std::uint8_t* key, int threads) {
    const std::size_t count = (n + CHUNK - 1) / CHUNK;
    const std::size_t workers = std::clamp<std::size_t>(threads, 1, std::max<std::size_t>(count, 1));
    std::vector<std::exception_ptr> failed(workers);
    auto work = [&](std::size_t w) {
        try {
            for (std::size_t c = w; c < count; c += workers) {
                Words words(key, c);
                for (std::size_t i = c * CHUNK; i < std::min(n, (c + 1) * CHUNK); ++i) out[i] = sampler.draw(words);
            }
        } catch (...) { failed[w] = std::current_exception(); }
    };
    std::vector<std::thread> pool;
    for (std::size_t w = 1; w < workers; ++w) pool.emplace_back(work, w);
    work(0);
    for (auto& t : pool) t.join();
    for (auto& e : failed)
        if (e) std::rethrow_exception(e);
}

template <class Sampler>
Out sample(std::size_t n, Quotient quotient, Key key, int threads) {
    need(threads >= 1 && n <= (std::size_t(1) << 32), "threads from 1, draws to 2^32");
    const Fraction q(quotient);
    if constexpr (std::is_same_v<Sampler, Gauss>)
        need(q.num / q.den < u128(1) << 104, "a variance below 2^104");
    else
        need(q.num / q.den < u128(1) << 52, "a scale below 2^52");
    const std::uint8_t* k = key_of(key);
    Out out = fresh<std::int64_t>(n);
    {
        nb::gil_scoped_release free;
        fill(out.data(), n, Sampler(q.num, q.den), k, threads);
    }
    return out;
}

// The words a chunk draws on, for known-answer tests.
nb::ndarray<nb::numpy, std::uint64_t> keystream(std::size_t n, Key key, std::uint64_t stream) {
    need(n <= (std::size_t(1) << 20), "words to 2^20");
    Words words(key_of(key), stream);
    auto out = fresh<std::uint64_t>(n);
    for (std::size_t i = 0; i < n; ++i) out.data()[i] = words.next();
    return out;
}

} // namespace

void bind_noise(nb::module_& m) {
    m.def("noise_laplace", &sample<Laplace>);
    m.def("noise_gauss", &sample<Gauss>);
    m.def("noise_words", &keystream);
}
