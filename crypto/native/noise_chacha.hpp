// ChaCha20 (RFC 8439) as a stream of 64-bit words, four blocks at a time in vectors that every target has.
#pragma once
#include <cstdint>
#include <cstring>
#include <stdexcept>

namespace parley::noise {

using u32 = std::uint32_t;
using u64 = std::uint64_t;
using u128 = unsigned __int128;

class Words {
public:
    // A key of 32 bytes and the number of this stream under it; streams never share a block.
    Words(const std::uint8_t* key, u64 stream) : stream_(stream) {
        for (int i = 0; i < 8; ++i)
            key_[i] = u32(key[4 * i]) | u32(key[4 * i + 1]) << 8 | u32(key[4 * i + 2]) << 16 | u32(key[4 * i + 3]) << 24;
    }
    u64 next() {
        if (used_ == WORDS) refill();
        return buffer_[used_++];
    }

private:
    static constexpr int WORDS = 32; // four blocks
    void refill();

    u32 key_[8];
    u64 stream_;
    u64 block_ = 0;
    u64 buffer_[WORDS];
    int used_ = WORDS;
};

} // namespace parley::noise
