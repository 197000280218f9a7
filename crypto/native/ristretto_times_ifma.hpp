// Eight points times one secret scalar, included after field_ifma.hpp. Extended coordinates with a = -1 (Hisil,
// Wong, Carter, Dawson 2008); sums are taken on uncarried products.
//
// What the scalar's digits touch are vector registers alone: masks loaded from memory choose among table entries
// that are all read, and no general register, branch or address ever depends on them.

struct Extended8 { // views: the caller's coordinates
    Eight &X, &Y, &Z, &T;
};
struct Given8 {
    const Eight &X, &Y, &Z, &T;
};
struct Projective8 {
    Eight X, Y, Z;
};
struct Sums8 { // what an addition takes
    Eight Ym, Yp, Z, T; // Y-X, Y+X, Z, T
};
struct Cached8 {
    Eight c[4]; // Y-X, Y+X, 2Z, 2dT
};
struct Table {
    Cached8 odd[8]; // P, 3P, ..., 15P
    Cached8 picked;
};
struct Completed8 { // X = EF, Y = GH, Z = FG, T = EH
    Eight E, F, G, H;
};
struct DigitMasks {
    V bit[3], negative;
};

PARLEY_INLINE DigitMasks masks(const Digits::Digit& d) {
    return {{splat(d.bit[0]), splat(d.bit[1]), splat(d.bit[2])}, splat(d.negative)};
}

// One coordinate of the entry that the digit names: a tree of choices over all eight.
PARLEY_INLINE void pick8(Table& table, int coordinate, const DigitMasks& m) {
    const Cached8* t = table.odd;
#pragma GCC unroll 5
    for (int i = 0; i < 5; i++) {
        auto at = [&](int entry) { return t[entry].c[coordinate].v[i]; };
        const V a = choose(m.bit[0], at(1), at(0)), b = choose(m.bit[0], at(3), at(2));
        const V c = choose(m.bit[0], at(5), at(4)), d = choose(m.bit[0], at(7), at(6));
        table.picked.c[coordinate].v[i] = choose(m.bit[2], choose(m.bit[1], d, c), choose(m.bit[1], b, a));
    }
}

// E = 2XY, H = X^2 + Y^2, G = Y^2 - X^2, F = 2Z^2 - G. Bounds in units of 2^51: products below 534, BIAS 608, so
// G is between 74 and 1142, F between 74 and 2210, all below 2^63.
PARLEY_INLINE Completed8 doubled(const Projective8& p) {
    const Wide b = sqr_wide<true>(p.Y), zz = sqr_wide<true>(p.Z), a = sqr_wide(p.X);
    Completed8 r;
    const Wide g = minus(b, a);
    r.H = carry(plus(b, a));
    r.G = carry(g);
    r.F = carry(minus(plus(zz, zz), g));
    r.E = carry_twice(mul_wide(p.X, p.Y));
    return r;
}

// P + Q, or P - Q in every lane: swap Y-X with Y+X, and the sign of T, which swaps F with G.
PARLEY_INLINE Completed8 added(const Sums8& p, const Cached8& q, V negative) {
    const Wide d = mul_wide<true>(p.Z, q.c[2]);
    const Wide a = mul_wide(p.Ym, choose8(negative, q.c[1], q.c[0]));
    const Wide b = mul_wide<true>(p.Yp, choose8(negative, q.c[0], q.c[1]));
    Completed8 r;
    r.E = carry(minus(b, a));
    r.H = carry(plus(b, a));
    const Wide c = mul_wide(p.T, q.c[3]);
    const Eight f = carry(minus(d, c)), g = carry(plus(d, c));
    r.F = choose8(negative, g, f);
    r.G = choose8(negative, f, g);
    return r;
}

PARLEY_INLINE Projective8 projective(const Completed8& c) {
    Projective8 r;
    r.Y = mul8(c.G, c.H);
    r.Z = mul8(c.F, c.G);
    r.X = mul8(c.E, c.F);
    return r;
}
PARLEY_INLINE Sums8 sums(const Completed8& c) {
    Sums8 r;
    r.Z = mul8(c.F, c.G);
    const Wide y = mul_wide<true>(c.G, c.H), x = mul_wide(c.E, c.F);
    r.Ym = carry(minus(y, x));
    r.Yp = carry(plus(y, x));
    r.T = mul8(c.E, c.H);
    return r;
}
PARLEY_INLINE void cache8(Cached8& r, const Sums8& p) {
    r.c[0] = p.Ym, r.c[1] = p.Yp, r.c[2] = add8(p.Z, p.Z), r.c[3] = mul8(p.T, eight(K_D2));
}

// A doubling with one coordinate's choice beside it, whose loads and masks fill the doubling's waits.
__attribute__((noinline)) void double_and_pick(Projective8& p, Table& table, int coordinate, const DigitMasks& m) {
    pick8(table, coordinate, m);
    p = projective(doubled(p));
}
__attribute__((noinline)) void double_to_sums_and_pick(Sums8& r, const Projective8& p, Table& table,
                                                       const DigitMasks& m) {
    pick8(table, 3, m);
    r = sums(doubled(p));
}
__attribute__((noinline)) void add_picked(Projective8& r, const Sums8& p, const Table& table, V negative) {
    r = projective(added(p, table.picked, negative));
}

void odd_multiples(Table& table, const Given8& p) {
    Sums8 at = {sub8(p.Y, p.X), add8(p.Y, p.X), p.Z, p.T};
    Cached8 two;
    cache8(table.odd[0], at);
    cache8(two, sums(doubled({p.X, p.Y, p.Z})));
    for (int j = 1; j < 8; j++) {
        at = sums(added(at, two, zero()));
        cache8(table.odd[j], at);
    }
}

void times8(const Extended8& out, const Given8& in, const Digits& digits, Table& table) {
    odd_multiples(table, in);
    DigitMasks m = masks(digits.at[63]);
    for (int c = 0; c < 3; c++) pick8(table, c, m);
    // Y - X, Y + X and 2Z give the point (2X : 2Y : 2Z); doubling needs no T.
    const Eight* top = table.picked.c;
    Projective8 p = {sub8(top[1], top[0]), add8(top[1], top[0]), top[2]};
    Sums8 s;
    for (int i = 62; i >= 0; i--) {
        m = masks(digits.at[i]);
        for (int c = 0; c < 3; c++) double_and_pick(p, table, c, m);
        double_to_sums_and_pick(s, p, table, m);
        if (i > 0) add_picked(p, s, table, m.negative);
    }
    const Completed8 c = added(s, table.picked, m.negative);
    out.X = mul8(c.E, c.F), out.Y = mul8(c.G, c.H), out.Z = mul8(c.F, c.G), out.T = mul8(c.E, c.H);
}
