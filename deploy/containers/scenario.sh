#!/usr/bin/env bash
# What happens between the nodes, whoever carries them: scenario.sh NODE...  (called by run.sh)
# MODE=engine: every node is a container, and its home a volume. Operators enrol in a container that only sleeps;
# then the daemon takes its place on the same volume, as the container's own process.
# MODE=netns: every node is a network namespace with a home of its own.
# Nothing but the network and what people would paste passes between the nodes.
set -euo pipefail
cd "$(dirname "$0")/../.."
nodes=("$@")
parties=(lender bureau telco)
shape=(--rows "${PARLEY_ROWS:-2500}" --trees "${PARLEY_TREES:-3}")

address() { local i; for i in "${!nodes[@]}"; do [ "${nodes[$i]}" != "$1" ] || echo "$SUBNET.$((10 + i))"; done; }

contain() {  # contain NODE [docker-option...] -- [parley-arguments...]
  local node=$1 options=()
  shift
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
  "$ENGINE" run -d --init --name "$NETWORK-$node" --hostname "$node" \
      --network "$NETWORK" --network-alias "$node" --ip "$(address "$node")" \
      --read-only --tmpfs /tmp --cap-drop all --security-opt no-new-privileges --pids-limit 512 \
      -v "$NETWORK-$node:/var/lib/parley" -v "$RUN/inputs/$node:/inputs:ro" "${options[@]}" parley:dev "$@" >/dev/null
}

boot() {  # an idle node with its address
  if [ "$MODE" = engine ]; then contain "$1" --entrypoint sleep -- infinity; else mkdir -p -m 0700 "$RUN/home/$1"; fi
}

on() {  # on NODE parley-arguments...
  local node=$1; shift
  if [ "$MODE" = engine ]; then
    "$ENGINE" exec "$NETWORK-$node" parley "$@"
  else
    ip netns exec "$PREFIX-$node" env PARLEY_HOME="$RUN/home/$node" .venv/bin/parley "$@"
  fi
}

daemon() {  # daemon NODE parley-arguments...
  local node=$1; shift
  if [ "$MODE" = engine ]; then
    "$ENGINE" rm -f "$NETWORK-$node" >/dev/null
    contain "$node" -- "$@"
  else
    on "$node" "$@" >"build/logs/daemon-$node.log" 2>&1 </dev/null &
  fi
}

stop_daemon() {  # told to stop, it ends in order and in time
  if [ "$MODE" = engine ]; then
    "$ENGINE" stop -t 30 "$NETWORK-$1" >/dev/null
    local code
    code=$("$ENGINE" inspect --format '{{.State.ExitCode}}' "$NETWORK-$1")
    [ "$code" = 0 ] || { echo "  $1 ended with $code" >&2; return 1; }
  else
    on "$1" "$2" stop >/dev/null
  fi
}

inputs() { if [ "$MODE" = engine ]; then echo /inputs; else echo "$RUN/inputs/$1"; fi; }

until_ok() {  # until_ok SECONDS COMMAND...
  local end=$((SECONDS + $1)); shift
  until "$@" >build/logs/waiting.log 2>&1; do
    [ "$SECONDS" -lt "$end" ] || { echo "  gave up waiting for: $*" >&2; tail -n 5 build/logs/waiting.log >&2; return 1; }
    sleep 0.5
  done
}

field() { .venv/bin/python -P -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

invite() { on coordinator coordinator invite "$@" --json | field invite; }

enrol() {  # enrol PARTY
  on "$1" party init "$1" --json
  on "$1" party join "$(invite "$1")"
}

prepare() {  # prepare PARTY: whom it trusts, its table, its daemon
  local peer
  for peer in "${parties[@]}"; do
    [ "$peer" = "$1" ] || on "$1" party trust "$peer" "${code[$peer]}"
  done
  on "$1" party trust --person scientist "${code[scientist]}"
  on "$1" party data add loans "$(inputs "$1")/table.csv"
}

phase() { printf '  %-52s ok  %3d s\n' "$1" $((SECONDS - since)); since=$SECONDS; }

since=$SECONDS
rm -rf "$RUN/home" "$RUN/inputs"
for node in "${nodes[@]}"; do mkdir -p "$RUN/inputs/$node"; done
# The tables and the job are made by the demo's code: inputs/PARTY/table.csv, inputs/scientist/job.yaml
.venv/bin/python -P -m parley.demo --write-inputs "$RUN/inputs" "${shape[@]}"
chmod -R a+rX "$RUN/inputs"
for node in "${nodes[@]}"; do boot "$node"; done
phase "${#nodes[@]} nodes on $SUBNET.0/24"

# Containers find the coordinator by its name; namespaces have no name service.
if [ "$MODE" = engine ]; then host=coordinator; else host=$(address coordinator); fi
on coordinator coordinator init --host "$host" --listen 0.0.0.0 >build/logs/init-coordinator.log
daemon coordinator coordinator start
until_ok 60 on coordinator coordinator status
phase "coordinator at https://$host:8443"

declare -A code
for party in "${parties[@]}"; do
  enrol "$party" >"build/logs/init-$party.log"
  code[$party]=$(on "$party" party show --json | field code)
done
code[scientist]=$(on scientist user init "$(invite scientist --person)" --json | field code)
for party in "${parties[@]}"; do
  prepare "$party" >>"build/logs/init-$party.log"
  daemon "$party" party start
  on scientist user trust "$party" "${code[$party]}" >/dev/null
done
for party in "${parties[@]}"; do until_ok 60 on "$party" party status; done
phase "parties enrolled, pinned, loaded and connected"
# The doctor's own words: engines refuse a step's process a network namespace of its own, and the step runs without.
{ on lender doctor 2>&1 || true; } >build/logs/doctor-lender.log
echo "  a step's process cut off from the network: $(sed -n 's/^.*isolation: *//p' build/logs/doctor-lender.log)"

ended=0
on scientist job submit "$(inputs scientist)/job.yaml" --watch --timeout 600 --json \
    >"$RUN/outcome.json" 2>build/logs/container-job.log || ended=$?
if [ "$ended" -ne 0 ]; then
  echo "  the job failed:" >&2
  tail -n 20 build/logs/container-job.log >&2
  for party in "${parties[@]}"; do on "$party" party logs -n 200 >"build/logs/party-$party.log" 2>&1 || true; done
  exit "$ended"
fi
phase "job submitted by the scientist and followed"

# The same outcome as on one machine: success, and the AUC of central training to within 1e-3.
.venv/bin/python -P -m parley.demo --check-outcome "$RUN/outcome.json" "${shape[@]}" | sed 's/^/  /'
job=$(field job <"$RUN/outcome.json")
for party in "${parties[@]}"; do
  on "$party" party ledger "$job" --verify >"build/logs/ledger-$party.log"
  stop_daemon "$party" party
done
stop_daemon coordinator coordinator
phase "outcome and ledgers checked, daemons ended"
