/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uploads in parts: large puts and streams, what goes wrong with them, that
 * they are given up then, and the memory that streams hold back. Method: the
 * store ABI against the test server.
 */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/s3_fixture.h"
#include "tests/tap.h"

#define MIB (1u << 20)
#define SMALL_PARTS                                                           \
  "state-file-part-size=5mb\nmultipart-threshold=5mb\n"                       \
  "upload-memory=16mb\nfirst-byte-timeout=20s\nstall-timeout=20s\n"          \
  "request-timeout=60s"

static char *
uploads_data(size_t size, unsigned seed)
{
  char *data = http_alloc(size);
  size_t i;

  for (i = 0; i < size; i++)
    data[i] = (char)s3_fixture_byte(i + seed * 1000003u);
  return data;
}

/* ---- streams, with all they can be given -------------------------------- */

typedef struct uploads_wait {
  const sb_host *host;
  sb_event *event;
  sb_status status;
  store_meta meta;
  sb_error error;
} uploads_wait;

static void
uploads_done(void *arg, const sb_store_result *result)
{
  uploads_wait *wait = arg;

  wait->status = result->status;
  wait->meta.size = result->size;
  memcpy(wait->meta.etag, result->etag, sizeof wait->meta.etag);
  if (result->error != NULL)
    wait->error = *result->error;
  wait->host->event_set(wait->host, wait->event);
}

static void
uploads_wait_init(uploads_wait *wait, const sb_host *host)
{
  memset(wait, 0, sizeof *wait);
  wait->host = host;
  wait->event = host->event_new(host);
}

static sb_status
uploads_wait_end(uploads_wait *wait, sb_error *error)
{
  (void)wait->host->event_wait(wait->host, wait->event, SB_NO_DEADLINE);
  wait->host->event_free(wait->host, wait->event);
  if (wait->status != SB_OK && error != NULL)
    *error = wait->error;
  if (wait->status != SB_OK)
    tap_note("%s: %s", sb_status_name(wait->status), wait->error.message);
  return wait->status;
}

static sb_stream *
uploads_open(s3_fixture *f, const char *name, uint32_t flags,
             const char *if_match, uint64_t size_hint)
{
  sb_stream_request request = { .struct_size = sizeof request, .name = name,
                                .flags = flags, .if_match = if_match,
                                .size_hint = size_hint };
  sb_stream *stream = NULL;

  CU_ASSERT_FATAL(s3_stream_open(&f->store->base, &request, &stream,
                                 &f->error) == SB_OK);
  return stream;
}

static sb_status
uploads_write(s3_fixture *f, sb_stream *stream, const char *data, size_t len,
              uint64_t deadline_ms)
{
  sb_slice body = sb_slice_of(data, len);
  sb_write_request request = { .body = &body, .body_count = 1 };
  uploads_wait wait;

  uploads_wait_init(&wait, &f->host);
  request.base.struct_size = sizeof request;
  request.base.done = uploads_done;
  request.base.arg = &wait;
  if (deadline_ms != 0)
    request.base.deadline_ns = f->host.monotonic_ns(&f->host)
                               + deadline_ms * 1000000u;
  CU_ASSERT_FATAL(s3_stream_write(&f->store->base, stream, &request, NULL)
                  == SB_OK);
  return uploads_wait_end(&wait, &f->error);
}

static sb_status
uploads_end(s3_fixture *f, sb_stream *stream, int commit, store_meta *meta)
{
  sb_request request = { .struct_size = sizeof request };
  uploads_wait wait;
  sb_status status;

  uploads_wait_init(&wait, &f->host);
  request.done = uploads_done;
  request.arg = &wait;
  if (commit)
    CU_ASSERT_FATAL(s3_stream_commit(&f->store->base, stream, &request, NULL)
                    == SB_OK);
  if (!commit)
    CU_ASSERT_FATAL(s3_stream_abort(&f->store->base, stream, &request, NULL)
                    == SB_OK);
  status = uploads_wait_end(&wait, &f->error);
  if (meta != NULL)
    *meta = wait.meta;
  return status;
}

