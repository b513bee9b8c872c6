/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The blocking calls of host/store. Goal: they check what they are given, tell
 * failures in one form, and are not led astray by a store that misbehaves.
 * Method: a fake store whose answers each case sets.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/store_fixture.h"
#include "tests/tap.h"

/* Answers: what the next operations come to. */
typedef struct fake {
  sb_store base;
  sb_store_ops ops;
  sb_store_info info;
  int at_once;              /* fail in the method, not in `done` */
  sb_status status;
  const char *message;      /* NULL: no error in the result */
  uint64_t size;            /* of the object that gets see */
  uint64_t extra;           /* bytes that get claims over what it may */
  const char *etag;
  int changes;              /* the tag changes between the first gets */
  const sb_store_entry *entries; /* of the pages; a page ends at a NULL name */
  size_t pages, page;
  uint32_t truncated_last;  /* the last page claims that there are more */
  unsigned calls, aborts;
  uint64_t names;
} fake;

static sb_status
fake_answer(fake *k, const sb_request *request, sb_store_result *result,
            sb_error *err)
{
  sb_error error;

  k->calls++;
  if (k->at_once)
    return sb_error_set(err, k->status, "%s",
                        k->message == NULL ? "" : k->message);
  result->struct_size = sizeof *result;
  result->status = k->status;
  if (k->status != SB_OK && k->message != NULL) {
    sb_error_set(&error, k->status, "%s", k->message);
    error.system = 17;
    result->error = &error;
  }
  request->done(request->arg, result);
  return SB_OK;
}

static const sb_store_info *
fake_info(sb_store *base)
{
  return &((fake *)base)->info;
}

static sb_status
fake_get(sb_store *base, const sb_get_request *request, uint64_t *op,
         sb_error *err)
{
  fake *k = (fake *)base;
  sb_store_result result = { .size = k->size };
  uint64_t left = request->offset > k->size ? 0 : k->size - request->offset;
  uint64_t i;

  (void)op;
  result.length = left < request->length ? left : request->length;
  for (i = 0; i < result.length; i++)
    ((uint8_t *)request->buffer)[i] = (uint8_t)(request->offset + i);
  result.length += k->extra;
  (void)snprintf(result.etag, sizeof result.etag, "%s-%d", k->etag,
                 k->changes);
  if (request->if_match != NULL && strcmp(request->if_match, result.etag) != 0) {
    sb_error error;

    sb_error_set(&error, SB_CONFLICT, "changed");
    result.status = SB_CONFLICT;
    result.error = &error;
    k->calls++;
    request->base.done(request->base.arg, &result);
    return SB_OK;
  }
  if (k->changes > 0)
    k->changes--;
  return fake_answer(k, &request->base, &result, err);
}

static sb_status
fake_put(sb_store *base, const sb_put_request *request, uint64_t *op,
         sb_error *err)
{
  fake *k = (fake *)base;
  sb_store_result result = { .size = 0 };
  uint64_t i;

  (void)op;
  for (i = 0; i < request->body_count; i++)
    result.size += request->body[i].len;
  (void)snprintf(result.etag, sizeof result.etag, "%s", k->etag);
  return fake_answer(k, &request->base, &result, err);
}

static sb_status
fake_put_open(sb_store *base, const sb_stream_request *request,
              sb_stream **out, sb_error *err)
{
  fake *k = (fake *)base;

  (void)request;
  *out = (sb_stream *)(void *)k;
  return k->at_once ? sb_error_set(err, k->status, "no stream") : SB_OK;
}

static sb_status
fake_put_write(sb_store *base, sb_stream *stream,
               const sb_write_request *request, sb_error *err)
{
  sb_store_result result = { .size = 0 };

  (void)stream;
  return fake_answer((fake *)base, &request->base, &result, err);
}

static sb_status
fake_put_commit(sb_store *base, sb_stream *stream, const sb_request *request,
                sb_error *err)
{
  sb_store_result result = { .size = 5 };

  (void)stream;
  return fake_answer((fake *)base, request, &result, err);
}

