// Exact discrete Laplace and Gaussian noise by integers alone (Canonne, Kamath, Steinke 2020).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace parley {

// Fills a buffer with uniform bytes.
using Refill = std::function<void(std::uint8_t*, std::size_t)>;

// n values with P(y) proportional to exp(-|y| * den / num); 1 <= num, den < 2^52.
void discrete_laplace(const Refill& refill, std::int64_t* out, std::size_t n, std::uint64_t num, std::uint64_t den);

// n values with P(y) proportional to exp(-y^2 * den / (2 * num)), of variance close to num / den; den * (floor(sigma) +
// 1)^2 < 2^58.
void discrete_gaussian(const Refill& refill, std::int64_t* out, std::size_t n, std::uint64_t num, std::uint64_t den);

}  // namespace parley
