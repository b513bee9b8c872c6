#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: the local plugin on file systems that are full, forbidden or poor, and
# after writers that were killed.
# Method: test_local again in such surroundings; conformance killed with
# SIGKILL at several moments.
. "${builddir:-.}/functions.sh"

tests=$top_builddir/tests

# Without root's powers.
denied()
{
  mkdir -m 777 "$work/nobody" && chmod 755 "$work" &&
    setpriv --reuid=65534 --regid=65534 --clear-groups \
      env TMPDIR="$work/nobody" "$tests/test_local" no_permission
}
if [ "$(id -u)" != 0 ]; then
  ok "no permission" env TMPDIR="$work" "$tests/test_local" no_permission
elif ! setpriv --reuid=65534 --regid=65534 --clear-groups \
  test -x "$tests/test_local" 2>/dev/null; then
  skip "no permission" "the build directory cannot be read by others"
else
  ok "no permission" denied
fi

# In a private mount namespace, so that nothing stays mounted.
mounted()
{
  unshare $userns -m bash -c '
    mount -t "$1" -o "$2" none "$3" && shift 3 && exec "$@"' \
    mounted "$@"
}
userns=
[ "$(id -u)" = 0 ] || userns=-r
mkdir "$work/mnt"
if mounted tmpfs size=1m "$work/mnt" true 2>/dev/null; then
  ok "no space" mounted tmpfs size=1m "$work/mnt" \
    env SB_TEST_SMALL=1 TMPDIR="$work/mnt" "$tests/test_local" no_space
else
  skip "no space" "no mount namespaces"
fi

# No O_TMPFILE and no extended attributes.
if mounted ramfs mode=777 "$work/mnt" true 2>/dev/null; then
  ok "a poor file system" mounted ramfs mode=777 "$work/mnt" \
    env TMPDIR="$work/mnt" "$tests/test_local"
  ok "failing calls on a poor file system" \
    mounted ramfs mode=777 "$work/mnt" \
    env TMPDIR="$work/mnt" "$tests/test_local_faults"
  ok "conformance on a poor file system" mounted ramfs mode=777 "$work/mnt" \
    "$tests/conformance" local --rounds 5 \
    --set "state.backend.local.dir=$work/mnt/d"
else
  skip "a poor file system" "no ramfs here"
  skip "failing calls on a poor file system" "no ramfs here"
  skip "conformance on a poor file system" "no ramfs here"
fi

# Killed writers leave nothing that the next one does not remove.
leftovers()
{
  find "$1" \( -name 'tmp-*' -o -name 'meta-*' \) | wc -l
}

killed()
{
  local dir=$1 pause pid
  for pause in 0.05 0.1 0.2 0.3 0.4; do
    setsid "$tests/conformance" local --rounds 100000 --processes 4 \
      --set "state.backend.local.dir=$dir" \
      --set state.backend.local.sync=false >/dev/null 2>&1 &
    pid=$!
    sleep "$pause"
    kill -9 -- "-$pid" 2>/dev/null || kill -9 "$pid"
    wait "$pid" 2>/dev/null
  done
  return 0
}
killed "$work/killed"
ok "a store opens after its writers were killed" \
  "$tests/conformance" local --only put_get \
  --set "state.backend.local.dir=$work/killed"
is "nothing is left of killed writers" "$(leftovers "$work/killed")" 0

done_testing
