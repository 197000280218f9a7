// The short transform. X_e = zeta^(2e+1), zeta = exp(i pi / N), e = e0 + x e1: X_e^L depends on e0 alone, so a
// polynomial sum_j Y^(c_j) X^j with Y = X^L has at e0 the L-point transform of T[c_j] theta^j, theta = zeta^(2 e0 + 1).
// Lanes are the x/2 values of e0 that are not conjugates of others; spectra are never put in order.
namespace parley::lattice {
namespace {

struct C {
  V r, i;
};
PARLEY_INLINE C operator+(C a, C b) { return {a.r + b.r, a.i + b.i}; }
PARLEY_INLINE C operator-(C a, C b) { return {a.r - b.r, a.i - b.i}; }
template <bool BACK>  // a * b, or a * conj(b)
PARLEY_INLINE C times(C a, C b) {
  if constexpr (BACK) return {fma(a.i, b.i, a.r * b.r), fnma(a.r, b.i, a.i * b.r)};
  else return {fnma(a.i, b.i, a.r * b.r), fma(a.r, b.i, a.i * b.r)};
}
template <bool BACK>  // a * i, or a * -i
PARLEY_INLINE C quarter_turn(C a) {
  if constexpr (BACK) return {a.i, -a.r};
  else return {-a.i, a.r};
}

template <bool BACK>
PARLEY_INLINE void dft4(C* x) {
  const C a = x[0] + x[2], b = x[0] - x[2], c = x[1] + x[3], d = quarter_turn<BACK>(x[1] - x[3]);
  x[0] = a + c;
  x[1] = b + d;
  x[2] = a - c;
  x[3] = b - d;
}
template <bool BACK>
PARLEY_INLINE void dft8(C* x) {
  C even[4] = {x[0], x[2], x[4], x[6]}, odd[4] = {x[1], x[3], x[5], x[7]};
  dft4<BACK>(even);
  dft4<BACK>(odd);
  const V s = all(0.70710678118654752440);
  const C q1 = quarter_turn<BACK>(odd[1]), q2 = quarter_turn<BACK>(odd[2]), q3 = quarter_turn<BACK>(odd[3]);
  // An eighth of a turn is (1 + i) / sqrt 2, three are (i - 1) / sqrt 2; going back, their conjugates.
  const C d1 = odd[1] + q1, d3 = q3 - odd[3];
  x[0] = even[0] + odd[0];
  x[4] = even[0] - odd[0];
  x[2] = even[2] + q2;
  x[6] = even[2] - q2;
  x[1] = {fma(s, d1.r, even[1].r), fma(s, d1.i, even[1].i)};
  x[5] = {fnma(s, d1.r, even[1].r), fnma(s, d1.i, even[1].i)};
  x[3] = {fma(s, d3.r, even[3].r), fma(s, d3.i, even[3].i)};
  x[7] = {fnma(s, d3.r, even[3].r), fnma(s, d3.i, even[3].i)};
}
template <bool BACK, int R>
PARLEY_INLINE void dft(C* x) {
  if constexpr (R == 8) dft8<BACK>(x);
  else dft4<BACK>(x);
}

template <int N_, int X_, int K_>
struct Geometry {
  static constexpr int N = N_, X = X_, K = K_, L = N / X;
  static constexpr int S = L / 8, A = S == 16 ? 4 : 8, B = S / A;  // L = 8 * A * B
  static constexpr int PAD = S + 1;                                // keeps the eight runs off one another's cache sets
  static constexpr int HALF = X / 2;                               // values of e0
  static constexpr int PARTS = HALF > W ? HALF / W : 1;            // vectors that hold them
  static constexpr int POLYS = HALF < W ? W / HALF : 1;            // polynomials that share a vector
  static constexpr int SLOTS = X * POLYS, ROWS = 1 + SLOTS;        // row 0 of a table is zero: no slot
  static constexpr int WIDE = HALF < W ? HALF : W;                 // lanes of a spectrum
  // Of one part, in doubles; the odd rest keeps neighbours off one another's cache sets.
  static constexpr int SPECTRUM = L * 2 * K * WIDE + 24, SUMS = L * 2 * K * W + 24;
  // A tile of groups x blocks has its transforms in the second cache; RUN groups' sums fit the registers at once.
  static constexpr int TILE = L <= 256 ? 4 : 2, DEEP = L <= 256 ? 8 : 4;
  static constexpr int NEAR = L == 128 ? 16 : 8;
  static constexpr int RUN = W < 8 ? 1 : K == 3 ? (L <= 256 ? 4 : 2) : 2;

