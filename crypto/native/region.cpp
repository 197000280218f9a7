#include "region.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace parley {
namespace {

constexpr std::size_t HUGE = std::size_t(2) << 20;
constexpr std::size_t HEADER = 64;

struct Header {
  void* base; // what to unmap; null: from the heap
  std::size_t mapped, bytes;
};
static_assert(sizeof(Header) <= HEADER);

} // namespace

// The header stands before the memory. A large region starts at a huge page's start; its header ends just below.
void* region(std::size_t bytes) {
  Header h = {nullptr, 0, bytes};
  std::uint8_t* p;
  if (bytes >= HUGE) {
    h.mapped = ((bytes + HUGE - 1) & ~(HUGE - 1)) + 2 * HUGE;
    h.base = mmap(nullptr, h.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (h.base == MAP_FAILED) throw std::bad_alloc();
    const auto at = (reinterpret_cast<std::uintptr_t>(h.base) + HEADER + HUGE - 1) & ~(HUGE - 1);
    p = reinterpret_cast<std::uint8_t*>(at);
    madvise(p, (bytes + HUGE - 1) & ~(HUGE - 1), MADV_HUGEPAGE); // a hint: without it the same, slower
  } else {
    auto* raw = static_cast<std::uint8_t*>(std::aligned_alloc(64, HEADER + ((bytes + 63) & ~std::size_t(63))));
    if (raw == nullptr) throw std::bad_alloc();
    p = raw + HEADER;
  }
  std::memcpy(p - HEADER, &h, sizeof h);
  return p;
}

void release(void* q) noexcept {
  if (q == nullptr) return;
  auto* p = static_cast<std::uint8_t*>(q);
  Header h;
  std::memcpy(&h, p - HEADER, sizeof h);
  wipe(p, h.bytes);
  if (h.base != nullptr) munmap(h.base, h.mapped);
  else std::free(p - HEADER);
}

} // namespace parley
