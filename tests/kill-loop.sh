#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kill-loop.sh N [CONFIG]: the example job, killed with SIGKILL at N random
# moments, one in each run; started again with another number of subtasks, it
# ends with exactly the independent answer. A kill before the first or after
# the last line does not count and is tried again. CONFIG is as JOB_CONFIG in
# job-functions.sh.
. "${builddir:-.}/functions.sh"
. "$top_srcdir/tests/job-functions.sh"

count=${1:-20}
JOB_CONFIG=${2-${JOB_CONFIG-}}

# True if the kill counts: the job was between its first and last line.
kill_once()
{
  job_new
  random "$job_subtasks_max"
  subtasks=$((random + 1))
  job_moment
  job_start "$subtasks" first
  job_wait_lines first "$moment" "$job_pid" && job_pause
  kill -KILL "$job_pid" 2>/dev/null
  wait "$job_pid" 2>/dev/null
  status=$?
  job_get first state
  [ "$status" = 137 ] && [ "$value" = reading ] && return 0
  [ "$status" = 137 ] && [ "$value" != failed ] && return 1
  note "the first process ended by itself with $status"
  return 2
}

kill_run()
{
  local attempt

  for attempt in 1 2 3 4 5 6 7 8 9; do
    kill_once
    case $? in
    0) break ;;
    2) [ "$status" = 0 ] || return 1 ;;
    esac
    [ "$attempt" = 9 ] && return 1
  done
  job_get first lines
  name="killed near line $value, $subtasks subtasks then"
  job_other_subtasks
  name="$name $subtasks"
  job_start "$subtasks" second
  wait "$job_pid" || return 1
  job_check second
}

job_seed
job_prepare
plan "$count"
exact=0
for ((run = 1; run <= count; run++)); do
  name="killed"
  if kill_run 2>/dev/null; then
    pass "$name"
    exact=$((exact + 1))
  else
    fail "$name"
    job_explain
  fi
done
note "kill-loop: exact=$exact of $count"
