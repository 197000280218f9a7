#!/usr/bin/env bash
# Brings .venv up to date with requirements.lock and the native sources. Does nothing when nothing has changed.
#   PYTHON=/path/to/python3.11   picks the interpreter for a new environment
#   --train                      also installs requirements-train.lock: torch, for neural networks and their tests
#   PARLEY_INSTALLER=pip         does without uv (about 30 s instead of 10 s)
set -euo pipefail
cd "$(dirname "$0")/.."
venv=.venv
mkdir -p build/logs

die() { printf '\n  %s\n' "$@" >&2; exit 1; }

usable() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3.11 python3 python3.12 python3.13 python; do
    command -v "$candidate" >/dev/null 2>&1 && usable "$candidate" && { command -v "$candidate"; return; }
  done
  die "Python 3.11 or newer with the venv module is needed: on Debian or Ubuntu 'apt-get install python3 python3-venv'," \
      "or name one: make PYTHON=/path/to/python3.11"
}

digest() { cat "$@" | sha256sum | cut -d' ' -f1; }

native_sources() { find crypto/native CMakeLists.txt pyproject.toml -type f | LC_ALL=C sort; }

locked() { sed -n "s/^$1==/$1==/p" requirements.lock; }

uv() {
  # uv reads neither pip's configuration nor its variables: hand over what pip was told.
  env ${PIP_FIND_LINKS:+UV_FIND_LINKS="$PIP_FIND_LINKS"} ${PIP_INDEX_URL:+UV_DEFAULT_INDEX="$PIP_INDEX_URL"} \
      ${PIP_EXTRA_INDEX_URL:+UV_INDEX="$PIP_EXTRA_INDEX_URL"} ${PIP_CERT:+SSL_CERT_FILE="$PIP_CERT"} \
      UV_CACHE_DIR="${UV_CACHE_DIR:-${HOME:-$PWD/build}/.cache/uv}" UV_HTTP_TIMEOUT=120 \
      "$venv/bin/uv" "$@"
}

install_packages() {
  if [ "${PARLEY_INSTALLER:-uv}" = uv ]; then
    if "$venv/bin/python" -m pip install -q --no-deps "$(locked uv)" &&
       timeout 600 "$0" --uv pip install --python "$venv/bin/python" --no-deps -r requirements.lock; then
      return
    fi
    echo "uv did not get through; pip takes over"
  fi
  timeout 1200 "$venv/bin/python" -m pip install --no-compile --no-deps -r requirements.lock
}

build_native() {
  PATH="$PWD/$venv/bin:$PATH" timeout 900 "$venv/bin/python" -m pip install \
      --no-build-isolation --no-deps --no-index -e .
}

install_train() {
  # pip, which knows every place it was told to look in: the CPU build often comes from such a one.
  timeout 1200 "$venv/bin/python" -m pip install --no-compile --no-deps -r requirements-train.lock
  "$venv/bin/python" -c 'import sys, torch; sys.exit(torch.version.cuda is not None)' ||
    die "This torch does not run here, or is a build for CUDA. Name a place that holds the CPU build of the version in" \
        "requirements-train.lock, by PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL, and try again."
}

train=
case "${1:-}" in
  --train) train=yes ;;
  --uv) shift; uv "$@"; exit ;;
  --packages) install_packages; exit ;;
  --packages-train) install_train; exit ;;
  --native) build_native; exit ;;
  "") ;;
  *) die "unknown argument $1" ;;
esac

exec 9>build/.setup.lock
flock -w 1200 9 || die "another set-up has held build/.setup.lock for 20 minutes; end it and try again"

if ! [ -x "$venv/bin/python" ] || ! usable "$venv/bin/python"; then
  python=$(find_python)
  tools/step.sh setup-venv "environment from $("$python" -V 2>&1)" "$python" -m venv --clear "$venv"
fi
command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null ||
  die "A C++20 compiler is needed: on Debian or Ubuntu 'apt-get install g++ make'."

packages=$(digest requirements.lock)
if [ "$(cat "$venv/.parley-packages" 2>/dev/null)" != "$packages" ]; then
  tools/step.sh setup-packages "$(grep -c == requirements.lock) packages of requirements.lock" "$0" --packages
  echo "$packages" >"$venv/.parley-packages"
fi
mapfile -t sources < <(native_sources)
native=$(digest "${sources[@]}")
if [ "$(cat "$venv/.parley-native" 2>/dev/null)" != "$native" ]; then
  tools/step.sh setup-native "native kernels and the command parley" "$0" --native
  echo "$native" >"$venv/.parley-native"
fi
if [ -n "$train" ]; then
  packages=$(digest requirements.lock requirements-train.lock)
  if [ "$(cat "$venv/.parley-train" 2>/dev/null)" != "$packages" ]; then
    tools/step.sh setup-train "torch and what it needs (requirements-train.lock)" "$0" --packages-train
    echo "$packages" >"$venv/.parley-train"
  fi
fi
