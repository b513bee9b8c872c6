#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: man pages and the completion say what the tables say.
# Method: print the generated parts anew and compare; check the pages' form.
. "${builddir:-.}/functions.sh"

refresh_check()
{
  SBCTL=sbctl bash "$top_srcdir/man/refresh.sh" --check
}

ok "generated parts are in step with the tables" refresh_check

if command -v podchecker >/dev/null; then
  for page in "$top_srcdir"/man/*.pod; do
    ok "${page##*/} is well formed" podchecker -warnings -warnings "$page"
  done
else
  skip "pages are well formed" "no podchecker" tool
fi

for path in "$top_builddir"/plugins/.libs/sb-*.so; do
  name=${path##*/}
  name=${name%.so}
  ok "$name has a page" test -f "$top_srcdir/man/$name.7.pod"
done

ok "the completion is a bash script" bash -n "$top_srcdir/completion/sbctl"
done_testing
