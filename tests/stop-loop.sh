#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# stop-loop.sh N [CONFIG]: the example job, stopped with SIGSTOP at N random
# moments. A successor takes over; the stopped process is woken in the middle
# of it or after its end. It must end as fenced, and the successor's state and
# results must be exact. CONFIG is as JOB_CONFIG in job-functions.sh.
. "${builddir:-.}/functions.sh"
. "$top_srcdir/tests/job-functions.sh"

count=${1:-20}
JOB_CONFIG=${2-${JOB_CONFIG-}}
fenced_code=3

cleanup()
{
  if [ -n "${old_pid-}" ]; then
    kill -KILL "$old_pid" 2>/dev/null
  fi
  if [ -n "${job_pid-}" ]; then
    kill -KILL "$job_pid" 2>/dev/null
  fi
}

# stop_at_moment: a job that stands still between two lines.
stop_at_moment()
{
  local attempt

  for attempt in 1 2 3 4 5 6 7 8 9; do
    job_new
    random "$job_subtasks_max"
    subtasks=$((random + 1))
    job_moment
    job_start "$subtasks" old
    old_pid=$job_pid
    job_wait_lines old "$moment" "$old_pid" && job_pause
    kill -STOP "$old_pid" 2>/dev/null
    job_get old state
    if kill -0 "$old_pid" 2>/dev/null && [ "$value" = reading ]; then
      job_get old lines
      return 0
    fi
    kill -KILL "$old_pid" 2>/dev/null
    wait "$old_pid" 2>/dev/null
  done
  return 1
}

stop_run()
{
  local status

  stop_at_moment || return 1
  name="stopped near line $value, $subtasks subtasks then"
  job_other_subtasks
  name="$name $subtasks"
  job_start "$subtasks" new
  if [ $((run % 2)) = 1 ]; then
    job_get old lines
    random $((job_lines - value))
    job_wait_lines new $((value + random)) "$job_pid"
    name="$name, woken in between"
    kill -CONT "$old_pid"
    wait "$job_pid" || return 1
  else
    name="$name, woken afterwards"
    wait "$job_pid" || return 1
    kill -CONT "$old_pid"
  fi
  wait "$old_pid"
  status=$?
  if [ "$status" != "$fenced_code" ] ||
     ! grep -q SB_FENCED "$life/old.log"; then
    note "the old process ended with $status"
    return 1
  fi
  # Woken late, it may have left a pending file that its successor did not see.
  rm -f "$life"/output/*.pending
  job_check new
}

job_seed
job_prepare
plan "$count"
exact=0
for ((run = 1; run <= count; run++)); do
  name="stopped"
  if stop_run 2>/dev/null; then
    pass "$name"
    exact=$((exact + 1))
  else
    fail "$name"
    job_explain
  fi
  cleanup
done
note "stop-loop: exact=$exact of $count"
