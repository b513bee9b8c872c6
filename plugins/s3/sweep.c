/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sweep: gives up the uploads in parts that nobody will complete. The store
 * only lists them; whose they are, the caller knows by their names.
 *
 * MinIO lists the uploads of exactly the object that `prefix` names, and, with
 * an empty one, those of the bucket that were begun since it was started. So
 * there the bucket is listed and the prefix looked for here. What it has
 * forgotten MinIO gives up itself, 24 hours later by default.
 */
#include "config.h"

#include <string.h>

#include "plugins/s3/call.h"
#include "plugins/s3/uri.h"

#define SWEEP_PARALLEL 8u
#define SWEEP_PAGES_MAX 1000u

typedef struct sweep_slot {
  s3_call call;
  s3_buf query;
  int busy;
} sweep_slot;

typedef struct sweep_op {
  s3_op op;
  s3_call list;
  s3_buf query;
  s3_xml_uploads page;
  size_t next;              /* upload of the page */
  const char *prefix;
  int whole;                /* the whole bucket is listed */
  uint64_t found;           /* uploads listed, of all pages */
  char *key, *upload;       /* marks of where the page began; NULL: none */
  uint32_t pages, busy;
  int listing, stepping;
  sb_sweep_fn *dead;
  void *dead_arg;
  sb_status status;         /* the first failure */
  sweep_slot slots[SWEEP_PARALLEL];
} sweep_op;

static void
sweep_free(s3_op *op)
{
  sweep_op *sweep = (sweep_op *)op;
  const sb_host *host = op->store->host;
  size_t i;

  s3_call_dispose(&sweep->list);
  s3_buf_free(&sweep->query);
  s3_xml_uploads_free(host, &sweep->page);
  s3_free(host, sweep->key);
  s3_free(host, sweep->upload);
  for (i = 0; i < SWEEP_PARALLEL; i++) {
    s3_call_dispose(&sweep->slots[i].call);
    s3_buf_free(&sweep->slots[i].query);
  }
}

static void
sweep_fail(sweep_op *sweep, sb_status status, const char *reason)
{
  if (sweep->status != SB_OK)
    return;
  sweep->status = sb_fail(&sweep->op.error, status,
                          "could not sweep uploads under \"%.150s\": %.300s",
                          sweep->prefix, reason);
}

static void sweep_step(sweep_op *sweep);

/* ---- giving up ---------------------------------------------------------- */

static void
sweep_given_up(s3_call *call)
{
  sweep_op *sweep = (sweep_op *)call->op;
  sweep_slot *slot = call->arg;

  slot->busy = 0;
  sweep->busy--;
  if (call->status == SB_OK)
    sweep->op.result.size++;
  else if (call->answer.http != 404)
    sweep_fail(sweep, call->status, call->error.message);
  sweep_step(sweep);
}

static void
sweep_give_up(sweep_op *sweep, sweep_slot *slot, const s3_xml_upload *upload)
{
  s3_call *call = &slot->call;

  s3_buf_clear(&slot->query);
  s3_buf_text(&slot->query, "uploadId=");
  s3_uri_encode(&slot->query, upload->upload_id, 0);
  if (slot->query.failed) {
    sweep_fail(sweep, SB_NO_MEMORY, "out of memory");
    return;
  }
  s3_call_dispose(call);
  memset(call, 0, sizeof *call);
  slot->busy = 1;
  sweep->busy++;
  call->op = &sweep->op;
  call->kind = S3_KIND_UPLOAD_ABORT;
  call->method = "DELETE";
  call->key = upload->key;
  call->query = s3_buf_string(&slot->query);
  call->done = sweep_given_up;
  call->arg = slot;
  s3_call_start(call);
}

/* The next upload of the page that is to be given up; NULL: no more. */
static const s3_xml_upload *
sweep_next(sweep_op *sweep)
{
  while (sweep->next < sweep->page.count) {
    const s3_xml_upload *upload = &sweep->page.uploads[sweep->next++];

    if (strncmp(upload->key, sweep->prefix, strlen(sweep->prefix)) == 0
        && sweep->dead(sweep->dead_arg, upload->key))
      return upload;
  }
  return NULL;
}

/* ---- listing ------------------------------------------------------------ */

