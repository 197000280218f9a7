#!/usr/bin/env bash
# What happens between the nodes, whoever carries them: scenario.sh NODE...  (called by run.sh)
# MODE=engine runs each command in the node's container, MODE=netns in its network namespace; every node has a home
# of its own, and nothing but the network and what people would paste passes between them.
set -euo pipefail
cd "$(dirname "$0")/../.."
nodes=("$@")
parties=(lender bureau telco)

address() { local i; for i in "${!nodes[@]}"; do [ "${nodes[$i]}" = "$1" ] && echo "$SUBNET.$((10 + i))"; done; }

boot() {  # an idle node with its address; daemons are started in it afterwards
  if [ "$MODE" = engine ]; then
    "$ENGINE" run -d --init --name "$NETWORK-$1" --network "$NETWORK" --ip "$(address "$1")" --hostname "$1" \
        --read-only --tmpfs /tmp --cap-drop all --security-opt no-new-privileges --pids-limit 512 \
        -v "$RUN/inputs/$1:/inputs:ro" --entrypoint sleep parley:dev infinity >/dev/null
  else
    mkdir -p -m 0700 "$RUN/home/$1"
  fi
}

on() {  # on NODE parley-arguments...
  local node=$1; shift
  if [ "$MODE" = engine ]; then
    "$ENGINE" exec "$NETWORK-$node" parley "$@"
  else
    ip netns exec "$PREFIX-$node" env PARLEY_HOME="$RUN/home/$node" .venv/bin/parley "$@"
  fi
}

inputs() { if [ "$MODE" = engine ]; then echo /inputs; else echo "$RUN/inputs/$1"; fi; }

daemon() {  # daemon NODE parley-arguments... : in the background, its output in build/logs
  local node=$1; shift
  on "$node" "$@" >"build/logs/daemon-$node.log" 2>&1 </dev/null &
}

until_ok() {  # until_ok SECONDS COMMAND...
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || { echo "  gave up waiting for: $*" >&2; return 1; }
    sleep 0.5
  done
}

rm -rf "$RUN/home" "$RUN/inputs"
for node in "${nodes[@]}"; do mkdir -p "$RUN/inputs/$node"; done
# Tables per party and the job, made by the same code that the demo uses: inputs/NODE/table.csv, inputs/scientist/job.yaml
.venv/bin/python -P -m parley.demo --write-inputs "$RUN/inputs"
chmod -R a+rX "$RUN/inputs"
for node in "${nodes[@]}"; do boot "$node"; done
echo "  $(printf '%s ' "${nodes[@]}")are up on $SUBNET.0/24"

coordinator=$(address coordinator)
on coordinator coordinator init --host "$coordinator" --rest-port 8443 --grpc-port 8444 >build/logs/init-coordinator.log
daemon coordinator coordinator start
until_ok 30 on coordinator coordinator status

declare -A code
for party in "${parties[@]}"; do
  on "$party" party init "$party" >"build/logs/init-$party.log"
  on "$party" party join "$(on coordinator coordinator invite "$party" | grep -o 'parley-invite:.*')"
  code[$party]=$(on "$party" party show --json | .venv/bin/python -c 'import json,sys; print(json.load(sys.stdin)["code"])')
done
on scientist user init "$(on coordinator coordinator invite scientist --person | grep -o 'parley-invite:.*')"
code[scientist]=$(on scientist user show --json | .venv/bin/python -c 'import json,sys; print(json.load(sys.stdin)["code"])')

for party in "${parties[@]}"; do
  for peer in "${parties[@]}"; do
    [ "$peer" = "$party" ] || on "$party" party trust "$peer" "${code[$peer]}"
  done
  on "$party" party trust --person scientist "${code[scientist]}"
  on "$party" party data add loans "$(inputs "$party")/table.csv"
  daemon "$party" party start
done
for party in "${parties[@]}"; do until_ok 30 on "$party" party status; done
echo "  the parties are enrolled, trust one another and hold their tables"

on scientist job submit "$(inputs scientist)/job.yaml" --watch --json >"$RUN/outcome.json"
# The same outcome as without containers: success, and the same AUC as central training to within 1e-3.
.venv/bin/python -P -m parley.demo --check-outcome "$RUN/outcome.json"
