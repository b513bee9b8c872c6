#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The example job on awkward input and in awkward moments: malformed and late
# lines, a pipe, a signal, a finished job started again, wrong usage. Each
# result is compared with the independent answer.
. "${builddir:-.}/functions.sh"

[ -n "$PYTHON" ] && [ "$PYTHON" != no ] || skip_all "no python"
verify=$top_srcdir/examples/verify_access_log

# process NAME INPUT [OPTION...]: a job of its own in $work/NAME; in a subshell
# of its own, too.
process()
{
  local name=$1 input=$2

  shift 2
  mkdir -p "$work/$name/store"
  exec access_log --set state.backend=local \
    --set "state.backend.local.dir=$work/$name/store" --input "$input" \
    --output "$work/$name/output" --stats-file "$work/$name/stats" "$@" \
    2>"$work/$name/log"
}

run()
{
  (process "$@")
}

# Waits until a job has read something.
started()
{
  local tries=100

  while ! grep -q '^lines=[1-9]' "$work/$1/stats" 2>/dev/null &&
        [ $((tries -= 1)) -gt 0 ]; do
    sleep 0.05
  done
}

verdict()
{
  "$PYTHON" "$verify" "${@:2}" --output "$work/$1/output" | tail -n 1
}

line()
{
  printf '%s - - [%s] "%s" %s "-" "agent"\n' "$1" "$2" "$3" "$4"
}

# Every kind of line that must and must not be taken.
{
  line 1.1.1.1 '17/May/2015:10:00:00 +0000' 'GET /a HTTP/1.1' '200 10'
  line 1.1.1.1 '17/May/2015:12:00:01 +0200' 'GET /b HTTP/1.1' '404 -'
  line 1.1.1.1 '17/May/2015:09:59:30 +0000' 'GET /early HTTP/1.1' '200 1'
  line 1.1.1.1 '17/May/2015:09:58:00 +0000' 'GET /late HTTP/1.1' '200 1'
  line 1.1.1.1 '17/May/2015:10:29:59 +0000' 'GET /joins HTTP/1.1' '200 1'
  line 1.1.1.1 '17/May/2015:11:00:00 +0000' 'GET /new HTTP/1.1' '200 1'
  line 1.1.1.1 '17/May/2015:11:29:59 +0000' '-' '408 -'
  line 2.2.2.2 '29/Feb/2016:00:00:00 -0930' 'GET /"q HTTP/1.1' '200 1'
  line 2.2.2.2 '29/Feb/2016:00:00:00 -0930' 'GET /\"q HTTP/1.1' '200 1'
  line 2.2.2.2 '29/Feb/2015:00:00:00 +0000' 'GET / HTTP/1.1' '200 1'
  line 2.2.2.2 '17/Xay/2016:00:00:00 +0000' 'GET / HTTP/1.1' '200 1'
  line 2.2.2.2 '17/May/2016:24:00:00 +0000' 'GET / HTTP/1.1' '200 1'
  line 2.2.2.2 '17/May/2016:00:00:00 +0000' 'GET / HTTP/1.1' '20 1'
  line 2.2.2.2 '17/May/2016:00:00:00 +0000' 'GET / HTTP/1.1' '200 x'
  line 2.2.2.2 '17/May/2016:00:00:00 +0000' 'GET / HTTP/1.1' \
    '200 1234567890123456789'
  line 2.2.2.2 '17/May/2016:00:00:00 +0000' 'GET  HTTP/1.1' '200 18'
  line 2.2.2.2 '17/May/2016:00:00:00 +0000' '' '200 19'
  line '' '17/May/2016:00:00:00 +0000' 'GET / HTTP/1.1' '200 1'
  line "$(printf '%0255d' 7)" '17/May/2016:00:00:00 +0000' 'GET / H' '200 1'
  line "$(printf '%0256d' 7)" '17/May/2016:00:00:00 +0000' 'GET / H' '200 1'
  line 3.3.3.3 '17/May/2016:00:00:00 +0000' "GET /$(printf '%09000d' 7) H" \
    '200 5'
  line 3.3.3.3 '17/May/2016:00:00:00 +0000' "GET /$(printf '%017000d' 7) H" \
    '200 5'
  printf '\n'
  printf 'nonsense\n'
  printf '4.4.4.4 - [x] [17/May/2016:00:00:00 +0000] "GET / H" 200 7\n'
  printf '4.4.4.4 - - [17/May/2016:00:00:00 +0000] "GET /a\001\200 H" 200 7\n'
  printf '4.4.4.4 - - [17/May/2016:00:00:00 +0000] "GET / H" 200 7 \r\n'
  printf '4.4.4.4 - - [17/May/2016:00:00:00 +0000] "GET / H" 200 7'
} >"$work/odd.in"
run odd "$work/odd.in" --subtasks 3 --checkpoint-every 3
is "odd lines are counted, not fatal" "$?" 0
like "odd lines: same answer" "$(verdict odd --input "$work/odd.in")" \
  '^exact=yes lines=28 malformed=1[0-9] late=1 '
