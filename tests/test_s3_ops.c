/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing, removing, copying, looking, sweeping and describing by the s3
 * store. Method: the store ABI against the test server, which is told to
 * answer as servers are known to.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/s3_fixture.h"
#include "tests/store_fixture.h"
#include "tests/tap.h"

static void
ops_store(s3_fixture *f, const char *name)
{
  s3_server_store(f->server, S3_TEST_BUCKET, name, name, strlen(name));
}

/* ---- head --------------------------------------------------------------- */

static void
test_head(void)
{
  sb_meta meta = { "kind", "a b" };
  char *value = NULL;
  store_meta is;
  s3_fixture f;

  s3_fixture_begin(&f, NULL, NULL);
  CU_ASSERT(s3_fixture_head(&f, S3_FIXTURE_NAME, &is) == SB_OK);
  CU_ASSERT(is.size == S3_FIXTURE_SIZE && is.etag[0] == '"');
  s3_fixture_expect(&f, s3_fixture_head(&f, "nothing", NULL), SB_NOT_FOUND,
                    "nothing");
  CU_ASSERT(store_put(&f.host, &f.store->base, "m", "x", 1, SB_PUT_CREATE,
                      NULL, &meta, 1, NULL, 0, NULL) == SB_OK);
  CU_ASSERT(store_head_meta(&f.host, &f.store->base, "m", "kind", NULL, &value,
                            NULL) == SB_OK);
  CU_ASSERT_PTR_NOT_NULL_FATAL(value);
  CU_ASSERT_STRING_EQUAL(value, "a b");
  (void)f.host.alloc(&f.host, value, 0);
  /* The nonce of a conditional write is the store's own. */
  CU_ASSERT(store_head_meta(&f.host, &f.store->base, "m", S3_META_NONCE, NULL,
                            &value, NULL) == SB_OK);
  CU_ASSERT_PTR_NULL(value);
  s3_fixture_end(&f);
}

/* ---- list --------------------------------------------------------------- */

typedef struct ops_page {
  s3_fixture *f;
  sb_event *event;
  sb_status status;
  uint64_t count;
  uint32_t truncated;
  char first[64], last[64];
} ops_page;

static void
ops_page_done(void *arg, const sb_store_result *result)
{
  ops_page *page = arg;

  page->status = result->status;
  page->count = result->entry_count;
  page->truncated = result->truncated;
  if (result->error != NULL)
    page->f->error = *result->error;
  if (result->entry_count > 0) {
    (void)snprintf(page->first, sizeof page->first, "%s",
                   result->entries[0].name);
    (void)snprintf(page->last, sizeof page->last, "%s",
                   result->entries[result->entry_count - 1].name);
  }
  page->f->host.event_set(&page->f->host, page->event);
}

static sb_status
ops_list(s3_fixture *f, const char *prefix, const char *after, uint64_t limit,
         ops_page *page)
{
  sb_list_request request = { .base = { .struct_size = sizeof request },
                              .prefix = prefix, .start_after = after,
                              .limit = limit };

  memset(page, 0, sizeof *page);
  page->f = f;
  page->event = f->host.event_new(&f->host);
  request.base.done = ops_page_done;
  request.base.arg = page;
  CU_ASSERT_FATAL(s3_list(&f->store->base, &request, NULL, &f->error)
                  == SB_OK);
  (void)f->host.event_wait(&f->host, page->event, SB_NO_DEADLINE);
  f->host.event_free(&f->host, page->event);
  return page->status;
}

