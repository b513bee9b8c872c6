/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a view, for view.c and view_scan.c. */
#ifndef SB_ENGINE_VIEW_H
#define SB_ENGINE_VIEW_H

#include "host/engine/reader.h"

struct sb_view {
  struct sb_snapshot cut; /* `running` while a thread is in view_get */
  version *all;           /* lock: all of the cut; made when it is read */
};

/* With the lock held, once all of the cut is in segments: these, until the view
   is closed. NULL: no memory. */
version *view_version(keyed *k, sb_view *v);

#endif
