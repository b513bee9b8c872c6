/* SPDX-License-Identifier: Apache-2.0 */
/* What canonical_read.c and canonical_field.c share: the reader. */
#ifndef SB_CHECKPOINT_CANONICAL_READ_H
#define SB_CHECKPOINT_CANONICAL_READ_H

#include "host/checkpoint/canonical.h"

struct sb_canonical_reader {
  const sb_host *host;
  sb_canonical_read options;  /* pointers in it are our own copies */
  uint64_t *offsets;
  canonical_states states;
  uint32_t key_encoding, key_length;
  uint64_t header_length;
  canonical_in in;
  const uint32_t *checksums;
  uint32_t next_group;        /* with offsets: the one to look at next */
  uint32_t key_group;
  int in_group, known_group;
  sb_status ended;            /* what the last row came to, unless SB_OK */
  uint32_t next_state;        /* of the entry to come */
  const canonical_state *state;
  buf key, value, scratch;
  sb_canonical_row row;
  sb_slice elements;          /* of a list, still to come */
};

sb_status canonical_read_no_memory(sb_error *err);

/* The entry at hand into the row: its key; its value, of a list the first
   element; the next element, while reader->elements is not empty. */
sb_status canonical_read_key(sb_canonical_reader *r, sb_error *err);
sb_status canonical_read_value(sb_canonical_reader *r, sb_error *err);
sb_status canonical_read_element(sb_canonical_reader *r, sb_error *err);

#endif