static void
test_list_pages(void)
{
  ops_page page;
  s3_fixture f;
  char name[32];
  int i;

  s3_fixture_begin(&f, NULL, NULL);
  for (i = 0; i < 25; i++) {
    (void)snprintf(name, sizeof name, "p/%02d", i);
    ops_store(&f, name);
  }
  CU_ASSERT(ops_list(&f, "p/", NULL, 10, &page) == SB_OK);
  CU_ASSERT(page.count == 10 && page.truncated == 1);
  CU_ASSERT_STRING_EQUAL(page.last, "p/09");
  CU_ASSERT(ops_list(&f, "p/", "p/19", 10, &page) == SB_OK);
  CU_ASSERT(page.count == 5 && page.truncated == 0);
  CU_ASSERT_STRING_EQUAL(page.first, "p/20");
  CU_ASSERT(ops_list(&f, "p/", "a", 100, &page) == SB_OK && page.count == 25);
  CU_ASSERT(ops_list(&f, "p/", "q", 100, &page) == SB_OK && page.count == 0);
  CU_ASSERT(ops_list(&f, "x", NULL, 0, &page) == SB_OK && page.count == 0);
  s3_fixture_end(&f);
}

/* Names that none of ours can have are passed over, page by page. */
static void
test_list_foreign(void)
{
  ops_page page;
  s3_fixture f;
  char name[32];
  int i;

  s3_fixture_begin(&f, NULL, NULL);
  for (i = 0; i < 9; i++) {
    (void)snprintf(name, sizeof name, "f/%02d/", i);
    ops_store(&f, name);
  }
  ops_store(&f, "f//x");
  ops_store(&f, "f/a+b c%20&d");
  ops_store(&f, "f/caf\xc3\xa9");
  ops_store(&f, "f/z");
  CU_ASSERT(ops_list(&f, "f/", NULL, 3, &page) == SB_OK);
  CU_ASSERT(page.count == 1 && page.truncated == 1);
  CU_ASSERT_STRING_EQUAL(page.first, "f/a+b c%20&d");
  CU_ASSERT(s3_server_seen(f.server, "list") == 4);
  CU_ASSERT(ops_list(&f, "f/", "f/a+b c%20&d", 3, &page) == SB_OK);
  CU_ASSERT(page.count == 1 && page.truncated == 0);
  CU_ASSERT_STRING_EQUAL(page.first, "f/z");
  s3_fixture_end(&f);
}

static void
ops_list_fault(const char *rule, sb_status wanted, const char *text)
{
  ops_page page;
  s3_fixture f;
  char name[32];
  int i;

  s3_fixture_begin(&f, rule, NULL);
  for (i = 0; i < 9; i++) {
    (void)snprintf(name, sizeof name, "f/%02d/", i);
    ops_store(&f, name);
  }
  ops_store(&f, "f/a");
  s3_fixture_expect(&f, ops_list(&f, "f/", NULL, 3, &page), wanted, text);
  if (page.status != wanted)
    tap_note("with %s", rule);
  if (wanted == SB_OK)
    CU_ASSERT_STRING_EQUAL(page.first, "f/a");
  CU_ASSERT(s3_server_seen(f.server, "list") < 20);
  s3_fixture_end(&f);
}

static void
test_list_faults(void)
{
  ops_list_fault("list count=0 list-token=same", SB_IO, "");
  ops_list_fault("list count=0 list-token=empty", SB_OK, NULL);
  ops_list_fault("list status=503 code=SlowDown", SB_OK, NULL);
  ops_list_fault("list spaces=5", SB_OK, NULL);
  ops_list_fault("list bomb", SB_OK, NULL);
  ops_list_fault("list count=0 bomb", SB_IO, NULL);
}

/* ---- remove ------------------------------------------------------------- */

#define OPS_NAMES 40

typedef struct ops_names {
  char text[OPS_NAMES][32];
  const char *list[OPS_NAMES];
  sb_status statuses[OPS_NAMES];
} ops_names;

static void
ops_names_make(s3_fixture *f, ops_names *names, const char *rules)
{
  int i;

  s3_fixture_begin(f, rules, NULL);
  for (i = 0; i < OPS_NAMES; i++) {
    (void)snprintf(names->text[i], sizeof names->text[i], "r/%02d<&>\"", i);
    names->list[i] = names->text[i];
    names->statuses[i] = SB_IO;
    if (i % 4 != 3)
      ops_store(f, names->text[i]);
  }
}

