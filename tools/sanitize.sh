#!/usr/bin/env bash
# Builds the native module with the address and undefined-behaviour sanitizers under build/sanitize and runs the
# tests of crypto/ that reach native code against it. The environment's own module is left as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/build/sanitize

configure_and_build() {
  local nanobind
  nanobind=$(.venv/bin/python -m nanobind --cmake_dir)
  PATH="$PWD/.venv/bin:$PATH" cmake -S . -B "$out" -G Ninja -DPARLEY_SANITIZE=ON -DCMAKE_BUILD_TYPE=Release \
      -DCMAKE_CXX_FLAGS_RELEASE="-O1 -g1 -fno-sanitize-recover=all --param=asan-instrumentation-with-call-threshold=0" -Dnanobind_DIR="$nanobind" \
      -DPython_EXECUTABLE="$PWD/.venv/bin/python"
  PATH="$PWD/.venv/bin:$PATH" cmake --build "$out" --parallel "${WORKERS:-2}"
  grep -q __asan_init "$(module)" || { echo "the module was built without the sanitizers" >&2; exit 1; }
}

module() { compgen -G "$out/_native*.so"; }

run_tests() {
  # The runtime comes first, and with it the C++ library whose exceptions it watches. Python's own allocations at
  # exit are not leaks of ours.
  local compiler
  compiler=$(command -v c++ || command -v g++)
  env PARLEY_NATIVE_UNDER_TEST="$(module)" \
      LD_PRELOAD="$("$compiler" -print-file-name=libasan.so) $("$compiler" -print-file-name=libstdc++.so)" \
      ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1 \
      .venv/bin/pytest -q --capture=sys -p sanitized_native -m "not slow" \
      --deselect tests/crypto/test_curve_bounds.py "$@"
}

case "${1:-}" in
  --build) configure_and_build; exit ;;
  --run) shift; run_tests "$@"; exit ;;
  "") ;;
  *) echo "unknown argument $1" >&2; exit 2 ;;
esac
echo "Tests (native code under the address and undefined-behaviour sanitizers)"
tools/step.sh sanitize-build "native module with sanitizers" timeout 600 "$0" --build
tools/step.sh sanitize-tests "tests/crypto against it" timeout 600 "$0" --run tests/crypto