/* A whole object by a stream, in writes of `piece` bytes. */
static sb_status
uploads_stream(s3_fixture *f, const char *name, const char *data, size_t size,
               size_t piece, uint32_t flags, const char *if_match,
               store_meta *meta)
{
  sb_stream *stream = uploads_open(f, name, flags, if_match, 0);
  size_t at;

  for (at = 0; at < size; at += piece) {
    size_t some = size - at < piece ? size - at : piece;
    char *copy = http_alloc(some);
    sb_status status;

    memcpy(copy, data + at, some);
    status = uploads_write(f, stream, copy, some, 0);
    memset(copy, 0xee, some);
    free(copy);
    if (status != SB_OK)
      break;
  }
  return uploads_end(f, stream, 1, meta);
}

/* ---- puts --------------------------------------------------------------- */

static void
test_put(void)
{
  const size_t size = 23 * MIB + 17;
  char *data = uploads_data(size, 1);
  store_meta meta, is;
  s3_fixture f;

  s3_fixture_begin(&f, NULL, SMALL_PARTS);
  CU_ASSERT(s3_fixture_put(&f, "large", data, size, 0, NULL, &meta) == SB_OK);
  CU_ASSERT(meta.size == size && meta.etag[0] == '"');
  CU_ASSERT(s3_fixture_holds(&f, "large", data, size));
  CU_ASSERT(s3_fixture_head(&f, "large", &is) == SB_OK);
  CU_ASSERT_STRING_EQUAL(is.etag, meta.etag);
  CU_ASSERT(s3_server_seen(f.server, "upload_part") == 5);
  CU_ASSERT(s3_server_seen(f.server, "put") == 0);
  CU_ASSERT(s3_fixture_put(&f, "small", data, 5 * MIB, 0, NULL, NULL)
            == SB_OK);
  CU_ASSERT(s3_server_seen(f.server, "put") == 1);
  s3_fixture_end(&f);
  free(data);
}

static void
test_put_conditions(void)
{
  const size_t size = 6 * MIB;
  char *data = uploads_data(size, 2);
  store_meta meta, old;
  s3_fixture f;

  s3_fixture_begin(&f, NULL, SMALL_PARTS);
  CU_ASSERT(s3_fixture_put(&f, "c", data, size, SB_PUT_CREATE, NULL, &old)
            == SB_OK);
  s3_fixture_expect(&f, s3_fixture_put(&f, "c", data, size, SB_PUT_CREATE,
                                       NULL, NULL), SB_EXISTS, "\"c\"");
  data[0]++;
  CU_ASSERT(s3_fixture_put(&f, "c", data, size, 0, old.etag, &meta) == SB_OK);
  CU_ASSERT(s3_fixture_put(&f, "c", data, size, 0, old.etag, NULL)
            == SB_CONFLICT);
  CU_ASSERT(s3_fixture_put(&f, "d", data, size, 0, old.etag, NULL)
            == SB_CONFLICT);
  CU_ASSERT(s3_fixture_holds(&f, "c", data, size));
  s3_fixture_close(&f);
  CU_ASSERT(s3_server_uploads(f.server, S3_TEST_BUCKET) == 0);
  s3_fixture_end(&f);
  free(data);
}

/* One large put under a rule; afterwards no upload is left. */
static void
uploads_try(const char *rules, sb_status wanted, const char *text)
{
  const size_t size = 5 * MIB + 100000;
  char *data = uploads_data(size, 3);
  sb_status status;
  s3_fixture f;

  s3_fixture_begin(&f, rules, SMALL_PARTS);
  status = s3_fixture_put(&f, "new", data, size, 0, NULL, NULL);
  s3_fixture_expect(&f, status, wanted, text);
  if (status != wanted || f.took_ms > 1000)
    tap_note("%llu ms with %s", (unsigned long long)f.took_ms, rules);
  if (status != SB_UNKNOWN)
    CU_ASSERT(s3_fixture_holds(&f, "new", data, size) == (status == SB_OK));
  s3_fixture_close(&f);
  CU_ASSERT(s3_server_uploads(f.server, S3_TEST_BUCKET) == 0);
  s3_fixture_end(&f);
  free(data);
}

