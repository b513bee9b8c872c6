/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The s3 store over networks that fail. Goal: no failure of a connection, at
 * whatever byte, gives wrong data, a wrong answer or a hang. Method: the store
 * ABI against the test server, which resets, closes, stalls and drips; names
 * are resolved by this program, so that hosts can move.
 */
#include "config.h"

#include <arpa/inet.h>
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

#define LARGE (2u << 20)

/* ---- names -------------------------------------------------------------- */

/* Last byte of 127.0.0.N that "store.test" stands for; 0: it has none. */
static _Atomic int test_address;

SB_EXPORT int
getaddrinfo(const char *restrict node, const char *restrict service,
            const struct addrinfo *restrict hints,
            struct addrinfo **restrict result)
{
  struct {
    struct addrinfo info;
    struct sockaddr_in address;
  } *made;

  (void)hints;
  if (strcmp(node, "store.test") == 0 && atomic_load(&test_address) == 0)
    return EAI_NONAME;
  made = calloc(1, sizeof *made);
  if (made == NULL)
    return EAI_MEMORY;
  made->address.sin_family = AF_INET;
  made->address.sin_port = htons((uint16_t)atoi(service == NULL ? "0"
                                                                : service));
  made->address.sin_addr.s_addr = htonl(
    (INADDR_LOOPBACK & ~255u) | (strcmp(node, "store.test") == 0
                                   ? (unsigned)atomic_load(&test_address)
                                   : 1u));
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

static void
test_open_name(s3_fixture *f, const char *more)
{
  char settings[256];

  (void)snprintf(settings, sizeof settings,
                 "aws.endpoint=http://store.test:%d\n%s",
                 s3_server_port(f->server), more);
  CU_ASSERT_EQUAL_FATAL(s3_fixture_open(f, settings), SB_OK);
}

static void
test_name_unknown(void)
{
  s3_fixture f;

  s3_fixture_start(&f, NULL);
  atomic_store(&test_address, 0);
  test_open_name(&f, "");
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_UNAVAILABLE,
                    "resolve host");
  /* It is there later: nothing of the failure stays. */
  atomic_store(&test_address, 1);
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_OK, NULL);
  s3_fixture_end(&f);
}

/* The host moves while the store is open: a retry asks for its address. */
static void
test_name_moves(void)
{
  s3_server_options options = { .address = 2 };
  s3_fixture f;

  s3_fixture_start(&f, NULL);
  atomic_store(&test_address, 1);
  test_open_name(&f, "");
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_OK, NULL);
  options.port = s3_server_port(f.server);
  s3_server_stop(f.server);
  f.server = s3_server_start(&options);
  CU_ASSERT_PTR_NOT_NULL_FATAL(f.server);
  s3_server_store(f.server, S3_TEST_BUCKET, S3_FIXTURE_NAME, "\0\x1f", 2);
  atomic_store(&test_address, 2);
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 2), SB_OK, NULL);
  CU_ASSERT_EQUAL(s3_server_seen(f.server, "get"), 1);
  s3_fixture_end(&f);
}

/* ---- connecting --------------------------------------------------------- */

/* A port on which nobody listens, and one that takes no connection any more;
   both stay taken until the descriptors are closed. */
static int
test_listener(int backlog, int *port)
{
  struct sockaddr_in address = { .sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t size = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  CU_ASSERT_TRUE_FATAL(fd >= 0);
  CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&address, size), 0);
  if (backlog >= 0)
    CU_ASSERT_EQUAL_FATAL(listen(fd, backlog), 0);
  CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)&address, &size),
                        0);
  *port = ntohs(address.sin_port);
  return fd;
}

static void
test_open_port(s3_fixture *f, int port, const char *more)
{
  char settings[256];

  (void)snprintf(settings, sizeof settings,
                 "aws.endpoint=http://127.0.0.1:%d\n%s", port, more);
  CU_ASSERT_EQUAL_FATAL(s3_fixture_open(f, settings), SB_OK);
}

