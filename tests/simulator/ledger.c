/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: every checkpoint that was tried, what it must hold, and what is
 * known of its fate. It never reads the store: it goes by what callers were
 * told, and by the manifests that they were handed.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <statebackend/statebackend.h>
#include "host/engine/manifest.h"
#include "tests/simulator/item.h"
#include "tests/simulator/life.h"

attempt *
ledger_new(life *l, job *j, uint64_t id)
{
  attempt *a = sim_memory(NULL, sizeof *a);

  memset(a, 0, sizeof *a);
  a->id = id;
  a->generation = j->generation;
  a->takeovers = j->takeovers;
  a->taking_ns = j->taking_ns;
  a->cells = cells_copy(&l->sp, j->m.cells);
  a->states = j->states;
  memcpy(a->versions, j->versions, sizeof a->versions);
  memcpy(a->ttls, j->ttls, sizeof a->ttls);
  (void)snprintf(a->blob, sizeof a->blob, "blob of %llu in %llu",
                 (unsigned long long)id, (unsigned long long)j->generation);
  a->next = l->attempts;
  l->attempts = a;
  return a;
}

void
ledger_free(life *l)
{
  while (l->attempts != NULL) {
    attempt *a = l->attempts;
    size_t i;

    l->attempts = a->next;
    for (i = 0; i < a->name_count; i++)
      free(a->names[i]);
    free(a->names);
    manager_free(a);
    for (i = 0; i < a->held_count; i++)
      free(a->held[i]);
    free(a->held);
    free(a->cells);
    free(a);
  }
}

attempt *
ledger_find(const life *l, uint64_t id, uint64_t generation)
{
  attempt *a = l->attempts;

  while (a != NULL && (a->id != id || a->generation != generation))
    a = a->next;
  return a;
}

static int
attempt_is_after(const attempt *a, const attempt *b)
{
  return a->generation != b->generation ? a->generation > b->generation
                                        : a->id > b->id;
}

attempt *
ledger_newest(const life *l)
{
  attempt *a, *newest = NULL;

  for (a = l->attempts; a != NULL; a = a->next)
    if (a->fate == ATTEMPT_OK && (newest == NULL ||
                                  attempt_is_after(a, newest)))
      newest = a;
  return newest;
}

static void
attempt_add_name(attempt *a, const char *name)
{
  if (ledger_has_name(a, name))
    return;
  a->names = sim_memory(a->names, (a->name_count + 1) * sizeof *a->names);
  a->names[a->name_count++] = strdup(name);
}

/* What the handle still reads though it is no longer state (HELD): it stays
   until the next commit, or until the handle is closed. */
static void
ledger_add_held(attempt *a, const sb_part *part)
{
  const sb_host *host = sb_host_default();
  manifest *m;
  size_t i;

  if (manifest_decode(host, part->manifest.data, part->manifest.len, &m,
                      NULL) != SB_OK)
    return; /* readers of the checkpoint will say so */
  a->held = sim_memory(a->held,
                       (a->held_count + m->held_count + 1) * sizeof *a->held);
  for (i = 0; i < m->held_count; i++)
    a->held[a->held_count++] = strdup(m->held[i]);
  manifest_free(host, m);
}

void
ledger_add_names(attempt *a, const sb_part *part)
{
  uint32_t i;

  for (i = 0; i < part->object_count; i++)
    attempt_add_name(a, part->objects[i].name);
  if (part->name != NULL)
    attempt_add_name(a, part->name);
  ledger_add_held(a, part);
}

void
ledger_add_saved(attempt *a, const sb_part *part)
{
  uint32_t i;

  for (i = 0; i < part->object_count; i++) {
    const char *slash = strrchr(part->objects[i].name, '/');

    attempt_add_name(a, slash == NULL ? part->objects[i].name : slash + 1);
  }
}

int
ledger_has_name(const attempt *a, const char *name)
{
  size_t i;

  for (i = 0; i < a->name_count; i++)
    if (strcmp(a->names[i], name) == 0)
      return 1;
  return 0;
}

