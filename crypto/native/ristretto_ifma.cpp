// Eight elements at a time with AVX-512-IFMA, five limbs of 51 bits. Same formulas as the portable backend, so
// the same bytes.
// Bounds: reduced limbs are below 2^51 + 2^18. Every input of a product must be below 2^52, because the
// multiplier reads 52 bits: add and sub therefore carry, always.
#include <immintrin.h>

#include <cstring>

#include "constants.hpp"
#include "ristretto.hpp"

namespace parley {
namespace {

using u64 = std::uint64_t;
using V = __m512i;

constexpr std::size_t LANES = 8;
constexpr u64 M51 = (u64(1) << 51) - 1;
#define PARLEY_INLINE inline __attribute__((always_inline))

struct Fe {
    V v[5];
};
using Mask = __mmask8;

PARLEY_INLINE Mask m_and(Mask a, Mask b) { return a & b; }
PARLEY_INLINE Mask m_or(Mask a, Mask b) { return a | b; }
PARLEY_INLINE Mask m_not(Mask a) { return static_cast<Mask>(~a); }
PARLEY_INLINE Mask all_lanes(u64 bit) { return static_cast<Mask>(0 - bit); }
PARLEY_INLINE std::uint8_t lane_bits(Mask a) { return a; }

PARLEY_INLINE V splat(u64 x) { return _mm512_set1_epi64(static_cast<long long>(x)); }
PARLEY_INLINE V lo(V c, V a, V b) { return _mm512_madd52lo_epu64(c, a, b); }
PARLEY_INLINE V hi(V c, V a, V b) { return _mm512_madd52hi_epu64(c, a, b); }
PARLEY_INLINE V plus_v(V a, V b) { return _mm512_add_epi64(a, b); }
PARLEY_INLINE V times19(V x) {
    return plus_v(plus_v(x, _mm512_slli_epi64(x, 1)), _mm512_slli_epi64(x, 4));
}

PARLEY_INLINE Fe constant(const u64 k[5]) {
    return {{splat(k[0]), splat(k[1]), splat(k[2]), splat(k[3]), splat(k[4])}};
}
PARLEY_INLINE Fe constant_word(u64 k) {
    const V z = _mm512_setzero_si512();
    return {{splat(k), z, z, z, z}};
}

// One parallel pass: limbs below 2^63 come out below 2^51 + 2^17.
PARLEY_INLINE Fe carry(const Fe& a) {
    const V m = splat(M51);
    Fe r;
    r.v[0] = lo(_mm512_and_si512(a.v[0], m), _mm512_srli_epi64(a.v[4], 51), splat(19));
    for (int i = 1; i < 5; i++)
        r.v[i] = plus_v(_mm512_and_si512(a.v[i], m), _mm512_srli_epi64(a.v[i - 1], 51));
    return r;
}

// Column k of the product is sum lo52 + 2 * sum hi52, since a 52-bit split of a 51-bit radix is off by one bit.
PARLEY_INLINE Fe mul(const Fe& a, const Fe& b) {
    const V z = _mm512_setzero_si512();
    V h[10], l[10];
    for (int k = 0; k < 10; k++) h[k] = l[k] = z;
#pragma GCC unroll 5
    for (int i = 0; i < 5; i++) {
#pragma GCC unroll 5
        for (int j = 0; j < 5; j++) {
            h[i + j + 1] = hi(h[i + j + 1], a.v[i], b.v[j]);
            l[i + j] = lo(l[i + j], a.v[i], b.v[j]);
        }
    }
    for (int k = 1; k < 10; k++) l[k] = plus_v(l[k], plus_v(h[k], h[k]));
    Fe r;
    for (int k = 0; k < 5; k++) r.v[k] = plus_v(l[k], times19(l[k + 5]));
    return carry(r);
}

PARLEY_INLINE Fe sqr(const Fe& a) {
    const V z = _mm512_setzero_si512();
    V h[10], l[10], c[10]; // c: cross products' low halves, counted twice
    for (int k = 0; k < 10; k++) h[k] = l[k] = c[k] = z;
#pragma GCC unroll 5
    for (int i = 0; i < 5; i++) {
#pragma GCC unroll 5
        for (int j = i + 1; j < 5; j++) {
            h[i + j + 1] = hi(h[i + j + 1], a.v[i], a.v[j]);
            c[i + j] = lo(c[i + j], a.v[i], a.v[j]);
        }
    }
    for (int k = 0; k < 10; k++) h[k] = plus_v(h[k], h[k]);
#pragma GCC unroll 5
    for (int i = 0; i < 5; i++) {
        h[2 * i + 1] = hi(h[2 * i + 1], a.v[i], a.v[i]);
        l[2 * i] = lo(l[2 * i], a.v[i], a.v[i]);
    }
    for (int k = 0; k < 10; k++) {
        const V s = plus_v(h[k], c[k]);
        l[k] = plus_v(l[k], plus_v(s, s));
    }
    Fe r;
    for (int k = 0; k < 5; k++) r.v[k] = plus_v(l[k], times19(l[k + 5]));
    return carry(r);
}

PARLEY_INLINE Fe add(const Fe& a, const Fe& b) {
    Fe r;
    for (int i = 0; i < 5; i++) r.v[i] = plus_v(a.v[i], b.v[i]);
    return carry(r);
}
PARLEY_INLINE Fe sub(const Fe& a, const Fe& b) { // a + 4p - b
    Fe r;
    for (int i = 0; i < 5; i++)
        r.v[i] = _mm512_sub_epi64(plus_v(a.v[i], splat(i == 0 ? 4 * (M51 - 18) : 4 * M51)), b.v[i]);
    return carry(r);
}
PARLEY_INLINE Fe neg(const Fe& a) { return sub(constant_word(0), a); }

PARLEY_INLINE Fe select(Mask m, const Fe& a, const Fe& b) {
    Fe r;
    for (int i = 0; i < 5; i++) r.v[i] = _mm512_mask_mov_epi64(b.v[i], m, a.v[i]);
    return r;
}
PARLEY_INLINE void accumulate(Fe& acc, const Fe& entry, u64 word) {
    const V m = splat(word);
    for (int i = 0; i < 5; i++) acc.v[i] = _mm512_ternarylogic_epi64(acc.v[i], entry.v[i], m, 0xF8);
}

PARLEY_INLINE Fe freeze(const Fe& a) {
    const V m = splat(M51);
    Fe r = carry(carry(a));
    V* x = r.v;
    V q = _mm512_srli_epi64(plus_v(x[0], splat(19)), 51);
    for (int i = 1; i < 5; i++) q = _mm512_srli_epi64(plus_v(x[i], q), 51);
    x[0] = lo(x[0], q, splat(19));
    for (int i = 0; i < 4; i++) {
        x[i + 1] = plus_v(x[i + 1], _mm512_srli_epi64(x[i], 51));
        x[i] = _mm512_and_si512(x[i], m);
    }
    x[4] = _mm512_and_si512(x[4], m);
    return r;
}
PARLEY_INLINE Mask is_neg(const Fe& a) { return _mm512_test_epi64_mask(freeze(a).v[0], splat(1)); }
PARLEY_INLINE Mask is_zero(const Fe& a) {
    const Fe f = freeze(a);
    V o = f.v[0];
    for (int i = 1; i < 5; i++) o = _mm512_or_si512(o, f.v[i]);
    return _mm512_testn_epi64_mask(o, o);
}

PARLEY_INLINE V lanes_at(std::size_t stride) {
    alignas(64) u64 at[8];
    for (u64 j = 0; j < 8; j++) at[j] = j * stride;
    return _mm512_load_si512(at);
}
PARLEY_INLINE void words(V w[4], const std::uint8_t* p, std::size_t stride) {
    const V at = lanes_at(stride);
    for (int i = 0; i < 4; i++) w[i] = _mm512_i64gather_epi64(at, reinterpret_cast<const long long*>(p + 8 * i), 1);
}
PARLEY_INLINE Fe unpack(const V w[4]) {
    const V m = splat(M51);
    Fe r;
    r.v[0] = _mm512_and_si512(w[0], m);
    r.v[1] = _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64(w[0], 51), _mm512_slli_epi64(w[1], 13)), m);
    r.v[2] = _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64(w[1], 38), _mm512_slli_epi64(w[2], 26)), m);
    r.v[3] = _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64(w[2], 25), _mm512_slli_epi64(w[3], 39)), m);
    r.v[4] = _mm512_and_si512(_mm512_srli_epi64(w[3], 12), m);
    return r;
}
PARLEY_INLINE void packed(V w[4], const Fe& a) {
    const Fe f = freeze(a);
    w[0] = _mm512_or_si512(f.v[0], _mm512_slli_epi64(f.v[1], 51));
    w[1] = _mm512_or_si512(_mm512_srli_epi64(f.v[1], 13), _mm512_slli_epi64(f.v[2], 38));
    w[2] = _mm512_or_si512(_mm512_srli_epi64(f.v[2], 26), _mm512_slli_epi64(f.v[3], 25));
    w[3] = _mm512_or_si512(_mm512_srli_epi64(f.v[3], 39), _mm512_slli_epi64(f.v[4], 12));
}
PARLEY_INLINE Fe load_reduced(const std::uint8_t* p, std::size_t stride) {
    V w[4];
    words(w, p, stride);
    return unpack(w);
}
PARLEY_INLINE Fe load(const std::uint8_t* p, std::size_t stride, Mask& canonical) {
    V w[4], again[4];
    words(w, p, stride);
    const Fe a = unpack(w);
    packed(again, a);
    V diff = _mm512_setzero_si512();
    for (int i = 0; i < 4; i++) diff = _mm512_or_si512(diff, _mm512_xor_si512(w[i], again[i]));
    canonical = _mm512_testn_epi64_mask(diff, diff);
    return a;
}
PARLEY_INLINE void store(std::uint8_t* p, const Fe& a) {
    V w[4];
    packed(w, a);
    const V at = lanes_at(32);
    for (int i = 0; i < 4; i++) _mm512_i64scatter_epi64(reinterpret_cast<long long*>(p + 8 * i), at, w[i], 1);
}

#include "ristretto_group.hpp"

} // namespace

const RistrettoKernel RISTRETTO_IFMA = {Kernel::multiply, Kernel::hash};

} // namespace parley
