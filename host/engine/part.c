/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run hands to its caller: the manifest, in the part or as an object,
 * and the list of objects that it names.
 */
#include "config.h"

#include <stdio.h>

#include "host/base/crc.h"
#include "host/engine/snapshot.h"
#include "host/store/store.h"

/* The manifest object of a run that is over is offered for deletion; the
   committer keeps it while a retained checkpoint names it. A savepoint's is
   replaced by nobody. */
static void
part_drop_manifest(keyed *k, sb_snapshot *s)
{
  const char *name = s->manifest_name;

  if (name == NULL)
    return;
  if (s->kind == SB_SNAPSHOT_SAVEPOINT) {
    if (!s->handed_out || atomic_load(&s->cancelled))
      (void)store_remove(k->host, k->engine->store, &name, 1, NULL, NULL);
    mem_free(k->host, s->manifest_name);
  } else {
    keyed_lock(k);
    version_drop_name(k, s->manifest_name, 1);
    keyed_unlock(k);
  }
  s->manifest_name = NULL;
}

void
part_clear(keyed *k, sb_snapshot *s)
{
  size_t i;

  part_drop_manifest(k, s);
  buf_clear(&s->manifest);
  for (i = 0; i < s->object_count; i++)
    mem_free(k->host, s->object_names[i]);
  mem_free(k->host, s->object_names);
  mem_free(k->host, s->objects);
  s->object_names = NULL;
  s->objects = NULL;
  s->object_count = 0;
}

/* ---- objects ------------------------------------------------------------- */

static int
part_has_object(const sb_snapshot *s, const char *name)
{
  size_t i;

  for (i = 0; i < s->object_count; i++)
    if (strcmp(s->object_names[i], name) == 0)
      return 1;
  return 0;
}

static int
part_is_new(const keyed *k, const sb_snapshot *s, const segment *g)
{
  const substitute *u = substitute_find(s->substitutes, s->substitute_count,
                                        g);

  if (u != NULL && u->to == g)
    return u->is_new;
  return !keyed_host_owned(k) && g->own &&
         g->first_named == s->checkpoint_id;
}

static sb_status
part_add_object(keyed *k, sb_snapshot *s, const segment *g)
{
  sb_object_use *use = &s->objects[s->object_count];

  s->object_names[s->object_count] = mem_strdup(k->host, g->name);
  if (s->object_names[s->object_count] == NULL)
    return SB_NO_MEMORY;
  use->name = s->object_names[s->object_count++];
  use->size = g->info.size;
  use->is_new = (uint32_t)part_is_new(k, s, g);
  return SB_OK;
}

/* Which objects the manifest names: each once, however many views. What is
   only held counts where the host deletes what it is not told of. */
static sb_status
part_objects(keyed *k, sb_snapshot *s, const draft *d)
{
  size_t held = keyed_host_owned(k) ? d->pin_count : 0, i;
  size_t cap = d->view_count + held + 1;
  const segment *last = NULL;
  sb_status status = SB_OK;

  s->objects = mem_zalloc(k->host, cap * sizeof *s->objects);
  s->object_names = mem_zalloc(k->host, cap * sizeof *s->object_names);
  if (s->objects == NULL || s->object_names == NULL)
    return SB_NO_MEMORY;
  for (i = 0; i < d->view_count && status == SB_OK; i++) {
    const segment *g = d->views[i].segment;

    if (g == last)
      continue;
    last = g;
    if (d->view_count >= 256 || !part_has_object(s, g->name))
      status = part_add_object(k, s, g);
  }
  for (i = 0; i < held && status == SB_OK; i++)
    status = part_add_object(k, s, d->pins[i]);
  return status;
}

/* ---- the manifest -------------------------------------------------------- */

static sb_status
part_manifest_name(keyed *k, const sb_snapshot *s, char *name, sb_error *err)
{
  const paths *p = &k->engine->paths;
  uint64_t random = k->host->random(k->host);
  char file[64];

  if (s->kind != SB_SNAPSHOT_SAVEPOINT)
    return paths_manifest(p, k->job, k->subtask, s->checkpoint_id,
                          k->generation, random, name, err);
  (void)snprintf(file, sizeof file, "%u-%016llx.manifest",
                 (unsigned)k->subtask, (unsigned long long)random);
  return paths_savepoint_file(p, k->job, s->savepoint, file, name, err);
}

/* A manifest too large to travel in the part becomes an object, unless the
   host keeps manifests too. */
static sb_status
part_store_manifest(keyed *k, sb_snapshot *s, sb_error *err)
{
  char name[PATH_SIZE];
  sb_status status;

  if (s->manifest.len <= SB_MANIFEST_INLINE_MAX ||
      (keyed_host_owned(k) && s->kind != SB_SNAPSHOT_SAVEPOINT))
    return SB_OK;
  status = part_manifest_name(k, s, name, err);
  if (status != SB_OK)
    return status;
  s->manifest_name = mem_strdup(k->host, name);
  if (s->manifest_name == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not write manifest \"%s\": no memory", name);
  return store_put(k->host, k->engine->store, name, s->manifest.data,
                   s->manifest.len, SB_PUT_CREATE, NULL, NULL, 0, NULL,
                   SB_PRIORITY_COMMIT, err);
}

static void
part_fill(const keyed *k, sb_snapshot *s)
{
  sb_part *p = &s->part;

  memset(p, 0, sizeof *p);
  p->struct_size = sizeof *p;
  p->subtask = k->subtask;
  p->operator_id = k->operator_id;
  p->key_group_first = k->key_group_first;
  p->key_group_last = k->key_group_last;
  p->name = s->manifest_name;
  if (p->name != NULL && s->kind == SB_SNAPSHOT_SAVEPOINT)
    p->name = strrchr(p->name, '/') + 1;
  p->manifest = sb_slice_of(s->manifest.data, s->manifest.len);
  p->length = s->manifest.len;
  p->crc32c = crc32c(s->manifest.data, s->manifest.len);
  p->object_count = (uint32_t)s->object_count;
  p->objects = s->objects;
}

sb_status
part_make(keyed *k, sb_snapshot *s, sb_error *err)
{
  draft d;
  sb_status status;

  s->handed_out = 0;
  part_clear(k, s);
  status = draft_make(k, s, &d);
  if (status == SB_OK)
    status = manifest_encode(k->host, &d.m, &s->manifest);
  if (status == SB_OK)
    status = part_objects(k, s, &d);
  draft_dispose(k, s, &d);
  if (status != SB_OK)
    return sb_error_set(err, status, "could not make the manifest of snapshot "
                        "%llu: %s", (unsigned long long)s->checkpoint_id,
                        sb_status_name(status));
  status = part_store_manifest(k, s, err);
  if (status == SB_OK)
    part_fill(k, s);
  s->handed_out = status == SB_OK;
  return status;
}
