#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A program that only dlopens the library gets the whole API as one table.

. "${builddir:-.}/functions.sh"

program=$builddir/dlopen_api
library=$top_builddir/host/.libs/libstatebackend.so
[ -e "$library" ] || skip_all "there is no shared library"

plan 5
links=$(ldd "$program" 2>/dev/null | grep -c statebackend)
is "the program does not link the library" "$links" 0
mkdir "$work/state"
output=$("$program" "$library" "$work/state" 2>&1)
is "it runs and ends well" "$? $output" "0 $output"
like "every member is there" "$output" '^table: [0-9]+ members$'
like "tasks run" "$output" '^task: ran$'
like "state is kept" "$output" '^value: hello$'
