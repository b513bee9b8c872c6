#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# check-server.sh minio|minio-tls|versitygw|rgw: the s3 plugin on a real server
# that the project's own scripts start on loopback: the store contract, through
# a bad network too, and the example job, killed and overtaken.
#
# SERVER_KILLS and SERVER_STOPS say how often; SERVER_ROUNDS how many rounds
# the races of the contract have.
. "${builddir:-.}/functions.sh"
. "$top_srcdir/tests/server-functions.sh"

server=${1:?minio, minio-tls, versitygw or rgw}
kills=${SERVER_KILLS-3}
stops=${SERVER_STOPS-2}
rounds=${SERVER_ROUNDS-10}

# Fewer lines than on the local plugin, but as many checkpoints.
export JOB_REPEAT=${JOB_REPEAT-12} JOB_BUDGET=${JOB_BUDGET-8mb}
export JOB_QUICK=${JOB_QUICK-1} JOB_CHECKPOINTS_MIN=${JOB_CHECKPOINTS_MIN-20}

# under_toxic TYPE STREAM TOXICITY [KEY=NUMBER]...: the contract behind a
# toxiproxy that does this. Where answers may get lost, so may the certainty
# about a match put.
under_toxic()
{
  "$servers/toxiproxy" clear "$work/toxiproxy" &&
    "$servers/toxiproxy" toxic "$work/toxiproxy" toxic "$@" || {
    fail "toxiproxy takes $*"
    return
  }
  server_conforms "conformance through toxiproxy, $*" "$work/toxic.yaml" \
    --rounds 2 --lossy
}

toxics()
{
  server_use toxiproxy toxiproxy "${endpoint#*://}"
  server_get toxiproxy address
  ENDPOINT=http://$value server_where server toxic "$work/toxic.yaml"
  under_toxic latency downstream 1 latency=20 jitter=10
  under_toxic bandwidth upstream 1 rate=20000
  under_toxic bandwidth downstream 1 rate=20000
  under_toxic reset_peer downstream 0.3 timeout=300
  under_toxic slow_close downstream 1 delay=300
  under_toxic limit_data downstream 0.5 bytes=3000000
  under_toxic slicer downstream 1 average_size=1000 size_variation=500 delay=10
}

# One request in a hundred is refused, reset, lost or cut.
faults()
{
  server_use faultproxy faults "${endpoint#*://}" 0.01
  server_get faults address
  ENDPOINT=http://$value server_where server faults "$work/faults.yaml"
  server_conforms "conformance with 1 % of requests spoilt" \
    "$work/faults.yaml" --rounds 2 --lossy
  server_runs "job killed, 1 % of requests spoilt" kill-loop.sh "$kills" \
    "$work/faults.yaml"
  note "spoilt: $(cat "$work/faults/counts")"
}

filters()
{
  local filter

  for filter in fault stats,latency,fault; do
    {
      cat "$work/where.yaml"
      echo "state.backend.filters: \"$filter\""
    } >"$work/filtered.yaml"
    server_conforms "conformance under $filter" "$work/filtered.yaml" \
      --rounds 2
  done
}

# The objects of the layout `entries` are read by another client and compared
# with what sbctl says of the checkpoint.
entries()
{
  local reader=$top_srcdir/tests/read_entries.py python=/usr/bin/python3

  "$python" -c 'import boto3' 2>/dev/null || python=$PYTHON
  if ! "$python" -c 'import boto3' 2>/dev/null; then
    skip "entries, read by boto3" "no boto3 for python"
    return
  fi
  {
    sed "s|@name@|entries|" "$work/where.yaml"
    echo "state.backend.s3.layout: entries"
  } >"$work/entries.yaml"
  gzip -dc "$top_srcdir/examples/data/apache_logs.gz" | head -n 1500 \
    >"$work/entries.log"
  ok "the example job with layout entries" access_log \
    --config "$work/entries.yaml" --input "$work/entries.log" \
    --output "$work/entries" --checkpoint-every 500 --subtasks 2
  sbctl dump --config "$work/entries.yaml" --format hex >"$work/rows" 2>&1
  server_get server access_key
  export AWS_ACCESS_KEY_ID=$value
  server_get server secret_key
  export AWS_SECRET_ACCESS_KEY=$value
  ok "entries, read by boto3" "$python" "$reader" --check --rows "$work/rows" \
    --endpoint "$endpoint" "s3://state/entries/state"
  note "$(tail -n 1 "$work/.tap")"
  unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
}

case $server in
minio-tls) server_use minio server --tls ;;
*) server_use "$server" server ;;
esac
server_get server endpoint
endpoint=$value
server_where server state "$work/where.yaml"
note "$server at $endpoint"
case $server in
versitygw)
  # It looks first and acts then: see docs/SERVERS.md.
  for group in objects conditions lists streams same_place listing; do
    server_conforms "conformance, $group" "$work/where.yaml" --only "$group"
  done
  skip "conformance, races" "versitygw decides conditions without a lock"
  skip "conformance, replacing" "versitygw mixes versions in one answer"
  ;;
*) server_conforms "conformance" "$work/where.yaml" --rounds "$rounds" ;;
esac
case $server in
minio)
  server_where server as-minio "$work/minio.yaml" minio
  server_conforms "conformance of the minio plugin" "$work/minio.yaml" \
    --rounds 2
  filters
  toxics
  entries
  server_runs "job killed" kill-loop.sh "$kills" "$work/where.yaml"
  faults
  ;;
esac
case $server in
minio | versitygw | rgw)
  JOB_MOMENT_PART=4 server_runs "job overtaken" stop-loop.sh "$stops" \
    "$work/where.yaml"
  ;;
esac
done_testing
