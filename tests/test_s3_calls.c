/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of the s3 store where little goes wrong at the worst place. Goal: no
 * answer of somebody else passes for S3's, no lost answer for a refusal, no
 * call holds up others. Method: the store ABI against the test server; names
 * are resolved by this program, so that it can take its time.
 */
#include "config.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/s3_fixture.h"
#include "tests/tap.h"

#define MIB (1u << 20)

/* ---- names -------------------------------------------------------------- */

/* While it is set, nobody gets an address. */
static atomic_int calls_stuck;

SB_EXPORT int
getaddrinfo(const char *restrict node, const char *restrict service,
            const struct addrinfo *restrict hints,
            struct addrinfo **restrict result)
{
  struct {
    struct addrinfo info;
    struct sockaddr_in address;
  } *made = calloc(1, sizeof *made);

  (void)node;
  (void)hints;
  while (atomic_load(&calls_stuck))
    (void)usleep(1000);
  if (made == NULL)
    return EAI_MEMORY;
  made->address.sin_family = AF_INET;
  made->address.sin_port = htons((uint16_t)atoi(service == NULL ? "0"
                                                                : service));
  made->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  made->info.ai_family = AF_INET;
  made->info.ai_socktype = SOCK_STREAM;
  made->info.ai_protocol = IPPROTO_TCP;
  made->info.ai_addrlen = sizeof made->address;
  made->info.ai_addr = (struct sockaddr *)&made->address;
  *result = &made->info;
  return 0;
}

SB_EXPORT void
freeaddrinfo(struct addrinfo *info)
{
  free(info);
}

/* A deadline is kept whatever the resolver does. */
static void
test_resolver_stuck(void)
{
  char settings[256];
  s3_fixture f;

  s3_fixture_start(&f, NULL);
  (void)snprintf(settings, sizeof settings,
                 "aws.endpoint=http://store.test:%d\nrequest-timeout=%dms\n"
                 "connect-timeout=10s", s3_server_port(f.server),
                 tap_is_slow() ? 3000 : 300);
  CU_ASSERT_EQUAL_FATAL(s3_fixture_open(&f, settings), SB_OK);
  atomic_store(&calls_stuck, 1);
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_TIMEOUT, "deadline");
  CU_ASSERT_TRUE(s3_fixture_within(&f, 600));
  atomic_store(&calls_stuck, 0);
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_OK, NULL);
  s3_fixture_end(&f);
}

/* ---- descriptors -------------------------------------------------------- */

/* Connections to `port` that a child process would get: -1 if there is no
   connection at all. */
static int
calls_inherited(int port)
{
  DIR *dir = opendir("/proc/self/fd");
  int count = 0, all = 0;
  struct dirent *entry;

  while (dir != NULL && (entry = readdir(dir)) != NULL) {
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    int fd = atoi(entry->d_name);

    if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0
        || peer.sin_family != AF_INET || ntohs(peer.sin_port) != port)
      continue;
    all++;
    count += (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0;
  }
  if (dir != NULL)
    closedir(dir);
  return all == 0 ? -1 : count;
}

static void
test_not_inherited(void)
{
  s3_fixture f;

  s3_fixture_begin(&f, NULL, NULL);
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_OK, NULL);
  CU_ASSERT_EQUAL(calls_inherited(s3_server_port(f.server)), 0);
  s3_fixture_end(&f);
}

/* ---- ranges ------------------------------------------------------------- */

/* The bytes that are passed over end where a piece of the answer ends. */
static void
test_range_ignored_in_pieces(void)
{
  s3_fixture f;

  s3_fixture_begin(&f, "get ignore-range drip=1", NULL);
  s3_fixture_expect(&f, s3_fixture_get(&f, 20, 10), SB_OK, NULL);
  CU_ASSERT_EQUAL(s3_server_seen(f.server, "get"), 1);
  s3_fixture_end(&f);
}

static sb_status
calls_get_long(s3_fixture *f, uint64_t *got)
{
  static char buf[2 * S3_FIXTURE_SIZE];

  *got = 0;
  return store_get(&f->host, &f->store->base, S3_FIXTURE_NAME, 0, buf,
                   sizeof buf, got, NULL, 0, &f->error);
}

/* What does not tell its length may have been cut. */
static void
test_end_not_told(void)
{
  uint64_t got;
  s3_fixture f;

  s3_fixture_begin(&f, "get count=0 no-header=Content-Range", NULL);
  s3_fixture_expect(&f, calls_get_long(&f, &got), SB_IO, "where it ends");
  s3_server_mend(f.server);
  s3_fixture_rules(&f, "get count=0 ignore-range no-header=Content-Length "
                       "header=Connection:close close-at=5000");
  s3_fixture_expect(&f, calls_get_long(&f, &got), SB_IO, "where it ends");
  s3_server_mend(f.server);
  s3_fixture_rules(&f, "get ignore-range no-header=Content-Length "
                       "header=Connection:close close-at=5000");
  s3_fixture_expect(&f, calls_get_long(&f, &got), SB_OK, NULL);
  CU_ASSERT_EQUAL(got, S3_FIXTURE_SIZE);
  s3_server_mend(f.server);
  s3_fixture_rules(&f, "get ignore-range chunked");
  s3_fixture_expect(&f, calls_get_long(&f, &got), SB_OK, NULL);
  CU_ASSERT_EQUAL(got, S3_FIXTURE_SIZE);
  s3_fixture_end(&f);
}

