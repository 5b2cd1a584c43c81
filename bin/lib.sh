# shellcheck shell=sh disable=SC2034 # what it sets is for those who source it
# What the scripts beside it share; they source it from the root of the repository.

say() { printf '==> %s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

ensure_cargo() {
  # Many a shell that is no login shell lacks rustup's directory.
  has cargo || PATH="$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin"
  has cargo || die 'no cargo on the PATH; install the Rust toolchain: https://rustup.rs'
}

# As the programs read it: what is set goes before .env.
setting() { # NAME
  if eval "[ -n \"\${$1+set}\" ]"; then
    eval "printf '%s' \"\$$1\""
  elif [ -r .env ]; then
    sed -n "s/^\(export  *\)\{0,1\}$1 *= *//p" .env | sed -e 's/ #.*//' -e 's/["'\'']//g' -e 1q
  fi
}

# Cargo's profile for those who write jobs: seconds for what was edited, where a release takes minutes.
pick_profile() { # -> profile, programs: where its programs lie
  profile=${DEV_PROFILE:-dev}
  case $profile in
    dev) programs=target/debug ;;
    release) programs=target/release ;;
    *) die "DEV_PROFILE=$profile: it is one of dev, release" ;;
  esac
}

# ---- processes ---------------------------------------------------------------------------------

# Runs a command in the background and in a process group of its own: a terminal's Ctrl-C then reaches only the
# script, which decides what stops when. macOS has no setsid, but a /bin/sh whose job control needs no terminal.
start() { # COMMAND... -> $!
  if has setsid; then
    setsid "$@" </dev/null &
  else
    set -m
    "$@" </dev/null &
    set +m
  fi
}

# TERM for each process, or with "-" before its id for its whole group; KILL for what is left of the groups in the end.
stop() { # SECONDS PID...
  tenths=$(($1 * 10))
  shift
  for pid; do
    kill -s TERM -- "$pid" 2>/dev/null || kill -s TERM "${pid#-}" 2>/dev/null
  done
  for pid; do
    while kill -s 0 -- "-${pid#-}" 2>/dev/null; do
      if [ "$tenths" -le 0 ]; then
        kill -s KILL -- "-${pid#-}" 2>/dev/null
        break
      fi
      tenths=$((tenths - 1))
      sleep 0.1
    done
  done
}

# From here on a signal is only noted, in `stopping`, and whatever is in `running` ("NAME:PID", or "NAME:-PID" for a
# process group) is stopped at the exit. Redis goes last: a worker that stops gives its jobs back.
begin() { # -> scratch, a directory
  stopping='' running='' redis_pid=''
  mkdir -p tmp
  scratch=$(mktemp -d "tmp/${0##*/}.XXXXXX") || exit 1
  trap 'stopping=yes' INT TERM HUP PIPE
  trap finish EXIT
}

finish() {
  trap '' INT TERM HUP PIPE
  if [ -n "$running" ]; then
    say 'Stopping (this may take 30 seconds)'
    # shellcheck disable=SC2046 # a list of ids
    stop 35 $(for process in $running; do echo "${process#*:}"; done)
  fi
  [ -z "$redis_pid" ] || stop 10 "$redis_pid"
  rm -rf "$scratch"
  wait
  say 'Stopped'
}

# A build is long enough to be interrupted: the shell sees a signal in `wait`, not while a command runs. The Procfile
# names ./target, so that a CARGO_TARGET_DIR does not count here.
build() { # PROFILE
  say "Building, profile $1 (the first time takes a few minutes)"
  start cargo build --profile "$1" --locked --target-dir target
  running=cargo:-$!
  wait "$!"
  status=$?
  [ -z "$stopping" ] || exit 0
  running=''
  [ "$status" = 0 ] || die 'the build failed'
}

alive() { # PID...
  for pid; do
    kill -s 0 "$pid" 2>/dev/null || return 1
  done
}

# ---- ports -------------------------------------------------------------------------------------

port_taken() { # PORT
  if [ -r /proc/net/tcp ]; then # "local address:PORT", "remote address:0000", 0A for a listener
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q ":$(printf '%04X' "$1") [0-9A-F]*:0000 0A "
  else
    netstat -an 2>/dev/null | grep -q "[.:]$1 .*LISTEN"
  fi
}

