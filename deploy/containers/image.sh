#!/usr/bin/env bash
# Builds the image parley:dev with no network inside the build. Needs DOCKER_HOST or a running engine.
#   PARLEY_BASE=debian:12-slim   takes a base image from where the engine finds it, instead of making one
set -euo pipefail
cd "$(dirname "$0")/../.."
out=build/image
engine=${ENGINE:-docker}
mkdir -p "$out/wheelhouse"

runtime_lock() {  # the lock without what only tests and builds need
  tools/setup.sh --uv pip compile -q pyproject.toml --extra postgres --python-version 3.11 \
      -c requirements.lock --no-header --no-annotate --no-emit-index-url --no-emit-find-links
}

wheelhouse() {
  local stamp=$out/wheelhouse.lock
  if ! cmp -s "$out/requirements.txt" "$stamp"; then
    rm -rf "$out/wheelhouse"
    .venv/bin/python -m pip download -q --no-deps --only-binary=:all: -d "$out/wheelhouse" -r "$out/requirements.txt"
    cp "$out/requirements.txt" "$stamp"
  fi
  rm -f "$out"/wheelhouse/parley-*.whl
  # A build folder of its own: the editable installation keeps the default one.
  PATH="$PWD/.venv/bin:$PATH" .venv/bin/python -m pip wheel -q --no-build-isolation --no-deps --no-index \
      -C build-dir=build/wheel -w "$out/wheelhouse" .
}

base() {
  [ -s "$out/base.tar" ] || {
    mmdebstrap --variant=minbase --include=python3,python3-venv,ca-certificates,iproute2 bookworm "$out/base.new.tar"
    mv "$out/base.new.tar" "$out/base.tar"
  }
  "$engine" image inspect parley-base:12 >/dev/null 2>&1 || "$engine" import "$out/base.tar" parley-base:12
}

build() {
  DOCKER_BUILDKIT=1 "$engine" build --network=none --build-arg BASE="${PARLEY_BASE:-parley-base:12}" \
      -f deploy/Dockerfile -t parley:dev .
}

case "${1:-}" in
  lock) runtime_lock >"$out/requirements.txt" ;;
  wheelhouse) wheelhouse ;;
  base) base ;;
  build) build ;;
  "")
    tools/step.sh image-lock "packages the image needs" "$0" lock
    tools/step.sh image-wheelhouse "wheelhouse, with the wheel of parley" timeout 600 "$0" wheelhouse
    [ -n "${PARLEY_BASE:-}" ] || tools/step.sh image-base "base image (Debian 12)" timeout 600 "$0" base
    tools/step.sh image-build "image parley:dev" timeout 600 "$0" build ;;
  *) echo "usage: image.sh [lock|wheelhouse|base|build]" >&2; exit 2 ;;
esac
