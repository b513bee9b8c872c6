# SPDX-License-Identifier: Apache-2.0
# Sourced after functions.sh by the scripts that test on real S3 servers.
#
#   server_use minio place --tls    starts it in $work/place; it ends with the
#                                   script; all is skipped if it is not here
#   server_get place endpoint       a value of what it printed, in $value
#   server_where place bucket FILE [PLUGIN]
#                                   configuration that keeps state there
#
# Servers are started in $work, which tap_exit removes.

servers=$top_srcdir/tests/servers
server_places=()

cleanup()
{
  local one

  for one in "${server_places[@]}"; do
    "$servers/${one%%:*}" stop "$work/${one#*:}"
  done
}

server_use()
{
  local status

  server_places+=("$1:$2")
  "$servers/$1" start "$work/$2" --owner $$ "${@:3}" >"$work/$2.out" \
    2>"$work/$2.err"
  status=$?
  [ "$status" = 0 ] && return 0
  [ "$status" = 77 ] && skip_all "$(tail -n 1 "$work/$2.err")"
  sed 's/^/# /' "$work/$2.err"
  echo "1..1"
  fail "$1 starts"
  exit 1
}

server_get()
{
  value=$(sed -n "s/^$2=//p" "$work/$1/env")
}

# As JOB_CONFIG wants it, with @name@.
server_where()
{
  "$servers/configuration" "$work/$1" "$2" "${4-s3}" >"$3" || exit 99
}

# server_conforms NAME FILE [OPTION...]: the conformance program with that
# configuration, as one test with its cases as comments.
server_conforms()
{
  local name=$1 cases skips plugin

  sed "s|@name@|conformance|" "$2" >"$work/conformance.yaml"
  plugin=$(sed -n 's/^state.backend: //p' "$2")
  if conformance "$plugin" --config "$work/conformance.yaml" "${@:3}" \
       >"$work/conformance.out" 2>&1; then
    cases=$(grep -c '^ok' "$work/conformance.out")
    skips=$(grep -c '^ok.*# SKIP' "$work/conformance.out")
    pass "$name: $cases cases, $skips left out"
    grep '# SKIP' "$work/conformance.out" | sed 's/^/#   /'
  else
    fail "$name"
    sed 's/^/#   /' "$work/conformance.out"
  fi
}

# server_runs NAME SCRIPT ARGUMENT...: another script of tests, its results as
# comments.
server_runs()
{
  local name=$1

  if bash "$top_srcdir/tests/$2" "${@:3}" >"$work/script.out" 2>&1; then
    pass "$name: $(tail -n 1 "$work/script.out" | sed 's/^# //')"
  else
    fail "$name"
  fi
  sed 's/^/#   /' "$work/script.out"
}
