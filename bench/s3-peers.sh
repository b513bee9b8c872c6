#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# s3-peers.sh [BUILD]: the same work done by s3bench and by well-known clients,
# side by side on one MinIO on loopback: large objects (64 MiB) and small ones
# (4 KiB, 128 at once), written and read. Prints seconds and processor seconds
# of each client, and the ratio to the best of the others. Clients that are not
# there are left out: rclone (Debian), mc (go install
# github.com/minio/mc@latest), aws (Debian's awscli, off unless AWS=1: slow).
#
# Files of the other clients are on tmpfs, so that no disk is measured.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
build=${1-$top/build}
large=${LARGE-16}
small=${SMALL-4000}
rounds=${ROUNDS-3}
work=$(mktemp -d /dev/shm/s3-peers.XXXXXX) || exit 1
PATH=$PATH:${XDG_CACHE_HOME:-$HOME/.cache}/statebackend/bin

tidy()
{
  "$top/tests/servers/minio" stop "$work/minio"
  rm -rf "$work"
}
trap tidy EXIT
trap 'exit 130' INT TERM

"$top/tests/servers/minio" start "$work/minio" --owner $$ >"$work/env" ||
  exit 1
"$top/tests/servers/configuration" "$work/minio" peers |
  sed 's/"@name@"/bench/' >"$work/peers.yaml"
value()
{
  sed -n "s/^$1=//p" "$work/env"
}
endpoint=$(value endpoint)
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
AWS_ACCESS_KEY_ID=$(value access_key)
AWS_SECRET_ACCESS_KEY=$(value secret_key)
export MC_CONFIG_DIR=$work/mc
export RCLONE_CONFIG=$work/rclone.conf
printf '[peer]\ntype = s3\nprovider = Minio\nenv_auth = true\nendpoint = %s\n' \
  "$endpoint" >"$RCLONE_CONFIG"
if command -v mc >/dev/null; then
  mc --quiet alias set peer "$endpoint" "$AWS_ACCESS_KEY_ID" \
    "$AWS_SECRET_ACCESS_KEY" >/dev/null 2>&1
fi

# make_files DIR COUNT SIZE
make_files()
{
  python3 - "$@" <<'END'
import os, sys
directory, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.makedirs(directory)
block = os.urandom(min(size, 1 << 20))
for number in range(count):
    with open("%s/%08d" % (directory, number), "wb") as file:
        for at in range(0, size, len(block)):
            file.write(block)
END
}

# timed NAME COMMAND...: "NAME seconds cpu"
timed()
{
  local name=$1

  shift
  if ! /usr/bin/time -o "$work/time" -f '%e %U %S' "$@" >"$work/out" 2>&1; then
    echo "$name failed: $(tail -n 1 "$work/out")" >&2
    return 1
  fi
  set -- $(tail -n 1 "$work/time")
  awk -v n="$name" -v e="$1" -v u="$2" -v s="$3" \
    'BEGIN { printf "%s %.2f %.2f\n", n, e, u + s }' >>"$work/results"
}

# peers CASE COUNT SIZE AT_ONCE
run_case()
{
  local case=$1 count=$2 size=$3 at_once=$4 round

  make_files "$work/files" "$count" "$size"
  rm -f "$work/results"
  for round in $(seq "$rounds"); do
    timed s3bench "$build/bench/s3bench" --config "$work/peers.yaml" \
      --size "$size" --count "$count" --in-flight "$at_once" "$case"
    if [ "$case" = put ]; then
      if command -v rclone >/dev/null; then
        timed rclone rclone copy --transfers "$at_once" --checkers 16 \
          --s3-no-check-bucket --ignore-times "$work/files" peer:peers/rclone
      fi
      if command -v mc >/dev/null; then
        timed mc mc --quiet cp --recursive "$work/files/" peer/peers/mc/
      fi
    else
      if command -v rclone >/dev/null; then
        rm -rf "$work/got"
        timed rclone rclone copy --transfers "$at_once" --checkers 16 \
          peer:peers/rclone "$work/got"
      fi
      if command -v mc >/dev/null; then
        rm -rf "$work/got"
        timed mc mc --quiet cp --recursive peer/peers/mc/ "$work/got/"
      fi
    fi
  done
  rm -rf "$work/got" "$work/files"
  sort "$work/results" | awk -v what="$case" -v count="$count" -v size="$size" '
    { n[$1]++; wall[$1, n[$1]] = $2; cpu[$1, n[$1]] = $3 }
    function median(values, name, i, j, t) {
      for (i = 1; i <= n[name]; i++)
        for (j = i + 1; j <= n[name]; j++)
          if (values[name, j] < values[name, i]) {
            t = values[name, i]
            values[name, i] = values[name, j]
            values[name, j] = t
          }
      return values[name, int((n[name] + 1) / 2)]
    }
    END {
      for (name in n) {
        w[name] = median(wall, name)
        c[name] = median(cpu, name)
        if (name != "s3bench" && (best == "" || w[name] < w[best]))
          best = name
      }
      for (name in n)
        printf "case=%s size=%d count=%d client=%s seconds=%.2f cpu_seconds=%.2f\n",
               what, size, count, name, w[name], c[name]
      if (best != "")
        printf "case=%s size=%d best_peer=%s speed_ratio=%.2f cpu_ratio=%.2f\n",
               what, size, best, w[best] / w["s3bench"], c["s3bench"] / c[best]
    }'
}

run_case put "$large" 67108864 4
run_case get "$large" 67108864 4
run_case put "$small" 4096 128
run_case get "$small" 4096 128
