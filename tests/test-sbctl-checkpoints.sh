#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: sbctl reads a job's checkpoints from outside, finds damage, and tells
# what is needed from what is not.
# Method: a job of known content, see sbctl_fixture.c; damage done by hand.
. "${builddir:-.}/functions.sh"

data=$work/data
common=(--set state.backend=local --set "state.backend.local.dir=$data"
  --set state.backend.local.sync=false --job fixture)

run()
{
  sbctl "$@" "${common[@]}" >"$work/out" 2>"$work/err"
  code=$?
  out=$(cat "$work/out")
  err=$(cat "$work/err")
}

json()
{
  if [ "$PYTHON" = no ]; then
    skip "$1" "no python" tool
  else
    ok "$1" "$PYTHON" -m json.tool "$work/out"
  fi
}

json_lines()
{
  if [ "$PYTHON" = no ]; then
    skip "$1" "no python" tool
  else
    ok "$1" "$PYTHON" -c 'import json, sys
for line in open(sys.argv[1]): json.loads(line)' "$work/out"
  fi
}

count()
{
  grep -c "$1" "$work/out"
}

pins()
{
  find "$data" -path '*/pins/*' -type f | wc -l
}

ok "a job runs" sbctl_fixture "$data"
ok "the job runs again" sbctl_fixture "$data"

# list, show
run checkpoints list
is "two are retained" "$code:$(count '^checkpoint id=')" "0:2"
like "the newest first" "$(head -n 1 "$work/out")" '^checkpoint id=4 generation=2 '
run checkpoints list --json
json "list --json is JSON"
run checkpoints show
is "show exits with 0" "$code" 0
like "show: id" "$out" '^id=4$'
is "show: parts" "$(count '^part operator=counter ')" 2
like "show: states" "$out" '^state operator=counter subtask=0 name=totals kind=value '
like "show: blob" "$out" '^blob_bytes=8$'
like "show: segments" "$out" '^segment subtask=[01] name=.*\.state '
run checkpoints show 3 --json
json "show --json is JSON"
run checkpoints show 1
is "show of one that is gone" "$code" 3
is "no pins are left" "$(pins)" 0

# get, dump
run get --state totals --key key042 --format raw
is "get the newest value" "$out" total-042-4
run get --state totals --key key042 --format raw --checkpoint 3
is "get an older value" "$out" total-042-3
run get --state totals --key hex:6b6579303432
like "get by hexadecimal key" "$out" \
  '^row state=totals key_group=[0-9]+ key=key042 value=total-042-4$'
run get --state totals --key nobody
is "get of no key" "$code" 3
run get --state nothing --key key042
is "get of no state" "$code" 3
run get --state paths --key key007
is "a list has a row an element" "$(sed 's/.*value=//' "$work/out" | tr '\n' ' ')" \
  "/a /b /a /b /a /b /a /b "
run get --state statuses --key key007 --ns web --subkey 200
like "an entry of a map" "$out" ' ns=web subkey=200 value=12$'
run get --state statuses --key key007 --ns web
like "bytes that are no text" "$out" ' subkey=404 value_hex=ff01$'
run get --state statuses --key key007
is "a namespace is part of the key" "$code" 3
run dump
is "dump exits with 0" "$code" 0
is "dump has all values" "$(count '^row state=totals ')" 1000
is "dump has the map" "$(count '^row state=statuses ')" 2
like "dump has the timer" "$out" '^row state=timers key_group=[0-9]+ time_ms=1000 key_hex='
run dump --state totals --prefix key00
is "dump by prefix" "$(count '^row ')" 10
run dump --state totals --limit 7
is "dump with a limit" "$(count '^row ')" 7
run dump --state totals --key-group 0-63
first=$(count '^row ')
run dump --state totals --key-group 64-127
is "dump by key groups" "$((first + $(count '^row ')))" 1000
run dump --json
json_lines "dump --json is an object a line"
run dump --state statuses --format hex
like "dump in hexadecimal" "$out" ' key_hex=6b6579303037 ns_hex=776562 '
run dump --operator nobody
is "dump of no operator" "$(count '^row ')" 0
is "no pins are left" "$(pins)" 0

# Reading ends when nobody listens, and gives its pin back.
sbctl dump "${common[@]}" 2>/dev/null | head -n 1 >/dev/null
is "a closed pipe leaves no pin" "$(pins)" 0

# So does one that is interrupted. The store is slow, so that it is in time.
sbctl dump "${common[@]}" --set state.backend.filters=latency \
  --set state.backend.filter.latency.delay=300ms >/dev/null 2>&1 &
dump=$!
for _ in $(seq 100); do
  [ "$(pins)" = 1 ] && break
  sleep 0.05
done
is "a reader has a pin" "$(pins)" 1
kill -INT $dump
wait $dump
is "an interrupted reader says so" "$?" 130
is "and leaves no pin" "$(pins)" 0

# Readers of a job that goes on never see it half done.
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
  sbctl_fixture "$data" || echo failed