/* Every status is `wanted` but that of names with "07", which is `other`. */
static void
ops_names_check(const ops_names *names, sb_status wanted, sb_status other)
{
  int i;

  for (i = 0; i < OPS_NAMES; i++)
    CU_ASSERT(names->statuses[i] == (i == 8 ? other : wanted));
}

static void
test_remove(void)
{
  ops_names names;
  s3_fixture f;

  ops_names_make(&f, &names, NULL);
  CU_ASSERT(s3_fixture_remove(&f, names.list, OPS_NAMES, names.statuses)
            == SB_OK);
  ops_names_check(&names, SB_OK, SB_OK);
  CU_ASSERT(s3_server_seen(f.server, "delete_batch") == 1);
  CU_ASSERT(s3_server_objects(f.server, S3_TEST_BUCKET) == 1);
  CU_ASSERT(s3_fixture_remove(&f, names.list, 1, NULL) == SB_OK);
  CU_ASSERT(s3_server_seen(f.server, "delete") == 1);
  CU_ASSERT(s3_fixture_remove(&f, names.list, 0, NULL) == SB_OK);
  s3_fixture_end(&f);
}

static void
test_remove_partly(void)
{
  ops_names names;
  s3_fixture f;

  ops_names_make(&f, &names,
                 "delete_batch count=0 delete-errors=08 code=AccessDenied");
  s3_fixture_expect(&f, s3_fixture_remove(&f, names.list, OPS_NAMES,
                                          names.statuses),
                    SB_DENIED, "r/08");
  ops_names_check(&names, SB_OK, SB_DENIED);
  CU_ASSERT(s3_server_objects(f.server, S3_TEST_BUCKET) == 2);
  CU_ASSERT(s3_server_seen(f.server, "delete_batch") == 1);
  s3_fixture_end(&f);
  /* What may pass is tried again: two names, then one of them alone. */
  ops_names_make(&f, &names, "delete_batch delete-errors=0 code=SlowDown\n"
                 "delete_batch delete-errors=08 code=InternalError");
  CU_ASSERT(s3_fixture_remove(&f, names.list, OPS_NAMES, names.statuses)
            == SB_OK);
  ops_names_check(&names, SB_OK, SB_OK);
  CU_ASSERT(s3_server_seen(f.server, "delete_batch") == 2);
  CU_ASSERT(s3_server_seen(f.server, "delete") == 1);
  CU_ASSERT(s3_server_objects(f.server, S3_TEST_BUCKET) == 1);
  s3_fixture_end(&f);
  /* ... but not for ever. */
  ops_names_make(&f, &names,
                 "delete_batch count=0 delete-errors=8 code=SlowDown");
  s3_fixture_expect(&f, s3_fixture_remove(&f, names.list, OPS_NAMES,
                                          names.statuses),
                    SB_BUSY, "r/08");
  CU_ASSERT(s3_server_seen(f.server, "delete_batch") == 4);
  CU_ASSERT(names.statuses[0] == SB_OK && names.statuses[8] == SB_BUSY
            && names.statuses[38] == SB_BUSY);
  s3_fixture_end(&f);
}

static void
test_remove_fallback(void)
{
  static const char *const rules[] = {
    "delete_batch count=0 status=501 code=NotImplemented",
    "delete_batch count=0 status=405 code=MethodNotAllowed",
    "delete_batch count=0 status=400 code=MalformedXML",
  };
  ops_names names;
  s3_fixture f;
  size_t i;

  for (i = 0; i < TAP_COUNT(rules); i++) {
    ops_names_make(&f, &names, rules[i]);
    CU_ASSERT(s3_fixture_remove(&f, names.list, OPS_NAMES, names.statuses)
              == SB_OK);
    ops_names_check(&names, SB_OK, SB_OK);
    CU_ASSERT(s3_server_seen(f.server, "delete") == OPS_NAMES);
    CU_ASSERT(s3_server_objects(f.server, S3_TEST_BUCKET) == 1);
    /* It is not asked again. */
    CU_ASSERT(s3_fixture_remove(&f, names.list, 3, NULL) == SB_OK);
    CU_ASSERT(s3_server_seen(f.server, "delete_batch") == 1);
    s3_fixture_end(&f);
  }
  ops_names_make(&f, &names,
                 "delete_batch count=0 status=501 code=NotImplemented\n"
                 "delete key=08 count=0 status=403 code=AccessDenied");
  s3_fixture_expect(&f, s3_fixture_remove(&f, names.list, OPS_NAMES,
                                          names.statuses),
                    SB_DENIED, "r/08");
  ops_names_check(&names, SB_OK, SB_DENIED);
  s3_fixture_end(&f);
}

