#include "wipe.hpp"

#include <cstring>

namespace parley {

void wipe(void* p, std::size_t bytes) noexcept {
  if (bytes == 0) return;
  std::memset(p, 0, bytes);
  __asm__ volatile("" : : "r"(p) : "memory"); // somebody may look
}

} // namespace parley
