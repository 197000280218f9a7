// Sums by slot: the a part in the spectral domain, tile by tile, and the b part as added slices; and the choice of
// geometry by (N, x).
namespace parley::lattice {
namespace {

// Table rows as bytes / 8 from a table's begin: one address mode reaches them.
template <class G>
PARLEY_INLINE void find_slots(const Span& span, std::size_t at, std::size_t rows, u16* place) {
  constexpr int STEP = static_cast<int>(sizeof(C)) / 8;
  const u8* bins = span.bins + at;
  const int shift = span.shift, here = rows > at + G::L ? G::L : rows > at ? static_cast<int>(rows - at) : 0;
  for (int j = 0; j < here; ++j) {
    const int slot = bins[j] + shift;
    place[j] = static_cast<u16>(static_cast<unsigned>(slot) < unsigned{G::SLOTS} ? (slot + 1) * STEP : 0);
  }
  for (int j = here; j < G::L; ++j) place[j] = 0;
}

// First pass over one block: a table row for every sample and span, eight of them transformed, twisted.
template <class G, bool ONE>
PARLEY_INLINE void first_pass(const typename G::Plan& plan, int part, const u16 (*place)[G::L], int layers, C* out) {
  const u64* table[8];
  for (int s = 0; s < 8; ++s) table[s] = reinterpret_cast<const u64*>(plan.table[part][s]);
  for (int j = 0; j < G::S; ++j) {
    C x[8];
    for (int s = 0; s < 8; ++s) x[s] = *reinterpret_cast<const C*>(table[s] + place[0][j + s * G::S]);
    if constexpr (!ONE)
      for (int k = 1; k < layers; ++k)
        for (int s = 0; s < 8; ++s) x[s] = x[s] + *reinterpret_cast<const C*>(table[s] + place[k][j + s * G::S]);
    dft8<false>(x);
    for (int m = 0; m < 8; ++m) out[m * G::PAD + j] = times<false>(x[m], plan.first[part][j][m]);
  }
}

template <class G>
PARLEY_INLINE V spread(const double* p) {  // a spectrum's lanes, for every polynomial of the vector
  if constexpr (G::WIDE == W) return load(p);
  else {
#if defined(PARLEY_SPREAD)
    if constexpr (2 * G::WIDE == W) return PARLEY_SPREAD(p);
#endif
    V v;
    for (int l = 0; l < W; ++l) v[l] = p[l % G::WIDE];
    return v;
  }
}

// sums[o] += sum over blocks of transform[k][o] * spectrum[k][o] for RUN groups.
template <class G, int RUN, int DEEP>
PARLEY_INLINE void add_products(const C* const* transform, const double* spectrum, std::size_t block_step,
                                double* const* sums, int o, int at) {
  constexpr int K2 = 2 * G::K;
  V s[RUN][K2];
  for (int r = 0; r < RUN; ++r)
    for (int l = 0; l < K2; ++l) s[r][l] = load(sums[r] + (std::size_t(o) * K2 + l) * W);
  for (int k = 0; k < DEEP; ++k) {
    const double* a = spectrum + k * block_step + std::size_t(o) * K2 * G::WIDE;
    V v[K2];
    for (int l = 0; l < K2; ++l) v[l] = spread<G>(a + l * G::WIDE);
    for (int r = 0; r < RUN; ++r) {
      const C p = transform[r][k * 8 * G::PAD + at];
      for (int l = 0; l < K2; ++l) s[r][l] = fma(p.r, v[l], s[r][l]);
      for (int l = 0; l < K2; l += 2) {
        s[r][l] = fnma(p.i, v[l + 1], s[r][l]);
        s[r][l + 1] = fma(p.i, v[l], s[r][l + 1]);
      }
    }
  }
  for (int r = 0; r < RUN; ++r)
    for (int l = 0; l < K2; ++l) store(sums[r] + (std::size_t(o) * K2 + l) * W, s[r][l]);
}

// A block's factors, column by column, as values of Y by place.
template <class G>
PARLEY_INLINE void weigh(const typename G::Plan& plan, int part, const i8* factors, std::size_t step, int columns, C* in) {
  for (int j = 0; j < G::L; j += 4) {
    C sum[4] = {};
    for (int c = 0; c < columns; ++c) {
      const C y = plan.table[part][0][1 + c];
      for (int k = 0; k < 4; ++k) {
        const V v = all(static_cast<double>(factors[c * step + j + k]));
        sum[k] = {fma(v, y.r, sum[k].r), fma(v, y.i, sum[k].i)};
      }
    }
    for (int k = 0; k < 4; ++k) in[j + k] = sum[k];
  }
}

struct Tile {
  const Spans* groups;        // of the tile's first group, or
  const Factors* factors;     // where it is not null, columns from the tile's first group on
  const double* spectra;  // of the tile's first block
  std::size_t block_step, at, rows;
  double* sums;  // of the tile's first group
  std::size_t group_step;
  int part;
};

// Many small features share a group: their rows add up, eight at a time.
template <class G>
__attribute__((noinline)) void first_passes(const typename G::Plan& plan, const Tile& t, const Spans& g, std::size_t at,
                                            C* out, typename G::Scratch& w) {
  for (int done = 0; done < g.count; done += 8) {
    const int layers = g.count - done < 8 ? g.count - done : 8;
    for (int k = 0; k < layers; ++k) find_slots<G>(g.span[done + k], at, t.rows, w.place[k]);
    first_pass<G, false>(plan, t.part, w.place, layers, done == 0 ? out : w.in);
    if (done != 0)
      for (int m = 0; m < 8; ++m)
        for (int j = m * G::PAD; j < m * G::PAD + G::S; ++j) out[j] = out[j] + w.in[j];
  }
}

template <class G, int TILE, int DEEP>
__attribute__((noinline)) void run_tile(const typename G::Plan& plan, const Tile& t, typename G::Scratch& w) {
  for (int r = 0; r < TILE; ++r)
    for (int k = 0; k < DEEP; ++k) {
      C* out = w.tile[r * DEEP + k];
      const std::size_t at = t.at + std::size_t(k) * G::L;
      if (t.factors != nullptr) {
        const std::size_t left = t.factors->columns - std::size_t(r) * G::SLOTS;
        const i8* factors = t.factors->factors + std::size_t(r) * G::SLOTS * t.factors->step + at;
        weigh<G>(plan, t.part, factors, t.factors->step, left < G::SLOTS ? static_cast<int>(left) : G::SLOTS, w.in);
        twist<G>(plan, t.part, w.in, out);
      } else if (t.groups[r].count == 1) {
        find_slots<G>(t.groups[r].span[0], at, t.rows, w.place[0]);
        first_pass<G, true>(plan, t.part, w.place, 1, out);
      } else {
        first_passes<G>(plan, t, t.groups[r], at, out, w);
      }
    }
  const C* transform[TILE];
  double* sums[TILE];
  for (int r = 0; r < TILE; ++r) transform[r] = w.tile[r * DEEP], sums[r] = t.sums + r * t.group_step;
  constexpr int RUN = G::RUN < TILE ? G::RUN : TILE;
  for (int m = 0; m < 8; ++m) {
    for (int r = 0; r < TILE * DEEP; ++r) short_dft<G, false>(w.tile[r] + m * G::PAD, plan);
    for (int o = 0; o < G::S; ++o)
      for (int r = 0; r < TILE; r += RUN)
        add_products<G, RUN, DEEP>(transform + r, t.spectra, t.block_step, sums + r, m * G::S + o, m * G::PAD + o);
  }
}

template <class G>
void run_tiles(const typename G::Plan& plan, const Spans* groups, const Factors* factors, std::size_t n_groups,
               const double* spectra, std::size_t blocks, std::size_t step, std::size_t rows, double* sums,
               typename G::Scratch& w) {
  Factors here{};
  Tile t{};
  t.block_step = G::SPECTRUM;
  t.rows = rows;
  t.group_step = std::size_t(G::PARTS) * G::SUMS;
  const auto place = [&](std::size_t group, std::size_t block, int part) {
    if (factors != nullptr) {
      here = {factors->factors + group * G::SLOTS * factors->step, factors->step, factors->columns - group * G::SLOTS};
      t.factors = &here;
    } else {
      t.groups = groups + group;
    }
    t.spectra = spectra + part * step + block * G::SPECTRUM;
    t.at = block * G::L;
    t.sums = sums + group * t.group_step + std::size_t(part) * G::SUMS;
    t.part = part;
  };
  // The spectra of NEAR blocks stay in the second cache while all groups pass by.
  for (int part = 0; part < G::PARTS; ++part)
    for (std::size_t begin = 0; begin < blocks; begin += G::NEAR) {
      const std::size_t end = begin + G::NEAR < blocks ? begin + G::NEAR : blocks;
      std::size_t g = 0;
      for (; g + G::TILE <= n_groups; g += G::TILE) {
        std::size_t k = begin;
        for (; k + G::DEEP <= end; k += G::DEEP) place(g, k, part), run_tile<G, G::TILE, G::DEEP>(plan, t, w);
        for (; k < end; ++k) place(g, k, part), run_tile<G, G::TILE, 1>(plan, t, w);
      }
      for (; g < n_groups; ++g) {
        std::size_t k = begin;
        for (; k + G::DEEP <= end; k += G::DEEP) place(g, k, part), run_tile<G, 1, G::DEEP>(plan, t, w);
        for (; k < end; ++k) place(g, k, part), run_tile<G, 1, 1>(plan, t, w);
      }
    }
}

// ---- the b part: rows of `extended` are [-row | row], so that a slice is the row turned by its slot

template <int X>
void add_slices(int streams, const u64* extended, std::size_t at, std::size_t rows, const Column* columns,
                std::size_t n_columns, std::size_t from, std::size_t to, u64* acc) {
  constexpr int VECTORS = X / W, TOGETHER = VECTORS >= 8 ? 1 : 8 / VECTORS;  // streams whose sums stay in registers
  const std::size_t row_step = std::size_t(streams) * 2 * X;
  for (std::size_t f = 0; f < n_columns; ++f) {
    const Column& c = columns[f];
    const u8* bins = c.bins + at;
    const std::size_t first = c.offset / X, last = (c.offset + c.count - 1) / X;
    if (first == last) {
      if (first < from || first >= to) continue;
      u64* sums = acc + (first - from) * streams * X;
      const u32 base = c.offset % X;
      for (int s = 0; s < streams; s += TOGETHER) {
        const int n = streams - s < TOGETHER ? streams - s : TOGETHER;
        const u64* e = extended + s * 2 * X + X - base;
        if (n == TOGETHER) {
          Q v[TOGETHER * VECTORS];
          for (int k = 0; k < TOGETHER * VECTORS; ++k) v[k] = loadq(sums + s * X + k * W);
          for (std::size_t j = 0; j < rows; ++j) {
            const u64* p = e + j * row_step - bins[j];
            for (int i = 0; i < TOGETHER; ++i)
              for (int k = 0; k < VECTORS; ++k) v[i * VECTORS + k] += loadq(p + i * 2 * X + k * W);
          }
          for (int k = 0; k < TOGETHER * VECTORS; ++k) storeq(sums + s * X + k * W, v[k]);
        } else
          for (std::size_t j = 0; j < rows; ++j)
            for (int i = 0; i < n; ++i)
              for (int k = 0; k < VECTORS; ++k) {
                u64* to_ = sums + (s + i) * X + k * W;
                storeq(to_, loadq(to_) + loadq(e + j * row_step - bins[j] + i * 2 * X + k * W));
              }
      }
      continue;
    }
    if (last < from || first >= to) continue;
    for (std::size_t j = 0; j < rows; ++j) {
      const std::size_t slot = c.offset + bins[j], p = slot / X;
      if (p < from || p >= to) continue;
      u64* sums = acc + (p - from) * streams * X;
      const u64* e = extended + j * row_step + X - slot % X;
      for (int s = 0; s < streams; ++s)
        for (int k = 0; k < VECTORS; ++k)
          storeq(sums + s * X + k * W, loadq(sums + s * X + k * W) + loadq(e + s * 2 * X + k * W));
    }
  }
}

// Rows of `extended` are [-row | row | -row]: a negative factor's slice begins x words farther on.
template <int X>
void add_factor_slices(int streams, const u64* extended, std::size_t at, std::size_t rows, const Factors& f,
                       std::size_t polynomials, u64* acc) {
  constexpr int VECTORS = X / W;
  for (std::size_t j = 0; j < rows; ++j)
    for (std::size_t c = 0; c < f.columns && c < polynomials * X; ++c) {
      const int factor = f.factors[c * f.step + at + j];
      if (factor == 0) continue;
      const Q times_ = all(static_cast<u64>(factor < 0 ? -factor : factor));
      const u64* e = extended + j * streams * 3 * X + (factor < 0 ? 2 * X : X) - c % X;
      u64* sums = acc + c / X * streams * X;
      for (int s = 0; s < streams; ++s)
        for (int k = 0; k < VECTORS; ++k)
          storeq(sums + s * X + k * W, loadq(sums + s * X + k * W) + times_ * loadq(e + s * 3 * X + k * W));
    }
}

void factor_slices(int x, int streams, const u64* extended, std::size_t at, std::size_t rows, const Factors& f,
                   std::size_t polynomials, u64* acc) {
  if (x == 8) add_factor_slices<8>(streams, extended, at, rows, f, polynomials, acc);
  else if (x == 16) add_factor_slices<16>(streams, extended, at, rows, f, polynomials, acc);
  else add_factor_slices<32>(streams, extended, at, rows, f, polynomials, acc);
}

void slices(int x, int streams, const u64* extended, std::size_t at, std::size_t rows, const Column* columns,
            std::size_t n_columns, std::size_t from, std::size_t to, u64* acc) {
  if (x == 8) add_slices<8>(streams, extended, at, rows, columns, n_columns, from, to, acc);
  else if (x == 16) add_slices<16>(streams, extended, at, rows, columns, n_columns, from, to, acc);
  else add_slices<32>(streams, extended, at, rows, columns, n_columns, from, to, acc);
}

// ---- geometries: N = 4096 with three limbs, N = 8192 with five

template <class F>
PARLEY_INLINE void with_geometry(const Ring& ring, int x, F f) {
  if (ring.n == 4096) {
    if (x == 8) f(Geometry<4096, 8, 3>{});
    else if (x == 16) f(Geometry<4096, 16, 3>{});
    else f(Geometry<4096, 32, 3>{});
  } else {
    if (x == 16) f(Geometry<8192, 16, 5>{});
    else f(Geometry<8192, 32, 5>{});
  }
}

Shape shape(const Ring& ring, int x) {
  Shape s{};
  with_geometry(ring, x, [&]<class G>(G) {
    s = {G::POLYS, G::SLOTS, sizeof(typename G::Plan) / 8, std::size_t(G::SPECTRUM) * G::PARTS,
         std::size_t(G::SUMS) * G::PARTS, sizeof(typename G::Scratch) / 8, std::size_t(G::PARTS)};
  });
  return s;
}

void plan(const Ring& ring, int x, double* out) {
  with_geometry(ring, x, [&]<class G>(G) { make_plan<G>(*reinterpret_cast<typename G::Plan*>(out)); });
}

void spectrum(const Ring& ring, int x, const double* plan, const double* limbs, double* out, std::size_t step,
              double* scratch) {
  with_geometry(ring, x, [&]<class G>(G) {
    make_spectrum<G>(*reinterpret_cast<const typename G::Plan*>(plan), limbs, out, step,
                     *reinterpret_cast<typename G::Scratch*>(scratch));
  });
}

void accumulate(const Ring& ring, int x, const double* plan, const Spans* groups, std::size_t n_groups,
                const double* spectra, std::size_t blocks, std::size_t step, std::size_t rows, double* sums,
                double* scratch) {
  with_geometry(ring, x, [&]<class G>(G) {
    run_tiles<G>(*reinterpret_cast<const typename G::Plan*>(plan), groups, nullptr, n_groups, spectra, blocks, step, rows,
                 sums, *reinterpret_cast<typename G::Scratch*>(scratch));
  });
}

void accumulate_factors(const Ring& ring, int x, const double* plan, const Factors& factors, std::size_t n_groups,
                        const double* spectra, std::size_t blocks, std::size_t step, double* sums, double* scratch) {
  with_geometry(ring, x, [&]<class G>(G) {
    run_tiles<G>(*reinterpret_cast<const typename G::Plan*>(plan), nullptr, &factors, n_groups, spectra, blocks, step, 0,
                 sums, *reinterpret_cast<typename G::Scratch*>(scratch));
  });
}

void coefficients(const Ring& ring, int x, const double* plan, const double* sums, double* out, double* scratch) {
  with_geometry(ring, x, [&]<class G>(G) {
    make_coefficients<G>(*reinterpret_cast<const typename G::Plan*>(plan), sums, out,
                         *reinterpret_cast<typename G::Scratch*>(scratch));
  });
}

}  // namespace
}  // namespace parley::lattice
