# SPDX-License-Identifier: Apache-2.0
# Sourced by the scripts that kill and stop examples/access_log, after
# functions.sh. One life of the job is one directory: store/, output/, stats.
#
# JOB_CONFIG is a file of configuration that says where state is kept: @life@
# in it stands for the life's directory and @name@ for a name that no other
# life has. Without one it is the local plugin.

job_repeat=${JOB_REPEAT-100}
job_budget=${JOB_BUDGET-16mb}
job_number=0
job_subtasks_max=5

# A seed makes the choice of moments repeatable, not the moments.
job_seed()
{
  RANDOM=${SB_SEED-$$}
  note "SB_SEED=${SB_SEED-$$}"
}

# random BOUND: 0 to BOUND - 1, in $random.
random()
{
  random=$(((RANDOM << 15 | RANDOM) % $1))
}

# Once: the input, its size and the answer, which no run changes.
job_prepare()
{
  [ -n "$PYTHON" ] && [ "$PYTHON" != no ] || skip_all "no python"
  job_verify=$top_srcdir/examples/verify_access_log
  gzip -dc "$top_srcdir/examples/data/apache_logs.gz" >"$work/log" || exit 99
  job_figures=$("$PYTHON" "$job_verify" --input "$work/log" \
    --repeat "$job_repeat" --write "$work/want") || exit 99
  job_lines=${job_figures#lines=}
  job_lines=${job_lines%% *}
  job_every=$((job_lines / 30))
  note "$job_figures"
}

# job_where: the configuration of the place for state.
job_where()
{
  if [ -n "${JOB_CONFIG-}" ]; then
    cat "$JOB_CONFIG"
  else
    printf '%s\n' 'state.backend: local' \
      'state.backend.local.dir: @life@/store'
  fi
}

# job_new: a fresh life in $life.
job_new()
{
  life=$work/life
  job_number=$((job_number + 1))
  rm -rf "$life"
  mkdir -p "$life/store"
  {
    job_where | sed "s|@life@|$life|g; s|@name@|life-$$-$job_number|g"
    printf '%s\n' "state.backend.memory.size: $job_budget"
  } >"$life/config.yaml"
}

# job_start SUBTASKS STATS-NAME: in the background, pid in $job_pid.
job_start()
{
  rm -f "$life/$2"
  access_log --config "$life/config.yaml" --input "$work/log" \
    --output "$life/output" --subtasks "$1" --repeat "$job_repeat" \
    --checkpoint-every "$job_every" --stats-file "$life/$2" \
    2>"$life/$2.log" &
  job_pid=$!
}

# job_get STATS-NAME KEY: its value in $value, "" if there is none.
job_get()
{
  local key

  value=
  [ -f "$life/$1" ] || return 0
  while IFS='=' read -r key value; do
    [ "$key" = "$2" ] && return 0
  done <"$life/$1"
  value=
}

# job_wait_lines STATS-NAME LINES PID: until that many are read. False if the
# process has ended first.
job_wait_lines()
{
  for (( ; ; )); do
    job_get "$1" lines
    [ "${value:-0}" -ge "$2" ] && return 0
    kill -0 "$3" 2>/dev/null || return 1
    sleep 0.02
  done
}

# A moment in the input, or in its first part, then up to 0.1 s more.
job_moment()
{
  random $(((job_lines - 2 * job_every / 3) / ${JOB_MOMENT_PART-1}))
  moment=$((random + 1))
}

job_pause()
{
  random 100
  sleep "$(printf '0.%03d' "$random")"
}

# Another number of subtasks than $subtasks.
job_other_subtasks()
{
  random $((job_subtasks_max - 1))
  subtasks=$(((subtasks + random) % job_subtasks_max + 1))
}

# The results, the counters and the store after the last life.
job_check()
{
  local key

  "$PYTHON" "$job_verify" --expected "$work/want" --output "$life/output" \
    >"$life/verdict" || return 1
  for key in $job_counters; do
    job_get "$1" "$key"
    if [ "${value:-0}" -le 0 ]; then
      echo "$key=${value:-missing}" >>"$life/verdict"
      return 1
    fi
  done
  job_get "$1" checkpoints
  if [ "${value:-0}" -lt "$job_checkpoints_min" ]; then
    echo "checkpoints=$value" >>"$life/verdict"
    return 1
  fi
  if compgen -G "$life/output/*.pending" >"$life/pending"; then
    echo "pending files are left" >>"$life/verdict"
    return 1
  fi
  job_orphans
}

# A short run need not see everything.
if [ -n "${JOB_QUICK-}" ]; then
  job_counters=
  job_checkpoints_min=${JOB_CHECKPOINTS_MIN-1}
else
  job_counters="evicted_bytes early_flushes compactions cold_reads"
  job_checkpoints_min=${JOB_CHECKPOINTS_MIN-20}
fi

# No object is left that nothing needs, once the last clean-up has run.
job_orphans()
{
  sbctl gc --config "$life/config.yaml" --yes --take-over >"$life/gc" 2>&1 &&
    sbctl gc --config "$life/config.yaml" >"$life/gc" 2>&1 &&
    grep -Eq '(^|[^a-z_])orphans=0( |$)' "$life/gc" && return 0
  cat "$life/gc" >>"$life/verdict"
  return 1
}

# After a failure: what is there to look at.
job_explain()
{
  local file

  for file in "$life"/*.log "$life/verdict"; do
    [ -s "$file" ] && sed "s|^|#   ${file##*/}: |" "$file" | head -n 25
  done
  if [ -n "${JOB_KEEP-}" ]; then
    rm -rf "$JOB_KEEP"
    cp -a "$life" "$JOB_KEEP"
    note "kept in $JOB_KEEP"
  fi
}
