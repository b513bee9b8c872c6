/* SPDX-License-Identifier: Apache-2.0 */
/* Writing, listing, opening and removing savepoints; see savepoint.h. */
#include "config.h"

#include "host/base/crc.h"
#include "host/base/slice.h"
#include "host/checkpoint/canonical.h"
#include "host/engine/claim.h"
#include "host/engine/job_state.h"
#include "host/engine/manifest.h"
#include "host/engine/opened.h"
#include "host/engine/savepoint.h"

#define SAVEPOINT_METADATA "_metadata"
#define SAVEPOINT_TRIES 3

static const char *
savepoint_job(const char *job)
{
  return job == NULL ? "" : job;
}

/* ---- reading ------------------------------------------------------------ */

static sb_status
savepoint_fetch(const job_env *env, const char *object, metadata **out,
                uint64_t *length, sb_error *err)
{
  void *bytes;
  sb_status st = SB_CORRUPT;
  int tries;

  /* A damaged answer is asked for again once: the object may be whole. */
  for (tries = 0; st == SB_CORRUPT && tries < 2; tries++) {
    st = store_get_all(env->host, env->store, object, METADATA_SIZE_MAX,
                       &bytes, length, NULL, SB_PRIORITY_COMMIT, err);
    if (st != SB_OK)
      return st;
    st = metadata_decode(env->host, bytes, (size_t)*length, out, err);
    if (st == SB_OK)
      (*out)->owned = bytes;
    else
      mem_free(env->host, bytes);
  }
  if (st == SB_CORRUPT)
    sb_error_set(err, st, "\"%s\" is not what was written", object);
  return st;
}

sb_status
savepoint_read(const job_env *env, const char *job, const char *name,
               metadata **out, uint64_t *length, sb_error *err)
{
  char object[PATH_SIZE];
  sb_status st;

  *out = NULL;
  job = savepoint_job(job);
  st = paths_savepoint_file(env->paths, job, name, SAVEPOINT_METADATA, object,
                            err);
  if (st == SB_OK)
    st = savepoint_fetch(env, object, out, length, err);
  if (st == SB_NOT_FOUND)
    sb_error_set(err, st, "job \"%s\" has no savepoint \"%s\"", job, name);
  return st;
}

sb_status
savepoint_open(const job_env *env, const char *job, const char *name,
               uint32_t owner, sb_checkpoint **out, sb_error *err)
{
  char directory[PATH_SIZE], object[PATH_SIZE];
  metadata *m = NULL;
  metadata_ref ref = { .name = object };
  sb_checkpoint *opened = NULL;
  sb_status st;

  *out = NULL;
  job = savepoint_job(job);
  st = savepoint_read(env, job, name, &m, &ref.length, err);
  if (st == SB_OK)
    st = paths_savepoint_prefix(env->paths, job, name, directory, err);
  if (st == SB_OK)
    st = paths_savepoint_file(env->paths, job, name, SAVEPOINT_METADATA,
                              object, err);
  if (st != SB_OK) {
    metadata_free(env->host, m);
    return st;
  }
  ref.id = m->id;
  ref.generation = m->generation;
  ref.created_ms = m->created_ms;
  ref.size = m->size + ref.length;
  ref.part_count = (uint32_t)m->part_count;
  st = opened_new(env, m, &ref, NULL, &opened, err);
  if (st == SB_OK)
    st = opened_rewrite(env, opened, directory, owner, err);
  if (st == SB_OK)
    *out = opened;
  else
    job_checkpoint_close(env, opened);
  return st;
}

/* ---- writing ------------------------------------------------------------ */

