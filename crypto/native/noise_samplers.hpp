// Exact discrete Laplace and Gaussian samplers: every decision is made in integers, on unbounded uniform bits.
//
// Source: Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy" (NeurIPS 2020), algorithms 1, 2
// and 3. A coin of probability a/b compares a uniform number below b with a, word by word from the top, so that the
// words that do not matter are never drawn.
#pragma once
#include <cstdint>

#include "noise_chacha.hpp"

namespace parley::noise {

// An unsigned integer of 512 bits, least significant word first. Wide enough for every product below: with numbers
// below 2^120 and |y| * t below 2^116, no square reaches 2^480.
struct Wide {
    static constexpr int WORDS = 8;
    u64 w[WORDS] = {};
    int used = 0; // words up to the highest that is not zero

    static Wide of(u128 x);
    Wide times(const Wide& b) const;
    void subtract(const Wide& b); // b <= *this
    void shift(int bits);         // left, the result fits
    int compare(const Wide& b) const;
    int bits() const;
};

// exp(-gamma) for gamma in a/b: the denominator is shifted once so that its top word is full.
struct Scaled {
    Wide b;
    int shift = 0;
    explicit Scaled(const Wide& denominator);
};

// The scale is num / den, in lowest terms or not, 0 < num, den < 2^120; P(x) is proportional to exp(-|x| den / num).
class Laplace {
public:
    Laplace(u128 num, u128 den);
    std::int64_t draw(Words& words) const; // std::overflow_error beyond 2^62

private:
    u128 num_, den_;
    Scaled below_;
};

// The variance parameter is num / den, 0 < num, den < 2^120, num / den < 2^104; P(x) ~ exp(-x^2 den / (2 num)).
class Gauss {
public:
    Gauss(u128 num, u128 den);
    std::int64_t draw(Words& words) const;

private:
    Wide num_, step_; // step_ = t den
    u64 t_;
    Laplace proposal_;
    Scaled below_; // 2 t^2 num den
};

} // namespace parley::noise
