#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: no secret of a test stands in anything that the s3 plugin, sbctl or the
# filters print, whatever goes wrong. Method: the logs of the s3 tests that ran
# before this one, and sbctl against the test server, are searched for the
# secrets that the tests use, which occur nowhere else.
. "${builddir:-.}/functions.sh"

plan 4

# Those of s3_server.h, credentials_fixture.h and test_s3_settings.c.
secrets='SECRETsecret|S3cr3t|hunter2hunter2'
server=
cleanup()
{
  [ -z "$server" ] || kill "$server" 2>/dev/null
}

"$builddir/s3server" --fault 'get count=1 status=403 code=SignatureDoesNotMatch message=you%20sent%20SECRETsecretSECRETsecretSECRETsecretSECR' \
  --fault 'list nth=3 count=2 status=500 code=InternalError' \
  --fault 'any nth=60 count=0 status=403 code=AccessDenied' \
  >"$work/server" 2>&1 &
server=$!
for _ in {1..100}; do
  grep -q port "$work/server" && break
  sleep 0.05
done
port=$(sed -n 's/^port //p' "$work/server")

cat >"$work/config.yaml" <<END
state.backend: s3
state.backend.filters: trace,stats
state.backend.s3.bucket: state
state.backend.s3.base-path: job
state.backend.s3.retry.attempts: 2
aws.region: us-east-1
aws.endpoint: http://127.0.0.1:$port
aws.credentials.provider.basic.accesskeyid: AKIDTESTEXAMPLE12345
aws.credentials.provider.basic.secretkey: SECRETsecretSECRETsecretSECRETsecretSECR
END
sed 's/secretkey: .*/secretkey: SECRETsecretWRONG/' "$work/config.yaml" \
  >"$work/wrong.yaml"
{
  cat "$work/config.yaml"
  echo 'aws.credentials.provider.basic.sessiontoken: SECRETsecretTOKEN'
  echo 'state.backend.s3.proxy.url: http://127.0.0.1:9'
  echo 'state.backend.s3.proxy.user: somebody'
  echo 'state.backend.s3.proxy.password: SECRETsecretPROXY'
} >"$work/more.yaml"

# The probe opens the store, so that all of this has been through the client.
for config in config wrong more; do
  for command in config 'config --json' probe 'probe --table' 'probe --json' \
    metrics 'checkpoints list' objects dump gc; do
    echo "== $config: $command"
    # Options of a command are words.
    # shellcheck disable=SC2086
    timeout 20 sbctl $command --verbose --config "$work/$config.yaml" 2>&1
    echo "== code $?"
  done
done >"$work/output" </dev/null
timeout 5 sbctl --dump-config >>"$work/output" 2>&1

found=$(grep -Ec "$secrets" "$work/output")
is "sbctl prints no secret" "$found" 0
grep -E "$secrets" "$work/output" | sed -E "s/($secrets)[A-Za-z=]*/[secret]/g" |
  head -5 | sed 's/^/#   /'
ok "the server was asked, and refused some" \
  grep -Eq 'SignatureDoesNotMatch|AccessDenied' "$work/output"
like "access keys are shown by their end at most" \
  "$(grep -c AKIDTESTEXAMPLE12345 "$work/output")" '^0$'

shopt -s nullglob
logs=()
for log in "$builddir"/test_s3_*.log "$builddir"/test-s3-*.log; do
  [ "$log" = "$builddir/test-s3-secrets.log" ] || logs+=("$log")
done
if [ "${#logs[@]}" = 0 ]; then
  skip "logs of the s3 tests have no secret" "none ran before this one"
else
  found=$(cat "${logs[@]}" | grep -Ec "$secrets")
  is "the ${#logs[@]} logs of the s3 tests have no secret" "$found" 0
fi
