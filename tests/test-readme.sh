#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: the C example of the README compiles as printed and does what it says.
# Method: take it and its configuration out of the README, compile, run.
. "${builddir:-.}/functions.sh"

block()
{
  awk -v fence="^\`\`\`$1\$" '
    /^```$/ { if (inside) exit }
    inside { print }
    $0 ~ fence { inside = 1 }' "$top_srcdir/README.md"
}

compile()
{
  "$top_builddir/libtool" --silent --tag=CC --mode=link \
    $CC -std=c11 -Wall -Wextra -Werror $test_cflags \
    -I "$top_srcdir/include" "$work/example.c" -o "$work/example" -no-install \
    "$top_builddir/host/libstatebackend.la"
}

plan 3
block c >"$work/example.c"
block yaml | sed "s|/var/lib/job|$work/state|" >"$work/job.yaml"
ok "the example compiles" compile
is "the example runs" "$(cd "$work" && ./example 2>&1)" hello
is "the example fits its promise of brevity" \
  "$(awk 'END { print (NR <= 45) }' "$work/example.c")" 1
