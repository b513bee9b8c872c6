#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The examples in other languages: they name the members of the library's
# tables in the headers' order, and their jobs survive being killed.
. "${builddir:-.}/functions.sh"
. "$srcdir/bindings-functions.sh"

library=$top_builddir/host/.libs/libstatebackend.so
[ -e "$library" ] || skip_all "there is no shared library"

# members STRUCT HEADER: the names of a struct's functions.
members()
{
  sed -n "/struct $1 {/,/^}/p" "$top_srcdir/include/statebackend/$2" |
    sed -n 's/^  [a-z][a-z_0-9 *]*(\*\([a-z_]*\))(.*/\1/p'
}

# fields STRUCT: those of a struct in Rust, but the two numbers before them.
fields()
{
  sed -n "/^pub struct $1 {/,/^}/p" "$bindings/rust/statebackend.rs" |
    sed -n 's/^    pub \([a-z_]*\): .*/\1/p' | tail -n +3
}

# words NAME: those of a list in Python.
words()
{
  sed -n "/^$1 = \"\"\"/,/^\"\"\"/p" "$bindings/python/statebackend.py" |
    sed -e 1d -e '$d' | tr ' ' '\n'
}

# begins NAME LIST WHOLE: LIST is how WHOLE begins.
begins()
{
  is "$1" "$2" "$(head -n "$(wc -l <<<"$2")" <<<"$3")"
}

table=$(members sb_api_table api.h)
keyed=$(members sb_keyed_ops backend.h)
begins "python: the table's members" "$(words TABLE)" "$table"
begins "python: a keyed handle's methods" "$(words KEYED_OPS)" "$keyed"
begins "rust: the table's members" "$(fields Table)" "$table"
begins "rust: a keyed handle's methods" "$(fields KeyedOps)" "$keyed"

if is_slow; then
  skip "the jobs" "the library needs a sanitizer's run-time"
else
  bindings_run_python "$library"
  bindings_run_rust "$library"
fi
done_testing
