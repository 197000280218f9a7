// Arithmetic modulo the primes and the number-theoretic transform. With a fused multiply-add, products are exact pairs
// of doubles; without one, 64 x 64-bit words. Both give the same canonical residues.
//
// Sizes with doubles, in multiples of q < 2^50: |w| <= 1/2 and |x| <= 4 give h = x w, c = round(h / q) off by at most
// 0.19 |x| (three roundings of 2^-53 on a quotient below 2^49 |x|) from the nearest, so |x w - c q| <= 1/2 + 0.19 |x|.
// Sums stay below 2^53 and c below 2^51.
namespace parley::lattice {
namespace {

constexpr u64 TWO52 = u64{1} << 52;
constexpr double TWO52D = 4503599627370496.0;

PARLEY_INLINE Q less_once_v(Q x, u64 q) {
  const Q y = x - all(q);
  return y + (all(q) & (all(u64{0}) - (y >> 63)));
}
PARLEY_INLINE V as_double(Q x) { return (V)(x | all(u64{0x4330000000000000})) - all(TWO52D); }  // x < 2^52

void add(const Prime& p, u64* out, const u64* a, const u64* b, bool negative, std::size_t n) {
  if (negative)
    for (std::size_t j = 0; j < n; j += W) storeq(out + j, less_once_v(loadq(a + j) + all(p.q) - loadq(b + j), p.q));
  else
    for (std::size_t j = 0; j < n; j += W) storeq(out + j, less_once_v(loadq(a + j) + loadq(b + j), p.q));
}

void add_small(const Prime& p, u64* a, const i64* e, std::size_t n) {
  for (std::size_t j = 0; j < n; j += W) {
    const Q x = loadq(reinterpret_cast<const u64*>(e) + j);
    const Q lifted = x + (all(p.q) & (all(u64{0}) - (x >> 63)));
    storeq(a + j, less_once_v(loadq(a + j) + lifted, p.q));
  }
}

double distance(const double* x, std::size_t n) {
  V worst = all(0.0);
  for (std::size_t j = 0; j < n; j += W) {
    const V v = load(x + j), far = v - nearest(v);
    const V off = far < all(0.0) ? -far : far, much = v < all(0.0) ? -v : v;
    // What is too large to be rounded, and what is no number, is not near a whole one.
    const V size = much < all(TWO52D / 4) ? off : all(1.0);
    worst = size < worst ? worst : size;
  }
  double most = 0;
  for (int l = 0; l < W; ++l) most = worst[l] < most ? most : worst[l];
  return most;
}

#if defined(PARLEY_EXACT_FMA)

PARLEY_INLINE V product(V x, V w, V q, V qinv) {  // x w modulo q, of the size above
  const V h = x * w, l = fma(x, w, -h), c = nearest(h * qinv);
  return fnma(c, q, h) + l;
}
PARLEY_INLINE V reduced(V x, V q, V qinv) { return fnma(nearest(x * qinv), q, x); }  // within q/2, and a little
PARLEY_INLINE Q canonical(V x, V q, V qinv) {  // for |x| below 4q
  V r = reduced(x, q, qinv);
  r += r < all(0.0) ? q : all(0.0);
  r -= r >= q ? q : all(0.0);
  return (Q)(r + all(TWO52D)) & all(TWO52 - 1);
}

void multiply(const Prime& p, u64* out, const u64* a, const u64* b, std::size_t n) {
  const V q = all(p.qd), qi = all(p.qinv);
  for (std::size_t j = 0; j < n; j += W) {
    // Two canonical factors: the quotient is below 2^50 and off by at most 0.38 beyond the rounding.
    const V x = as_double(loadq(a + j)), y = as_double(loadq(b + j));
    storeq(out + j, canonical(product(x, y, q, qi), q, qi));
  }
}

void scale(const Prime& p, u64* out, const u64* a, u64 k, std::size_t n) {
  const V q = all(p.qd), qi = all(p.qinv);
  const V kd = all(k > p.q / 2 ? -static_cast<double>(p.q - k) : static_cast<double>(k));
  for (std::size_t j = 0; j < n; j += W)
    storeq(out + j, canonical(product(as_double(loadq(a + j)), kd, q, qi), q, qi));
}

void lift(const Prime& p, u64* out, const u64* a, const u64* b, u64 other, bool centred, u64 k, std::size_t n) {
  const V q = all(p.qd), qi = all(p.qinv), o = all(static_cast<double>(other));
  const V half = all(centred ? static_cast<double>(other / 2) : 2.0 * static_cast<double>(other));
  const double kd = k > p.q / 2 ? -static_cast<double>(p.q - k) : static_cast<double>(k);
  for (std::size_t j = 0; j < n; j += W) {
    V y = as_double(loadq(b + j));
    y -= y > half ? o : all(0.0);
    storeq(out + j, canonical(product(as_double(loadq(a + j)) - y, all(kd), q, qi), q, qi));
  }
}

void fold(const Ring& ring, int prime, u64* d, const double* limbs) {
  const Prime& p = ring.prime[prime];
  const V q = all(p.qd), qi = all(p.qinv);
  double k[LIMBS];
  for (int l = 0; l < ring.limbs; ++l)
    k[l] = p.limb[l] > p.q / 2 ? -static_cast<double>(p.q - p.limb[l]) : static_cast<double>(p.limb[l]);
  for (int j = 0; j < ring.n; j += W) {
    // distance() has seen that every limb's sum is below 2^50, so all terms keep the bounds above.
    V s = as_double(loadq(d + j)) + nearest(load(limbs + j));
    s = reduced(s, q, qi);
    for (int l = 1; l < ring.limbs; ++l)
      s += product(nearest(load(limbs + l * ring.n + j)), all(k[l]), q, qi);
    storeq(d + j, canonical(s, q, qi));
  }
}

// The last log2(W) levels: W blocks of W places, turned over so that a lane holds a block.
template <bool INVERSE>
PARLEY_INLINE void tail(const Prime& p, double* a, int n) {
  const V q = all(p.qd), qi = all(p.qinv);
  const double* table = INVERSE ? p.itail : p.tail;
  const int blocks = n / W;
  for (int b = 0; b < blocks; b += W) {
    V x[W];
    for (int i = 0; i < W; ++i) x[i] = load(a + (b + i) * W);
    transpose(x);
    for (int step = 0, t = INVERSE ? 1 : W / 2; INVERSE ? t < W : t >= 1; t = INVERSE ? 2 * t : t / 2, ++step) {
      const int runs = W / (2 * t);
      for (int r = 0; r < runs; ++r) {
        const V w = load(table + (runs - 1 + r) * blocks + b);
        for (int i = 2 * r * t; i < 2 * r * t + t; ++i) {
          if constexpr (INVERSE) {
            const V u = x[i] + x[i + t], v = x[i] - x[i + t];
            x[i] = reduced(u, q, qi);
            x[i + t] = product(v, w, q, qi);
          } else {
            const V u = reduced(x[i], q, qi), v = product(x[i + t], w, q, qi);
            x[i] = u + v;
            x[i + t] = u - v;
          }
        }
      }
    }
    transpose(x);
    for (int i = 0; i < W; ++i) store(a + (b + i) * W, x[i]);
  }
}

void forward(const Ring& ring, int prime, u64* words) {
  const Prime& p = ring.prime[prime];
  const V q = all(p.qd), qi = all(p.qinv);
  double* a = reinterpret_cast<double*>(words);
  const int n = ring.n;
  int m = 1, t = n / 2, levels = 0;
  for (int s = W; s < n; s *= 2) ++levels;
  for (int j = 0; j < n; j += W) store(a + j, as_double(loadq(words + j)));
  if (levels % 2 == 1) {
    const V w = all(p.wd[1]);
    for (int j = 0; j < t; j += W) {
      const V x = load(a + j), y = product(load(a + j + t), w, q, qi);
      store(a + j, x + y);
      store(a + j + t, x - y);
    }
    m = 2;
    t /= 2;
  }
  for (; t >= 2 * W; m *= 4, t /= 4) {
    const int h = t / 2;
    for (int i = 0; i < m; ++i) {
      const V w = all(p.wd[m + i]), wa = all(p.wd[2 * m + 2 * i]), wb = all(p.wd[2 * m + 2 * i + 1]);
      double* r = a + 2 * i * t;
      for (int j = 0; j < h; j += W) {
        const V x0 = reduced(load(r + j), q, qi), x1 = reduced(load(r + j + h), q, qi);
        const V y0 = product(load(r + j + t), w, q, qi), y1 = product(load(r + j + t + h), w, q, qi);
        const V u0 = x0 + y0, u1 = product(x1 + y1, wa, q, qi), v0 = x0 - y0, v1 = product(x1 - y1, wb, q, qi);
        store(r + j, u0 + u1);
        store(r + j + h, u0 - u1);
        store(r + j + t, v0 + v1);
        store(r + j + t + h, v0 - v1);
      }
    }
  }
  tail<false>(p, a, n);
  for (int j = 0; j < n; j += W) storeq(words + j, canonical(load(a + j), q, qi));
}

void inverse(const Ring& ring, int prime, u64* words) {
  const Prime& p = ring.prime[prime];
  const V q = all(p.qd), qi = all(p.qinv);
  double* a = reinterpret_cast<double*>(words);
  const int n = ring.n;
  int levels = 0, h = W, m = n / W;  // m / 2 runs at distance h
  for (int s = W; s < n; s *= 2) ++levels;
  for (int j = 0; j < n; j += W) store(a + j, as_double(loadq(words + j)));
  tail<true>(p, a, n);
  for (; levels >= 2; levels -= 2, h *= 4, m /= 4) {
    const int t = 2 * h, runs = m / 4;
    for (int i = 0; i < runs; ++i) {
      const V w = all(p.iwd[runs + i]), wa = all(p.iwd[2 * (runs + i)]), wb = all(p.iwd[2 * (runs + i) + 1]);
      double* r = a + 2 * i * t;
      for (int j = 0; j < h; j += W) {
        const V x0 = load(r + j), x1 = load(r + j + h), x2 = load(r + j + t), x3 = load(r + j + t + h);
        const V u0 = x0 + x1, u1 = product(x0 - x1, wa, q, qi), v0 = x2 + x3, v1 = product(x2 - x3, wb, q, qi);
        store(r + j, reduced(u0 + v0, q, qi));
        store(r + j + h, reduced(u1 + v1, q, qi));
        store(r + j + t, product(u0 - v0, w, q, qi));
        store(r + j + t + h, product(u1 - v1, w, q, qi));
      }
    }
  }
  const V ni = all(p.ninvd);
  if (levels == 1) {
    const V w = all(p.iwd[1]);
    for (int j = 0; j < h; j += W) {
      const V x = load(a + j), y = load(a + j + h);
      store(a + j, x + y);
      store(a + j + h, product(x - y, w, q, qi));
    }
  }
  for (int j = 0; j < n; j += W) storeq(words + j, canonical(product(load(a + j), ni, q, qi), q, qi));
}

#else

void multiply(const Prime& p, u64* out, const u64* a, const u64* b, std::size_t n) {
  for (std::size_t j = 0; j < n; ++j) out[j] = times(p, a[j], b[j]);
}

void scale(const Prime& p, u64* out, const u64* a, u64 k, std::size_t n) {
  for (std::size_t j = 0; j < n; ++j) out[j] = times(p, a[j], k);
}

void lift(const Prime& p, u64* out, const u64* a, const u64* b, u64 other, bool centred, u64 k, std::size_t n) {
  const u64 half = other / 2;
  for (std::size_t j = 0; j < n; ++j) {
    // b - other where b > other / 2, without a branch
    const u64 above = centred ? (half - b[j]) >> 63 : 0;
    const u64 y = a[j] + 2 * p.q - b[j] + ((0 - above) & other);
    out[j] = times(p, y, k);
  }
}

void fold(const Ring& ring, int prime, u64* d, const double* limbs) {
  const Prime& p = ring.prime[prime];
  for (int j = 0; j < ring.n; ++j) {
    u64 s = d[j];
    for (int l = 0; l < ring.limbs; ++l) {
      const double x = limbs[l * ring.n + j];
      const i64 whole = static_cast<i64>((x + MAGIC) - MAGIC);
      s += times(p, static_cast<u64>(whole + static_cast<i64>(8 * p.q)), p.limb[l]);
    }
    d[j] = reduce64(p, s);
  }
}

PARLEY_INLINE u64 shoup(u64 x, u64 w, u64 ws, u64 q) {  // in [0, 2q) for any x
  return x * w - static_cast<u64>((static_cast<u128>(x) * ws) >> 64) * q;
}

void forward(const Ring& ring, int prime, u64* a) {
  const Prime& p = ring.prime[prime];
  const u64 q2 = 2 * p.q;
  for (int m = 1, t = ring.n / 2; t >= 1; m *= 2, t /= 2)
    for (int i = 0; i < m; ++i) {
      const u64 w = p.w[m + i], ws = p.ws[m + i];
      u64 *x = a + 2 * i * t, *y = x + t;
      for (int j = 0; j < t; ++j) {
        // Values grow by 2q a level: 26 q after 13, far below 2^64.
        const u64 v = shoup(y[j], w, ws, p.q);
        y[j] = x[j] + q2 - v;
        x[j] += v;
      }
    }
  for (int j = 0; j < ring.n; ++j) a[j] = reduce64(p, a[j]);
}

void inverse(const Ring& ring, int prime, u64* a) {
  const Prime& p = ring.prime[prime];
  const u64 q2 = 2 * p.q;
  for (int m = ring.n / 2, t = 1; m >= 1; m /= 2, t *= 2)
    for (int i = 0; i < m; ++i) {
      const u64 w = p.iw[m + i], ws = p.iws[m + i];
      u64 *x = a + 2 * i * t, *y = x + t;
      for (int j = 0; j < t; ++j) {
        const u64 u = x[j], v = y[j];
        x[j] = less_once(u + v, q2);
        y[j] = shoup(u + q2 - v, w, ws, p.q);
      }
    }
  for (int j = 0; j < ring.n; ++j) a[j] = times(p, a[j], p.ninv);
}

#endif

}  // namespace
}  // namespace parley::lattice
