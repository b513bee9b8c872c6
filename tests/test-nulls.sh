#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: no function of the library crashes when all its arguments are NULL.
# Method: Python calls each function that the library exports, each in a
# process of its own.
. "${builddir:-.}/functions.sh"

library=$top_builddir/host/.libs/libstatebackend.so
[ -e "$library" ] || skip_all "there is no shared library"
if is_slow; then
  echo "1..0 # SKIP python does not load sanitizers"
  exit 0
fi
[ "$PYTHON" != no ] || skip_all "no python"

cat >"$work/call.py" <<'END'
import ctypes, os, sys
library = ctypes.CDLL(sys.argv[1])
names = sys.stdin.read().split()
for name in names:
    child = os.fork()
    if child == 0:
        function = getattr(library, name)
        function.restype = ctypes.c_long
        function(*[ctypes.c_void_p(0)] * 12)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status != 0:
        print(name, "ends with", status)
print("functions", len(names) > 100)
END

plan 1
is "every function takes NULL" "$(nm -D --defined-only "$library" |
  sed -n 's/.* T \(sb_[a-z_0-9]*\).*/\1/p' |
  "$PYTHON" -IS "$work/call.py" "$library" 2>&1)" "functions True"
