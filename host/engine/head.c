/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and swapping HEAD; see head.h. */
#include "config.h"

#include "host/engine/envelope.h"
#include "host/engine/head.h"

#define HEAD_MAGIC "SBhd"
#define HEAD_VERSION 1u
#define HEAD_READS 4 /* tries to read what is being replaced meanwhile */

/* ---- bytes -------------------------------------------------------------- */

void
head_encode(const head *h, buf *out)
{
  size_t start = envelope_begin(out, HEAD_MAGIC, HEAD_VERSION);

  buf_u64(out, h->generation);
  buf_u64(out, h->sequence);
  buf_u64(out, h->owner);
  buf_u64(out, h->nonce);
  buf_u64(out, h->checkpoint_id);
  buf_u64(out, h->metadata_len);
  buf_u32(out, h->metadata_crc);
  envelope_add_str(out, h->job_id);
  envelope_add_str(out, h->metadata);
  envelope_end(out, start);
}

sb_status
head_decode(const void *data, size_t len, head *out, sb_error *err)
{
  const char *job_id, *metadata;
  reader body;
  head h = { 0 };
  sb_status st;

  st = envelope_open(data, len, HEAD_MAGIC, HEAD_VERSION, "HEAD", &body, err);
  if (st != SB_OK)
    return st;
  h.generation = reader_u64(&body);
  h.sequence = reader_u64(&body);
  h.owner = reader_u64(&body);
  h.nonce = reader_u64(&body);
  h.checkpoint_id = reader_u64(&body);
  h.metadata_len = reader_u64(&body);
  h.metadata_crc = reader_u32(&body);
  job_id = envelope_str(&body, HEAD_JOB_ID_MAX);
  metadata = envelope_str(&body, SB_OBJECT_NAME_MAX);
  if (body.bad || reader_left(&body) != 0 || h.generation == 0 ||
      h.sequence == 0 || (h.checkpoint_id == 0) != (metadata[0] == '\0'))
    return sb_error_set(err, SB_CORRUPT, "HEAD has impossible contents");
  memcpy(h.job_id, job_id, strlen(job_id) + 1);
  memcpy(h.metadata, metadata, strlen(metadata) + 1);
  *out = h;
  return SB_OK;
}

static int
head_is_row(const job_env *env)
{
  return (env->store_flags & SB_STORE_MATCH) == 0;
}

/* ---- reading ------------------------------------------------------------ */

static sb_status
head_fetch(const job_env *env, const char *name, head_version *out,
           sb_error *err)
{
  uint8_t bytes[HEAD_SIZE_MAX];
  store_meta meta;
  uint64_t got = 0;
  sb_error why;
  sb_status st;
  int tries;

  memset(&meta, 0, sizeof meta);
  /* A damaged answer is asked for again once: the object may be whole. */
  for (tries = 0; tries < 2; tries++) {
    st = store_get(env->host, env->store, name, 0, bytes, sizeof bytes, &got,
                   &meta, SB_PRIORITY_COMMIT, err);
    if (st == SB_OK) {
      st = head_decode(bytes, (size_t)got, &out->head, &why);
      if (st != SB_OK)
        (void)sb_error_set(err, st, "could not read \"%s\": %s", name,
                           why.message);
    }
    if (st != SB_CORRUPT)
      break;
  }
  if (st == SB_OK)
    memcpy(out->etag, meta.etag, sizeof out->etag);
  return st;
}

typedef struct head_row {
  const job_env *env;
  const char *job;
  uint64_t highest;
  int found;
} head_row;

static sb_status
head_row_entry(void *arg, const sb_store_entry *entry, sb_error *err)
{
  head_row *row = arg;
  path_info info = paths_parse(row->env->paths, row->job, entry->name);

  (void)err;
  if (info.kind == PATH_HEAD_NUMBERED) {
    row->highest = info.id;
    row->found = 1;
  }
  return SB_OK;
}

