// The field modulo 2^255 - 19, eight elements at a time with AVX-512-IFMA, five limbs of 51 bits. Included inside
// the unnamed namespace of a unit compiled for that instruction set, after <immintrin.h>, <utility>, constants.hpp.
//
// The one rule: the multiplier reads 52 bits, so every limb of a factor is below 2^52. Carried limbs are below
// 2^51 + 2^17, so a sum of two needs a carry before it is multiplied. With PARLEY_CHECK_BOUNDS (tests only) every
// factor goes through factor_check, and all columns that are carried through column_check.
//
// Products come out `Wide`: folded to five columns below 2^60.1, not carried. The point formulas add and subtract
// those and carry once. A subtraction stays positive because the product it starts from carries BIAS = 608 p.

#define PARLEY_INLINE inline __attribute__((always_inline))
using u64 = std::uint64_t;
using V = __m512i;
constexpr u64 M51 = (u64(1) << 51) - 1;

struct Eight { // carried
    V v[5];
};
struct Wide { // columns below 2^63
    V v[5];
};

PARLEY_INLINE V splat(u64 x) { return _mm512_set1_epi64(static_cast<long long>(x)); }
PARLEY_INLINE V zero() { return _mm512_setzero_si512(); }
PARLEY_INLINE V lo(V c, V a, V b) { return _mm512_madd52lo_epu64(c, a, b); }
PARLEY_INLINE V hi(V c, V a, V b) { return _mm512_madd52hi_epu64(c, a, b); }
PARLEY_INLINE V plus_v(V a, V b) { return _mm512_add_epi64(a, b); }
PARLEY_INLINE V minus_v(V a, V b) { return _mm512_sub_epi64(a, b); }
PARLEY_INLINE V choose(V m, V a, V b) { return _mm512_ternarylogic_epi64(m, a, b, 0xCA); } // bitwise m ? a : b
PARLEY_INLINE V multiple_of_p(int limb, u64 k) { return splat(k * (limb == 0 ? M51 - 18 : M51)); }

#if defined(PARLEY_CHECK_BOUNDS)
void factor_check(const V limbs[5]);   // the including unit says what happens to a limb of 2^52 or more,
void column_check(const V columns[5]); // and to a column of 2^63 or more, which a negative difference is too
#else
PARLEY_INLINE void factor_check(const V*) {}
PARLEY_INLINE void column_check(const V*) {}
#endif

PARLEY_INLINE Eight eight(const u64 k[5]) { return {{splat(k[0]), splat(k[1]), splat(k[2]), splat(k[3]), splat(k[4])}}; }

PARLEY_INLINE Wide plus(const Wide& a, const Wide& b) {
    Wide r;
    for (int i = 0; i < 5; i++) r.v[i] = plus_v(a.v[i], b.v[i]);
    return r;
}
PARLEY_INLINE Wide minus(const Wide& a, const Wide& b) { // a carries a bias above b
    Wide r;
    for (int i = 0; i < 5; i++) r.v[i] = minus_v(a.v[i], b.v[i]);
    return r;
}

// One parallel pass: limbs below 2^63 come out below 2^51 + 2^17.
PARLEY_INLINE Eight carry(const Wide& a) {
    column_check(a.v);
    const V m = splat(M51);
    Eight r;
    r.v[0] = lo(_mm512_and_si512(a.v[0], m), _mm512_srli_epi64(a.v[4], 51), splat(19));
    for (int i = 1; i < 5; i++) r.v[i] = plus_v(_mm512_and_si512(a.v[i], m), _mm512_srli_epi64(a.v[i - 1], 51));
    return r;
}
// The same of 2a, for columns below 2^62: the doubling rides on the multiplication by two.
PARLEY_INLINE Eight carry_twice(const Wide& a) {
    column_check(plus(a, a).v);
    const V m = splat(M51 >> 1), two = splat(2);
    Eight r;
    r.v[0] = lo(lo(zero(), _mm512_and_si512(a.v[0], m), two), _mm512_srli_epi64(a.v[4], 50), splat(19));
    for (int i = 1; i < 5; i++) r.v[i] = lo(_mm512_srli_epi64(a.v[i - 1], 50), _mm512_and_si512(a.v[i], m), two);
    return r;
}

