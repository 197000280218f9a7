// Run under memcheck: the scalar is marked as undefined memory, so that a branch on anything computed from it, or an
// address computed from it, is reported. Portable code only, since memcheck does not know AVX-512.
//   clean          the product's recoding and kernel, results included
//   branch, index  the same, followed by a planted branch on, or read at, one digit
#include <valgrind/memcheck.h>

#include <cstdio>
#include <cstring>
#include <string_view>

#include "ristretto.hpp"

using namespace parley;

int main(int, char** argv) {
    const std::string_view mode = argv[1];
    constexpr std::size_t N = 3;
    std::uint8_t in[32 * N] = {}, uniform[64 * N] = {}, out[32 * N], ok[N], k[32];
    std::memcpy(in, GENERATOR, 32);
    std::memcpy(in + 32, GENERATOR, 32); // the third row is the identity: refused
    for (std::size_t i = 0; i < sizeof uniform; i++) uniform[i] = static_cast<std::uint8_t>(37 * i + 11);
    for (int i = 0; i < 32; i++) k[i] = static_cast<std::uint8_t>(29 * i + 3);
    k[31] = 7;
    static Digits digits;
    VALGRIND_MAKE_MEM_UNDEFINED(k, sizeof k);
    recode(digits, k);
    volatile int sink = 0;
    if (mode == "branch" && digits.at[20].bit[0] != 0) sink = sink + 1;
    static const int squares[8] = {0, 1, 4, 9, 16, 25, 36, 49};
    if (mode == "index") sink = squares[digits.at[20].bit[0] & 7];
    RISTRETTO_BASELINE.multiply(out, in, ok, N, &digits);
    VALGRIND_MAKE_MEM_DEFINED(out, sizeof out);
    VALGRIND_MAKE_MEM_DEFINED(ok, sizeof ok);
    std::printf("%d%d%d\n", ok[0], ok[1], ok[2]);
    RISTRETTO_BASELINE.hash(out, uniform, ok, N, &digits);
    return std::memcmp(in, in + 32, 32) != 0;
}
