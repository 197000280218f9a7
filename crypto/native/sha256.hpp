// The constants of SHA-256 (FIPS 180-4, 4.2.2 and 5.3.3).
#pragma once
#include <cstdint>

namespace parley {

extern const std::uint32_t SHA256_IV[8];
extern const std::uint32_t SHA256_K[64]; // aligned to 16 bytes

} // namespace parley
