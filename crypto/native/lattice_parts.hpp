// What the portable files of the lattice share: streams' purposes, threads, and steps that both sides take.
#pragma once
#include "montgomery.hpp"
#include "lattice_core.hpp"

namespace parley::lattice {

// Streams under one key are told apart by purpose and number; no key serves two uses of one pair.
enum Purpose : u32 {
  FOR_SECRET = 1, FOR_KEY, FOR_KEY_NOISE, FOR_BLOCK, FOR_NOISE, FOR_U, FOR_D_NOISE, FOR_B_NOISE,
};

inline int parts_of(std::size_t work, int threads) {
  const std::size_t most = threads < 1 ? 1 : static_cast<std::size_t>(threads);
  return static_cast<int>(work == 0 ? 1 : work < most ? work : most);
}

// f(part) for every part, each on a thread of its own. f does not throw: what it needs is made before.
template <class F>
void each_part(int parts, F f) {
  parallel(parts, parts, [](void* p, std::size_t from, std::size_t to) {
    for (std::size_t k = from; k < to; ++k) (*static_cast<F*>(p))(static_cast<int>(k));
  }, &f);
}

void ternary(const Context&, i64* out, u64* words, const u8* key, const u8* nonce);
void binomial(const Context&, i64* out, u64* words, const u8* key, const u8* nonce);
void small_to_ring(const Context&, u64* out, const i64* e);      // transformed, every prime
void unshift(const Context&, u64* out, int x);                   // X^-(L-1), transformed, every prime
void every_lth(const Context&, int prime, const u64* f, int x, u64* out);  // coefficients 0, L, 2L, ... of f's inverse

}  // namespace parley::lattice
