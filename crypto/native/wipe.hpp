// Overwriting secrets in a way that no compiler leaves out.
#pragma once
#include <cstddef>

namespace parley {

void wipe(void* p, std::size_t bytes) noexcept;

} // namespace parley