static sb_status
fake_put_abort(sb_store *base, sb_stream *stream, const sb_request *request,
               sb_error *err)
{
  fake *k = (fake *)base;
  sb_store_result result = { .struct_size = sizeof result };

  (void)stream;
  (void)err;
  k->aborts++;
  request->done(request->arg, &result);
  return SB_OK;
}

static sb_status
fake_head(sb_store *base, const sb_name_request *request, uint64_t *op,
          sb_error *err)
{
  static const sb_meta meta[] = { { "one", "1" }, { "two", "2" } };
  sb_store_result result = { .size = 7, .meta = meta, .meta_count = 2 };

  (void)op;
  return fake_answer((fake *)base, &request->base, &result, err);
}

static sb_status
fake_list(sb_store *base, const sb_list_request *request, uint64_t *op,
          sb_error *err)
{
  fake *k = (fake *)base;
  sb_store_result result = { .entries = k->entries };

  (void)op;
  if (k->page < k->pages) {
    while (k->entries[result.entry_count].name != NULL)
      result.entry_count++;
    k->entries += result.entry_count + 1;
    k->page++;
  }
  result.truncated = k->page < k->pages || k->truncated_last;
  return fake_answer(k, &request->base, &result, err);
}

static sb_status
fake_remove(sb_store *base, const sb_remove_request *request, uint64_t *op,
            sb_error *err)
{
  fake *k = (fake *)base;
  sb_store_result result = { .size = 0 };
  uint64_t i;

  (void)op;
  k->names += request->name_count;
  for (i = 0; request->statuses != NULL && i < request->name_count; i++)
    request->statuses[i] = k->status;
  return fake_answer(k, &request->base, &result, err);
}

static void
fake_close(sb_store *base)
{
  ((fake *)base)->calls++;
}

static void
fake_init(fake *k)
{
  memset(k, 0, sizeof *k);
  k->ops.struct_size = sizeof k->ops;
  k->ops.abi_version = SB_ABI_VERSION;
  k->ops.info = fake_info;
  k->ops.get = fake_get;
  k->ops.put = fake_put;
  k->ops.put_open = fake_put_open;
  k->ops.put_write = fake_put_write;
  k->ops.put_commit = fake_put_commit;
  k->ops.put_abort = fake_put_abort;
  k->ops.head = fake_head;
  k->ops.list = fake_list;
  k->ops.remove = fake_remove;
  k->ops.close = fake_close;
  k->base.ops = &k->ops;
  k->etag = "tag";
}

static sb_status
fake_store_put(fake *k, const char *name, sb_error *err)
{
  return store_put(sb_host_default(), &k->base, name, "x", 1, 0, NULL, NULL, 0,
                   NULL, 0, err);
}

/* ---- cases -------------------------------------------------------------- */

static void
test_names(void)
{
  char longest[SB_OBJECT_NAME_MAX + 2];
  sb_error error;

  memset(longest, 'n', sizeof longest);
  longest[SB_OBJECT_NAME_MAX] = '\0';
  CU_ASSERT_EQUAL(store_name_check(longest, &error), SB_OK);
  longest[SB_OBJECT_NAME_MAX] = 'n';
  longest[SB_OBJECT_NAME_MAX + 1] = '\0';
  CU_ASSERT_EQUAL(store_name_check(longest, &error), SB_TOO_LARGE);
  CU_ASSERT_EQUAL(store_name_check(NULL, &error), SB_INVALID);
  CU_ASSERT_EQUAL(store_name_check("", &error), SB_INVALID);
  CU_ASSERT_EQUAL(store_name_check("a/..", &error), SB_INVALID);
  CU_ASSERT_EQUAL(store_name_check("a/...", &error), SB_OK);
  CU_ASSERT_EQUAL(store_name_check("\x1f", &error), SB_INVALID);
  CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "0x1f"));
  CU_ASSERT_EQUAL(store_name_check("~ !", &error), SB_OK);
}