static sb_status
savepoint_check(const sb_savepoint_options *options, sb_error *err)
{
  if (options->name == NULL || options->name[0] == '\0')
    return sb_error_set(err, SB_INVALID, "a savepoint needs a name");
  if (options->id == 0 || options->part_count > UINT32_MAX ||
      (options->part_count != 0 && options->parts == NULL))
    return sb_error_set(err, SB_INVALID, "savepoint \"%s\" has no id or no "
                        "parts", options->name);
  if (options->blob.len > SB_BLOB_MAX)
    return sb_error_set(err, SB_TOO_LARGE, "the blob of savepoint \"%s\" has "
                        "%zu bytes, over %u", options->name, options->blob.len,
                        SB_BLOB_MAX);
  return slice_check(options->blob, "the blob of a savepoint", err);
}

static sb_status
savepoint_canonical_names(const job_env *env, sb_slice bytes, names *needs,
                          sb_error *err)
{
  canonical_part *part;
  sb_status st = canonical_part_decode(env->host, bytes, &part, err);

  if (st != SB_OK)
    return st;
  names_add(needs, part->name, part->length);
  canonical_part_free(env->host, part);
  return SB_OK;
}

/* What a manifest names, and the generation that wrote it. */
static sb_status
savepoint_manifest_names(const job_env *env, sb_slice bytes, names *needs,
                         uint64_t *generation, sb_error *err)
{
  manifest *m;
  sb_status st = manifest_decode(env->host, bytes.data, bytes.len, &m, err);
  size_t i;

  if (st != SB_OK)
    return st;
  if (m->generation > *generation)
    *generation = m->generation;
  for (i = 0; i < m->segment_count; i++)
    if (m->segments[i].root != NULL)
      st = sb_error_set(err, SB_INVALID, "\"%s\" of another store cannot be "
                        "part of a savepoint", m->segments[i].name);
    else
      names_add(needs, m->segments[i].name, m->segments[i].info.size);
  manifest_free(env->host, m);
  return st;
}

static sb_status
savepoint_part_names(const job_env *env, const sb_savepoint_options *options,
                     const sb_part *part, names *needs, uint64_t *generation,
                     sb_error *err)
{
  char object[PATH_SIZE];
  sb_part whole = *part;
  sb_slice bytes;
  void *owned = NULL;
  sb_status st = SB_OK;

  if (part->name != NULL) {
    names_add(needs, part->name, part->length);
    whole.name = object;
    st = paths_savepoint_file(env->paths, savepoint_job(options->job),
                              options->name, part->name, object, err);
  }
  if (st == SB_OK)
    st = manifest_bytes(env->host, env->store, &whole, &bytes, &owned, err);
  if (st == SB_OK && canonical_is_descriptor(bytes))
    st = savepoint_canonical_names(env, bytes, needs, err);
  else if (st == SB_OK)
    st = savepoint_manifest_names(env, bytes, needs, generation, err);
  mem_free(env->host, owned);
  return st;
}

static sb_status
savepoint_needs(const job_env *env, const sb_savepoint_options *options,
                metadata *m, sb_error *err)
{
  names needs;
  sb_status st = SB_OK;
  size_t i;

  names_init(&needs, env->host);
  for (i = 0; st == SB_OK && i < m->part_count; i++)
    st = savepoint_part_names(env, options, &m->parts[i], &needs,
                              &m->generation, err);
  if (st == SB_OK && needs.status != SB_OK)
    st = sb_error_set(err, needs.status, "no memory for a savepoint's names");
  names_sort(&needs);
  for (i = 0; st == SB_OK && i < needs.count; i++) {
    m->size += names_number(&needs, i);
    if (strchr(names_at(&needs, i), '/') != NULL)
      st = sb_error_set(err, SB_INVALID, "\"%s\" is not in the directory of "
                        "savepoint \"%s\"", names_at(&needs, i),
                        options->name);
  }
  names_dispose(&needs);
  return st;
}

/* Names in parts are random: the same parts are the same savepoint. */
static int
savepoint_same(const metadata *a, const metadata *b)
{
  size_t i;

  if (a->id != b->id || a->part_count != b->part_count)
    return 0;
  for (i = 0; i < a->part_count; i++)
    if (a->parts[i].crc32c != b->parts[i].crc32c ||
        a->parts[i].length != b->parts[i].length ||
        a->parts[i].subtask != b->parts[i].subtask)
      return 0;
  return 1;
}

