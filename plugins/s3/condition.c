/* SPDX-License-Identifier: Apache-2.0 */
/* Conditional writes and how they are settled; see condition.h. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "plugins/s3/condition.h"

#define CONDITION_META_PREFIX "x-amz-meta-"

/* ---- checking ----------------------------------------------------------- */

static sb_status
condition_meta_text_check(const char *key, const sb_meta *meta, sb_error *err)
{
  const char *p;

  if (meta->key == NULL || meta->value == NULL || meta->key[0] == '\0')
    return sb_fail(err, SB_INVALID,
                   "could not put object \"%.300s\": metadata lacks a key or "
                   "value", key);
  for (p = meta->key; *p != '\0'; p++)
    if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-'))
      return sb_fail(err, SB_INVALID,
                     "could not put object \"%.300s\": metadata key "
                     "\"%.60s\" may only have a-z, 0-9 and -", key, meta->key);
  for (p = meta->value; *p != '\0'; p++)
    if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
      return sb_fail(err, SB_INVALID,
                     "could not put object \"%.300s\": metadata value of "
                     "\"%.60s\" may only have printable ASCII", key,
                     meta->key);
  if (strcmp(meta->key, S3_META_NONCE) == 0)
    return sb_fail(err, SB_INVALID,
                   "could not put object \"%.300s\": metadata key \"%s\" is "
                   "the store's own", key, S3_META_NONCE);
  return SB_OK;
}

static sb_status
condition_meta_check(const char *key, const sb_meta *meta, uint64_t count,
                     sb_error *err)
{
  uint64_t total = 0;
  uint64_t i;

  if (count > S3_META_COUNT_MAX)
    return sb_fail(err, SB_TOO_LARGE,
                   "could not put object \"%.300s\": more than %u metadata",
                   key, S3_META_COUNT_MAX);
  for (i = 0; i < count; i++) {
    sb_status status = condition_meta_text_check(key, &meta[i], err);

    if (status != SB_OK)
      return status;
    total += strlen(meta[i].key) + strlen(meta[i].value);
  }
  if (total > SB_META_MAX)
    return sb_fail(err, SB_TOO_LARGE,
                   "could not put object \"%.300s\": metadata has over %u "
                   "bytes", key, SB_META_MAX);
  return SB_OK;
}

sb_status
s3_condition_check(const s3_store *store, const char *key, uint32_t flags,
                   const char *if_match, const sb_meta *meta,
                   uint64_t meta_count, sb_error *err)
{
  if ((flags & ~SB_PUT_CREATE) != 0)
    return sb_fail(err, SB_INVALID,
                   "could not put object \"%.300s\": unknown flags 0x%x", key,
                   flags);
  if (flags != 0 && if_match != NULL)
    return sb_fail(err, SB_INVALID,
                   "could not put object \"%.300s\": create-only and match "
                   "conditions exclude each other", key);
  if (if_match != NULL
      && (if_match[0] == '\0' || strlen(if_match) > SB_ETAG_MAX))
    return sb_fail(err, SB_INVALID,
                   "could not put object \"%.300s\": entity tag is empty or "
                   "too long", key);
  if (flags != 0 && (store->info.flags & SB_STORE_CREATE) == 0)
    return sb_fail(err, SB_UNSUPPORTED,
                   "could not put object \"%.300s\": the server does not "
                   "honour create-only puts", key);
  if (if_match != NULL && (store->info.flags & SB_STORE_MATCH) == 0)
    return sb_fail(err, SB_UNSUPPORTED,
                   "could not put object \"%.300s\": the server does not "
                   "honour match conditions of puts", key);
  return condition_meta_check(key, meta, meta_count, err);
}

/* ---- headers ------------------------------------------------------------ */

size_t
s3_condition_size(const char *if_match, const sb_meta *meta,
                  uint64_t meta_count)
{
  size_t size = s3_text_size(if_match);
  uint64_t i;

  for (i = 0; i < meta_count; i++)
    size += sizeof CONDITION_META_PREFIX + s3_text_size(meta[i].key)
            + s3_text_size(meta[i].value);
  return size;
}