static void
test_remove_faults(void)
{
  static const char *const rules[] = {
    "delete_batch ok-error=InternalError",
    "delete_batch spaces=4",
    "delete_batch status=500 code=InternalError",
    "delete_batch apply reset",
    "delete_batch status=503 code=SlowDown",
  };
  ops_names names;
  s3_fixture f;
  size_t i;

  for (i = 0; i < TAP_COUNT(rules); i++) {
    ops_names_make(&f, &names, rules[i]);
    s3_fixture_expect(&f, s3_fixture_remove(&f, names.list, OPS_NAMES,
                                            names.statuses), SB_OK, NULL);
    ops_names_check(&names, SB_OK, SB_OK);
    s3_fixture_end(&f);
  }
  ops_names_make(&f, &names, "delete_batch count=0 status=403 "
                             "code=AccessDenied");
  s3_fixture_expect(&f, s3_fixture_remove(&f, names.list, OPS_NAMES,
                                          names.statuses), SB_DENIED, "r/00");
  ops_names_check(&names, SB_DENIED, SB_DENIED);
  s3_fixture_end(&f);
}

/* ---- copy --------------------------------------------------------------- */

static sb_status
ops_copy(s3_fixture *f, const char *root, const char *source,
         const char *name, uint32_t flags, store_meta *out)
{
  sb_status status = store_copy(&f->host, &f->store->base, root, source, name,
                                flags, out, &f->error);

  if (status != SB_OK)
    tap_note("%s: %s", sb_status_name(status), f->error.message);
  return status;
}

static void
test_copy(void)
{
  store_meta out, is;
  s3_fixture f;

  s3_fixture_begin(&f, NULL, NULL);
  ops_store(&f, "a b&c");
  CU_ASSERT(ops_copy(&f, NULL, "a b&c", "to", 0, &out) == SB_OK);
  CU_ASSERT(s3_fixture_head(&f, "to", &is) == SB_OK);
  CU_ASSERT(out.size == 5 && strcmp(out.etag, is.etag) == 0);
  CU_ASSERT(s3_fixture_holds(&f, "to", "a b&c", 5));
  CU_ASSERT(ops_copy(&f, NULL, "none", "to", 0, NULL) == SB_NOT_FOUND);
  CU_ASSERT(ops_copy(&f, f.store->root_text, "to", "again", 0, NULL)
            == SB_OK);
  CU_ASSERT(ops_copy(&f, "s3://bucket", "to", "x", 0, NULL)
            == SB_UNSUPPORTED);
  CU_ASSERT(ops_copy(&f, "local:/x", "to", "x", 0, NULL) == SB_UNSUPPORTED);
  CU_ASSERT(ops_copy(&f, NULL, "to", "x/", 0, NULL) == SB_INVALID);
  s3_fixture_end(&f);
}

