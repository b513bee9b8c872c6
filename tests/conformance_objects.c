/* SPDX-License-Identifier: Apache-2.0 */
/* conformance: put, get, head, remove, copy, names and metadata. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/conformance.h"

#define OBJECT_MAX ((1u << 20) + 3)

static void
object_round_trip(conformance *c, uint64_t size)
{
  const char *name = at(c, "round-trip");
  uint8_t *data = malloc(OBJECT_MAX);
  uint8_t *back = malloc(OBJECT_MAX);
  store_meta put, head, get;
  uint64_t got = 0;
  sb_error error;
  sb_status status;

  memset(&put, 0, sizeof put);
  fill_pattern(data, 0, size, size);
  status = store_put(c->host, c->store, name, data, size, 0, NULL, NULL, 0,
                     &put, 0, &error);
  expect_status(c, status, SB_OK, &error, "put");
  status = store_head(c->host, c->store, name, &head, &error);
  expect_status(c, status, SB_OK, &error, "head");
  status = store_get(c->host, c->store, name, 0, back, OBJECT_MAX, &got, &get,
                     0, &error);
  if (expect_status(c, status, SB_OK, &error, "get")) {
    expect(c, got == size && memcmp(data, back, size) == 0,
           "%u bytes do not read back", (unsigned)size);
    expect(c, put.size == size && head.size == size && get.size == size,
           "put, head or get tell another size than %u", (unsigned)size);
    expect(c, put.etag[0] != '\0' && strcmp(put.etag, head.etag) == 0
              && strcmp(put.etag, get.etag) == 0,
           "entity tags differ or are empty: put \"%s\", head \"%s\", "
           "get \"%s\"", put.etag, head.etag, get.etag);
  }
  free(data);
  free(back);
}

static void
object_put_get(conformance *c)
{
  static const uint64_t sizes[] = { 0, 1, 100, 4095, 4096, 65535, 65536,
                                    65537, OBJECT_MAX };
  size_t i;

  for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
    object_round_trip(c, sizes[i]);
}

static void
object_get_range(conformance *c)
{
  static const struct {
    uint64_t offset, len, want;
    sb_status status;
  } ranges[] = {
    { 0, 10, 10, SB_OK },   { 0, 11, 10, SB_OK },  { 3, 4, 4, SB_OK },
    { 9, 1, 1, SB_OK },     { 9, 100, 1, SB_OK },  { 10, 5, 0, SB_OK },
    { 10, 0, 0, SB_OK },    { 4, 0, 0, SB_OK },    { 11, 1, 0, SB_INVALID },
    { UINT64_MAX, 1, 0, SB_INVALID },
  };
  const char *content = "0123456789";
  const char *name = at(c, "range");
  size_t i;

  must_put(c, name, content, NULL);
  for (i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
    char bytes[128] = "";
    uint64_t got = 0;
    sb_error error;
    sb_status status;

    status = store_get(c->host, c->store, name, ranges[i].offset, bytes,
                       ranges[i].len, &got, NULL, 0, &error);
    expect_status(c, status, ranges[i].status, &error, "get of a range");
    if (status != SB_OK)
      continue;
    expect(c, got == ranges[i].want
              && memcmp(bytes, content + ranges[i].offset, got) == 0,
           "range %u+%u gave %u wrong bytes", (unsigned)ranges[i].offset,
           (unsigned)ranges[i].len, (unsigned)got);
    expect(c, bytes[got] == '\0', "bytes after the range were written");
  }
}

static void
object_missing(conformance *c)
{
  char bytes[8];
  uint64_t got;
  sb_error error;
  sb_status status = store_get(c->host, c->store, at(c, "missing"), 0, bytes,
                               sizeof bytes, &got, NULL, 0, &error);

  expect_status(c, status, SB_NOT_FOUND, &error, "get of nothing");
  expect(c, strstr(error.message, "missing") != NULL,
         "the error does not name the object: %s", error.message);
  must_lack(c, at(c, "missing"));
  must_lack(c, at(c, "no/such/place/at/all"));
  status = store_get(c->host, c->store, at(c, "no/such/place"), 0, bytes, 0,
                     &got, NULL, 0, &error);
  expect_status(c, status, SB_NOT_FOUND, &error, "get of no bytes of nothing");
}

static void
object_replace(conformance *c)
{
  const char *name = at(c, "replaced");
  store_meta first, second;

  must_put(c, name, "first", &first);
  must_put(c, name, "second, and longer", &second);
  must_have(c, name, "second, and longer");
  expect(c, strcmp(first.etag, second.etag) != 0,
         "the entity tag is the same after another put");
  must_put(c, name, "", NULL);
  must_have(c, name, "");
}

/* A body of many slices, empty ones among them. */
static void
object_slices(conformance *c)
{
  char text[1001];
  size_t i;
  sb_slice body[201];
  sb_put_request request = { .name = at(c, "slices"), .body = body,
                             .body_count = 201 };
  const char *name = request.name;
  sb_error error;
  sb_status status;

  for (i = 0; i < 1000; i++)
    text[i] = (char)('a' + i % 26);
  text[1000] = '\0';
  for (i = 0; i < 201; i++)
    body[i] = i % 2 == 0 ? sb_slice_of(NULL, 0)
                         : sb_slice_of(text + i / 2 * 10, 10);
  status = raw_put(c, &request, &error);
  expect_status(c, status, SB_OK, &error, "put of many slices");
  must_have(c, name, text);
}

