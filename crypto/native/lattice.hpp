// What the lattice's portable code and its kernels agree on. R = Z[X]/(X^N + 1), q a product of 50-bit primes; integer
// results are the same bytes from every kernel. Plain data only: the kernels' units are compiled for wider CPUs.
#pragma once
#include <cstddef>
#include <cstdint>

namespace parley::lattice {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using i8 = std::int8_t;
using i64 = std::int64_t;
using u64 = std::uint64_t;
using i128 = __int128;
using u128 = unsigned __int128;

constexpr int PRIMES = 3;         // at most
constexpr int LIMBS = 5;          // at most
constexpr int GROUP = 8;          // public key elements, and response polynomials that share one u
constexpr std::size_t CHUNK = 8192;    // terms between two reductions of the b part: 2^13 * 2^50 fits a word
constexpr std::size_t FACTORS = 128;   // the same for terms with factors of up to 127, one a row and column
constexpr std::size_t FLUSH = 1 << 18;  // terms between two roundings: sums of limbs stay far below 2^53

// One prime q < 2^50, q = 1 modulo 2N, and its number-theoretic transform: values at bit-reversed places.
struct Prime {
  u64 q, barrett, inverse64;         // q, floor(2^110 / q), floor(2^64 / q)
  double qd, qinv;                   // q and 1 / q
  const u64 *w, *ws, *iw, *iws;      // powers of a 2N-th root in bit-reversed order, and floor(w * 2^64 / q)
  const double *wd, *iwd;            // the same, centred, as doubles
  const double *tail, *itail;        // those of the last log2(lanes) levels, one vector per lane's block
  u64 ninv;
  double ninvd;
  u64 limb[LIMBS];                   // 2^(limb_bits * k) modulo q
  u64 inverse_of[PRIMES];           // inverse of every other prime modulo this one
};

struct Ring {
  int n, log_n, primes, limbs, limb_bits, lanes;
  Prime prime[PRIMES];
  u64 product[4];  // q0 * q1 in limbs of 30 bits
};

// A run of rows' bins of one feature; slot = bin + shift is this group's own where 0 <= slot < slots.
struct Span {
  const u8* bins;
  int shift;
};
struct Spans {
  const Span* span;
  int count;
};
// A feature's bins and the slots [offset, offset + count) that it owns.
struct Column {
  const u8* bins;
  u32 offset, count;
};

// Small signed factors of rows, column after column, `step` rows each; column c has slot c.
struct Factors {
  const i8* factors;
  std::size_t step, columns;
};

// Sizes in doubles that one (ring, x) needs of its caller; all areas begin at 64 bytes.
struct Shape {
  int polynomials, slots;   // of one group: polynomials that share a vector, and their coefficients of use
  std::size_t plan, spectrum, sums, scratch;  // plan; one block; one group's accumulators; a thread's own memory
  std::size_t lane_groups;  // spectra and sums are made of this many equal parts
};

struct Kernel {
  const char* name;
  int lanes;
  // 64 * blocks bytes of ChaCha20 (RFC 8439), from block `counter` on.
  void (*keystream)(u8* out, std::size_t blocks, const u8* key, const u8* nonce, u32 counter);
  // Canonical residues in and out.
  void (*forward)(const Ring&, int prime, u64* a);
  void (*inverse)(const Ring&, int prime, u64* a);
  void (*multiply)(const Prime&, u64* out, const u64* a, const u64* b, std::size_t n);
  // out = a + b or a - b.
  void (*add)(const Prime&, u64* out, const u64* a, const u64* b, bool negative, std::size_t n);
  // out = a * k for any a below 2^52.
  void (*scale)(const Prime&, u64* out, const u64* a, u64 k, std::size_t n);
  // a += e for signed e of less than q in size.
  void (*add_small)(const Prime&, u64* a, const i64* e, std::size_t n);
  // Centred binomial of 2 * 21 bits of each word.
  void (*binomial)(i64* out, const u64* words, std::size_t n);
  // out = (a - b) * k modulo q; b is a residue of `other`, taken in (-other/2, other/2) where `centred`.
  void (*lift)(const Prime&, u64* out, const u64* a, const u64* b, u64 other, bool centred, u64 k, std::size_t n);
  // d += sum of limbs modulo q. The limbs are whole numbers up to rounding.
  void (*fold)(const Ring&, int prime, u64* d, const double* limbs);
  // The largest distance of one of n numbers to a whole one.
  double (*distance)(const double* x, std::size_t n);

  Shape (*shape)(const Ring&, int x);
  void (*plan)(const Ring&, int x, double* plan);
  // Spectrum of a polynomial given by `limbs` rows of N whole numbers; parts `step` doubles apart.
  void (*spectrum)(const Ring&, int x, const double* plan, const double* limbs, double* out, std::size_t step,
                   double* scratch);
  // sums += (one-hot polynomial of the block) * (spectrum of the block) for every group and block.
  void (*accumulate)(const Ring&, int x, const double* plan, const Spans* groups, std::size_t n_groups,
                     const double* spectra, std::size_t blocks, std::size_t step, std::size_t rows, double* sums,
                     double* scratch);
  // The same with the polynomials of factors; rows behind the last are zero.
  void (*accumulate_factors)(const Ring&, int x, const double* plan, const Factors&, std::size_t n_groups,
                             const double* spectra, std::size_t blocks, std::size_t step, double* sums,
                             double* scratch);
  // Back to coefficients: [polynomials][limbs][N]. Sums are left as they are.
  void (*coefficients)(const Ring&, int x, const double* plan, const double* sums, double* out, double* scratch);
  // acc[p][stream][x] += the slice of each row's extended words [row][stream][2x] that its bin picks, p in [from, to).
  void (*slices)(int x, int streams, const u64* extended, std::size_t at, std::size_t rows, const Column* columns,
                 std::size_t n_columns, std::size_t from, std::size_t to, u64* acc);
  // The same for columns of factors; extended words are [row][stream][3x].
  void (*factor_slices)(int x, int streams, const u64* extended, std::size_t at, std::size_t rows, const Factors&,
                        std::size_t polynomials, u64* acc);
};

extern const Kernel BASELINE;
extern const Kernel AVX2;    // only where the CPU has AVX2 and FMA
extern const Kernel AVX512;  // only where it has AVX-512 F, DQ and VL
const Kernel& kernel();      // the one to use here and now; throws on an unknown PARLEY_CPU

}  // namespace parley::lattice
