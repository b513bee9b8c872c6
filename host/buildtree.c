/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked into programs that run from the build tree only: makes the plugins of
 * the build tree the default. Installed programs do not have this.
 */
#include "config.h"

#include <stdlib.h>

extern const int buildtree_anchor;
const int buildtree_anchor = 1; /* the linker is told to want this */

__attribute__((constructor)) static void
buildtree_set_plugin_path(void)
{
  (void)setenv("SB_PLUGIN_PATH", BUILD_PLUGINS, 0);
}
