#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: the s3 plugin keeps the contract of the store ABI without any server
# but the tests' own, in good weather and in bad. Method: the conformance
# program against s3server; in bad weather answers are 503, cut off at any
# byte, and slow. (Puts whose answer is lost may rightly end in
# "unknown", which the contract's proofs cannot use: test_s3_conditions has
# those.)
. "${builddir:-.}/functions.sh"

plan 4

server=
cleanup()
{
  [ -z "$server" ] || kill "$server" 2>/dev/null
}

# serve OPTION...: starts s3server; $url is where.
serve()
{
  cleanup
  : >"$work/server"
  "$builddir/s3server" "$@" >"$work/server" 2>&1 &
  server=$!
  for _ in {1..400}; do
    grep -q '^port [0-9]*$' "$work/server" && break
    sleep 0.05
  done
  url=http://127.0.0.1:$(sed -n 's/^port //p' "$work/server")
}

conform()
{
  conformance s3 --set state.backend.s3.bucket=state \
    --set aws.region=us-east-1 --set "aws.endpoint=$url" \
    --set aws.credentials.provider.basic.accesskeyid=AKIDTESTEXAMPLE12345 \
    --set aws.credentials.provider.basic.secretkey=SECRETsecretSECRETsecretSECRETsecretSECR \
    --set state.backend.s3.retry.delay-min=5ms \
    --set state.backend.s3.retry.throttle-delay-min=5ms \
    --set state.backend.s3.retry.delay-max=100ms "$@"
}

serve
ok "conformance" conform
serve --seed 7 --fault 'any chance=0.02 status=503 code=SlowDown' \
  --fault 'get,head,list chance=0.01 status=503 html' \
  --fault 'get,head,list chance=0.03 reset-random' \
  --fault 'delete,delete_batch,upload_part chance=0.03 apply reset' \
  --fault 'any chance=0.03 delay=20'
ok "conformance in bad weather" conform
kill "$server"
wait "$server"
server=
faults=$(sed -n 's/.*faults //p' "$work/server")
ok "it was bad: $faults faults" test "$faults" -gt 50
serve
like "with another name" "$(timeout 20 sbctl probe \
  --set state.backend=minio --set state.backend.minio.bucket=state \
  --set "aws.endpoint=$url" \
  --set aws.credentials.provider.basic.accesskeyid=AKIDTESTEXAMPLE12345 \
  --set aws.credentials.provider.basic.secretkey=SECRETsecretSECRETsecretSECRETsecretSECR 2>&1)" \
  '^location=minio://'