like "malformed lines are reported" "$(cat "$work/odd/log")" \
  '1[0-9] of 28 lines are malformed'
like "late lines are reported" "$(cat "$work/odd/log")" '1 of 28 lines came'

run twice "$work/odd.in" --repeat 3
like "repeated" "$(verdict twice --input "$work/odd.in" --repeat 3)" \
  "^exact=yes"

: >"$work/empty.in"
run empty "$work/empty.in"
like "an empty log" "$(verdict empty --input "$work/empty.in")" \
  '^exact=yes lines=0 '

gzip -dc "$top_srcdir/examples/data/apache_logs.gz" >"$work/log"
head -n 4000 "$work/log" >"$work/part"
run pipe - <"$work/part"
like "from a pipe" "$(verdict pipe --input "$work/part")" '^exact=yes'

# A signal ends it with a checkpoint; started again, it goes on.
process signal "$work/log" --rate 5000 --checkpoint-every 1min &
pid=$!
started signal
kill -TERM "$pid"
wait "$pid"
is "a signal stops it" "$?" 4
like "with a checkpoint" "$(cat "$work/signal/stats")" '^checkpoints=1$'
run signal "$work/log" --subtasks 5
is "and it goes on" "$?" 0
like "exact after a stop" "$(verdict signal --input "$work/log")" '^exact=yes'
before=$(cd "$work/signal/output" && cat -- *| cksum)
run signal "$work/log"
is "a finished job has nothing to do" "$?" 0
is "and changes nothing" "$(cd "$work/signal/output" && cat -- *| cksum)" \
  "$before"

# Results of one job are not mixed with those of another.
mkdir -p "$work/other"
mv "$work/signal/output" "$work/other/output"
run other "$work/part"
is "a used output directory is refused" "$?" 1

# The process that was overtaken says so.
process fenced "$work/log" --rate 5000 --checkpoint-every 200ms &
pid=$!
started fenced
mkdir -p "$work/successor"
ln -s "$work/fenced/store" "$work/successor/store"
ln -s "$work/fenced/output" "$work/successor/output"
run successor "$work/log" --subtasks 4
is "a successor finishes" "$?" 0
wait "$pid"
is "the overtaken one is fenced" "$?" 3
like "and says so" "$(cat "$work/fenced/log")" 'SB_FENCED'
like "exact with two of them" \
  "$(verdict successor --input "$work/log")" '^exact=yes'

for wrong in --subtasks=0 --subtasks=65 --checkpoint-every=5x --rate=-1 \
  --repeat=0 --nonsense --set=x --set=state.backend.local.dri=x stray; do
  run usage "$work/part" "$wrong"
  is "wrong usage: $wrong" "$?" 2
done
like "the nearest key is named" "$(run usage "$work/part" \
  --set state.backend.local.dri=x; cat "$work/usage/log")" \
  'state.backend.local.dir'
run usage "$work/missing"
is "no such input" "$?" 1
done_testing