// Column K of a product and column K + 5, which counts 19 times. With s for the upper column, what is summed is
//   s + 2 (9 s + sum hi52) + sum lo52,
// because a 52-bit split of a 51-bit radix is off by one bit and 19 = 1 + 2 * 9. Fifteen steps a column, and the
// columns take turns, so that neighbouring instructions do not wait for one another.
template <int K, int T> PARLEY_INLINE void product_step(V& s, V& q, const V* a, const V* b) {
    constexpr int low = T - (5 - K) - 1, mid = low - (4 - K) - 2, last = mid - K - 2;
    if constexpr (low < -1) s = hi(s, a[K + T], b[4 - T]);
    else if constexpr (low == -1) s = plus_v(s, s);
    else if constexpr (mid < -2) s = lo(s, a[K + 1 + low], b[4 - low]);
    else if constexpr (mid == -2) q = _mm512_slli_epi64(s, 3);
    else if constexpr (mid == -1) q = plus_v(q, s);
    else if constexpr (mid < K) q = hi(q, a[mid], b[K - 1 - mid]);
    else if constexpr (mid == K) q = plus_v(q, q);
    else if constexpr (mid == K + 1) q = plus_v(q, s);
    else q = lo(q, a[last], b[K - last]);
}
template <int... N>
PARLEY_INLINE void product_steps(V* s, V* q, const V* a, const V* b, std::integer_sequence<int, N...>) {
    (product_step<N % 5, N / 5>(s[N % 5], q[N % 5], a, b), ...);
}

// BIAS: 608 p on top, at no cost, as the first value of the upper columns (608 = 19 * 2 * 16).
template <bool BIAS = false> PARLEY_INLINE Wide mul_wide(const Eight& a, const Eight& b) {
    factor_check(a.v), factor_check(b.v);
    V s[5];
    Wide r;
    for (int k = 0; k < 5; k++) s[k] = BIAS ? multiple_of_p(k, 16) : zero();
    product_steps(s, r.v, a.v, b.v, std::make_integer_sequence<int, 75>{});
    return r;
}

// As above with every cross product counted twice: s = diagonal lo + 2 (cross lo + diagonal hi + 2 cross hi).
template <bool BIAS = false> PARLEY_INLINE Wide sqr_wide(const Eight& x) {
    factor_check(x.v);
    const V a0 = x.v[0], a1 = x.v[1], a2 = x.v[2], a3 = x.v[3], a4 = x.v[4];
    V z[5];
    for (int k = 0; k < 5; k++) z[k] = BIAS ? multiple_of_p(k, k == 4 ? 16 : 8) : zero();
    V s0 = hi(z[0], a0, a4), s1 = hi(z[1], a1, a4), s2 = hi(z[2], a2, a4), s3 = hi(z[3], a3, a4), s4 = hi(z[4], a4, a4);
    s0 = hi(s0, a1, a3), s1 = hi(s1, a2, a3), s2 = plus_v(s2, s2), s3 = _mm512_slli_epi64(s3, 2), s4 = plus_v(s4, s4);
    V q4 = _mm512_slli_epi64(s4, 2);
    s0 = plus_v(s0, s0), s1 = plus_v(s1, s1), s2 = hi(s2, a3, a3), s3 = lo(s3, a4, a4), q4 = hi(q4, a0, a3);
    s0 = hi(s0, a2, a2), s1 = lo(s1, a2, a4), s2 = lo(s2, a3, a4);
    V q3 = _mm512_slli_epi64(s3, 2);
    q4 = hi(q4, a1, a2);
    s0 = lo(s0, a1, a4), s1 = plus_v(s1, s1), s2 = plus_v(s2, s2), q3 = hi(q3, a0, a2), q4 = plus_v(q4, q4);
    V q2 = _mm512_slli_epi64(s2, 2);
    s0 = lo(s0, a2, a3), s1 = lo(s1, a3, a3), q2 = hi(q2, a0, a1), q3 = plus_v(q3, q3), q4 = plus_v(q4, s4);
    V q1 = _mm512_slli_epi64(s1, 3);
    s0 = plus_v(s0, s0), q1 = plus_v(q1, s1), q2 = plus_v(q2, q2), q3 = plus_v(q3, s3), q4 = lo(q4, a0, a4);
    V q0 = _mm512_slli_epi64(s0, 3);
    q1 = hi(q1, a0, a0), q2 = plus_v(q2, s2), q3 = hi(q3, a1, a1), q4 = lo(q4, a1, a3), q0 = plus_v(q0, s0);
    q1 = lo(q1, a0, a1), q2 = lo(q2, a0, a2), q3 = lo(q3, a0, a3), q4 = plus_v(q4, q4), q0 = plus_v(q0, q0);
    q1 = plus_v(q1, q1), q2 = plus_v(q2, q2), q3 = lo(q3, a1, a2), q4 = plus_v(q4, s4), q0 = plus_v(q0, s0);
    q1 = plus_v(q1, s1), q2 = plus_v(q2, s2), q3 = plus_v(q3, q3), q4 = lo(q4, a2, a2), q0 = lo(q0, a0, a0);
    q2 = lo(q2, a1, a1), q3 = plus_v(q3, s3);
    return {{q0, q1, q2, q3, q4}};
}

