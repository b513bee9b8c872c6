/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a savepoint out of a retained checkpoint or another savepoint, of
 * this store or another. _metadata is written last, so what fails before
 * leaves no savepoint; its copies are removed again.
 */
#include "config.h"

#include <stdio.h>

#include "host/base/crc.h"
#include "host/checkpoint/canonical.h"
#include "host/engine/job_state.h"
#include "host/engine/manifest.h"
#include "host/engine/opened.h"
#include "host/engine/savepoint.h"
#include "host/engine/transfer.h"

/* A copy being made. Copy i of `sources` is called by the nonce and i. */
typedef struct duplicate {
  const job_env *env, *from;
  const sb_savepoint_copy *options;
  const char *job;         /* where to */
  sb_checkpoint *checkpoint;
  manifest **manifests;    /* of the parts; NULL: a canonical one */
  names sources;           /* objects, with their sizes; sorted */
  uint64_t nonce;
  char directory[PATH_SIZE];
  transfer_object *objects;
  char *targets;           /* names of the copies, `stride` bytes apart */
  size_t stride;
  sb_part *parts;          /* of the new savepoint */
  buf *bytes;              /* their manifests */
  names made;              /* objects of the new savepoint */
} duplicate;

/* ---- what there is ------------------------------------------------------ */

static sb_status
duplicate_open(duplicate *d, sb_error *err)
{
  const sb_savepoint_copy *o = d->options;
  const char *job = o->from_job == NULL ? "" : o->from_job;

  if (o->from_savepoint != NULL && o->from_savepoint[0] != '\0')
    return savepoint_open(d->from, job, o->from_savepoint,
                          MANIFEST_OWNER_ENGINE, &d->checkpoint, err);
  return job_checkpoint_open(d->from, job, o->from_id, SB_CHECKPOINT_PIN,
                             &d->checkpoint, err);
}

static sb_status
duplicate_read_manifest(duplicate *d, uint32_t part, sb_slice bytes,
                        sb_error *err)
{
  manifest *m;
  sb_status st;
  size_t i;

  st = manifest_decode(d->env->host, bytes.data, bytes.len, &m, err);
  if (st != SB_OK)
    return st;
  d->manifests[part] = m;
  for (i = 0; i < m->segment_count; i++) {
    const manifest_segment *s = &m->segments[i];

    if (s->root != NULL)
      return sb_error_set(err, SB_UNSUPPORTED, "cannot copy \"%s\" of store "
                          "\"%s\" into a savepoint", s->name, s->root);
    names_add(&d->sources, s->name, s->info.size);
  }
  return SB_OK;
}

static sb_status
duplicate_read_canonical(duplicate *d, sb_slice bytes, sb_error *err)
{
  canonical_part *part;
  sb_status st = canonical_part_decode(d->env->host, bytes, &part, err);

  if (st != SB_OK)
    return st;
  names_add(&d->sources, part->name, part->length);
  canonical_part_free(d->env->host, part);
  return SB_OK;
}

static sb_status
duplicate_read_part(duplicate *d, uint32_t part, sb_error *err)
{
  sb_slice bytes;
  void *owned;
  sb_status st;

  st = manifest_bytes(d->from->host, d->from->store,
                      &d->checkpoint->parts[part], &bytes, &owned, err);
  if (st == SB_OK && canonical_is_descriptor(bytes))
    st = duplicate_read_canonical(d, bytes, err);
  else if (st == SB_OK)
    st = duplicate_read_manifest(d, part, bytes, err);
  mem_free(d->from->host, owned);
  return st;
}