static void
test_connect_refused(void)
{
  s3_fixture f;
  int port, fd = test_listener(-1, &port);

  s3_fixture_start(&f, NULL);
  test_open_port(&f, port, "");
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_UNAVAILABLE,
                    "connect");
  CU_ASSERT_PTR_NOT_NULL(strstr(f.error.message, "attempt 4"));
  CU_ASSERT_TRUE(s3_fixture_within(&f, 1000));
  /* A write that never left is not unknown. */
  s3_fixture_expect(&f, s3_fixture_put(&f, "new", "x", 1, 0, NULL, NULL),
                    SB_UNAVAILABLE, "connect");
  s3_fixture_end(&f);
  close(fd);
}

static void
test_connect_blackhole(void)
{
  struct sockaddr_in address = { .sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  s3_fixture f;
  int port, i, fill[16], fd = test_listener(0, &port);

  address.sin_port = htons((uint16_t)port);
  for (i = 0; i < 16; i++) {
    fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)connect(fill[i], (struct sockaddr *)&address, sizeof address);
  }
  s3_fixture_start(&f, NULL);
  test_open_port(&f, port, "connect-timeout=150ms");
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_UNAVAILABLE, "out");
  CU_ASSERT_TRUE(f.took_ms >= 300 && s3_fixture_within(&f, 2500));
  s3_fixture_end(&f);
  for (i = 0; i < 16; i++)
    close(fill[i]);
  close(fd);
}

static void
test_connect_reset(void)
{
  s3_fixture_try_get("connect count=2 reset", SB_OK, 1, NULL);
}

static void
test_connect_closed(void)
{
  s3_fixture_try_get("connect count=2 close", SB_OK, 1, NULL);
}

static void
test_tls_stall(void)
{
  s3_certificates c;
  s3_server_options options = { .certificate = c.good, .key = c.good_key };
  char settings[192];
  s3_fixture f;

  if (s3_certificates_make(&c) != 0) {
    tap_skip("no openssl");
    return;
  }
  (void)snprintf(settings, sizeof settings,
                 "tls.ca-file=%s\nconnect-timeout=200ms", c.ca);
  s3_fixture_start(&f, &options);
  s3_fixture_rules(&f, "connect count=2 stall");
  CU_ASSERT_EQUAL_FATAL(s3_fixture_open(&f, settings), SB_OK);
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_OK, NULL);
  CU_ASSERT_TRUE(f.took_ms >= 300 && s3_fixture_within(&f, 2500));
  s3_fixture_close(&f);
  s3_fixture_rules(&f, "connect count=0 stall");
  CU_ASSERT_EQUAL_FATAL(s3_fixture_open(&f, settings), SB_OK);
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_UNAVAILABLE, "out");
  CU_ASSERT_TRUE(s3_fixture_within(&f, 2500));
  s3_fixture_end(&f);
  s3_certificates_remove(&c);
}

/* ---- resets and closes -------------------------------------------------- */

static void
test_reset_before_answer(void)
{
  s3_fixture_try_get("get count=2 reset", SB_OK, 3, NULL);
  s3_fixture_try_get("get count=0 reset", SB_UNAVAILABLE, 4, "attempt 4");
}

static void
test_close_before_answer(void)
{
  s3_fixture_try_get("get count=2 close", SB_OK, 3, NULL);
}

/* Header lines, the end of the head, the body: every 61st byte of it. */
static void
test_reset_at_any_byte(void)
{
  char rule[64];
  s3_fixture f;
  unsigned at, faults, failures = CU_get_number_of_failure_records();

  s3_fixture_begin(&f, NULL, NULL);
  for (at = 1; at < S3_FIXTURE_SIZE + 300; at += tap_is_slow() ? 611 : 61) {
    (void)snprintf(rule, sizeof rule, "get %s-at=%u",
                   at % 2 == 0 ? "reset" : "close", at);
    faults = s3_server_faults_done(f.server);
    s3_fixture_rules(&f, rule);
    s3_fixture_expect(&f, s3_fixture_get(&f, 0, S3_FIXTURE_SIZE), SB_OK, NULL);
    CU_ASSERT_EQUAL(s3_server_faults_done(f.server), faults + 1);
    if (CU_get_number_of_failure_records() > failures)
      tap_note("wrong after a cut at byte %u", at);
    failures = CU_get_number_of_failure_records();
    s3_server_mend(f.server);
  }
  s3_fixture_end(&f);
}