static void
condition_draw_nonce(s3_condition *c, const sb_host *host)
{
  (void)snprintf(c->nonce, sizeof c->nonce, "%016llx%016llx",
                 (unsigned long long)host->random(host),
                 (unsigned long long)host->random(host));
}

void
s3_condition_init(s3_condition *c, s3_op *op, const char *key, uint32_t flags,
                  const char *if_match, const sb_meta *meta,
                  uint64_t meta_count)
{
  char name[sizeof CONDITION_META_PREFIX + SB_META_MAX];
  uint64_t i;

  memset(c, 0, sizeof *c);
  c->key = key;
  c->flags = flags;
  c->if_match = s3_op_text(op, if_match);
  for (i = 0; i < meta_count; i++) {
    (void)snprintf(name, sizeof name, CONDITION_META_PREFIX "%s",
                   meta[i].key);
    c->meta[i].name = s3_op_text(op, name);
    c->meta[i].value = s3_op_text(op, meta[i].value);
  }
  c->meta_count = (size_t)meta_count;
}

void
s3_condition_add_meta(s3_condition *c, s3_call *call, int nonce)
{
  size_t i;

  for (i = 0; i < c->meta_count; i++)
    s3_call_header(call, c->meta[i].name, c->meta[i].value);
  if (!nonce && !s3_condition_asked(c))
    return;
  if (c->nonce[0] == '\0')
    condition_draw_nonce(c, call->op->store->host);
  s3_call_header(call, CONDITION_META_PREFIX S3_META_NONCE, c->nonce);
  c->nonce_sent = 1;
}

void
s3_condition_add_test(const s3_condition *c, s3_call *call)
{
  if ((c->flags & SB_PUT_CREATE) != 0)
    s3_call_header(call, "if-none-match", "*");
  if (c->if_match != NULL)
    s3_call_header(call, "if-match", c->if_match);
}

/* ---- settling ----------------------------------------------------------- */

typedef struct condition_look {
  s3_call call;
  const char *nonce;
  sb_status otherwise;      /* for all but our own write */
  int ambiguous;            /* ... but needs another one's object as a proof */
  s3_settle_fn *fn;
} condition_look;

/* The next pair of texts from *at on; 0 at the end. */
static int
condition_next_meta(const s3_buf *meta, size_t *at, sb_meta *out)
{
  if (*at >= meta->len)
    return 0;
  out->key = meta->data + *at;
  *at += strlen(out->key) + 1;
  if (*at >= meta->len)
    return 0;
  out->value = meta->data + *at;
  *at += strlen(out->value) + 1;
  return 1;
}

static int
condition_is_ours(const s3_buf *meta, const char *nonce)
{
  sb_meta pair;
  size_t at = 0;

  while (condition_next_meta(meta, &at, &pair))
    if (strcmp(pair.key, S3_META_NONCE) == 0)
      return strcmp(pair.value, nonce) == 0;
  return 0;
}

sb_status
s3_meta_view(const s3_buf *meta, sb_meta **out, uint64_t *count)
{
  sb_meta pair;
  size_t at = 0;
  size_t pairs = 0;

  *out = NULL;
  *count = 0;
  while (condition_next_meta(meta, &at, &pair))
    pairs++;
  if (pairs == 0)
    return SB_OK;
  *out = s3_alloc(meta->host, pairs * sizeof pair);
  if (*out == NULL)
    return SB_NO_MEMORY;
  at = 0;
  while (condition_next_meta(meta, &at, &pair))
    if (strcmp(pair.key, S3_META_NONCE) != 0)
      (*out)[(*count)++] = pair;
  return SB_OK;
}

static sb_status
condition_seen(s3_op *op, const condition_look *look)
{
  const s3_call *call = &look->call;

  if (call->status == SB_OK
      && condition_is_ours(&call->answer.meta, look->nonce))
    return SB_OK;
  if (call->status == SB_OK && call->answer.meta.failed
      && look->otherwise != SB_OK)
    return sb_fail(&op->error, SB_UNKNOWN,
                   "could not find out whether object \"%.300s\" was written: "
                   "out of memory", call->key);
  if (look->ambiguous && call->status != SB_OK)
    return sb_fail(&op->error, SB_UNKNOWN,
                   "could not find out whether object \"%.300s\" was written: "
                   "an answer was lost, and then: %.150s", call->key,
                   call->error.message);
  return look->otherwise;
}

