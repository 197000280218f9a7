// Python's door to blocks.hpp: shapes are checked here, the GIL is released inside.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstring>
#include <stdexcept>

#include "blocks.hpp"
#include "region_array.hpp"
#include "ristretto.hpp"

namespace nb = nanobind;
using namespace parley;

namespace {

using u8 = std::uint8_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

template <class T>
using In = nb::ndarray<const T, nb::numpy, nb::c_contig, nb::device::cpu>;
template <class T>
using Changed = nb::ndarray<T, nb::numpy, nb::c_contig, nb::device::cpu>;
template <class T>
using Out = nb::ndarray<nb::numpy, T>;
using Bytes = In<u8>;
using Words = In<u64>;

void need(bool ok, const char* what) {
  if (!ok) throw std::invalid_argument(what);
}

template <class A>
void rows(const A& a, std::size_t columns, const char* what) {
  need(a.ndim() == 2 && a.shape(1) == columns, what);
}

template <class A>
void flat(const A& a, const char* what) {
  need(a.ndim() == 1, what);
}

const Block* blocks(const Bytes& a) { return reinterpret_cast<const Block*>(a.data()); }
const Block* blocks(const Words& a) { return reinterpret_cast<const Block*>(a.data()); }
Block* blocks(const Out<u8>& a) { return reinterpret_cast<Block*>(a.data()); }
Block* blocks(const Out<u64>& a) { return reinterpret_cast<Block*>(a.data()); }
const Digest* digests(const Words& a) { return reinterpret_cast<const Digest*>(a.data()); }

const u8* key(const Bytes& k, std::size_t bytes = 16) {
  need(k.ndim() == 1 && k.shape(0) == bytes, "a key of 16 bytes, or two of them");
  return k.data();
}

// ---------------------------------------------------------------- primitives

Out<u8> encrypt(Bytes k, Bytes in) {
  rows(in, 16, "blocks (n, 16)");
  const u8* secret = key(k);
  const std::size_t n = in.shape(0);
  Out<u8> out = wiped_array<u8>({n, 16});
  const BlockKernel& kernel = block_kernel();
  nb::gil_scoped_release free;
  std::memcpy(out.data(), in.data(), 16 * n);
  kernel.encrypt(secret, out.data(), n);
  return out;
}

Out<u8> stream(Bytes keys, u64 domain, u64 first, std::size_t n) {
  rows(keys, 16, "keys (k, 16)");
  const std::size_t k = keys.shape(0);
  need(n < (std::size_t(1) << 40), "fewer blocks");
  Out<u8> out = wiped_array<u8>({k, 16 * n});
  const BlockKernel& kernel = block_kernel();
  nb::gil_scoped_release free;
  for (std::size_t i = 0; i < k; i++) kernel.stream(keys.data() + 16 * i, domain, first, out.data() + 16 * n * i, n);
  return out;
}

Out<u8> sha256(Bytes salt, Bytes data, In<std::int64_t> offsets) {
  need(salt.ndim() == 1 && data.ndim() == 1 && offsets.ndim() == 1 && offsets.shape(0) >= 1, "a salt and packed ids");
  const std::size_t n = offsets.shape(0) - 1;
  const std::int64_t* at = offsets.data();
  need(at[0] >= 0 && static_cast<u64>(at[n]) <= data.shape(0), "offsets inside the data");
  Out<u8> out = wiped_array<u8>({n, 32});
  const ShaKernel& kernel = sha_kernel();
  nb::gil_scoped_release free;
  for (std::size_t i = 0; i < n; i++) need(at[i] <= at[i + 1], "ascending offsets");
  sha256_salted(kernel, salt.data(), salt.shape(0), data.data(), at, n, out.data());
  return out;
}

Out<u64> gf64(Words a, Words b) {
  flat(a, "elements (n,)"), flat(b, "elements (n,)");
  need(a.shape(0) == b.shape(0), "as many on both sides");
  Out<u64> out = wiped_array<u64>({a.shape(0)});
  const BlockKernel& kernel = block_kernel();
  nb::gil_scoped_release free;
  kernel.gf64(a.data(), b.data(), out.data(), a.shape(0));
  return out;
}

Out<u64> gf128(Words a, Words b) {
  rows(a, 2, "elements (n, 2)"), rows(b, 2, "elements (n, 2)");
  need(a.shape(0) == b.shape(0), "as many on both sides");
  Out<u64> out = wiped_array<u64>({a.shape(0), 2});
  const BlockKernel& kernel = block_kernel();
  nb::gil_scoped_release free;
  kernel.gf128(blocks(a), blocks(b), blocks(out), a.shape(0));
  return out;
}

Out<u8> transpose(Words in) {
  need(in.ndim() == 2 && in.shape(0) == 128, "128 rows of words");
  const std::size_t words = in.shape(1);
  Out<u8> out = wiped_array<u8>({64 * words, 16});
  const BlockKernel& kernel = block_kernel();
  nb::gil_scoped_release free;
  kernel.transpose(in.data(), words, blocks(out));
  return out;
}

// sum over j of x^j * streams[64 c + j, i] in GF(2^64), for both components c: (t, 2).
Out<u64> weigh(Words streams) {
  need(streams.ndim() == 2 && streams.shape(0) == 128, "128 rows of elements");
  const std::size_t t = streams.shape(1);
  Out<u64> out = wiped_array<u64>({t, 2});
  const u64* in = streams.data();
  u64* to = out.data();
  nb::gil_scoped_release free;
  for (std::size_t i = 0; i < t; i++)
    for (std::size_t c = 0; c < 2; c++) {
      u64 sum = 0;
      for (std::size_t j = 64; j-- > 0;) sum = (sum << 1) ^ (0x1b & (0 - (sum >> 63))) ^ in[(64 * c + j) * t + i];
      to[2 * i + c] = sum;
    }
  return out;
}

Out<u32> shuffled(Bytes k, std::size_t n) {
  const u8* secret = key(k);
  need(n < (std::size_t(1) << 32), "fewer than 2^32");
  Out<u32> out = wiped_array<u32>({n});
  const BlockKernel& kernel = block_kernel();
  nb::gil_scoped_release free;
  permutation(kernel, secret, out.data(), n);
  return out;
}

void wipe_array(Changed<u8> a) { wipe(a.data(), a.size()); }

// Rows of a plus or minus rows of b (one row of b for all).
nb::tuple point_sum(Bytes a, Bytes b, bool minus) {
  rows(a, 32, "points (n, 32)"), rows(b, 32, "points (n, 32)");
  const std::size_t n = a.shape(0), step = b.shape(0) == 1 ? 0 : 32;
  need(b.shape(0) == n || b.shape(0) == 1, "as many on both sides, or one");
  Out<u8> out = wiped_array<u8>({n, 32}), ok = wiped_array<u8>({n});
  {
    nb::gil_scoped_release free;
    for (std::size_t i = 0; i < n; i++)
      ok.data()[i] = ristretto_add(out.data() + 32 * i, a.data() + 32 * i, b.data() + step * i, minus);
  }
  return nb::make_tuple(out, ok);
}

// ---------------------------------------------------------------- trees and the code

std::size_t leaves_of(std::size_t trees, int levels) {
  need(levels >= 0 && levels <= 24 && trees < (std::size_t(1) << 32) >> levels, "trees of at most 2^24 leaves");
  return trees << levels;
}

nb::tuple grow(Bytes keys, Bytes roots, int levels) {
  rows(roots, 16, "roots (t, 16)");
  const u8* k = key(keys, 32);
  const std::size_t t = roots.shape(0), depth = static_cast<std::size_t>(levels);
  Out<u8> leaves = wiped_array<u8>({leaves_of(t, levels), 16});
  Out<u8> sums = wiped_array<u8>({t, depth, 2, 16}), totals = wiped_array<u8>({t, 16});
  const BlockKernel& kernel = block_kernel();
  {
    nb::gil_scoped_release free;
    kernel.grow(k, blocks(roots), t, levels, blocks(leaves), blocks(sums), blocks(totals));
  }
  return nb::make_tuple(leaves, sums, totals);
}

Out<u8> puncture(Bytes keys, Bytes sums, In<u32> paths, Bytes totals, int levels) {
  flat(paths, "paths (t,)"), rows(totals, 16, "totals (t, 16)");
  const u8* k = key(keys, 32);
  const std::size_t t = paths.shape(0), depth = static_cast<std::size_t>(levels);
  Out<u8> leaves = wiped_array<u8>({leaves_of(t, levels), 16});
  need(sums.ndim() == 3 && sums.shape(0) == t && sums.shape(1) == depth && sums.shape(2) == 16, "sums (t, levels, 16)");
  need(totals.shape(0) == t, "a total for each tree");
  for (std::size_t i = 0; i < t; i++) need((paths.data()[i] >> levels) == 0, "paths below 2^levels");
  const BlockKernel& kernel = block_kernel();
  nb::gil_scoped_release free;
  kernel.puncture(k, blocks(sums), paths.data(), blocks(totals), t, levels, blocks(leaves));
  return leaves;
}

Code code_of(const Bytes& seed, std::size_t positions, std::size_t count, int weight) {
  need(positions % 2 == 0 && positions >= 2 && positions < (std::size_t(1) << 32), "an even number of positions");
  need(count <= positions / 2, "at most half as many outputs as positions");
  need(weight == 7 || weight == 21, "an expander of weight 7 or 21");
  need(positions / 2 >= static_cast<std::size_t>(weight), "at least as many outputs as the expander's weight");
  Code code = {positions / 2, count, weight, {}};
  std::memcpy(code.seed, key(seed), 16);
  return code;
}

Out<u64> encode(Changed<u8> leaves, std::size_t count, int weight, Bytes seed) {
  rows(leaves, 16, "leaves (n, 16)");
  const Code code = code_of(seed, leaves.shape(0), count, weight);
  Out<u64> out = wiped_array<u64>({count, 2});
  const BlockKernel& kernel = block_kernel();
  nb::gil_scoped_release free;
  kernel.encode(code, reinterpret_cast<Block*>(leaves.data()), blocks(out));
  return out;
}

nb::tuple encode_pair(Changed<u8> leaves, Changed<u64> sparse, std::size_t count, int weight, Bytes seed) {
  rows(leaves, 16, "leaves (n, 16)"), flat(sparse, "sparse (n,)");
  need(sparse.shape(0) == leaves.shape(0), "as many leaves as sparse elements");
  const Code code = code_of(seed, leaves.shape(0), count, weight);
  Out<u64> out = wiped_array<u64>({count, 2}), second = wiped_array<u64>({count});
  const BlockKernel& kernel = block_kernel();
  {
    nb::gil_scoped_release free;
    const Room<Block> room(2 * code.half);
    kernel.encode_pair(code, reinterpret_cast<Block*>(leaves.data()), sparse.data(), room.get(), blocks(out),
                       second.data());
  }
  return nb::make_tuple(out, second);
}

// ---------------------------------------------------------------- the store

Store store_of(std::size_t slots, std::size_t segment, int dense) {
  need(dense >= 0 && dense <= MAX_DENSE, "at most 16 dense columns");
  need(segment > 0 && segment < (std::size_t(1) << 24), "thirds of less than 2^24 slots");
  need(slots == 3 * segment + static_cast<std::size_t>(dense), "three thirds and the dense columns");
  return {segment, dense};
}

int encode_store(Words keys, Words values, Changed<u64> table, std::size_t segment, int dense) {
  rows(keys, 4, "keys (n, 4)"), flat(values, "values (n,)"), flat(table, "a table of slots");
  const std::size_t n = keys.shape(0);
  need(values.shape(0) == n && n < (std::size_t(1) << 31), "a value for each key");
  const Store store = store_of(table.shape(0), segment, dense);
  const BlockKernel& kernel = block_kernel();
  nb::gil_scoped_release free;
  const Room<u64> copy(n);
  std::memcpy(copy.get(), values.data(), 8 * n);
  return static_cast<int>(store_encode(kernel, store, digests(keys), copy.get(), n, table.data()));
}

Out<u64> decode_store(Words keys, Words table, std::size_t segment, int dense) {
  rows(keys, 4, "keys (n, 4)"), flat(table, "a table of slots");
  const Store store = store_of(table.shape(0), segment, dense);
  Out<u64> out = wiped_array<u64>({keys.shape(0)});
  const BlockKernel& kernel = block_kernel();
  nb::gil_scoped_release free;
  kernel.decode(store, table.data(), digests(keys), keys.shape(0), out.data());
  return out;
}

Out<u64> multiply_add(Words b, Words p, Words delta) {
  rows(b, 2, "blocks (n, 2)"), flat(p, "elements (n,)");
  need(b.shape(0) == p.shape(0) && delta.ndim() == 1 && delta.shape(0) == 2, "n blocks, n elements and two of delta");
  Out<u64> out = wiped_array<u64>({b.shape(0), 2});
  const BlockKernel& kernel = block_kernel();
  nb::gil_scoped_release free;
  kernel.multiply_add(blocks(b), p.data(), {delta.data()[0], delta.data()[1]}, blocks(out), b.shape(0));
  return out;
}

// The tag of key order[i] (or of key i) in row i: the first `bytes` of SHA-256(decode + w[3] delta, item, context).
Out<u8> tags(Words keys, Words table, std::size_t segment, int dense, Words delta, In<u32> order, Bytes context,
             std::size_t bytes) {
  rows(keys, 4, "keys (n, 4)"), rows(table, 2, "a table of blocks"), flat(order, "an order (n,) or none");
  const Store store = store_of(table.shape(0), segment, dense);
  const std::size_t n = keys.shape(0);
  need(order.shape(0) == n || order.shape(0) == 0, "an order (n,) or none");
  need(delta.ndim() == 1 && delta.shape(0) == 2 && bytes >= 8 && bytes <= 32, "two of delta, tags of 8 to 32 bytes");
  for (std::size_t i = 0; i < order.shape(0); i++) need(order.data()[i] < n, "an order of the keys");
  const u8* tweak = key(context);
  Out<u8> out = wiped_array<u8>({n, bytes});
  const BlockKernel& kernel = block_kernel();
  const ShaKernel& sha = sha_kernel();
  nb::gil_scoped_release free;
  constexpr std::size_t BATCH = 32;
  alignas(64) u8 messages[64 * BATCH], hashes[32 * BATCH];
  for (std::size_t at = 0; at < n; at += BATCH) {
    const std::size_t k = n - at < BATCH ? n - at : BATCH;
    kernel.evaluate(store, blocks(table), digests(keys), order.shape(0) ? order.data() : nullptr, at, at + k, n,
                    {delta.data()[0], delta.data()[1]}, tweak, messages);
    sha.single(messages, hashes, k);
    for (std::size_t i = 0; i < k; i++) std::memcpy(out.data() + bytes * (at + i), hashes + 32 * i, bytes);
  }
  wipe(messages, sizeof messages);
  return out;
}

Out<std::int64_t> match(Bytes own, Bytes theirs) {
  need(own.ndim() == 2 && own.shape(1) >= 8 && own.shape(1) <= 12, "tags of 8 to 12 bytes");
  rows(theirs, own.shape(1), "tags of one length");
  need(own.shape(0) < (std::size_t(1) << 31), "fewer than 2^31 tags");
  Out<std::int64_t> out = wiped_array<std::int64_t>({own.shape(0)});
  nb::gil_scoped_release free;
  match_tags(own.data(), own.shape(0), theirs.data(), theirs.shape(0), own.shape(1), out.data());
  return out;
}

} // namespace

void bind_blocks(nb::module_& m) {
  m.def("block_kernel", [] { return block_kernel().name; });
  m.def("sha_kernel", [] { return sha_kernel().name; });
  m.def("aes_encrypt", &encrypt);
  m.def("aes_stream", &stream);
  m.def("sha256_salted", &sha256);
  m.def("gf64_multiply", &gf64);
  m.def("gf128_multiply", &gf128);
  m.def("gf64_weigh", &weigh);
  m.def("bit_transpose", &transpose);
  m.def("shuffled", &shuffled);
  m.def("wipe", &wipe_array);
  m.def("ristretto_add", &point_sum);
  m.def("trees_grow", &grow);
  m.def("trees_puncture", &puncture);
  m.def("code_encode", &encode);
  m.def("code_encode_pair", &encode_pair);
  m.def("store_encode", &encode_store);
  m.def("store_decode", &decode_store);
  m.def("store_multiply_add", &multiply_add);
  m.def("store_tags", &tags);
  m.def("tags_match", &match);
}