static void
test_range_refused(void)
{
  s3_fixture_try_get("get status=416 code=InvalidRange "
                     "header=Content-Range:bytes%20*/10000", SB_IO, 1,
                     "refuses a range");
}

/* ---- what is not there -------------------------------------------------- */

/* A proxy without a server behind it is no object that is not there. */
static void
test_not_found_elsewhere(void)
{
  s3_fixture_try_get("get count=2 status=404 html", SB_OK, 3, NULL);
  s3_fixture_try_get("get count=0 status=404 empty", SB_UNAVAILABLE, 4,
                     "not S3's");
  s3_fixture_try_put("put count=0 status=404 html", 100, 0, SB_UNAVAILABLE, 4,
                     "not S3's");
}

static void
test_not_found_other(void)
{
  s3_fixture f;

  s3_fixture_try_get("get count=0 status=404 code=XAdminUserNotFound",
                     SB_DENIED, 0, "XAdminUserNotFound");
  s3_fixture_try_put("put count=0 status=404 code=kms:KeyNotFound", 100, 0,
                     SB_CONFIG, 1, "kms:KeyNotFound");
  s3_fixture_begin(&f, "put count=0 status=404 code=kms:KeyNotFound", NULL);
  s3_fixture_expect(&f, s3_fixture_put(&f, S3_FIXTURE_NAME, "x", 1, 0,
                                       "\"tag\"", NULL), SB_CONFIG, "kms");
  s3_server_mend(f.server);
  s3_fixture_rules(&f, "put count=0 status=404 code=NoSuchKey");
  s3_fixture_expect(&f, s3_fixture_put(&f, S3_FIXTURE_NAME, "x", 1, 0,
                                       "\"tag\"", NULL), SB_CONFLICT, NULL);
  s3_fixture_end(&f);
}

/* ---- lost answers ------------------------------------------------------- */

/* A refusal says nothing of the attempt before, whose answer was lost. */
static void
test_lost_then_refused(void)
{
  const sb_status unknown = SB_UNKNOWN;
  s3_fixture f;

  s3_fixture_try_put("put apply reset\nput status=404 code=NoSuchKey", 100, 0,
                     unknown, 2, "an answer was lost");
  s3_fixture_try_put("put apply reset\nput status=412 code=PreconditionFailed",
                     100, 0, unknown, 2, "an answer was lost");
  s3_fixture_begin(&f, "copy apply reset\ncopy status=404 code=NoSuchKey",
                   NULL);
  s3_fixture_expect(&f, store_copy(&f.host, &f.store->base, NULL,
                                   S3_FIXTURE_NAME, "copy", 0, NULL,
                                   &f.error),
                    unknown, "an answer was lost");
  s3_server_mend(f.server);
  s3_fixture_rules(&f, "copy apply reset\n"
                       "copy status=412 code=PreconditionFailed");
  s3_fixture_expect(&f, store_copy(&f.host, &f.store->base, NULL,
                                   S3_FIXTURE_NAME, "copy", 0, NULL,
                                   &f.error),
                    unknown, "an answer was lost");
  s3_fixture_end(&f);
}

static void
test_refused_in_answer(void)
{
  s3_fixture f;

  s3_fixture_begin(&f, "copy count=0 ok-error=AccessDenied", NULL);
  s3_fixture_expect(&f, store_copy(&f.host, &f.store->base, NULL,
                                   S3_FIXTURE_NAME, "copy", 0, NULL,
                                   &f.error),
                    SB_DENIED, "AccessDenied");
  CU_ASSERT_EQUAL(s3_server_seen(f.server, "copy"), 1);
  s3_fixture_end(&f);
}

/* ---- memory ------------------------------------------------------------- */

typedef struct calls_memory {
  s3_fixture f;              /* first */
  void *(*alloc)(const sb_host *host, void *old, size_t size);
  atomic_int armed;          /* from the creation of an upload on */
  atomic_int left;           /* allocations that succeed yet */
} calls_memory;

static void *
calls_alloc(const sb_host *host, void *old, size_t size)
{
  calls_memory *m = (calls_memory *)(uintptr_t)host;

  if (size > 0 && atomic_load(&m->armed)
      && s3_server_seen(m->f.server, "upload_create") > 0
      && atomic_fetch_sub(&m->left, 1) <= 0)
    return NULL;
  return m->alloc(host, old, size);
}

