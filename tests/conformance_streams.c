/* SPDX-License-Identifier: Apache-2.0 */
/* conformance: objects written in pieces, and operations side by side. */
#include "config.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/conformance.h"

#define STREAM_PIECE 300000u
#define STREAM_PARALLEL 64u

static void
stream_write(conformance *c)
{
  const char *name = at(c, "stream/small");
  store_writer *w;
  store_meta meta, head;
  sb_error error;
  sb_status status = store_writer_open(c->host, c->store, name, 0, 0, &w,
                                       &error);

  if (!expect_status(c, status, SB_OK, &error, "open a stream"))
    return;
  status = store_writer_add(w, "one ", 4, &error);
  expect_status(c, status, SB_OK, &error, "write");
  must_lack(c, name);
  status = store_writer_add(w, "two ", 4, &error);
  expect_status(c, status, SB_OK, &error, "write");
  status = store_writer_add(w, "three", 5, &error);
  expect_status(c, status, SB_OK, &error, "write");
  must_lack(c, name);
  status = store_writer_commit(w, &meta, &error);
  expect_status(c, status, SB_OK, &error, "commit");
  must_have(c, name, "one two three");
  status = store_head(c->host, c->store, name, &head, &error);
  expect(c, status == SB_OK && meta.size == 13 && head.size == 13
            && strcmp(meta.etag, head.etag) == 0,
         "size or tag of a stream's object are wrong");
}

static void
stream_empty(conformance *c)
{
  const char *name = at(c, "stream/empty");
  store_writer *w;
  sb_error error;
  sb_status status = store_writer_open(c->host, c->store, name, 0, 0, &w,
                                       &error);

  if (!expect_status(c, status, SB_OK, &error, "open a stream"))
    return;
  status = store_writer_commit(w, NULL, &error);
  expect_status(c, status, SB_OK, &error, "commit of nothing");
  must_have(c, name, "");
}

static void
stream_abort(conformance *c)
{
  const char *name = at(c, "stream/aborted");
  store_writer *w;
  sb_error error;
  sb_status status = store_writer_open(c->host, c->store, name, 0, 0, &w,
                                       &error);

  if (!expect_status(c, status, SB_OK, &error, "open a stream"))
    return;
  status = store_writer_add(w, "bytes", 5, &error);
  expect_status(c, status, SB_OK, &error, "write");
  store_writer_abort(w);
  must_lack(c, name);
  must_put(c, name, "old", NULL);
  status = store_writer_open(c->host, c->store, name, 0, 0, &w, &error);
  if (!expect_status(c, status, SB_OK, &error, "open a stream"))
    return;
  store_writer_abort(w);
  must_have(c, name, "old");
}

/* Several parts long; read back by ranges. */
static void
stream_large(conformance *c)
{
  const char *name = at(c, "stream/large");
  uint64_t part = store_info(c->store)->part_size;
  uint64_t size = (part == 0 || part > (8u << 20) ? 8u << 20 : part) * 2
                  + 12345;
  uint8_t *data = malloc(2 * STREAM_PIECE);
  store_writer *w;
  uint64_t done;
  sb_error error;
  sb_status status = store_writer_open(c->host, c->store, name, size, 0, &w,
                                       &error);

  for (done = 0; status == SB_OK && done < size; done += STREAM_PIECE) {
    uint64_t some = size - done < STREAM_PIECE ? size - done : STREAM_PIECE;

    fill_pattern(data, done, some, 7);
    status = store_writer_add(w, data, some, &error);
    memset(data, 0xee, some);
  }
  if (status == SB_OK)
    status = store_writer_commit(w, NULL, &error);
  expect_status(c, status, SB_OK, &error, "large object");
  for (done = 0; status == SB_OK && done < size; done += STREAM_PIECE) {
    uint64_t some = size - done < STREAM_PIECE ? size - done : STREAM_PIECE;
    uint64_t got = 0;

    fill_pattern(data, done, some, 7);
    status = store_get(c->host, c->store, name, done, data + STREAM_PIECE,
                       STREAM_PIECE, &got, NULL, 0, &error);
    expect_status(c, status, SB_OK, &error, "get of a part");
    if (!expect(c, got == some && memcmp(data, data + STREAM_PIECE, some) == 0,
                "large object differs near %llu", (unsigned long long)done))
      break;
  }
  free(data);
}