static sb_status
savepoint_taken(const job_env *env, const sb_savepoint_options *options,
                const metadata *mine, sb_error *err)
{
  metadata *there;
  uint64_t length;
  sb_status st = savepoint_read(env, options->job, options->name, &there,
                                &length, err);

  if (st == SB_NOT_FOUND)
    return SB_BUSY;
  if (st == SB_OK && !savepoint_same(mine, there))
    st = SB_EXISTS;
  metadata_free(env->host, there);
  return st != SB_EXISTS ? st
                         : sb_error_set(err, st, "job \"%s\" has a savepoint "
                                        "\"%s\" already",
                                        savepoint_job(options->job),
                                        options->name);
}

static sb_status
savepoint_put(const job_env *env, const sb_savepoint_options *options,
              const metadata *m, const buf *bytes, sb_error *err)
{
  uint32_t flags = env->store_flags & SB_STORE_CREATE ? SB_PUT_CREATE : 0;
  char object[PATH_SIZE];
  sb_status st;
  int tries;

  st = paths_savepoint_file(env->paths, savepoint_job(options->job),
                            options->name, SAVEPOINT_METADATA, object, err);
  if (st != SB_OK)
    return st;
  st = SB_UNKNOWN;
  for (tries = 0; tries < SAVEPOINT_TRIES && st == SB_UNKNOWN; tries++) {
    st = store_put(env->host, env->store, object, bytes->data, bytes->len,
                   flags, NULL, NULL, 0, NULL, SB_PRIORITY_COMMIT, err);
    if (st == SB_EXISTS)
      st = savepoint_taken(env, options, m, err);
    if (st == SB_BUSY)
      st = SB_UNKNOWN; /* it went between the two looks */
  }
  if (st == SB_UNKNOWN)
    sb_error_set(err, st, "it is not known whether savepoint \"%s\" was "
                 "written", options->name);
  return st;
}

sb_status
savepoint_check_free(const job_env *env, const char *job, const char *name,
                     sb_error *err)
{
  char object[PATH_SIZE];
  claim there;
  sb_status st;

  job = savepoint_job(job);
  st = paths_savepoint_file(env->paths, job, name, SAVEPOINT_METADATA, object,
                            err);
  if (st == SB_OK)
    st = store_head(env->host, env->store, object, NULL, err);
  if (st == SB_OK)
    return sb_error_set(err, SB_EXISTS, "job \"%s\" has a savepoint \"%s\" "
                        "already", job, name);
  if (st == SB_NOT_FOUND)
    st = claim_read(env, job, name, &there, err);
  if (st == SB_OK)
    return sb_error_set(err, SB_BUSY, "the name of savepoint \"%s\" is not "
                        "free: %s", name, there.kind == CLAIM_REMOVAL
                        ? "an older one is being removed"
                        : "a job has claimed an older one");
  return st == SB_NOT_FOUND ? SB_OK : st;
}

/* Whoever removes the directory meanwhile has said so before. Not to find out
   is no failure: the savepoint is written. */
static sb_status
savepoint_check_kept(const job_env *env, const sb_savepoint_options *options,
                     sb_error *err)
{
  claim there;

  if (claim_read(env, savepoint_job(options->job), options->name, &there,
                 NULL) == SB_OK &&
      there.kind == CLAIM_REMOVAL)
    return sb_error_set(err, SB_BUSY, "savepoint \"%s\" is being removed",
                        options->name);
  return SB_OK;
}