static void
test_put_faults(void)
{
  static const char *const passing[] = {
    "upload_create status=500 code=InternalError",
    "upload_create ok-error=InternalError",
    "upload_part status=503 code=SlowDown count=3",
    "upload_part reset-body-at=70000",
    "upload_part nth=2 no-header=ETag",
    "upload_complete spaces=20",
    "upload_complete ok-error=InternalError",
    "upload_complete status=503 code=SlowDown",
    "upload_complete apply reset",
    "upload_complete apply status=500 code=InternalError",
    "upload_complete status=409 code=ConditionalRequestConflict",
    /* All attempts: the upload is made anew. */
    "upload_complete count=2 status=409 code=ConditionalRequestConflict",
  };
  size_t i;

  for (i = 0; i < TAP_COUNT(passing); i++)
    uploads_try(passing[i], SB_OK, NULL);
}

static void
test_put_failures(void)
{
  uploads_try("upload_create count=0 status=403 code=AccessDenied",
              SB_DENIED, "AccessDenied");
  uploads_try("upload_part nth=2 count=0 status=403 code=AccessDenied",
              SB_DENIED, "upload a part");
  uploads_try("upload_part nth=2 count=0 status=500 code=InternalError",
              SB_IO, "upload a part");
  uploads_try("upload_part count=0 no-header=ETag", SB_IO, "entity tag");
  uploads_try("upload_part nth=2 status=404 code=NoSuchUpload", SB_IO,
              "given up by somebody else");
  uploads_try("upload_complete status=404 code=NoSuchUpload", SB_IO,
              "given up by somebody else");
  uploads_try("upload_complete count=0 status=403 code=AccessDenied",
              SB_DENIED, NULL);
  uploads_try("upload_complete count=0 reset", SB_UNKNOWN, NULL);
  uploads_try("upload_complete count=0 ok-error=InternalError", SB_UNKNOWN,
              NULL);
}

/* Each answer to one's own completion is lost; the nonce tells that it was. */
static void
test_settled(void)
{
  const size_t size = 6 * MIB;
  char *data = uploads_data(size, 4);
  s3_fixture f;

  s3_fixture_begin(&f, "upload_complete count=0 apply reset", SMALL_PARTS);
  CU_ASSERT(s3_fixture_put(&f, "p", data, size, 0, NULL, NULL) == SB_OK);
  CU_ASSERT(uploads_stream(&f, "s", data, size, size, SB_PUT_CREATE, NULL,
                           NULL) == SB_OK);
  CU_ASSERT(uploads_stream(&f, "s", data, size, size, SB_PUT_CREATE, NULL,
                           NULL) == SB_EXISTS);
  CU_ASSERT(s3_fixture_holds(&f, "s", data, size));
  s3_fixture_end(&f);
  free(data);
}

/* Ignored by the server when an upload is completed, a condition still holds
   by a look at the object. */
static void
test_conditions_ignored(void)
{
  const size_t size = 6 * MIB;
  char *data = uploads_data(size, 13);
  store_meta old;
  s3_fixture f;

  s3_fixture_begin(&f, "upload_complete count=0 ignore-conditions",
                   SMALL_PARTS);
  CU_ASSERT(uploads_stream(&f, "c", data, size, MIB, SB_PUT_CREATE, NULL,
                           &old) == SB_OK);
  CU_ASSERT(uploads_stream(&f, "c", data, 5 * MIB + 1, MIB, SB_PUT_CREATE,
                           NULL, NULL) == SB_EXISTS);
  CU_ASSERT(s3_fixture_put(&f, "c", data, 5 * MIB + 1, SB_PUT_CREATE, NULL,
                           NULL) == SB_EXISTS);
  CU_ASSERT(uploads_stream(&f, "c", data, 5 * MIB + 1, MIB, 0, old.etag, &old)
            == SB_OK);
  CU_ASSERT(uploads_stream(&f, "c", data, size, MIB, 0, "\"other\"", NULL)
            == SB_CONFLICT);
  CU_ASSERT(uploads_stream(&f, "none", data, size, MIB, 0, old.etag, NULL)
            == SB_CONFLICT);
  CU_ASSERT(s3_fixture_holds(&f, "c", data, 5 * MIB + 1));
  s3_fixture_end(&f);
  free(data);
}

