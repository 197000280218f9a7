#include "noise_samplers.hpp"

#include <bit>

namespace parley::noise {

Wide Wide::of(u128 x) {
    Wide out;
    out.w[0] = static_cast<u64>(x), out.w[1] = static_cast<u64>(x >> 64);
    out.used = out.w[1] ? 2 : out.w[0] ? 1 : 0;
    return out;
}

Wide Wide::times(const Wide& b) const {
    if (used + b.used > WORDS) throw std::overflow_error("a product of 512 bits");
    Wide out;
    for (int i = 0; i < used; ++i) {
        u128 carry = 0;
        for (int j = 0; j < b.used; ++j) {
            carry += u128(w[i]) * b.w[j] + out.w[i + j];
            out.w[i + j] = static_cast<u64>(carry);
            carry >>= 64;
        }
        out.w[i + b.used] = static_cast<u64>(carry);
    }
    out.used = used + b.used;
    while (out.used && !out.w[out.used - 1]) --out.used;
    return out;
}

void Wide::subtract(const Wide& b) {
    u64 borrow = 0;
    for (int i = 0; i < used; ++i) {
        const u128 d = u128(w[i]) - b.w[i] - borrow;
        w[i] = static_cast<u64>(d);
        borrow = static_cast<u64>(d >> 64) & 1;
    }
    while (used && !w[used - 1]) --used;
}

void Wide::shift(int by) {
    if (!used || !by) return;
    if (used == WORDS && by > std::countl_zero(w[used - 1])) throw std::overflow_error("a number of 512 bits");
    u64 carry = 0;
    for (int i = 0; i < used; ++i) {
        const u64 x = w[i];
        w[i] = x << by | carry;
        carry = x >> (64 - by);
    }
    if (carry) w[used++] = carry;
}

int Wide::compare(const Wide& b) const {
    if (used != b.used) return used < b.used ? -1 : 1;
    for (int i = used - 1; i >= 0; --i)
        if (w[i] != b.w[i]) return w[i] < b.w[i] ? -1 : 1;
    return 0;
}

int Wide::bits() const { return used ? 64 * used - std::countl_zero(w[used - 1]) : 0; }

Scaled::Scaled(const Wide& denominator) : b(denominator) {
    shift = std::countl_zero(b.w[b.used - 1]);
    b.shift(shift);
}

namespace {

// A uniform number in [0, bound), bound >= 1.
u64 below(Words& words, u64 bound) {
    const int shift = std::countl_zero(bound | 1);
    for (;;) {
        const u64 x = words.next() >> shift;
        if (x < bound) return x;
    }
}

u128 below(Words& words, u128 bound) {
    if (!(bound >> 64)) return below(words, static_cast<u64>(bound));
    const int shift = std::countl_zero(static_cast<u64>(bound >> 64));
    for (;;) {
        const u128 x = u128(words.next() >> shift) << 64 | words.next();
        if (x < bound) return x;
    }
}

// True with probability a / b, a <= b; both shifted so that b's top word is full. Draws a uniform x of b's length
// from the top word down until its order to a and to b is known; x >= b is drawn again.
bool coin(Words& words, const Wide& a, const Wide& b) {
    for (;;) {
        int to_a = 0, to_b = 0; // -1: x is below, 0: equal so far, 1: above
        for (int i = b.used - 1; i >= 0 && (to_b == 0 || (to_b < 0 && to_a == 0)); --i) {
            const u64 x = words.next();
            if (to_a == 0 && x != a.w[i]) to_a = x < a.w[i] ? -1 : 1;
            if (to_b == 0 && x != b.w[i]) to_b = x < b.w[i] ? -1 : 1;
            if (to_a < 0) break; // below a, hence below b
        }
        if (to_a < 0) return true;
        if (to_b < 0) return false;
    }
}

// True with probability exp(-1) (algorithm 1 with gamma = 1).
bool exp_one(Words& words) {
    for (u64 k = 1;; ++k)
        if (k > 1 && below(words, k) != 0) return k & 1;
}

// True with probability exp(-a / b), a < b (algorithm 1): a coin of a / (k b) is one of a / b and one of 1 / k.
bool exp_below_one(Words& words, const Wide& a, const Wide& b) {
    for (u64 k = 1;; ++k) {
        if (k > 1 && below(words, k) != 0) return k & 1;
        if (!coin(words, a, b)) return k & 1;
    }
}

// True with probability exp(-a / b) for any a.
bool exp_any(Words& words, Wide a, const Scaled& s) {
    a.shift(s.shift);
    while (a.compare(s.b) >= 0) {
        if (!exp_one(words)) return false;
        a.subtract(s.b);
    }
    return exp_below_one(words, a, s.b);
}

constexpr std::int64_t LARGEST = std::int64_t(1) << 62;

// floor(sqrt(num / den)) for a quotient below 2^104, by bisection.
u64 root(u128 num, u128 den) {
    const u128 q = num / den; // floor(sqrt(x)) = floor(sqrt(floor(x)))
    u64 low = 0, high = u64(1) << 53;
    while (high - low > 1) {
        const u64 middle = low + (high - low) / 2;
        if (u128(middle) * middle <= q) low = middle;
        else high = middle;
    }
    return low;
}

} // namespace

Laplace::Laplace(u128 num, u128 den) : num_(num), den_(den), below_(Wide::of(num)) {}

std::int64_t Laplace::draw(Words& words) const {
    for (;;) {
        const u128 u = num_ == 1 ? 0 : below(words, num_);
        if (u) {
            Wide a = Wide::of(u);
            a.shift(below_.shift);
            if (!exp_below_one(words, a, below_.b)) continue;
        }
        u128 v = 0;
        while (exp_one(words)) ++v;
        if (v > 250) throw std::overflow_error("a draw of probability below exp(-250)"); // v * num stays below 2^128
        const u128 x = u + num_ * v;
        const u128 y = den_ == 1 ? x : x / den_;
        if (y > static_cast<u128>(LARGEST)) throw std::overflow_error("a draw beyond 2^62");
        const bool negative = words.next() >> 63;
        if (negative && y == 0) continue;
        return negative ? -static_cast<std::int64_t>(y) : static_cast<std::int64_t>(y);
    }
}

Gauss::Gauss(u128 num, u128 den)
    : num_(Wide::of(num)), t_(root(num, den) + 1), proposal_(t_, 1), below_(Wide::of(1)) {
    const Wide t = Wide::of(t_);
    step_ = t.times(Wide::of(den));
    below_ = Scaled(t.times(t).times(num_).times(Wide::of(den)).times(Wide::of(2)));
}

std::int64_t Gauss::draw(Words& words) const {
    for (;;) {
        const std::int64_t y = proposal_.draw(words);
        const Wide center = Wide::of(static_cast<u64>(y < 0 ? -y : y)).times(step_); // |y| t den, to compare with num
        const bool above = center.compare(num_) >= 0;
        Wide distance = above ? center : num_;
        distance.subtract(above ? num_ : center);
        if (exp_any(words, distance.times(distance), below_)) return y;
    }
}

} // namespace parley::noise
