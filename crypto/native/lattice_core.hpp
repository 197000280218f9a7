// The lattice scheme on top of a kernel: a ring's tables, the owner's side, sums under encryption. Nothing here draws
// randomness: every function takes the 32-byte keys it expands, and only the doors (lattice_bind.cpp) call the system.
#pragma once
#include <cstddef>
#include <memory>
#include <vector>

#include "lattice.hpp"
#include "wipe.hpp"

namespace parley::lattice {

struct Refused {  // what a door turns into CryptoError
  const char* code;
  const char* message;
};

// 64-byte aligned, zeroed; wiped before it is freed where WIPE.
void* take(std::size_t bytes);
void give(void* p, std::size_t bytes, bool wipe) noexcept;

template <class T, bool WIPE = false>
class Area {
 public:
  explicit Area(std::size_t n = 0) : n_(n), p_(static_cast<T*>(take(n * sizeof(T)))) {}
  ~Area() { give(p_, n_ * sizeof(T), WIPE); }
  Area(Area&& o) noexcept : n_(o.n_), p_(o.p_) { o.p_ = nullptr, o.n_ = 0; }
  Area& operator=(Area&& o) noexcept { std::swap(n_, o.n_), std::swap(p_, o.p_); return *this; }
  T* data() { return p_; }
  const T* data() const { return p_; }
  T& operator[](std::size_t i) { return p_[i]; }
  const T& operator[](std::size_t i) const { return p_[i]; }
  std::size_t size() const { return n_; }

 private:
  std::size_t n_;
  T* p_;
};
template <class T>
using Secret = Area<T, true>;

// A ring and a kernel that fit each other; tables are made once.
struct Context {
  const Kernel& k;
  Ring ring;
  std::vector<u64> words;
  Area<double> reals;

  Context(const Kernel& k, int n, int primes);
  std::size_t poly() const { return static_cast<std::size_t>(ring.n) * ring.primes; }
  std::size_t packed(std::size_t words_) const { return (words_ * 50 + 7) / 8; }  // bytes of 50-bit residues
};
const Context& context(int n);               // 4096 or 8192, on the kernel of this moment
const double* plan_of(const Context&, int x);  // geometry tables, made once

bool allowed(int n, int x);
void pack50(u8* out, const u64* words, std::size_t n);
// False where a residue is not below q.
bool unpack50(u64* words, const u8* in, std::size_t n, u64 q);
// Uniform residues: word j of the stream for place j; those not below q, in order, from the words that follow.
void uniform(const Context&, const Prime&, u64* out, const u8* key, const u8* nonce);
void nonce_for(u8 out[12], u32 purpose, u64 number);

class Owner {
 public:
  // Secrets expand from `secret`, the public half of the key elements from `open`.
  Owner(int n, int channels, const u8* secret, const u8* open);
  int n() const { return n_; }
  int channels() const { return channels_; }
  std::size_t public_size() const;  // GROUP elements, channels and primes of packed polynomials
  void public_key(u8* out) const;
  // Blocks of L = N / x rows: (blocks, channels, primes) packed polynomials. `open` gives a, `noise` the errors;
  // scale[i] = 2^delta modulo prime i. The first block is the batch's block `first`; no two calls may share one's `open`
  // and number.
  void encrypt(u8* out, const i64* values, std::size_t rows, int x, const u64* scale, const u8* open, const u8* noise,
               int threads, std::size_t first = 0) const;
  // (polynomials * x, channels) sums; |sum - nearest| * 2^16 at most in *far.
  void decrypt(i64* out, const u8* replies, std::size_t polynomials, int x, u128 factor, int threads, u32* far) const;
  // Keys to pack replies of x sums a polynomial: for each of log2(N / x) turns, one for each digit. Once a key: the same
  // public halves with other errors would add up to the secret.
  void turn_keys(u8* out, int x, const u8* secret, const u8* open);
  // Packed replies: (parts) of 1 + channels polynomials that hold `together` response polynomials' sums.
  void decrypt_packed(i64* out, const u8* replies, std::size_t polynomials, int x, u128 factor, int threads,
                      u32* far) const;
  void close() { secret_ = Secret<u64>(); }
  bool closed() const { return secret_.size() == 0; }

