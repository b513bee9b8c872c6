/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conditional puts of the s3 store when answers are lost. Goal: a write that
 * took effect is never told to have failed, one that did not never to have
 * succeeded, and what nobody can know is unknown. Method: the store ABI
 * against the test server, which does what it was asked and does not say so.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/s3_fixture.h"
#include "tests/tap.h"

static void
test_conditional_conflict(void)
{
  s3_fixture_try_put("put count=2 status=409 code=ConditionalRequestConflict",
                     100, SB_PUT_CREATE, SB_OK, 3, NULL);
}

/* Our first attempt took effect and the second is refused: ours all the
   same. */
static void
test_create_lost(void)
{
  s3_fixture_try_put("put apply stall", 100, SB_PUT_CREATE, SB_OK, 2, NULL);
  s3_fixture_try_put("put apply reset", 100, SB_PUT_CREATE, SB_OK, 2, NULL);
  s3_fixture_try_put("put apply close-at=20", 100, SB_PUT_CREATE, SB_OK, 2,
                     NULL);
  s3_fixture_try_put("put apply status=500 code=InternalError", 100,
                     SB_PUT_CREATE, SB_OK, 2, NULL);
  s3_fixture_try_put("put apply status=503 html", 100, SB_PUT_CREATE, SB_OK, 2,
                     NULL);
}

static void
test_create_lost_always(void)
{
  s3_fixture_try_put("put count=0 apply reset", 100, SB_PUT_CREATE, SB_OK, 4,
                     NULL);
  s3_fixture_try_put("put count=0 reset", 100, SB_PUT_CREATE, SB_UNKNOWN, 4,
                     NULL);
  s3_fixture_try_put("put count=0 apply reset\nhead count=0 reset", 100,
                     SB_PUT_CREATE, SB_UNKNOWN, 4, NULL);
}

static void
test_create_taken(void)
{
  s3_fixture f;

  s3_fixture_begin(&f, "put reset", NULL);
  s3_fixture_expect(&f, s3_fixture_put(&f, S3_FIXTURE_NAME, "x", 1,
                                       SB_PUT_CREATE, NULL, NULL), SB_EXISTS,
                    "exists");
  s3_fixture_end(&f);
}

/* Match puts: ours, another one's, and one that is gone. */
static void
test_match_lost(void)
{
  store_meta meta, after;
  s3_fixture f;

  s3_fixture_begin(&f, "put apply reset\nput apply stall", NULL);
  s3_fixture_expect(&f, s3_fixture_head(&f, S3_FIXTURE_NAME, &meta), SB_OK,
                    NULL);
  s3_fixture_expect(&f, s3_fixture_put(&f, S3_FIXTURE_NAME, "mine", 4, 0,
                                       meta.etag, &after), SB_OK, NULL);
  CU_ASSERT_TRUE(s3_fixture_holds(&f, S3_FIXTURE_NAME, "mine", 4));
  CU_ASSERT_STRING_NOT_EQUAL(after.etag, meta.etag);
  CU_ASSERT_STRING_NOT_EQUAL(after.etag, "");
  s3_fixture_expect(&f, s3_fixture_put(&f, S3_FIXTURE_NAME, "again", 5, 0,
                                       after.etag, NULL), SB_OK, NULL);
  s3_fixture_expect(&f, s3_fixture_put(&f, S3_FIXTURE_NAME, "late", 4, 0,
                                       meta.etag, NULL), SB_CONFLICT, NULL);
  s3_fixture_expect(&f, s3_fixture_put(&f, "gone", "x", 1, 0, meta.etag,
                                       NULL), SB_CONFLICT, NULL);
  CU_ASSERT_TRUE(s3_fixture_holds(&f, S3_FIXTURE_NAME, "again", 5));
  s3_fixture_end(&f);
}

/* An answer was lost and another one's object is there now: nobody knows. */
static void
test_match_overtaken(void)
{
  store_meta meta;
  s3_fixture f;

  s3_fixture_begin(&f, "put reset", NULL);
  s3_fixture_expect(&f, s3_fixture_head(&f, S3_FIXTURE_NAME, &meta), SB_OK,
                    NULL);
  s3_server_store(f.server, S3_TEST_BUCKET, S3_FIXTURE_NAME, "theirs", 6);
  s3_fixture_expect(&f, s3_fixture_put(&f, S3_FIXTURE_NAME, "mine", 4, 0,
                                       meta.etag, NULL), SB_UNKNOWN, NULL);
  CU_ASSERT_TRUE(s3_fixture_holds(&f, S3_FIXTURE_NAME, "theirs", 6));
  s3_fixture_end(&f);
}

static void
test_plain_put_lost(void)
{
  s3_fixture f;

  s3_fixture_try_put("put apply reset", 100, 0, SB_OK, 2, NULL);
  s3_fixture_try_put("put count=0 apply reset", 100, 0, SB_UNKNOWN, 4, NULL);
  s3_fixture_begin(&f, "put count=0 stall", "retry.attempts=2");
  s3_fixture_expect(&f, s3_fixture_put(&f, "new", "x", 1, 0, NULL, NULL),
                    SB_UNKNOWN, "first-byte-timeout");
  s3_fixture_end(&f);
}

