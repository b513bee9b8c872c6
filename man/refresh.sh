#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Keeps what is printed from tables in step with the tables. In a page, or in
# the completion, the lines between
#     =for generated COMMAND
#     =for generated end
# are what `sbctl COMMAND` prints. Without arguments pages are rewritten; with
# --check nothing is, differences are shown, and the exit code is 1 if there
# are any. SBCTL names the program, top_srcdir the source tree.
set -u
SBCTL=${SBCTL-sbctl}
dir=${top_srcdir-$(dirname "$0")/..}
check=0
[ "${1-}" = --check ] && check=1

# What page $1 should be, on standard output.
page()
{
  local line command
  while IFS= read -r line; do
    printf '%s\n' "$line"
    case $line in
    '=for generated end') ;;
    '=for generated '*)
      command=${line#=for generated }
      echo
      # The words of the command are wanted apart.
      # shellcheck disable=SC2086
      "$SBCTL" $command || return 1
      while IFS= read -r line; do
        [ "$line" = '=for generated end' ] && break
      done
      printf '%s\n' "$line"
      ;;
    esac
  done <"$1"
}

status=0
new=$(mktemp) || exit 1
trap 'rm -f "$new"' EXIT

one()
{
  if cmp -s "$1" "$new"; then
    return
  fi
  if [ $check = 1 ]; then
    echo "$1 is not what its tables say; man/refresh.sh rewrites it:"
    diff -u "$1" "$new"
    status=1
  else
    cat "$new" >"$1"
    echo "rewrote $1"
  fi
}

for file in "$dir"/man/*.pod; do
  page "$file" >"$new" || exit 1
  one "$file"
done
"$SBCTL" --completion bash >"$new" || exit 1
one "$dir/completion/sbctl"
exit $status