static void
test_reset_in_request(void)
{
  s3_fixture_try_put("put reset-body-at=0\nput reset-body-at=1\n"
                     "put reset-body-at=1000000", LARGE, 0, SB_OK, 4, NULL);
}

static void
test_idle_closed(void)
{
  s3_fixture f;
  int i;

  s3_fixture_begin(&f, "get count=0 close-after", NULL);
  for (i = 0; i < 5; i++)
    s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_OK, NULL);
  CU_ASSERT_EQUAL(s3_server_connections(f.server), 5);
  s3_fixture_end(&f);
}

/* The request was on its way when the server gave the connection up. */
static void
test_idle_closed_late(void)
{
  s3_fixture f;

  s3_fixture_begin(&f, "get,put reused close\nput reused reset", NULL);
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_OK, NULL);
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_OK, NULL);
  s3_fixture_expect(&f, s3_fixture_put(&f, "new", "x", 1, 0, NULL, NULL),
                    SB_OK, NULL);
  CU_ASSERT_EQUAL(s3_server_faults_done(f.server), 2);
  s3_fixture_end(&f);
}

/* libcurl may send again on its own: the first one took effect. */
static void
test_idle_closed_after_create(void)
{
  s3_fixture f;

  s3_fixture_begin(&f, "put reused apply close", NULL);
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 100), SB_OK, NULL);
  s3_fixture_expect(&f, s3_fixture_put(&f, "new", "x", 1, SB_PUT_CREATE, NULL,
                                       NULL), SB_OK, NULL);
  CU_ASSERT_EQUAL(s3_server_faults_done(f.server), 1);
  CU_ASSERT_TRUE(s3_fixture_holds(&f, "new", "x", 1));
  s3_fixture_end(&f);
}

/* ---- slow and stuck ----------------------------------------------------- */

static void
test_continue_not_asked_for(void)
{
  s3_fixture f;
  char *data = http_alloc(LARGE);

  s3_fixture_begin(&f, "put status=417 code=ExpectationFailed", NULL);
  s3_fixture_expect(&f, s3_fixture_put(&f, "new", data, LARGE, 0, NULL, NULL),
                    SB_OK, NULL);
  CU_ASSERT_EQUAL(s3_server_seen(f.server, "put"), 2);
  CU_ASSERT_PTR_NULL(http_header(&s3_server_seen_nth(f.server, "put",
                                                     1)->request, "expect"));
  CU_ASSERT_TRUE(s3_fixture_within(&f, 900));
  s3_fixture_end(&f);
  free(data);
}

/* Two attempts, with limits that are shorter yet. */
static void
test_stalls(const char *rule, sb_status wanted, const char *text)
{
  s3_fixture f;

  s3_fixture_begin(&f, rule, "retry.attempts=2\nstall-timeout=200ms\n"
                             "first-byte-timeout=100ms\n"
                             "connect-timeout=300ms");
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 4096), wanted, text);
  CU_ASSERT_EQUAL(s3_server_seen(f.server, "get"), 2);
  CU_ASSERT_TRUE(s3_fixture_within(&f, 1500));
  s3_fixture_end(&f);
}

static void
test_stall_before_answer(void)
{
  test_stalls("get stall", SB_OK, NULL);
  test_stalls("get count=0 stall", SB_UNAVAILABLE, "first-byte-timeout");
}

static void
test_stall_in_answer(void)
{
  test_stalls("get stall-at=60", SB_OK, NULL);
  test_stalls("get stall-at=2000", SB_OK, NULL);
  test_stalls("get count=0 stall-at=2000", SB_UNAVAILABLE, "stall-timeout");
}

