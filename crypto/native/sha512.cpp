#include "sha512.hpp"

#include <algorithm>

namespace parley {
namespace {

constexpr std::uint64_t ROUND[80] = {
    0x428a2f98d728ae22ull, 0x7137449123ef65cdull, 0xb5c0fbcfec4d3b2full, 0xe9b5dba58189dbbcull,
    0x3956c25bf348b538ull, 0x59f111f1b605d019ull, 0x923f82a4af194f9bull, 0xab1c5ed5da6d8118ull,
    0xd807aa98a3030242ull, 0x12835b0145706fbeull, 0x243185be4ee4b28cull, 0x550c7dc3d5ffb4e2ull,
    0x72be5d74f27b896full, 0x80deb1fe3b1696b1ull, 0x9bdc06a725c71235ull, 0xc19bf174cf692694ull,
    0xe49b69c19ef14ad2ull, 0xefbe4786384f25e3ull, 0x0fc19dc68b8cd5b5ull, 0x240ca1cc77ac9c65ull,
    0x2de92c6f592b0275ull, 0x4a7484aa6ea6e483ull, 0x5cb0a9dcbd41fbd4ull, 0x76f988da831153b5ull,
    0x983e5152ee66dfabull, 0xa831c66d2db43210ull, 0xb00327c898fb213full, 0xbf597fc7beef0ee4ull,
    0xc6e00bf33da88fc2ull, 0xd5a79147930aa725ull, 0x06ca6351e003826full, 0x142929670a0e6e70ull,
    0x27b70a8546d22ffcull, 0x2e1b21385c26c926ull, 0x4d2c6dfc5ac42aedull, 0x53380d139d95b3dfull,
    0x650a73548baf63deull, 0x766a0abb3c77b2a8ull, 0x81c2c92e47edaee6ull, 0x92722c851482353bull,
    0xa2bfe8a14cf10364ull, 0xa81a664bbc423001ull, 0xc24b8b70d0f89791ull, 0xc76c51a30654be30ull,
    0xd192e819d6ef5218ull, 0xd69906245565a910ull, 0xf40e35855771202aull, 0x106aa07032bbd1b8ull,
    0x19a4c116b8d2d0c8ull, 0x1e376c085141ab53ull, 0x2748774cdf8eeb99ull, 0x34b0bcb5e19b48a8ull,
    0x391c0cb3c5c95a63ull, 0x4ed8aa4ae3418acbull, 0x5b9cca4f7763e373ull, 0x682e6ff3d6b2b8a3ull,
    0x748f82ee5defb2fcull, 0x78a5636f43172f60ull, 0x84c87814a1f0ab72ull, 0x8cc702081a6439ecull,
    0x90befffa23631e28ull, 0xa4506cebde82bde9ull, 0xbef9a3f7b2c67915ull, 0xc67178f2e372532bull,
    0xca273eceea26619cull, 0xd186b8c721c0c207ull, 0xeada7dd6cde0eb1eull, 0xf57d4f7fee6ed178ull,
    0x06f067aa72176fbaull, 0x0a637dc5a2c898a6ull, 0x113f9804bef90daeull, 0x1b710b35131c471bull,
    0x28db77f523047d84ull, 0x32caab7b40c72493ull, 0x3c9ebe0a15c9bebcull, 0x431d67c49c100d4cull,
    0x4cc5d4becb3e42b6ull, 0x597f299cfc657e2aull, 0x5fcb6fab3ad6faecull, 0x6c44198c4a475817ull,
};

inline std::uint64_t rotr(std::uint64_t x, int n) { return (x >> n) | (x << (64 - n)); }

inline std::uint64_t load_be(const std::uint8_t* p) {
    std::uint64_t x;
    std::memcpy(&x, p, 8);
    return __builtin_bswap64(x);
}

} // namespace

// Eight rounds at a time, so that the eight words of state change their names and not their places.
void Sha512::block(const std::uint8_t* p) {
    std::uint64_t w[16];
    for (int i = 0; i < 16; i++) w[i] = load_be(p + 8 * i);
    std::uint64_t a = h_[0], b = h_[1], c = h_[2], d = h_[3], e = h_[4], f = h_[5], g = h_[6], h = h_[7];
    const auto word = [&w](int i) {
        if (i < 16) return w[i];
        const std::uint64_t x = w[(i + 1) & 15], y = w[(i + 14) & 15];
        const std::uint64_t s0 = rotr(x, 1) ^ rotr(x, 8) ^ (x >> 7), s1 = rotr(y, 19) ^ rotr(y, 61) ^ (y >> 6);
        return w[i & 15] += s0 + w[(i + 9) & 15] + s1;
    };
    const auto round = [&word](std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t& d, std::uint64_t e,
                               std::uint64_t f, std::uint64_t g, std::uint64_t& h, int i) {
        const std::uint64_t t1 =
            h + (rotr(e, 14) ^ rotr(e, 18) ^ rotr(e, 41)) + (g ^ (e & (f ^ g))) + ROUND[i] + word(i);
        d += t1;
        h = t1 + (rotr(a, 28) ^ rotr(a, 34) ^ rotr(a, 39)) + ((a & b) | (c & (a | b)));
    };
    for (int i = 0; i < 80; i += 8) {
        round(a, b, c, d, e, f, g, h, i);
        round(h, a, b, c, d, e, f, g, i + 1);
        round(g, h, a, b, c, d, e, f, i + 2);
        round(f, g, h, a, b, c, d, e, i + 3);
        round(e, f, g, h, a, b, c, d, i + 4);
        round(d, e, f, g, h, a, b, c, i + 5);
        round(c, d, e, f, g, h, a, b, i + 6);
        round(b, c, d, e, f, g, h, a, i + 7);
    }
    const std::uint64_t added[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++) h_[i] += added[i];
}

void Sha512::update(const std::uint8_t* p, std::size_t n) {
    total_ += n;
    while (n > 0) {
        if (used_ == 0 && n >= 128) {
            block(p);
            p += 128;
            n -= 128;
            continue;
        }
        const std::size_t take = std::min<std::size_t>(n, 128 - used_);
        std::memcpy(buf_ + used_, p, take);
        used_ += take;
        p += take;
        n -= take;
        if (used_ == 128) {
            block(buf_);
            used_ = 0;
        }
    }
}

void Sha512::finish(std::uint8_t out[64]) {
    const std::uint64_t bits = total_ * 8;
    static constexpr std::uint8_t padding[128] = {0x80};
    update(padding, used_ < 112 ? 112 - used_ : 240 - used_);
    std::uint8_t length[16] = {};
    for (int i = 0; i < 8; i++) length[8 + i] = static_cast<std::uint8_t>(bits >> (56 - 8 * i));
    update(length, 16);
    for (int i = 0; i < 64; i++) out[i] = static_cast<std::uint8_t>(h_[i / 8] >> (56 - 8 * (i % 8)));
}

Expander::Expander(const std::uint8_t* dst, std::size_t n) {
    if (n > 255) {
        static const char prefix[] = "H2C-OVERSIZE-DST-";
        std::uint8_t digest[64];
        Sha512 h;
        h.update(reinterpret_cast<const std::uint8_t*>(prefix), sizeof prefix - 1);
        h.update(dst, n);
        h.finish(digest);
        dst_prime_.assign(reinterpret_cast<const char*>(digest), 64);
    } else {
        dst_prime_.assign(reinterpret_cast<const char*>(dst), n);
    }
    dst_prime_.push_back(static_cast<char>(dst_prime_.size()));
    const std::uint8_t zeros[128] = {};
    padded_.update(zeros, 128);
}

void Expander::expand(std::uint8_t out[64], const std::uint8_t* msg, std::size_t n) const {
    const auto* dst = reinterpret_cast<const std::uint8_t*>(dst_prime_.data());
    const std::uint8_t length[3] = {0, 64, 0};
    std::uint8_t b0[64];
    Sha512 first = padded_;
    first.update(msg, n);
    first.update(length, 3);
    first.update(dst, dst_prime_.size());
    first.finish(b0);
    const std::uint8_t one = 1;
    Sha512 second;
    second.update(b0, 64);
    second.update(&one, 1);
    second.update(dst, dst_prime_.size());
    second.finish(out);
}

} // namespace parley