int
ledger_holds_name(const attempt *a, const char *name)
{
  size_t i;

  for (i = 0; i < a->held_count; i++)
    if (strcmp(a->held[i], name) == 0)
      return 1;
  return 0;
}

/* How many newer ones have been committed, for sure or perhaps. */
static uint32_t
attempt_newer(const life *l, const attempt *a)
{
  const attempt *other;
  uint32_t n = 0;

  for (other = l->attempts; other != NULL; other = other->next)
    if ((other->fate == ATTEMPT_OK || other->fate == ATTEMPT_MAYBE) &&
        attempt_is_after(other, a))
      n++;
  return n;
}

void
ledger_commit_began(attempt *a)
{
  if (a->fate == ATTEMPT_OPEN)
    a->fate = ATTEMPT_MAYBE;
}

/* Those beyond the retained number are no longer promised. */
static void
ledger_trim(life *l)
{
  attempt *a;

  for (a = l->attempts; a != NULL; a = a->next)
    if (a->fate == ATTEMPT_OK && a->pins == 0 &&
        attempt_newer(l, a) >= l->retain_floor)
      a->removing = 1;
}

void
ledger_committed(job *j, attempt *a)
{
  life *l = j->l;

  if (a->fate == ATTEMPT_EXCLUDED || a->fate == ATTEMPT_NEVER)
    sim_fail(&l->s, SIM_LOST,
             "commit of %llu by generation %llu is said to be done, but a "
             "later take-over did not find it", (unsigned long long)a->id,
             (unsigned long long)a->generation);
  if (a->fate == ATTEMPT_MAYBE)
    a->fate = ATTEMPT_OK;
  l->did.committed++;
  ledger_trim(l);
}

static int
list_has(const sb_checkpoint_info *list, size_t count, const attempt *a)
{
  size_t i;

  for (i = 0; i < count; i++)
    if (list[i].id == a->id && list[i].generation == a->generation)
      return 1;
  return 0;
}

static void
list_text(const sb_checkpoint_info *list, size_t count, char *text,
          size_t size)
{
  size_t i, len = 0;

  text[0] = 0;
  for (i = 0; i < count && len + 1 < size; i++)
    len += (size_t)snprintf(text + len, size - len, " %llu/%llu",
                            (unsigned long long)list[i].id,
                            (unsigned long long)list[i].generation);
}

static void
ledger_check_listed(life *l, const sb_checkpoint_info *list, size_t count)
{
  size_t i;

  for (i = 0; i < count; i++) {
    attempt *a = ledger_find(l, list[i].id, list[i].generation);

    if (a == NULL || a->fate == ATTEMPT_OPEN || a->fate == ATTEMPT_NEVER ||
        a->fate == ATTEMPT_EXCLUDED || a->fate == ATTEMPT_GONE)
      sim_fail(&l->s, SIM_WRONG,
               "checkpoint %llu of generation %llu is listed, but %s",
               (unsigned long long)list[i].id,
               (unsigned long long)list[i].generation,
               a == NULL ? "nobody made it"
               : a->fate == ATTEMPT_GONE ? "it was gone before"
               : "it was never committed");
    if (a->fate == ATTEMPT_MAYBE)
      sim_say(&l->s, "checkpoint %llu/%llu turns out committed",
              (unsigned long long)a->id, (unsigned long long)a->generation);
    a->fate = ATTEMPT_OK;
  }
}

void
ledger_settle(job *j, const sb_checkpoint_info *list, size_t count)
{
  life *l = j->l;
  attempt *newest, *a;
  char text[200];

  list_text(list, count, text, sizeof text);
  sim_say(&l->s, "generation %llu reads the list%s",
          (unsigned long long)j->generation, text);
  ledger_check_listed(l, list, count);
  newest = ledger_newest(l);
  if (newest != NULL && !list_has(list, count, newest))
    sim_fail(&l->s, SIM_LOST,
             "checkpoint %llu of generation %llu was committed, the list "
             "has only%s", (unsigned long long)newest->id,
             (unsigned long long)newest->generation, text);
  for (a = l->attempts; a != NULL; a = a->next) {
    if (a->generation == j->generation || list_has(list, count, a))
      continue;
    if (a->fate == ATTEMPT_MAYBE)
      a->fate = newest == NULL || attempt_is_after(a, newest)
                ? ATTEMPT_EXCLUDED : ATTEMPT_GONE;
  }
  for (a = l->attempts; a != NULL; a = a->next) {
    if (a->fate != ATTEMPT_OK || list_has(list, count, a))
      continue;
    if (!a->removing && attempt_newer(l, a) < l->retain_floor)
      sim_fail(&l->s, SIM_LOST,
               "checkpoint %llu of generation %llu should be retained, the "
               "list has only%s", (unsigned long long)a->id,
               (unsigned long long)a->generation, text);
    a->fate = ATTEMPT_GONE;
  }
}