/* Create-only copies are uploads, whose completion is conditional. */
static void
test_copy_create(void)
{
  sb_meta meta = { "kind", "source" };
  char *value = NULL;
  store_meta out;
  s3_fixture f;

  s3_fixture_begin(&f, NULL, NULL);
  CU_ASSERT(store_put(&f.host, &f.store->base, "m", "xyz", 3, 0, NULL, &meta,
                      1, NULL, 0, NULL) == SB_OK);
  CU_ASSERT(ops_copy(&f, NULL, "m", "to", SB_PUT_CREATE, &out) == SB_OK);
  CU_ASSERT(out.size == 3 && s3_fixture_holds(&f, "to", "xyz", 3));
  CU_ASSERT(s3_server_seen(f.server, "upload_complete") == 1);
  CU_ASSERT(store_head_meta(&f.host, &f.store->base, "to", "kind", NULL,
                            &value, NULL) == SB_OK);
  CU_ASSERT_PTR_NOT_NULL_FATAL(value);
  CU_ASSERT_STRING_EQUAL(value, "source");
  (void)f.host.alloc(&f.host, value, 0);
  CU_ASSERT(ops_copy(&f, NULL, "m", "to", SB_PUT_CREATE, NULL) == SB_EXISTS);
  s3_server_store(f.server, S3_TEST_BUCKET, "empty", "", 0);
  CU_ASSERT(ops_copy(&f, NULL, "empty", "e2", SB_PUT_CREATE, &out) == SB_OK);
  CU_ASSERT(out.size == 0 && s3_fixture_holds(&f, "e2", "", 0));
  CU_ASSERT(ops_copy(&f, NULL, "none", "e3", SB_PUT_CREATE, NULL)
            == SB_NOT_FOUND);
  CU_ASSERT(s3_server_uploads(f.server, S3_TEST_BUCKET) == 0);
  s3_fixture_end(&f);
}

static void
test_copy_foreign(void)
{
  char root[128];
  store_meta out;
  s3_fixture f;

  s3_fixture_begin(&f, NULL, NULL);
  s3_server_bucket(f.server, "other", S3_TEST_REGION);
  s3_server_store(f.server, "other", "from", "12345", 5);
  (void)snprintf(root, sizeof root, "minio://%s/other",
                 s3_server_url(f.server) + strlen("http://"));
  CU_ASSERT(ops_copy(&f, root, "from", "to", 0, &out) == SB_OK);
  CU_ASSERT(out.size == 5 && out.etag[0] != '\0');
  CU_ASSERT(s3_fixture_holds(&f, "to", "12345", 5));
  CU_ASSERT(ops_copy(&f, root, "from", "to", SB_PUT_CREATE, NULL)
            == SB_EXISTS);
  CU_ASSERT(ops_copy(&f, root, "from", "to2", SB_PUT_CREATE, NULL) == SB_OK);
  s3_fixture_end(&f);
}

static void
test_copy_large(void)
{
  const size_t size = 90u << 20;
  char *data = http_alloc(size);
  store_meta out;
  s3_fixture f;
  size_t i;

  for (i = 0; i < size; i += 4096)
    data[i] = (char)s3_fixture_byte(i >> 12);
  s3_fixture_begin(&f, NULL, "state-file-part-size=5mb\n"
                   "multipart-threshold=5mb\nfirst-byte-timeout=20s\n"
                   "request-timeout=60s");
  s3_server_store(f.server, S3_TEST_BUCKET, "large", data, size);
  CU_ASSERT(ops_copy(&f, NULL, "large", "to", 0, &out) == SB_OK);
  CU_ASSERT(out.size == size && s3_fixture_holds(&f, "to", data, size));
  CU_ASSERT(s3_server_seen(f.server, "upload_part_copy") == 3);
  CU_ASSERT(s3_server_uploads(f.server, S3_TEST_BUCKET) == 0);
  s3_fixture_end(&f);
  free(data);
}

