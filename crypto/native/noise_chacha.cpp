#include "noise_chacha.hpp"

namespace parley::noise {

namespace {

typedef u32 Lanes __attribute__((vector_size(16)));

inline Lanes rotated(Lanes x, int by) { return (x << by) | (x >> (32 - by)); }

inline void quarter(Lanes& a, Lanes& b, Lanes& c, Lanes& d) {
    a += b, d = rotated(d ^ a, 16);
    c += d, b = rotated(b ^ c, 12);
    a += b, d = rotated(d ^ a, 8);
    c += d, b = rotated(b ^ c, 7);
}

inline Lanes all(u32 x) { return Lanes{x, x, x, x}; }

} // namespace

// Lane j is block block_ + j; words 12 to 15 are the 32-bit counter, a zero, and the stream's number.
void Words::refill() {
    if (block_ + 4 > (u64(1) << 32)) throw std::length_error("a noise stream is used up");
    const u32 at = static_cast<u32>(block_);
    Lanes start[16] = {all(0x61707865), all(0x3320646e), all(0x79622d32), all(0x6b206574)};
    for (int i = 0; i < 8; ++i) start[4 + i] = all(key_[i]);
    start[12] = Lanes{at, at + 1, at + 2, at + 3};
    start[13] = all(0);
    start[14] = all(static_cast<u32>(stream_));
    start[15] = all(static_cast<u32>(stream_ >> 32));
    Lanes x[16];
    std::memcpy(x, start, sizeof x);
    for (int round = 0; round < 10; ++round) {
        quarter(x[0], x[4], x[8], x[12]), quarter(x[1], x[5], x[9], x[13]);
        quarter(x[2], x[6], x[10], x[14]), quarter(x[3], x[7], x[11], x[15]);
        quarter(x[0], x[5], x[10], x[15]), quarter(x[1], x[6], x[11], x[12]);
        quarter(x[2], x[7], x[8], x[13]), quarter(x[3], x[4], x[9], x[14]);
    }
    for (int i = 0; i < 16; ++i) x[i] += start[i];
    for (int j = 0; j < 4; ++j)
        for (int i = 0; i < 8; ++i) buffer_[8 * j + i] = u64(x[2 * i][j]) | u64(x[2 * i + 1][j]) << 32;
    block_ += 4;
    used_ = 0;
}

} // namespace parley::noise