static int
sweep_same(const char *a, const char *b)
{
  return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* The marks of the next page, which must not be those of this one. */
static int
sweep_turn_page(sweep_op *sweep)
{
  const sb_host *host = sweep->op.store->host;

  if (++sweep->pages >= SWEEP_PAGES_MAX || sweep->page.next_key == NULL
      || (sweep_same(sweep->page.next_key, sweep->key)
          && sweep_same(sweep->page.next_upload, sweep->upload))) {
    sweep_fail(sweep, SB_IO, "the server's listing has no end");
    return 0;
  }
  s3_free(host, sweep->key);
  s3_free(host, sweep->upload);
  sweep->key = sweep->page.next_key;
  sweep->upload = sweep->page.next_upload;
  sweep->page.next_key = sweep->page.next_upload = NULL;
  return 1;
}

static void
sweep_listed(s3_call *call)
{
  sweep_op *sweep = (sweep_op *)call->op;
  const sb_host *host = sweep->op.store->host;
  sb_error error;
  sb_status status;

  sweep->listing = 0;
  s3_xml_uploads_free(host, &sweep->page);
  memset(&sweep->page, 0, sizeof sweep->page);
  sweep->next = 0;
  if (call->status != SB_OK) {
    sweep_fail(sweep, call->status, call->error.message);
  } else {
    status = s3_xml_read_uploads(host, s3_buf_string(&call->text),
                                 call->text.len, &sweep->page, &error);
    if (status != SB_OK)
      sweep_fail(sweep, status == SB_CORRUPT ? SB_IO : status, error.message);
  }
  sweep->found += sweep->page.count;
  sweep_step(sweep);
}

static void
sweep_list(sweep_op *sweep)
{
  s3_call *call = &sweep->list;
  s3_buf *query = &sweep->query;

  s3_buf_clear(query);
  s3_buf_text(query, "uploads=&encoding-type=url&max-uploads=1000&prefix=");
  s3_uri_encode(query, sweep->whole ? "" : sweep->prefix, 0);
  if (sweep->key != NULL) {
    s3_buf_text(query, "&key-marker=");
    s3_uri_encode(query, sweep->key, 0);
  }
  if (sweep->key != NULL && sweep->upload != NULL) {
    s3_buf_text(query, "&upload-id-marker=");
    s3_uri_encode(query, sweep->upload, 0);
  }
  if (query->failed) {
    sweep_fail(sweep, SB_NO_MEMORY, "out of memory");
    return;
  }
  s3_call_dispose(call);
  memset(call, 0, sizeof *call);
  sweep->listing = 1;
  call->op = &sweep->op;
  call->kind = S3_KIND_UPLOAD_LIST;
  call->flags = S3_CALL_TEXT;
  call->method = "GET";
  call->query = s3_buf_string(query);
  call->done = sweep_listed;
  s3_call_start(call);
}

/* 1 if the listing said nothing although there may be something. */
static int
sweep_must_list_whole(const sweep_op *sweep)
{
  return !sweep->whole && sweep->found == 0 && sweep->prefix[0] != '\0'
         && strncmp(sweep->list.answer.server, "MinIO", 5) == 0;
}

/* Every change of state leads here. */
static void
sweep_step(sweep_op *sweep)
{
  const s3_xml_upload *upload;
  uint32_t i;

  if (sweep->stepping || sweep->listing)
    return;
  sweep->stepping = 1;
  for (i = 0; i < SWEEP_PARALLEL && sweep->status == SB_OK; i++)
    if (!sweep->slots[i].busy) {
      upload = sweep_next(sweep);
      if (upload == NULL)
        break;
      sweep_give_up(sweep, &sweep->slots[i], upload);
    }
  sweep->stepping = 0;
  if (sweep->busy > 0)
    return;
  if (sweep->status == SB_OK && sweep->page.truncated) {
    if (sweep_turn_page(sweep))
      sweep_list(sweep);
  } else if (sweep->status == SB_OK && sweep_must_list_whole(sweep)) {
    sweep->whole = 1;
    s3_free(sweep->op.store->host, sweep->key);
    s3_free(sweep->op.store->host, sweep->upload);
    sweep->key = sweep->upload = NULL;
    sweep_list(sweep);
  }
  if (!sweep->listing)
    s3_op_end(&sweep->op, sweep->status);
}

static void
sweep_start(s3_op *op)
{
  sweep_op *sweep = (sweep_op *)op;

  sweep_list(sweep);
  if (!sweep->listing)
    s3_op_end(op, sweep->status);
}

/* ---- the method --------------------------------------------------------- */

sb_status
s3_sweep(sb_store *base, const sb_sweep_request *request, uint64_t *id,
         sb_error *err)
{
  s3_store *store = (s3_store *)base;
  sweep_op *sweep;
  size_t i;

  if (request->prefix == NULL || request->dead == NULL
      || strlen(request->prefix) > SB_OBJECT_NAME_MAX)
    return sb_fail(err, SB_INVALID,
                   "could not sweep uploads: no prefix, a too long one, or "
                   "nobody to ask");
  sweep = (sweep_op *)s3_op_new(store, sizeof *sweep,
                                s3_text_size(request->prefix), &request->base,
                                sweep_start);
  if (sweep == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not sweep uploads under \"%.300s\": out of memory",
                   request->prefix);
  sweep->op.free = sweep_free;
  sweep->prefix = sweep->op.name = s3_op_text(&sweep->op, request->prefix);
  sweep->dead = request->dead;
  sweep->dead_arg = request->dead_arg;
  sweep->query = s3_buf_of(store->host);
  for (i = 0; i < SWEEP_PARALLEL; i++)
    sweep->slots[i].query = s3_buf_of(store->host);
  return s3_op_submit(&sweep->op, id, err);
}
