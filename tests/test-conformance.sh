#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: the local plugin keeps the store contract, alone and under each filter,
# and so does a third party's plugin that knows the public headers only.
# Method: the conformance program.
. "${builddir:-.}/functions.sh"

rounds=20
is_slow && rounds=3

local_store()
{
  conformance local --set "state.backend.local.dir=$work/$1" \
    --rounds "$rounds" "${@:2}"
}

under()
{
  local_store "$1" --set "state.backend.filters=$1" \
    --set state.backend.local.sync=false "${@:2}"
}

# Nothing but locks stays under the directory.
clean()
{
  find "$work/$1" -type f ! -name 'lock-*' | grep . && return 1
  return 0
}

ok "local" local_store plain --set state.backend.local.sync=false
ok "local leaves nothing" clean plain
for group in conditions streams races; do
  ok "local with sync: $group" local_store sync --only "$group"
done
ok "under stats" under stats \
  --set "state.backend.filter.stats.file=$work/stats.txt"
ok "under trace" under trace --set state.backend.filter.trace.log=false \
  --set "state.backend.filter.trace.file=$work/trace.txt"
ok "under fault that is told nothing" under fault
ok "under latency" under latency \
  --set state.backend.filter.latency.operations=get,head,list,commit,abort \
  --set state.backend.filter.latency.p50=1ms \
  --set state.backend.filter.latency.p99=2ms
ok "under all of them" under stats,latency,fault,trace \
  --set state.backend.filter.trace.log=false
like "stats counted" "$(cat "$work/stats.txt")" '^put\.count=[1-9]'
like "trace traced" "$(head -1000 "$work/trace.txt")" '^put ".*" status=ok'

broken()
{
  under "fault" --set state.backend.filter.fault.operations=get \
    --set state.backend.filter.fault.action=corrupt \
    --set state.backend.filter.fault.rate=1 --only put_get
}
if broken >"$work/broken" 2>&1; then
  fail "conformance sees a store that is not right"
else
  like "conformance sees a store that is not right" \
    "$(cat "$work/broken")" '^not ok 1 - objects/put_get'
fi

# The third party's plugin, with the headers as they are in the source tree.
mkdir "$work/bin"
cat >"$work/bin/pkg-config" <<END
#!/bin/sh
case "\$*" in
  *--cflags*) echo "-I$top_srcdir/include" ;;
  *) echo "$work/plugins" ;;
esac
END
chmod +x "$work/bin/pkg-config"
third_party()
{
  cp -r "$top_srcdir/examples/plugin" "$work/plugin" &&
    chmod -R u+w "$work/plugin" &&
    make -C "$work/plugin" CC="$CC" CFLAGS="$test_cflags -Wall -Wextra" \
      PKG_CONFIG="$work/bin/pkg-config"
}
if [ -f "$top_srcdir/examples/plugin/mem.c" ]; then
  ok "a third party's plugin builds out of tree" third_party
  ok "and passes, opened by its path" \
    conformance "$work/plugin/sb-mem.so" --rounds "$rounds"
fi

done_testing