/* A put that is cancelled, or late, leaves no upload and no object. */
static void
test_put_cancelled(void)
{
  const size_t size = 12 * MIB;
  char *data = uploads_data(size, 5);
  sb_slice body = sb_slice_of(data, size);
  sb_put_request request = { .base = { .struct_size = sizeof request },
                             .name = "p", .body = &body, .body_count = 1 };
  uploads_wait wait;
  uint64_t id = 0;
  s3_fixture f;
  int late;

  for (late = 0; late < 2; late++) {
    s3_fixture_begin(&f, "upload_part count=0 delay=1500", SMALL_PARTS);
    uploads_wait_init(&wait, &f.host);
    request.base.done = uploads_done;
    request.base.arg = &wait;
    request.base.deadline_ns = late ? f.host.monotonic_ns(&f.host)
                                        + 300000000u : 0;
    CU_ASSERT_FATAL(s3_put(&f.store->base, &request, &id, NULL) == SB_OK);
    /* Not on its event, which is set once. */
    while (!late && s3_server_requests(f.server) < 2)
      (void)usleep(5000);
    if (!late)
      f.store->base.ops->cancel(&f.store->base, id);
    CU_ASSERT(uploads_wait_end(&wait, &f.error)
              == (late ? SB_TIMEOUT : SB_CANCELLED));
    s3_fixture_close(&f);
    CU_ASSERT(s3_server_uploads(f.server, S3_TEST_BUCKET) == 0);
    CU_ASSERT(s3_server_objects(f.server, S3_TEST_BUCKET) == 1);
    s3_fixture_end(&f);
  }
  free(data);
}

/* ---- streams ------------------------------------------------------------ */

static void
test_stream(void)
{
  static const size_t sizes[] = { 0, 1, 100000, 5 * MIB, 5 * MIB + 1,
                                  10 * MIB, 16 * MIB + 3 };
  char *data = uploads_data(17 * MIB, 6);
  store_meta meta, is;
  s3_fixture f;
  size_t i;

  s3_fixture_begin(&f, NULL, SMALL_PARTS);
  for (i = 0; i < TAP_COUNT(sizes); i++) {
    CU_ASSERT(uploads_stream(&f, "s", data, sizes[i], 300001, 0, NULL, &meta)
              == SB_OK);
    CU_ASSERT(meta.size == sizes[i]);
    CU_ASSERT(s3_fixture_holds(&f, "s", data, sizes[i]));
    CU_ASSERT(s3_fixture_head(&f, "s", &is) == SB_OK);
    CU_ASSERT_STRING_EQUAL(is.etag, meta.etag);
  }
  CU_ASSERT(s3_server_seen(f.server, "put") == 4);
  CU_ASSERT(s3_server_seen(f.server, "upload_part") == 2 + 2 + 4);
  s3_fixture_end(&f);
  free(data);
}

static void
test_stream_conditions(void)
{
  static const size_t sizes[] = { 1000, 6 * MIB };
  char *data = uploads_data(6 * MIB, 7);
  store_meta old;
  s3_fixture f;
  size_t i;

  for (i = 0; i < TAP_COUNT(sizes); i++) {
    s3_fixture_begin(&f, NULL, SMALL_PARTS);
    CU_ASSERT(uploads_stream(&f, "c", data, sizes[i], MIB, SB_PUT_CREATE,
                             NULL, &old) == SB_OK);
    CU_ASSERT(uploads_stream(&f, "c", data, sizes[i], MIB, SB_PUT_CREATE,
                             NULL, NULL) == SB_EXISTS);
    data[0]++;
    CU_ASSERT(uploads_stream(&f, "c", data, sizes[i], MIB, 0, old.etag, NULL)
              == SB_OK);
    CU_ASSERT(uploads_stream(&f, "c", data, sizes[i], MIB, 0, old.etag, NULL)
              == SB_CONFLICT);
    s3_fixture_close(&f);
    CU_ASSERT(s3_server_uploads(f.server, S3_TEST_BUCKET) == 0);
    s3_fixture_end(&f);
  }
  free(data);
}

