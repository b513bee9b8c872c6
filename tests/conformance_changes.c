/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conformance: what readers and other writers see while objects come, change
 * and go. Threads only count what went wrong; the main thread reports it.
 */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "tests/conformance.h"

#define CHANGES_THREADS 4
#define CHANGES_STEADY 20u

typedef struct changes_thread {
  conformance *c;
  pthread_t id;
  unsigned number, rounds;
  atomic_int *stop;         /* NULL: after `rounds` */
  unsigned failed;
  char first[256];          /* failure in words */
} changes_thread;

static void
changes_note(changes_thread *t, sb_status status, const sb_error *error,
             const char *what)
{
  if (status == SB_OK)
    return;
  if (t->failed++ == 0)
    (void)snprintf(t->first, sizeof t->first, "%s: %.200s", what,
                   error->message);
}

static int
changes_go_on(const changes_thread *t, unsigned round)
{
  return t->stop == NULL ? round < t->rounds : atomic_load(t->stop) == 0;
}

static void
changes_start(conformance *c, changes_thread *t, unsigned number,
              atomic_int *stop, void *(*run)(void *))
{
  memset(t, 0, sizeof *t);
  t->c = c;
  t->number = number;
  t->rounds = c->rounds < 40 ? c->rounds : 40;
  t->stop = stop;
  expect(c, pthread_create(&t->id, NULL, run, t) == 0, "no thread");
}

static void
changes_end(conformance *c, changes_thread *t)
{
  (void)pthread_join(t->id, NULL);
  expect(c, t->failed == 0, "thread %u: %u failures, first: %s", t->number,
         t->failed, t->first);
}

/* Puts and removes one object of its own beside those of the others. */
static void *
changes_come_and_go(void *arg)
{
  changes_thread *t = arg;
  conformance *c = t->c;
  char name[160];
  const char *names[1] = { name };
  unsigned round;

  (void)snprintf(name, sizeof name, "%schanges/here/%c", c->prefix,
                 (char)('k' + t->number));
  for (round = 0; changes_go_on(t, round); round++) {
    sb_error error;

    changes_note(t, put_text(c, name, "x", round % 2, NULL, NULL, &error),
                 &error, "put");
    changes_note(t, store_head(c->host, c->store, name, NULL, &error), &error,
                 "head");
    changes_note(t, store_remove(c->host, c->store, names, 1, NULL, &error),
                 &error, "remove");
    if (store_head(c->host, c->store, name, NULL, &error) != SB_NOT_FOUND)
      changes_note(t, SB_IO, &error, "head after a removal");
  }
  return NULL;
}

static void
changes_same_place(conformance *c)
{
  changes_thread threads[CHANGES_THREADS];
  unsigned i;

  for (i = 0; i < CHANGES_THREADS; i++)
    changes_start(c, &threads[i], i, NULL, changes_come_and_go);
  for (i = 0; i < CHANGES_THREADS; i++)
    changes_end(c, &threads[i]);
}

static sb_status
changes_count_steady(void *arg, const sb_store_entry *entry, sb_error *err)
{
  (void)err;
  *(unsigned *)arg += strstr(entry->name, "-steady") != NULL;
  return SB_OK;
}

/* Objects that exist throughout are listed once, whatever goes on beside. */
static void
changes_listing(conformance *c)
{
  changes_thread threads[CHANGES_THREADS];
  atomic_int stop = 0;
  unsigned i;

  for (i = 0; i < CHANGES_STEADY; i++) {
    char name[64];

    (void)snprintf(name, sizeof name, "changes/%s/%c-steady",
                   i % 3 == 0 ? "there" : "here", (char)('a' + i));
    must_put(c, at(c, name), "x", NULL);
  }
  for (i = 0; i < CHANGES_THREADS; i++)
    changes_start(c, &threads[i], i, &stop, changes_come_and_go);
  for (i = 0; i < 30; i++) {
    unsigned count = 0;
    sb_error error;
    sb_status status = store_list(c->host, c->store, at(c, "changes/"), NULL,
                                  changes_count_steady, &count, &error);

    expect_status(c, status, SB_OK, &error, "list");
    expect(c, count == CHANGES_STEADY, "%u of %u steady objects listed",
           count, CHANGES_STEADY);
  }
  atomic_store(&stop, 1);
  for (i = 0; i < CHANGES_THREADS; i++)
    changes_end(c, &threads[i]);
}

/* Reads an object that is replaced all the time: one version or another. */
static void *
changes_read(void *arg)
{
  changes_thread *t = arg;
  conformance *c = t->c;
  char name[160];
  unsigned round;

  (void)snprintf(name, sizeof name, "%schanges/replaced", c->prefix);
  for (round = 0; changes_go_on(t, round); round++) {
    void *data = NULL;
    uint64_t len = 0;
    uint64_t i;
    sb_error error;
    sb_status status = store_get_all(c->host, c->store, name, 1 << 20, &data,
                                     &len, NULL, 0, &error);

    if (status == SB_BUSY)
      continue;
    for (i = 1; status == SB_OK && i < len; i++)
      if (((char *)data)[i] != ((char *)data)[0])
        status = sb_error_set(&error, SB_CORRUPT, "two versions in one");
    if (status == SB_OK && len != (((char *)data)[0] == 'a' ? 1000u : 70000u))
      status = sb_error_set(&error, SB_CORRUPT, "a part of a version");
    changes_note(t, status, &error, "get");
    if (data != NULL)
      (void)c->host->alloc(c->host, data, 0);
  }
  return NULL;
}

static void
changes_replacing(conformance *c)
{
  static char versions[2][70001];
  changes_thread threads[2];
  const char *name = at(c, "changes/replaced");
  atomic_int stop = 0;
  unsigned i;

  memset(versions[0], 'a', 1000);
  memset(versions[1], 'b', 70000);
  must_put(c, name, versions[0], NULL);
  for (i = 0; i < 2; i++)
    changes_start(c, &threads[i], i, &stop, changes_read);
  for (i = 0; i < 60; i++) {
    sb_error error;

    expect_status(c, put_text(c, name, versions[i % 2], 0, NULL, NULL, &error),
                  SB_OK, &error, "put");
  }
  atomic_store(&stop, 1);
  for (i = 0; i < 2; i++)
    changes_end(c, &threads[i]);
}

const conformance_case conformance_changes[] = {
  { "same_place", changes_same_place },
  { "listing", changes_listing },
  { "replacing", changes_replacing },
  { NULL, NULL },
};