static sb_stream *
stream_open(conformance *c, const char *name, uint32_t flags, const char *etag,
            const sb_meta *meta, uint64_t meta_count)
{
  sb_stream_request request = { .struct_size = sizeof request, .name = name,
                                .flags = flags, .if_match = etag,
                                .meta = meta, .meta_count = meta_count };
  sb_stream *stream = NULL;
  sb_error error;
  sb_status status = c->store->ops->put_open(c->store, &request, &stream,
                                             &error);

  expect_status(c, status, SB_OK, &error, "open a stream");
  return stream;
}

static sb_status
stream_put(conformance *c, const char *name, const char *text, uint32_t flags,
           const char *etag, sb_error *error)
{
  sb_slice body = sb_slice_of(text, strlen(text));
  sb_write_request request = { .body = &body, .body_count = 1 };
  sb_stream *stream = stream_open(c, name, flags, etag, NULL, 0);
  sb_status status;

  if (stream == NULL)
    return SB_IO;
  status = raw_write(c, stream, &request, error);
  expect_status(c, status, SB_OK, error, "write");
  return raw_commit(c, stream, NULL, error);
}

static void
stream_conditions(conformance *c)
{
  const char *name = at(c, "stream/conditions");
  store_meta meta;
  sb_error error;
  sb_status status;

  if ((c->flags & SB_STORE_CREATE) != 0) {
    status = stream_put(c, name, "first", SB_PUT_CREATE, NULL, &error);
    expect_status(c, status, SB_OK, &error, "create-only stream");
    status = stream_put(c, name, "second", SB_PUT_CREATE, NULL, &error);
    expect_status(c, status, SB_EXISTS, &error, "create-only stream, again");
    must_have(c, name, "first");
  }
  if ((c->flags & SB_STORE_MATCH) != 0) {
    must_put(c, name, "third", &meta);
    status = stream_put(c, name, "fourth", 0, meta.etag, &error);
    expect_status(c, status, SB_OK, &error, "match stream");
    status = stream_put(c, name, "fifth", 0, meta.etag, &error);
    expect_status(c, status, SB_CONFLICT, &error, "match stream, old tag");
    must_have(c, name, "fourth");
  }
  if ((c->flags & (SB_STORE_CREATE | SB_STORE_MATCH)) == 0)
    c->skipped = "no conditions";
}

static void
stream_metadata(conformance *c)
{
  const char *name = at(c, "stream/metadata");
  sb_meta meta = { "kind", "stream" };
  sb_stream *stream = stream_open(c, name, 0, NULL, &meta, 1);
  char *value = NULL;
  sb_error error;

  if (stream == NULL)
    return;
  expect_status(c, raw_commit(c, stream, NULL, &error), SB_OK, &error,
                "commit");
  expect_status(c, store_head_meta(c->host, c->store, name, "kind", NULL,
                                   &value, &error),
                SB_OK, &error, "head");
  expect(c, value != NULL && strcmp(value, "stream") == 0,
         "a stream's metadata is lost");
  if (value != NULL)
    (void)c->host->alloc(c->host, value, 0);
  stream = stream_open(c, at(c, "stream/gone"), 0, NULL, NULL, 0);
  if (stream != NULL)
    expect_status(c, raw_abort(c, stream), SB_OK, NULL, "abort");
  must_lack(c, at(c, "stream/gone"));
}

/* ---- many at once ------------------------------------------------------- */

typedef struct parallel {
  const sb_host *host;
  sb_event *event;
  atomic_uint left;
  atomic_uint failed;
} parallel;