static void
test_check(void)
{
  sb_error error;
  fake k;

  fake_init(&k);
  CU_ASSERT_EQUAL(store_check(&k.base, &error), SB_OK);
  k.ops.list = NULL;
  CU_ASSERT_EQUAL(store_check(&k.base, &error), SB_INVALID);
  CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "list"));
  fake_init(&k);
  k.ops.abi_version = 2;
  CU_ASSERT_EQUAL(store_check(&k.base, &error), SB_UNSUPPORTED);
  fake_init(&k);
  k.ops.struct_size = 16;
  CU_ASSERT_EQUAL(store_check(&k.base, &error), SB_INVALID);
  CU_ASSERT_EQUAL(store_check(NULL, &error), SB_INVALID);
  fake_init(&k);
  CU_ASSERT_EQUAL(store_copy(sb_host_default(), &k.base, NULL, "a", "b", 0,
                             NULL, &error), SB_UNSUPPORTED);
}

static void
test_errors(void)
{
  sb_error error;
  fake k;

  fake_init(&k);
  k.status = SB_UNAVAILABLE;
  k.message = "connection reset";
  CU_ASSERT_EQUAL(fake_store_put(&k, "some/name", &error), SB_UNAVAILABLE);
  CU_ASSERT_STRING_EQUAL(error.message,
                         "could not put object \"some/name\": connection "
                         "reset");
  CU_ASSERT_EQUAL(error.status, SB_UNAVAILABLE);
  CU_ASSERT_EQUAL(error.system, 17);
  k.message = "\"some/name\" is locked";
  CU_ASSERT_EQUAL(fake_store_put(&k, "some/name", &error), SB_UNAVAILABLE);
  CU_ASSERT_STRING_EQUAL(error.message, "\"some/name\" is locked");
  k.message = NULL;
  CU_ASSERT_EQUAL(fake_store_put(&k, "some/name", &error), SB_UNAVAILABLE);
  CU_ASSERT_STRING_EQUAL(error.message,
                         "could not put object \"some/name\": unavailable");
  k.at_once = 1;
  CU_ASSERT_EQUAL(fake_store_put(&k, "some/name", &error), SB_UNAVAILABLE);
  CU_ASSERT_STRING_EQUAL(error.message,
                         "could not put object \"some/name\": unavailable");
  CU_ASSERT_EQUAL(fake_store_put(&k, "some/name", NULL), SB_UNAVAILABLE);
  k.at_once = 0;
  k.status = 5;
  CU_ASSERT_EQUAL(fake_store_put(&k, "some/name", &error), SB_IO);
}

static void
test_put_checks(void)
{
  const sb_host *host = sb_host_default();
  static char big[SB_META_MAX + 2];
  sb_meta meta = { "key", big };
  sb_error error;
  fake k;

  fake_init(&k);
  memset(big, 'v', sizeof big - 1);
  CU_ASSERT_EQUAL(store_put(host, &k.base, "a", "x", 1, 0, NULL, &meta, 1,
                            NULL, 0, &error), SB_TOO_LARGE);
  big[SB_META_MAX - 3] = '\0';
  CU_ASSERT_EQUAL(store_put(host, &k.base, "a", "x", 1, 0, NULL, &meta, 1,
                            NULL, 0, &error), SB_OK);
  meta.key = "Upper";
  CU_ASSERT_EQUAL(store_put(host, &k.base, "a", "x", 1, 0, NULL, &meta, 1,
                            NULL, 0, &error), SB_INVALID);
  meta.key = "";
  CU_ASSERT_EQUAL(store_put(host, &k.base, "a", "x", 1, 0, NULL, &meta, 1,
                            NULL, 0, &error), SB_INVALID);
  CU_ASSERT_EQUAL(store_put(host, &k.base, "a", "x", 1, 2, NULL, NULL, 0,
                            NULL, 0, &error), SB_INVALID);
  CU_ASSERT_EQUAL(store_put(host, &k.base, "a", "x", 1, SB_PUT_CREATE, "tag",
                            NULL, 0, NULL, 0, &error), SB_INVALID);
  CU_ASSERT_EQUAL(store_put(host, &k.base, "a", "x", 1, 0, "", NULL, 0, NULL,
                            0, &error), SB_INVALID);
  CU_ASSERT_EQUAL(k.calls, 1);
}

