// The vector kernel with every factor and every carried column looked at. One mode an argument:
//   kernel      runs the product's kernel over rows read from standard input (n rows of 64 bytes)
//   factors     products of the largest limbs that are allowed, printed for an oracle
//   columns     the point formulas on the largest limbs that a carry leaves
//   uncarried   multiplies a sum that was not carried: must end with code 3
//   unbiased    carries a difference without a bias: must end with code 4
#define PARLEY_CHECK_BOUNDS
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "ristretto_ifma.cpp"

namespace parley {
namespace {

unsigned long long factors_seen = 0, columns_seen = 0;

void refuse(const V v[5], int bits, unsigned long long& seen, int code) {
    for (int i = 0; i < 5; i++)
        if (_mm512_test_epi64_mask(_mm512_srli_epi64(v[i], static_cast<unsigned>(bits)), splat(~u64(0)))) {
            std::fprintf(stderr, "a limb of 2^%d or more\n", bits);
            std::exit(code);
        }
    seen++;
}
void factor_check(const V v[5]) { refuse(v, 52, factors_seen, 3); }
void column_check(const V v[5]) { refuse(v, 63, columns_seen, 4); }

Eight all(u64 x) { return {{splat(x), splat(x), splat(x), splat(x), splat(x)}}; }

void print(const char* name, const V v[5]) {
    std::printf("%s", name);
    for (int i = 0; i < 5; i++) {
        alignas(64) u64 lanes[8];
        _mm512_store_si512(lanes, v[i]);
        std::printf(" %llu", static_cast<unsigned long long>(lanes[7]));
    }
    std::printf("\n");
}

int kernel() {
    std::vector<std::uint8_t> rows;
    for (int c; (c = std::getchar()) != EOF;) rows.push_back(static_cast<std::uint8_t>(c));
    const std::size_t n = rows.size() / 64;
    std::vector<std::uint8_t> out(32 * n), again(32 * n), ok(n);
    std::uint8_t k[32] = {0xec, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14};
    k[31] = 0x10; // order - 1
    Digits digits;
    for (int round = 0; round < 3; round++, k[0] -= 0x35, k[20] ^= static_cast<std::uint8_t>(0x5a + round), k[31] = 0x0f) {
        recode(digits, k);
        Kernel::hash(out.data(), rows.data(), ok.data(), n, &digits);
        Kernel::multiply(again.data(), out.data(), ok.data(), n, &digits);
        Kernel::multiply(again.data(), rows.data(), ok.data(), n, &digits); // mostly not elements
        Kernel::hash(out.data(), rows.data(), ok.data(), n, nullptr);
    }
    std::printf("factors %llu columns %llu\n", factors_seen, columns_seen);
    return 0;
}

int factors() {
    constexpr u64 MOST = (u64(1) << 52) - 1;
    const u64 mixed[5] = {MOST, 0, MOST, 1, MOST};
    const Eight a = all(MOST), b = eight(mixed);
    print("a", a.v), print("b", b.v);
    print("ab", mul_wide(a, b).v), print("aa", mul_wide(a, a).v), print("aa", sqr_wide(a).v), print("bb", sqr_wide(b).v);
    print("ab", mul_wide<true>(a, b).v), print("aa", mul_wide<true>(a, a).v), print("aa", sqr_wide<true>(a).v);
    print("ab", mul8(a, b).v), print("aa", sqr8(a).v), print("aa2", carry_twice(mul_wide(a, a)).v);
    print("most", carry({{splat(MOST << 11), splat(MOST << 11), splat(MOST << 11), splat(MOST << 11), splat(MOST << 11)}}).v);
    return 0;
}

int columns() {
    const Eight most = all((u64(1) << 51) + (u64(1) << 17)), none = all(0);
    const Eight* values[] = {&most, &none};
    for (int i = 0; i < 256; i++) {
        auto at = [&](int bit) -> const Eight& { return *values[(i >> bit) & 1]; };
        projective(doubled({at(0), at(1), at(2)}));
        const Cached8 q = {{at(4), at(5), at(6), at(7)}};
        projective(added({at(0), at(1), at(2), at(3)}, q, i & 1 ? splat(~u64(0)) : zero()));
        Sums8 s = sums({at(0), at(1), at(2), at(3)});
        factor_check(s.Ym.v), factor_check(s.Yp.v);
    }
    std::printf("factors %llu columns %llu\n", factors_seen, columns_seen);
    return 0;
}

int uncarried() {
    const Eight a = mul8(eight(K_D), eight(K_D2)), b = all((u64(1) << 51) + 1);
    Eight sum;
    for (int i = 0; i < 5; i++) sum.v[i] = plus_v(b.v[i], b.v[i]);
    print("reached", mul8(sum, a).v);
    return 0;
}

int unbiased() {
    const Wide small = mul_wide(eight(K_ONE), eight(K_ONE)), large = mul_wide(eight(K_D), eight(K_D2));
    print("reached", carry(minus(small, large)).v);
    return 0;
}

} // namespace
} // namespace parley

int main(int, char** argv) {
    const std::string_view mode = argv[1];
    if (mode == "kernel") return parley::kernel();
    if (mode == "factors") return parley::factors();
    if (mode == "columns") return parley::columns();
    if (mode == "uncarried") return parley::uncarried();
    if (mode == "unbiased") return parley::unbiased();
    return 2;
}
