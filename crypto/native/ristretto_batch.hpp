// The batch kernel over any backend. Included after ristretto_group.hpp inside the backend's unnamed namespace; the
// backend provides besides: struct Table (scratch), Point times(point, digits, table), which multiplies by half the
// scalar, and lane(mask, j), 0 or 1.
//
// What depends on the scalar steers no branch and no address: rows that turn out to be the identity are blanked by
// a mask. The validity of an input is public.

class Kernel {
  public:
    static void multiply(std::uint8_t* out, const std::uint8_t* in, std::uint8_t* ok, std::size_t n,
                         const Digits* digits) {
        run(out, ok, n, digits, [in](std::size_t at, std::size_t k, Scratch& s, Mask& good) {
            std::memcpy(s.in, in + 32 * at, 32 * k);
            // A short group is filled with the encoding of the generator.
            for (std::size_t j = k; j < LANES; j++) std::memcpy(s.in + 32 * j, GENERATOR, 32);
            const Point p = decode(s.in, good);
            good = m_and(good, m_not(is_identity(p)));
            return p;
        });
    }
    static void hash(std::uint8_t* out, const std::uint8_t* uniform, std::uint8_t* ok, std::size_t n,
                     const Digits* digits) {
        run(out, ok, n, digits, [uniform](std::size_t at, std::size_t k, Scratch& s, Mask& good) {
            std::memset(s.in, 1, 64 * LANES);
            std::memcpy(s.in, uniform + 64 * at, 64 * k);
            const Point p = from_uniform(s.in);
            good = m_not(is_identity(p));
            return p;
        });
    }

  private:
    static constexpr std::size_t BATCH = LANES * DoubledBatch::GROUPS;
    struct Scratch {
        Table table;
        DoubledBatch doubled;
        Mask good[DoubledBatch::GROUPS];
        alignas(64) std::uint8_t in[64 * LANES], encoded[32 * LANES];
    };

    template <class Source>
    static void run(std::uint8_t* out, std::uint8_t* ok, std::size_t n, const Digits* digits, Source source) {
        alignas(64) Scratch s;
        for (std::size_t from = 0; from < n; from += BATCH) {
            const std::size_t to = n - from < BATCH ? n : from + BATCH;
            for (std::size_t at = from, group = 0; at < to; at += LANES, group++) {
                const std::size_t k = lanes_of(at, to);
                const Point p = source(at, k, s, s.good[group]);
                if (digits != nullptr) s.doubled.add_point(times(p, *digits, s.table));
                else {
                    if (out != nullptr) encode(s.encoded, p);
                    give(out, ok, at, k, s.encoded, s.good[group]);
                }
            }
            if (digits == nullptr) continue;
            s.doubled.finish();
            for (std::size_t group = (to - from + LANES - 1) / LANES; group-- > 0;) {
                const std::size_t at = from + LANES * group;
                const Mask good = m_and(s.good[group], s.doubled.encode_last(s.encoded));
                give(out, ok, at, lanes_of(at, to), s.encoded, good);
            }
            s.doubled.restart();
        }
        if (digits != nullptr) wipe(&s, sizeof s);
    }

    static std::size_t lanes_of(std::size_t at, std::size_t to) { return to - at < LANES ? to - at : LANES; }

    static void give(std::uint8_t* out, std::uint8_t* ok, std::size_t at, std::size_t k, const std::uint8_t* encoded,
                     Mask good) {
        for (std::size_t j = 0; j < k; j++) {
            ok[at + j] = lane(good, j);
            if (out == nullptr) continue;
            const std::uint8_t keep = static_cast<std::uint8_t>(0 - lane(good, j));
            for (std::size_t i = 0; i < 32; i++) out[32 * (at + j) + i] = encoded[32 * j + i] & keep;
        }
    }
};