static sb_status
duplicate_read(duplicate *d, sb_error *err)
{
  uint32_t count = d->checkpoint->info.part_count, i;
  const sb_host *host = d->env->host;
  sb_status st = SB_OK;

  d->manifests = mem_zalloc(host, count * sizeof *d->manifests);
  d->parts = mem_zalloc(host, count * sizeof *d->parts);
  d->bytes = mem_zalloc(host, count * sizeof *d->bytes);
  if (d->manifests == NULL || d->parts == NULL || d->bytes == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory to copy a savepoint");
  for (i = 0; i < count; i++)
    buf_init(&d->bytes[i], host, MANIFEST_SIZE_MAX);
  for (i = 0; st == SB_OK && i < count; i++)
    st = duplicate_read_part(d, i, err);
  if (st == SB_OK && d->sources.status != SB_OK)
    st = sb_error_set(err, SB_NO_MEMORY, "no memory to copy a savepoint");
  names_sort(&d->sources);
  return st;
}

/* ---- segments ----------------------------------------------------------- */

static size_t
duplicate_find(const duplicate *d, const char *source)
{
  size_t low = 0, high = d->sources.count;

  while (low + 1 < high) {
    size_t middle = low + (high - low) / 2;

    if (strcmp(names_at(&d->sources, middle), source) <= 0)
      low = middle;
    else
      high = middle;
  }
  return low;
}

/* A canonical part keeps its file name, which is part of what it says. */
static int
duplicate_is_canonical(const char *source)
{
  size_t len = strlen(source), tail = strlen(CANONICAL_EXTENSION);

  return len > tail && strcmp(source + len - tail, CANONICAL_EXTENSION) == 0;
}

static sb_status
duplicate_file(const duplicate *d, size_t i, char *out, sb_error *err)
{
  const char *source = names_at(&d->sources, i), *slash;
  uint64_t generation;

  if (duplicate_is_canonical(source)) {
    slash = strrchr(source, '/');
    source = slash == NULL ? source : slash + 1;
    memcpy(out, source, strlen(source) + 1);
    return SB_OK;
  }
  (void)paths_segment_generation(source, &generation);
  return paths_segment_file(d->env->paths, generation, i + 1, d->nonce, out,
                            err);
}

static void
duplicate_expect(duplicate *d, const char *source, uint32_t crc32c)
{
  transfer_object *o = &d->objects[duplicate_find(d, source)];

  o->crc32c = crc32c;
  o->has_crc32c = 1;
}

static void
duplicate_expect_all(duplicate *d)
{
  uint32_t i;
  size_t j;

  for (i = 0; i < d->checkpoint->info.part_count; i++)
    for (j = 0; d->manifests[i] != NULL && j < d->manifests[i]->segment_count;
         j++)
      duplicate_expect(d, d->manifests[i]->segments[j].name,
                       d->manifests[i]->segments[j].info.crc32c);
}

static sb_status
duplicate_plan(duplicate *d, sb_error *err)
{
  size_t count = d->sources.count, len = strlen(d->directory), i;
  char file[PATH_SIZE];
  sb_status st = SB_OK;

  d->stride = PATH_SIZE < len + PATH_PART_MAX + 2 ? PATH_SIZE
                                                  : len + PATH_PART_MAX + 2;
  d->objects = mem_zalloc(d->env->host, count * sizeof *d->objects);
  d->targets = mem_alloc(d->env->host, count * d->stride);
  if (d->objects == NULL || d->targets == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory to copy a savepoint");
  for (i = 0; st == SB_OK && i < count; i++) {
    char *target = d->targets + i * d->stride;

    st = duplicate_file(d, i, file, err);
    if (st == SB_OK && len + strlen(file) >= d->stride)
      st = sb_error_set(err, SB_TOO_LARGE, "the name of a copy of \"%s\" is "
                        "too long", names_at(&d->sources, i));
    if (st != SB_OK)
      break;
    memcpy(target, d->directory, len);
    memcpy(target + len, file, strlen(file) + 1);
    d->objects[i].source = names_at(&d->sources, i);
    d->objects[i].name = target;
    d->objects[i].size = names_number(&d->sources, i);
    names_add(&d->made, target, 0);
  }
  duplicate_expect_all(d);
  if (st == SB_OK && d->made.status != SB_OK)
    st = sb_error_set(err, SB_NO_MEMORY, "no memory to copy a savepoint");
  return st;
}

/* ---- parts -------------------------------------------------------------- */

/* Gives the manifest the names of the copies; they are in d->targets. */
static void
duplicate_rename(const duplicate *d, manifest *m)
{
  size_t len = strlen(d->directory), i;

  for (i = 0; i < m->segment_count; i++) {
    manifest_segment *s = &m->segments[i];

    s->name = d->targets + duplicate_find(d, s->name) * d->stride + len;
    s->owner = MANIFEST_OWNER_ENGINE;
  }
  m->held_count = m->dropped_count = 0;
}

/* A manifest too large to travel in _metadata. part->name is the file's. */
static sb_status
duplicate_put_manifest(duplicate *d, sb_part *part, const buf *bytes,
                       sb_error *err)
{
  char file[PATH_SIZE], object[PATH_SIZE];
  sb_status st;

  (void)snprintf(file, sizeof file, "%u-%016llx.manifest", part->subtask,
                 (unsigned long long)d->nonce + (uint64_t)(part - d->parts));
  st = paths_savepoint_file(d->env->paths, d->job, d->options->name, file,
                            object, err);
  if (st != SB_OK)
    return st;
  names_add(&d->made, object, 0);
  part->name = mem_strdup(d->env->host, file);
  if (part->name == NULL || d->made.status != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY, "no memory to copy a savepoint");
  return store_put(d->env->host, d->env->store, object, bytes->data,
                   bytes->len, 0, NULL, NULL, 0, NULL, SB_PRIORITY_CHECKPOINT,
                   err);
}

static sb_status
duplicate_encode(duplicate *d, uint32_t i, sb_error *err)
{
  const sb_part *from = &d->checkpoint->parts[i];
  sb_slice bytes;
  void *owned;
  sb_status st;

  if (d->manifests[i] != NULL) {
    duplicate_rename(d, d->manifests[i]);
    st = manifest_encode(d->env->host, d->manifests[i], &d->bytes[i]);
    return st == SB_OK ? st
                       : sb_error_set(err, st, "could not encode the manifest "
                                      "of subtask %u: %s", from->subtask,
                                      sb_status_name(st));
  }
  st = manifest_bytes(d->from->host, d->from->store, from, &bytes, &owned,
                      err);
  if (st == SB_OK)
    st = canonical_part_move(d->env->host, bytes, "", &d->bytes[i], err);
  mem_free(d->from->host, owned);
  return st;
}

static sb_status
duplicate_part(duplicate *d, uint32_t i, sb_error *err)
{
  sb_part *part = &d->parts[i];
  const buf *bytes = &d->bytes[i];
  sb_status st;

  *part = d->checkpoint->parts[i];
  part->struct_size = sizeof *part;
  part->name = NULL;
  st = duplicate_encode(d, i, err);
  if (st != SB_OK)
    return st;
  part->manifest = sb_slice_of(bytes->data, bytes->len);
  part->length = bytes->len;
  part->crc32c = crc32c(bytes->data, bytes->len);
  return bytes->len <= SB_MANIFEST_INLINE_MAX
           ? SB_OK : duplicate_put_manifest(d, part, bytes, err);
}

static sb_status
duplicate_write(duplicate *d, sb_error *err)
{
  const sb_checkpoint *from = d->checkpoint;
  sb_savepoint_options options = {
    .struct_size = sizeof options, .job = d->job, .name = d->options->name,
    .id = from->info.id, .parts = d->parts,
    .part_count = from->info.part_count, .blob = from->blob
  };
  sb_status st = SB_OK;
  uint32_t i;

  for (i = 0; st == SB_OK && i < from->info.part_count; i++)
    st = duplicate_part(d, i, err);
  return st == SB_OK ? savepoint_write(d->env, &options, err) : st;
}

/* ---- all of it ---------------------------------------------------------- */

/* When the name has been taken meanwhile, a canonical object in the directory
   may be the other one's. */
static void
duplicate_undo(duplicate *d, sb_status st)
{
  uint8_t *ours = mem_zalloc(d->env->host, d->made.count);
  size_t i;

  for (i = 0; ours != NULL && i < d->made.count; i++)
    ours[i] = st != SB_EXISTS ||
              !duplicate_is_canonical(names_at(&d->made, i));
  if (ours != NULL)
    names_filter(&d->made, ours);
  if (ours != NULL || st != SB_EXISTS)
    (void)savepoint_remove_names(d->env, &d->made, NULL);
  mem_free(d->env->host, ours);
}

static void
duplicate_dispose(duplicate *d)
{
  const sb_host *host = d->env->host;
  uint32_t count = d->checkpoint == NULL ? 0
                                         : d->checkpoint->info.part_count, i;

  for (i = 0; d->manifests != NULL && i < count; i++)
    manifest_free(host, d->manifests[i]);
  for (i = 0; d->parts != NULL && i < count; i++)
    mem_free(host, (char *)d->parts[i].name);
  for (i = 0; d->bytes != NULL && i < count; i++)
    buf_dispose(&d->bytes[i]);
  mem_free(host, d->manifests);
  mem_free(host, d->parts);
  mem_free(host, d->bytes);
  mem_free(host, d->objects);
  mem_free(host, d->targets);
  names_dispose(&d->sources);
  names_dispose(&d->made);
  job_checkpoint_close(d->from, d->checkpoint);
}

static sb_status
duplicate_run(duplicate *d, sb_error *err)
{
  transfer t = { d->env->host, d->from->store, d->env->store };
  sb_status st = duplicate_open(d, err);

  if (st == SB_OK)
    st = duplicate_read(d, err);
  if (st == SB_OK)
    st = duplicate_plan(d, err);
  if (st != SB_OK) {
    d->made.count = 0;
    return st;
  }
  st = transfer_copy(&t, d->objects, d->sources.count, err);
  return st == SB_OK ? duplicate_write(d, err) : st;
}

sb_status
savepoint_copy(const job_env *env, const job_env *from,
               const sb_savepoint_copy *options, sb_error *err)
{
  duplicate d = { .env = env, .from = from, .options = options,
                  .job = options->job == NULL ? "" : options->job };
  sb_status st;

  if (options->name == NULL || options->name[0] == '\0')
    return sb_error_set(err, SB_INVALID, "a savepoint needs a name");
  st = savepoint_check_free(env, d.job, options->name, err);
  if (st == SB_OK)
    st = paths_savepoint_prefix(env->paths, d.job, options->name, d.directory,
                                err);
  if (st != SB_OK)
    return st;
  d.nonce = env->host->random(env->host);
  names_init(&d.sources, env->host);
  names_init(&d.made, env->host);
  st = duplicate_run(&d, err);
  /* A _metadata whose fate is not known may name what was made. */
  if (st != SB_OK && st != SB_UNKNOWN)
    duplicate_undo(&d, st);
  duplicate_dispose(&d);
  return st;
}
