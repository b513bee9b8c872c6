#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The small examples: each is killed twice, goes on with another number of
# subtasks, and compares its result with a plain computation.
. "${builddir:-.}/functions.sh"

# run NAME OPTION...: one life; its output is in $work/NAME.out.
run()
{
  local name=$1

  shift
  mkdir -p "$work/$name"
  "$name" --store "$work/$name" --input "$work/log" "$@" \
    >"$work/$name.out" 2>"$work/$name.err"
}

# killed NAME OPTION...
killed()
{
  (run "$@") 2>/dev/null
  is "$1 is killed" "$?" 137
}

value()
{
  sed -n "s/^$2=//p" "$work/$1.out"
}

gzip -dc "$top_srcdir/examples/data/apache_logs.gz" >"$work/log"

for name in word_count top_paths join sessions; do
  killed "$name" --stop-after 3300 --subtasks 2
  killed "$name" --stop-after 2700 --subtasks 3 --every 700
  run "$name" --subtasks 1
  is "$name ends well" "$?" 0
  like "$name went on from a checkpoint" "$(value "$name" restored)" '^[1-9]'
  is "$name is exact" "$(value "$name" exact)" yes
  note "$name: $(tr '\n' ' ' <"$work/$name.out")" "$(cat "$work/$name.err")"
  [ "$name" = join ] &&
    is "join keeps little of what it was given" \
      "$(($(value join bytes_kept) * 2 < $(value join bytes_put)))" 1
  run "$name" --subtasks 4
  is "$name, started when it is done, is exact" "$(value "$name" exact)" yes
done

# The verdict is not always yes: a state that was made of another input.
head -n 9000 "$work/log" >"$work/short"
for name in word_count top_paths sessions; do
  run "$name" --input "$work/short"
  is "$name sees a wrong result" "$?/$(value "$name" exact)" 1/no
done

run word_count --subtasks 9
is "wrong usage" "$?" 2
done_testing