static void
test_stream_abort(void)
{
  char *data = uploads_data(12 * MIB, 8);
  sb_stream *stream;
  s3_fixture f;

  s3_fixture_begin(&f, NULL, SMALL_PARTS);
  stream = uploads_open(&f, "a", 0, NULL, 0);
  CU_ASSERT(uploads_end(&f, stream, 0, NULL) == SB_OK);
  stream = uploads_open(&f, "a", 0, NULL, 0);
  CU_ASSERT(uploads_write(&f, stream, data, 1000, 0) == SB_OK);
  CU_ASSERT(uploads_end(&f, stream, 0, NULL) == SB_OK);
  CU_ASSERT(s3_server_requests(f.server) == 0);
  stream = uploads_open(&f, "a", 0, NULL, 0);
  CU_ASSERT(uploads_write(&f, stream, data, 12 * MIB, 0) == SB_OK);
  CU_ASSERT(uploads_end(&f, stream, 0, NULL) == SB_OK);
  CU_ASSERT(s3_server_seen(f.server, "upload_create") == 1);
  CU_ASSERT(s3_server_uploads(f.server, S3_TEST_BUCKET) == 0);
  CU_ASSERT(s3_server_objects(f.server, S3_TEST_BUCKET) == 1);
  s3_fixture_end(&f);
  free(data);
}

/* A failed part fails the next write or the commit, never silently. */
static void
test_stream_failures(void)
{
  static const char *const rules[] = {
    "upload_create count=0 status=403 code=AccessDenied",
    "upload_part nth=2 count=0 status=403 code=AccessDenied",
    "upload_complete count=0 status=403 code=AccessDenied",
  };
  char *data = uploads_data(11 * MIB, 9);
  s3_fixture f;
  size_t i;

  for (i = 0; i < TAP_COUNT(rules); i++) {
    s3_fixture_begin(&f, rules[i], SMALL_PARTS);
    s3_fixture_expect(&f, uploads_stream(&f, "a", data, 11 * MIB, MIB, 0, NULL,
                                         NULL), SB_DENIED, "AccessDenied");
    s3_fixture_close(&f);
    CU_ASSERT(s3_server_uploads(f.server, S3_TEST_BUCKET) == 0);
    CU_ASSERT(s3_server_objects(f.server, S3_TEST_BUCKET) == 1);
    s3_fixture_end(&f);
  }
  s3_fixture_begin(&f, "upload_complete apply reset", SMALL_PARTS);
  CU_ASSERT(uploads_stream(&f, "a", data, 11 * MIB, MIB, 0, NULL, NULL)
            == SB_OK);
  CU_ASSERT(s3_fixture_holds(&f, "a", data, 11 * MIB));
  s3_fixture_end(&f);
  free(data);
}

/* ---- memory ------------------------------------------------------------- */

#define MEMORY_STREAMS 16

typedef struct uploads_writer {
  s3_fixture *f;
  pthread_t thread;
  char name[16];
  const char *data;
  size_t size;
  sb_status status;
  atomic_int *running;
} uploads_writer;

static void *
uploads_writer_run(void *arg)
{
  uploads_writer *w = arg;
  store_writer *writer;
  size_t at;
  sb_status status = store_writer_open(&w->f->host, &w->f->store->base,
                                       w->name, 0, 0, &writer, NULL);

  for (at = 0; status == SB_OK && at < w->size; at += 200000) {
    size_t some = w->size - at < 200000 ? w->size - at : 200000;

    status = store_writer_add(writer, w->data + at, some, NULL);
  }
  w->status = store_writer_commit(writer, NULL, NULL);
  atomic_fetch_sub(w->running, 1);
  return NULL;
}

static void
uploads_used(void *arg, const char *key, const char *value)
{
  uint64_t *most = arg;
  uint64_t used = strtoull(value, NULL, 10);

  if (strcmp(key, "upload-memory-used") == 0 && used > *most)
    *most = used;
}

