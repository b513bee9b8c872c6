#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: a stranger can include any public header first and alone.
# Method: compile each as C11 and as C++17, pedantically.
. "${builddir:-.}/functions.sh"

include=$top_srcdir/include

compile()
{
  local header=$1

  shift
  printf '#include <statebackend/%s>\n' "$header" |
    "$@" -pedantic-errors -Wall -Wextra -Wundef -Werror -fsyntax-only \
      -I "$include" -
}

for path in "$include"/statebackend/*.h; do
  header=${path##*/}
  ok "$header alone as C11" compile "$header" $CC -std=c11 -x c
  if [ "$TEST_CXX" = no ]; then
    skip "$header alone as C++17" "no C++ compiler" tool
  else
    ok "$header alone as C++17" compile "$header" "$TEST_CXX" -std=c++17 -x c++
  fi
done

listed=$(sed -n 's/^ *statebackend\/\(.*\.h\).*/\1/p; s/^[[:space:]]*statebackend\/\([a-z_]*\.h\).*/\1/p' \
  "$top_srcdir/include/Makefile.am" | sort -u | tr '\n' ' ')
there=$(cd "$include/statebackend" && ls ./*.h | sed 's/^\.\///' | sort | tr '\n' ' ')
is "every public header is installed" "$listed" "$there"

done_testing