PARLEY_INLINE Eight mul8(const Eight& a, const Eight& b) { return carry(mul_wide(a, b)); }
PARLEY_INLINE Eight sqr8(const Eight& a) { return carry(sqr_wide(a)); }

PARLEY_INLINE Eight add8(const Eight& a, const Eight& b) {
    Wide r;
    for (int i = 0; i < 5; i++) r.v[i] = plus_v(a.v[i], b.v[i]);
    return carry(r);
}
PARLEY_INLINE Eight sub8(const Eight& a, const Eight& b) { // a + 4p - b
    Wide r;
    for (int i = 0; i < 5; i++) r.v[i] = minus_v(plus_v(a.v[i], multiple_of_p(i, 4)), b.v[i]);
    return carry(r);
}
PARLEY_INLINE Eight choose8(V m, const Eight& a, const Eight& b) {
    Eight r;
    for (int i = 0; i < 5; i++) r.v[i] = choose(m, a.v[i], b.v[i]);
    return r;
}

// The unique limbs in [0, p).
PARLEY_INLINE Eight freeze8(const Eight& a) {
    const V m = splat(M51);
    Wide w;
    for (int i = 0; i < 5; i++) w.v[i] = a.v[i];
    Eight r = carry(w);
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
PARLEY_INLINE __mmask8 is_neg8(const Eight& a) { return _mm512_test_epi64_mask(freeze8(a).v[0], splat(1)); }
PARLEY_INLINE __mmask8 is_zero8(const Eight& a) {
    const Eight f = freeze8(a);
    V o = f.v[0];
    for (int i = 1; i < 5; i++) o = _mm512_or_si512(o, f.v[i]);
    return _mm512_testn_epi64_mask(o, o);
}

// Rows of bytes, `stride` apart, one a lane.
PARLEY_INLINE V rows_at(long long stride) {
    return _mm512_set_epi64(7 * stride, 6 * stride, 5 * stride, 4 * stride, 3 * stride, 2 * stride, stride, 0);
}
PARLEY_INLINE void words8(V w[4], const std::uint8_t* p, std::size_t stride) {
    const V at = rows_at(static_cast<long long>(stride));
    for (int i = 0; i < 4; i++) w[i] = _mm512_i64gather_epi64(at, reinterpret_cast<const long long*>(p + 8 * i), 1);
}
PARLEY_INLINE Eight unpack8(const V w[4]) { // bit 255 is dropped
    const V m = splat(M51);
    Eight r;
    r.v[0] = _mm512_and_si512(w[0], m);
    r.v[1] = _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64(w[0], 51), _mm512_slli_epi64(w[1], 13)), m);
    r.v[2] = _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64(w[1], 38), _mm512_slli_epi64(w[2], 26)), m);
    r.v[3] = _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64(w[2], 25), _mm512_slli_epi64(w[3], 39)), m);
    r.v[4] = _mm512_and_si512(_mm512_srli_epi64(w[3], 12), m);
    return r;
}
PARLEY_INLINE void pack8(V w[4], const Eight& a) {
    const Eight f = freeze8(a);
    w[0] = _mm512_or_si512(f.v[0], _mm512_slli_epi64(f.v[1], 51));
    w[1] = _mm512_or_si512(_mm512_srli_epi64(f.v[1], 13), _mm512_slli_epi64(f.v[2], 38));
    w[2] = _mm512_or_si512(_mm512_srli_epi64(f.v[2], 26), _mm512_slli_epi64(f.v[3], 25));
    w[3] = _mm512_or_si512(_mm512_srli_epi64(f.v[3], 39), _mm512_slli_epi64(f.v[4], 12));
}
