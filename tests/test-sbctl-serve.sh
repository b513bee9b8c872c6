#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: sbctl serve answers keys of the newest checkpoint, to this machine
# alone, and leaves nothing behind.
# Method: a job of known content, see queries_fixture.c, that goes on while it
# is served; Python asks.
. "${builddir:-.}/functions.sh"

[ "$PYTHON" = no ] && skip_all "no python"

data=$work/data
common=(--set state.backend=local --set "state.backend.local.dir=$data"
  --set state.backend.local.sync=false --job queries)

sbctl serve "${common[@]}" --listen 127.0.0.1:none >"$work/out" 2>"$work/err"
case $? in
4) skip_all "built without libmicrohttpd" ;;
esac

cat >"$work/ask.py" <<'END'
import http.client, sys, urllib.parse
url = urllib.parse.urlsplit(sys.argv[1])
method, target = sys.argv[2], sys.argv[3]
headers = dict(a.split("=", 1) for a in sys.argv[4:])
c = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
c.request(method, target, headers=headers)
r = c.getresponse()
body = r.read().decode()
print(r.status)
print(body, end="")
END

# ask TARGET [METHOD [HEADER=VALUE]...]: $status and $out.
ask()
{
  local target=$1 method=${2-GET}
  shift $(($# < 2 ? $# : 2))
  out=$("$PYTHON" -IS "$work/ask.py" "$url" "$method" "$target" "$@" 2>&1)
  status=${out%%$'\n'*}
  out=${out#*$'\n'}
}

# json TEXT EXPRESSION: of the answer `a`.
json()
{
  printf '%s' "$1" | "$PYTHON" -ISc 'import json, sys
a = json.load(sys.stdin)
print(('"$2"'))' 2>&1
}

pins()
{
  find "$data" -path '*/pins/*' -type f | wc -l
}

# start OPTION...: a server; $url and $server
start()
{
  : >"$work/url"
  sbctl serve "${common[@]}" --listen 127.0.0.1:0 "$@" >"$work/url" \
    2>"$work/err" &
  server=$!
  for _ in $(seq 200); do
    url=$(sed -n 's/^url=//p' "$work/url")
    [ -n "$url" ] && break
    sleep 0.05
  done
}

cleanup()
{
  [ -n "${server-}" ] && kill "$server" 2>/dev/null
}

# where it listens
for address in 0.0.0.0:0 192.168.1.1:80 '[::]:0' localhost:80 127.0.0.1 \
  127.0.0.1:99999; do
  sbctl serve "${common[@]}" --listen "$address" >"$work/out" 2>"$work/err"
  is "refuses to listen on $address" "$?" 2
done
start
like "says where it listens" "$url" '^http://127\.0\.0\.1:[0-9]+$'
sbctl serve "${common[@]}" --listen "${url#http://}" >"$work/out" 2>&1
is "a port that is taken" "$?" 1

# before and after the first checkpoint
ask /v1/states
is "a job without a checkpoint" "$status" 404
ask /healthz
is "is served all the same" "$status:$(json "$out" 'a["ok"]')" "200:True"
ok "a job runs" queries_fixture "$data"
ask /v1/checkpoints
is "checkpoints" "$status:$(json "$out" '[c["id"] for c in a["checkpoints"]]')" \
  "200:[2, 1]"
ask /v1/checkpoints/newest
is "the newest" "$status:$(json "$out" 'a["id"], a["parts"]')" "200:(2, 2)"
ask /v1/states
is "states" "$(json "$out" '[(s["operator"], s["name"], s["kind"])
  for s in a["states"]][-2:]')" \
  "[('left', '<b>&', 'value'), ('right', 'words', 'value')]"
is "a pin is there while it reads" "$(pins)" 1

# keys
ask "/v1/state/words/get?operator=left&key=k00"
is "get" "$status:$(json "$out" 'a["checkpoint"], a["rows"]')" \
  "200:(2, [{'value': 'two'}])"
ask "/v1/state/words/get?key=k00"
is "get of an ambiguous state" "$status" 400
ask "/v1/state/words/get?operator=left&key=6b3030&key_format=hex"
is "get in hexadecimal" "$(json "$out" 'a["rows"]')" "[{'value': 'two'}]"
ask "/v1/state/words/get?operator=left&key=00ff&key_format=hex"
is "get of a key that is no text" "$(json "$out" 'a["rows"]')" \
  "[{'value': 'odd'}]"
ask "/v1/state/words/get?operator=left&key=%2C%22%0D%0A"
is "get of an encoded key" "$(json "$out" 'a["rows"]')" "[{'value': 'odd'}]"
ask "/v1/state/words/get?operator=left&key=many&ns=b"
is "get in a namespace" "$status" 200
ask "/v1/state/words/get?operator=left&key=many"
is "get in the void one" "$status" 404
ask "/v1/state/%3Cb%3E%26/get?key=k"
is "get of an encoded state" "$(json "$out" 'a["rows"]')" \
  "[{'value': '<script>'}]"
ask "/v1/state/events/get?key=list"
is "get of a list" "$(json "$out" '[r["value"] for r in a["rows"]]')" \
  "['1', '2', '3', '4']"
ask "/v1/state/events/get?key=list&limit=3"
is "a list cut short" "$(json "$out" 'len(a["rows"]), a["more"]')" "(3, True)"
ask "/v1/state/sets/get?key=map&subkey=z"
is "get of an entry" "$(json "$out" 'a["rows"]')" \
  "[{'subkey': 'z', 'value': '1'}]"
ask "/v1/state/words/keys?operator=left&limit=10000"
is "keys" "$(json "$out" 'len(a["keys"]), a["more"]')" "(105, False)"
ask "/v1/state/words/keys?operator=left"
is "keys, a hundred" "$(json "$out" 'len(a["keys"]), a["more"]')" "(100, True)"
ask "/v1/state/words/keys?operator=left&ns=c"
is "keys of a namespace" "$(json "$out" 'a["keys"]')" \
  "[{'key': 'many', 'ns': 'c'}]"

# what is refused
for target in "/v1/state/words/get?operator=left" \
  "/v1/state/words/get?operator=left&key=0&key_format=hex" \
  "/v1/state/words/get?operator=left&key=k00&key_format=base64" \
  "/v1/state/words/keys?operator=left&limit=10001" \
  "/v1/state/words/keys?operator=left&limit=-1" \
  "/v1/state/words/keys?operator=left&limit="; do
  ask "$target"
  is "a bad request: $target" "$status" 400
done
for target in / /v1/state//get /v1/state/none/keys "/v1/state/sets/get?key=no" \
  /v1/state/words /v1/state/../states; do
  ask "$target"
  is "not there: $target" "$status" 404
done
for method in POST PUT DELETE; do
  ask /healthz "$method"
  is "$method is not allowed" "$status" 405
done
ask /healthz GET Host=evil.example
is "a name of somebody else's" "$status" 403
ask /healthz GET Host=127.0.0.1.evil.example
is "another name of somebody else's" "$status" 403
ask /healthz GET Host=localhost:1
is "a name of this machine" "$status" 200
ask /healthz HEAD
is "HEAD" "$status:$out" "200:200"
ask "/healthz?$("$PYTHON" -c 'print("x" * 60000)')"
is "a request too long" "$((status >= 400))" 1

# the job goes on
ok "the job goes on" queries_fixture "$data" more
sleep 1.1
ask "/v1/state/words/get?operator=left&key=late"
is "the newest checkpoint is served" \
  "$status:$(json "$out" 'a["checkpoint"]')" "200:3"
is "one pin is left" "$(pins)" 1

ok "it goes on again" queries_fixture "$data" timers
sleep 1.1
ask "/v1/state/words/get?operator=left&key=apart"
is "get of a key that the job hashes in its own way" \
  "$status:$(json "$out" 'a["rows"]')" "200:[{'value': 'one'}]"

# many at once
cat >"$work/many.py" <<'END'
import sys, threading, urllib.request
bad = []
def one():
    for _ in range(10):
        try:
            with urllib.request.urlopen(sys.argv[1], timeout=20) as r:
                if b'"two"' not in r.read(): bad.append("answer")
        except Exception as e:
            bad.append(str(e))
threads = [threading.Thread(target=one) for _ in range(16)]
for t in threads: t.start()
for t in threads: t.join()
print(len(bad), *bad[:3])
END
is "many ask at once" "$("$PYTHON" "$work/many.py" \
  "$url/v1/state/words/get?operator=left&key=k00")" 0

# the end
kill -TERM "$server"
wait "$server"
is "SIGTERM ends it in order" "$?" 0
is "no pin is left" "$(pins)" 0
is "nothing was said" "$(cat "$work/err")" ""

# a store that fails
start --set state.backend.filters=fault \
  --set state.backend.filter.fault.operations=get \
  --set state.backend.filter.fault.rate=1
ask /v1/states
is "a store that fails" "$status" 503
like "is told of" "$(json "$out" 'a["error"]')" 'could not'
kill -INT "$server"
wait "$server"
is "SIGINT ends it in order" "$?" 0
server=

done_testing