sb_status
savepoint_write(const job_env *env, const sb_savepoint_options *options,
                sb_error *err)
{
  metadata m = {
    .id = options->id, .generation = 1,
    .created_ms = env->host->clock_ms(env->host),
    .parts = (sb_part *)options->parts,
    .part_count = (size_t)options->part_count, .blob = options->blob,
    .job_id = savepoint_job(options->job)
  };
  buf bytes;
  sb_status st = savepoint_check(options, err);

  if (st == SB_OK)
    st = savepoint_needs(env, options, &m, err);
  if (st != SB_OK)
    return st;
  buf_init(&bytes, env->host, METADATA_SIZE_MAX);
  st = metadata_encode(&m, &bytes);
  if (st != SB_OK)
    sb_error_set(err, st, "could not encode savepoint \"%s\": %s",
                 options->name, sb_status_name(st));
  else
    st = savepoint_put(env, options, &m, &bytes, err);
  if (st == SB_OK)
    st = savepoint_check_kept(env, options, err);
  buf_dispose(&bytes);
  return st;
}

/* ---- listing ------------------------------------------------------------ */

typedef struct savepoint_listing {
  const job_env *env;
  const char *job;
  names found;          /* names of savepoints */
} savepoint_listing;

static sb_status
savepoint_list_entry(void *arg, const sb_store_entry *entry, sb_error *err)
{
  savepoint_listing *l = arg;
  char name[PATH_PART_MAX + 1];
  const char *file = paths_parse_savepoint(l->env->paths, l->job, entry->name,
                                           name);

  (void)err;
  if (file != NULL && strcmp(file, SAVEPOINT_METADATA) == 0)
    names_add(&l->found, name, 0);
  return SB_OK;
}

static sb_status
savepoint_info(const job_env *env, const char *job, const char *name,
               sb_checkpoint_info *info, sb_error *err)
{
  metadata *m;
  uint64_t length;
  metadata_ref ref = { 0 };
  char *copy;
  sb_status st = savepoint_read(env, job, name, &m, &length, err);

  if (st != SB_OK)
    return st;
  ref.id = m->id;
  ref.generation = m->generation;
  ref.created_ms = m->created_ms;
  ref.size = m->size + length;
  ref.part_count = (uint32_t)m->part_count;
  metadata_free(env->host, m);
  copy = mem_strdup(env->host, name);
  if (copy == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory for a list of "
                        "savepoints");
  opened_info(&ref, copy, info);
  return SB_OK;
}

/* One that cannot be read does not hide the others. */
static sb_status
savepoint_list_fill(savepoint_listing *l, sb_checkpoint_info *list,
                    size_t *count, sb_error *err)
{
  const sb_host *host = l->env->host;
  sb_error why;
  sb_status st = SB_OK;
  size_t i;

  for (i = 0; st == SB_OK && i < l->found.count; i++) {
    st = savepoint_info(l->env, l->job, names_at(&l->found, i), &list[*count],
                        &why);
    *count += st == SB_OK;
    if (st == SB_CORRUPT || st == SB_UNSUPPORTED)
      host->log(host, SB_LOG_WARN, "savepoint", why.message);
    if (st == SB_NOT_FOUND || st == SB_CORRUPT || st == SB_UNSUPPORTED)
      st = SB_OK;
    if (st != SB_OK && err != NULL)
      *err = why;
  }
  return st;
}

sb_status
savepoint_list(const job_env *env, const char *job, sb_checkpoint_info **out,
               size_t *count, sb_error *err)
{
  savepoint_listing l = { env, savepoint_job(job), { .count = 0 } };
  sb_checkpoint_info *list = NULL;
  char prefix[PATH_SIZE];
  sb_status st;

  *out = NULL;
  *count = 0;
  names_init(&l.found, env->host);
  st = paths_savepoints_prefix(env->paths, l.job, prefix, err);
  if (st == SB_OK)
    st = store_list(env->host, env->store, prefix, NULL, savepoint_list_entry,
                    &l, err);
  names_sort(&l.found);
  if (st == SB_OK)
    list = mem_zalloc(env->host, l.found.count * sizeof *list);
  if (st == SB_OK && (list == NULL || l.found.status != SB_OK))
    st = sb_error_set(err, SB_NO_MEMORY, "no memory for a list of "
                      "savepoints");
  if (st == SB_OK)
    st = savepoint_list_fill(&l, list, count, err);
  names_dispose(&l.found);
  if (st == SB_OK) {
    *out = list;
  } else {
    job_list_free(env, list, *count);
    *count = 0;
  }
  return st;
}

