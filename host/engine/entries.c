/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeping entries in step with the commits of a job; see entries.h.
 *
 * What the objects on the store agree with is one of these:
 * - exactly with checkpoint B: then the keys in which the new one differs from
 *   B are written;
 * - key by key with B or its successor C, because a writer has ended somewhere
 *   between them: then the keys in which the new one differs from either;
 * - with nothing known: then all keys are looked at, and a listing tells which
 *   objects are too many.
 * As objects never change and differences are found by comparing segments, it
 * does not matter whether the new checkpoint descends from B: a roll-back is a
 * difference like any other.
 */
#include "config.h"

#include <stdio.h>

#include "host/engine/entries.h"
#include "host/engine/entries_name.h"
#include "host/engine/entries_pass.h"
#include "host/engine/job_state.h"

#define ENTRIES_BASES 2
#define PASS_KEEP_MAX ((size_t)1 << 20) /* of a buffer, between keys */

/* A checkpoint that a predecessor's entries are of. */
typedef struct entries_left {
  metadata_ref ref;        /* ref.name is owned */
} entries_left;

typedef struct entries {
  job_follower follower;
  engine *engine;
  sb_job *job;
  entries_base *base;      /* what the entries agree with exactly, or NULL */
  entries_left left[ENTRIES_BASES]; /* if not that: one or the other */
  size_t left_count;       /* 0 without a base: nothing is known */
  int fresh;               /* the job had no checkpoint */
  int stopped;             /* a higher generation writes entries */
  char root[PATH_SIZE];
} entries;

/* ---- one key ------------------------------------------------------------ */

sb_status
pass_name(entries_pass *p, keyed *k, const record *key, entries_about *about,
          sb_error *err)
{
  const state *s = keyed_state_by_id(k, key->state);
  sb_status status;

  if (!p->has_dir || p->state != key->state) {
    status = entries_dir(p->operator_id, s->name, p->dir, &p->dir_hashed, err);
    if (status != SB_OK)
      return status;
    p->has_dir = 1;
    p->state = key->state;
  }
  memset(about, 0, sizeof *about);
  about->key_group = key->key_group;
  about->key = key->key;
  about->ns = key->ns;
  about->state = s->name;
  about->state_hashed = p->dir_hashed;
  return entries_name(p->root, p->dir, key->key_group, key->key, key->ns,
                      p->engine->paths.extension, p->name, &about->hashed,
                      err);
}

static int
pass_differs(const entries_value *a, const entries_value *b)
{
  if (!a->present && !b->present)
    return 0;
  return a->present != b->present || a->kind != b->kind ||
         a->size != b->size || a->expires_ms != b->expires_ms ||
         strcmp(a->sum, b->sum) != 0;
}

/* `was`: what the entry says, NULL if that is not known. */
static sb_status
pass_key(entries_pass *p, keyed *k, const record *key,
         const entries_value *was, sb_error *err)
{
  entries_about about;
  sb_status status;

  if (was != NULL && !pass_differs(&p->value, was))
    return SB_OK;
  status = pass_name(p, k, key, &about, err);
  if (status == SB_TOO_LARGE) {
    p->unnamed++;
    return SB_OK;
  }
  if (status != SB_OK)
    return status;
  if (about.hashed && p->hashed.bytes.host != NULL && p->value.present)
    names_add(&p->hashed, p->name, 0);
  if (p->value.present)
    entries_pump_put(&p->pump, p->name, &p->value, &about,
                     was == NULL ? p->fresh : !was->present);
  else
    entries_pump_remove(&p->pump, p->name);
  return p->pump.status;
}

/* The body at hand counts; a large one's memory is not kept. */
static void
pass_charge(entries_pass *p)
{
  engine *e = p->engine;

  if (p->value.body.cap > p->charged)
    engine_charge(e, p->value.body.cap - p->charged);
  else
    engine_release(e, p->charged - p->value.body.cap);
  p->charged = p->value.body.cap;
}

static void
pass_trim(entries_pass *p)
{
  const sb_host *host = p->engine->host;

  if (p->value.body.cap > PASS_KEEP_MAX) {
    buf_dispose(&p->value.body);
    buf_init(&p->value.body, host, (size_t)SB_VALUE_MAX + 65536);
  }
  pass_charge(p);
}

