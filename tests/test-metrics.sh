#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: people can see what a running job counts, and what a command has cost.
# Method: the example job with a metrics file and a listener, read by sbctl
# while it runs and after it has ended.
. "${builddir:-.}/functions.sh"

[ -n "$PYTHON" ] && [ "$PYTHON" != no ] || skip_all "no python"

run()
{
  sbctl "$@" >"$work/out" 2>"$work/err"
  code=$?
  out=$(cat "$work/out")
  err=$(cat "$work/err")
}

json()
{
  ok "$1" "$PYTHON" -m json.tool "$work/out"
}

job=
cleanup()
{
  [ -n "$job" ] && kill -KILL "$job" 2>/dev/null
}

port=$("$PYTHON" -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
config=$work/job.yaml
file=$work/job.prom
mkdir "$work/data"
cat >"$config" <<END
state.backend: local
state.backend.local.dir: $work/data
state.backend.filters: stats
state.backend.metrics.file: $file
state.backend.metrics.listen: 127.0.0.1:$port
state.backend.metrics.interval: 100ms
END

# Waits until FILE has a line that matches PATTERN.
wait_for()
{
  local tries=200

  while ! grep -Eq "$2" "$1" 2>/dev/null && [ $((tries -= 1)) -gt 0 ]; do
    sleep 0.05
  done
}

# A job that has all the time there is.
printf '%s\n' '1.1.1.1 - - [17/May/2015:10:00:00 +0000] "GET /a HTTP/1.1" 200 10 "-" "agent"' \
  >"$work/log"
mkfifo "$work/input"
access_log --config "$config" --input "$work/input" --output "$work/output" \
  --stats-file "$work/stats" 2>"$work/joblog" &
job=$!
exec 7>"$work/input"
cat "$work/log" >&7
wait_for "$file" '^statebackend_stats_put_count_total [1-9]'

run metrics "$file"
is "metrics of a file" "$code:$err" "0:"
like "the source is named" "$out" "^source=$file\$"
like "the file's age is there" "$out" '^age_seconds=[0-9]'
like "a counter" "$out" \
  '^metric name=statebackend_stats_put_count_total value=[1-9][0-9]*$'
like "labels are fields" "$out" \
  '^metric name=statebackend_build_info version=[0-9.]+ value=1$'
run metrics --config "$config"
is "metrics of a running job" "$code:$err" "0:"
like "from its listener" "$out" "^source=127\.0\.0\.1:$port\$"
like "with the same counters" "$out" \
  '^metric name=statebackend_stats_put_count_total value=[1-9][0-9]*$'
run metrics --config "$config" --json
json "metrics --json is JSON"
run metrics --config "$config" --table
like "metrics --table has a head" "$out" '^METRIC  +LABELS  +VALUE$'
like "metrics --table has rows" "$out" \
  '^statebackend_build_info  +version=[0-9.]+ +1$'

# A command on the same configuration leaves the job's file and port alone.
run probe --config "$config" --verbose
is "probe beside a running job" "$code" 0
is "probe does not listen or write" "$(grep -c 'metrics' "$work/err")" 0
like "the job's counters are still in the file" "$(cat "$file")" \
  '^statebackend_stats_put_count_total [1-9]'

kill -TERM "$job"
exec 7>&-
wait "$job"
job=
run metrics --config "$config"
is "after the job has ended" "$code" 0
like "its last counters are in its file" "$out" "^source=$file\$"
is "no half-written file is left" "$(find "$work" -name '*.tmp' | wc -l)" 0

# What is wrong is said.
run metrics "$work/nothing"
is "no such file" "$code" 3
printf 'statebackend_x 1 2 3\n' >"$work/garbage"
run metrics "$work/garbage"
is "not Prometheus text" "$code" 5
like "the line is named" "$err" 'line 1 '
run metrics
is "nowhere to read from" "$code" 2
run metrics --set state.backend.metrics.listen=10.0.0.1:80
is "not a loopback address" "$code" 6
ln -s /dev/zero "$work/endless"
run metrics "$work/endless"
is "an endless file" "$code" 1

# A histogram, as a job on S3 has them.
cat >"$work/histogram" <<'END'
# HELP statebackend_s3_request_seconds Time.
# TYPE statebackend_s3_request_seconds histogram
statebackend_s3_request_seconds_bucket{op="get",le="0.001"} 0
statebackend_s3_request_seconds_bucket{op="get",le="0.002"} 50
statebackend_s3_request_seconds_bucket{op="get",le="0.01"} 100
statebackend_s3_request_seconds_bucket{op="get",le="+Inf"} 100
statebackend_s3_request_seconds_sum{op="get"} 0.4
statebackend_s3_request_seconds_count{op="get"} 100
END
run metrics "$work/histogram"
like "a histogram is summed up" "$out" \
  '^metric name=statebackend_s3_request_seconds op=get count=100 sum=0\.4 p50=0\.002 p90=0\.0084 p99=0\.00984$'
run metrics "$work/histogram" --table
like "a histogram in words" "$out" \
  '  op=get  +100, half within 2 ms, 90 % 8\.4 ms, 99 % 9\.84 ms$'
run metrics "$work/histogram" --json
json "a histogram in JSON"

# What a command has cost.
run probe --config "$config" --metrics --json
json "--metrics leaves the output as it is"
like "--metrics: requests" "$err" \
  '^metric name=statebackend_stats_put_count_total value=[1-9]$'
run checkpoints list --config "$config" --metrics
like "--metrics of another command" "$err" \
  '^metric name=statebackend_stats_get_count_total value=[0-9]+$'
run probe --config "$config" --table
is "probe --table" "$code" 0
like "probe --table: the verdict" "$out" "^local:$work/data is usable\$"
like "probe --table: what was tried" "$out" '^create-only puts  +honoured$'
like "probe --table: what is known" "$out" '^larger go in parts of  +8 MiB$'

# A job does not start with a listener that others could reach.
access_log --config "$config" --set state.backend.metrics.listen=0.0.0.0:0 \
  --input "$work/log" --output "$work/output2" >/dev/null 2>"$work/err"
is "a job with an open listener" "$?" 2
like "the reason is given" "$(cat "$work/err")" 'loopback address only'

done_testing
