// The symmetric kernels over any backend. Included by each backend's translation unit inside its own unnamed
// namespace, so that no inline function compiled for one instruction set can be linked into another.
//
// The backend provides, before the inclusion: u8, u32, u64; struct Aes (from a key; encrypt(bytes, n) in place);
// Block clmul(u64, u64), the product of two polynomials; u64 reduce64(Block); transpose(rows, words, out); and, with
// PARLEY_CONVOLVE_INNER, convolve_inner(z, n, taps) for Block and u64.

// Plain vectors of words: the compiler lowers them to what the unit's flags allow.
typedef u64 Two __attribute__((vector_size(16), may_alias, aligned(8)));
typedef u64 Four __attribute__((vector_size(32), may_alias, aligned(8)));

inline u64 gf64(u64 a, u64 b) { return reduce64(clmul(a, b)); }
inline Block add(Block a, Block b) { return {a.lo ^ b.lo, a.hi ^ b.hi}; }

inline void stream(const Aes& aes, u64 domain, u64 first, u8* out, std::size_t n) {
  for (std::size_t i = 0; i < n; i++) {
    const u64 block[2] = {first + i, domain};
    std::memcpy(out + 16 * i, block, 16);
  }
  aes.encrypt(out, n);
}

inline Block gf128(Block a, Block b) { // modulo x^128 + x^7 + x^2 + x + 1
  const Block low = clmul(a.lo, b.lo), high = clmul(a.hi, b.hi);
  const Block cross = add(clmul(a.lo, b.hi), clmul(a.hi, b.lo));
  u64 c[4] = {low.lo, low.hi ^ cross.lo, high.lo ^ cross.hi, high.hi};
  for (int k = 3; k >= 2; k--) {
    c[k - 2] ^= c[k] ^ (c[k] << 1) ^ (c[k] << 2) ^ (c[k] << 7);
    c[k - 1] ^= (c[k] >> 63) ^ (c[k] >> 62) ^ (c[k] >> 57);
  }
  return {c[0], c[1]};
}

// ---------------------------------------------------------------- trees

// Parents v[0, w) to left children in v[0, w) and right children in v[w, 2w): AES(x) ^ x under one key each.
inline void level(const Aes& left, const Aes& right, Block* v, std::size_t w, Block sums[2]) {
  constexpr std::size_t MOST = 64;
  alignas(64) Block l[MOST], r[MOST];
  Two s[2] = {{0, 0}, {0, 0}};
  for (std::size_t at = 0; at < w; at += MOST) {
    const std::size_t n = w - at < MOST ? w - at : MOST;
    std::memcpy(l, v + at, 16 * n);
    std::memcpy(r, v + at, 16 * n);
    left.encrypt(reinterpret_cast<u8*>(l), n);
    right.encrypt(reinterpret_cast<u8*>(r), n);
    for (std::size_t i = 0; i < n; i++) {
      Two x, a, b;
      std::memcpy(&x, v + at + i, 16), std::memcpy(&a, l + i, 16), std::memcpy(&b, r + i, 16);
      a ^= x, b ^= x, s[0] ^= a, s[1] ^= b;
      std::memcpy(v + at + i, &a, 16), std::memcpy(v + w + at + i, &b, 16);
    }
  }
  std::memcpy(sums, s, 32);
}

inline void grow(const u8 keys[32], const Block* roots, std::size_t trees, int levels, Block* leaves, Block* sums,
                 Block* totals) {
  const Aes left(keys), right(keys + 16);
  for (std::size_t t = 0; t < trees; t++) {
    Block* v = leaves + (t << levels);
    Block* s = sums + 2 * t * static_cast<std::size_t>(levels);
    v[0] = roots[t];
    for (int l = 0; l < levels; l++) level(left, right, v, std::size_t(1) << l, s + 2 * l);
    totals[t] = levels ? add(s[2 * levels - 2], s[2 * levels - 1]) : roots[t];
  }
}

inline void puncture(const u8 keys[32], const Block* sums, const u32* paths, const Block* totals, std::size_t trees,
                     int levels, Block* leaves) {
  const Aes left(keys), right(keys + 16);
  for (std::size_t t = 0; t < trees; t++) {
    Block* v = leaves + (t << levels);
    std::size_t hole = 0;
    Block rest = {0, 0}; // all leaves but the hole
    v[0] = {0, 0};
    for (int l = 0; l < levels; l++) {
      const std::size_t w = std::size_t(1) << l;
      const int turn = (paths[t] >> l) & 1;
      Block s[2];
      level(left, right, v, w, s); // the hole's own children count as noise and are taken out again
      const std::size_t child[2] = {hole, hole + w};
      hole = child[turn];
      const std::size_t sibling = child[!turn];
      const Block known = sums[t * static_cast<std::size_t>(levels) + static_cast<std::size_t>(l)];
      v[sibling] = add(known, add(s[!turn], v[sibling]));
      rest = add(known, add(s[turn], v[hole]));
      v[hole] = {0, 0};
    }
    v[hole] = add(totals[t], rest);
  }
}

