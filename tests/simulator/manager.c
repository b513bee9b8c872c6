/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that owns the objects of checkpoints, as Flink's job manager does:
 * it commits by itself, keeps the newest, and deletes at once what an aborted
 * or a subsumed checkpoint has listed and no retained one lists, before any
 * handle hears of it. It never dies; what handles acknowledge it keeps.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "host/engine/engine.h"
#include "tests/simulator/item.h"
#include "tests/simulator/life.h"

/* ---- parts -------------------------------------------------------------- */

/* All in one block: the part, its objects, and what they point to. */
static sb_part *
manager_copy(const sb_part *from)
{
  size_t bytes = sizeof *from + from->object_count * sizeof *from->objects +
                 from->manifest.len + strlen(from->operator_id) + 1 +
                 (from->name == NULL ? 0 : strlen(from->name) + 1);
  sb_object_use *objects;
  sb_part *part;
  char *at;
  uint32_t i;

  for (i = 0; i < from->object_count; i++)
    bytes += strlen(from->objects[i].name) + 1;
  part = sim_memory(NULL, bytes);
  *part = *from;
  objects = (sb_object_use *)(void *)(part + 1);
  at = (char *)(objects + from->object_count);
  part->objects = objects;
  for (i = 0; i < from->object_count; i++) {
    objects[i] = from->objects[i];
    objects[i].name = strcpy(at, from->objects[i].name);
    at += strlen(at) + 1;
  }
  part->operator_id = strcpy(at, from->operator_id);
  at += strlen(at) + 1;
  if (from->name != NULL) {
    part->name = strcpy(at, from->name);
    at += strlen(at) + 1;
  }
  if (from->manifest.len != 0)
    memcpy(at, from->manifest.data, from->manifest.len);
  part->manifest.data = at;
  return part;
}

void
manager_free(attempt *a)
{
  size_t i;

  for (i = 0; i < LIFE_SUBTASKS_MAX; i++) {
    free(a->parts[i]);
    a->parts[i] = NULL;
  }
}

/* ---- deleting ----------------------------------------------------------- */

static int
manager_retains(const life *l, const char *name)
{
  const attempt *a;

  for (a = l->attempts; a != NULL; a = a->next)
    if (a->fate == ATTEMPT_OK && ledger_has_name(a, name))
      return 1;
  return 0;
}

static void
manager_discard(life *l, const sb_part *part)
{
  uint32_t i;

  for (i = 0; i < part->object_count; i++)
    if (!manager_retains(l, part->objects[i].name))
      bucket_drop(&l->b, part->objects[i].name);
  if (part->name != NULL && !manager_retains(l, part->name))
    bucket_drop(&l->b, part->name);
}

static void
manager_discard_all(life *l, attempt *a)
{
  size_t i;

  for (i = 0; i < LIFE_SUBTASKS_MAX; i++)
    if (a->parts[i] != NULL)
      manager_discard(l, a->parts[i]);
  manager_free(a);
}

/* ---- checkpoints -------------------------------------------------------- */

void
manager_abort(life *l, attempt *a)
{
  if (a->fate != ATTEMPT_OPEN)
    return;
  a->fate = ATTEMPT_NEVER;
  manager_discard_all(l, a);
}

void
manager_acknowledge(job *j, attempt *a, uint32_t slot, const sb_part *part)
{
  life *l = j->l;
  uint32_t i;

  if (a->fate != ATTEMPT_OPEN || job_is_old(j)) {
    manager_abort(l, a);
    manager_discard(l, part);
    return;
  }
  for (i = 0; i < part->object_count; i++)
    if (bucket_find(&l->b, part->objects[i].name) == NULL)
      sim_fail(&l->s, SIM_LOST, "a part lists \"%s\", which is not there",
               part->objects[i].name);
  free(a->parts[slot]);
  a->parts[slot] = manager_copy(part);
}

int
manager_commit(job *j, attempt *a)
{
  life *l = j->l;
  attempt *other;
  uint32_t retained = 0;

  if (job_is_old(j) || a->fate != ATTEMPT_OPEN) {
    manager_abort(l, a);
    return 0;
  }
  a->fate = ATTEMPT_OK;
  l->did.committed++;
  l->did.hosted++;
  for (other = l->attempts; other != NULL; other = other->next)
    if (other->fate == ATTEMPT_OK && ++retained > l->retain) {
      other->fate = ATTEMPT_GONE;
      manager_discard_all(l, other);
    }
  return 1;
}

/* ---- jobs --------------------------------------------------------------- */

/* A new try of the job: what earlier ones have not finished is aborted. */
void
manager_takeover(job *j)
{
  life *l = j->l;
  attempt *a;

  j->takeovers = ++l->takeovers;
  j->generation = ++l->newest_generation;
  j->taking_ns = l->s.now_ns;
  sim_say(&l->s, "generation %llu", (unsigned long long)j->generation);
  for (a = l->attempts; a != NULL; a = a->next) {
    if (a->id >= j->next_id)
      j->next_id = a->id + 1;
    manager_abort(l, a);
  }
  j->from = ledger_newest(l);
}

uint32_t
manager_parts(const attempt *a, sb_part *parts)
{
  uint32_t i, n = 0;

  for (i = 0; i < LIFE_SUBTASKS_MAX; i++)
    if (a != NULL && a->parts[i] != NULL)
      parts[n++] = *a->parts[i];
  return n;
}

/* ---- the end ------------------------------------------------------------ */

/* After lives in which all handles were closed nothing else is left. */
static void
manager_check_left(life *l)
{
  size_t i;

  for (i = 0; i < l->b.count; i++)
    if (l->b.objects[i]->data != NULL &&
        !manager_retains(l, l->b.objects[i]->name))
      sim_fail(&l->s, SIM_LEAKED,
               "\"%s\" is left on the store and nothing needs it",
               l->b.objects[i]->name);
}

void
manager_final(life *l, sim_process *process, sb_backend *backend)
{
  attempt *a;
  size_t i;

  for (a = l->attempts; a != NULL; a = a->next) {
    sb_part parts[LIFE_SUBTASKS_MAX];

    if (a->fate != ATTEMPT_OK)
      continue;
    for (i = 0; i < a->name_count; i++)
      if (bucket_find(&l->b, a->names[i]) == NULL)
        sim_fail(&l->s, SIM_LOST, "\"%s\" is not there, checkpoint %llu "
                 "needs it", a->names[i], (unsigned long long)a->id);
    final_read_parts(l, process, backend, a, parts, manager_parts(a, parts));
  }
  if (l->calm)
    manager_check_left(l);
}
