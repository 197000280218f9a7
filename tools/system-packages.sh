#!/usr/bin/env bash
# Installs what the tests need from Debian and is not there yet: PostgreSQL, a browser, a container engine, memcheck.
set -euo pipefail
cd "$(dirname "$0")/.."
wanted=()
have() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }

compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || have initdb || wanted+=(postgresql)
have chromium || wanted+=(chromium)
have dockerd || wanted+=(docker.io)
have iptables || wanted+=(iptables)
have mmdebstrap || wanted+=(mmdebstrap)
have ip || wanted+=(iproute2)
have c++ || wanted+=(g++)
have valgrind || wanted+=(valgrind)

if [ ${#wanted[@]} -eq 0 ]; then
  echo "  nothing to install"
  exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "  missing: ${wanted[*]} (run as root to have them installed)" >&2
  exit 1
fi
tools/step.sh apt-update "package lists" timeout 300 apt-get update
tools/step.sh apt-install "${wanted[*]}" timeout 600 apt-get install -y --no-install-recommends "${wanted[@]}"