// ---------------------------------------------------------------- the code

inline void xor_into(Block& a, Block b) { a = add(a, b); }
inline void xor_into(u64& a, u64 b) { a ^= b; }
inline Block masked(Block a, u64 m) { return {a.lo & m, a.hi & m}; }
inline u64 masked(u64 a, u64 m) { return a & m; }

// z[i + 1 + j] ^= z[i] wherever bit j of taps[i - from] is set, for i in [from, to) in turn, within z[0, m).
template <class T>
inline void convolve_plain(T* z, std::size_t m, std::size_t from, std::size_t to, const u32* taps) {
  for (std::size_t i = from; i < to; i++) {
    const std::size_t reach = m - 1 - i < TAPS ? m - 1 - i : TAPS;
    const T x = z[i];
    for (std::size_t j = 0; j < reach; j++) xor_into(z[i + 1 + j], masked(x, 0 - u64((taps[i - from] >> j) & 1)));
  }
}

// The taps are public and drawn as they are used: 24 bits each, the nearest neighbour always set.
template <class T>
inline void convolve(const Aes& aes, u64 domain, T* z, std::size_t m) {
  constexpr std::size_t BATCH = 1024;
  alignas(64) u32 taps[BATCH];
  for (std::size_t at = 0; at < m; at += BATCH) {
    const std::size_t n = m - at < BATCH ? m - at : BATCH;
    stream(aes, domain, at / 4, reinterpret_cast<u8*>(taps), (n + 3) / 4);
    for (std::size_t i = 0; i < n; i++) taps[i] = (taps[i] & 0xffffff) | 1;
    std::size_t done = 0;
#if defined(PARLEY_CONVOLVE_INNER)
    const std::size_t inside = m - at > 32 ? m - at - 32 : 0;
    done = (n < inside ? n : inside) & ~std::size_t(7);
    convolve_inner(z + at, done, taps);
#endif
    convolve_plain(z, m, at + done, at + n, taps + done);
  }
}

// add(i, sum of G cells of z, one in each of the stretches d to d + G) for i in [0, count). Few stretches at a time
// stay in the cache, and that outweighs going over the outputs once for each group.
template <int G, class Cell, class Add>
inline void expand_stretches(const Aes& aes, const Code& code, int d, const Cell* z, Add add_to) {
  constexpr std::size_t BATCH = 256;
  alignas(64) u32 index[G][BATCH];
  const u64 weight = static_cast<u64>(code.weight);
  for (std::size_t at = 0; at < code.count; at += BATCH) {
    for (int g = 0; g < G; g++) {
      const u64 stretch = static_cast<u64>(d + g), low = stretch * code.half / weight;
      const u64 wide = (stretch + 1) * code.half / weight - low;
      stream(aes, EXPANDER + (stretch << 8), at / 4, reinterpret_cast<u8*>(index[g]), BATCH / 4);
      for (auto& x : index[g]) x = static_cast<u32>(low + ((x * wide) >> 32));
    }
    const std::size_t n = code.count - at < BATCH ? code.count - at : BATCH;
    for (std::size_t i = 0; i < n; i++) {
      Cell sum = z[index[0][i]];
      for (int g = 1; g < G; g++) sum ^= z[index[g][i]];
      add_to(at + i, sum);
    }
  }
}

// The expander: to each output one place in each of `weight` equal stretches of z. With places anywhere the worst of
// a million outputs would see only the first seventh of z (at weight 7).
template <class Cell, class Add>
inline void expand(const Aes& aes, const Code& code, const Cell* z, Add add_to) {
  int d = 0;
  for (; d + 3 <= code.weight; d += 3) expand_stretches<3>(aes, code, d, z, add_to);
  for (; d < code.weight; d++) expand_stretches<1>(aes, code, d, z, add_to);
}

inline void encode(const Code& code, Block* leaves, Block* out) {
  const Aes aes(code.seed);
  Block* second = leaves + code.half;
  convolve(aes, TAPS_FIRST, second, code.half);
  convolve(aes, TAPS_SECOND, second, code.half);
  std::memcpy(out, leaves, 16 * code.count);
  Two* to = reinterpret_cast<Two*>(out);
  expand(aes, code, reinterpret_cast<const Two*>(second), [=](std::size_t i, const Two& sum) { to[i] ^= sum; });
}