static void
test_get_all(void)
{
  const sb_host *host = sb_host_default();
  static const uint64_t sizes[] = { 0, 1, 65535, 65536, 65537, 300000 };
  size_t i;
  void *data;
  uint64_t len;
  store_meta meta;
  sb_error error;
  fake k;

  for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    fake_init(&k);
    k.size = sizes[i];
    CU_ASSERT_EQUAL_FATAL(store_get_all(host, &k.base, "a", 1 << 20, &data,
                                        &len, &meta, 0, &error), SB_OK);
    CU_ASSERT_EQUAL(len, sizes[i]);
    CU_ASSERT_EQUAL(k.calls, sizes[i] > 65536 ? 2 : 1);
    CU_ASSERT_TRUE(len == 0
                   || ((uint8_t *)data)[len - 1] == (uint8_t)(len - 1));
    (void)host->alloc(host, data, 0);
  }
  k.size = 101;
  CU_ASSERT_EQUAL(store_get_all(host, &k.base, "a", 100, &data, &len, NULL, 0,
                                &error), SB_TOO_LARGE);
  CU_ASSERT_PTR_NULL(data);
  k.size = 100;
  CU_ASSERT_EQUAL(store_get_all(host, &k.base, "a", 100, &data, &len, NULL, 0,
                                &error), SB_OK);
  (void)host->alloc(host, data, 0);
  /* Replaced between the two gets: read again from the start. */
  k.size = 70000;
  k.changes = 3;
  CU_ASSERT_EQUAL(store_get_all(host, &k.base, "a", 1 << 20, &data, &len,
                                NULL, 0, &error), SB_OK);
  (void)host->alloc(host, data, 0);
  k.changes = 1000;
  CU_ASSERT_EQUAL(store_get_all(host, &k.base, "a", 1 << 20, &data, &len,
                                NULL, 0, &error), SB_BUSY);
  k.changes = 0;
  k.size = 10;
  k.extra = 1000000;
  CU_ASSERT_EQUAL(store_get_all(host, &k.base, "a", 1 << 20, &data, &len,
                                NULL, 0, &error), SB_IO);
}

static sb_status
test_list_entry(void *arg, const sb_store_entry *entry, sb_error *err)
{
  (void)entry;
  (void)err;
  ++*(unsigned *)arg;
  return SB_OK;
}

static sb_status
test_list_run(fake *k, const char *prefix, const sb_store_entry *entries,
              size_t pages, unsigned *count, sb_error *err)
{
  k->entries = entries;
  k->pages = pages;
  k->page = 0;
  *count = 0;
  return store_list(sb_host_default(), &k->base, prefix, NULL,
                    test_list_entry, count, err);
}

static void
test_list(void)
{
  static const sb_store_entry good[] = {
    { .name = "p/a" }, { .name = "p/b", .etag = "tag" }, { .name = NULL },
    { .name = "p/c" }, { .name = NULL },
    { .name = NULL },
  };
  static const sb_store_entry unordered[] = {
    { .name = "p/b" }, { .name = "p/a" }, { .name = NULL },
  };
  static const sb_store_entry repeated[] = {
    { .name = "p/a" }, { .name = NULL }, { .name = "p/a" }, { .name = NULL },
  };
  static const sb_store_entry foreign[] = {
    { .name = "q" }, { .name = NULL },
  };
  unsigned count;
  sb_error error;
  fake k;

  fake_init(&k);
  CU_ASSERT_EQUAL(test_list_run(&k, "p/", good, 2, &count, &error), SB_OK);
  CU_ASSERT_EQUAL(count, 3);
  CU_ASSERT_EQUAL(test_list_run(&k, "p/", good, 3, &count, &error), SB_OK);
  CU_ASSERT_EQUAL(count, 3);
  CU_ASSERT_EQUAL(test_list_run(&k, "p/", unordered, 1, &count, &error),
                  SB_IO);
  CU_ASSERT_EQUAL(test_list_run(&k, "p/", repeated, 2, &count, &error),
                  SB_IO);
  CU_ASSERT_EQUAL(test_list_run(&k, "p/", foreign, 1, &count, &error), SB_IO);
  /* Empty pages for ever must not hang the caller. */
  k.truncated_last = 1;
  CU_ASSERT_EQUAL(test_list_run(&k, "p/", good, 0, &count, &error), SB_IO);
}