/* ---- one operator ------------------------------------------------------- */

typedef struct pass_group {
  entries_pass *pass;
  keyed *newer, *older[ENTRIES_BASES];
  size_t older_count;
  uint64_t since_ms, was_ms; /* was_ms: the exact base's */
  int exact;
} pass_group;

static sb_status
group_keys(pass_group *g, entries_walk *w, sb_error *err)
{
  entries_pass *p = g->pass;
  entries_reader now, then;
  entries_value was = { .body_max = 0 };
  sb_status status;
  size_t i;

  memset(&then, 0, sizeof then);
  status = entries_reader_open(&now, g->newer, w->key_group, p->now->now_ms, 1,
                               err);
  if (status == SB_OK && g->exact)
    status = entries_reader_open(&then, g->older[0], w->key_group, g->was_ms,
                                 1, err);
  while (status == SB_OK && (status = entries_walk_next(w, err)) == SB_OK) {
    keyed *k = g->newer;

    status = entries_read(&now, &w->key, ENTRIES_BODY, &p->value, err);
    pass_charge(p);
    if (status == SB_OK && g->exact)
      status = entries_read(&then, &w->key, ENTRIES_SUM, &was, err);
    for (i = 0; i < g->older_count; i++)
      if (k == NULL || keyed_state_by_id(k, w->key.state) == NULL)
        k = g->older[i];
    if (status == SB_OK)
      status = pass_key(p, k, &w->key, g->exact ? &was : NULL, err);
    pass_trim(p);
  }
  entries_reader_close(&now);
  entries_reader_close(&then);
  return status == SB_END ? SB_OK : status;
}

static sb_status
group_run(pass_group *g, uint32_t key_group, sb_error *err)
{
  entries_pass *p = g->pass;
  entries_walk w;
  sb_status status = entries_walk_open(&w, g->newer, g->older, g->older_count,
                                       key_group, g->since_ms,
                                       p->now->now_ms, err);

  if (status == SB_OK && w.count != 0)
    status = group_keys(g, &w, err);
  entries_walk_close(&w, p->engine->host);
  return status;
}

static sb_status
pass_operator(entries_pass *p, const char *operator_id,
              entries_base *const *bases, size_t count, int exact,
              sb_error *err)
{
  pass_group g = { .pass = p, .older_count = count, .exact = exact };
  uint32_t groups, i;
  sb_status status = SB_OK;
  size_t j;

  p->operator_id = operator_id;
  p->has_dir = 0;
  g.newer = entries_base_find(p->now, operator_id);
  groups = g.newer == NULL ? 0 : g.newer->key_group_count;
  for (j = 0; j < count; j++) {
    g.older[j] = entries_base_find(bases[j], operator_id);
    if (g.older[j] != NULL && g.older[j]->key_group_count > groups)
      groups = g.older[j]->key_group_count;
    if (j == 0 || bases[j]->now_ms < g.since_ms)
      g.since_ms = bases[j]->now_ms;
  }
  g.was_ms = count == 0 ? 0 : bases[0]->now_ms;
  for (i = 0; i < groups && status == SB_OK; i++)
    status = group_run(&g, i, err);
  return status;
}

/* Every operator that any of the checkpoints has, once. */
static sb_status
pass_operators(entries_pass *p, entries_base *const *bases, size_t count,
               int exact, sb_error *err)
{
  sb_status status = SB_OK;
  size_t i, j, before;

  for (i = 0; i < p->now->count && status == SB_OK; i++)
    status = pass_operator(p, p->now->operators[i].operator_id, bases, count,
                           exact, err);
  for (j = 0; j < count; j++)
    for (i = 0; i < bases[j]->count && status == SB_OK; i++) {
      const char *id = bases[j]->operators[i].operator_id;
      int seen = entries_base_find(p->now, id) != NULL;

      for (before = 0; before < j; before++)
        seen |= entries_base_find(bases[before], id) != NULL;
      if (!seen)
        status = pass_operator(p, id, bases, count, exact, err);
    }
  return status;
}

