// What oblivious transfer, vector OLE and the key-value store compute natively: AES under fixed keys, GF(2^64),
// trees, the code, and evaluation of a store. One kernel for each instruction set, with the same bytes from all.
#pragma once
#include <cstddef>
#include <cstdint>

namespace parley {

struct Block { // 16 bytes: two elements of GF(2^64), or an AES block with `lo` its first eight bytes
  std::uint64_t lo, hi;
};
struct Digest { // a key as SHA-256 gives it: w[0], w[1] choose the slots, w[2] the dense row, w[3] is the value
  std::uint64_t w[4];
};
struct Code { // the dual code of 2 * half positions, of whose `half` outputs the first `count` are wanted
  std::size_t half, count;
  int weight;
  std::uint8_t seed[16];
};
struct Store { // three thirds of `segment` slots, then `dense` columns
  std::size_t segment;
  int dense;
};

// Where the stream of one key is used for several things they are told apart by the block's upper half.
inline constexpr std::uint64_t TAPS_FIRST = 1, TAPS_SECOND = 2, EXPANDER = 3; // stretch d: EXPANDER + 256 d
inline constexpr int TAPS = 24; // reach of the convolution
inline constexpr int MAX_DENSE = 16;

struct BlockKernel {
  const char* name;
  void (*encrypt)(const std::uint8_t key[16], std::uint8_t* blocks, std::size_t n); // in place
  // Blocks (counter, domain) for counter = first, first + 1, ... encrypted.
  void (*stream)(const std::uint8_t key[16], std::uint64_t domain, std::uint64_t first, std::uint8_t* out,
                 std::size_t n);
  void (*gf64)(const std::uint64_t* a, const std::uint64_t* b, std::uint64_t* out, std::size_t n);
  void (*gf128)(const Block* a, const Block* b, Block* out, std::size_t n);
  void (*transpose)(const std::uint64_t* rows, std::size_t words, Block* out); // 128 rows to 64 * words blocks
  // Trees of 2^levels leaves in bit-reversed order (bit l of a leaf's index is the turn at level l). `keys`: two
  // AES keys. sums[tree][level][side]; totals[tree] over all leaves.
  void (*grow)(const std::uint8_t keys[32], const Block* roots, std::size_t trees, int levels, Block* leaves,
               Block* sums, Block* totals);
  // The same without one leaf a tree, from the sums of the sides not taken; that leaf becomes totals ^ the others.
  void (*puncture)(const std::uint8_t keys[32], const Block* sums, const std::uint32_t* paths, const Block* totals,
                   std::size_t trees, int levels, Block* leaves);
  void (*encode)(const Code& code, Block* leaves, Block* out);                                     // overwrites leaves
  void (*encode_pair)(const Code& code, Block* leaves, std::uint64_t* sparse, Block* cells, Block* out,
                      std::uint64_t* out_sparse); // `cells`: room for 2 * half blocks
  // out[i] = b[i] + p[i] * delta, component by component.
  void (*multiply_add)(const Block* b, const std::uint64_t* p, Block delta, Block* out, std::size_t n);
  // values[i] ^= the dense part of row i
  void (*add_dense)(const Digest* keys, std::size_t n, const std::uint64_t* columns, int dense, std::uint64_t* values);
  void (*decode)(const Store& store, const std::uint64_t* table, const Digest* keys, std::size_t n,
                 std::uint64_t* out);
  // Message blocks of 64 bytes for rows [from, to) of `order` (null: as they are): decode(table, key) + w[3] * delta,
  // then w[2], w[3], then the context of 16 bytes, padded for SHA-256. Looks ahead to n.
  void (*evaluate)(const Store& store, const Block* table, const Digest* keys, const std::uint32_t* order,
                   std::size_t from, std::size_t to, std::size_t n, Block delta, const std::uint8_t context[16],
                   std::uint8_t* blocks);
};

struct ShaKernel {
  const char* name;
  void (*single)(const std::uint8_t* blocks, std::uint8_t* digests, std::size_t n); // n padded one-block messages
  void (*compress)(std::uint32_t state[8], const std::uint8_t* blocks, std::size_t n);
};

extern const BlockKernel BLOCKS_BASELINE, BLOCKS_AESNI, BLOCKS_VAES;
extern const ShaKernel SHA256_BASELINE, SHA256_AVX2, SHA256_NI;

// The ones to use here and now; both throw on an unknown PARLEY_CPU.
const BlockKernel& block_kernel();
const ShaKernel& sha_kernel();

// n messages salt || data[offsets[i], offsets[i + 1]) to 32 bytes each.
void sha256_salted(const ShaKernel& kernel, const std::uint8_t* salt, std::size_t salt_bytes, const std::uint8_t* data,
                   const std::int64_t* offsets, std::size_t n, std::uint8_t* out);

// A uniform permutation of 0 .. n - 1 (n < 2^32) from the stream of a secret key.
void permutation(const BlockKernel& kernel, const std::uint8_t key[16], std::uint32_t* out, std::size_t n);

// The place of each own tag in theirs, or -1; tags of 8 to 12 bytes.
void match_tags(const std::uint8_t* own, std::size_t n, const std::uint8_t* theirs, std::size_t m, std::size_t bytes,
                std::int64_t* out);

enum class StoreResult { ok, duplicate, overload };
// table (3 * segment + dense) solves row(key_i) * table = values_i; slots that stay free keep what they held.
StoreResult store_encode(const BlockKernel& kernel, const Store& store, const Digest* keys, std::uint64_t* values,
                         std::size_t n, std::uint64_t* table);

inline void slots_of(const Digest& d, std::uint64_t segment, std::uint64_t s[3]) { // 40 bits for each slot
  const std::uint64_t third = ((d.w[0] & 0xffffff) << 16) | (d.w[1] & 0xffff);
  s[0] = ((d.w[0] >> 24) * segment) >> 40;
  s[1] = segment + (((d.w[1] >> 24) * segment) >> 40);
  s[2] = 2 * segment + ((third * segment) >> 40);
}

} // namespace parley