static void
test_remove(void)
{
  enum { COUNT = 2500 };
  static const char *names[COUNT];
  static sb_status statuses[COUNT];
  const sb_host *host = sb_host_default();
  sb_error error;
  size_t i;
  fake k;

  fake_init(&k);
  for (i = 0; i < COUNT; i++)
    names[i] = "n";
  CU_ASSERT_EQUAL(store_remove(host, &k.base, names, COUNT, statuses, &error),
                  SB_OK);
  CU_ASSERT_EQUAL(k.calls, 3);
  CU_ASSERT_EQUAL(k.names, COUNT);
  k.status = SB_DENIED;
  k.at_once = 1;
  CU_ASSERT_EQUAL(store_remove(host, &k.base, names, COUNT, statuses, &error),
                  SB_DENIED);
  CU_ASSERT_EQUAL(k.calls, 6);
  CU_ASSERT_EQUAL(statuses[0], SB_DENIED);
  CU_ASSERT_EQUAL(statuses[COUNT - 1], SB_DENIED);
  names[7] = "../x";
  CU_ASSERT_EQUAL(store_remove(host, &k.base, names, COUNT, NULL, &error),
                  SB_INVALID);
  CU_ASSERT_EQUAL(k.calls, 6);
}

static void
test_head_meta(void)
{
  const sb_host *host = sb_host_default();
  store_meta meta;
  char *value;
  sb_error error;
  fake k;

  fake_init(&k);
  CU_ASSERT_EQUAL(store_head_meta(host, &k.base, "a", "two", &meta, &value,
                                  &error), SB_OK);
  CU_ASSERT_STRING_EQUAL(value, "2");
  (void)host->alloc(host, value, 0);
  CU_ASSERT_EQUAL(store_head_meta(host, &k.base, "a", "three", NULL, &value,
                                  &error), SB_OK);
  CU_ASSERT_PTR_NULL(value);
  CU_ASSERT_EQUAL(store_head(host, &k.base, "a", &meta, &error), SB_OK);
  CU_ASSERT_EQUAL(meta.size, 7);
}

static void
test_writer(void)
{
  const sb_host *host = sb_host_default();
  store_writer *w;
  store_meta meta;
  sb_error error;
  fake k;

  fake_init(&k);
  CU_ASSERT_EQUAL(store_writer_open(host, &k.base, "a", 0, 0, &w, &error),
                  SB_OK);
  CU_ASSERT_EQUAL(store_writer_add(w, "x", 1, &error), SB_OK);
  CU_ASSERT_EQUAL(store_writer_add(w, "", 0, &error), SB_OK);
  CU_ASSERT_EQUAL(store_writer_commit(w, &meta, &error), SB_OK);
  CU_ASSERT_EQUAL(meta.size, 5);
  CU_ASSERT_EQUAL(k.aborts, 0);
  /* A failed piece spoils the stream: commit aborts it. */
  CU_ASSERT_EQUAL(store_writer_open(host, &k.base, "a", 0, 0, &w, &error),
                  SB_OK);
  k.status = SB_NO_SPACE;
  CU_ASSERT_EQUAL(store_writer_add(w, "x", 1, &error), SB_NO_SPACE);
  k.status = SB_OK;
  CU_ASSERT_EQUAL(store_writer_add(w, "y", 1, &error), SB_NO_SPACE);
  CU_ASSERT_EQUAL(store_writer_commit(w, &meta, &error), SB_NO_SPACE);
  CU_ASSERT_EQUAL(k.aborts, 1);
  /* A commit that was not taken leaves the stream to be aborted. */
  CU_ASSERT_EQUAL(store_writer_open(host, &k.base, "a", 0, 0, &w, &error),
                  SB_OK);
  k.status = SB_BUSY;
  k.at_once = 1;
  CU_ASSERT_EQUAL(store_writer_commit(w, &meta, &error), SB_BUSY);
  CU_ASSERT_EQUAL(k.aborts, 2);
  CU_ASSERT_EQUAL(store_writer_open(host, &k.base, "a", 0, 0, &w, &error),
                  SB_BUSY);
  CU_ASSERT_PTR_NULL(w);
  store_writer_abort(NULL);
}

