/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building a change: the next view of what is retained and what is to be
 * deleted, and the _metadata that says so. docs/PROTOCOL.md 3.1 and 4 have the
 * rules.
 */
#include "config.h"

#include "host/base/crc.h"
#include "host/engine/job_state.h"
#include "host/engine/manifest.h"

#define CHANGE_TRIES 3 /* to write one _metadata */

/* ---- checkpoints and views ---------------------------------------------- */

static job_checkpoint *
checkpoint_new(const sb_host *host, const metadata_ref *ref)
{
  job_checkpoint *c = mem_zalloc(host, sizeof *c);
  char *name = mem_strdup(host, ref->name);

  if (c == NULL || name == NULL) {
    mem_free(host, c);
    mem_free(host, name);
    return NULL;
  }
  c->refs = 1;
  c->ref = *ref;
  c->ref.name = name;
  names_init(&c->names, host);
  return c;
}

static void
checkpoint_unref(const sb_host *host, job_checkpoint *c)
{
  if (c == NULL || --c->refs != 0)
    return;
  names_dispose(&c->names);
  mem_free(host, (char *)c->ref.name);
  mem_free(host, c);
}

void
view_dispose(const sb_host *host, job_view *view)
{
  size_t i;

  for (i = 0; i < view->count; i++)
    checkpoint_unref(host, view->retained[i]);
  mem_free(host, view->retained);
  names_dispose(&view->pending);
  memset(view, 0, sizeof *view);
}

static sb_status
view_init(const sb_host *host, job_view *view, size_t room, sb_error *err)
{
  memset(view, 0, sizeof *view);
  names_init(&view->pending, host);
  view->retained = mem_zalloc(host, room * sizeof (job_checkpoint *));
  if (view->retained == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "no memory for a list of checkpoints");
  return SB_OK;
}

static sb_status
view_add(const sb_host *host, job_view *view, const metadata_ref *ref,
         sb_error *err)
{
  job_checkpoint *c = checkpoint_new(host, ref);

  if (c == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory for checkpoint %llu",
                        (unsigned long long)ref->id);
  view->retained[view->count++] = c;
  return SB_OK;
}

sb_status
view_from_metadata(const sb_host *host, const metadata *m, const char *name,
                   uint64_t length, uint32_t crc, job_view *view,
                   sb_error *err)
{
  metadata_ref ref = {
    .id = m->id, .generation = m->generation, .created_ms = m->created_ms,
    .size = m->size + length, .length = length, .crc32c = crc,
    .part_count = (uint32_t)m->part_count, .name = name
  };
  sb_status st;
  size_t i;

  st = view_init(host, view, m->retained_count + 1, err);
  if (st == SB_OK)
    st = view_add(host, view, &ref, err);
  for (i = 0; st == SB_OK && i < m->retained_count; i++)
    st = view_add(host, view, &m->retained[i], err);
  for (i = 0; st == SB_OK && i < m->pending_count; i++)
    names_add(&view->pending, m->pending[i], 0);
  if (st == SB_OK && view->pending.status != SB_OK)
    st = sb_error_set(err, SB_NO_MEMORY, "no memory for the pending names");
  if (st != SB_OK)
    view_dispose(host, view);
  else
    names_sort(&view->pending);
  return st;
}

/* ---- what checkpoints name ---------------------------------------------- */

sb_status
change_part_names(const job_env *env, const sb_part *part, names *needs,
                  names *dropped, sb_error *err)
{
  manifest *m;
  sb_status st;
  size_t i;

  st = manifest_read(env->host, env->store, part, &m, err);
  if (st != SB_OK)
    return st;
  if (part->name != NULL)
    names_add(needs, part->name, part->length);
  for (i = 0; i < m->segment_count; i++)
    if (m->segments[i].root == NULL &&
        m->segments[i].owner == MANIFEST_OWNER_ENGINE)
      names_add(needs, m->segments[i].name, m->segments[i].info.size);
  for (i = 0; i < m->held_count; i++)
    names_add(needs, m->held[i], 0);
  for (i = 0; dropped != NULL && i < m->dropped_count; i++)
    names_add(dropped, m->dropped[i], 0);
  manifest_free(env->host, m);
  if (needs->status != SB_OK || (dropped != NULL && dropped->status != SB_OK))
    return sb_error_set(err, SB_NO_MEMORY, "no memory for a part's names");
  return SB_OK;
}