/* ---- passes ------------------------------------------------------------- */

/* What of a body is kept: values of any size that a put allows. */
static size_t
pass_body_max(const engine *e)
{
  size_t most = e->memory_limit / 4;

  return most < SB_VALUE_MAX ? most : SB_VALUE_MAX;
}

static void
pass_count(const entries_pass *p)
{
  const sb_host *host = p->engine->host;
  const entries_pump *pump = &p->pump;

  host->metric_add(host, "engine.entries.puts", (int64_t)pump->puts);
  host->metric_add(host, "engine.entries.heads", (int64_t)pump->heads);
  host->metric_add(host, "engine.entries.removed", (int64_t)pump->removed);
  host->metric_add(host, "engine.entries.unchanged",
                   (int64_t)pump->unchanged);
  host->metric_add(host, "engine.entries.unnamed", (int64_t)p->unnamed);
}

static sb_status
entries_run(entries *n, const entries_base *now, entries_base *const *bases,
            size_t count, int exact, sb_error *err)
{
  engine *e = n->engine;
  entries_pass *p = mem_zalloc(e->host, sizeof *p);
  sb_status status, finished;

  if (p == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not write entries: no "
                        "memory");
  p->engine = e;
  p->root = n->root;
  p->now = now;
  p->fresh = n->fresh;
  buf_init(&p->value.body, e->host, (size_t)SB_VALUE_MAX + 65536);
  p->value.body_max = pass_body_max(e);
  if (count == 0)
    names_init(&p->hashed, e->host);
  status = entries_pump_init(&p->pump, e, n->job, n->job->generation, now->id,
                             err);
  if (status == SB_OK)
    status = pass_operators(p, bases, count, exact, err);
  if (status == SB_OK && count == 0)
    status = whole_remove(p, err);
  if (p->pump.event != NULL) {
    finished = entries_pump_finish(&p->pump, status == SB_OK ? err : NULL);
    status = status == SB_OK ? finished : status;
    pass_count(p);
    entries_pump_dispose(&p->pump);
  }
  names_dispose(&p->hashed);
  buf_dispose(&p->value.body);
  engine_release(e, p->charged);
  mem_free(e->host, p);
  return status;
}

/* ---- what a predecessor has left ---------------------------------------- */

static void
entries_forget_left(entries *n)
{
  size_t i;

  for (i = 0; i < n->left_count; i++)
    mem_free(n->engine->host, (char *)n->left[i].ref.name);
  n->left_count = 0;
}

static sb_status
left_open(entries *n, const metadata_ref *ref, entries_base **out,
          sb_error *err)
{
  engine *e = n->engine;
  metadata *m;
  sb_status status = metadata_read(e->host, e->store, ref->name, ref->length,
                                   ref->crc32c, &m, err);

  if (status != SB_OK)
    return status;
  status = entries_base_open(e, n->job->path, m->id, m->created_ms, m->parts,
                             m->part_count, out, err);
  metadata_free(e->host, m);
  return status;
}

/* From the predecessor's checkpoints, as far as they can still be read. */
static sb_status
entries_run_left(entries *n, entries_base *now, sb_error *err)
{
  entries_base *bases[ENTRIES_BASES] = { NULL, NULL };
  size_t i, count = n->left_count;
  sb_status status = SB_OK;

  for (i = 0; i < count && status == SB_OK; i++)
    status = left_open(n, &n->left[i].ref, &bases[i], err);
  if (status == SB_OK && bases[count - 1]->now_ms > now->now_ms)
    now->now_ms = bases[count - 1]->now_ms;
  if (status == SB_OK)
    status = entries_run(n, now, bases, count, count == 1, err);
  for (i = 0; i < count; i++)
    entries_base_close(n->engine, bases[i]);
  return status;
}

static sb_status
left_add(entries *n, const metadata_ref *ref)
{
  entries_left *left = &n->left[n->left_count];

  left->ref = *ref;
  left->ref.name = mem_strdup(n->engine->host, ref->name);
  if (left->ref.name == NULL)
    return SB_NO_MEMORY;
  n->left_count++;
  return SB_OK;
}

