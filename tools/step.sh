#!/usr/bin/env bash
# Runs one quiet step:   tools/step.sh LOG "what it does" COMMAND...
# One line on the terminal with the seconds it took; the output goes to build/logs/LOG.log and its end is shown
# when the step fails.
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: tools/step.sh LOG TITLE COMMAND..." >&2; exit 2; }
cd "$(dirname "$0")/.."
log=build/logs/$1.log title=$2
shift 2
mkdir -p build/logs
printf '  %-52s ' "$title"
start=$SECONDS code=0
"$@" >"$log" 2>&1 </dev/null || code=$?
if [ "$code" -eq 0 ]; then
  printf 'ok  %3d s\n' $((SECONDS - start))
  exit 0
fi
printf 'FAILED after %d s\n\n' $((SECONDS - start))
tail -n "${STEP_TAIL:-60}" "$log" | sed 's/^/    /'
printf '\n  (exit code %d; the whole log is %s)\n' "$code" "$log"
exit "$code"
