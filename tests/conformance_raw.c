/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conformance: calls straight on the store's methods, and the cases that need
 * them. A completion must come just once, with a result that is sound.
 */
#include "config.h"

#include <stdatomic.h>
#include <string.h>

#include "tests/conformance.h"

typedef struct raw_wait {
  const sb_host *host;
  sb_event *event;
  atomic_int calls;
  int sound;
  sb_status status;
  uint64_t length;
  store_meta meta;
  sb_error error;
} raw_wait;

static void
raw_done(void *arg, const sb_store_result *result)
{
  raw_wait *wait = arg;

  wait->status = result->status;
  wait->length = result->length;
  wait->meta.size = result->size;
  memcpy(wait->meta.etag, result->etag, sizeof wait->meta.etag);
  wait->sound = (result->error == NULL) == (result->status == SB_OK)
                && result->struct_size >= sizeof *result
                && memchr(result->etag, '\0', sizeof result->etag) != NULL;
  if (result->error != NULL) {
    wait->error = *result->error;
    wait->sound &= result->error->status == result->status
                   && result->error->message[0] != '\0';
  }
  atomic_fetch_add(&wait->calls, 1);
  wait->host->event_set(wait->host, wait->event);
}

static void
raw_begin(conformance *c, raw_wait *wait, sb_request *request,
          uint32_t struct_size)
{
  memset(wait, 0, sizeof *wait);
  wait->host = c->host;
  wait->event = c->host->event_new(c->host);
  request->struct_size = struct_size;
  request->done = raw_done;
  request->arg = wait;
}

static sb_status
raw_end(conformance *c, raw_wait *wait, sb_status submitted, sb_error *error)
{
  if (submitted == SB_OK) {
    c->host->event_wait(c->host, wait->event, SB_NO_DEADLINE);
    expect(c, wait->sound, "a completion's result is not sound");
    *error = wait->error;
  } else {
    wait->status = submitted;
  }
  expect(c, atomic_load(&wait->calls) == (submitted == SB_OK),
         "a completion came %d times", atomic_load(&wait->calls));
  c->host->event_free(c->host, wait->event);
  return wait->status;
}

sb_status
raw_put(conformance *c, sb_put_request *request, sb_error *error)
{
  raw_wait wait;

  raw_begin(c, &wait, &request->base, sizeof *request);
  return raw_end(c, &wait, c->store->ops->put(c->store, request, NULL, error),
                 error);
}

sb_status
raw_get(conformance *c, sb_get_request *request, uint64_t *got,
        sb_error *error)
{
  raw_wait wait;
  sb_status status;

  raw_begin(c, &wait, &request->base, sizeof *request);
  status = raw_end(c, &wait,
                   c->store->ops->get(c->store, request, NULL, error), error);
  *got = wait.length;
  return status;
}

sb_status
raw_write(conformance *c, sb_stream *stream, sb_write_request *request,
          sb_error *error)
{
  raw_wait wait;

  raw_begin(c, &wait, &request->base, sizeof *request);
  return raw_end(c, &wait,
                 c->store->ops->put_write(c->store, stream, request, error),
                 error);
}

sb_status
raw_commit(conformance *c, sb_stream *stream, store_meta *meta,
           sb_error *error)
{
  sb_request request = { 0 };
  raw_wait wait;
  sb_status status;

  raw_begin(c, &wait, &request, sizeof request);
  status = raw_end(c, &wait,
                   c->store->ops->put_commit(c->store, stream, &request,
                                             error),
                   error);
  if (meta != NULL)
    *meta = wait.meta;
  return status;
}

sb_status
raw_abort(conformance *c, sb_stream *stream)
{
  sb_request request = { 0 };
  raw_wait wait;
  sb_error error;

  raw_begin(c, &wait, &request, sizeof request);
  return raw_end(c, &wait,
                 c->store->ops->put_abort(c->store, stream, &request, &error),
                 &error);
}
