#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The layout `entries`, seen by a reader that shares nothing with the library:
# the example job leaves one object for each key, which say what sbctl says of
# the checkpoint. With compression and without, over a crash, and after a
# change from `segments`.
. "${builddir:-.}/functions.sh"

[ -n "$PYTHON" ] && [ "$PYTHON" != no ] || skip_all "no python"
reader=$srcdir/read_entries.py

gzip -dc "$top_srcdir/examples/data/apache_logs.gz" | head -n 4000 >"$work/log"

# settings NAME: where the store is, in $settings.
settings()
{
  settings=(--set state.backend=local --set state.backend.local.sync=false
    --set "state.backend.local.dir=$work/$1/store")
  mkdir -p "$work/$1/store"
}

# process NAME [OPTION...]
process()
{
  local name=$1

  shift
  settings "$name"
  exec access_log "${settings[@]}" --input "$work/log" \
    --output "$work/$name/output" --stats-file "$work/$name/stats" "$@" \
    2>"$work/$name/log"
}

# agrees NAME TEXT [OPTION...]: entries and checkpoint say the same.
agrees()
{
  local name=$1 text=$2

  shift 2
  settings "$name"
  sbctl dump "${settings[@]}" "${dump[@]}" --format hex >"$work/rows" 2>&1
  ok "$text" "$PYTHON" "$reader" --check --rows "$work/rows" "$@"
  note "$(tail -n 1 "$work/.tap")"
}

layout=(--set state.backend.local.layout=entries)
dump=()

(process snappy "${layout[@]}" --subtasks 3 --checkpoint-every 700)
is "a job with entries ends" "$?" 0
agrees snappy "entries are what the checkpoint has" \
  "$work/snappy/store/state"
is "one key is found by its name" \
  "$("$PYTHON" "$reader" --state paths --key 83.149.9.216 \
    "$work/snappy/store/state" | cut -f 1,3)" "paths	83.149.9.216"
is "the job is exact with entries" \
  "$("$PYTHON" "$top_srcdir/examples/verify_access_log" --input "$work/log" \
    --output "$work/snappy/output" | tail -n 1 | cut -d ' ' -f 1)" exact=yes

dump=(--set state.backend.local.base-path=a/base
  --set state.backend.local.state-file-extension=.bin)
(process plain "${layout[@]}" "${dump[@]}" \
  --set state.backend.local.state-file-compression=false)
is "a job without compression ends" "$?" 0
agrees plain "entries without compression" "$work/plain/store/a/base/state" \
  --extension .bin --compression none
dump=()

# Killed once, at any time, and taken over by another number of subtasks.
process killed "${layout[@]}" --rate 4000 --checkpoint-every 300 &
pid=$!
tries=100
while ! grep -q '^checkpoints=[2-9]' "$work/killed/stats" 2>/dev/null &&
      [ $((tries -= 1)) -gt 0 ]; do
  sleep 0.05
done
kill -KILL "$pid"
wait "$pid" 2>/dev/null
(process killed "${layout[@]}" --subtasks 2 --checkpoint-every 1000)
is "after a crash it goes on" "$?" 0
agrees killed "entries after a crash" "$work/killed/store/state"
settings killed
is "entries are no orphans" "$(sbctl objects "${settings[@]}" |
  grep '^orphans=')" orphans=0

# The layout may change between two lives.
process later --rate 5000 --checkpoint-every 1min &
pid=$!
tries=100
while ! grep -q '^lines=[1-9]' "$work/later/stats" 2>/dev/null &&
      [ $((tries -= 1)) -gt 0 ]; do
  sleep 0.05
done
kill -TERM "$pid"
wait "$pid"
is "a job without entries is stopped" "$?" 4
(process later "${layout[@]}" --checkpoint-every 1000)
is "and goes on with entries" "$?" 0
agrees later "all of them" "$work/later/store/state"
done_testing
