// What PARLEY_CPU allows of the machine's instruction sets.
#pragma once

namespace parley {

enum class Widest { BASELINE, AVX2, ANY };

Widest widest_wanted(); // throws std::invalid_argument on an unknown PARLEY_CPU

} // namespace parley
