/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conformance: conditional puts by several threads and several processes on
 * one name, of which just one may win.
 *
 * Workers are this program again, with the same configuration. They get lines
 * on standard input ("create NAME", "match NAME ETAG", "head NAME") and answer
 * each with a line ("STATUS ETAG"), so that all set out at about the same
 * time.
 */
#include "config.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/conformance.h"

#define RACE_MAX 64u
#define RACE_LINE (SB_OBJECT_NAME_MAX + 256)
#define RACE_BODY (SB_ETAG_MAX + 32u)

typedef struct race_worker {
  pid_t pid;
  FILE *in, *out;
  int status;
  char etag[SB_ETAG_MAX + 1];
} race_worker;

/* What a worker writes. Tags may follow from the bytes alone, so what is
   written over a version is never that version's bytes again. */
static void
race_body(long pid, const char *tag, char body[RACE_BODY])
{
  (void)snprintf(body, RACE_BODY, "%ld %s", pid, tag == NULL ? "new" : tag);
}

static void
race_command(conformance *c, char *line, int *status, char *etag)
{
  char *verb = strtok(line, " \n");
  char *name = strtok(NULL, " \n");
  char *tag = strtok(NULL, " \n");
  char body[RACE_BODY];
  store_meta meta;
  sb_error error;

  race_body((long)getpid(), tag, body);
  memset(&meta, 0, sizeof meta);
  if (verb == NULL || name == NULL)
    *status = SB_INVALID;
  else if (strcmp(verb, "head") == 0)
    *status = store_head(c->host, c->store, name, &meta, &error);
  else
    *status = put_text(c, name, body, tag == NULL ? SB_PUT_CREATE : 0, tag,
                       &meta, &error);
  strcpy(etag, meta.etag);
}

int
conformance_worker(conformance *c)
{
  char line[RACE_LINE];

  while (fgets(line, sizeof line, stdin) != NULL) {
    char etag[SB_ETAG_MAX + 1];
    int status;

    race_command(c, line, &status, etag);
    printf("%d %s\n", status, etag);
    if (fflush(stdout) != 0)
      return 1;
  }
  return 0;
}

static void
race_child(conformance *c, const int *to, const int *from)
{
  char **argv = calloc((size_t)c->argc + 3, sizeof *argv);
  int i;

  if (argv == NULL || dup2(to[0], 0) < 0 || dup2(from[1], 1) < 0)
    _exit(127);
  close(to[0]);
  close(to[1]);
  close(from[0]);
  close(from[1]);
  for (i = 0; i < c->argc; i++)
    argv[i] = c->argv[i];
  argv[i++] = (char *)(uintptr_t)"--worker";
  argv[i] = c->prefix;
  (void)execv("/proc/self/exe", argv);
  _exit(127);
}

static int
race_start(conformance *c, race_worker *workers, unsigned count)
{
  unsigned i;

  for (i = 0; i < count; i++) {
    int to[2], from[2];

    if (pipe2(to, 0) != 0 || pipe2(from, 0) != 0)
      return expect(c, 0, "no pipe") - 1;
    (void)fflush(stdout);
    workers[i].pid = fork();
    if (workers[i].pid == 0)
      race_child(c, to, from);
    close(to[0]);
    close(from[1]);
    workers[i].in = fdopen(to[1], "w");
    workers[i].out = fdopen(from[0], "r");
    /* Later workers must not hold earlier ones' pipes open. */
    (void)fcntl(to[1], F_SETFD, FD_CLOEXEC);
    (void)fcntl(from[0], F_SETFD, FD_CLOEXEC);
  }
  return 0;
}

static void
race_stop(race_worker *workers, unsigned count)
{
  unsigned i;

  for (i = 0; i < count; i++) {
    fclose(workers[i].in);
    fclose(workers[i].out);
    (void)waitpid(workers[i].pid, NULL, 0);
  }
}

static int
race_answer(race_worker *worker)
{
  char line[RACE_LINE];

  worker->etag[0] = '\0';
  worker->status = SB_IO;
  if (fgets(line, sizeof line, worker->out) == NULL)
    return -1;
  return sscanf(line, "%d %95s", &worker->status, worker->etag) >= 1 ? 0 : -1;
}

/* Sends one command to all and gathers the answers: the winner's place, -1 if
   there is not just one. */
static int
race_round(conformance *c, race_worker *workers, unsigned count,
           const char *command, int lost)
{
  int winner = -1;
  unsigned i;

  for (i = 0; i < count; i++) {
    fputs(command, workers[i].in);
    (void)fflush(workers[i].in);
  }
  for (i = 0; i < count; i++) {
    if (!expect(c, race_answer(&workers[i]) == 0, "worker %u has died", i))
      return -1;
    if (workers[i].status == SB_OK) {
      expect(c, winner < 0, "two winners of: %.200s", command);
      winner = (int)i;
    } else {
      expect(c,
             workers[i].status == lost
               || (c->lossy && workers[i].status == SB_UNKNOWN),
             "a loser got %s of: %.200s",
             sb_status_name(workers[i].status), command);
    }
  }
  expect(c, winner >= 0, "no winner of: %.200s", command);
  return c->failed ? -1 : winner;
}

static void
race_must_be_by(conformance *c, const char *name, const race_worker *winner,
                const char *tag)
{
  char text[RACE_BODY];

  race_body((long)winner->pid, tag, text);
  must_have(c, name, text);
}

