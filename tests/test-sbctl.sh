#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: sbctl's command line, exit codes and output forms are as documented.
# Method: commands that need no checkpoint, right and wrong.
. "${builddir:-.}/functions.sh"

# run WORDS...: runs sbctl; $out, $err and $code are what came of it.
run()
{
  sbctl "$@" >"$work/out" 2>"$work/err"
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

config=$work/job.yaml
mkdir "$work/data"
cat >"$config" <<END
state.backend: local
state.backend.local.dir: $work/data
END

# help
run --help
is "help exits with 0" "$code" 0
like "help lists commands" "$out" '^  checkpoints verify '
run gc --help
like "a command's help has its options" "$out" '--take-over'
run
is "no command is a usage error" "$code" 2
run nonsense
is "unknown command" "$code" 2
like "unknown command is named" "$err" "^sbctl: .*'nonsense'"
run checkpoints
like "missing second word lists them" "$err" 'list, show, verify, remove'
run plugins --take-over
is "option of another command" "$code" 2
run plugins --nonsense
is "unknown option" "$code" 2
run config --config
is "missing value" "$code" 2
run info
is "missing argument" "$code" 2
run plugins extra
is "unexpected argument" "$code" 2
run --version
like "version" "$out" '^sbctl [0-9]+\.[0-9]+\.[0-9]+$'
run --dump-config
like "dump-config" "$out" '^abi_version=1$'

# plugins, info
run plugins
is "plugins exits with 0" "$code" 0
like "local is found" "$out" '^plugin name=local path=.*sb-local\.so shadowed=0$'
run plugins --json
json "plugins --json is JSON"
mkdir "$work/first"
cp "$top_builddir/plugins/.libs/sb-local.so" "$work/first"
SB_PLUGIN_PATH=$work/first:$SB_PLUGIN_PATH run plugins
like "an earlier directory shadows" "$out" '^plugin name=local .* shadowed=1$'
run info local
like "info: name" "$out" '^name=local$'
like "info: abi" "$out" '^abi_version=1$'
like "info: methods" "$out" '^has_open=1$'
like "info: options" "$out" \
  '^option key=state\.backend\.local\.dir type=string required=1'
run info local --json
json "info --json is JSON"
run info loca
is "no such plugin" "$code" 3
like "the nearest is named" "$err" 'local'

# config
run config "$config"
is "config exits with 0" "$code" 0
like "config: from the file" "$out" \
  '^state\.backend\.local\.dir=.* source=.*job\.yaml:2$'
like "config: a default" "$out" '^state\.backend\.memory\.size=256mb source=default$'
run config "$config" --set state.backend.memory.size=1gb
like "config: set by hand" "$out" '^state\.backend\.memory\.size=1gb source=--set$'
run config "$config" --json
json "config --json is JSON"
run config "$config" --quiet
is "config --quiet" "$code:$out" "0:"
run config "$config" --set state.backend.local.dri=x
is "unknown key" "$code" 6
like "unknown key: nearest" "$err" 'state\.backend\.local\.dir'
run config "$config" --set state.backend.memory.size=lots
is "bad value" "$code" 6
run config "$config" --set nonsense
is "--set without =" "$code" 2
run config "$work/missing.yaml"
is "missing file" "$code" 6
run config --set state.backend=s3 --set state.backend.s3.bucket=b \
  --set aws.credentials.provider=BASIC \
  --set aws.credentials.provider.basic.accesskeyid=id \
  --set aws.credentials.provider.basic.secretkey=hush
like "secrets are masked" "$out" 'secretkey=\*\*\*\*\*\* '
is "secrets do not appear" "$(grep -c hush "$work/out" "$work/err" |
  sed 's/.*://' | sort -u)" 0

# probe
run probe --config "$config"
is "probe exits with 0" "$code" 0
like "probe: usable" "$out" '^usable=1$'
like "probe: conditions" "$out" '^create_only=1$'
like "probe: conditions" "$out" '^match=1$'
is "probe leaves nothing" "$(find "$work/data" -type f | grep -vc /lock)" 0
run probe --config "$config" --json
json "probe --json is JSON"

# A job that is not there.
run checkpoints list --config "$config" --job nobody
is "list of no job" "$code:$out" "0:"
run checkpoints show --config "$config" --job nobody
is "show of no job" "$code" 3
run objects --config "$config" --job nobody
is "objects of no job" "$code" 3
run gc --config "$config" --job nobody
is "gc of no job" "$code" 3
run checkpoints remove 1 --config "$config" --job nobody
is "remove without --take-over" "$code" 4
like "remove says why" "$err" '--take-over'
run gc --yes --config "$config" --job nobody
is "gc --yes without --take-over" "$code" 4
run get --config "$config" --state totals
is "get without --key" "$code" 2
run get --config "$config" --state totals --key hex:0g
is "bad hexadecimal" "$code" 2
run dump --config "$config" --key-group 5-2
is "bad range" "$code" 2
run dump --config "$config" --format nonsense
is "bad format" "$code" 2
sbctl plugins >/dev/full 2>"$work/err"
is "full output is a failure" "$?" 1

# completion
complete_words()
{
  (
    # shellcheck disable=SC1091
    . "$top_srcdir/completion/sbctl"
    COMP_WORDS=("$@")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=()
    _sbctl
    echo "${COMPREPLY[*]}"
  )
}
like "completes commands" "$(complete_words sbctl '')" 'plugins .*checkpoints'
is "completes second words" "$(complete_words sbctl checkpoints v)" verify
like "completes options" "$(complete_words sbctl gc --t)" '^--take-over$'
is "completes values" "$(complete_words sbctl dump --format h)" hex
is "completes plugins" "$(complete_words sbctl info loc)" local

# bench
run bench --config "$config" --keys 1000 --value-size 10
is "bench exits with 0" "$code" 0
like "bench measures" "$out" '^puts_per_second='
is "bench leaves nothing" "$(find "$work/data" -type f | grep -vc /lock)" 0

done_testing
