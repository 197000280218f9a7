// Portable field: five limbs of 51 bits in unsigned __int128 products, one element at a time.
// Bounds: `reduced` limbs are below 2^51 + 2^15; add leaves up to 2^54, which mul and sub accept.
#include <cstring>

#include "constants.hpp"
#include "ristretto.hpp"

namespace parley {
namespace {

using u64 = std::uint64_t;
using u128 = unsigned __int128;

constexpr std::size_t LANES = 1;
constexpr u64 M51 = (u64(1) << 51) - 1;

struct Fe {
    u64 v[5];
};
using Mask = u64; // 0 or all ones

inline Mask m_and(Mask a, Mask b) { return a & b; }
inline Mask m_or(Mask a, Mask b) { return a | b; }
inline Mask m_not(Mask a) { return ~a; }
inline std::uint8_t lane(Mask a, std::size_t) { return static_cast<std::uint8_t>(a & 1); }

inline Fe constant(const u64 k[5]) { return {{k[0], k[1], k[2], k[3], k[4]}}; }
inline Fe constant_word(u64 k) { return {{k, 0, 0, 0, 0}}; }

inline Fe carry_wide(u128 c0, u128 c1, u128 c2, u128 c3, u128 c4) {
    c1 += static_cast<u64>(c0 >> 51);
    c2 += static_cast<u64>(c1 >> 51);
    c3 += static_cast<u64>(c2 >> 51);
    c4 += static_cast<u64>(c3 >> 51);
    const u64 r0 = (static_cast<u64>(c0) & M51) + 19 * static_cast<u64>(c4 >> 51);
    Fe r = {{r0 & M51, (static_cast<u64>(c1) & M51) + (r0 >> 51), static_cast<u64>(c2) & M51,
             static_cast<u64>(c3) & M51, static_cast<u64>(c4) & M51}};
    return r;
}

inline Fe mul(const Fe& a, const Fe& b) {
    const u64 *x = a.v, *y = b.v;
    const u64 y1 = 19 * y[1], y2 = 19 * y[2], y3 = 19 * y[3], y4 = 19 * y[4];
    return carry_wide(
        u128(x[0]) * y[0] + u128(x[1]) * y4 + u128(x[2]) * y3 + u128(x[3]) * y2 + u128(x[4]) * y1,
        u128(x[0]) * y[1] + u128(x[1]) * y[0] + u128(x[2]) * y4 + u128(x[3]) * y3 + u128(x[4]) * y2,
        u128(x[0]) * y[2] + u128(x[1]) * y[1] + u128(x[2]) * y[0] + u128(x[3]) * y4 + u128(x[4]) * y3,
        u128(x[0]) * y[3] + u128(x[1]) * y[2] + u128(x[2]) * y[1] + u128(x[3]) * y[0] + u128(x[4]) * y4,
        u128(x[0]) * y[4] + u128(x[1]) * y[3] + u128(x[2]) * y[2] + u128(x[3]) * y[1] + u128(x[4]) * y[0]);
}

inline Fe sqr(const Fe& a) {
    const u64* x = a.v;
    const u64 d0 = 2 * x[0], d1 = 2 * x[1], x3 = 19 * x[3], x4 = 19 * x[4], d2 = 2 * x[2];
    return carry_wide(u128(x[0]) * x[0] + u128(d1) * x4 + u128(d2) * x3,
                      u128(d0) * x[1] + u128(d2) * x4 + u128(x[3]) * x3,
                      u128(d0) * x[2] + u128(x[1]) * x[1] + u128(2 * x[3]) * x4,
                      u128(d0) * x[3] + u128(d1) * x[2] + u128(x[4]) * x4,
                      u128(d0) * x[4] + u128(d1) * x[3] + u128(x[2]) * x[2]);
}

inline Fe weak_carry(Fe a) {
    u64* x = a.v;
    const u64 c0 = x[0] >> 51, c1 = x[1] >> 51, c2 = x[2] >> 51, c3 = x[3] >> 51, c4 = x[4] >> 51;
    return {{(x[0] & M51) + 19 * c4, (x[1] & M51) + c0, (x[2] & M51) + c1, (x[3] & M51) + c2, (x[4] & M51) + c3}};
}

inline Fe add(const Fe& a, const Fe& b) {
    Fe r;
    for (int i = 0; i < 5; i++) r.v[i] = a.v[i] + b.v[i];
    return r;
}

inline Fe sub(const Fe& a, const Fe& b) { // a + 8p - b
    Fe r;
    r.v[0] = a.v[0] + 8 * (M51 - 18) - b.v[0];
    for (int i = 1; i < 5; i++) r.v[i] = a.v[i] + 8 * M51 - b.v[i];
    return weak_carry(r);
}

inline Fe neg(const Fe& a) { return sub(constant_word(0), a); }

inline Fe select(Mask m, const Fe& a, const Fe& b) {
    Fe r;
    for (int i = 0; i < 5; i++) r.v[i] = b.v[i] ^ (m & (a.v[i] ^ b.v[i]));
    return r;
}

// The unique limbs in [0, p).
inline Fe freeze(const Fe& a) {
    Fe r = weak_carry(weak_carry(a));
    u64* x = r.v;
    u64 q = (x[0] + 19) >> 51;
    for (int i = 1; i < 5; i++) q = (x[i] + q) >> 51;
    x[0] += 19 * q;
    for (int i = 0; i < 4; i++) {
        x[i + 1] += x[i] >> 51;
        x[i] &= M51;
    }
    x[4] &= M51;
    return r;
}

inline Mask is_neg(const Fe& a) { return 0 - (freeze(a).v[0] & 1); }

inline Mask is_zero(const Fe& a) {
    const Fe f = freeze(a);
    const u64 o = f.v[0] | f.v[1] | f.v[2] | f.v[3] | f.v[4];
    return 0 - (((o | (0 - o)) >> 63) ^ 1);
}

inline u64 load64(const std::uint8_t* p) {
    u64 x;
    std::memcpy(&x, p, 8);
    return x;
}

inline Fe load_reduced(const std::uint8_t* p, std::size_t) {
    const u64 w0 = load64(p), w1 = load64(p + 8), w2 = load64(p + 16), w3 = load64(p + 24);
    return {{w0 & M51, ((w0 >> 51) | (w1 << 13)) & M51, ((w1 >> 38) | (w2 << 26)) & M51,
             ((w2 >> 25) | (w3 << 39)) & M51, (w3 >> 12) & M51}};
}

inline void store(std::uint8_t* p, const Fe& a) {
    const Fe f = freeze(a);
    const u64 w[4] = {f.v[0] | (f.v[1] << 51), (f.v[1] >> 13) | (f.v[2] << 38), (f.v[2] >> 26) | (f.v[3] << 25),
                      (f.v[3] >> 39) | (f.v[4] << 12)};
    std::memcpy(p, w, 32);
}

// Canonical: below p with bit 255 clear, that is, equal to what store() writes.
inline Fe load(const std::uint8_t* p, std::size_t stride, Mask& canonical) {
    const Fe a = load_reduced(p, stride);
    std::uint8_t again[32];
    store(again, a);
    u64 diff = 0;
    for (int i = 0; i < 4; i++) diff |= load64(p + 8 * i) ^ load64(again + 8 * i);
    canonical = 0 - (((diff | (0 - diff)) >> 63) ^ 1);
    return a;
}

#include "ristretto_group.hpp"

struct Table {
    Cached odd[8]; // P, 3P, ..., 15P
};

template <bool WithT> inline Point twice(const Point& p) {
    const Fe a = sqr(p.X), b = sqr(p.Y), zz = sqr(p.Z);
    const Fe h = add(a, b), g = sub(b, a);
    const Fe e = sub(sqr(add(p.X, p.Y)), h), f = sub(add(zz, zz), g);
    Point r = {mul(e, f), mul(g, h), mul(f, g), p.T};
    if constexpr (WithT) r.T = mul(e, h);
    return r;
}

inline Cached select(Mask m, const Cached& a, const Cached& b) {
    return {select(m, a.Ym, b.Ym), select(m, a.Yp, b.Yp), select(m, a.Z2, b.Z2), select(m, a.T2d, b.T2d)};
}

// Every entry is read whatever the digit is.
inline Cached pick(const Table& table, const Digits::Digit& digit) {
    const Cached* t = table.odd;
    Cached half[2];
    for (int k = 0; k < 2; k++)
        half[k] = select(digit.bit[1], select(digit.bit[0], t[4 * k + 3], t[4 * k + 2]),
                         select(digit.bit[0], t[4 * k + 1], t[4 * k]));
    const Cached r = select(digit.bit[2], half[1], half[0]);
    return {select(digit.negative, r.Yp, r.Ym), select(digit.negative, r.Ym, r.Yp), r.Z2,
            select(digit.negative, neg(r.T2d), r.T2d)};
}

Point times(const Point& p, const Digits& digits, Table& table) {
    Point multiple = p;
    const Cached two = cache(twice<true>(p));
    table.odd[0] = cache(p);
    for (int j = 1; j < 8; j++) {
        multiple = plus(multiple, two);
        table.odd[j] = cache(multiple);
    }
    // Y - X, Y + X and 2Z give the point (2X : 2Y : 2Z); doubling needs no T.
    const Cached top = pick(table, digits.at[63]);
    Point r = {sub(top.Yp, top.Ym), add(top.Yp, top.Ym), top.Z2, top.T2d};
    for (int i = 62; i >= 0; i--) {
        r = twice<false>(twice<false>(twice<false>(r)));
        r = plus(twice<true>(r), pick(table, digits.at[i]));
    }
    return r;
}

#include "ristretto_batch.hpp"

} // namespace

bool ristretto_add(std::uint8_t* out, const std::uint8_t* a, const std::uint8_t* b, bool minus) {
    Mask first, second;
    const Point p = decode(a, first);
    Point q = decode(b, second);
    if (minus) q.X = neg(q.X), q.T = neg(q.T);
    const Point sum = plus(p, cache(q));
    const Mask elements = m_and(m_and(first, second), m_not(m_or(is_identity(p), is_identity(q))));
    const bool ok = lane(m_and(elements, m_not(is_identity(sum))), 0) != 0;
    if (ok) encode(out, sum);
    else std::memset(out, 0, 32);
    return ok;
}

const RistrettoKernel RISTRETTO_BASELINE = {Kernel::multiply, Kernel::hash};

} // namespace parley
