#!/usr/bin/env bash
# The fallback without an engine: one network namespace per node on a bridge of their own.
#   netns.sh up|down PREFIX SUBNET NAME...     addresses are SUBNET.10, .11, ... in the order given
set -euo pipefail
action=$1 prefix=$2 subnet=$3
shift 3
bridge=${prefix}br

# An engine that ran here before may have left a firewall that drops what crosses a bridge.
firewall() {  # firewall -I|-D
  PATH=$PATH:/usr/sbin
  command -v iptables >/dev/null || return 0
  iptables -w 5 "$1" FORWARD -i "$bridge" -o "$bridge" -j ACCEPT 2>/dev/null || true
}

end_processes() {  # those that run in our namespaces: told to stop, and ten seconds later killed
  local name pids tries signal=TERM
  for tries in $(seq 22); do
    pids=$(for name in "$@"; do ip netns pids "$prefix-$name" 2>/dev/null || true; done)
    [ -n "$pids" ] || return 0
    [ "$tries" -ne 21 ] || signal=KILL
    case $tries in 1|21) kill -"$signal" $pids 2>/dev/null || true ;; esac
    sleep 0.5
  done
}

down() {
  local name
  firewall -D
  end_processes "$@"
  for name in "$@"; do ip netns del "$prefix-$name" 2>/dev/null || true; done
  ip link del "$bridge" 2>/dev/null || true
}

up() {
  local name n=10
  ip link add "$bridge" type bridge
  ip link set "$bridge" up
  firewall -I
  for name in "$@"; do
    ip netns add "$prefix-$name"
    ip link add "$prefix$n" type veth peer name eth0 netns "$prefix-$name"
    ip link set "$prefix$n" master "$bridge" up
    ip -n "$prefix-$name" addr add "$subnet.$n/24" dev eth0
    ip -n "$prefix-$name" link set eth0 up
    ip -n "$prefix-$name" link set lo up
    n=$((n + 1))
  done
}

case $action in
  up) trap 'down "$@"' ERR; up "$@" ;;
  down) down "$@" ;;
  *) echo "usage: netns.sh up|down PREFIX SUBNET NAME..." >&2; exit 2 ;;
esac
