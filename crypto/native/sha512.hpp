// SHA-512 (FIPS 180-4) and expand_message_xmd with it (RFC 9380, 5.3.1), for 64 output bytes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

namespace parley {

class Sha512 {
public:
    void update(const std::uint8_t* p, std::size_t n);
    void finish(std::uint8_t out[64]);

private:
    void block(const std::uint8_t* p);
    std::uint64_t h_[8] = {0x6a09e667f3bcc908ull, 0xbb67ae8584caa73bull, 0x3c6ef372fe94f82bull,
                           0xa54ff53a5f1d36f1ull, 0x510e527fade682d1ull, 0x9b05688c2b3e6c1full,
                           0x1f83d9abfb41bd6bull, 0x5be0cd19137e2179ull};
    std::uint8_t buf_[128] = {};
    std::size_t used_ = 0;
    std::uint64_t total_ = 0;
};

// Hashes messages to 64 uniform bytes under one domain separation tag. Const use is safe from many threads.
class Expander {
public:
    Expander(const std::uint8_t* dst, std::size_t n);
    void expand(std::uint8_t out[64], const std::uint8_t* msg, std::size_t n) const;

private:
    Sha512 padded_; // state after the block of zeros
    std::string dst_prime_;
};

} // namespace parley