static void
object_remove(conformance *c)
{
  enum { COUNT = 1500 };
  static char names[COUNT][160];
  static const char *list[COUNT];
  static sb_status statuses[COUNT];
  sb_error error;
  sb_status status;
  size_t i;

  remove_one(c, at(c, "was/never/there"));
  for (i = 0; i < COUNT; i++) {
    (void)snprintf(names[i], sizeof names[i], "%sremove/%02u/%04u", c->prefix,
                   (unsigned)i % 16, (unsigned)i);
    list[i] = names[i];
    statuses[i] = SB_IO;
    if (i % 50 == 0)
      must_put(c, names[i], "x", NULL);
  }
  status = store_remove(c->host, c->store, list, COUNT, statuses, &error);
  expect_status(c, status, SB_OK, &error, "remove of many");
  for (i = 0; i < COUNT; i++)
    if (!expect_status(c, statuses[i], SB_OK, NULL, "status of one of many"))
      break;
  for (i = 0; i < COUNT; i += 50)
    must_lack(c, names[i]);
  must_put(c, names[0], "again", NULL);
  must_have(c, names[0], "again");
  remove_one(c, names[0]);
  remove_one(c, names[0]);
  status = store_remove(c->host, c->store, list, 0, NULL, &error);
  expect_status(c, status, SB_OK, &error, "remove of none");
}

/* ---- names -------------------------------------------------------------- */

static void
object_names(conformance *c)
{
  static const char *const good[] = {
    "a b", "~", "...", "..a", "a.", "-", "_", "%2F%00", "back\\slash",
    "quo\"te'", "*?[]{}", "$(x)`y`", "<&>;|", "#frag?query=1&b=2", "+=@,:!^",
    "a.state", "A", "1/2/3/4/5/6/7/8/9/10/11/12", ".hidden/.x",
    "trailing .", " ",
  };
  size_t i;

  for (i = 0; i < sizeof good / sizeof good[0]; i++) {
    char name[128];

    (void)snprintf(name, sizeof name, "names/%s", good[i]);
    must_put(c, at(c, name), good[i], NULL);
  }
  for (i = 0; i < sizeof good / sizeof good[0]; i++) {
    char name[128];

    (void)snprintf(name, sizeof name, "names/%s", good[i]);
    must_have(c, at(c, name), good[i]);
  }
}

static void
object_bad_names(conformance *c)
{
  static const char *const bad[] = {
    "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "./a",
    "a/./b", "a\nb", "a\tb", "a\x7f", "caf\xc3\xa9",
  };
  size_t i;

  for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    sb_error error;
    sb_status status = put_text(c, bad[i], "x", 0, NULL, NULL, &error);

    expect_status(c, status, SB_INVALID, &error, "put under a bad name");
    status = store_head(c->host, c->store, bad[i], NULL, &error);
    expect_status(c, status, SB_INVALID, &error, "head of a bad name");
  }
}

static void
object_long_names(conformance *c)
{
  char name[SB_OBJECT_NAME_MAX + 2];
  size_t len = strlen(c->prefix);
  sb_error error;
  sb_status status;

  memcpy(name, c->prefix, len);
  for (; len < SB_OBJECT_NAME_MAX; len++)
    name[len] = len % 200 == 0 && len + 1 < SB_OBJECT_NAME_MAX ? '/' : 'n';
  name[len] = '\0';
  must_put(c, name, "long", NULL);
  must_have(c, name, "long");
  name[len] = 'n';
  name[len + 1] = '\0';
  status = put_text(c, name, "x", 0, NULL, NULL, &error);
  expect_status(c, status, SB_TOO_LARGE, &error, "put under too long a name");
  name[len] = '\0';
  remove_one(c, name);
  must_lack(c, name);
}

/* An object whose name is the beginning of another's: both, or a clear no. */
static void
object_nested(conformance *c)
{
  sb_error error;
  sb_status status;

  must_put(c, at(c, "nested"), "outer", NULL);
  status = put_text(c, at(c, "nested/inner"), "inner", 0, NULL, NULL, &error);
  if (status != SB_OK)
    expect_status(c, status, SB_INVALID, &error, "put below an object");
  else
    must_have(c, at(c, "nested/inner"), "inner");
  must_have(c, at(c, "nested"), "outer");
  must_put(c, at(c, "tree/leaf"), "leaf", NULL);
  status = put_text(c, at(c, "tree"), "tree", 0, NULL, NULL, &error);
  if (status != SB_OK)
    expect_status(c, status, SB_INVALID, &error, "put above an object");
  else
    must_have(c, at(c, "tree"), "tree");
  must_have(c, at(c, "tree/leaf"), "leaf");
  remove_one(c, at(c, "tree/leaf"));
  must_put(c, at(c, "tree"), "now", NULL);
  must_have(c, at(c, "tree"), "now");
  remove_one(c, at(c, "nested/inner"));
  remove_one(c, at(c, "tree/leaf"));
}