  struct Plan {
    C table[PARTS][8][ROWS];  // Y^c theta^(s S)
    C first[PARTS][S][8];     // theta^j omega^(j m)
    C start[PARTS][8];        // theta^(s S) on every lane
    double inner[A][B][2];    // between the two halves of an S-point transform
    double y[X][2][PARTS * W];  // Y^r by lane
  };
  struct Scratch {
    C tile[TILE * DEEP][8 * PAD];
    C in[8 * PAD];
    V turned[2 * W][L / W > 0 ? L / W : 1];
    u16 place[8][L];  // of table rows, in doubles / 8
  };
};

PARLEY_INLINE void root(long k, long n, double* c, double* s) {  // exp(i pi k / n), k reduced for exact symmetry
  const long double pi = 3.14159265358979323846264338327950288L;
  const long double angle = pi * static_cast<long double>(k % (2 * n)) / static_cast<long double>(n);
  *c = static_cast<double>(__builtin_cosl(angle));
  *s = static_cast<double>(__builtin_sinl(angle));
}

template <class G>
void make_plan(typename G::Plan& p) {
  constexpr long N = G::N;
  for (int part = 0; part < G::PARTS; ++part)
    for (int l = 0; l < W; ++l) {
      const long odd = 2 * ((part * W + l) % G::HALF) + 1;
      const int poly = G::POLYS > 1 ? l / G::HALF : 0;
      double c, s;
      for (int b = 0; b < 8; ++b) {
        root(odd * (long{b} * G::S), N, &c, &s);
        p.start[part][b].r[l] = c;
        p.start[part][b].i[l] = s;
        p.table[part][b][0].r[l] = p.table[part][b][0].i[l] = 0;
        for (int slot = 0; slot < G::SLOTS; ++slot) {
          const bool ours = slot / G::X == poly;
          root(odd * (long{G::L} * (slot % G::X) + long{b} * G::S), N, &c, &s);
          p.table[part][b][1 + slot].r[l] = ours ? c : 0;
          p.table[part][b][1 + slot].i[l] = ours ? s : 0;
        }
      }
      for (int j = 0; j < G::S; ++j)
        for (int m = 0; m < 8; ++m) {
          root(odd * j + 2L * G::X * j * m, N, &c, &s);
          p.first[part][j][m].r[l] = c;
          p.first[part][j][m].i[l] = s;
        }
      for (int r = 0; r < G::X; ++r) root(odd * r, G::X, &p.y[r][0][part * W + l], &p.y[r][1][part * W + l]);
    }
  for (int a = 0; a < G::A; ++a)
    for (int b = 0; b < G::B; ++b) root(2L * a * b, G::S, &p.inner[a][b][0], &p.inner[a][b][1]);
}

// S = A B points in place: index j = b + B s in, m B + k out.
template <class G, bool BACK>
PARLEY_INLINE void short_dft(C* p, const typename G::Plan& plan) {
  constexpr int A = G::A, B = G::B;
  if constexpr (!BACK)
    for (int j = 0; j < B; ++j) {
      C x[A];
      for (int s = 0; s < A; ++s) x[s] = p[j + B * s];
      dft<false, A>(x);
      p[j] = x[0];
      for (int m = 1; m < A; ++m)
        p[m * B + j] = times<false>(x[m], {all(plan.inner[m][j][0]), all(plan.inner[m][j][1])});
    }
  for (int m = 0; m < A; ++m) {
    C x[B];
    for (int s = 0; s < B; ++s) x[s] = p[m * B + s];
    dft<BACK, B>(x);
    for (int s = 0; s < B; ++s) p[m * B + s] = x[s];
  }
  if constexpr (BACK)
    for (int j = 0; j < B; ++j) {
      C x[A];
      x[0] = p[j];
      for (int m = 1; m < A; ++m)
        x[m] = times<true>(p[m * B + j], {all(plan.inner[m][j][0]), all(plan.inner[m][j][1])});
      dft<true, A>(x);
      for (int s = 0; s < A; ++s) p[j + B * s] = x[s];
    }
}

// The first pass over any values of Y by place: turned to the part's begin, eight by eight, twisted.
template <class G>
PARLEY_INLINE void twist(const typename G::Plan& plan, int part, const C* in, C* out) {
  for (int j = 0; j < G::S; ++j) {
    C x[8];
    for (int s = 0; s < 8; ++s) x[s] = times<false>(in[j + s * G::S], plan.start[part][s]);
    dft8<false>(x);
    for (int m = 0; m < 8; ++m) out[m * G::PAD + j] = times<false>(x[m], plan.first[part][j][m]);
  }
}

template <class G>
void make_spectrum(const typename G::Plan& plan, const double* limbs, double* out, std::size_t step,
                   typename G::Scratch& w) {
  for (int limb = 0; limb < G::K; ++limb)
    for (int part = 0; part < G::PARTS; ++part) {
      const double* c = limbs + limb * G::N;
      for (int i = 0; i < G::L; i += 4) {
        C sum[4] = {};
        for (int r = 0; r < G::X; ++r) {
          const V re = load(plan.y[r][0] + part * W), im = load(plan.y[r][1] + part * W);
          for (int k = 0; k < 4; ++k) {
            const V v = all(c[r * G::L + i + k]);
            sum[k].r = fma(v, re, sum[k].r);
            sum[k].i = fma(v, im, sum[k].i);
          }
        }
        for (int k = 0; k < 4; ++k) w.in[i + k] = sum[k];
      }
      C* buf = w.tile[0];
      twist<G>(plan, part, w.in, buf);
      for (int m = 0; m < 8; ++m) {
        C* p = buf + m * G::PAD;
        short_dft<G, false>(p, plan);
        for (int t = 0; t < G::S; ++t) {
          double* to = out + part * step + (std::size_t(m * G::S + t) * G::K + limb) * 2 * G::WIDE;
          for (int l = 0; l < G::WIDE; ++l) {
            to[l] = p[t].r[l];
            to[G::WIDE + l] = p[t].i[l];
          }
        }
      }
    }
}

template <class G>
void make_coefficients(const typename G::Plan& plan, const double* sums, double* out, typename G::Scratch& w) {
  constexpr int L = G::L;
  for (int k = 0; k < G::POLYS * G::K * G::N; k += W) store(out + k, all(0.0));
  double* turned = reinterpret_cast<double*>(w.turned);  // [2W][L]: real, then imaginary, by lane
  for (int limb = 0; limb < G::K; ++limb)
    for (int part = 0; part < G::PARTS; ++part) {
      C* buf = w.tile[0];
      for (int m = 0; m < 8; ++m) {
        C* p = buf + m * G::PAD;
        for (int t = 0; t < G::S; ++t) {
          const double* from = sums + std::size_t(part) * G::SUMS + (std::size_t(m * G::S + t) * G::K + limb) * 2 * W;
          p[t] = {load(from), load(from + W)};
        }
        short_dft<G, true>(p, plan);
      }
      for (int j = 0; j < G::S; ++j) {
        C x[8];
        for (int m = 0; m < 8; ++m) x[m] = times<true>(buf[m * G::PAD + j], plan.first[part][j][m]);
        dft8<true>(x);
        for (int s = 0; s < 8; ++s) w.in[j + s * G::S] = times<true>(x[s], plan.start[part][s]);
      }
      for (int j = 0; j < L; j += W) {
        V re[W], im[W];
        for (int k = 0; k < W; ++k) re[k] = w.in[j + k].r, im[k] = w.in[j + k].i;
        transpose(re);
        transpose(im);
        for (int l = 0; l < W; ++l) store(turned + l * L + j, re[l]), store(turned + (W + l) * L + j, im[l]);
      }
      for (int poly = 0; poly < G::POLYS; ++poly)
        for (int r = 0; r < G::X; ++r) {
          double* to = out + (std::size_t(poly) * G::K + limb) * G::N + r * L;
          V c[G::WIDE], s[G::WIDE];
          for (int l = 0; l < G::WIDE; ++l) {
            const int lane = poly * G::HALF % W + l;
            c[l] = all(plan.y[r][0][part * W + lane] * (2.0 / G::N));
            s[l] = all(plan.y[r][1][part * W + lane] * (2.0 / G::N));
          }
          for (int j = 0; j < L; j += W) {
            V sum = load(to + j);
            for (int l = 0; l < G::WIDE; ++l) {
              const int lane = poly * G::HALF % W + l;
              sum = fma(load(turned + lane * L + j), c[l], sum);
              sum = fma(load(turned + (W + lane) * L + j), s[l], sum);
            }
            store(to + j, sum);
          }
        }
    }
}

}  // namespace
}  // namespace parley::lattice
