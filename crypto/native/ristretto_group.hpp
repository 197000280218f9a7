// ristretto255 over any field backend. Included by each backend's translation unit inside its own unnamed
// namespace, so that no inline function compiled for one instruction set can be linked into another.
//
// The backend provides, before the inclusion:
//   LANES; struct Fe (values for LANES elements); Mask with m_and, m_or, m_not
//   mul, sqr, add, sub, neg, select(m, a, b) = m ? a : b, is_neg, is_zero, constant(limbs)
//   load(bytes, stride, &canonical), load_reduced(bytes, stride), store(bytes, fe)
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

// z^(2^250 - 1), and z^11 on the way
static Fe pow_250(const Fe& z, Fe& z11) {
    const Fe z2 = sqr(z);
    const Fe z9 = mul(z, sqr_n(z2, 2));
    z11 = mul(z2, z9);
    const Fe z5 = mul(z9, sqr(z11)); // 2^5 - 1
    const Fe z10 = mul(sqr_n(z5, 5), z5);
    const Fe z20 = mul(sqr_n(z10, 10), z10);
    const Fe z40 = mul(sqr_n(z20, 20), z20);
    const Fe z50 = mul(sqr_n(z40, 10), z10);
    const Fe z100 = mul(sqr_n(z50, 50), z50);
    const Fe z200 = mul(sqr_n(z100, 100), z100);
    return mul(sqr_n(z200, 50), z50);
}

// z^((p-5)/8) = z^(2^252 - 3)
static Fe pow_p58(const Fe& z) {
    Fe unused;
    return mul(sqr_n(pow_250(z, unused), 2), z);
}

// z^(p-2) = z^(2^255 - 21)
static Fe invert(const Fe& z) {
    Fe z11;
    const Fe z250 = pow_250(z, z11);
    return mul(sqr_n(z250, 5), z11);
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

// 64 uniform bytes a lane (RFC 9496 4.3.4: two halves, each with its top bit dropped, mapped and added).
static Point from_uniform(const std::uint8_t* in) {
    return plus(elligator(load_reduced(in, 64)), cache(elligator(load_reduced(in + 32, 64))));
}

// The identity's class: X = 0 or Y = 0 in any representative.
static inline Mask is_identity(const Point& p) { return m_or(is_zero(p.X), is_zero(p.Y)); }

// Encodings of doubled points with one inversion for all of them. The doubled point is (e f : g h : f g : e h),
// and RFC 9496 4.3.2 on it needs the inverse of e f g h alone, no root (Hamburg's observation, as in
// curve25519-dalek's double_and_compress_batch). First add the points, then finish, then encode them backwards.
class DoubledBatch {
  public:
    static constexpr std::size_t GROUPS = 256 / LANES;

    void add_point(const Point& p) {
        Entry& s = entries_[count_++];
        const Fe xx = sqr(p.X), yy = sqr(p.Y), xy = mul(p.X, p.Y), zz = sqr(p.Z);
        const Fe dtt = mul(constant(K_D), sqr(p.T));
        s.e = add(xy, xy), s.f = add(zz, dtt), s.g = add(yy, xx), s.h = sub(zz, dtt);
        s.eg = mul(s.e, s.g), s.fh = mul(s.f, s.h);
        const Fe all = mul(s.eg, s.fh);
        s.zero = is_zero(all);
        s.factor = select(s.zero, constant(K_ONE), all); // a zero would spoil its neighbours' inverses
        s.before = product_;
        product_ = mul(product_, s.factor);
    }
    void finish() { product_ = invert(product_); }
    void restart() { product_ = constant(K_ONE); }
    // The last point that was added and not yet encoded; returns the lanes that are not the identity.
    Mask encode_last(std::uint8_t* out) {
        const Entry& s = entries_[--count_];
        const Fe inverse = mul(product_, s.before);
        product_ = mul(product_, s.factor);
        const Fe z_inv = mul(s.eg, inverse), t_inv = mul(s.fh, inverse), i = constant(K_SQRT_M1);
        const Mask rotate = is_neg(mul(s.eg, z_inv));
        const Fe e = select(rotate, s.g, s.e), h = select(rotate, mul(s.f, i), s.h);
        Fe g = select(rotate, neg(s.e), s.g);
        g = select(is_neg(mul(mul(h, e), z_inv)), neg(g), g);
        const Fe scale = select(rotate, i, constant(K_INVSQRT_A_MINUS_D));
        store(out, abs(mul(sub(h, g), mul(scale, mul(g, t_inv)))));
        return m_not(s.zero);
    }

  private:
    struct Entry {
        Fe e, f, g, h, eg, fh, factor, before;
        Mask zero;
    };
    Entry entries_[GROUPS];
    Fe product_ = constant(K_ONE);
    std::size_t count_ = 0;
};
