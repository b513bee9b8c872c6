#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: no committed checkpoint is ever lost, no value is ever wrong, nothing
# is left behind, whatever fails and whenever a process dies.
# Method: the simulation of whole lives from seeds, and the fault loops, which
# fail each store operation and each allocation in turn. A failing seed is
# replayed by `build/tests/sim --seeds N-N --steps 2000 --verbose --verbose`.
. "${builddir:-.}/functions.sh"

seeds=200
faults=--fault-loop
if [ -n "$SB_SANITIZER" ]; then
  seeds=40
  faults="--fault-loop --brief"
fi

clean_run()
{
  "$builddir/sim" --seeds "$1" --steps 2000 >"$work/out" 2>"$work/err"
  status=$?
  tail -n 20 "$work/out"
  grep -v "makecontext/swapcontext" "$work/err" | tail -n 40
  [ "$status" = 0 ] &&
    grep -q '^sim seeds=[0-9]* steps=2000 lost=0 wrong=0 leaked=0$' "$work/out"
}

replays()
{
  "$builddir/sim" --seeds 1-5 --steps 500 --twice
}

fault_loop()
{
  "$builddir/sim" $faults
}

plan 4
ok "the simulation's own tests" "$builddir/sim" --self-test
ok "a seed replays exactly" replays
ok "lives of $seeds seeds" clean_run "1-$seeds"
if [ "${SB_SANITIZER-}" = thread ]; then
  skip "fault loops" "one thread has no races, and the shadow memory is large"
else
  ok "fault loops" fault_loop
fi