static void
test_stall_in_request(void)
{
  s3_fixture_try_put("put stall-body-at=100000", LARGE, 0, SB_OK, 2, NULL);
}

static void
test_drip_under_one_byte(void)
{
  s3_fixture_try_get("get drip=2000", SB_OK, 2, NULL);
}

/* Slow, but it moves: the deadline ends it. */
static void
test_drip(void)
{
  s3_fixture f;

  s3_fixture_begin(&f, "get count=0 drip=10", "request-timeout=700ms");
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 4096), SB_TIMEOUT, "deadline");
  CU_ASSERT_TRUE(f.took_ms >= 600 && s3_fixture_within(&f, 1500));
  s3_fixture_end(&f);
}

/* Slower than first-byte-timeout as a whole, never silent for so long. */
static void
test_slow_but_moving(void)
{
  s3_fixture f;

  s3_fixture_begin(&f, "get drip=4", NULL);
  s3_fixture_expect(&f, s3_fixture_get(&f, 0, 10), SB_OK, NULL);
  CU_ASSERT_EQUAL(s3_server_seen(f.server, "get"), 1);
  CU_ASSERT_TRUE(f.took_ms > 900);
  s3_fixture_end(&f);
}

/* ---- lengths ------------------------------------------------------------ */

static void
test_length_too_long(void)
{
  s3_fixture_try_get("get count=2 longer=100", SB_OK, 0, NULL);
}

static void
test_truncated(void)
{
  s3_fixture_try_get("get close-at=2000", SB_OK, 2, NULL);
  s3_fixture_try_get("get count=0 close-at=2000", SB_UNAVAILABLE, 4, NULL);
}

static void
test_chunks(void)
{
  s3_fixture_try_get("get chunked", SB_OK, 1, NULL);
}

static void
test_chunks_without_end(void)
{
  s3_fixture_try_get("get endless-chunks", SB_OK, 0, NULL);
}

/* ---- deadlines ---------------------------------------------------------- */

static void
test_deadline_counts_waits(void)
{
  s3_fixture f;

  s3_fixture_begin(&f, "get count=0 status=500 code=InternalError",
                   "request-timeout=300ms\nretry.attempts=100\n"
                   "retry.delay-min=100ms\nretry.delay-max=100ms");
  CU_ASSERT_NOT_EQUAL(s3_fixture_get(&f, 0, 100), SB_OK);
  CU_ASSERT_TRUE(s3_fixture_within(&f, 700));
  s3_fixture_end(&f);
}

typedef struct test_waiting {
  sem_t done;
  atomic_int timeouts;   /* or cancelled */
} test_waiting;

static void
test_waited(void *arg, const sb_store_result *result)
{
  test_waiting *waiting = arg;

  if (result->status == SB_TIMEOUT)
    atomic_fetch_add(&waiting->timeouts, 1);
  (void)sem_post(&waiting->done);
}

static void
test_cancelled(void *arg, const sb_store_result *result)
{
  test_waiting *waiting = arg;

  if (result->status == SB_CANCELLED)
    atomic_fetch_add(&waiting->timeouts, 1);
  (void)sem_post(&waiting->done);
}

/* One connection, and the first one holds it. */
static void
test_deadline_counts_queueing(void)
{
  char buffers[3][100];
  test_waiting waiting = { .timeouts = 0 };
  s3_fixture f;
  int i;

  (void)sem_init(&waiting.done, 0, 0);
  s3_fixture_begin(&f, "get count=0 stall",
                   "max-connections=1\nfirst-byte-timeout=10s\n"
                   "stall-timeout=10s\nrequest-timeout=400ms");
  f.started_ns = f.host.monotonic_ns(&f.host);
  for (i = 0; i < 3; i++) {
    sb_get_request request = {
      .base = { sizeof request, 0, 0, test_waited, &waiting },
      .name = S3_FIXTURE_NAME, .length = 100, .buffer = buffers[i] };

    CU_ASSERT_EQUAL(f.store->base.ops->get(&f.store->base, &request, NULL,
                                           &f.error), SB_OK);
  }
  for (i = 0; i < 3; i++)
    (void)sem_wait(&waiting.done);
  CU_ASSERT_EQUAL(atomic_load(&waiting.timeouts), 3);
  f.took_ms = (f.host.monotonic_ns(&f.host) - f.started_ns) / 1000000;
  CU_ASSERT_TRUE(s3_fixture_within(&f, 1000));
  CU_ASSERT_TRUE(s3_server_seen(f.server, "get") <= 2);
  s3_fixture_end(&f);
  (void)sem_destroy(&waiting.done);
}