sb_status
change_metadata_names(const job_env *env, const metadata *m, names *needs,
                      sb_error *err)
{
  sb_status st = SB_OK;
  size_t i;

  for (i = 0; st == SB_OK && i < m->part_count; i++)
    st = change_part_names(env, &m->parts[i], needs, NULL, err);
  return st;
}

static sb_status
checkpoint_load(sb_job *job, job_checkpoint *c, const metadata *known,
                sb_error *err)
{
  metadata *read = NULL;
  sb_status st = SB_OK;

  if (known == NULL)
    st = metadata_read(job->env.host, job->env.store, c->ref.name,
                       c->ref.length, c->ref.crc32c, &read, err);
  names_dispose(&c->names);
  names_init(&c->names, job->env.host);
  names_add(&c->names, c->ref.name, c->ref.length);
  if (st == SB_OK)
    st = change_metadata_names(&job->env, known == NULL ? read : known,
                               &c->names, err);
  metadata_free(job->env.host, read);
  if (st != SB_OK)
    return st;
  names_sort(&c->names);
  c->known = 1;
  return SB_OK;
}

sb_status
view_load(sb_job *job, sb_error *err)
{
  sb_status first = SB_OK;
  size_t i;

  for (i = 0; i < job->view.count; i++) {
    sb_status st = SB_OK;

    if (!job->view.retained[i]->known)
      st = checkpoint_load(job, job->view.retained[i],
                           i == 0 ? job->newest : NULL,
                           first == SB_OK ? err : NULL);
    if (first == SB_OK)
      first = st;
  }
  return first;
}

/* ---- the next view ------------------------------------------------------ */

/* Only what this job's committers and handles write may ever be deleted, and
   what it has claimed, which the sweep asks the store about. */
static int
change_deletable(const sb_job *job, const char *name)
{
  path_info info = paths_parse(job->env.paths, job->path, name);
  path_place place;

  if (info.kind == PATH_OTHER)
    return paths_locate(job->env.paths, name, &place);
  return (info.kind == PATH_SEGMENT || info.kind == PATH_MANIFEST ||
          info.kind == PATH_METADATA) && info.generation <= job->generation;
}

static void
change_add_candidates(const sb_job *job, names *to, const names *from)
{
  size_t i;

  for (i = 0; i < from->count; i++)
    if (change_deletable(job, names_at(from, i)))
      names_add(to, names_at(from, i), 0);
  if (to->status == SB_OK)
    to->status = from->status;
}

static int
view_known(const job_view *view)
{
  size_t i;

  for (i = 0; i < view->count; i++)
    if (!view->retained[i]->known)
      return 0;
  return 1;
}

static int
view_has(const job_view *view, const job_checkpoint *c)
{
  size_t i;

  for (i = 0; i < view->count; i++)
    if (view->retained[i] == c)
      return 1;
  return 0;
}

/* Fills change->view.pending and change->waiting from what was dropped, what
   fell out, and what earlier changes left over. */
static sb_status
change_decide(sb_job *job, job_change *change, const names *dropped,
              sb_error *err)
{
  names *to = &change->waiting;
  job_view *view = &change->view;
  size_t i;

  change_add_candidates(job, to, &job->waiting);
  change_add_candidates(job, to, &job->garbage);
  change_add_candidates(job, to, dropped);
  for (i = 0; i < job->view.count; i++)
    if (!view_has(view, job->view.retained[i]))
      change_add_candidates(job, to, &job->view.retained[i]->names);
  names_add_all(&view->pending, &job->view.pending);
  if (view_known(view)) {
    names_add_all(&view->pending, to);
    to->count = 0;
  }
  if (to->status != SB_OK || view->pending.status != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY, "no memory for names to delete");
  names_sort(to);
  names_sort(&view->pending);
  for (i = 0; i < view->count; i++)
    names_subtract(&view->pending, &view->retained[i]->names);
  if (view->pending.count > JOB_PENDING_MAX)
    view->pending.count = JOB_PENDING_MAX;
  return SB_OK;
}

/* ---- writing ------------------------------------------------------------ */

