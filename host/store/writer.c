/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A large object written in pieces, blocking. A writer owns one stream of the
 * store and one completion; each piece waits for the one before.
 */
#include "config.h"

#include <string.h>

#include "host/base/mem.h"
#include "host/store/wait.h"

struct store_writer {
  const sb_host *host;
  sb_store *store;
  sb_stream *stream;
  uint32_t priority;
  sb_status status;  /* of the first add that failed */
  store_wait wait;
  char name[SB_OBJECT_NAME_MAX + 1];
};

static void
writer_free(store_writer *w)
{
  const sb_host *host = w->host;

  store_wait_dispose(&w->wait);
  mem_free(host, w);
}

sb_status
store_writer_open(const sb_host *host, sb_store *s, const char *name,
                  uint64_t size_hint, uint32_t priority, store_writer **out,
                  sb_error *err)
{
  sb_stream_request request = { .struct_size = sizeof request,
                                .priority = priority, .name = name,
                                .size_hint = size_hint };
  store_writer *w;
  sb_status status = store_name_check(name, err);

  *out = NULL;
  if (status != SB_OK)
    return status;
  w = mem_zalloc(host, sizeof *w);
  if (w == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not put object \"%.300s\": out of memory",
                        name);
  w->host = host;
  w->store = s;
  w->priority = priority;
  strcpy(w->name, name);
  status = store_wait_init(&w->wait, host, err);
  if (status == SB_OK) {
    sb_request unused;

    store_wait_prepare(&w->wait, &unused, sizeof unused, priority);
    status = s->ops->put_open(s, &request, &w->stream, &w->wait.error);
    if (status != SB_OK)
      status = store_wait_end(&w->wait, status, "put object", name, err);
  }
  if (status != SB_OK)
    writer_free(w);
  else
    *out = w;
  return status;
}

sb_status
store_writer_add(store_writer *w, const void *data, uint64_t len,
                 sb_error *err)
{
  sb_slice body = sb_slice_of(data, (size_t)len);
  sb_write_request request = { .body = &body, .body_count = 1 };
  sb_status status;

  if (w->status != SB_OK)
    return sb_error_set(err, w->status,
                        "could not put object \"%.300s\": an earlier part "
                        "failed", w->name);
  if (len == 0)
    return SB_OK;
  store_wait_prepare(&w->wait, &request.base, sizeof request, w->priority);
  status = w->store->ops->put_write(w->store, w->stream, &request,
                                    &w->wait.error);
  w->status = store_wait_end(&w->wait, status, "put object", w->name, err);
  return w->status;
}

sb_status
store_writer_commit(store_writer *w, store_meta *out, sb_error *err)
{
  sb_request request = { 0 };
  sb_status submitted;
  sb_status status = w->status;

  if (status != SB_OK) {
    sb_error_set(err, status,
                 "could not put object \"%.300s\": an earlier part failed",
                 w->name);
    store_writer_abort(w);
    return status;
  }
  store_wait_prepare(&w->wait, &request, sizeof request, w->priority);
  submitted = w->store->ops->put_commit(w->store, w->stream, &request,
                                        &w->wait.error);
  status = store_wait_end(&w->wait, submitted, "put object", w->name, err);
  if (status == SB_OK && out != NULL)
    *out = w->wait.meta;
  /* A commit that was not even taken has left the stream open. */
  if (submitted != SB_OK)
    store_writer_abort(w);
  else
    writer_free(w);
  return status;
}

void
store_writer_abort(store_writer *w)
{
  sb_request request = { 0 };
  sb_status status;

  if (w == NULL)
    return;
  store_wait_prepare(&w->wait, &request, sizeof request, w->priority);
  status = w->store->ops->put_abort(w->store, w->stream, &request,
                                    &w->wait.error);
  (void)store_wait_end(&w->wait, status, "abort putting object", w->name,
                       NULL);
  writer_free(w);
}
