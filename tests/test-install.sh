#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Goal: what `make install` leaves is complete for strangers.
# Method: run by `make installcheck`; uses pkg-config, the installed headers,
# library, programs and plugins, and nothing of the build tree.
. "${builddir:-.}/functions.sh"
. "$srcdir/bindings-functions.sh"

root=${DESTDIR-}
unset SB_PLUGIN_PATH
if [ -n "$root" ]; then
  SB_PLUGIN_PATH=$root$plugindir
  export SB_PLUGIN_PATH
  export PKG_CONFIG_SYSROOT_DIR=$root
fi
export PKG_CONFIG_PATH=$root$libdir/pkgconfig
export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
export LD_LIBRARY_PATH=$root$libdir
PATH=$root$bindir:$PATH

exported()
{
  nm -D --defined-only "$1" | awk '{ sub(/@.*/, "", $NF); print $NF }'
}

is "pkg-config knows plugindir" \
  "$(pkg-config --variable=plugindir statebackend | sed "s|^$root||")" \
  "$plugindir"
is "pkg-config knows abi_major" \
  "$(pkg-config --variable=abi_major statebackend)" "$SB_ABI_MAJOR"

library=$root$libdir/libstatebackend.so
ok "the library is there" test -f "$library"
is "the library exports sb_ names only" \
  "$(exported "$library" | grep -v -e '^sb_' -e '^SB_1$')" ""
is "no .la files among the plugins" \
  "$(find "$root$plugindir" -name '*.la')" ""

for plugin in "$root$plugindir"/sb-*.so; do
  is "${plugin##*/} exports its entry point only" \
    "$(exported "$plugin" | grep -v -e '^__' )" sb_plugin_init
done

cat >"$work/user.c" <<'END'
#include <statebackend/statebackend.h>
int
main(void)
{
  return sb_api(SB_API_VERSION) != NULL ? 0 : 1;
}
END
user()
{
  $CC ${SB_SANITIZED_FLAGS-} $(pkg-config --cflags statebackend) \
    "$work/user.c" -o "$work/user" $(pkg-config --libs statebackend) &&
    "$work/user"
}
ok "a program builds with pkg-config and runs" user

if [ -x "$root$bindir/sbctl" ]; then
  found=$("$root$bindir/sbctl" plugins 2>&1)
  for plugin in "$root$plugindir"/sb-*.so; do
    name=${plugin##*/sb-}
    like "installed sbctl finds ${name%.so}" "$found" "${name%.so}"
  done
fi

if [ -f "$top_srcdir/examples/plugin/Makefile" ]; then
  cp -r "$top_srcdir/examples/plugin" "$work/plugin"
  chmod -R u+w "$work/plugin"
  ok "a third party's plugin builds out of tree" \
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL CC="$CC" make -C "$work/plugin"
  if [ -x "$root$bindir/sb-conformance" ]; then
    ok "and passes conformance" \
      "$root$bindir/sb-conformance" "$(ls "$work"/plugin/sb-*.so)"
  fi
fi

case ${SB_SANITIZED_FLAGS-} in
*-fsanitize=*)
  skip "the bindings" "the library needs a sanitizer's run-time" ;;
*)
  bindings_run_python "$library"
  bindings_run_rust "$library" ;;
esac

done_testing