static void
condition_looked(s3_call *call)
{
  condition_look *look = call->arg;
  s3_settle_fn *fn = look->fn;
  s3_op *op = call->op;
  sb_status status = condition_seen(op, look);
  char etag[SB_ETAG_MAX + 1];

  memcpy(etag, call->answer.etag, sizeof etag);
  s3_call_dispose(call);
  s3_free(op->store->host, look);
  fn(op, status, status == SB_OK ? etag : "");
}

static condition_look *
condition_look_new(s3_op *op, const char *key, const char *nonce,
                   s3_settle_fn *fn)
{
  condition_look *look = s3_alloc(op->store->host, sizeof *look);

  if (look == NULL)
    return NULL;
  look->nonce = nonce;
  look->fn = fn;
  look->call.op = op;
  look->call.kind = S3_KIND_HEAD;
  look->call.flags = S3_CALL_CUSTOMER_KEY;
  look->call.method = "HEAD";
  look->call.key = key;
  look->call.done = condition_looked;
  look->call.arg = look;
  return look;
}

static void
condition_settle(s3_condition *c, s3_op *op, sb_status otherwise,
                 int ambiguous, s3_settle_fn *fn)
{
  condition_look *look = op->cancelled || !c->nonce_sent
                           ? NULL
                           : condition_look_new(op, c->key, c->nonce, fn);

  if (look == NULL) {
    fn(op, ambiguous ? SB_UNKNOWN : otherwise, "");
    return;
  }
  look->ambiguous = ambiguous;
  look->otherwise = otherwise;
  s3_call_start(&look->call);
}

void
s3_condition_settle(s3_condition *c, s3_op *op, sb_status otherwise,
                    s3_settle_fn *fn)
{
  condition_settle(c, op, otherwise, 0, fn);
}

/* ---- deciding ----------------------------------------------------------- */

sb_status
s3_condition_refuse(const s3_condition *c, s3_op *op)
{
  if (c->if_match == NULL)
    return sb_fail(&op->error, SB_EXISTS,
                   "could not create object \"%.300s\": it exists", c->key);
  return sb_fail(&op->error, SB_CONFLICT,
                 "could not replace object \"%.300s\": it is not the version "
                 "%.100s any more", c->key, c->if_match);
}

/* A match put of what is not there is refused with 404 by Amazon. */
static int
condition_is_refusal(const s3_condition *c, const s3_call *call)
{
  if (!s3_condition_asked(c))
    return 0;
  if (call->answer.http == 412 || call->answer.http == 304)
    return 1;
  if (strcmp(call->code, "PreconditionFailed") == 0)
    return 1;
  return c->if_match != NULL && call->answer.http == 404
         && strcmp(call->code, "NoSuchKey") == 0;
}

/*
 * The object of another writer says nothing sure about a match put whose
 * answer was lost: ours may have stood there in between. A create-only put
 * cannot take effect any more once another one's object is there, and objects
 * that are created so are never removed and created again by others.
 */
void
s3_condition_decide(s3_condition *c, s3_op *op, const s3_call *call,
                    s3_settle_fn *fn)
{
  sb_status status = call->status;

  if (status == SB_OK) {
    fn(op, SB_OK, call->answer.etag);
    return;
  }
  op->error = call->error;
  if (condition_is_refusal(c, call)) {
    status = s3_condition_refuse(c, op);
    if (call->ambiguous && c->if_match != NULL)
      status = sb_fail(&op->error, SB_UNKNOWN,
                       "could not find out whether object \"%.300s\" was "
                       "replaced: an answer was lost, and it is another one "
                       "now", c->key);
    condition_settle(c, op, status, call->ambiguous, fn);
  } else if (status == SB_UNKNOWN) {
    condition_settle(c, op, status, 0, fn);
  } else if (call->ambiguous
             && (status == SB_CONFLICT || status == SB_NOT_FOUND)) {
    fn(op, sb_fail(&op->error, SB_UNKNOWN,
                   "could not find out whether object \"%.200s\" was "
                   "written: an answer was lost, and then: %.200s", c->key,
                   call->error.message), "");
  } else {
    fn(op, status, "");
  }
}
