// Constants of ristretto255 (RFC 9496, section 4.1) as five limbs of 51 bits, least significant first.
#pragma once
#include <cstdint>

namespace parley {

inline constexpr std::uint64_t K_ONE[5] = {1ull, 0ull, 0ull, 0ull, 0ull};
inline constexpr std::uint64_t K_D[5] = {929955233495203ull, 466365720129213ull, 1662059464998953ull, 2033849074728123ull, 1442794654840575ull};
inline constexpr std::uint64_t K_D2[5] = {1859910466990425ull, 932731440258426ull, 1072319116312658ull, 1815898335770999ull, 633789495995903ull};
inline constexpr std::uint64_t K_SQRT_M1[5] = {1718705420411056ull, 234908883556509ull, 2233514472574048ull, 2117202627021982ull, 765476049583133ull};
inline constexpr std::uint64_t K_SQRT_AD_MINUS_ONE[5] = {2241493124984347ull, 425987919032274ull, 2207028919301688ull, 1220490630685848ull, 974799131293748ull};
inline constexpr std::uint64_t K_INVSQRT_A_MINUS_D[5] = {278908739862762ull, 821645201101625ull, 8113234426968ull, 1777959178193151ull, 2118520810568447ull};
inline constexpr std::uint64_t K_ONE_MINUS_D_SQ[5] = {1136626929484150ull, 1998550399581263ull, 496427632559748ull, 118527312129759ull, 45110755273534ull};
inline constexpr std::uint64_t K_D_MINUS_ONE_SQ[5] = {1507062230895904ull, 1572317787530805ull, 683053064812840ull, 317374165784489ull, 1572899562415810ull};

} // namespace parley