/* An earlier attempt may have done it: the refusal is not the whole truth. */
static void
test_lost_then_denied(void)
{
  s3_fixture_try_put("put apply reset\nput status=403 code=AccessDenied", 100,
                     0, SB_UNKNOWN, 2, "AccessDenied");
}

/* ---- two writers in bad weather ------------------------------------------ */

#define WEATHER_TURNS 60

typedef struct test_writer {
  s3_fixture f;
  unsigned number;
  unsigned turns;
  sb_status status[WEATHER_TURNS]; /* of adding the line "number.turn" */
} test_writer;

/* Reads the log, adds a line, puts it back if it is still the same. */
static void
test_writer_turn(test_writer *w, unsigned turn)
{
  sb_store *store = &w->f.store->base;
  store_meta meta;
  sb_error error;
  uint64_t len;
  char line[32];
  char *text;
  void *data;

  if (store_get_all(&w->f.host, store, "log", 1 << 20, &data, &len, &meta, 0,
                    &error) != SB_OK) {
    w->status[turn] = SB_CANCELLED;
    return;
  }
  (void)snprintf(line, sizeof line, "%u.%u\n", w->number, turn);
  text = http_alloc(len + sizeof line);
  memcpy(text, data, len);
  (void)strcpy(text + len, line);
  w->status[turn] = store_put(&w->f.host, store, "log", text, strlen(text), 0,
                              meta.etag, NULL, 0, NULL, 0, &error);
  free(text);
  (void)w->f.host.alloc(&w->f.host, data, 0);
}

static void *
test_writer_main(void *arg)
{
  test_writer *w = arg;
  unsigned turn;

  for (turn = 0; turn < w->turns; turn++)
    test_writer_turn(w, turn);
  return NULL;
}

/* What was told to be written is there once, what was told not to be is not,
   and no line is there twice. */
static void
test_writer_check(const test_writer *w, const char *log, unsigned *counts)
{
  unsigned turn;

  for (turn = 0; turn < w->turns; turn++) {
    sb_status status = w->status[turn];
    const char *at = log;
    unsigned found = 0;
    char line[32];

    (void)snprintf(line, sizeof line, "\n%u.%u\n", w->number, turn);
    while ((at = strstr(at, line)) != NULL) {
      found++;
      at++;
    }
    CU_ASSERT_TRUE(found <= 1);
    CU_ASSERT_TRUE(status == SB_UNKNOWN || found == (status == SB_OK));
    counts[status == SB_OK ? 0 : status == SB_CONFLICT ? 1
           : status == SB_UNKNOWN ? 2 : 3]++;
  }
}

static void
test_weather(void)
{
  s3_server_options options = { .seed = 4 };
  test_writer *writers = http_alloc(2 * sizeof *writers);
  unsigned counts[4] = { 0 };
  pthread_t threads[2];
  size_t len, i;
  char *log;

  s3_fixture_start(&writers[0].f, &options);
  s3_server_store(writers[0].f.server, S3_TEST_BUCKET, "log", "\n", 1);
  s3_fixture_rules(&writers[0].f, "any chance=0.05 status=503 code=SlowDown\n"
                                  "any chance=0.1 reset-random\n"
                                  "write chance=0.2 apply reset\n"
                                  "write chance=0.05 apply status=500");
  s3_fixture_start(&writers[1].f, &options);
  s3_server_stop(writers[1].f.server);
  writers[1].f.server = writers[0].f.server;
  for (i = 0; i < 2; i++) {
    writers[i].number = (unsigned)i;
    writers[i].turns = WEATHER_TURNS;
    CU_ASSERT_EQUAL_FATAL(s3_fixture_open(&writers[i].f, NULL), SB_OK);
  }
  for (i = 0; i < 2; i++)
    CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, test_writer_main,
                                         &writers[i]), 0);
  for (i = 0; i < 2; i++)
    (void)pthread_join(threads[i], NULL);
  log = s3_server_load(writers[0].f.server, S3_TEST_BUCKET, "log", &len);
  test_writer_check(&writers[0], log, counts);
  test_writer_check(&writers[1], log, counts);
  tap_note("%u written, %u refused, %u unknown, %u given up; %u faults",
           counts[0], counts[1], counts[2], counts[3],
           s3_server_faults_done(writers[0].f.server));
  CU_ASSERT_TRUE(counts[0] > WEATHER_TURNS / 2);
  free(log);
  s3_fixture_close(&writers[1].f);
  writers[1].f.server = NULL;
  s3_fixture_end(&writers[1].f);
  s3_fixture_end(&writers[0].f);
  free(writers);
}

static const tap_case condition_cases[] = {
  { "ConditionalRequestConflict", test_conditional_conflict },
  { "create, answer lost", test_create_lost },
  { "create, all answers lost", test_create_lost_always },
  { "create, taken", test_create_taken },
  { "match, answer lost", test_match_lost },
  { "match, overtaken", test_match_overtaken },
  { "plain put, answers lost", test_plain_put_lost },
  { "lost, then denied", test_lost_then_denied },
  { "two writers in bad weather", test_weather },
};

static const tap_suite suites[] = {
  { "conditions", condition_cases, TAP_COUNT(condition_cases) },
};

int
main(int argc, char **argv)
{
  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
