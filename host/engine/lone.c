/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of one cell; see lone.h. */
#include "config.h"

#include "host/engine/lone.h"

sb_status
lone_join(keyed *k, const place *p, cell *c, int whole)
{
  table *groups = &p->state->groups[p->table];

  if (table_reserve(k->host, groups, &k->record_bytes) != SB_OK)
    return SB_NO_MEMORY;
  if (whole)
    c->flags |= CELL_WHOLE;
  *cell_member(c) = 0;
  group_insert_lone(groups, p->group_id, c);
  return SB_OK;
}

group *
lone_to_group(keyed *k, const place *p, uint64_t *slot)
{
  cell *lone = slot_lone(*slot);
  group *g = group_new(k->host, p->group_id, group_check(&p->key),
                       &k->record_bytes);

  if (g == NULL)
    return NULL;
  g->members[g->count++] = lone;
  g->complete = (lone->flags & CELL_WHOLE) != 0;
  g->plain = (lone->flags & (CELL_TOMBSTONE | CELL_EXPIRES)) == 0;
  g->tail = lone->flags & CELL_TAIL ? lone->id : 0;
  slot_set(slot, g, 0);
  return g;
}
