/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a cursor; see scan.c. */
#ifndef SB_ENGINE_SCAN_H
#define SB_ENGINE_SCAN_H

#include "host/engine/reader.h"
#include "host/engine/sort.h"

struct sb_cursor {
  keyed *keyed;
  state *state;
  uint32_t flags;
  uint32_t key_group, key_group_last; /* the current one, the last one */
  int has_ns, has_key;
  sb_slice ns, key, start, end;       /* in `bounds` */
  buf bounds;
  int opened;           /* the sources of the current key group */
  version *version;     /* pinned, of `merge` */
  uint64_t epoch;       /* memory had all of later epochs when it was taken */
  sb_event *event;
  reader_ctx reader;

  record *keys;         /* of cells in memory, sorted; bytes in key_bytes */
  size_t key_count, key_at;
  int keys_more;        /* the next batch begins after `last` */
  buf key_bytes;

  merge merge;
  int merge_open, merge_valid;
  int merge_used;       /* its record was the last candidate */

  record last;          /* the last row's place; bytes in last_bytes */
  int has_last, has_row;
  int last_returned;    /* a row of the key of `last` was returned */
  buf last_bytes;

  buf elements;         /* the list record being walked */
  size_t element_at, element; /* next, current */
  uint64_t element_expires;
};

/* scan_open without looking at batches. */
sb_status scan_open_cursor(keyed *k, const sb_scan_options *options,
                           sb_cursor **out, sb_error *err);

#endif
