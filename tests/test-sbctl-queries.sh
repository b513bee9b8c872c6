#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: sbctl keys, diff and report, and CSV, say what a checkpoint holds.
# Method: a job of known content, see queries_fixture.c; Python reads the CSV,
# the JSON and the HTML.
. "${builddir:-.}/functions.sh"

data=$work/data
common=(--set state.backend=local --set "state.backend.local.dir=$data"
  --set state.backend.local.sync=false --job queries)

run()
{
  sbctl "$@" "${common[@]}" >"$work/out" 2>"$work/err"
  code=$?
  out=$(cat "$work/out")
}

count()
{
  grep -c "$@" "$work/out"
}

# python NAME WANT SCRIPT: what SCRIPT prints, given the output's path.
python()
{
  if [ "$PYTHON" = no ]; then
    skip "$1" "no python" tool
  else
    is "$1" "$("$PYTHON" -c "$3" "$work/out" 2>&1)" "$2"
  fi
}

pins()
{
  find "$data" -path '*/pins/*' -type f | wc -l
}

ok "a job runs" queries_fixture "$data"

# keys
run keys --state words --operator left
is "keys: each once" "$code:$(count '^row ')" "0:103"
is "keys: the one of three namespaces too" "$(count 'key=many$')" 1
run keys --state words --operator left --namespaces
is "keys: by namespace" "$(count '^row ')" 105
like "keys: with the namespace" "$out" 'key=many ns=b$'
run keys --state words --operator left --ns b
is "keys of a namespace" "$code:$out" \
  "0:row state=words key_group=$(sed -n 's/.*key_group=\([0-9]*\) .*/\1/p' \
    "$work/out") key=many"
run keys --state words --ns hex: --prefix k0
is "keys by prefix" "$(count '^row ')" 9
run keys --state words --checkpoint 1 --ns hex: --prefix k0
is "keys of an older checkpoint" "$(count '^row ')" 10
run keys --state words --limit 5
is "keys with a limit" "$(count '^row ')" 5
run keys --state words --key-group 0-7
first=$(count '^row ')
run keys --state words --key-group 8-15
is "keys by key groups" "$((first + $(count '^row ')))" 104
run keys --state events
is "keys of a list" "$(count '^row ')" 2
run keys --state sets --format raw
is "keys as they are" "$out" map
run keys --state nothing
is "keys of no state" "$code" 3
run keys
is "keys wants a state" "$code" 2

# CSV
run dump --format csv --state words --operator left
python "CSV comes back as it was" \
  "operator,state,key_group,key,ns,subkey,value,time_ms,expires_ms 105 1 1 crlf" \
  'import csv, sys
raw = open(sys.argv[1], "rb").read()
rows = list(csv.reader(raw.decode().splitlines(keepends=True)))
keys = [row[3] for row in rows[1:]]
print(",".join(rows[0]), len(keys), keys.count(",\"\r\n"),
      keys.count("hex:00ff"),
      "crlf" if raw.endswith(b"\r\n") and len(rows[5]) == 9 else "")'
run dump --format csv --operator right
is "CSV quotes a comma" "$(tr -d '\r' <"$work/out" | tail -n 1 |
  sed 's/,[0-9]*,/,N,/')" 'right,words,N,other,,,"one, two",,'
run keys --format csv --state words --ns a
is "CSV of keys" "$(tr -d '\r' <"$work/out" | sed 's/,[0-9]*,/,N,/')" \
  "$(printf 'operator,state,key_group,key,ns\nleft,words,N,many,a')"

# diff
run diff 1 2
is "diff finds differences" "$code" 1
like "diff: changed" "$out" \
  '^changed state=words key_group=[0-9]+ key=k00 old=one new=two$'
like "diff: removed" "$out" \
  '^removed state=words key_group=[0-9]+ key=k01 value=one$'
like "diff: added" "$out" \
  '^added state=words key_group=[0-9]+ key=k100 value=one$'
like "diff: a longer list" "$out" \
  '^changed state=events key_group=[0-9]+ key=list old_elements=3 new_elements=4$'
like "diff: a list that is gone" "$out" \
  '^removed state=events key_group=[0-9]+ key=gone old_elements=1$'
like "diff: an entry added" "$out" '^added state=sets .* subkey=z value=1$'
like "diff: an entry removed" "$out" '^removed state=sets .* subkey=x value=1$'
like "diff: an entry changed" "$out" \
  '^changed state=sets .* subkey=y old=1 new=2$'
like "diff: by state" "$out" \
  '^state operator=left name=words added=1 removed=1 changed=1$'
