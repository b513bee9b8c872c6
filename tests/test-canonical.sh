#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Canonical savepoints between the library and a reader and writer that share
# nothing with it: both read what either wrote, in all sizes of key groups,
# packed and not, as byte strings and as Flink's own serializers write.
. "${builddir:-.}/functions.sh"

[ -n "$PYTHON" ] && [ "$PYTHON" != no ] || skip_all "no python"
other()
{
  "$PYTHON" "$srcdir/read_canonical.py" "$@"
}
tool=${builddir:-.}/canonical_tool

"$tool" write "$work" || exit 1
cases="bytes-1 bytes-128 bytes-129 times-128 times-1000 flink flink-packed void"
written="bytes-1 bytes-128 bytes-129 times-128 times-1000 void"
plan 32

for name in $cases; do
  groups=$(cat "$work/$name.groups")
  ok "$name: the other reader finds every row where it belongs" \
    other "$work/$name.canonical" "$groups" \
    --offsets "$work/$name.offsets" --rows "$work/$name.rows"
  "$tool" read "$work/$name.canonical" "$groups" >"$work/$name.back"
  ok "$name: read back equal" cmp "$work/$name.rows" "$work/$name.back"
done

# State numbers in a strange order come back in a strange order.
for name in $written; do
  groups=$(cat "$work/$name.groups")
  other --write "$work/$name.plain" "$groups" "$work/$name.rows"
  "$tool" read "$work/$name.plain" "$groups" >"$work/$name.back"
  ok "$name: what another writer wrote" \
    cmp "$work/$name.rows" "$work/$name.back"
  [ "$name" = times-1000 ] && continue
  other --write "$work/$name.odd" "$groups" "$work/$name.rows" --packed \
    --quirks
  "$tool" read "$work/$name.odd" "$groups" | LC_ALL=C sort >"$work/$name.back"
  LC_ALL=C sort "$work/$name.rows" >"$work/$name.sorted"
  ok "$name: what a strange writer packed" \
    cmp "$work/$name.sorted" "$work/$name.back"
done

head -c 300000 "$work/bytes-128.canonical" >"$work/cut"
"$tool" read "$work/cut" 128 >"$work/rows" 2>"$work/error"
like "a cut stream is an error that says where" "$(cat "$work/error")" \
  'damaged at byte 300000: it ends too early'
printf 'not a savepoint at all, but long enough' >"$work/cut"
"$tool" read "$work/cut" 128 >"$work/rows" 2>"$work/error"
like "so is something else" "$(cat "$work/error")" 'its version is'
"$tool" read "$work/bytes-128.canonical" 129 >"$work/rows" 2>"$work/error"
like "another maximum parallelism is noticed" "$(cat "$work/error")" 'damaged'
"$tool" read "$work/void.canonical" 100 >"$work/rows" 2>"$work/error"
like "in both directions" "$(cat "$work/error")" 'damaged'
"$tool" read "$work/none" 100 >"$work/rows" 2>"$work/error"
like "a file that is not there" "$(cat "$work/error")" 'No such file'
