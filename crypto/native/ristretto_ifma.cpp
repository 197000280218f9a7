// Sixteen elements at a time with AVX-512-IFMA: two vectors of eight, whose chains of squarings fill each other's
// waits. The multiplication by the scalar has independent products enough and runs eight at a time. Same bytes as
// the portable backend.
#include <immintrin.h>

#include <cstring>
#include <utility>

#include "constants.hpp"
#include "ristretto.hpp"

namespace parley {
namespace {

#include "field_ifma.hpp"

constexpr std::size_t LANES = 16;

struct Fe {
    Eight g[2];
};
struct Mask {
    __mmask8 g[2];
};

PARLEY_INLINE Mask m_and(Mask a, Mask b) {
    return {{static_cast<__mmask8>(a.g[0] & b.g[0]), static_cast<__mmask8>(a.g[1] & b.g[1])}};
}
PARLEY_INLINE Mask m_or(Mask a, Mask b) {
    return {{static_cast<__mmask8>(a.g[0] | b.g[0]), static_cast<__mmask8>(a.g[1] | b.g[1])}};
}
PARLEY_INLINE Mask m_not(Mask a) { return {{static_cast<__mmask8>(~a.g[0]), static_cast<__mmask8>(~a.g[1])}}; }
PARLEY_INLINE std::uint8_t lane(Mask a, std::size_t j) { return (a.g[j / 8] >> (j % 8)) & 1; }

PARLEY_INLINE Fe constant(const u64 k[5]) { return {{eight(k), eight(k)}}; }
__attribute__((noinline)) Fe mul(const Fe& a, const Fe& b) {
    return {{mul8(a.g[0], b.g[0]), mul8(a.g[1], b.g[1])}};
}
PARLEY_INLINE Fe sqr(const Fe& a) { return {{sqr8(a.g[0]), sqr8(a.g[1])}}; }
PARLEY_INLINE Fe add(const Fe& a, const Fe& b) { return {{add8(a.g[0], b.g[0]), add8(a.g[1], b.g[1])}}; }
PARLEY_INLINE Fe sub(const Fe& a, const Fe& b) { return {{sub8(a.g[0], b.g[0]), sub8(a.g[1], b.g[1])}}; }
PARLEY_INLINE Fe neg(const Fe& a) {
    const Eight none = {{zero(), zero(), zero(), zero(), zero()}};
    return {{sub8(none, a.g[0]), sub8(none, a.g[1])}};
}
PARLEY_INLINE Fe select(Mask m, const Fe& a, const Fe& b) {
    Fe r;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < 5; i++) r.g[k].v[i] = _mm512_mask_mov_epi64(b.g[k].v[i], m.g[k], a.g[k].v[i]);
    return r;
}
PARLEY_INLINE Mask is_neg(const Fe& a) { return {{is_neg8(a.g[0]), is_neg8(a.g[1])}}; }
PARLEY_INLINE Mask is_zero(const Fe& a) { return {{is_zero8(a.g[0]), is_zero8(a.g[1])}}; }

PARLEY_INLINE Fe load_reduced(const std::uint8_t* p, std::size_t stride) {
    Fe r;
    for (int k = 0; k < 2; k++) {
        V w[4];
        words8(w, p + 8 * k * stride, stride);
        r.g[k] = unpack8(w);
    }
    return r;
}
// Canonical: below p with bit 255 clear, that is, equal to what store() writes.
PARLEY_INLINE Fe load(const std::uint8_t* p, std::size_t stride, Mask& canonical) {
    Fe r;
    for (int k = 0; k < 2; k++) {
        V w[4], again[4];
        words8(w, p + 8 * k * stride, stride);
        r.g[k] = unpack8(w);
        pack8(again, r.g[k]);
        V diff = zero();
        for (int i = 0; i < 4; i++) diff = _mm512_or_si512(diff, _mm512_xor_si512(w[i], again[i]));
        canonical.g[k] = _mm512_testn_epi64_mask(diff, diff);
    }
    return r;
}
PARLEY_INLINE void store(std::uint8_t* p, const Fe& a) {
    for (int k = 0; k < 2; k++) {
        V w[4];
        pack8(w, a.g[k]);
        for (int i = 0; i < 4; i++)
            _mm512_i64scatter_epi64(reinterpret_cast<long long*>(p + 256 * k + 8 * i), rows_at(32), w[i], 1);
    }
}

#include "ristretto_group.hpp"
#include "ristretto_times_ifma.hpp"

Point times(const Point& p, const Digits& digits, Table& table) {
    Point r;
    for (int k = 0; k < 2; k++)
        times8({r.X.g[k], r.Y.g[k], r.Z.g[k], r.T.g[k]}, {p.X.g[k], p.Y.g[k], p.Z.g[k], p.T.g[k]}, digits, table);
    return r;
}

#include "ristretto_batch.hpp"

} // namespace

const RistrettoKernel RISTRETTO_IFMA = {Kernel::multiply, Kernel::hash};

} // namespace parley