static void
test_probe(void)
{
  static const uint32_t all = SB_STORE_CREATE | SB_STORE_MATCH | SB_STORE_COPY
                              | SB_STORE_COPY_FOREIGN;
  sb_probe probe = { .struct_size = sizeof probe };
  sb_error error;
  fixture f;

  memset(&f, 0, sizeof f);
  CU_ASSERT_EQUAL_FATAL(fixture_open_local(&f, NULL, &error), SB_OK);
  CU_ASSERT_EQUAL(store_probe(&f.host, f.store, "some/where", &probe, &error),
                  SB_OK);
  CU_ASSERT_EQUAL(probe.honours, all);
  CU_ASSERT_EQUAL(probe.read, SB_OK);
  CU_ASSERT_EQUAL(probe.write, SB_OK);
  CU_ASSERT_EQUAL(probe.list, SB_OK);
  CU_ASSERT_EQUAL(probe.remove, SB_OK);
  CU_ASSERT_STRING_EQUAL(probe.detail, "");
  CU_ASSERT_EQUAL(probe.struct_size, sizeof probe);
  fixture_remove(&f);
}

static void
test_probe_refused(void)
{
  sb_probe probe = { .struct_size = sizeof probe };
  sb_error error;
  fake k;

  fake_init(&k);
  k.status = SB_DENIED;
  k.message = "no permission";
  CU_ASSERT_EQUAL(store_probe(sb_host_default(), &k.base, "", &probe, &error),
                  SB_OK);
  CU_ASSERT_EQUAL(probe.write, SB_DENIED);
  CU_ASSERT_EQUAL(probe.read, SB_DENIED);
  CU_ASSERT_EQUAL(probe.honours, 0);
  CU_ASSERT_PTR_NOT_NULL(strstr(probe.detail, "no permission"));
}

/* Running out of memory anywhere is reported, and nothing is lost. */
static void
test_memory(void)
{
  sb_error error;
  fixture f;
  long n;

  memset(&f, 0, sizeof f);
  CU_ASSERT_EQUAL_FATAL(fixture_open_local(&f, NULL, &error), SB_OK);
  CU_ASSERT_EQUAL(fixture_put(&f, "p/a", "x", 0, NULL, NULL, &error), SB_OK);
  for (n = 1; n < 100; n++) {
    unsigned count = 0;
    void *data = NULL;
    uint64_t len;
    sb_status status;

    atomic_store(&f.allocations, 0);
    atomic_store(&f.allocation_fails, n);
    status = store_list(&f.host, f.store, "p/", NULL, test_list_entry, &count,
                        &error);
    if (status == SB_OK)
      status = store_get_all(&f.host, f.store, "p/a", 100, &data, &len, NULL,
                             0, &error);
    atomic_store(&f.allocation_fails, 0);
    if (data != NULL)
      (void)f.host.alloc(&f.host, data, 0);
    CU_ASSERT_EQUAL(status, atomic_load(&f.allocations) >= n ? SB_NO_MEMORY
                                                             : SB_OK);
    if (status == SB_OK)
      break;
  }
  CU_ASSERT_TRUE(n > 5 && n < 100);
  fixture_remove(&f);
}

static const tap_case store_cases[] = {
  { "names", test_names },
  { "check", test_check },
  { "errors", test_errors },
  { "put_checks", test_put_checks },
  { "get_all", test_get_all },
  { "list", test_list },
  { "remove", test_remove },
  { "head_meta", test_head_meta },
  { "writer", test_writer },
  { "probe", test_probe },
  { "probe_refused", test_probe_refused },
  { "memory", test_memory },
};

static const tap_suite store_suites[] = {
  { "store", store_cases, TAP_COUNT(store_cases) },
};

int
main(int argc, char **argv)
{
  return tap_main(argc, argv, store_suites, TAP_COUNT(store_suites));
}