/* ---- metadata ----------------------------------------------------------- */

static void
object_expect_meta(conformance *c, const char *name, const char *key,
                   const char *want)
{
  char *value = NULL;
  sb_error error;
  sb_status status = store_head_meta(c->host, c->store, name, key, NULL,
                                     &value, &error);

  expect_status(c, status, SB_OK, &error, "head with metadata");
  if (want == NULL)
    expect(c, value == NULL, "metadata \"%s\" should not be there", key);
  else
    expect(c, value != NULL && strcmp(value, want) == 0,
           "metadata \"%s\" is \"%.40s\", not \"%.40s\"", key,
           value == NULL ? "(none)" : value, want);
  if (value != NULL)
    (void)c->host->alloc(c->host, value, 0);
}

static void
object_metadata(conformance *c)
{
  static char big[2001];
  const char *name = at(c, "metadata");
  sb_meta meta[3] = { { "generation", "17" },
                      { "a-b-1", "with spaces, = and \"quotes\"" },
                      { "big", big } };
  sb_error error;
  sb_status status;

  memset(big, 'v', 2000);
  status = store_put(c->host, c->store, name, "x", 1, 0, NULL, meta, 2, NULL,
                     0, &error);
  expect_status(c, status, SB_OK, &error, "put with metadata");
  object_expect_meta(c, name, "generation", "17");
  object_expect_meta(c, name, "a-b-1", meta[1].value);
  object_expect_meta(c, name, "none", NULL);
  status = store_put(c->host, c->store, name, "y", 1, 0, NULL, meta + 2, 1,
                     NULL, 0, &error);
  expect_status(c, status, SB_OK, &error, "put with much metadata");
  object_expect_meta(c, name, "big", big);
  object_expect_meta(c, name, "generation", NULL);
  must_put(c, name, "z", NULL);
  object_expect_meta(c, name, "big", NULL);
  meta[0].value = "line\nbreak";
  status = store_put(c->host, c->store, name, "x", 1, 0, NULL, meta, 1, NULL,
                     0, &error);
  expect_status(c, status, SB_INVALID, &error, "put with bad metadata");
}

/* ---- copy --------------------------------------------------------------- */

static void
object_copy(conformance *c)
{
  const char *from = at(c, "copy/from");
  const char *to = at(c, "copy/there/to");
  sb_meta meta = { "kind", "source" };
  store_meta out;
  sb_error error;
  sb_status status = store_put(c->host, c->store, from, "content", 7, 0, NULL,
                               &meta, 1, NULL, 0, &error);

  expect_status(c, status, SB_OK, &error, "put");
  status = store_copy(c->host, c->store, NULL, from, to, 0, &out, &error);
  if ((c->flags & SB_STORE_COPY) == 0) {
    expect_status(c, status, SB_UNSUPPORTED, &error, "copy");
    c->skipped = "the store does not copy";
    return;
  }
  expect_status(c, status, SB_OK, &error, "copy");
  expect(c, out.size == 7, "a copy of 7 bytes has %u", (unsigned)out.size);
  must_have(c, to, "content");
  object_expect_meta(c, to, "kind", "source");
  must_put(c, from, "changed", NULL);
  must_have(c, to, "content");
  status = store_copy(c->host, c->store, NULL, from, to, SB_PUT_CREATE, NULL,
                      &error);
  expect_status(c, status, SB_EXISTS, &error, "create-only copy");
  must_have(c, to, "content");
  status = store_copy(c->host, c->store, NULL, from, to, 0, NULL, &error);
  expect_status(c, status, SB_OK, &error, "copy that replaces");
  status = store_copy(c->host, c->store, NULL, from, to, 0, NULL, &error);
  expect_status(c, status, SB_OK, &error, "the same copy again");
  must_have(c, to, "changed");
  remove_one(c, from);
  must_have(c, to, "changed");
  status = store_copy(c->host, c->store, NULL, from, to, 0, NULL, &error);
  expect_status(c, status, SB_NOT_FOUND, &error, "copy of nothing");
  must_have(c, to, "changed");
  status = store_copy(c->host, c->store, store_info(c->store)->root, to, from,
                      SB_PUT_CREATE, NULL, &error);
  if ((c->flags & SB_STORE_COPY_FOREIGN) != 0)
    expect_status(c, status, SB_OK, &error, "copy with the own root");
}

const conformance_case conformance_objects[] = {
  { "put_get", object_put_get },
  { "get_range", object_get_range },
  { "missing", object_missing },
  { "replace", object_replace },
  { "slices", object_slices },
  { "remove", object_remove },
  { "names", object_names },
  { "bad_names", object_bad_names },
  { "long_names", object_long_names },
  { "nested", object_nested },
  { "metadata", object_metadata },
  { "copy", object_copy },
  { NULL, NULL },
};
