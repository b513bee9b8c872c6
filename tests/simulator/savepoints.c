/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Savepoints: written by a round of their own, restored by a later life with
 * or without a claim, and read and removed in the end. Their attempts are
 * never committed, so the ledger's rules for checkpoints do not touch them.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include "host/engine/engine.h"
#include "tests/simulator/item.h"
#include "tests/simulator/life.h"

#define SAVEPOINT_DIRECTORY "savepoints/"

void
savepoint_name(const attempt *a, char *name, size_t size)
{
  (void)snprintf(name, size, "sp-%llu-%llu",
                 (unsigned long long)a->generation,
                 (unsigned long long)a->id);
}

int
savepoint_is_object(const char *name)
{
  return strstr(name, SAVEPOINT_DIRECTORY) != NULL;
}

int
savepoint_has(const attempt *a, const char *object_name)
{
  const char *at = strstr(object_name, SAVEPOINT_DIRECTORY);
  char name[64];
  size_t len;

  if (at == NULL)
    return 0;
  savepoint_name(a, name, sizeof name);
  len = strlen(name);
  at += sizeof SAVEPOINT_DIRECTORY - 1;
  return strncmp(at, name, len) == 0 && at[len] == '/';
}

sb_status
savepoint_write_once(job *j, attempt *a, const sb_part *parts, uint32_t count,
                     sb_error *err)
{
  sb_savepoint_options options;
  char name[64];
  sb_status status;

  savepoint_name(a, name, sizeof name);
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.job = j->l->job_name;
  options.name = name;
  options.id = a->id;
  options.parts = parts;
  options.part_count = count;
  options.blob = sb_slice_of(a->blob, strlen(a->blob));
  status = j->backend->ops->savepoint_write(j->backend, &options, err);
  sim_say(&j->l->s, "savepoint %s: %s", name,
          status == SB_OK ? "ok" : err->message);
  if (status == SB_OK) {
    a->saved = 1;
    j->l->did.savepoints++;
  }
  return status;
}

/* One that is there for sure and nobody's; NULL if there is none. */
attempt *
savepoint_pick(const life *l, rng *r)
{
  attempt *a, *found = NULL;
  uint64_t n = 0;

  for (a = l->attempts; a != NULL; a = a->next)
    if (a->saved && !a->claimed && rng_below(r, ++n) == 0)
      found = a;
  return found;
}

sb_status
savepoint_open_source(life *l, sb_backend *backend, attempt *a, uint32_t mode,
                      const char *job_id, sb_checkpoint **out, sb_error *err)
{
  sb_restore_options options;
  char name[64];

  savepoint_name(a, name, sizeof name);
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.mode = mode;
  options.job = l->job_name;
  options.savepoint = name;
  options.job_id = job_id;
  return backend->ops->restore_open(backend, &options, out, err);
}

/* Another job's claim of what is claimed. */
void
savepoint_check_claimed(job *j, attempt *a)
{
  sb_checkpoint *second = NULL;
  sb_error err;
  sb_status status = savepoint_open_source(j->l, j->backend, a,
                                           SB_RESTORE_CLAIM, "another job",
                                           &second, &err);

  if (status == SB_BUSY)
    return;
  if (!job_tolerates(j, status, &err, "a second claim"))
    sim_fail(&j->l->s, SIM_WRONG, "a second job claims savepoint %llu",
             (unsigned long long)a->id);
}

static void
savepoint_final(life *l, sim_process *process, sb_backend *backend,
                attempt *a)
{
  sb_checkpoint *checkpoint;
  char name[64];
  sb_error err;
  size_t i;
  sb_status status = savepoint_open_source(l, backend, a, SB_RESTORE_NO_CLAIM,
                                           "a reader", &checkpoint, &err);

  savepoint_name(a, name, sizeof name);
  if (status != SB_OK)
    sim_fail(&l->s, SIM_LOST, "savepoint %s: %s", name, err.message);
  final_read_opened(l, process, backend, a, checkpoint);
  status = backend->ops->savepoint_remove(backend, l->job_name, name, &err);
  if (status != SB_OK)
    sim_fail(&l->s, SIM_WRONG, "savepoint_remove: %s", err.message);
  for (i = 0; i < l->b.count; i++)
    if (l->b.objects[i]->data != NULL &&
        savepoint_has(a, l->b.objects[i]->name))
      sim_fail(&l->s, SIM_LEAKED, "\"%s\" is left of a removed savepoint",
               l->b.objects[i]->name);
}

void
savepoints_final(life *l, sim_process *process, sb_backend *backend)
{
  attempt *a;
  uint32_t n = 0;

  for (a = l->attempts; a != NULL && n < 3; a = a->next)
    if (a->saved && !a->claimed) {
      a->removing = 1;
      savepoint_final(l, process, backend, a);
      n++;
    }
}