free_port() { # FIRST
  port=$1
  while port_taken "$port"; do
    port=$((port + 1))
  done
  echo "$port"
}

# ---- HTTP --------------------------------------------------------------------------------------

# A proxy is no way to this machine.
get() { # URL
  if has curl; then
    curl --silent --fail --noproxy '*' --max-time 5 "$1"
  else
    (unset http_proxy; exec wget -q -T 5 -O - "$1")
  fi
}

# ---- Redis -------------------------------------------------------------------------------------

find_redis() {
  for redis_server in redis-server valkey-server; do
    has "$redis_server" && return
  done
  return 1
}

# Some packages start a service of their own; it is neither used nor stopped here.
ensure_redis() {
  find_redis && return
  if [ "$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi
  mkdir -p tmp
  if has apt-get; then # the package list of a fresh machine is empty, that of an old one out of date
    install_with apt-get install -y redis-server || { logged apt-get update; logged apt-get install -y redis-server; }
  elif has dnf; then
    install_with dnf install -y valkey || install_with dnf install -y redis
  elif has apk; then
    install_with apk add valkey || install_with apk add redis
  elif has pacman; then
    install_with pacman -Sy --noconfirm valkey || install_with pacman -Sy --noconfirm redis
  elif has brew; then
    sudo= # brew refuses to run as root
    install_with brew install redis
  else
    die 'neither redis-server nor valkey-server is on the PATH; install one of them with your package manager'
  fi
  find_redis || die "could not install it, see tmp/install.log; run this, then ${0##*/} again: $install"
}

install_with() { # COMMAND...
  install="${sudo:+sudo }$*"
  say "Installing Redis: $install"
  logged "$@"
}

logged() { # COMMAND...
  $sudo env DEBIAN_FRONTEND=noninteractive "$@" </dev/null >>tmp/install.log 2>&1
}

# A Redis of our own on the loopback interface. Everything it was told is in the append-only file when it stops, unless
# the second argument is "no".
start_redis() { # DIR [no] -> redis_pid, redis_port
  mkdir -p "$1"
  redis_port=6380
  while :; do
    redis_port=$(free_port "$redis_port")
    start "$redis_server" --bind 127.0.0.1 --port "$redis_port" --dir "$1" --pidfile redis.pid \
      --appendonly "${2:-yes}" --save '' --daemonize no >"$1/redis.log" 2>&1
    redis_pid=$!
    while alive "$redis_pid"; do
      grep -q 'Ready to accept connections' "$1/redis.log" && return
      sleep 0.1
    done
    # Somebody else may have taken the port in the meantime.
    grep -q 'Address already in use' "$1/redis.log" || die "Redis did not start, see $1/redis.log"
    redis_port=$((redis_port + 1))
  done
}

# The one that bin/dev has started, and that may have outlived it.
find_private_redis() { # -> redis_port, owner: the process id of that bin/dev
  [ -s tmp/redis/redis.pid ] && [ -r tmp/redis/owner ] && read -r redis_port owner <tmp/redis/owner &&
    alive "$(cat tmp/redis/redis.pid)" && port_taken "$redis_port"
}

# ---- what some tests use besides -----------------------------------------------------------------

# A real Sidekiq. Only where nobody has to be asked: a user's machine is not ours to fill.
ensure_sidekiq() {
  ruby -rsidekiq -ractive_job -e '' 2>/dev/null && return
  has apt-get && [ "$(id -u)" = 0 ] || return 0
  sudo='' install="apt-get install -y --no-install-recommends ruby-sidekiq ruby-activejob"
  say "Installing Sidekiq for the interop tests: $install"
  mkdir -p tmp
  logged $install || { logged apt-get update && logged $install; } || true
}

# Says which tests will skip themselves, and what they miss.
tell_skipped() {
  ruby -rsidekiq -ractive_job -e '' 2>/dev/null ||
    skipped 'a real Sidekiq beside us' 'ruby-sidekiq ruby-activejob'
  has promtool || skipped 'metrics as Prometheus reads them' 'prometheus'
  has chromedriver || skipped 'pages in a real browser' 'chromium chromium-driver'
  has monit || skipped 'supervision by a real monit' monit
  has systemd-analyze || skipped 'the systemd units' systemd
  has faketime || skipped 'clocks that are off' faketime
}

skipped() { say "SKIPPED for want of a program: tests with $1 (apt-get install $2)"; }