/* An object of an attempt may go only when the attempt is out of retention,
   and nobody reads it. */
static int
attempt_is_protected(const life *l, const attempt *a)
{
  if (a->pins != 0)
    return 1;
  if (l->hosted) /* what a newer one subsumes never gets complete */
    return a->fate == ATTEMPT_OK ||
           (a->fate == ATTEMPT_OPEN && attempt_newer(l, a) == 0);
  if (a->fate == ATTEMPT_MAYBE)
    return !job_was_replaced(l, a->takeovers, a->generation, a->taking_ns,
                             NULL);
  return a->fate == ATTEMPT_OK && !a->removing &&
         attempt_newer(l, a) < l->retain_floor;
}

/* What a run that failed has left in a savepoint's directory is no part of
   it. */
static int
ledger_saves(const attempt *a, const char *name)
{
  const char *slash = strrchr(name, '/');

  return savepoint_has(a, name) &&
         (strstr(name, ".state") == NULL || ledger_has_name(a, slash + 1));
}

void
ledger_removing(void *arg, const char *name)
{
  life *l = arg;
  const attempt *a;

  for (a = l->attempts; a != NULL; a = a->next)
    if (a->saved && !a->claimed && !a->removing && ledger_saves(a, name))
      sim_fail(&l->s, SIM_LOST, "\"%s\" of a savepoint is removed", name);
  for (a = l->attempts; a != NULL; a = a->next)
    if (ledger_has_name(a, name) && attempt_is_protected(l, a))
      sim_fail(&l->s, SIM_LOST,
               "\"%s\" is removed, but checkpoint %llu of generation %llu%s "
               "needs it", name, (unsigned long long)a->id,
               (unsigned long long)a->generation,
               a->pins != 0 ? ", which is pinned," : "");
}

static int
object_is_needed(const life *l, const sb_checkpoint_info *list, size_t count,
                 const char *name)
{
  const char *slash = strrchr(name, '/');
  size_t i;

  if (bucket_is_entry(name) || savepoint_is_object(name) ||
      strncmp(slash == NULL ? name : slash + 1, "HEAD", 4) == 0)
    return 1;
  for (i = 0; i < count; i++) {
    const attempt *a = ledger_find(l, list[i].id, list[i].generation);

    if (strcmp(list[i].name, name) == 0 ||
        (a != NULL &&
         (ledger_has_name(a, name) || ledger_holds_name(a, name))))
      return 1;
  }
  return 0;
}

void
ledger_check_objects(life *l, const sb_checkpoint_info *list, size_t count)
{
  bucket *b = &l->b;
  size_t i, k;

  for (i = 0; i < count; i++) {
    const attempt *a = ledger_find(l, list[i].id, list[i].generation);

    for (k = 0; a != NULL && k < a->name_count; k++)
      if (bucket_find(b, a->names[k]) == NULL)
        sim_fail(&l->s, SIM_LOST,
                 "\"%s\" is not there, checkpoint %llu of generation %llu "
                 "needs it", a->names[k], (unsigned long long)a->id,
                 (unsigned long long)a->generation);
  }
  for (i = 0; i < b->count; i++)
    if (b->objects[i]->data != NULL &&
        !object_is_needed(l, list, count, b->objects[i]->name))
      sim_fail(&l->s, SIM_LEAKED,
               "\"%s\" is left on the store and nothing needs it",
               b->objects[i]->name);
}
