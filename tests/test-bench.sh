#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: every case of bench runs and prints one line of the documented form.
# Method: tiny sizes; the figures mean nothing here.
. "${builddir:-.}/functions.sh"

bench=$top_builddir/bench/bench
cases=$("$bench" --help | sed -n '/^cases:/,/^options:/s/^  \([a-z_]*\) .*/\1/p')
form='^case=[a-z_]+ ours=[^ ]+ peer=[^ ]+ peer_value=[^ ]+ ratio=[^ ]+ unit=[^ ]+'

for case in $cases; do
  line=$("$bench" --dir "$work/$case" --scale 0.005 --rounds 1 --gb 0.01 \
    --round-seconds 0.2 --seconds 0.3 --memory 64mb "$case" 2>"$work/err")
  like "$case" "$line" "$form"
  note "$(cat "$work/err")"
done
done_testing
