// ristretto255 over any field backend. Included by each backend's translation unit inside its own unnamed
// namespace, so that no inline function compiled for one instruction set can be linked into another.
//
// The backend provides, before the inclusion:
//   LANES; struct Fe (values for LANES elements); Mask with m_and, m_or, m_not, m_false
//   mul, sqr, add, sub, neg, select(m, a, b) = m ? a : b, is_neg, is_zero, constant(limbs)
//   accumulate(acc, entry, word): acc |= entry & word (word is 0 or all ones, the same in every lane)
//   load(bytes, stride, &canonical), load_reduced(bytes, stride), store(bytes, fe), bits(mask)
//
// Formulas: RFC 9496 section 4.3; extended coordinates with a = -1 (Hisil, Wong, Carter, Dawson 2008).

struct Point {
    Fe X, Y, Z, T;
};
struct Cached { // Y-X, Y+X, 2Z, 2dT
    Fe Ym, Yp, Z2, T2d;
};

static inline Fe sqr_n(Fe x, int n) {
    for (int i = 0; i < n; i++) x = sqr(x);
    return x;
}

// x^((p-5)/8) = x^(2^252 - 3)
static Fe pow_p58(const Fe& z) {
    const Fe z2 = sqr(z);
    const Fe z9 = mul(z, sqr_n(z2, 2));
    const Fe z11 = mul(z2, z9);
    const Fe z5 = mul(z9, sqr(z11)); // 2^5 - 1
    const Fe z10 = mul(sqr_n(z5, 5), z5);
    const Fe z20 = mul(sqr_n(z10, 10), z10);
    const Fe z40 = mul(sqr_n(z20, 20), z20);
    const Fe z50 = mul(sqr_n(z40, 10), z10);
    const Fe z100 = mul(sqr_n(z50, 50), z50);
    const Fe z200 = mul(sqr_n(z100, 100), z100);
    const Fe z250 = mul(sqr_n(z200, 50), z50);
    return mul(sqr_n(z250, 2), z);
}

static inline Fe abs(const Fe& a) { return select(is_neg(a), neg(a), a); }

// The nonnegative square root of u/v, or of i*u/v where u/v is not a square; the mask says which.
static Fe sqrt_ratio(const Fe& u, const Fe& v, Mask& was_square) {
    const Fe i = constant(K_SQRT_M1);
    const Fe v3 = mul(sqr(v), v);
    const Fe v7 = mul(sqr(v3), v);
    Fe r = mul(mul(u, v3), pow_p58(mul(u, v7)));
    const Fe check = mul(v, sqr(r));
    const Mask correct = is_zero(sub(check, u));
    const Mask flipped = is_zero(add(check, u));
    const Mask flipped_i = is_zero(add(check, mul(u, i)));
    r = select(m_or(flipped, flipped_i), mul(r, i), r);
    was_square = m_or(correct, flipped);
    return abs(r);
}

// LANES encodings of 32 bytes; the mask has the lanes that are canonical encodings.
static Point decode(const std::uint8_t* in, Mask& ok) {
    Mask canonical;
    const Fe one = constant(K_ONE);
    const Fe s = load(in, 32, canonical);
    const Fe ss = sqr(s);
    const Fe u1 = sub(one, ss);
    const Fe u2 = add(one, ss);
    const Fe u2s = sqr(u2);
    const Fe v = sub(neg(mul(constant(K_D), sqr(u1))), u2s);
    Mask square;
    const Fe inv = sqrt_ratio(one, mul(v, u2s), square);
    const Fe den_x = mul(inv, u2);
    const Fe den_y = mul(mul(inv, den_x), v);
    Point p;
    p.X = abs(mul(add(s, s), den_x));
    p.Y = mul(u1, den_y);
    p.Z = one;
    p.T = mul(p.X, p.Y);
    const Mask bad = m_or(m_or(is_neg(s), is_neg(p.T)), is_zero(p.Y));
    ok = m_and(m_and(canonical, square), m_not(bad));
    return p;
}