/* The highest number after `after` (0: of all); found: is there one? */
static sb_status
head_row_highest(const job_env *env, const char *job, uint64_t after,
                 head_row *row, sb_error *err)
{
  char prefix[PATH_SIZE], start[PATH_SIZE];
  sb_status st;

  *row = (head_row){ env, job, 0, 0 };
  st = paths_heads_prefix(env->paths, job, prefix, err);
  if (st == SB_OK)
    st = paths_head_numbered(env->paths, job, after, start, err);
  if (st == SB_OK)
    st = store_list(env->host, env->store, prefix, after == 0 ? NULL : start,
                    head_row_entry, row, err);
  return st;
}

static sb_status
head_read_row(const job_env *env, const char *job, head_version *out,
              sb_error *err)
{
  char name[PATH_SIZE];
  head_row row;
  sb_status st = SB_OK;
  int tries;

  /* Between the listing and the GET the row may go on and be trimmed. */
  for (tries = 0; tries < HEAD_READS; tries++) {
    st = head_row_highest(env, job, 0, &row, err);
    if (st != SB_OK)
      return st;
    if (!row.found)
      return sb_error_set(err, SB_NOT_FOUND, "job \"%s\" has no HEAD", job);
    st = paths_head_numbered(env->paths, job, row.highest, name, err);
    if (st == SB_OK)
      st = head_fetch(env, name, out, err);
    out->number = row.highest;
    if (st != SB_NOT_FOUND)
      return st;
  }
  return sb_error_set(err, SB_BUSY, "HEAD of job \"%s\" changes too fast to "
                      "be read", job);
}

sb_status
head_read(const job_env *env, const char *job, head_version *out,
          sb_error *err)
{
  char name[PATH_SIZE];
  sb_status st;

  memset(out, 0, sizeof *out);
  if (head_is_row(env))
    return head_read_row(env, job, out, err);
  st = paths_head(env->paths, job, name, err);
  return st == SB_OK ? head_fetch(env, name, out, err) : st;
}

/* ---- swapping ----------------------------------------------------------- */

static sb_status
head_put(const job_env *env, const char *name, const head *to, uint32_t flags,
         const char *if_match, store_meta *meta, sb_error *err)
{
  buf bytes;
  sb_status st;

  buf_init(&bytes, env->host, HEAD_SIZE_MAX);
  head_encode(to, &bytes);
  st = bytes.status;
  if (st != SB_OK)
    sb_error_set(err, st, "could not encode HEAD \"%s\"", name);
  else
    st = store_put(env->host, env->store, name, bytes.data, bytes.len, flags,
                   if_match, NULL, 0, meta, SB_PRIORITY_COMMIT, err);
  buf_dispose(&bytes);
  /* A missing object does not match, and a taken name does not either. */
  return st == SB_EXISTS || st == SB_NOT_FOUND ? SB_CONFLICT : st;
}

/* A create that succeeded counts only if the row has not gone on: its number
   may have been used and trimmed long ago. */
static sb_status
head_swap_row(const job_env *env, const char *job, uint64_t number,
              const head *to, sb_error *err)
{
  char name[PATH_SIZE];
  store_meta meta;
  head_row row;
  sb_status st;

  st = paths_head_numbered(env->paths, job, number, name, err);
  if (st == SB_OK)
    st = head_put(env, name, to, SB_PUT_CREATE, NULL, &meta, err);
  if (st != SB_OK)
    return st;
  if (head_row_highest(env, job, number, &row, err) != SB_OK)
    return SB_UNKNOWN;
  return row.found ? SB_CONFLICT : SB_OK;
}

/* For stores that do not tell a put's etag. */
static void
head_learn_etag(const job_env *env, const char *name, head_version *out)
{
  head_version now;

  memset(&now, 0, sizeof now);
  if (head_fetch(env, name, &now, NULL) == SB_OK &&
      now.head.nonce == out->head.nonce)
    memcpy(out->etag, now.etag, sizeof out->etag);
}

