// Single-steps the vector kernel once for each scalar given (64 hexadecimal digits each) and prints what was seen
// of it: the number of instructions, a digest of all instruction addresses, and one of all general registers at
// every instruction. The CPU's trap flag raises a signal after every instruction; all runs use the same memory, so that
// equal work has equal addresses.
//   times          the multiplication alone, eight points
//   finish         the shared inversion and the encoding of what the multiplication left
//   leaky-branch   a planted multiplication that skips an addition at some digits
//   leaky-index    a planted multiplication that reads the table at the digit's place
#include <signal.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "ristretto_ifma.cpp"

namespace parley {
namespace {

alignas(64) Table table;
alignas(64) Point point, product;
Digits digits;
DoubledBatch batch;
Mask not_identity;
std::uint8_t result[32 * LANES], rows[32 * LANES], ok[LANES];

__attribute__((noinline)) void end_of_trace() { asm volatile("" ::: "memory"); }

// As the product's, with an early step for the smallest digit or with the table read at one place.
template <bool BRANCH> __attribute__((noinline)) void leaky() {
    odd_multiples(table, {point.X.g[0], point.Y.g[0], point.Z.g[0], point.T.g[0]});
    Projective8 p = {point.X.g[0], point.Y.g[0], point.Z.g[0]};
    Sums8 s;
    for (int i = 62; i >= 56; i--) { // a few digits show it
        const Digits::Digit& d = digits.at[i];
        const DigitMasks m = masks(d);
        for (int c = 0; c < 3; c++) double_and_pick(p, table, c, m);
        double_to_sums_and_pick(s, p, table, m);
        if (BRANCH && d.bit[0] == 0 && d.bit[1] == 0 && d.bit[2] == 0) continue;
        if (!BRANCH) table.picked = table.odd[(d.bit[0] & 1) + (d.bit[1] & 2) + (d.bit[2] & 4)];
        add_picked(p, s, table, m.negative);
    }
    product.X.g[0] = p.X;
}

void work(std::string_view mode) {
    if (mode == "times") times8({product.X.g[0], product.Y.g[0], product.Z.g[0], product.T.g[0]}, {point.X.g[0], point.Y.g[0], point.Z.g[0], point.T.g[0]}, digits, table);
    else if (mode == "finish") {
        batch.restart();
        batch.add_point(product);
        batch.finish();
        not_identity = batch.encode_last(result);
    }
    else if (mode == "leaky-branch") leaky<true>();
    else leaky<false>();
}

u64 steps, path, registers;
std::string_view chosen;

void mix(u64& digest, u64 word) { digest = (digest ^ word) * 0x9e3779b97f4a7c15ull + (digest >> 29); }

void on_step(int, siginfo_t*, void* context) {
    auto& r = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    if (r[REG_RIP] == reinterpret_cast<greg_t>(&end_of_trace)) {
        r[REG_EFL] &= ~greg_t(0x100);
        return;
    }
    steps++;
    mix(path, static_cast<u64>(r[REG_RIP]));
    for (int name : {REG_RAX, REG_RBX, REG_RCX, REG_RDX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8, REG_R9, REG_R10,
                     REG_R11, REG_R12, REG_R13, REG_R14, REG_R15})
        mix(registers, static_cast<u64>(r[name]));
}

// Registers start from zero: what the caller left in them is not the kernel's.
__attribute__((noinline)) void trace() {
    steps = path = registers = 0;
    asm volatile("xorl %%eax, %%eax\n xorl %%ebx, %%ebx\n xorl %%ecx, %%ecx\n xorl %%edx, %%edx\n xorl %%esi, %%esi\n"
                 "xorl %%edi, %%edi\n xorl %%r8d, %%r8d\n xorl %%r9d, %%r9d\n xorl %%r10d, %%r10d\n"
                 "xorl %%r11d, %%r11d\n xorl %%r12d, %%r12d\n xorl %%r13d, %%r13d\n xorl %%r14d, %%r14d\n"
                 "xorl %%r15d, %%r15d\n pushfq\n orq $0x100, (%%rsp)\n popfq" ::
                     : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
                       "memory", "cc");
    work(chosen);
    end_of_trace();
}

} // namespace
} // namespace parley

int main(int argc, char** argv) {
    using namespace parley;
    for (std::size_t j = 0; j < LANES; j++) std::memcpy(rows + 32 * j, GENERATOR, 32);
    Mask good;
    point = decode(rows, good);
    struct sigaction action = {};
    action.sa_sigaction = on_step;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGTRAP, &action, nullptr);
    chosen = argv[1];
    static volatile int a = 2; // in memory: a register would show which run it is
    while (a < argc) {
        std::uint8_t k[32];
        for (int i = 0; i < 32; i++) {
            const char byte[3] = {argv[a][2 * i], argv[a][2 * i + 1], 0};
            k[i] = static_cast<std::uint8_t>(std::strtoul(byte, nullptr, 16));
        }
        recode(digits, k);
        product = times(point, digits, table);
        work(chosen); // once untraced, so that the loader's late binding is not seen
        trace();
        std::printf("%llu %016llx %016llx\n", static_cast<unsigned long long>(steps),
                    static_cast<unsigned long long>(path), static_cast<unsigned long long>(registers));
        const int next = a + 1;
        a = next;
    }
    return 0;
}
