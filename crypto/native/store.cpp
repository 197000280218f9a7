// The key-value store: three slots in disjoint thirds for each key, peeled; what does not peel is solved by
// Gaussian elimination over GF(2^64) with the dense columns.
#include <algorithm>
#include <cstring>
#include <vector>

#include "blocks.hpp"
#include "region.hpp"

namespace parley {
namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr std::size_t LARGEST_CORE = 512; // more than that does not peel: the load is beyond what was planned

struct Slot {
  u32 items; // exclusive or of the items that are left here
  u32 count;
};
struct Pair {
  u32 item, slot;
};

u64 product(const BlockKernel& k, u64 a, u64 b) {
  u64 c;
  k.gf64(&a, &b, &c, 1);
  return c;
}

u64 inverse(const BlockKernel& k, u64 a) { // a^(2^64 - 2)
  u64 r = 1;
  for (int i = 0; i < 63; i++) {
    a = product(k, a, a);
    r = product(k, r, a);
  }
  return r;
}

// Waves of slots that hold one item; `order` gets the removals, whose number is returned.
std::size_t peel(const Store& store, const Digest* keys, std::size_t n, Pair* order) {
  constexpr std::size_t NEAR = 6, MID = 12, FAR = 24;
  const std::size_t size = 3 * store.segment;
  const Room<Slot> slots(size);
  const Room<u32> first(size), second(size);
  u32 *wave = first.get(), *next = second.get();
  std::memset(slots.get(), 0, size * sizeof(Slot));
  u64 s[3];
  for (std::size_t i = 0; i < n; i++) {
    if (i + FAR < n) {
      slots_of(keys[i + FAR], store.segment, s);
      for (const u64 x : s) __builtin_prefetch(&slots[x], 1);
    }
    slots_of(keys[i], store.segment, s);
    for (const u64 x : s) slots[x].items ^= static_cast<u32>(i), slots[x].count++;
  }
  std::size_t waiting = 0, removed = 0;
  for (std::size_t x = 0; x < size; x++) {
    wave[waiting] = static_cast<u32>(x);
    waiting += slots[x].count == 1;
  }
  while (waiting > 0) {
    std::size_t more = 0;
    for (std::size_t w = 0; w < waiting; w++) {
      if (w + FAR < waiting) __builtin_prefetch(&slots[wave[w + FAR]]);
      if (w + MID < waiting && slots[wave[w + MID]].items < n) __builtin_prefetch(keys + slots[wave[w + MID]].items);
      if (w + NEAR < waiting && slots[wave[w + NEAR]].items < n) {
        slots_of(keys[slots[wave[w + NEAR]].items], store.segment, s);
        for (const u64 x : s) __builtin_prefetch(&slots[x], 1);
      }
      if (slots[wave[w]].count != 1) continue;
      const u32 item = slots[wave[w]].items;
      order[removed++] = {item, wave[w]};
      slots_of(keys[item], store.segment, s);
      for (const u64 x : s) {
        slots[x].items ^= item;
        if (--slots[x].count == 1) next[more++] = static_cast<u32>(x); // once for each slot, so there is room
      }
    }
    waiting = more;
    std::swap(wave, next);
  }
  return removed;
}

bool equal(const Digest& a, const Digest& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

// One row for each core item over (the core's slots, the dense columns), with its value last.
struct Core {
  std::vector<u32> items;
  std::vector<u64> slots;
  std::size_t columns = 0;
  std::vector<std::vector<u64>> rows;
};

Core core_of(const BlockKernel& k, const Store& store, const Digest* keys, const u64* values, std::vector<u32> items) {
  Core core;
  core.items = std::move(items);
  for (const u32 i : core.items) {
    u64 s[3];
    slots_of(keys[i], store.segment, s);
    core.slots.insert(core.slots.end(), s, s + 3);
  }
  std::sort(core.slots.begin(), core.slots.end());
  core.slots.erase(std::unique(core.slots.begin(), core.slots.end()), core.slots.end());
  core.columns = core.slots.size() + static_cast<std::size_t>(store.dense);
  for (const u32 i : core.items) {
    std::vector<u64> row(core.columns + 1, 0);
    u64 s[3];
    slots_of(keys[i], store.segment, s);
    for (const u64 x : s)
      row[static_cast<std::size_t>(std::lower_bound(core.slots.begin(), core.slots.end(), x) - core.slots.begin())] = 1;
    u64 power = keys[i].w[2];
    for (int j = 0; j < store.dense; j++, power = product(k, power, keys[i].w[2]))
      row[core.slots.size() + static_cast<std::size_t>(j)] = power;
    row[core.columns] = values[i];
    core.rows.push_back(std::move(row));
  }
  return core;
}

// Reduced echelon form; the pivot column of each row, or none where a row vanishes.
bool eliminate(const BlockKernel& k, Core& core, std::vector<std::size_t>& pivots) {
  for (std::size_t r = 0; r < core.rows.size(); r++) {
    auto& row = core.rows[r];
    const auto end = row.begin() + static_cast<std::ptrdiff_t>(core.columns);
    const auto found = std::find_if(row.begin(), end, [](u64 x) { return x != 0; });
    if (found == end) return false;
    const auto pivot = static_cast<std::size_t>(found - row.begin());
    const u64 scale = inverse(k, row[pivot]);
    for (auto& x : row) x = product(k, x, scale);
    for (std::size_t o = 0; o < core.rows.size(); o++) {
      const u64 factor = core.rows[o][pivot];
      if (o == r || factor == 0) continue;
      for (std::size_t c = 0; c <= core.columns; c++) core.rows[o][c] ^= product(k, row[c], factor);
    }
    pivots.push_back(pivot);
  }
  return true;
}

// Free columns keep what the table holds.
void solve(const BlockKernel& k, const Store& store, const Core& core, const std::vector<std::size_t>& pivots,
           u64* table) {
  auto place = [&](std::size_t c) {
    return c < core.slots.size() ? core.slots[c] : 3 * store.segment + (c - core.slots.size());
  };
  std::vector<bool> fixed(core.columns, false);
  for (const std::size_t p : pivots) fixed[p] = true;
  for (std::size_t r = 0; r < pivots.size(); r++) {
    u64 x = core.rows[r][core.columns];
    for (std::size_t c = 0; c < core.columns; c++)
      if (!fixed[c]) x ^= product(k, core.rows[r][c], table[place(c)]);
    table[place(pivots[r])] = x;
  }
}

StoreResult solve_core(const BlockKernel& k, const Store& store, const Digest* keys, const u64* values,
                       std::vector<u32> items, u64* table) {
  if (items.size() > LARGEST_CORE) {
    // Equal keys are never peeled, so they are all in here.
    std::sort(items.begin(), items.end(),
              [&](u32 a, u32 b) { return std::memcmp(keys + a, keys + b, sizeof *keys) < 0; });
    for (std::size_t i = 1; i < items.size(); i++)
      if (equal(keys[items[i - 1]], keys[items[i]])) return StoreResult::duplicate;
    return StoreResult::overload;
  }
  for (std::size_t i = 0; i < items.size(); i++)
    for (std::size_t j = 0; j < i; j++)
      if (equal(keys[items[i]], keys[items[j]])) return StoreResult::duplicate;
  Core core = core_of(k, store, keys, values, std::move(items));
  std::vector<std::size_t> pivots;
  if (!eliminate(k, core, pivots)) return StoreResult::overload;
  solve(k, store, core, pivots, table);
  return StoreResult::ok;
}

} // namespace

StoreResult store_encode(const BlockKernel& kernel, const Store& store, const Digest* keys, u64* values, std::size_t n,
                         u64* table) {
  const Room<Pair> order(n);
  const std::size_t removed = peel(store, keys, n, order.get());
  if (removed < n) {
    std::vector<bool> gone(n, false);
    for (std::size_t w = 0; w < removed; w++) gone[order[w].item] = true;
    std::vector<u32> left;
    for (std::size_t i = 0; i < n; i++)
      if (!gone[i]) left.push_back(static_cast<u32>(i));
    const StoreResult result = solve_core(kernel, store, keys, values, std::move(left), table);
    if (result != StoreResult::ok) return result;
  }
  kernel.add_dense(keys, n, table + 3 * store.segment, store.dense, values);
  constexpr std::size_t NEAR = 10, FAR = 24;
  u64 s[3];
  for (std::size_t w = removed; w-- > 0;) {
    if (w >= FAR) __builtin_prefetch(keys + order[w - FAR].item), __builtin_prefetch(values + order[w - FAR].item);
    if (w >= NEAR) {
      slots_of(keys[order[w - NEAR].item], store.segment, s);
      for (const u64 x : s) __builtin_prefetch(table + x, 1);
    }
    slots_of(keys[order[w].item], store.segment, s);
    const u64 own = table[order[w].slot];
    table[order[w].slot] = values[order[w].item] ^ table[s[0]] ^ table[s[1]] ^ table[s[2]] ^ own;
  }
  return StoreResult::ok;
}

void match_tags(const std::uint8_t* own, std::size_t n, const std::uint8_t* theirs, std::size_t m, std::size_t bytes,
                std::int64_t* out) {
  struct Entry {
    u64 front;
    u32 place, back; // place 0: empty
  };
  constexpr std::size_t AHEAD = 16;
  std::size_t size = 16;
  while (size < 2 * n) size *= 2;
  const u64 mask = size - 1;
  const Room<Entry> table(size);
  std::memset(table.get(), 0, size * sizeof(Entry));
  auto front = [&](const std::uint8_t* tags, std::size_t i) {
    u64 x;
    std::memcpy(&x, tags + bytes * i, 8);
    return x;
  };
  auto back = [&](const std::uint8_t* tags, std::size_t i) { // the bytes after the eighth
    u64 x;
    std::memcpy(&x, tags + bytes * i + (bytes - 8), 8);
    return bytes > 8 ? static_cast<u32>(x >> (8 * (16 - bytes))) : 0u;
  };
  for (std::size_t i = 0; i < n; i++) {
    if (i + AHEAD < n) __builtin_prefetch(&table[front(own, i + AHEAD) & mask], 1);
    const u64 f = front(own, i);
    std::size_t at = f & mask;
    while (table[at].place != 0) at = (at + 1) & mask;
    table[at] = {f, static_cast<u32>(i + 1), back(own, i)};
    out[i] = -1;
  }
  for (std::size_t j = 0; j < m; j++) {
    if (j + AHEAD < m) __builtin_prefetch(&table[front(theirs, j + AHEAD) & mask]);
    const u64 f = front(theirs, j);
    const u32 b = back(theirs, j);
    for (std::size_t at = f & mask; table[at].place != 0; at = (at + 1) & mask)
      if (table[at].front == f && table[at].back == b) {
        out[table[at].place - 1] = static_cast<std::int64_t>(j);
        break;
      }
  }
}

void permutation(const BlockKernel& kernel, const std::uint8_t key[16], u32* out, std::size_t n) {
  constexpr std::size_t BATCH = 1024;
  alignas(64) u32 words[BATCH];
  std::size_t at = BATCH;
  u64 first = 0;
  auto word = [&] {
    if (at == BATCH) {
      kernel.stream(key, 0, first, reinterpret_cast<std::uint8_t*>(words), BATCH / 4);
      first += BATCH / 4, at = 0;
    }
    return static_cast<u64>(words[at++]);
  };
  for (std::size_t i = 0; i < n; i++) out[i] = static_cast<u32>(i);
  for (std::size_t i = n; i > 1; i--) { // uniform below i by multiplication, rejecting what would be uneven
    u64 x = word() * i;
    if ((x & 0xffffffffull) < i) {
      const u64 uneven = (u64(1) << 32) % i;
      while ((x & 0xffffffffull) < uneven) x = word() * i;
    }
    std::swap(out[i - 1], out[x >> 32]);
  }
  std::memset(words, 0, sizeof words);
  __asm__ volatile("" : : "r"(words) : "memory");
}

} // namespace parley