// The same for blocks and words at once: both lie in one 32-byte cell, so that each random place is one access.
inline void encode_pair(const Code& code, Block* leaves, u64* sparse, Block* room, Block* out, u64* out_sparse) {
  const Aes aes(code.seed);
  Block* second = leaves + code.half;
  u64* second_sparse = sparse + code.half;
  for (u64 domain = TAPS_FIRST; domain <= TAPS_SECOND; domain++) {
    convolve(aes, domain, second, code.half);
    convolve(aes, domain, second_sparse, code.half);
  }
  Four* cells = reinterpret_cast<Four*>(room);
  for (std::size_t i = 0; i < code.half; i++) cells[i] = Four{second[i].lo, second[i].hi, second_sparse[i], 0};
  std::memcpy(out, leaves, 16 * code.count);
  std::memcpy(out_sparse, sparse, 8 * code.count);
  Two* to = reinterpret_cast<Two*>(out);
  expand(aes, code, static_cast<const Four*>(cells), [=](std::size_t i, const Four& sum) {
    to[i] ^= Two{sum[0], sum[1]};
    out_sparse[i] ^= sum[2];
  });
}

// ---------------------------------------------------------------- the store

struct Powers { // r, r^2, ... of a key's dense word
  u64 r[MAX_DENSE];
  Powers(u64 x, int dense) {
    r[0] = x;
    for (int j = 1; j < dense; j++) r[j] = gf64(r[j - 1], x);
  }
};

inline void add_dense(const Digest* keys, std::size_t n, const u64* columns, int dense, u64* values) {
  for (std::size_t i = 0; i < n; i++) {
    const Powers p(keys[i].w[2], dense);
    Block sum = {0, 0};
    for (int j = 0; j < dense; j++) sum = add(sum, clmul(p.r[j], columns[j]));
    values[i] ^= reduce64(sum);
  }
}

inline void decode(const Store& store_, const u64* table, const Digest* keys, std::size_t n, u64* out) {
  constexpr std::size_t AHEAD = 16;
  for (std::size_t i = 0; i < n; i++) {
    u64 s[3];
    if (i + AHEAD < n) {
      slots_of(keys[i + AHEAD], store_.segment, s);
      for (const u64 k : s) __builtin_prefetch(table + k);
    }
    slots_of(keys[i], store_.segment, s);
    out[i] = table[s[0]] ^ table[s[1]] ^ table[s[2]];
  }
  add_dense(keys, n, table + 3 * store_.segment, store_.dense, out);
}

inline void evaluate(const Store& store_, const Block* table, const Digest* keys, const u32* order, std::size_t from,
                     std::size_t to, std::size_t n, Block delta, const u8 context[16], u8* blocks) {
  constexpr std::size_t AHEAD = 24, FURTHER = 64;
  const Block* columns = table + 3 * store_.segment;
  auto key = [&](std::size_t i) -> const Digest& { return keys[order != nullptr ? order[i] : i]; };
  u64 s[3];
  for (std::size_t i = from; i < to; i++, blocks += 64) {
    if (order != nullptr && i + FURTHER < n) __builtin_prefetch(keys + order[i + FURTHER]);
    if (i + AHEAD < n) {
      slots_of(key(i + AHEAD), store_.segment, s);
      for (const u64 k : s) __builtin_prefetch(table + k);
    }
    const Digest& d = key(i);
    slots_of(d, store_.segment, s);
    const Powers p(d.w[2], store_.dense);
    Block lo = clmul(d.w[3], delta.lo), hi = clmul(d.w[3], delta.hi);
    for (int j = 0; j < store_.dense; j++) {
      lo = add(lo, clmul(p.r[j], columns[j].lo));
      hi = add(hi, clmul(p.r[j], columns[j].hi));
    }
    Block x = add(table[s[0]], add(table[s[1]], table[s[2]]));
    x = add(x, {reduce64(lo), reduce64(hi)});
    std::memcpy(blocks, &x, 16);
    std::memcpy(blocks + 16, d.w + 2, 16);
    std::memcpy(blocks + 32, context, 16);
    std::memset(blocks + 48, 0, 16);
    blocks[48] = 0x80, blocks[62] = 1, blocks[63] = 0x80; // 384 bits
  }
}

// ---------------------------------------------------------------- as function pointers

struct Kernel {
  static void encrypt(const u8 key[16], u8* blocks, std::size_t n) { Aes(key).encrypt(blocks, n); }
  static void stream_of(const u8 key[16], u64 domain, u64 first, u8* out, std::size_t n) {
    stream(Aes(key), domain, first, out, n);
  }
  static void gf64_rows(const u64* a, const u64* b, u64* out, std::size_t n) {
    for (std::size_t i = 0; i < n; i++) out[i] = gf64(a[i], b[i]);
  }
  static void gf128_rows(const Block* a, const Block* b, Block* out, std::size_t n) {
    for (std::size_t i = 0; i < n; i++) out[i] = gf128(a[i], b[i]);
  }
  static void multiply_add(const Block* b, const u64* p, Block delta, Block* out, std::size_t n) {
    for (std::size_t i = 0; i < n; i++) out[i] = add(b[i], {gf64(p[i], delta.lo), gf64(p[i], delta.hi)});
  }
  static constexpr BlockKernel all(const char* name) {
    return {name,   encrypt, stream_of,   gf64_rows,    gf128_rows, transpose, grow,
            puncture, encode,  encode_pair, multiply_add, add_dense,  decode,    evaluate};
  }
};
