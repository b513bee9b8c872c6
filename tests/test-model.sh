#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The models of docs/PROTOCOL.md hold, and fail when a rule is broken.
# SB_MODEL=full checks the larger cases too.
if [ -n "${SB_SANITIZER-}" ]; then
  echo "1..0 # SKIP nothing of ours runs here"
  exit 0
fi
if [ "${SB_MODEL-}" = full ]; then
  exec "${top_srcdir:-$(dirname "$0")/..}/docs/model/run" --full
fi
exec "${top_srcdir:-$(dirname "$0")/..}/docs/model/run"
