# SPDX-License-Identifier: Apache-2.0
# Sourced after functions.sh by the scripts that run the examples in other
# languages, each on the shared library given.
#
#   bindings_run_python LIBRARY
#   bindings_run_rust LIBRARY

bindings=$top_srcdir/examples/bindings

# What the job prints on its way: each life goes on where the newest
# checkpoint was made, and the last one finds every word right.
bindings_story='restored=0 place=0
restored=2 place=2000
restored=2 place=2000
restored=4 place=4000
exact=yes words=702 wrong=0
0'

# bindings_run NAME LIBRARY COMMAND...
bindings_run()
{
  local name=$1 library=$2 output

  shift 2
  mkdir "$work/$name-state" || return
  output=$("$@" "$library" "$work/$name-state" 2>&1; echo $?)
  is "$name: exact after three kills" "$output" "$bindings_story"
}

bindings_run_python()
{
  if [ -z "$PYTHON" ] || [ "$PYTHON" = no ]; then
    skip "python: exact after three kills" "no python" tool
    return
  fi
  export PYTHONDONTWRITEBYTECODE=1
  bindings_run python "$1" "$PYTHON" "$bindings/python/word_count.py"
}

bindings_run_rust()
{
  if ! rustc --version >/dev/null 2>&1; then
    skip "rust: builds without warnings" "no rustc"
    skip "rust: exact after three kills" "no rustc"
    return
  fi
  ok "rust: builds without warnings" rustc --edition 2021 -D warnings \
    -o "$work/word_count" "$bindings/rust/word_count.rs"
  bindings_run rust "$1" "$work/word_count"
}