/* The newest checkpoint says up to which one the entries had been brought
   before it; they may or may not have been brought up to itself. */
static sb_status
entries_find_left(entries *n)
{
  const sb_job *job = n->job;
  const metadata *m = job->newest;
  const job_view *view = &job->view;
  size_t i = 0;
  sb_status status;

  n->fresh = view->count == 0;
  if (m == NULL || view->count == 0 || m->entries_through == 0)
    return SB_OK;
  while (i < view->count && view->retained[i]->ref.id != m->entries_through)
    i++;
  if (i == view->count)
    return SB_OK;
  status = left_add(n, &view->retained[i]->ref);
  if (status == SB_OK && i != 0)
    status = left_add(n, &view->retained[0]->ref);
  return status;
}

/* ---- following ---------------------------------------------------------- */

static uint64_t
entries_through(void *arg)
{
  const entries *n = arg;

  return n->base == NULL ? 0 : n->base->id;
}

static void
entries_log(const entries *n, uint64_t id, const sb_error *err)
{
  const sb_host *host = n->engine->host;
  sb_error line;

  (void)sb_error_set(&line, err->status, "entries do not follow checkpoint "
                     "%llu of job \"%s\" yet: %.300s", (unsigned long long)id,
                     n->job->path, err->message);
  host->log(host, SB_LOG_WARN, "engine", line.message);
}

static sb_status
entries_update(entries *n, entries_base *now, sb_error *err)
{
  sb_status status;

  if (n->base != NULL) {
    entries_base_share(now, n->base);
    if (n->base->now_ms > now->now_ms)
      now->now_ms = n->base->now_ms; /* the clock went back */
    status = entries_run(n, now, &n->base, 1, 1, err);
  } else if (n->left_count != 0) {
    status = entries_run_left(n, now, err);
  } else {
    status = SB_CORRUPT;
  }
  /* Of what one of them needs something may have been deleted. */
  if (status == SB_CORRUPT || status == SB_NOT_FOUND ||
      status == SB_MISMATCH)
    status = entries_run(n, now, NULL, 0, 0, err);
  return status;
}

static void
entries_committed(void *arg, const sb_commit_options *options)
{
  entries *n = arg;
  engine *e = n->engine;
  entries_base *now = NULL;
  sb_error err = { 0 };
  sb_status status;

  if (n->stopped || (n->base != NULL && n->base->id == options->id))
    return;
  status = entries_base_open(e, n->job->path, options->id,
                             n->job->view.retained[0]->ref.created_ms,
                             options->parts, (size_t)options->part_count, &now,
                             &err);
  if (status == SB_OK)
    status = entries_update(n, now, &err);
  if (now != NULL && n->base != NULL)
    entries_base_leave(n->base, now);
  entries_base_close(e, n->base);
  n->base = NULL;
  entries_forget_left(n);
  n->fresh = 0;
  if (status == SB_OK) {
    n->base = now;
    return;
  }
  entries_base_close(e, now);
  n->stopped = status == SB_FENCED;
  if (err.message[0] == '\0')
    (void)sb_error_set(&err, status, "%s", sb_status_name(status));
  entries_log(n, options->id, &err);
}

static void
entries_close(void *arg)
{
  entries *n = arg;

  entries_base_close(n->engine, n->base);
  entries_forget_left(n);
  mem_free(n->engine->host, n);
}

sb_status
entries_follow(engine *e, sb_job *job, sb_error *err)
{
  entries *n = mem_zalloc(e->host, sizeof *n);
  sb_status status;

  if (n == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not take the job over: no "
                        "memory");
  n->engine = e;
  n->job = job;
  n->follower = (job_follower){ entries_through, entries_committed,
                                entries_close, n };
  status = entries_root(&e->paths, job->path, n->root, err);
  if (status == SB_OK) {
    status = entries_find_left(n);
    if (status != SB_OK)
      (void)sb_error_set(err, status, "could not take the job over: no "
                         "memory");
  }
  if (status == SB_OK)
    job->follower = &n->follower;
  else
    entries_close(n);
  return status;
}
