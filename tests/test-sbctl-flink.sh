#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: sbctl reads a checkpoint of Flink by its _metadata file, and refuses
# what is damaged, foreign or gone with a clear message.
# Method: _metadata files written as Flink's serializers do, by
# flink_metadata.py, around the manifests of a job of known content.
. "${builddir:-.}/functions.sh"

[ "$PYTHON" = no ] && skip_all "no python"

data=$work/data
common=(--set state.backend=local --set "state.backend.local.dir=$data"
  --set state.backend.local.sync=false)
meta=$work/_metadata

run()
{
  sbctl "$@" "${common[@]}" >"$work/out" 2>"$work/err"
  code=$?
  out=$(cat "$work/out")
  err=$(cat "$work/err")
}

# handle OPERATOR META [SHARED]: an incremental handle, as JSON.
handle()
{
  echo "{\"first\": 0, \"count\": 16, \"meta\": $2, \"shared\": [${3-}]}"
}

# write [VERSION [LEFT [RIGHT]]]: a checkpoint of two operators, the handles
# as JSON; the one of "left" has company that is to be stepped over.
write()
{
  local left right
  left=${2-$(handle left "{\"bytes\": \"$work/left.manifest\"}")}
  right=${3-$(handle right "{\"bytes\": \"$work/right.manifest\"}")}
  cat >"$work/description" <<END
{"version": ${1-4}, "checkpoint": 77, "operators": [
  {"id": "00112233445566778899aabbccddeeff", "max_parallelism": 16,
   "name": "left one", "uid": "left", "coordinator": null, "subtasks": [
     {"index": 0, "operator_state": true, "channels": true, "keyed": $left},
     {"index": 1, "finished": true}]},
  {"id": "ffeeddccbbaa99887766554433221100", "max_parallelism": 16,
   "finished": true, "subtasks": []},
  {"id": "0123456789abcdef0123456789abcdef", "max_parallelism": 16,
   "subtasks": [{"index": 0, "keyed": $right, "raw":
     {"kind": "groups", "first": 0, "count": 2, "of": null}}]}]}
END
  "$PYTHON" -IS "$top_srcdir/tests/flink_metadata.py" "$work/description" "$meta"
}

ok "a job runs" queries_fixture "$data"
sbctl dump "${common[@]}" --job queries >"$work/want"
ok "its manifests are there" queries_fixture "$data" parts "$work" 2

# versions
for version in 3 4 5 6; do
  write $version
  run dump --metadata "$meta"
  is "version $version is read" "$code:$(cmp "$work/out" "$work/want" 2>&1)" "0:"
done
like "other keyed state is told of" "$err" 'also has 1 handles of other'
for version in 2 7; do
  write $version
  run dump --metadata "$meta"
  like "version $version is refused" "$code:$err" "^1:.*version $version"
done

# the other commands
write
run get --metadata "$meta" --state words --key k00 --format raw
is "get" "$out" two
run keys --metadata "$meta" --state words --ns b --format raw
is "keys" "$out" many
run diff 2 "metadata:$meta" --job queries
is "diff with our own of the same job" "$code" 0
run diff 1 "metadata:$meta" --job queries --state sets
is "diff with an older one" "$code:$(grep -c '^added ' "$work/out")" "1:1"
run report --metadata "$meta"
like "report" "$code:$out" '^<h1>Checkpoint 77, '
run dump --metadata "$meta" --checkpoint 1
is "only one source" "$code" 2

# where the manifest is
old=$(handle left "{\"bytes\": \"$work/left.manifest\"}")
write 4 "${old%\}}, \"old\": true}"
run dump --metadata "$meta"
is "a handle of the old form" "$(cmp "$work/out" "$work/want" 2>&1)" ""
write 4 "{\"kind\": \"changelog\", \"first\": 0, \"count\": 16, \"of\": $old}"
run dump --metadata "$meta"
is "a handle under a changelog" "$(cmp "$work/out" "$work/want" 2>&1)" ""
mkdir -p "$data/flink"
cp "$work/left.manifest" "$data/flink/meta-1"
for path in "file:$data/flink/meta-1" "file://$data/flink/meta-1" \
  "$data/flink/meta-1" "file:$work/left.manifest" "sblocal://flink/flink/meta-1"
do
  write 4 "$(handle left "{\"file\": \"$path\"}")"
  run dump --metadata "$meta"
  is "a manifest in ${path%%[/0-9]*}" "$(cmp "$work/out" "$work/want" 2>&1)" ""
