#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: sbctl makes, lists, copies, reads and removes savepoints.
# Method: a job of known content, see queries_fixture.c, whose checkpoints are
# then taken away.
. "${builddir:-.}/functions.sh"

data=$work/data
common=(--set state.backend=local --set "state.backend.local.dir=$data"
  --set state.backend.local.sync=false)

run()
{
  sbctl "$@" "${common[@]}" >"$work/out" 2>"$work/err"
  code=$?
  out=$(cat "$work/out")
  err=$(cat "$work/err")
}

count()
{
  grep -c "$@" "$work/out"
}

ok "a job runs" queries_fixture "$data"
for id in 1 2; do
  sbctl dump "${common[@]}" --job queries --checkpoint $id >"$work/want.$id"
done

run savepoint list --job queries
is "there are none at first" "$code:$out" "0:"
run savepoint create first --checkpoint 1 --job queries
is "create of an older checkpoint" "$code:$out" "0:created=first"
run savepoint create second --job queries
is "create of the newest" "$code" 0
run savepoint create second --job queries
is "a name is used once" "$code" 1
like "and said to be" "$err" '"second"'
run savepoint create third --checkpoint 9 --job queries
is "create of no checkpoint" "$code" 3
run savepoint create ../out --job queries
like "a name is one part" "$code:$(find "$work" -name 'out*' -type d)" '^[0-9]+:$'
run savepoint remove ../out --job queries
run savepoint list --job queries
is "list" "$(sed 's/ generation.*name=/ name=/' "$work/out")" \
  "$(printf 'savepoint id=1 name=first\nsavepoint id=2 name=second')"
run savepoint show first --job queries
like "show" "$code:$out" '^segment .* name=queries/savepoints/first/'
run savepoint show none --job queries
is "show of none" "$code" 3

# verifying
run savepoint verify first --job queries
is "verify" "$code:$(count '^savepoint id=1 ok=1 '):$(count '^damaged=0$')" \
  0:1:1
run savepoint verify none --job queries
is "verify of none" "$code" 3
object=$(find "$data/queries/savepoints/second" -name '*.state' | head -n 1)
mv "$object" "$work/object" # the checkpoint may have the same file
cp "$work/object" "$object"
printf X | dd of="$object" bs=1 seek=40 conv=notrunc 2>/dev/null
run savepoint verify second --job queries
like "verify of a damaged one" "$code:$err" "^5:.*${object#"$data/"}"
rm "$object"
run savepoint verify second --job queries
like "verify of one that lacks an object" "$code:$err" \
  "^5:.*${object#"$data/"}"
mv "$work/object" "$object"

# reading
run dump --savepoint first --job queries
is "dump" "$code:$(cmp "$work/out" "$work/want.1" 2>&1)" "0:"
run get --savepoint second --job queries --state words --key k00 --format raw
is "get" "$out" two
run keys --savepoint second --job queries --state words --ns b --format raw
is "keys" "$out" many
run diff 1 savepoint:first --job queries
is "diff with its checkpoint" "$code" 0
run diff savepoint:first savepoint:second --job queries
is "diff of two" "$code:$(count '^differences_found=8$')" "1:1"
run report --savepoint first --job queries
like "report" "$code:$out" '<h1>Checkpoint 1, savepoint first of job queries'
run dump --savepoint none --job queries
is "dump of none" "$code" 3
run dump --savepoint first --checkpoint 1 --job queries
is "dump of two at once" "$code" 2

# canonical ones
ok "a canonical savepoint is written" queries_fixture "$data" canonical plain
run dump --savepoint plain --job queries
is "dump of a canonical one" \
  "$code:$(sort "$work/out" | cmp - <(sort "$work/want.2") 2>&1)" "0:"