static void
test_copy_faults(void)
{
  static const char *const passing[] = {
    "copy ok-error=InternalError", "copy ok-error=SlowDown", "copy spaces=9",
    "copy status=503 code=SlowDown", "copy apply reset",
    "upload_part_copy ok-error=InternalError", "upload_part_copy reset",
    "upload_complete apply reset", "upload_complete ok-error=InternalError",
  };
  s3_fixture f;
  size_t i;

  for (i = 0; i < TAP_COUNT(passing); i++) {
    s3_fixture_begin(&f, passing[i], NULL);
    ops_store(&f, "from");
    CU_ASSERT(ops_copy(&f, NULL, "from", "one", 0, NULL) == SB_OK);
    CU_ASSERT(ops_copy(&f, NULL, "from", "two", SB_PUT_CREATE, NULL)
              == SB_OK);
    CU_ASSERT(s3_fixture_holds(&f, "one", "from", 4));
    CU_ASSERT(s3_fixture_holds(&f, "two", "from", 4));
    s3_fixture_end(&f);
  }
}

/* ---- sweep and describe ------------------------------------------------- */

static int
ops_is_dead(void *arg, const char *name)
{
  ++*(unsigned *)arg;
  return strstr(name, "dead") != NULL;
}

/* Uploads that a stream leaves behind when it cannot give them up. */
static void
ops_leave_upload(s3_fixture *f, const char *name)
{
  const size_t size = 6u << 20;
  char *data = http_alloc(size);
  store_writer *w;

  s3_fixture_rules(f, "upload_abort status=403 code=AccessDenied");
  CU_ASSERT_FATAL(store_writer_open(&f->host, &f->store->base, name, 0, 0, &w,
                                    NULL) == SB_OK);
  CU_ASSERT(store_writer_add(w, data, size, NULL) == SB_OK);
  store_writer_abort(w);
  s3_server_mend(f->server);
  free(data);
}

static void
test_sweep(void)
{
  unsigned asked = 0;
  uint64_t count = 0;
  s3_fixture f;

  s3_fixture_begin(&f, NULL, "state-file-part-size=5mb\n"
                   "multipart-threshold=5mb");
  ops_leave_upload(&f, "j/1/dead1");
  ops_leave_upload(&f, "j/1/dead2");
  ops_leave_upload(&f, "j/2/live");
  ops_leave_upload(&f, "k/dead");
  CU_ASSERT(s3_server_uploads(f.server, S3_TEST_BUCKET) == 4);
  CU_ASSERT(s3_fixture_logged(&f, "could not give up the upload"));
  CU_ASSERT(store_sweep(&f.host, &f.store->base, "j/", ops_is_dead, &asked,
                        &count, &f.error) == SB_OK);
  CU_ASSERT(count == 2 && asked == 3);
  CU_ASSERT(s3_server_uploads(f.server, S3_TEST_BUCKET) == 2);
  s3_fixture_rules(&f, "upload_list status=403 code=AccessDenied");
  s3_fixture_expect(&f, store_sweep(&f.host, &f.store->base, "", ops_is_dead,
                                    &asked, NULL, &f.error),
                    SB_DENIED, "AccessDenied");
  s3_fixture_rules(&f, "upload_abort count=0 status=403 code=AccessDenied");
  s3_fixture_expect(&f, store_sweep(&f.host, &f.store->base, "", ops_is_dead,
                                    &asked, NULL, &f.error),
                    SB_DENIED, "k/dead");
  s3_fixture_end(&f);
}

static void
ops_fact(void *arg, const char *key, const char *value)
{
  http_text_printf(arg, "%s=%s\n", key, value);
}

static void
test_describe(void)
{
  http_text text = { 0 };
  s3_fixture f;

  s3_fixture_begin(&f, NULL, "state-file-encryption=true");
  CU_ASSERT(s3_describe(&f.store->base, ops_fact, &text, &f.error) == SB_OK);
  CU_ASSERT_PTR_NOT_NULL(strstr(http_text_string(&text),
                                "region=" S3_TEST_REGION "\n"));
  CU_ASSERT_PTR_NOT_NULL(strstr(http_text_string(&text), "tls=no\n"));
  CU_ASSERT_PTR_NOT_NULL(strstr(http_text_string(&text),
                                "bulk-delete=yes\n"));
  CU_ASSERT_PTR_NULL(strstr(http_text_string(&text), "SECRET"));
  http_text_free(&text);
  s3_fixture_end(&f);
}

