// SHA-256 in eight lanes of AVX2, for CPUs without SHA instructions.
#include <cstring>

#include "blocks.hpp"
#include "sha256.hpp"

namespace parley {
namespace {
#include "sha256_lanes.hpp"
} // namespace

const ShaKernel SHA256_AVX2 = {"avx2", single, compress};

} // namespace parley