/* ---- removing ----------------------------------------------------------- */

static sb_status
savepoint_names_entry(void *arg, const sb_store_entry *entry, sb_error *err)
{
  names *out = arg;
  const char *slash = strrchr(entry->name, '/');

  (void)err;
  if (strcmp(slash == NULL ? entry->name : slash + 1, CLAIM_FILE) != 0)
    names_add(out, entry->name, entry->size);
  return SB_OK;
}

sb_status
savepoint_names(const job_env *env, const char *job, const char *name,
                names *out, sb_error *err)
{
  char prefix[PATH_SIZE];
  sb_status st = paths_savepoint_prefix(env->paths, savepoint_job(job), name,
                                        prefix, err);

  if (st == SB_OK)
    st = store_list(env->host, env->store, prefix, NULL,
                    savepoint_names_entry, out, err);
  if (st == SB_OK && out->status != SB_OK)
    st = sb_error_set(err, out->status, "no memory for the names of savepoint "
                      "\"%s\"", name);
  return st;
}

sb_status
savepoint_remove_names(const job_env *env, const names *n, sb_error *err)
{
  const char **list = mem_alloc(env->host, n->count * sizeof *list);
  sb_status st;
  size_t i;

  if (list == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory to remove a savepoint");
  for (i = 0; i < n->count; i++)
    list[i] = names_at(n, i);
  st = store_remove(env->host, env->store, list, n->count, NULL, err);
  mem_free(env->host, list);
  return st;
}

/* _metadata goes first, and once more at the end, should somebody have written
   it meanwhile; CLAIMED goes last. */
static sb_status
savepoint_remove_claimed(const job_env *env, const char *job,
                         const char *name, const names *n, sb_error *err)
{
  char object[PATH_SIZE];
  const char *list[1] = { object };
  sb_status st;

  st = paths_savepoint_file(env->paths, job, name, SAVEPOINT_METADATA, object,
                            err);
  if (st == SB_OK)
    st = store_remove(env->host, env->store, list, 1, NULL, err);
  if (st == SB_OK)
    st = savepoint_remove_names(env, n, err);
  if (st == SB_OK)
    st = store_remove(env->host, env->store, list, 1, NULL, err);
  if (st == SB_OK)
    (void)claim_remove(env, job, name);
  return st;
}

sb_status
savepoint_remove(const job_env *env, const char *job, const char *name,
                 sb_error *err)
{
  claim removal = { .kind = CLAIM_REMOVAL }, there;
  names n;
  sb_status st;

  if (name == NULL || name[0] == '\0')
    return sb_error_set(err, SB_INVALID, "a savepoint needs a name");
  job = savepoint_job(job);
  names_init(&n, env->host);
  st = savepoint_names(env, job, name, &n, err);
  if (st == SB_OK && n.count == 0)
    st = claim_read(env, job, name, &there, err);
  if (st == SB_OK && n.count == 0 && there.kind == CLAIM_BY_JOB) {
    names_dispose(&n);
    return claim_remove(env, job, name); /* it is of what is gone */
  }
  if (st == SB_NOT_FOUND)
    sb_error_set(err, st, "job \"%s\" has no savepoint \"%s\"", job, name);
  if (st == SB_OK)
    st = claim_write(env, job, name, &removal, err);
  names_dispose(&n);
  names_init(&n, env->host);
  if (st == SB_OK)
    st = savepoint_names(env, job, name, &n, err);
  if (st == SB_OK)
    st = savepoint_remove_claimed(env, job, name, &n, err);
  names_dispose(&n);
  return st;
}
