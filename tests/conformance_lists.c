/* SPDX-License-Identifier: Apache-2.0 */
/* conformance: listing in byte order, by prefix, from a name on, in pages. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/conformance.h"

#define LIST_MANY 1234u

typedef struct list_seen {
  conformance *c;
  const char *const *want;
  size_t want_count, count;
  int details;              /* size and tag must be those of head */
} list_seen;

static sb_status
list_compare(void *arg, const sb_store_entry *entry, sb_error *err)
{
  list_seen *seen = arg;
  conformance *c = seen->c;
  const char *name = entry->name + strlen(c->prefix);
  const char *want = seen->count < seen->want_count ? seen->want[seen->count]
                                                    : "(none)";
  store_meta meta;

  expect(c, strcmp(name, want) == 0, "listed \"%s\", wanted \"%s\"", name,
         want);
  seen->count++;
  if (!seen->details)
    return SB_OK;
  if (store_head(c->host, c->store, entry->name, &meta, err) != SB_OK)
    return err->status;
  expect(c, entry->size == meta.size, "listed size of \"%s\" is wrong", name);
  expect(c, entry->etag == NULL || strcmp(entry->etag, meta.etag) == 0,
         "listed tag of \"%s\" is wrong", name);
  return SB_OK;
}

static void
list_expect(conformance *c, const char *prefix, const char *after,
            const char *const *want, size_t count)
{
  list_seen seen = { .c = c, .want = want, .want_count = count,
                     .details = 1 };
  sb_error error;
  sb_status status = store_list(c->host, c->store, at(c, prefix),
                                after == NULL ? NULL : at(c, after),
                                list_compare, &seen, &error);

  expect_status(c, status, SB_OK, &error, "list");
  expect(c, seen.count == count, "prefix \"%s\" lists %u, not %u", prefix,
         (unsigned)seen.count, (unsigned)count);
}

/* Byte order of whole names: '-' and '.' come before '/', '0' after it. */
static const char *const list_names[] = {
  "l/A", "l/a", "l/a!x", "l/b-c", "l/b.d/x", "l/b/a", "l/b/c/d", "l/b/z",
  "l/b0", "l/c/1", "l/c/10", "l/c/2", "l/d e", "l/~",
};
#define LIST_NAMES (sizeof list_names / sizeof list_names[0])

static void
list_make(conformance *c)
{
  size_t i;

  /* Put in another order than the listing's. */
  for (i = 0; i < LIST_NAMES; i++)
    must_put(c, at(c, list_names[(i * 5 + 3) % LIST_NAMES]),
             list_names[(i * 5 + 3) % LIST_NAMES], NULL);
}

static void
list_order(conformance *c)
{
  list_make(c);
  list_expect(c, "l/", NULL, list_names, LIST_NAMES);
}

static void
list_prefix(conformance *c)
{
  list_make(c);
  list_expect(c, "l/b", NULL, list_names + 3, 6);
  list_expect(c, "l/b/", NULL, list_names + 5, 3);
  list_expect(c, "l/b/c", NULL, list_names + 6, 1);
  list_expect(c, "l/b/c/", NULL, list_names + 6, 1);
  list_expect(c, "l/b/c/d", NULL, list_names + 6, 1);
  list_expect(c, "l/b/c/d/", NULL, NULL, 0);
  list_expect(c, "l/c/1", NULL, list_names + 9, 2);
  list_expect(c, "l/nothing", NULL, NULL, 0);
  list_expect(c, "l/nothing/at/all/", NULL, NULL, 0);
  list_expect(c, "l/a/b", NULL, NULL, 0);
}