static void
parallel_done(void *arg, const sb_store_result *result)
{
  parallel *p = arg;

  if (result->status != SB_OK)
    atomic_fetch_add(&p->failed, 1);
  if (atomic_fetch_sub(&p->left, 1) == 1)
    p->host->event_set(p->host, p->event);
}

static void
parallel_wait(conformance *c, parallel *p, const char *what)
{
  c->host->event_wait(c->host, p->event, SB_NO_DEADLINE);
  expect(c, atomic_load(&p->failed) == 0, "%u of %u %s failed",
         atomic_load(&p->failed), STREAM_PARALLEL, what);
}

static void
stream_parallel(conformance *c)
{
  static char names[STREAM_PARALLEL][128];
  static uint8_t data[STREAM_PARALLEL][3000];
  static sb_slice body[STREAM_PARALLEL];
  uint8_t want[3000];
  parallel p = { .host = c->host, .event = c->host->event_new(c->host) };
  unsigned i;

  atomic_store(&p.left, STREAM_PARALLEL);
  for (i = 0; i < STREAM_PARALLEL; i++) {
    sb_put_request put = { .base = { .struct_size = sizeof put,
                                     .done = parallel_done, .arg = &p } };

    (void)snprintf(names[i], sizeof names[i], "%sparallel/%u", c->prefix, i);
    fill_pattern(data[i], 0, sizeof data[i], i);
    body[i] = sb_slice_of(data[i], sizeof data[i]);
    put.name = names[i];
    put.body = &body[i];
    put.body_count = 1;
    if (c->store->ops->put(c->store, &put, NULL, NULL) != SB_OK)
      parallel_done(&p, &(sb_store_result){ .status = SB_IO });
  }
  parallel_wait(c, &p, "puts");
  memset(data, 0, sizeof data);
  atomic_store(&p.left, STREAM_PARALLEL);
  for (i = 0; i < STREAM_PARALLEL; i++) {
    sb_get_request get = { .base = { .struct_size = sizeof get,
                                     .done = parallel_done, .arg = &p } };

    get.name = names[i];
    get.length = sizeof data[i];
    get.buffer = data[i];
    if (c->store->ops->get(c->store, &get, NULL, NULL) != SB_OK)
      parallel_done(&p, &(sb_store_result){ .status = SB_IO });
  }
  parallel_wait(c, &p, "gets");
  for (i = 0; i < STREAM_PARALLEL; i++) {
    fill_pattern(want, 0, sizeof want, i);
    expect(c, memcmp(want, data[i], sizeof want) == 0,
           "object %u reads back other than written", i);
  }
  c->host->event_free(c->host, p.event);
}

static void
stream_cancel(conformance *c)
{
  parallel p = { .host = c->host, .event = c->host->event_new(c->host) };
  sb_name_request head = { .base = { .struct_size = sizeof head,
                                     .done = parallel_done, .arg = &p },
                           .name = at(c, "cancelled") };
  uint64_t op = 0;
  unsigned i;

  must_put(c, head.name, "x", NULL);
  if (c->store->ops->cancel == NULL) {
    c->skipped = "the store does not cancel";
    c->host->event_free(c->host, p.event);
    return;
  }
  c->store->ops->cancel(c->store, UINT64_MAX);
  for (i = 0; i < STREAM_PARALLEL; i++) {
    atomic_store(&p.left, 1);
    expect_status(c, c->store->ops->head(c->store, &head, &op, NULL), SB_OK,
                  NULL, "head");
    c->store->ops->cancel(c->store, op);
    c->host->event_wait(c->host, p.event, SB_NO_DEADLINE);
    c->store->ops->cancel(c->store, op);
    expect(c, atomic_load(&p.left) == 0, "a completion came twice");
  }
  c->host->event_free(c->host, p.event);
}

const conformance_case conformance_streams[] = {
  { "write", stream_write },
  { "empty", stream_empty },
  { "abort", stream_abort },
  { "large", stream_large },
  { "conditions", stream_conditions },
  { "metadata", stream_metadata },
  { "parallel", stream_parallel },
  { "cancel", stream_cancel },
  { NULL, NULL },
};
