#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# quickstart-job.sh BUILD [CONFIG]: the example job, killed three times on its
# way and started again with another number of subtasks each time, then
# compared with the independent answer. State is kept where the file CONFIG
# says, else by the local plugin. Leaves nothing behind on this machine.
set -u
build=$(cd "${1:?the build directory}" && pwd) || exit 1
where=${2-}
examples=$(cd "$(dirname "$0")" && pwd)

repeat=${QUICKSTART_REPEAT-60}
kills_wanted=${QUICKSTART_KILLS-3}
job_pid=
work=$(mktemp -d "${TMPDIR:-/tmp}/statebackend-quickstart.XXXXXX") || exit 1

tidy()
{
  [ -n "$job_pid" ] && kill -KILL "$job_pid" 2>/dev/null
  rm -rf "$work"
}
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say()
{
  printf '%s\n' "$*"
}

die()
{
  say "quickstart: $*" >&2
  exit 1
}

# stat_of KEY: a value of the job's stats file, in $value.
stat_of()
{
  local key

  value=0
  [ -f "$work/stats" ] || return 0
  while IFS='=' read -r key value; do
    [ "$key" = "$1" ] && return 0
  done <"$work/stats"
  value=0
}

start_job()
{
  rm -f "$work/stats"
  "$build/examples/access_log" --config "$work/config.yaml" \
    --input "$work/log" --output "$work/output" --subtasks "$1" \
    --repeat "$repeat" --checkpoint-every "$every" \
    --stats-file "$work/stats" 2>"$work/job.log" &
  job_pid=$!
}

job_failed()
{
  cat "$work/job.log" >&2
  die "the job failed"
}

# Waits until the job has read that many lines.
wait_lines()
{
  for (( ; ; )); do
    stat_of lines
    [ "$value" -ge "$1" ] && return 0
    kill -0 "$job_pid" 2>/dev/null || return 1
    sleep 0.02
  done
}

SB_PLUGIN_PATH=${SB_PLUGIN_PATH-$build/plugins/.libs}
export SB_PLUGIN_PATH
gzip -dc "$examples/data/apache_logs.gz" >"$work/log" ||
  die "could not read $examples/data/apache_logs.gz"
lines=$(($(wc -l <"$work/log") * repeat))
every=$((lines / 30))
if [ -n "$where" ]; then
  sed "s|@name@|${work##*.}|g" "$where" >"$work/config.yaml" ||
    die "could not read $where"
else
  mkdir "$work/store"
  cat >"$work/config.yaml" <<END
state.backend: local
state.backend.local.dir: $work/store
END
fi
place=$(grep -E '^state.backend(:|.local.dir:|.s3.bucket:)|^aws.endpoint:' \
  "$work/config.yaml" | sed 's/^[^:]*: *//' | paste -sd ' ')
echo "state.backend.memory.size: 16mb" >>"$work/config.yaml"

say "the job: $lines lines of an access log, state in: $place,"
say "16 MiB of memory for state, a checkpoint every $every lines"
kills=0
subtasks=2
for ((n = 1; n <= kills_wanted; n++)); do
  start_job "$subtasks"
  at=$((lines * n / (kills_wanted + 1) - RANDOM % every))
  wait_lines "$at" || job_failed
  kill -KILL "$job_pid"
  wait "$job_pid" 2>/dev/null
  kills=$((kills + 1))
  stat_of lines
  say "  killed near line $value, with $subtasks subtasks"
  subtasks=$((subtasks % 5 + 1))
done
say "  started again with $subtasks subtasks"
start_job "$subtasks"
wait "$job_pid" || job_failed
job_pid=

say "comparing with the answer that $examples/verify_access_log computes"
verdict=$(python3 "$examples/verify_access_log" --input "$work/log" \
  --repeat "$repeat" --output "$work/output") ||
  die "the results differ
$verdict"
read -r -a figures <<<"${verdict##*$'\n'}"
declare -A figure
for pair in "${figures[@]}"; do
  figure[${pair%%=*}]=${pair#*=}
done
stat_of checkpoints
checkpoints=$value
for key in evicted_bytes early_flushes compactions cold_reads; do
  stat_of "$key"
  say "  $key=$value"
done
say "quickstart: exact=${figure[exact]} kills=$kills" \
  "lines=${figure[lines]} keys=${figure[keys]}" \
  "sessions=${figure[sessions]} checkpoints=$checkpoints"
cat <<END

What to try next:
  $build/sbctl plugins
  $build/sbctl info local
  $build/bench/bench hot_rmw
  $build/tests/sim --seeds 1-20 --steps 500
  $build/examples/access_log --help
  ./quickstart --s3
  ./check
END