 private:
  int n_, channels_;
  bool turned_ = false;
  Secret<u64> secret_;  // [channels][primes][N], transformed
  std::vector<u8> public_;
};
std::size_t turn_keys_size(int n, int channels, int x);
std::size_t together(int n, int x, std::size_t polynomials);    // response polynomials that share a packed reply
std::size_t packed_size(int n, int channels);                    // one packed reply
std::size_t reply_size(int n, int channels, int x);  // one response polynomial: D modulo q0, x values a channel

class PublicKey {
 public:
  PublicKey(int n, int channels, const u8* open, const u8* packed);  // Refused "bad_key"
  int n() const { return n_; }
  int channels() const { return channels_; }
  const u64* p1(int element) const { return &p1_[element * poly_]; }
  const u64* p0(int element, int channel) const { return &p0_[(element * channels_ + channel) * poly_]; }

 private:
  int n_, channels_;
  std::size_t poly_;
  Area<u64> p1_, p0_;  // transformed
};

class TurnKeys {
 public:
  TurnKeys(int n, int channels, int x, const u8* open, const u8* packed);  // Refused "bad_key"
  int x() const { return x_; }
  // Element 0 is the public half, 1 + c that of channel c; transformed, one polynomial a prime.
  const u64* key(int turn, int digit, int element) const {
    return &keys_[((static_cast<std::size_t>(turn) * digits_ + digit) * (1 + channels_) + element) * poly_];
  }
  int digits() const { return digits_; }
  int channels() const { return channels_; }
  int n() const { return n_; }

 private:
  int n_, channels_, x_, digits_;
  std::size_t poly_;
  Area<u64> keys_;
};

struct Message {  // one encrypted batch as received, or whole blocks of it from its block `first` on
  const u8* blocks;
  std::size_t rows;
  int x, channels;
  const u8* open;
  std::size_t first;
};
struct Bins {  // (n, features), C order; the message's row i is row order[i], or i where order is null
  const void* data;
  bool wide;  // uint16, else uint8
  std::size_t n, features;
  const i64* order;
  const u32* counts;  // bins of each feature, 1 to 256
};

struct Columns {  // int8 (n, columns), C order; rows as in Bins
  const i8* data;
  std::size_t n, columns;
  const i64* order;
};

// D and b of every response polynomial: integers modulo the primes, never sent as they are.
class Sums {
 public:
  Sums(int n, int channels, int x, std::size_t slots);
  void histogram(const Message&, const Bins&, int threads);     // adds
  void products(const Message&, const Columns&, int threads);   // adds the rows times each column's factors
  void add(const Sums& other, bool negative);
  std::size_t polynomials() const { return polynomials_; }
  std::size_t slots() const { return slots_; }
  int n() const { return n_; }
  int channels() const { return channels_; }
  int x() const { return x_; }
  double worst() const { return worst_; }
  const Area<u64>& d() const { return d_; }
  const Area<u64>& b() const { return b_; }
  struct Use { u32 element; u64 u; };  // one pair of a key element and a u
  // Fresh encryption of zero and flooding in +-2^flood for every polynomial, then the switch to q0.
  // release_packed: the same, then `together` polynomials into one reply, a public computation.
  // `uses` lists the pairs; `bare` leaves both out and is for test targets alone.
  void release(u8* out, const PublicKey&, int flood, const u8* random, int threads, std::vector<Use>* uses,
               bool bare) const;
  void release_packed(u8* out, const PublicKey&, const TurnKeys&, int flood, const u8* random, int threads) const;

 private:
  friend class Summation;
  int n_, channels_, x_;
  std::size_t slots_, polynomials_;
  Area<u64> d_, b_;  // [polynomial][prime][N], [polynomial][channel][prime][x]
  double worst_ = 0;
};

}  // namespace parley::lattice