static sb_status
change_put(sb_job *job, const char *name, const buf *bytes, sb_error *err)
{
  uint32_t flags = job->env.store_flags & SB_STORE_CREATE ? SB_PUT_CREATE : 0;
  sb_status st = SB_UNKNOWN;
  int tries;

  /* The name is random and the bytes are the same: if it exists after an
     unknown attempt, that attempt made it. */
  for (tries = 0; tries < CHANGE_TRIES && st == SB_UNKNOWN; tries++) {
    st = store_put(job->env.host, job->env.store, name, bytes->data,
                   bytes->len, flags, NULL, NULL, 0, NULL, SB_PRIORITY_COMMIT,
                   err);
    if (st == SB_EXISTS && tries > 0)
      st = SB_OK;
  }
  if (st == SB_UNKNOWN)
    st = sb_error_set(err, SB_IO, "could not write \"%s\": the store does not "
                      "say whether it did", name);
  return st;
}

/* The lists of a _metadata, which borrow from the view. */
static sb_status
change_fill_lists(sb_job *job, const job_view *view, metadata *m,
                  sb_error *err)
{
  const sb_host *host = job->env.host;
  size_t i;

  m->retained = mem_alloc(host, view->count * sizeof *m->retained);
  m->pending = mem_alloc(host, view->pending.count * sizeof *m->pending);
  if (m->retained == NULL || m->pending == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory for a _metadata");
  for (i = 1; i < view->count; i++)
    m->retained[m->retained_count++] = view->retained[i]->ref;
  for (i = 0; i < view->pending.count; i++)
    m->pending[m->pending_count++] = names_at(&view->pending, i);
  return SB_OK;
}

/* Encodes and writes `m` as view->retained[0], whose ref it completes. */
static sb_status
change_write(sb_job *job, job_change *change, metadata *m, sb_error *err)
{
  job_checkpoint *c = change->view.retained[0];
  buf bytes;
  sb_status st;

  buf_init(&bytes, job->env.host, METADATA_SIZE_MAX);
  m->job_id = job->head.head.job_id;
  st = change_fill_lists(job, &change->view, m, err);
  if (st == SB_OK) {
    st = metadata_encode(m, &bytes);
    if (st != SB_OK)
      sb_error_set(err, st, "could not encode \"%s\"", c->ref.name);
  }
  if (st == SB_OK) {
    c->ref.length = bytes.len;
    c->ref.crc32c = crc32c(bytes.data, bytes.len);
    c->ref.size = m->size + bytes.len;
    /* Should the change die, its object goes with a later one's candidates. */
    names_add(&job->garbage, c->ref.name, 0);
    if (job->garbage.status != SB_OK) {
      names_forgive(&job->garbage);
      st = sb_error_set(err, SB_NO_MEMORY, "no memory for a commit");
    }
  }
  if (st == SB_OK)
    st = change_put(job, c->ref.name, &bytes, err);
  buf_dispose(&bytes);
  mem_free(job->env.host, m->retained);
  mem_free(job->env.host, m->pending);
  return st;
}

void
change_free(sb_job *job, job_change *change)
{
  if (change == NULL)
    return;
  view_dispose(job->env.host, &change->view);
  names_dispose(&change->waiting);
  mem_free(job->env.host, change);
}

/* A change with a view of one new checkpoint and room for `room` more. */
static sb_status
change_new(sb_job *job, const metadata_ref *ref, size_t room,
           job_change **out, sb_error *err)
{
  const sb_host *host = job->env.host;
  job_change *change = mem_zalloc(host, sizeof *change);
  sb_status st;

  *out = change;
  if (change == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory for a commit");
  change->id = ref->id;
  names_init(&change->waiting, host);
  st = view_init(host, &change->view, room + 1, err);
  return st == SB_OK ? view_add(host, &change->view, ref, err) : st;
}

static void
change_keep(job_change *change, job_checkpoint *c)
{
  c->refs++;
  change->view.retained[change->view.count++] = c;
}

static uint64_t
change_names_size(const names *n)
{
  uint64_t size = 0;
  size_t i;

  for (i = 0; i < n->count; i++)
    size += names_number(n, i);
  return size;
}

static uint64_t
change_through(const sb_job *job, uint64_t otherwise)
{
  return job->follower == NULL ? otherwise
                               : job->follower->through(job->follower->arg);
}

/* ---- the two kinds ------------------------------------------------------ */

static sb_status
change_commit_fill(sb_job *job, const sb_commit_options *options,
                   job_change *change, names *dropped, sb_error *err)
{
  job_checkpoint *c = change->view.retained[0];
  metadata m = {
    .id = c->ref.id, .generation = c->ref.generation,
    .created_ms = c->ref.created_ms, .parts = (sb_part *)options->parts,
    .part_count = (size_t)options->part_count, .blob = options->blob,
    .entries_through = change_through(job, 0)
  };
  sb_status st = SB_OK;
  size_t i;

  for (i = 0; st == SB_OK && i < m.part_count; i++)
    st = change_part_names(&job->env, &m.parts[i], &c->names, dropped, err);
  if (st != SB_OK)
    return st;
  names_sort(&c->names);
  m.size = change_names_size(&c->names);
  names_add(&c->names, c->ref.name, 0);
  names_sort(&c->names);
  if (c->names.status != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY, "no memory for a commit's names");
  c->known = 1;
  for (i = 0; i < job->view.count && i + 1 < job->retain; i++)
    change_keep(change, job->view.retained[i]);
  names_add_all(dropped, &job->claimed);
  st = change_decide(job, change, dropped, err);
  return st == SB_OK ? change_write(job, change, &m, err) : st;
}

static void
change_enlist(sb_job *job, job_change *change, job_change **out)
{
  change->next = job->changes;
  job->changes = change;
  *out = change;
}

sb_status
change_commit(sb_job *job, const sb_commit_options *options, job_change **out,
              sb_error *err)
{
  const sb_host *host = job->env.host;
  char name[PATH_SIZE];
  metadata_ref ref = {
    .id = options->id, .generation = job->generation, .name = name,
    .created_ms = host->clock_ms(host),
    .part_count = (uint32_t)options->part_count
  };
  job_change *change = NULL;
  names dropped;
  sb_status st;

  *out = NULL;
  names_init(&dropped, host);
  (void)view_load(job, NULL);
  st = paths_metadata(job->env.paths, job->path, ref.id, job->generation,
                      host->random(host), name, err);
  if (st == SB_OK)
    st = change_new(job, &ref, job->view.count, &change, err);
  if (st == SB_OK)
    st = change_commit_fill(job, options, change, &dropped, err);
  names_dispose(&dropped);
  if (st == SB_OK)
    change_enlist(job, change, out);
  else
    change_free(job, change);
  return st;
}

/* The newest checkpoint once more, under a new name and without `removes` in
   its list. */
static sb_status
change_remove_fill(sb_job *job, const metadata *m, job_change *change,
                   sb_error *err)
{
  job_checkpoint *c = change->view.retained[0];
  metadata copy = *m;
  names dropped;
  sb_status st;
  size_t i;

  names_init(&dropped, job->env.host);
  names_add(&c->names, c->ref.name, 0);
  st = change_metadata_names(&job->env, m, &c->names, err);
  if (st == SB_OK && c->names.status != SB_OK)
    st = sb_error_set(err, SB_NO_MEMORY, "no memory for a checkpoint's names");
  names_sort(&c->names);
  c->known = st == SB_OK;
  for (i = 1; i < job->view.count; i++)
    if (job->view.retained[i]->ref.id != change->removes)
      change_keep(change, job->view.retained[i]);
  copy.retained_count = copy.pending_count = 0;
  copy.entries_through = change_through(job, m->entries_through);
  if (st == SB_OK)
    st = change_decide(job, change, &dropped, err);
  if (st == SB_OK)
    st = change_write(job, change, &copy, err);
  names_dispose(&dropped);
  return st;
}

sb_status
change_remove(sb_job *job, uint64_t id, job_change **out, sb_error *err)
{
  const sb_host *host = job->env.host;
  const metadata_ref *newest = &job->view.retained[0]->ref;
  char name[PATH_SIZE];
  metadata_ref ref = *newest;
  metadata *m = NULL;
  job_change *change = NULL;
  sb_status st;

  *out = NULL;
  (void)view_load(job, NULL);
  ref.name = name;
  st = metadata_read(host, job->env.store, newest->name, newest->length,
                     newest->crc32c, &m, err);
  if (st == SB_OK)
    st = paths_metadata(job->env.paths, job->path, ref.id, job->generation,
                        host->random(host), name, err);
  if (st == SB_OK)
    st = change_new(job, &ref, job->view.count, &change, err);
  if (st == SB_OK) {
    change->removes = id;
    st = change_remove_fill(job, m, change, err);
  }
  metadata_free(host, m);
  if (st == SB_OK)
    change_enlist(job, change, out);
  else
    change_free(job, change);
  return st;
}
