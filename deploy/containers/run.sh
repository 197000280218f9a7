#!/usr/bin/env bash
# make demo-containers: coordinator and three parties each in a container with an address of its own, the job
# submitted from a fifth. Without an engine: the same in network namespaces, and the engine's own words are printed.
#   PARLEY_ROWS=9857 PARLEY_TREES=5   the whole table and the demo's own number of trees
#   PARLEY_SUBNET=10.55.0             another network, should this one be taken
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p build/logs build/containers
. deploy/containers/engine.sh

NODES=(coordinator lender bureau telco scientist)
export SUBNET=${PARLEY_SUBNET:-10.55.0} NETWORK=parley-demo PREFIX=prl RUN=$PWD/build/containers

remove_nodes() {
  local node
  for node in "${NODES[@]}"; do
    "$ENGINE" rm -f "$NETWORK-$node" >/dev/null 2>&1 || true
    "$ENGINE" volume rm "$NETWORK-$node" >/dev/null 2>&1 || true
  done
  "$ENGINE" network rm "$NETWORK" >/dev/null 2>&1 || true
}

cleanup() {
  local node
  if [ "${MODE:-}" = engine ]; then
    for node in "${NODES[@]}"; do
      "$ENGINE" logs "$NETWORK-$node" >"build/logs/container-$node.log" 2>&1 || true
    done
    remove_nodes
  elif [ "${MODE:-}" = netns ]; then
    deploy/containers/netns.sh down "$PREFIX" "$SUBNET" "${NODES[@]}"
  fi
  stop_engine
}
trap cleanup EXIT

echo "Containers"
if start_engine; then
  MODE=engine
  echo "  engine: $("$ENGINE" version --format '{{.Server.Version}}')${ENGINE_PID:+ (private, ended afterwards)}"
  export ENGINE
  deploy/containers/image.sh
  echo "  image: $("$ENGINE" image inspect --format '{{.Size}}' parley:dev | awk '{printf "%.0f MB", $1 / 1e6}')"
  remove_nodes
  # internal: the nodes reach each other and nothing else
  "$ENGINE" network create --internal --subnet "$SUBNET.0/24" "$NETWORK" >/dev/null
else
  MODE=netns
  echo "  NO CONTAINER ENGINE STARTS; network namespaces take its place. The engine said:"
  printf '%s\n' "$ENGINE_ERROR" | sed 's/^/    | /'
  deploy/containers/netns.sh down "$PREFIX" "$SUBNET" "${NODES[@]}"  # what a killed run left
  deploy/containers/netns.sh up "$PREFIX" "$SUBNET" "${NODES[@]}"
fi
export MODE
deploy/containers/scenario.sh "${NODES[@]}"
echo "Done in $SECONDS s${ENGINE_ERROR:+, in network namespaces and not in containers}"
