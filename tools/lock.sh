#!/usr/bin/env bash
# Resolves pyproject.toml into requirements.lock and, for the extra train, requirements-train.lock: names and versions
# only, no registry and no path.
# `make lock UPGRADE=1` takes newer versions; without it what is locked stays where it still fits.
set -euo pipefail
cd "$(dirname "$0")/.."
out=build/requirements.lock
mkdir -p build
if [ -n "${UPGRADE:-}" ]; then rm -f "$out"; else cp requirements.lock "$out"; fi
tools/setup.sh --uv pip compile -q pyproject.toml --extra dev --python-version 3.11 \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links -o "$out"
if grep -nE '://|@|^--|^-e' "$out"; then
  echo "the resolution names a place, not only versions" >&2
  exit 1
fi
{
  echo "# Exact versions of the core and the extras dev (ckks, postgres, demo, export, test, build), resolved for Python 3.11."
  echo "# Made by \`make lock\`; installed with \`pip install --no-deps -r requirements.lock\`."
  grep -E '^[A-Za-z0-9]' "$out"
} >requirements.lock.new
mv requirements.lock.new requirements.lock

train=build/requirements-train.lock
if [ -n "${UPGRADE:-}" ]; then rm -f "$train"; else cp requirements-train.lock "$train"; fi
tools/setup.sh --uv pip compile -q pyproject.toml --extra train -c requirements.lock --python-version 3.11 \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-package setuptools -o "$train"
{
  echo "# What neural networks need beside requirements.lock (the extra train), resolved for Python 3.11."
  echo "# Made by \`make lock\`; installed by \`make setup-train\`, which wants the build of torch without CUDA."
  # A build's own mark (+cpu) is no version: who has that build finds it without.
  grep -E '^[A-Za-z0-9]' "$train" | grep -vE '^(nvidia|triton|cuda)' | sed 's/+.*//' | grep -vxFf requirements.lock
} >requirements-train.lock.new
mv requirements-train.lock.new requirements-train.lock