like "diff: and in all" "$out" '^differences_found=8$'
is "diff: nothing else" "$(count -E '^(added|removed|changed) ')" 8
run diff 2 1
like "diff: the other way" "$out" \
  '^added state=events key_group=[0-9]+ key=gone new_elements=1$'
like "diff: the other way's value" "$out" 'key=k00 old=two new=one$'
run diff 2 newest
is "diff of the same" "$code:$(tail -n 1 "$work/out")" "0:same=1"
run diff 1 2 --limit 2
is "diff with a limit counts on" \
  "$(count -E '^(added|removed|changed) '):$(count '^differences_found=8$')" \
  "2:1"
run diff 1 2 --quiet
is "diff --quiet" "$code:$out" "1:"
run diff 1 2 --state events
like "diff of a state" "$out" '^differences_found=2$'
run diff 1 2 --operator right
is "diff of an operator" "$code" 0
run diff 1 2 --json
python "diff --json" "8 8 False 5" 'import json, sys
d = json.load(open(sys.argv[1]))
print(len(d["differences"]), d["differences_found"], d["same"],
      len(d["states"]))'
run diff 1 99
is "diff with none" "$code" 3
run diff 1
is "diff wants two" "$code" 2
run diff 1 2 3
is "diff wants no three" "$code" 2
is "no pins are left" "$(pins)" 0
run diff 1 2 --set state.backend.filters=fault \
  --set state.backend.filter.fault.operations=get \
  --set state.backend.filter.fault.name=.state \
  --set state.backend.filter.fault.rate=1
is "a diff that fails says neither" "$code" 2

# report
run report
is "report exits with 0" "$code" 0
cp "$work/out" "$work/report.html"
python "report is well formed" "ok" 'import html.parser, sys
class Parser(html.parser.HTMLParser):
    void = ("meta", "td", "th", "tr", "p")
    stack = []
    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("src", "href"): print("refers to", value)
        if tag not in self.void: self.stack.append(tag)
        if tag in ("script", "link", "img", "b"): print("has", tag)
    def handle_endtag(self, tag):
        if tag not in self.void and self.stack.pop() != tag: print("bad", tag)
p = Parser()
p.feed(open(sys.argv[1]).read())
print("ok" if p.stack == [] else p.stack)'
like "report escapes" "$out" '<td>&lt;b&gt;&amp;<td>value'
like "report: key groups" "$out" '16 key groups with '
is "report: history" "$(grep -c '<tr><td class=n>[12]</td><td class=n>1</td>' \
  "$work/out")" 2
is "report: what was new" \
  "$(grep -c '<td class=n>[0-9]* B</td></tr>' "$work/out")" 1
like "report: objects and who needs them" "$out" '<code>queries/state/.*>2, 1</td>'
run report 1
like "report of an older one" "$out" '<h1>Checkpoint 1 of job queries</h1>'
run report 9
is "report of none" "$code" 3
is "no pins are left" "$(pins)" 0

# Timers: the second of the new checkpoints has a front for those taken.
ok "timers are taken" queries_fixture "$data" timers
run dump --state fires --format raw --checkpoint 3
is "dump before timers were taken" "$(count '')" 10
run keys --state fires --format raw
is "keys of timers that are left" "$(tr '\n' ' ' <"$work/out")" \
  "t2 t4 t5 t6 t7 t8 t9 "
run dump --state fires
is "dump of timers that are left" "$(count '^row ')" 7
run get --state fires --key t1 --key-group 3
is "get of a timer that was taken" "$code:$out" 3:
run get --state fires --key t5 --key-group 3
like "get of one that is left" "$code:$out" '^0:row .*key=t5'
run get --state words --operator left --key apart
like "get of a key that the job hashes in its own way" "$code:$out" \
  '^0:row .*key=apart value=one$'
run get --state words --operator left --key apart --key-group 0-15
like "get of it in key groups" "$code:$(count apart)" '^0:1$'
run get --state words --operator left --key apart --ns a
is "get of it in another namespace" "$code" 3
run diff 3 4
is "diff of timers" "$(count -E '^removed .* key=t[013]$'):$(count -E \
  '^(added|removed|changed) ')" 3:3
run checkpoints verify 4
is "verify reads fronts" "$code" 0
like "verify counts them" "$out" 'damaged=0'
run report 4
is "report of fronts" "$code" 0
like "report counts them" "$out" '<td>fires<td>timer<.*<td class=n>12</td></tr>'
run savepoint create moved
is "a savepoint of fronts" "$code" 0
run keys --state fires --format raw --savepoint moved
is "keys of timers in a savepoint" "$(count t)" 7

done_testing
