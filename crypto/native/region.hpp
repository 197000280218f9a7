// Memory for results and for work: cleared when it is given back, on huge pages where it is large.
#pragma once
#include <cstddef>

#include "wipe.hpp"

namespace parley {

void* region(std::size_t bytes); // 64-byte aligned, contents unspecified; throws std::bad_alloc
void release(void* p) noexcept;  // overwrites first

// Room for n values of a plain type, that ends with its scope.
template <class T>
class Room {
 public:
  explicit Room(std::size_t n) : p_(static_cast<T*>(region(n * sizeof(T)))) {}
  ~Room() { release(p_); }
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;
  T* get() const { return p_; }
  T& operator[](std::size_t i) const { return p_[i]; }

 private:
  T* p_;
};

} // namespace parley