static void
test_cancel(void)
{
  char buffer[100];
  test_waiting waiting = { .timeouts = 0 };
  sb_get_request request = {
    .base = { sizeof request, 0, 0, test_cancelled, &waiting },
    .name = S3_FIXTURE_NAME, .length = 100, .buffer = buffer };
  s3_fixture f;
  uint64_t id;

  (void)sem_init(&waiting.done, 0, 0);
  s3_fixture_begin(&f, "get count=0 stall-at=250", "stall-timeout=10s");
  CU_ASSERT_EQUAL(f.store->base.ops->get(&f.store->base, &request, &id,
                                         &f.error), SB_OK);
  while (s3_server_seen(f.server, "get") == 0)
    (void)usleep(1000);
  f.started_ns = f.host.monotonic_ns(&f.host);
  f.store->base.ops->cancel(&f.store->base, id);
  f.store->base.ops->cancel(&f.store->base, id + 1000);
  (void)sem_wait(&waiting.done);
  f.took_ms = (f.host.monotonic_ns(&f.host) - f.started_ns) / 1000000;
  CU_ASSERT_TRUE(s3_fixture_within(&f, 500));
  CU_ASSERT_EQUAL(atomic_load(&waiting.timeouts), 1);
  s3_fixture_end(&f);
  (void)sem_destroy(&waiting.done);
}

static const tap_case names_cases[] = {
  { "unknown", test_name_unknown },
  { "moves", test_name_moves },
};

static const tap_case connect_cases[] = {
  { "refused", test_connect_refused },
  { "blackhole", test_connect_blackhole },
  { "reset", test_connect_reset },
  { "closed", test_connect_closed },
  { "TLS handshake stalls", test_tls_stall },
};

static const tap_case cut_cases[] = {
  { "reset before the answer", test_reset_before_answer },
  { "close before the answer", test_close_before_answer },
  { "reset or close at any byte", test_reset_at_any_byte },
  { "reset in the request", test_reset_in_request },
  { "idle connection closed", test_idle_closed },
  { "idle connection closed late", test_idle_closed_late },
  { "idle connection closed after a create", test_idle_closed_after_create },
  { "Content-Length too long", test_length_too_long },
  { "truncated", test_truncated },
  { "chunks", test_chunks },
  { "chunks without an end", test_chunks_without_end },
};

static const tap_case slow_cases[] = {
  { "100-continue is not asked for", test_continue_not_asked_for },
  { "stall before the answer", test_stall_before_answer },
  { "stall in the answer", test_stall_in_answer },
  { "stall in the request", test_stall_in_request },
  { "drip under a byte a second", test_drip_under_one_byte },
  { "drip", test_drip },
  { "slow but moving", test_slow_but_moving },
  { "the deadline counts waits", test_deadline_counts_waits },
  { "the deadline counts queueing", test_deadline_counts_queueing },
  { "cancelled in the answer", test_cancel },
};

static const tap_suite suites[] = {
  { "names", names_cases, TAP_COUNT(names_cases) },
  { "connecting", connect_cases, TAP_COUNT(connect_cases) },
  { "cut", cut_cases, TAP_COUNT(cut_cases) },
  { "slow", slow_cases, TAP_COUNT(slow_cases) },
};

int
main(int argc, char **argv)
{
  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