done
write 4 "$(handle left '{"relative": "left.manifest"}')"
run dump --metadata "$meta"
is "a manifest beside the file" "$(cmp "$work/out" "$work/want" 2>&1)" ""
size=$(stat -c %s "$work/left.manifest")
{ printf 12345; cat "$work/left.manifest"; printf 6; } >"$data/flink/merged"
write 4 "$(handle left "{\"segment\": \"file:$data/flink/merged\",
  \"start\": 5, \"size\": $size}")"
run dump --metadata "$meta"
is "a manifest within a file" "$(cmp "$work/out" "$work/want" 2>&1)" ""

# where the objects are
object=$(sbctl checkpoints show 2 --job queries "${common[@]}" |
  sed -n 's/^segment subtask=0 name=\(.*left[^ ]*\) .*/\1/p' | head -n 1)
write 4 "$(handle left "{\"bytes\": \"$work/left.manifest\"}" \
  "{\"file\": \"file:$data/$object\"}, {\"empty\": 1}, null")"
run dump --metadata "$meta"
is "objects at their place" "$(cmp "$work/out" "$work/want" 2>&1)" ""
mkdir -p "$data/moved/$(dirname "$object")"
mv "$data/$object" "$data/moved/$object"
write 4 "$(handle left "{\"bytes\": \"$work/left.manifest\"}" \
  "{\"file\": \"file:$data/moved/$object\"}")"
run dump --metadata "$meta"
is "objects that were moved" "$code:$(cmp "$work/out" "$work/want" 2>&1)" "0:"
write 4 "$(handle left "{\"bytes\": \"$work/left.manifest\"}" \
  "{\"file\": \"file:/elsewhere/$object\"}")"
run dump --metadata "$meta"
like "objects outside of the store" "$code:$err" \
  "^4:.*\"file:/elsewhere/$object\": it is outside of store"
write
run dump --metadata "$meta"
is "an object that is gone" "$code" 5
like "is named" "$err" "\"$object\""
mv "$data/moved/$object" "$data/$object"

# what is no manifest of ours
echo "some other backend" >"$work/other"
write 4 "$(handle left "{\"bytes\": \"$work/other\"}")"
run dump --metadata "$meta"
is "another backend's state is left out" "$code:$(wc -l <"$work/out")" "0:1"
like "and told of" "$err" 'also has 2 handles of other backends'
write 4 "$(handle left "{\"bytes\": \"$work/other\"}")" null
run dump --metadata "$meta"
like "nothing of ours" "$code:$err" '^3:.*no keyed state of this backend'
write 4 "$(handle left "{\"file\": \"file:$data/flink/none\"}")"
run dump --metadata "$meta"
like "a manifest that is gone" "$code:$err" \
  '^3:.*operator 00112233445566778899aabbccddeeff, subtask 0: .*flink/none'
head -c $((size - 9)) "$work/left.manifest" >"$work/cut"
write 4 "$(handle left "{\"bytes\": \"$work/cut\"}")"
run dump --metadata "$meta"
is "a manifest that is cut" "$code" 5

# Written by Flink 1.20.5 itself, around manifests of another run of the same
# job, so its objects are gone.
run dump --metadata "$top_srcdir/tests/golden/flink-1.20/_metadata"
is "a file that Flink wrote" "$code" 5
like "its object is named" "$err" 'segment "queries/state/_/left/.*missing'
like "and what else is in it" "$err" 'also has 2 handles of other backends'

# damage
write 6
run dump --metadata "$meta.none"
like "no such file" "$code:$err" '^3:.*_metadata\.none'
run dump --metadata "$work"
is "a directory" "$code" 1
echo "no metadata" >"$work/text"
run dump --metadata "$work/text"
like "some other file" "$code:$err" '^5:.*no metadata of Flink'
cp "$meta" "$work/whole"
size=$(stat -c %s "$meta")
bad=0
for at in 0 3 4 7 11 40 90 150 $((size / 3)) $((size / 2)) $((size - 40)); do
  head -c "$at" "$work/whole" >"$meta"
  run dump --metadata "$meta"
  [ "$code" = 5 ] || { bad=$((bad + 1)); note "cut at $at: $code $err"; }
done
is "cut files are refused" "$bad" 0
bad=0
for at in 8 20 24 60 80 100 130 160 200 240 300 $((size - 60)); do
  { head -c "$at" "$work/whole"; printf '\377\377\377\377';
    tail -c +$((at + 5)) "$work/whole"; } >"$meta"
  run dump --metadata "$meta"
  case $code in
  [0135]) ;;
  *) bad=$((bad + 1)) && note "changed at $at: $code $err" ;;
  esac
done
is "changed files do no harm" "$bad" 0

done_testing