run keys --savepoint plain --job queries --state words --operator left
is "its keys, each once" "$code:$(count '^row ')" "0:103"
run keys --savepoint plain --job queries --state sets
is "of a map too" "$(count '^row ')" 1
run keys --savepoint plain --job queries --state words --namespaces
is "its keys by namespace" "$(count '^row ')" 106
run get --savepoint plain --job queries --state words --operator left \
  --key many --ns b --format raw
is "get of a canonical one" "$code:$out" "0:one"
run get --savepoint plain --job queries --state words --key none
is "get of no key" "$code" 3
run dump --savepoint plain --job queries --state none
is "dump of no state" "$code" 3
run dump --savepoint plain --job queries --key-group 0-7
first=$(count '^row ')
run dump --savepoint plain --job queries --key-group 8-15
is "dump by key groups" "$((first + $(count '^row ')))" "$(wc -l <"$work/want.2")"
for command in "diff 1 savepoint:plain" "report --savepoint plain" \
  "savepoint show plain" "savepoint verify plain"; do
  # The words of the command are wanted apart.
  # shellcheck disable=SC2086
  run $command --job queries
  like "what cannot be done with it: $command" "$code:$err" \
    '^[12]:.*canonical savepoint'
done
run savepoint copy plain2 --savepoint plain --job queries
is "copy of a canonical one" "$code" 0
run dump --savepoint plain2 --job queries --state sets
is "which is whole" "$code:$(count '^row ')" "0:2"
object=$(find "$data/queries/savepoints/plain" -name '*left*.canonical' | head -n 1)
printf X | dd of="$object" bs=1 seek=$(($(stat -c %s "$object") - 30)) \
  conv=notrunc 2>/dev/null
run dump --savepoint plain --job queries
is "a damaged one" "$code" 5
rm "$object"
run dump --savepoint plain --job queries
like "an object that is gone" "$code:$err" "^5:.*${object#"$data/"}"

# copies
run savepoint copy again --savepoint first --job queries
is "copy" "$code" 0
run savepoint copy again --job queries
is "copy of what" "$code" 2
run savepoint copy moved --savepoint first --job other --from-job queries
is "copy to another job" "$code" 0
cat >"$work/from.yaml" <<END
state.backend: local
state.backend.local.dir: $data
state.backend.local.sync: false
END
there=(--set state.backend=local --set "state.backend.local.dir=$work/there"
  --set state.backend.local.sync=false)
mkdir "$work/there"
sbctl savepoint copy far --savepoint second --job here --from-job queries \
  --from-config "$work/from.yaml" "${there[@]}" >"$work/out" 2>"$work/err"
is "copy to another store" "$?:$(cat "$work/err")" "0:"
sbctl savepoint copy far2 --checkpoint 1 --job here --from-job queries \
  --from-config "$work/from.yaml" "${there[@]}" >"$work/out" 2>"$work/err"
is "copy of a checkpoint to another store" "$?:$(cat "$work/err")" "0:"
sbctl savepoint copy far3 --checkpoint 1 --job here --from-job queries \
  --from-config "$work/none.yaml" "${there[@]}" >"$work/out" 2>"$work/err"
is "copy from settings that are not there" "$?" 6

# they need nothing else
run savepoint remove first --job queries
is "remove" "$code:$out" "0:removed=first"
run savepoint remove first --job queries
is "remove of one that is gone" "$code" 3
rm -r "$data/queries/state" "$data/queries/checkpoints"
run dump --savepoint again --job queries
is "a copy is whole by itself" "$code:$(cmp "$work/out" "$work/want.1" 2>&1)" "0:"
run dump --savepoint moved --job other
is "so is the other job's" "$code:$(cmp "$work/out" "$work/want.1" 2>&1)" "0:"
rm -r "$data"
for name in far far2; do
  sbctl dump --savepoint $name --job here "${there[@]}" >"$work/out" \
    2>"$work/err"
  case $name in far) id=2 ;; *) id=1 ;; esac
  is "$name is whole by itself" "$?:$(cmp "$work/out" "$work/want.$id" 2>&1)" "0:"
done

done_testing
