#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: the s3 plugin keeps the store contract on a real server. Method: the
# conformance program on MinIO, quickly; check-server.sh does more.
. "${builddir:-.}/functions.sh"
. "$top_srcdir/tests/server-functions.sh"

"$servers/minio" have || skip_all "no MinIO: tests/servers/minio install"
rounds=4
is_slow && rounds=1
server_use minio server
server_where server quick "$work/where.yaml"
server_conforms "conformance on MinIO" "$work/where.yaml" --rounds "$rounds"
done_testing