static void
test_memory(void)
{
  const size_t size = 6 * MIB;
  uploads_writer writers[MEMORY_STREAMS];
  atomic_int running = MEMORY_STREAMS;
  char *data = uploads_data(size, 10);
  uint64_t most = 0;
  s3_fixture f;
  size_t i;

  s3_fixture_begin(&f, NULL, SMALL_PARTS "\nchecksum=none");
  for (i = 0; i < MEMORY_STREAMS; i++) {
    writers[i] = (uploads_writer){ .f = &f, .data = data, .size = size,
                                   .running = &running };
    (void)snprintf(writers[i].name, sizeof writers[i].name, "m%u",
                   (unsigned)i);
    CU_ASSERT_FATAL(pthread_create(&writers[i].thread, NULL,
                                   uploads_writer_run, &writers[i]) == 0);
  }
  while (atomic_load(&running) > 0)
    CU_ASSERT(s3_describe(&f.store->base, uploads_used, &most, NULL)
              == SB_OK);
  for (i = 0; i < MEMORY_STREAMS; i++) {
    CU_ASSERT(pthread_join(writers[i].thread, NULL) == 0);
    CU_ASSERT(writers[i].status == SB_OK);
    CU_ASSERT(s3_fixture_holds(&f, writers[i].name, data, size));
  }
  tap_note("%llu KiB held at most, of 16 MiB and a part",
           (unsigned long long)most >> 10);
  /* On a busy machine a stream can seem idle, and another gets its turn. */
  CU_ASSERT(most > 0 && most <= 26 * MIB);
  most = 0;
  CU_ASSERT(s3_describe(&f.store->base, uploads_used, &most, NULL) == SB_OK);
  CU_ASSERT(most == 0);
  s3_fixture_end(&f);
  free(data);
}

/* One thread that writes many streams in turn, more than the memory holds, and
   commits them in the end. */
static void
test_memory_in_turns(void)
{
  enum { STREAMS = 8 };
  const size_t size = 4 * MIB, piece = MIB;
  sb_stream *streams[STREAMS];
  char *data = uploads_data(size, 11);
  char name[16];
  s3_fixture f;
  size_t i, at;

  s3_fixture_begin(&f, NULL, SMALL_PARTS);
  for (i = 0; i < STREAMS; i++) {
    (void)snprintf(name, sizeof name, "t%u", (unsigned)i);
    streams[i] = uploads_open(&f, name, 0, NULL, 0);
  }
  for (at = 0; at < size; at += piece)
    for (i = 0; i < STREAMS; i++)
      CU_ASSERT(uploads_write(&f, streams[i], data + at, piece, 0) == SB_OK);
  for (i = 0; i < STREAMS; i++) {
    CU_ASSERT(uploads_end(&f, streams[i], 1, NULL) == SB_OK);
    (void)snprintf(name, sizeof name, "t%u", (unsigned)i);
    CU_ASSERT(s3_fixture_holds(&f, name, data, size));
  }
  s3_fixture_end(&f);
  free(data);
}

/* A write that waits for memory ends at its deadline. */
static void
test_memory_late(void)
{
  char *data = uploads_data(16 * MIB, 12);
  sb_stream *first, *second;
  s3_fixture f;

  s3_fixture_begin(&f, "upload_part count=0 delay=700", SMALL_PARTS);
  first = uploads_open(&f, "first", 0, NULL, 0);
  CU_ASSERT(uploads_write(&f, first, data, 15 * MIB, 0) == SB_OK);
  second = uploads_open(&f, "second", 0, NULL, 0);
  CU_ASSERT(uploads_write(&f, second, data, 4 * MIB, 200) == SB_TIMEOUT);
  CU_ASSERT(uploads_end(&f, second, 1, NULL) == SB_TIMEOUT);
  CU_ASSERT(uploads_end(&f, first, 1, NULL) == SB_OK);
  CU_ASSERT(s3_fixture_holds(&f, "first", data, 15 * MIB));
  s3_fixture_end(&f);
  free(data);
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "put", test_put },
    { "put_conditions", test_put_conditions },
    { "put_faults", test_put_faults },
    { "put_failures", test_put_failures },
    { "settled", test_settled },
    { "conditions_ignored", test_conditions_ignored },
    { "put_cancelled", test_put_cancelled },
    { "stream", test_stream },
    { "stream_conditions", test_stream_conditions },
    { "stream_abort", test_stream_abort },
    { "stream_failures", test_stream_failures },
    { "memory", test_memory },
    { "memory_in_turns", test_memory_in_turns },
    { "memory_late", test_memory_late },
  };
  static const tap_suite suites[] = { { "s3_uploads", cases,
                                        TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
