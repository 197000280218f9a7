# Sourced: finds or starts a container engine. Sets ENGINE (the client) and DOCKER_HOST, or ENGINE_ERROR.
# A private dockerd keeps everything under one folder and is ended by stop_engine; one that already answers is used
# as it is.
ENGINE='' ENGINE_ERROR='' ENGINE_DIR='' ENGINE_PID=''

engine_client() {  # Debian's client first: it builds with BuildKit by itself, others may lack the plugin
  local c
  for c in /usr/bin/docker "$(command -v docker || true)"; do
    [ -n "$c" ] && [ -x "$c" ] && { echo "$c"; return; }
  done
  return 1
}

start_engine() {
  ENGINE=$(engine_client) || { ENGINE_ERROR="no docker client (apt-get install docker.io)"; return 1; }
  if timeout 10 "$ENGINE" version >/dev/null 2>&1; then return 0; fi
  PATH=$PATH:/usr/sbin
  command -v dockerd >/dev/null || { ENGINE_ERROR="no dockerd (apt-get install docker.io)"; return 1; }
  [ "$(id -u)" -eq 0 ] || { ENGINE_ERROR="no engine answers, and starting one needs root"; return 1; }
  ENGINE_DIR=${PARLEY_ENGINE_DIR:-$(mktemp -d /tmp/parley-engine.XXXXXX)}
  mkdir -p "$ENGINE_DIR/root" "$ENGINE_DIR/exec"
  export DOCKER_HOST=unix://$ENGINE_DIR/docker.sock
  dockerd --data-root "$ENGINE_DIR/root" --exec-root "$ENGINE_DIR/exec" -H "$DOCKER_HOST" \
      -p "$ENGINE_DIR/pid" >build/logs/dockerd.log 2>&1 </dev/null &
  ENGINE_PID=$!
  local tries
  for tries in $(seq 60); do
    timeout 5 "$ENGINE" version >/dev/null 2>&1 && return 0
    kill -0 "$ENGINE_PID" 2>/dev/null || break
    sleep 0.5
  done
  ENGINE_ERROR=$(grep -E '^failed|level=(error|fatal)' build/logs/dockerd.log | tail -n 3)
  [ -n "$ENGINE_ERROR" ] || ENGINE_ERROR="nothing in 60 tries; the whole log is build/logs/dockerd.log"
  stop_engine
  return 1
}

stop_engine() {
  [ -n "$ENGINE_PID" ] || return 0
  kill "$ENGINE_PID" 2>/dev/null || true
  local tries
  for tries in $(seq 60); do
    kill -0 "$ENGINE_PID" 2>/dev/null || break
    sleep 0.5
  done
  kill -KILL "$ENGINE_PID" 2>/dev/null || true
  # An engine that had to be killed leaves its containerd behind.
  local left
  left=$(cat "$ENGINE_DIR/exec/containerd/containerd.pid" 2>/dev/null || true)
  [ -z "$left" ] || ! grep -qz containerd "/proc/$left/cmdline" 2>/dev/null || kill "$left" 2>/dev/null || true
  wait "$ENGINE_PID" 2>/dev/null || true
  ENGINE_PID=''
  # One that failed to start leaves its root mounted on itself.
  local place
  for place in $(awk -v d="$ENGINE_DIR/" 'index($2, d) == 1 {print $2}' /proc/mounts | sort -r); do
    umount "$place" || true
  done
  [ -n "${PARLEY_ENGINE_DIR:-}" ] || rm -rf --one-file-system "$ENGINE_DIR" || true
}
