/* SPDX-License-Identifier: Apache-2.0 */
/* conformance: create-only and match conditions, one caller at a time. */
#include "config.h"

#include <string.h>

#include "tests/conformance.h"

static int
condition_supported(conformance *c, uint32_t flag, const char *reason)
{
  if ((c->flags & flag) != 0)
    return 1;
  c->skipped = reason;
  return 0;
}

static void
condition_create(conformance *c)
{
  const char *name = at(c, "create");
  store_meta meta;
  sb_error error;
  sb_status status = put_text(c, name, "first", SB_PUT_CREATE, NULL, &meta,
                              &error);

  if (!condition_supported(c, SB_STORE_CREATE, "no create-only puts")) {
    expect_status(c, status, SB_UNSUPPORTED, &error, "create-only put");
    return;
  }
  expect_status(c, status, SB_OK, &error, "create-only put");
  status = put_text(c, name, "second", SB_PUT_CREATE, NULL, NULL, &error);
  expect_status(c, status, SB_EXISTS, &error, "create-only put, again");
  must_have(c, name, "first");
  remove_one(c, name);
  status = put_text(c, name, "third", SB_PUT_CREATE, NULL, NULL, &error);
  expect_status(c, status, SB_OK, &error, "create-only put after a removal");
  must_have(c, name, "third");
}

static void
condition_match(conformance *c)
{
  const char *name = at(c, "match");
  store_meta first, second;
  sb_error error;
  sb_status status;

  must_put(c, name, "first", &first);
  status = put_text(c, name, "second", 0, first.etag, &second, &error);
  if (!condition_supported(c, SB_STORE_MATCH, "no match puts")) {
    expect_status(c, status, SB_UNSUPPORTED, &error, "match put");
    return;
  }
  expect_status(c, status, SB_OK, &error, "match put");
  must_have(c, name, "second");
  status = put_text(c, name, "third", 0, first.etag, NULL, &error);
  expect_status(c, status, SB_CONFLICT, &error, "match put, old tag");
  must_have(c, name, "second");
  status = put_text(c, name, "fourth", 0, second.etag, NULL, &error);
  expect_status(c, status, SB_OK, &error, "match put, new tag");
  must_have(c, name, "fourth");
  status = put_text(c, at(c, "match-none"), "x", 0, second.etag, NULL, &error);
  expect_status(c, status, SB_CONFLICT, &error, "match put of nothing");
  must_lack(c, at(c, "match-none"));
  must_put(c, name, "fifth", &second);
  remove_one(c, name);
  status = put_text(c, name, "sixth", 0, second.etag, NULL, &error);
  expect_status(c, status, SB_CONFLICT, &error, "match put after a removal");
  must_lack(c, name);
}

/* Tags must tell versions of one size apart, however fast they follow. */
static void
condition_fast_versions(conformance *c)
{
  const char *name = at(c, "versions");
  char text[16] = "version-0";
  char old[SB_ETAG_MAX + 1];
  store_meta meta;
  sb_error error;
  int i;

  if (!condition_supported(c, SB_STORE_MATCH, "no match puts"))
    return;
  must_put(c, name, text, &meta);
  for (i = 1; i < 100; i++) {
    sb_status status;

    text[8] = (char)('0' + i % 10);
    strcpy(old, meta.etag);
    status = put_text(c, name, text, 0, old, &meta, &error);
    if (!expect_status(c, status, SB_OK, &error, "match put in a row"))
      return;
    status = put_text(c, name, "wrong-put", 0, old, NULL, &error);
    if (!expect_status(c, status, SB_CONFLICT, &error, "old tag in a row"))
      return;
  }
  must_have(c, name, text);
}

static void
condition_get(conformance *c)
{
  char bytes[16];
  sb_get_request request = { .name = at(c, "get-match"), .length = 16,
                             .buffer = bytes };
  store_meta meta;
  uint64_t got;
  sb_error error;
  sb_status status;

  must_put(c, request.name, "first", &meta);
  request.if_match = meta.etag;
  status = raw_get(c, &request, &got, &error);
  expect_status(c, status, SB_OK, &error, "get of a version");
  expect(c, got == 5 && memcmp(bytes, "first", 5) == 0, "wrong bytes");
  must_put(c, request.name, "second", NULL);
  status = raw_get(c, &request, &got, &error);
  expect_status(c, status, SB_CONFLICT, &error, "get of an old version");
  remove_one(c, request.name);
  status = raw_get(c, &request, &got, &error);
  expect(c, status == SB_CONFLICT || status == SB_NOT_FOUND,
         "get of a removed version: %s", sb_status_name(status));
}

static void
condition_both(conformance *c)
{
  sb_error error;
  sb_status status = put_text(c, at(c, "both"), "x", SB_PUT_CREATE, "tag",
                              NULL, &error);

  expect_status(c, status, SB_INVALID, &error, "put with two conditions");
  status = put_text(c, at(c, "both"), "x", 0x8000, NULL, NULL, &error);
  expect_status(c, status, SB_INVALID, &error, "put with an unknown flag");
  must_lack(c, at(c, "both"));
}

const conformance_case conformance_conditions[] = {
  { "create", condition_create },
  { "match", condition_match },
  { "fast_versions", condition_fast_versions },
  { "get_match", condition_get },
  { "bad_conditions", condition_both },
  { NULL, NULL },
};