static void
list_after(conformance *c)
{
  size_t i;

  list_make(c);
  for (i = 0; i < LIST_NAMES; i++)
    list_expect(c, "l/", list_names[i], list_names + i + 1,
                LIST_NAMES - i - 1);
  list_expect(c, "l/", "a", list_names, LIST_NAMES);
  list_expect(c, "l/", "l/b/", list_names + 5, LIST_NAMES - 5);
  list_expect(c, "l/", "l/b", list_names + 3, LIST_NAMES - 3);
  list_expect(c, "l/", "l/b/b", list_names + 6, LIST_NAMES - 6);
  list_expect(c, "l/", "l/c/1!", list_names + 10, LIST_NAMES - 10);
  list_expect(c, "l/", "m", NULL, 0);
  list_expect(c, "l/b/", "l/b/c", list_names + 6, 2);
  list_expect(c, "l/b/", "l/b/z", NULL, 0);
}

static void
list_many_name(char *out, size_t size, unsigned i)
{
  (void)snprintf(out, size, "many/%02x/%06u", i / 200, i);
}

typedef struct list_counted {
  conformance *c;
  unsigned next;
  unsigned removed;
} list_counted;

static sb_status
list_count(void *arg, const sb_store_entry *entry, sb_error *err)
{
  list_counted *counted = arg;
  char want[64];

  (void)err;
  list_many_name(want, sizeof want, counted->next++);
  expect(counted->c, strcmp(entry->name + strlen(counted->c->prefix), want)
                     == 0, "listed \"%s\", wanted \"%s\"", entry->name, want);
  return SB_OK;
}

/* The visitor may call the store: it removes some of what it is shown. */
static sb_status
list_count_remove(void *arg, const sb_store_entry *entry, sb_error *err)
{
  list_counted *counted = arg;
  conformance *c = counted->c;

  if (counted->next++ % 16 != 0)
    return SB_OK;
  counted->removed++;
  return store_remove(c->host, c->store, &entry->name, 1, NULL, err);
}

static sb_status
list_only_count(void *arg, const sb_store_entry *entry, sb_error *err)
{
  (void)entry;
  (void)err;
  ((list_counted *)arg)->next++;
  return SB_OK;
}

static void
list_pages(conformance *c)
{
  list_counted counted = { .c = c };
  list_counted remaining = { .c = c };
  sb_error error;
  sb_status status;
  unsigned i;

  for (i = 0; i < LIST_MANY; i++) {
    char name[64];

    list_many_name(name, sizeof name, (i * 1009) % LIST_MANY);
    must_put(c, at(c, name), "", NULL);
  }
  status = store_list(c->host, c->store, at(c, "many/"), NULL, list_count,
                      &counted, &error);
  expect_status(c, status, SB_OK, &error, "list of many");
  expect(c, counted.next == LIST_MANY, "listed %u of %u", counted.next,
         LIST_MANY);
  counted.next = 0;
  status = store_list(c->host, c->store, at(c, "many/"), NULL,
                      list_count_remove, &counted, &error);
  expect_status(c, status, SB_OK, &error, "list while removing");
  expect(c, counted.next == LIST_MANY, "listed %u of %u while removing",
         counted.next, LIST_MANY);
  remaining.next = 0;
  status = store_list(c->host, c->store, at(c, "many/"), NULL, list_only_count,
                      &remaining, &error);
  expect(c, status == SB_OK && remaining.next == LIST_MANY - counted.removed,
         "%u are left of %u less %u", remaining.next, LIST_MANY,
         counted.removed);
}

static sb_status
list_stop(void *arg, const sb_store_entry *entry, sb_error *err)
{
  (void)entry;
  (void)err;
  return --*(int *)arg == 0 ? SB_END : SB_OK;
}

static void
list_stopped(conformance *c)
{
  int left = 3;
  sb_error error;
  sb_status status;

  list_make(c);
  status = store_list(c->host, c->store, at(c, "l/"), NULL, list_stop, &left,
                      &error);
  expect(c, status == SB_END && left == 0, "the visitor could not stop");
}

const conformance_case conformance_lists[] = {
  { "order", list_order },
  { "prefix", list_prefix },
  { "start_after", list_after },
  { "pages", list_pages },
  { "stopped", list_stopped },
  { NULL, NULL },
};