static void encode(std::uint8_t* out, const Point& p) {
    const Fe i = constant(K_SQRT_M1);
    const Fe u1 = mul(add(p.Z, p.Y), sub(p.Z, p.Y));
    const Fe u2 = mul(p.X, p.Y);
    Mask ignored;
    const Fe inv = sqrt_ratio(constant(K_ONE), mul(u1, sqr(u2)), ignored);
    const Fe den1 = mul(inv, u1);
    const Fe den2 = mul(inv, u2);
    const Fe z_inv = mul(mul(den1, den2), p.T);
    const Mask rotate = is_neg(mul(p.T, z_inv));
    const Fe x = select(rotate, mul(p.Y, i), p.X);
    Fe y = select(rotate, mul(p.X, i), p.Y);
    const Fe den_inv = select(rotate, mul(den1, constant(K_INVSQRT_A_MINUS_D)), den2);
    y = select(is_neg(mul(x, z_inv)), neg(y), y);
    store(out, abs(mul(den_inv, sub(p.Z, y))));
}

// The map of RFC 9496 4.3.4 from a field element to a point.
static Point elligator(const Fe& t) {
    const Fe one = constant(K_ONE), d = constant(K_D);
    const Fe r = mul(constant(K_SQRT_M1), sqr(t));
    const Fe u = mul(add(r, one), constant(K_ONE_MINUS_D_SQ));
    const Fe v = mul(sub(neg(one), mul(r, d)), add(r, d));
    Mask square;
    Fe s = sqrt_ratio(u, v, square);
    s = select(square, s, neg(abs(mul(s, t))));
    const Fe c = select(square, neg(one), r);
    const Fe n = sub(mul(mul(c, sub(r, one)), constant(K_D_MINUS_ONE_SQ)), v);
    const Fe sv = mul(s, v);
    const Fe w0 = add(sv, sv);
    const Fe w1 = mul(n, constant(K_SQRT_AD_MINUS_ONE));
    const Fe ss = sqr(s);
    const Fe w2 = sub(one, ss), w3 = add(one, ss);
    return {mul(w0, w3), mul(w2, w1), mul(w1, w3), mul(w0, w2)};
}

static inline Cached cache(const Point& p) {
    return {sub(p.Y, p.X), add(p.Y, p.X), add(p.Z, p.Z), mul(p.T, constant(K_D2))};
}

static inline Point plus(const Point& p, const Cached& q) {
    const Fe a = mul(sub(p.Y, p.X), q.Ym), b = mul(add(p.Y, p.X), q.Yp);
    const Fe c = mul(p.T, q.T2d), d = mul(p.Z, q.Z2);
    const Fe e = sub(b, a), f = sub(d, c), g = add(d, c), h = add(b, a);
    return {mul(e, f), mul(g, h), mul(f, g), mul(e, h)};
}

template <bool WithT> static inline Point twice(const Point& p) {
    const Fe a = sqr(p.X), b = sqr(p.Y), zz = sqr(p.Z);
    const Fe h = add(a, b), g = sub(b, a);
    const Fe e = sub(sqr(add(p.X, p.Y)), h), f = sub(add(zz, zz), g);
    Point r;
    r.X = mul(e, f);
    r.Y = mul(g, h);
    r.Z = mul(f, g);
    if constexpr (WithT) r.T = mul(e, h);
    else r.T = p.T;
    return r;
}

// 64 uniform bytes a lane (RFC 9496 4.3.4: two halves, each with its top bit dropped, mapped and added).
static Point from_uniform(const std::uint8_t* in) {
    return plus(elligator(load_reduced(in, 64)), cache(elligator(load_reduced(in + 32, 64))));
}