sb_status
head_swap(const job_env *env, const char *job, const head_version *from,
          const head *to, head_version *out, sb_error *err)
{
  char name[PATH_SIZE];
  head_version next = { .head = *to };
  store_meta meta;
  sb_status st;

  memset(&meta, 0, sizeof meta);
  next.number = from == NULL ? 1 : from->number + 1;
  if (head_is_row(env)) {
    st = head_swap_row(env, job, next.number, to, err);
    if (st == SB_OK)
      *out = next;
    return st;
  }
  st = paths_head(env->paths, job, name, err);
  if (st != SB_OK)
    return st;
  /* Without an etag there is nothing to compare with: the caller reads. */
  if (from != NULL && from->etag[0] == '\0')
    return SB_CONFLICT;
  st = head_put(env, name, to, from == NULL ? SB_PUT_CREATE : 0,
                from == NULL ? NULL : from->etag, &meta, err);
  if (st != SB_OK)
    return st;
  memcpy(next.etag, meta.etag, sizeof next.etag);
  if (next.etag[0] == '\0')
    head_learn_etag(env, name, &next);
  *out = next;
  return SB_OK;
}

/* ---- the rest ----------------------------------------------------------- */

typedef struct head_fresh {
  const job_env *env;
  const char *job;
} head_fresh;

static sb_status
head_fresh_entry(void *arg, const sb_store_entry *entry, sb_error *err)
{
  const head_fresh *fresh = arg;
  path_info info = paths_parse(fresh->env->paths, fresh->job, entry->name);

  if (info.kind == PATH_METADATA)
    return sb_error_set(err, SB_CORRUPT, "job \"%s\" has checkpoint \"%s\" "
                        "but no HEAD: HEAD was lost", fresh->job, entry->name);
  if (info.kind == PATH_HEAD || info.kind == PATH_HEAD_NUMBERED)
    return sb_error_set(err, SB_MISMATCH, "\"%s\" shows that job \"%s\" was "
                        "written %s If-Match, which must not change",
                        entry->name, fresh->job,
                        info.kind == PATH_HEAD ? "with" : "without");
  return SB_OK;
}

sb_status
head_check_fresh(const job_env *env, const char *job, sb_error *err)
{
  head_fresh fresh = { env, job };
  char prefix[PATH_SIZE];
  sb_status st;

  st = paths_checkpoints_prefix(env->paths, job, prefix, err);
  if (st != SB_OK)
    return st;
  return store_list(env->host, env->store, prefix, NULL, head_fresh_entry,
                    &fresh, err);
}

#define HEAD_TRIM_MAX 64u

typedef struct head_old {
  const job_env *env;
  const char *job;
  uint64_t number;
  char (*list)[PATH_SIZE];
  size_t count;
} head_old;

static sb_status
head_trim_entry(void *arg, const sb_store_entry *entry, sb_error *err)
{
  head_old *old = arg;
  path_info info = paths_parse(old->env->paths, old->job, entry->name);

  (void)err;
  if (info.kind != PATH_HEAD_NUMBERED || info.id >= old->number ||
      old->count == HEAD_TRIM_MAX)
    return SB_END;
  memcpy(old->list[old->count++], entry->name, strlen(entry->name) + 1);
  return SB_OK;
}

void
head_trim(const job_env *env, const char *job, uint64_t number)
{
  head_old old = { env, job, number, NULL, 0 };
  const char *names[HEAD_TRIM_MAX];
  char prefix[PATH_SIZE];
  size_t i;

  if (!head_is_row(env) ||
      paths_heads_prefix(env->paths, job, prefix, NULL) != SB_OK)
    return;
  old.list = mem_alloc(env->host, HEAD_TRIM_MAX * sizeof *old.list);
  if (old.list == NULL)
    return;
  (void)store_list(env->host, env->store, prefix, NULL, head_trim_entry, &old,
                   NULL);
  for (i = 0; i < old.count; i++)
    names[i] = old.list[i];
  if (old.count != 0)
    (void)store_remove(env->host, env->store, names, old.count, NULL, NULL);
  mem_free(env->host, old.list);
}
