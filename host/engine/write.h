/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that write cells share; see write.c. */
#ifndef SB_ENGINE_WRITE_H
#define SB_ENGINE_WRITE_H

#include "host/engine/keyed.h"

static inline table *
write_table(const place *p)
{
  return &p->state->tables[p->table];
}

static inline int
write_is_current(const keyed *k, const cell *c)
{
  return c->epoch == (uint32_t)k->epoch;
}

/* The flags that a cell gets for good. */
static inline uint16_t
write_layout(const place *p, uint16_t flags, uint64_t expires_ms)
{
  uint16_t layout = expires_ms != 0 ? CELL_EXPIRES : 0;

  if (p->state->subkeyed && !(flags & CELL_CLEAR))
    layout |= CELL_GROUPED;
  return layout;
}

static inline size_t
write_size(const place *p, size_t value_cap, uint16_t layout)
{
  return cell_size(p->key.key.len, p->key.ns.len, p->key.subkey.len,
                   value_cap, layout);
}

/* A new cell with room for `slack` bytes more, in place of `old`, which is the
   table's, or NULL if it has none. Making room for it may take cells away. */
sb_status write_new(keyed *k, const place *p, cell *old, sb_slice value,
                    uint16_t flags, uint64_t expires_ms, size_t slack,
                    cell **out, sb_error *err);
/* Clears a key with subkeys. `members`: memory may have some. */
sb_status write_clear_key(keyed *k, const place *p, int members,
                          sb_error *err);

#endif