typedef struct ops_times {
  const char *name;          /* of a histogram, up to its operation */
  int64_t count;
} ops_times;

static void
ops_bucket(void *arg, const char *name, int64_t value)
{
  ops_times *times = arg;

  if (strncmp(name, times->name, strlen(times->name)) == 0
      && strstr(name, "le=") != NULL)
    times->count += value;
}

static int64_t
ops_count(const char *name)
{
  ops_times times = { name, 0 };

  sb_host_metrics(ops_bucket, &times);
  return times.count;
}

/* An answer that comes within one turn of the loop is counted, too. */
static void
test_first_bytes(void)
{
  static const char first[] = "s3.request_first_byte_ns{op=\"head\"";
  static const char total[] = "s3.request_ns{op=\"head\"";
  int64_t first_before = ops_count(first), total_before = ops_count(total);
  s3_fixture f;
  int i;

  s3_fixture_begin(&f, NULL, NULL);
  for (i = 0; i < 20; i++)
    s3_fixture_expect(&f, s3_fixture_head(&f, S3_FIXTURE_NAME, NULL), SB_OK,
                      NULL);
  s3_fixture_end(&f);
  CU_ASSERT(ops_count(total) - total_before == 20);
  CU_ASSERT(ops_count(first) - first_before == 20);
}

/* Both go through filters. */
static void
test_filtered(void)
{
  const char *settings[] = {
    "state.backend.s3.bucket", S3_TEST_BUCKET, "aws.region", S3_TEST_REGION,
    "aws.credentials.provider.basic.accesskeyid", S3_TEST_ACCESS,
    "aws.credentials.provider.basic.secretkey", S3_TEST_SECRET,
    "state.backend.s3.conditional-writes", "match",
    "state.backend.s3.open-check", "none", "state.backend.filters",
    "stats,fault", "aws.endpoint", NULL, NULL,
  };
  http_text text = { 0 };
  uint64_t count = 1;
  unsigned asked = 0;
  s3_server *server = s3_server_start(NULL);
  sb_error error;
  sb_status status;
  fixture f;

  CU_ASSERT_PTR_NOT_NULL_FATAL(server);
  memset(&f, 0, sizeof f);
  settings[TAP_COUNT(settings) - 2] = s3_server_url(server);
  status = fixture_open(&f, "s3", settings, &error);
  if (status != SB_OK)
    tap_note("%s", error.message);
  CU_ASSERT_FATAL(status == SB_OK);
  CU_ASSERT_FATAL(SB_STORE_HAS(f.store, sweep)
                  && SB_STORE_HAS(f.store, describe));
  CU_ASSERT(store_sweep(&f.host, f.store, "", ops_is_dead, &asked, &count,
                        NULL) == SB_OK);
  CU_ASSERT(count == 0 && s3_server_seen(server, "upload_list") == 1);
  CU_ASSERT(f.store->ops->describe(f.store, ops_fact, &text, NULL) == SB_OK);
  CU_ASSERT_PTR_NOT_NULL(strstr(http_text_string(&text),
                                "bucket=" S3_TEST_BUCKET "\n"));
  http_text_free(&text);
  fixture_close(&f);
  s3_server_stop(server);
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "head", test_head },
    { "list_pages", test_list_pages },
    { "list_foreign", test_list_foreign },
    { "list_faults", test_list_faults },
    { "remove", test_remove },
    { "remove_partly", test_remove_partly },
    { "remove_fallback", test_remove_fallback },
    { "remove_faults", test_remove_faults },
    { "copy", test_copy },
    { "copy_create", test_copy_create },
    { "copy_foreign", test_copy_foreign },
    { "copy_large", test_copy_large },
    { "copy_faults", test_copy_faults },
    { "sweep", test_sweep },
    { "describe", test_describe },
    { "first_bytes", test_first_bytes },
    { "filtered", test_filtered },
  };
  static const tap_suite suites[] = { { "s3_ops", cases, TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