/* Whatever there is no memory for in an upload, no part becomes the object. */
static void
test_no_memory_for_parts(void)
{
  const size_t size = 5 * MIB + 1000;
  char *data = http_alloc(size);
  calls_memory m;
  sb_status status;
  int left, holds;

  memset(&m, 0, sizeof m);
  s3_fixture_start(&m.f, NULL);
  m.alloc = m.f.host.alloc;
  m.f.host.alloc = calls_alloc;
  CU_ASSERT_EQUAL_FATAL(s3_fixture_open(&m.f, "multipart-threshold=5mb\n"
                                              "state-file-part-size=5mb\n"
                                              "request-timeout=2s"), SB_OK);
  for (left = 0; left < (tap_is_slow() ? 6 : 14); left++) {
    s3_server_forget(m.f.server);
    atomic_store(&m.left, left);
    atomic_store(&m.armed, 1);
    status = s3_fixture_put(&m.f, "new", data, size, 0, NULL, NULL);
    atomic_store(&m.armed, 0);
    holds = s3_fixture_holds(&m.f, "new", data, size);
    if (holds != (status == SB_OK))
      tap_note("%d allocations: %s, object %s", left, sb_status_name(status),
               holds ? "there" : "not there");
    /* The answer to the completion may be what there is no memory for. */
    CU_ASSERT(holds == (status == SB_OK) || (holds && status == SB_UNKNOWN));
    CU_ASSERT_EQUAL(s3_server_seen(m.f.server, "put"), 0);
    s3_fixture_remove(&m.f, (const char *const[]){ "new" }, 1, NULL);
    CU_ASSERT_EQUAL(s3_server_objects(m.f.server, S3_TEST_BUCKET), 1);
  }
  s3_fixture_end(&m.f);
  free(data);
}

/* ---- turns -------------------------------------------------------------- */

typedef struct calls_reader {
  s3_fixture *f;
  sem_t ended;
  atomic_int stop;
  char buffers[8][16];
} calls_reader;

typedef struct calls_read {
  calls_reader *reader;
  char *buffer;
} calls_read;

static void calls_read_again(calls_read *read);

static void
calls_read_done(void *arg, const sb_store_result *result)
{
  (void)result;
  calls_read_again(arg);
}

static void
calls_read_again(calls_read *read)
{
  calls_reader *reader = read->reader;
  sb_get_request request = {
    .base = { sizeof request, SB_PRIORITY_READ, 0, calls_read_done, read },
    .name = S3_FIXTURE_NAME, .length = 16, .buffer = read->buffer };

  if (atomic_load(&reader->stop)
      || reader->f->store->base.ops->get(&reader->f->store->base, &request,
                                         NULL, NULL) != SB_OK)
    (void)sem_post(&reader->ended);
}

static void
calls_removed(void *arg, const sb_store_result *result)
{
  (void)result;
  (void)sem_post(arg);
}

/* Reads that never end do not keep removals from their turn. */
static void
test_turns(void)
{
  const char *names[] = { "gone" };
  calls_read reads[8];
  calls_reader reader;
  s3_fixture f;
  sem_t removed;
  sb_remove_request request = {
    .base = { sizeof request, SB_PRIORITY_BACKGROUND, 0, calls_removed,
              &removed },
    .names = names, .name_count = 1 };
  size_t i;

  s3_fixture_begin(&f, NULL, "max-connections=2");
  memset(&reader, 0, sizeof reader);
  reader.f = &f;
  (void)sem_init(&reader.ended, 0, 0);
  (void)sem_init(&removed, 0, 0);
  for (i = 0; i < TAP_COUNT(reads); i++) {
    reads[i] = (calls_read){ &reader, reader.buffers[i] };
    calls_read_again(&reads[i]);
  }
  f.started_ns = f.host.monotonic_ns(&f.host);
  CU_ASSERT_EQUAL(f.store->base.ops->remove(&f.store->base, &request, NULL,
                                            &f.error), SB_OK);
  (void)sem_wait(&removed);
  f.took_ms = (f.host.monotonic_ns(&f.host) - f.started_ns) / 1000000;
  CU_ASSERT_TRUE(s3_fixture_within(&f, 1000));
  atomic_store(&reader.stop, 1);
  for (i = 0; i < TAP_COUNT(reads); i++)
    (void)sem_wait(&reader.ended);
  s3_fixture_end(&f);
  (void)sem_destroy(&reader.ended);
  (void)sem_destroy(&removed);
}

static const tap_case cases[] = {
  { "the resolver is stuck", test_resolver_stuck },
  { "connections are not inherited", test_not_inherited },
  { "range ignored, in pieces", test_range_ignored_in_pieces },
  { "the end is not told", test_end_not_told },
  { "range refused", test_range_refused },
  { "not found, but elsewhere", test_not_found_elsewhere },
  { "not found, but not the object", test_not_found_other },
  { "answer lost, then refused", test_lost_then_refused },
  { "refused in an answer", test_refused_in_answer },
  { "no memory for parts", test_no_memory_for_parts },
  { "turns", test_turns },
};

static const tap_suite suites[] = { { "calls", cases, TAP_COUNT(cases) } };

int
main(int argc, char **argv)
{
  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