static void
race_create_rounds(conformance *c, race_worker *workers)
{
  unsigned round;

  for (round = 0; round < c->rounds && !c->failed; round++) {
    char name[96];
    char command[RACE_LINE];
    int winner;

    (void)snprintf(name, sizeof name, "%srace/create/%u", c->prefix,
                   round % 10);
    (void)snprintf(command, sizeof command, "create %s\n", name);
    winner = race_round(c, workers, c->processes, command, SB_EXISTS);
    if (winner >= 0)
      race_must_be_by(c, name, &workers[winner], NULL);
    remove_one(c, name);
  }
}

static void
race_match_rounds(conformance *c, race_worker *workers)
{
  const char *name = at(c, "race/match");
  store_meta meta;
  unsigned round;

  must_put(c, name, "start", &meta);
  for (round = 0; round < c->rounds && !c->failed; round++) {
    char command[RACE_LINE];
    int winner;

    (void)snprintf(command, sizeof command, "match %s %s\n", name, meta.etag);
    winner = race_round(c, workers, c->processes, command, SB_CONFLICT);
    if (winner < 0)
      return;
    name = at(c, "race/match");
    race_must_be_by(c, name, &workers[winner], meta.etag);
    strcpy(meta.etag, workers[winner].etag);
  }
}

/* Runs `rounds` with workers, unless other processes cannot see our objects. */
static void
race_processes(conformance *c, uint32_t flag,
               void (*rounds)(conformance *c, race_worker *workers))
{
  race_worker workers[RACE_MAX];
  char command[RACE_LINE];

  if ((c->flags & flag) == 0) {
    c->skipped = "the store does not honour the condition";
    return;
  }
  if (c->processes > RACE_MAX)
    c->processes = RACE_MAX;
  must_put(c, at(c, "race/seen"), "x", NULL);
  if (race_start(c, workers, c->processes) != 0)
    return;
  (void)snprintf(command, sizeof command, "head %s\n", at(c, "race/seen"));
  fputs(command, workers[0].in);
  (void)fflush(workers[0].in);
  if (expect(c, race_answer(&workers[0]) == 0, "a worker did not start")) {
    c->shared = workers[0].status == SB_OK;
    if (c->shared)
      rounds(c, workers);
    else
      c->skipped = "other processes do not see this store's objects";
  }
  race_stop(workers, c->processes);
}

static void
race_create_processes(conformance *c)
{
  race_processes(c, SB_STORE_CREATE, race_create_rounds);
}

static void
race_match_processes(conformance *c)
{
  race_processes(c, SB_STORE_MATCH, race_match_rounds);
}

/* ---- threads ------------------------------------------------------------ */

typedef struct race_thread {
  conformance *c;
  pthread_barrier_t *barrier;
  const char *name;
  const char *etag;         /* NULL: create */
  char body[RACE_BODY];
  store_meta meta;
  sb_status status;
} race_thread;

static void *
race_thread_run(void *arg)
{
  race_thread *t = arg;
  sb_error error;

  pthread_barrier_wait(t->barrier);
  t->status = put_text(t->c, t->name, t->body,
                       t->etag == NULL ? SB_PUT_CREATE : 0, t->etag, &t->meta,
                       &error);
  return NULL;
}

static int
race_thread_round(conformance *c, const char *name, const char *etag,
                  store_meta *meta)
{
  enum { COUNT = 8 };
  race_thread threads[COUNT];
  pthread_t ids[COUNT];
  pthread_barrier_t barrier;
  int winner = -1;
  int i;

  pthread_barrier_init(&barrier, NULL, COUNT);
  for (i = 0; i < COUNT; i++) {
    threads[i] = (race_thread){ .c = c, .barrier = &barrier, .name = name,
                                .etag = etag };
    (void)snprintf(threads[i].body, sizeof threads[i].body, "thread %d over %s", i,
                   etag == NULL ? "nothing" : etag);
    (void)pthread_create(&ids[i], NULL, race_thread_run, &threads[i]);
  }
  for (i = 0; i < COUNT; i++) {
    (void)pthread_join(ids[i], NULL);
    if (threads[i].status != SB_OK) {
      expect(c,
             threads[i].status == (etag == NULL ? SB_EXISTS : SB_CONFLICT)
               || (c->lossy && threads[i].status == SB_UNKNOWN),
             "a loser got %s", sb_status_name(threads[i].status));
      continue;
    }
    expect(c, winner < 0, "two winners");
    winner = i;
  }
  pthread_barrier_destroy(&barrier);
  if (!expect(c, winner >= 0, "no winner"))
    return -1;
  must_have(c, name, threads[winner].body);
  *meta = threads[winner].meta;
  return 0;
}

static void
race_threads(conformance *c)
{
  const char *name = at(c, "race/threads");
  unsigned rounds = c->rounds < 50 ? c->rounds : 50;
  char name_kept[128];
  store_meta meta;
  unsigned i;

  if ((c->flags & SB_STORE_CREATE) == 0) {
    c->skipped = "the store does not honour create-only puts";
    return;
  }
  (void)snprintf(name_kept, sizeof name_kept, "%s", name);
  for (i = 0; i < rounds && !c->failed; i++) {
    char etag[SB_ETAG_MAX + 1];

    if (race_thread_round(c, name_kept, NULL, &meta) != 0)
      return;
    strcpy(etag, meta.etag);
    if ((c->flags & SB_STORE_MATCH) != 0)
      (void)race_thread_round(c, name_kept, etag, &meta);
    remove_one(c, name_kept);
  }
}

const conformance_case conformance_races[] = {
  { "threads", race_threads },
  { "create_by_processes", race_create_processes },
  { "match_by_processes", race_match_processes },
  { NULL, NULL },
};