done >"$work/going" 2>&1 &
job=$!
bad=0
reads=0
while kill -0 $job 2>/dev/null; do
  run checkpoints verify
  [ "$code" = 0 ] || { bad=$((bad + 1)); note "verify: $code $err"; }
  run gc
  [ "$code" = 0 ] || { bad=$((bad + 1)); note "gc: $code $err"; }
  run dump --state totals
  [ "$(count '^row ')" = 1000 ] || { bad=$((bad + 1)); note "dump: $code $err"; }
  reads=$((reads + 1))
done
wait $job
is "reading a running job" "$bad" 0
is "the job does not mind" "$(cat "$work/going")" ""
note "$reads rounds"

# verify
run checkpoints list
newest=$(sed -n '1s/^checkpoint id=\([0-9]*\) .*/\1/p' "$work/out")
run checkpoints verify
is "verify finds nothing wrong" "$code:$(count ' ok=1 ')" "0:2"
like "verify: total" "$out" '^damaged=0$'
run checkpoints verify "$newest" --json
json "verify --json is JSON"
run checkpoints verify 999
is "verify of none" "$code" 3
err=$(sbctl checkpoints verify "${common[@]}" --job nobody 2>&1)
is "verify of a job without checkpoints" "$?:$err" \
  '3:sbctl: job "nobody" has no checkpoint'
run checkpoints show "$newest"
segment=$(sed -n 's/^segment subtask=[01] name=\([^ ]*\) .*/\1/p' "$work/out" |
  head -n 1)
cp "$data/$segment" "$work/kept"
size=$(stat -c %s "$work/kept")
found=0
tried=0
for offset in 0 1 $((size / 3)) $((size / 2)) $((size - 170)) $((size - 1)); do
  tried=$((tried + 1))
  cp "$work/kept" "$work/bad"
  byte=$(od -An -tu1 -j "$offset" -N 1 "$work/bad" | tr -d ' ')
  printf '%b' "\\x$(printf %02x $((byte ^ 16)))" |
    dd of="$work/bad" bs=1 seek="$offset" conv=notrunc 2>/dev/null
  cp "$work/bad" "$data/$segment"
  run checkpoints verify "$newest"
  [ "$code" = 5 ] && found=$((found + 1))
done
is "verify finds every flipped bit" "$found" "$tried"
like "verify names the object" "$err" "$segment"
head -c $((size - 1)) "$work/kept" >"$data/$segment"
run checkpoints verify "$newest"
is "verify finds a short object" "$code" 5
rm "$data/$segment"
run checkpoints verify "$newest"
is "verify finds a missing object" "$code" 5
cp "$work/kept" "$data/$segment"
run checkpoints verify
is "whole again" "$code" 0

# objects, gc. A compaction that ended after the last checkpoint leaves orphans
# to clean up.
run gc --yes --take-over
is "gc of a job at rest" "$code" 0
run objects
is "objects exits with 0" "$code" 0
like "objects: a segment and who needs it" "$out" \
  '^object name=.*\.state size=[0-9]+ kind=segment generation=[0-9]+ use=checkpoint checkpoints=[0-9]+'
like "objects: HEAD" "$out" '^object name=.*/HEAD size=[0-9]+ kind=head use=job$'
like "objects: no orphans" "$out" '^orphans=0$'
run objects --json
json "objects --json is JSON"
ok "a process dies with a checkpoint under way" sbctl_fixture "$data" abandon
run gc
like "what it left may still be used" "$out" '^orphans=0$'
ok "the job goes on" sbctl_fixture "$data"
run objects --orphans
is "orphans are listed alone" "$(grep '^object ' "$work/out" | grep -vc 'use=orphan')" 0
run gc
like "gc is a dry run" "$out" '^dry_run=1$'
run gc --json
json "gc --json is JSON"
run gc --yes --take-over
is "gc exits with 0" "$code" 0
like "gc did it" "$out" '^dry_run=0$'
run gc
like "nothing is left" "$out" '^orphans=0$'
run checkpoints verify
is "what is needed is there" "$code" 0

# A process that runs the job is fenced by a removal.
sbctl_fixture "$data" wait "$work/waiting" >"$work/fenced" 2>&1 &
job=$!
for _ in $(seq 500); do
  [ -e "$work/waiting" ] && break
  sleep 0.02
done
run checkpoints list
old=$(sed -n '2s/^checkpoint id=\([0-9]*\) .*/\1/p' "$work/out")
run checkpoints remove "$old" --take-over
is "remove of a running job's checkpoint" "$code" 0
rm -f "$work/waiting"
wait $job
is "the running job is fenced" "$?" 9
ok "another goes on" sbctl_fixture "$data"

# remove
run checkpoints list
old=$(sed -n '2s/^checkpoint id=\([0-9]*\) .*/\1/p' "$work/out")
new=$(sed -n '1s/^checkpoint id=\([0-9]*\) .*/\1/p' "$work/out")
run checkpoints remove "$old"
is "remove wants --take-over" "$code" 4
run checkpoints remove "$old" --take-over
is "remove" "$code:$out" "0:removed=$old"
run checkpoints list
is "one is left" "$(count '^checkpoint ')" 1
run checkpoints remove "$new" --take-over
is "the newest stays" "$(test "$code" != 0 && echo refused)" refused
run get --state totals --key key999 --format raw
is "and is right" "$out" "total-999-$new"
run checkpoints verify
is "and whole" "$code" 0

done_testing
