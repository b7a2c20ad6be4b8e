# Shared by the scripts of the stand; sourced, never run.
# shellcheck shell=bash disable=SC2034

stand_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
stand_cache=${XDG_CACHE_HOME:-$HOME/.cache}/arnkeeper
stand_began=$SECONDS

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# curl to a server of the stand: never through a proxy, silent unless it fails, bounded.
fetch() { curl --noproxy '*' --fail --silent --show-error --max-time 5 "$@"; }

# The folder of the built binaries. ARNKEEPER_BIN names another one, for example target/release.
binaries() { echo "${ARNKEEPER_BIN:-${CARGO_TARGET_DIR:-$stand_root/target}/debug}"; }

# free_ports N: N different ports that nobody holds on 127.0.0.1, below the range the kernel gives away itself.
free_ports() {
  python3 - "$1" <<'PY'
import random, socket, sys
held = []
while len(held) < int(sys.argv[1]):
    s = socket.socket()
    try:
        s.bind(("127.0.0.1", random.randrange(20000, 32000)))
    except OSError:
        continue
    held.append(s)
print(*(s.getsockname()[1] for s in held))
PY
}

# alive DIR NAME: whether the process of the pid file runs and is the one that was started (a zombie does not run).
alive() {
  local pid marks _
  pid=$(cat "$1/$2.pid" 2>/dev/null) || return 1
  for _ in {1..500}; do
    marks=$(tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ") || true
    case $'\n'$marks$'\n' in *$'\n'"ARNKEEPER_STAND=$1"$'\n'*) return 0 ;; esac
    # In the middle of an exec /proc shows no environment, and with a busy disk that takes a while.
    if [ -n "$marks" ] || ! kill -0 "$pid" 2>/dev/null || grep -q '^State:[[:space:]]*Z' "/proc/$pid/status" 2>/dev/null; then
      return 1
    fi
    sleep 0.01
  done
  return 1
}

# start DIR NAME COMMAND...: in a session of its own, marked so that nothing else is ever ended in its place.
start() {
  local dir=$1 name=$2 _
  shift 2
  ARNKEEPER_STAND=$dir setsid "$@" >"$dir/$name.log" 2>&1 </dev/null &
  echo $! >"$dir/$name.pid"
  disown
  for _ in {1..100}; do # the mark is there only from exec on
    if alive "$dir" "$name"; then break; fi
    sleep 0.01
  done
}

# await SECONDS DIR NAME COMMAND...: polls until the command succeeds; fails when the time is over or NAME ended.
await() {
  local until=$((SECONDS + $1)) dir=$2 name=$3
  shift 3
  until "$@" >/dev/null 2>&1; do
    if ! alive "$dir" "$name" || [ "$SECONDS" -ge "$until" ]; then
      say "$name did not become ready; the end of its log:"
      tail -n 20 "$dir/$name.log" >&2 || true
      return 1
    fi
    sleep 0.1
  done
}

# stop DIR BOUND NAME...: TERM to all of them, KILL to those that are left after BOUND seconds.
stop() {
  local dir=$1 until=$((SECONDS + $2)) name
  shift 2
  for name in "$@"; do
    if alive "$dir" "$name"; then kill -TERM "$(cat "$dir/$name.pid")" 2>/dev/null || true; fi
  done
  for name in "$@"; do
    while alive "$dir" "$name"; do
      if [ "$SECONDS" -ge "$until" ]; then kill -KILL "$(cat "$dir/$name.pid")" 2>/dev/null || true; fi
      sleep 0.05
    done
    rm -f "$dir/$name.pid"
  done
}