// Every entry is read whatever the digit is; the digit is secret, the loop bounds are not.
static inline Cached pick(const Cached table[8], int digit) {
    const int sign = digit >> 31;
    const std::uint64_t index = static_cast<std::uint64_t>((digit ^ sign) - sign);
    const std::uint64_t is_zero_word = (index - 1) >> 63; // 1 when index is 0
    Cached r;
    r.Ym = r.Yp = constant_word(is_zero_word);
    r.Z2 = constant_word(2 * is_zero_word);
    r.T2d = constant_word(0);
    for (int j = 0; j < 8; j++) {
        const std::uint64_t word = 0 - (((index ^ static_cast<std::uint64_t>(j + 1)) - 1) >> 63);
        accumulate(r.Ym, table[j].Ym, word);
        accumulate(r.Yp, table[j].Yp, word);
        accumulate(r.Z2, table[j].Z2, word);
        accumulate(r.T2d, table[j].T2d, word);
    }
    const Mask negative = all_lanes(static_cast<std::uint64_t>(sign & 1));
    const Fe minus = select(negative, r.Yp, r.Ym);
    r.Yp = select(negative, r.Ym, r.Yp);
    r.Ym = minus;
    r.T2d = select(negative, neg(r.T2d), r.T2d);
    return r;
}

// 64 signed digits of radix 16, least significant first, of a scalar below the group's order.
static Point times(const Point& p, const std::int8_t digits[64], Cached table[8]) {
    Point multiple = p;
    table[0] = cache(p);
    for (int j = 1; j < 8; j++) {
        multiple = plus(multiple, table[0]);
        table[j] = cache(multiple);
    }
    Point r = {constant_word(0), constant_word(1), constant_word(1), constant_word(0)};
    r = plus(r, pick(table, digits[63]));
    for (int i = 62; i >= 0; i--) {
        r = twice<false>(twice<false>(twice<false>(r)));
        r = plus(twice<true>(r), pick(table, digits[i]));
    }
    return r;
}

// The identity's class: X = 0 or Y = 0 in any representative.
static inline Mask is_identity(const Point& p) { return m_or(is_zero(p.X), is_zero(p.Y)); }

struct Kernel {
    static void multiply(std::uint8_t* out, const std::uint8_t* in, std::uint8_t* ok, std::size_t n,
                         const std::int8_t* digits) {
        run(out, ok, n, digits, [&](std::size_t at, std::size_t k, std::uint8_t* buf, Mask& good) {
            std::memcpy(buf, in + 32 * at, 32 * k);
            // A short group is filled with the encoding of the generator.
            for (std::size_t j = k; j < LANES; j++) std::memcpy(buf + 32 * j, GENERATOR, 32);
            Point p = decode(buf, good);
            good = m_and(good, m_not(is_identity(p)));
            return p;
        });
    }
    static void hash(std::uint8_t* out, const std::uint8_t* uniform, std::uint8_t* ok, std::size_t n,
                     const std::int8_t* digits) {
        run(out, ok, n, digits, [&](std::size_t at, std::size_t k, std::uint8_t* buf, Mask& good) {
            std::memset(buf, 1, 64 * LANES);
            std::memcpy(buf, uniform + 64 * at, 64 * k);
            Point p = from_uniform(buf);
            good = m_not(is_identity(p));
            return p;
        });
    }

private:
    template <class Source>
    static void run(std::uint8_t* out, std::uint8_t* ok, std::size_t n, const std::int8_t* digits, Source source) {
        alignas(64) Cached table[8];
        alignas(64) std::uint8_t in[64 * LANES], res[32 * LANES];
        for (std::size_t at = 0; at < n; at += LANES) {
            const std::size_t k = n - at < LANES ? n - at : LANES;
            Mask good;
            Point p = source(at, k, in, good);
            if (digits != nullptr) {
                p = times(p, digits, table);
                good = m_and(good, m_not(is_identity(p)));
            }
            if (out != nullptr) encode(res, p);
            const std::uint8_t lanes = lane_bits(good);
            for (std::size_t j = 0; j < k; j++) {
                ok[at + j] = (lanes >> j) & 1;
                if (out == nullptr) continue;
                if (ok[at + j]) std::memcpy(out + 32 * (at + j), res + 32 * j, 32);
                else std::memset(out + 32 * (at + j), 0, 32);
            }
        }
        wipe(table, sizeof table);
        wipe(in, sizeof in);
    }
    static void wipe(void* p, std::size_t n) {
        std::memset(p, 0, n);
        asm volatile("" : : "r"(p) : "memory");
    }
};
