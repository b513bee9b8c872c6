/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's metrics. Goal: whatever names plugins choose, the text that comes
 * out is what a strict reader takes; it reaches the file and the listener that
 * the settings name, and neither can hold up a backend. Method: odd metrics
 * and odd clients against a checker with no code in common.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <statebackend/statebackend.h>
#include "host/plugin/listener.h"
#include "tests/prometheus.h"
#include "tests/tap.h"

static const sb_host *host;
static char *test_text;
static char test_dir[] = "/tmp/sb-test-metrics.XXXXXX";

/* The last line logged, and how many. */
static pthread_mutex_t test_log_lock = PTHREAD_MUTEX_INITIALIZER;
static char test_log_text[1024];
static unsigned test_log_count;

static void
test_log(void *arg, uint32_t level, const char *component, const char *text)
{
  (void)arg;
  (void)level;
  if (strcmp(component, "metrics") != 0)
    return;
  (void)pthread_mutex_lock(&test_log_lock);
  (void)snprintf(test_log_text, sizeof test_log_text, "%s", text);
  test_log_count++;
  (void)pthread_mutex_unlock(&test_log_lock);
}

/* Waits until a line with `part` was logged; the line's copy or "". */
static const char *
test_logged(const char *part)
{
  static char line[1024];
  unsigned i;

  for (i = 0; i < 500; i++) {
    (void)pthread_mutex_lock(&test_log_lock);
    strcpy(line, test_log_text);
    (void)pthread_mutex_unlock(&test_log_lock);
    if (strstr(line, part) != NULL)
      return line;
    (void)usleep(10000);
  }
  return "";
}

static sb_status
test_take(void *arg, const char *text, size_t len)
{
  (void)arg;
  CU_ASSERT_EQUAL(strlen(text), len);
  free(test_text);
  test_text = strdup(text);
  return SB_OK;
}

static void
test_strict(const char *text)
{
  size_t line;
  const char *wrong = prometheus_check(text, &line);

  if (wrong != NULL)
    tap_note("line %zu: %s", line, wrong);
  CU_ASSERT_PTR_NULL(wrong);
}

static const char *
test_value(const char *series)
{
  const char *value;

  CU_ASSERT_EQUAL_FATAL(sb_host_metrics_text(test_take, NULL, NULL), SB_OK);
  test_strict(test_text);
  value = prometheus_value(test_text, series);
  return value == NULL ? "none" : value;
}

static void
test_slot(const char *name, uint32_t kind, const char *help, int64_t value)
{
  host->metric_slot_add(host, host->metric_slot(host, name, kind, help),
                        value);
}

/* ---- text --------------------------------------------------------------- */

static void
test_names(void)
{
  host->metric_add(host, "test.plain", 3);
  CU_ASSERT_STRING_EQUAL(test_value("statebackend_test_plain_total"), "3");
  host->metric_add(host, "test.waited_ns{op=\"get\"}", 1500000001);
  CU_ASSERT_STRING_EQUAL(test_value("statebackend_test_waited_seconds_total"
                                    "{op=\"get\"}"), "1.500000001");
  host->metric_add(host, "test.waited.us", 2500000);
  CU_ASSERT_STRING_EQUAL(test_value("statebackend_test_waited_seconds_total"),
                         "2.5");
  host->metric_add(host, "test.paid_nanodollars", 5);
  CU_ASSERT_STRING_EQUAL(test_value("statebackend_test_paid_dollars_total"),
                         "0.000000005");
  host->metric_add(host, "test.of_total", 1);
  CU_ASSERT_STRING_EQUAL(test_value("statebackend_test_of_total"), "1");
  host->metric_add(host, "test.below", -7);
  CU_ASSERT_STRING_EQUAL(test_value("statebackend_test_below_total"), "-7");
  test_slot("test.since_ms", SB_METRIC_GAUGE, "Says \"a\\b\"\nand c.", -1500);
  CU_ASSERT_STRING_EQUAL(test_value("statebackend_test_since_seconds"),
                         "-1.5");
  CU_ASSERT_PTR_NOT_NULL(strstr(test_text, "# HELP statebackend_test_since_"
                                "seconds Says \"a\\\\b\"\\nand c.\n# TYPE "
                                "statebackend_test_since_seconds gauge\n"));
  CU_ASSERT_STRING_EQUAL(test_value("statebackend_build_info{version=\"0.1.0"
                                    "\"}"), "1");
}

/* Whatever a plugin may call its metrics. */
static void
test_odd_names(void)
{
  static const char *const names[] = {
    "", "{}", "{", "}", "a{", "a}", "a{}", "a{b}", "a{b=}", "a{b=\"}",
    "a{b=\"\"}", "a{b=\"x\"}y", "a{b=\"x\",}", "a{b=\"x\"", "a{b=\"\\x\"}",
    "a{b=\"\\\"}", "a{b=\"\\\\\\\"\\n\"}", "a{1b=\"x\"}", "a{b c=\"x\"}",
    "a{b=\"x\ny\"}", "a\nb", "a b", "9a", "\xff\xfe", "a{b=\"\xff\"}",
    "a{le=\"1\"}", "odd.name", "odd_name", "odd-name", "a{b=\"x\"}{c=\"y\"}",
    "test.hist_sum", "build_info",
  };
  char longest[5000];
  size_t i;

  for (i = 0; i < TAP_COUNT(names); i++) {
    host->metric_add(host, names[i], (int64_t)i);
    test_slot(names[i], SB_METRIC_GAUGE, NULL, 1);
  }
  memset(longest, 'n', 200);
  strcpy(longest + 200, "_ns");
  host->metric_add(host, longest, 1);
  (void)test_value("");
  /* Of metric_add's name; the first who says what it is decides. */
  CU_ASSERT_STRING_EQUAL(test_value("statebackend_a{b=\"\\\\\\\"\\n\"}"),
                         "17");
}

static void
test_kinds_clash(void)
{
  test_slot("clash.a_total", SB_METRIC_GAUGE, NULL, 1);
  test_slot("clash.a", SB_METRIC_COUNTER, NULL, 2);
  test_slot("clash.b", SB_METRIC_GAUGE, NULL, 1);
  test_slot("clash.b", SB_METRIC_COUNTER, NULL, 1);
  test_slot("clash.c{x=\"1\"}", SB_METRIC_GAUGE, NULL, 1);
  test_slot("clash.c{x=\"2\",le=\"5\"}", SB_METRIC_HISTOGRAM, NULL, 1);
  test_slot("clash.d", 77, NULL, 4);
  CU_ASSERT_STRING_EQUAL(test_value("statebackend_clash_b"), "2");
  CU_ASSERT_STRING_EQUAL(test_value("statebackend_clash_d_total"), "4");
}

static void
test_histogram(void)
{
  test_slot("test.hist_ns{op=\"a\",le=\"2500000\"}", SB_METRIC_HISTOGRAM,
            NULL, 2);
  test_slot("test.hist_ns{op=\"a\",le=\"10000000000\"}", SB_METRIC_HISTOGRAM,
            NULL, 3);
  test_slot("test.hist_ns{op=\"a\",le=\"+Inf\"}", SB_METRIC_HISTOGRAM, NULL,
            4);
  test_slot("test.hist_ns{op=\"a\"}", SB_METRIC_HISTOGRAM, "Help.", 70);
  test_slot("test.hist_ns{op=\"b\"}", SB_METRIC_HISTOGRAM, NULL, 0);
  test_slot("test.hist_ns{le=\"5\",op=\"c\"}", SB_METRIC_HISTOGRAM, NULL, 1);
  test_slot("test.hist_ns{le=\"5.5\",op=\"c\"}", SB_METRIC_HISTOGRAM, NULL,
            1);
#define HIST "statebackend_test_hist_seconds"
  CU_ASSERT_STRING_EQUAL(test_value(HIST "_bucket{op=\"a\",le=\"0.0025\"}"),
                         "2");
  CU_ASSERT_STRING_EQUAL(test_value(HIST "_bucket{op=\"a\",le=\"10\"}"), "5");
  CU_ASSERT_STRING_EQUAL(test_value(HIST "_bucket{op=\"a\",le=\"+Inf\"}"),
                         "9");
  CU_ASSERT_STRING_EQUAL(test_value(HIST "_sum{op=\"a\"}"), "0.00000007");
  CU_ASSERT_STRING_EQUAL(test_value(HIST "_count{op=\"a\"}"), "9");
  CU_ASSERT_STRING_EQUAL(test_value(HIST "_bucket{op=\"b\",le=\"+Inf\"}"),
                         "0");
  CU_ASSERT_STRING_EQUAL(test_value(HIST "_count{op=\"c\"}"), "1");
}

static sb_status
test_refuse(void *arg, const char *text, size_t len)
{
  (void)arg;
  (void)text;
  (void)len;
  return SB_NO_SPACE;
}

static void
test_call(void)
{
  sb_error err;

  CU_ASSERT_EQUAL(sb_host_metrics_text(NULL, NULL, &err), SB_INVALID);
  CU_ASSERT_EQUAL(sb_host_metrics_text(test_refuse, NULL, &err), SB_NO_SPACE);
  CU_ASSERT_EQUAL(sb_api(1)->host_metrics_text(test_take, NULL, &err), SB_OK);
}

static void *
test_count(void *arg)
{
  unsigned i;

  (void)arg;
  for (i = 0; i < 20000; i++) {
    sb_metric *metric = host->metric_slot(host, "test.race",
                                          SB_METRIC_COUNTER, "Races.");

    host->metric_slot_add(host, metric, 1);
    host->metric_add(host, "test.race", 1);
    if (i % 5000 == 0)
      CU_ASSERT_EQUAL(sb_host_metrics_text(test_refuse, NULL, NULL),
                      SB_NO_SPACE);
  }
  return NULL;
}

static void
test_threads(void)
{
  pthread_t threads[4];
  unsigned i;

  for (i = 0; i < 4; i++)
    CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, test_count, NULL),
                          0);
  for (i = 0; i < 4; i++)
    (void)pthread_join(threads[i], NULL);
  CU_ASSERT_STRING_EQUAL(test_value("statebackend_test_race_total"),
                         "160000");
}

/* ---- exporters ---------------------------------------------------------- */

static sb_status
test_open(const char *file, const char *listen, const char *memory,
          sb_backend **out, sb_error *err)
{
  sb_config *config;
  char dir[256];
  sb_status status;

  (void)snprintf(dir, sizeof dir, "%s/data", test_dir);
  (void)mkdir(dir, 0700);
  CU_ASSERT_EQUAL_FATAL(sb_config_new(&config, err), SB_OK);
  (void)sb_config_set(config, "state.backend", "local", NULL, err);
  (void)sb_config_set(config, "state.backend.local.dir", dir, NULL, err);
  (void)sb_config_set(config, "state.backend.memory.size", memory, NULL, err);
  (void)sb_config_set(config, "state.backend.metrics.interval", "100ms", NULL,
                      err);
  if (file != NULL)
    (void)sb_config_set(config, "state.backend.metrics.file", file, NULL, err);
  if (listen != NULL)
    (void)sb_config_set(config, "state.backend.metrics.listen", listen, NULL,
                        err);
  status = sb_backend_open(config, NULL, out, err);
  sb_config_free(config);
  return status;
}

/* The file's text, NULL if there is none. */
static const char *
test_file(const char *path)
{
  static char text[1 << 20];
  FILE *file = fopen(path, "re");
  size_t len;

  if (file == NULL)
    return NULL;
  len = fread(text, 1, sizeof text - 1, file);
  text[len] = '\0';
  (void)fclose(file);
  return text;
}

/* Waits until the file has the series with this value. */
static int
test_file_has(const char *path, const char *series, const char *value)
{
  unsigned i;

  for (i = 0; i < 500; i++) {
    const char *text = test_file(path), *found = NULL;

    if (text != NULL) {
      test_strict(text);
      found = prometheus_value(text, series);
    }
    if (found != NULL && strcmp(found, value) == 0)
      return 1;
    (void)usleep(10000);
  }
  return 0;
}

static void
test_to_file(void)
{
  sb_backend *backend;
  char path[256];
  sb_error err;

  (void)snprintf(path, sizeof path, "%s/job.prom", test_dir);
  host->metric_add(host, "test.file", 1);
  CU_ASSERT_EQUAL_FATAL(test_open(path, NULL, "64mb", &backend, &err), SB_OK);
  CU_ASSERT(test_file_has(path, "statebackend_test_file_total", "1"));
  host->metric_add(host, "test.file", 1);
  CU_ASSERT(test_file_has(path, "statebackend_test_file_total", "2"));
  host->metric_add(host, "test.file", 1);
  sb_backend_close(backend);
  CU_ASSERT_PTR_NOT_NULL_FATAL(test_file(path));
  CU_ASSERT_STRING_EQUAL(prometheus_value(test_file(path),
                                          "statebackend_test_file_total"),
                         "3");
}

/* The job goes on without its file, which comes when it can. */
static void
test_file_missing(void)
{
  sb_backend *backend;
  char dir[256], path[300];
  unsigned lines;
  sb_error err;

  (void)snprintf(dir, sizeof dir, "%s/later", test_dir);
  (void)snprintf(path, sizeof path, "%s/job.prom", dir);
  CU_ASSERT_EQUAL_FATAL(test_open(path, NULL, "64mb", &backend, &err), SB_OK);
  CU_ASSERT_STRING_NOT_EQUAL(test_logged("later/job.prom\": No such file"),
                             "");
  lines = test_log_count;
  (void)usleep(350000);
  CU_ASSERT_EQUAL(test_log_count, lines);
  CU_ASSERT_EQUAL(mkdir(dir, 0700), 0);
  CU_ASSERT(test_file_has(path, "statebackend_build_info{version=\"0.1.0\"}",
                          "1"));
  sb_backend_close(backend);
}

static void
test_addresses(void)
{
  static const char *const refused[] = {
    "9101", ":9101", "0.0.0.0:9101", "192.168.1.1:9101", "localhost:9101",
    "[::]:9101", "[::1]", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x",
    "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1: 1", "[fe80::1]:9101",
    "[::ffff:10.0.0.1]:9101", "128.0.0.1:80", "127.1:80", "::1:9101",
  };
  sb_backend *backend;
  sb_error err;
  size_t i;

  for (i = 0; i < TAP_COUNT(refused); i++) {
    sb_status status = test_open(NULL, refused[i], "64mb", &backend, &err);

    if (status != SB_CONFIG)
      tap_note("%s: %s", refused[i], sb_status_name(status));
    CU_ASSERT_EQUAL(status, SB_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.message, "loopback"));
    if (status == SB_OK)
      sb_backend_close(backend);
  }
}

/* The port in what the listener logged. */
static uint16_t
test_port(void)
{
  const char *line = test_logged("http://127.0.0.1:");
  const char *port = strstr(line, "127.0.0.1:");

  return port == NULL ? 0 : (uint16_t)atoi(port + 10);
}

static int
test_connect(uint16_t port)
{
  struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
  const struct timeval patience = { .tv_sec = 10 };
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CU_ASSERT_FATAL(fd >= 0);
  (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(fd, (const struct sockaddr *)&at, sizeof at) == 0)
    return fd;
  (void)close(fd);
  return -1;
}

/* Sends what is to be sent and reads all that comes. */
static const char *
test_ask(uint16_t port, const char *request)
{
  static char answer[1 << 20];
  int fd = test_connect(port);
  size_t len = 0;
  ssize_t n;

  answer[0] = '\0';
  if (fd < 0)
    return answer;
  (void)send(fd, request, strlen(request), MSG_NOSIGNAL);
  while ((n = recv(fd, answer + len, sizeof answer - 1 - len, 0)) > 0)
    len += (size_t)n;
  answer[len] = '\0';
  (void)close(fd);
  return answer;
}

static void
test_listener(void)
{
  static char request[LISTENER_REQUEST_MAX + 100];
  sb_backend *backend, *other;
  const char *answer, *body;
  uint16_t port;
  sb_error err;

  test_log_text[0] = '\0';
  CU_ASSERT_EQUAL_FATAL(test_open(NULL, "127.0.0.1:0", "64mb", &backend,
                                  &err), SB_OK);
  port = test_port();
  CU_ASSERT_FATAL(port != 0);
  /* Another backend of the process that wants the same shares it. */
  CU_ASSERT_EQUAL(test_open(NULL, "127.0.0.1:0", "32mb", &other, &err),
                  SB_OK);
  sb_backend_close(other);
  answer = test_ask(port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  CU_ASSERT_PTR_EQUAL(strstr(answer, "HTTP/1.1 200 OK\r\n"), answer);
  CU_ASSERT_PTR_NOT_NULL(strstr(answer, "text/plain; version=0.0.4"));
  body = strstr(answer, "\r\n\r\n");
  CU_ASSERT_PTR_NOT_NULL_FATAL(body);
  test_strict(body + 4);
  answer = test_ask(port, "HEAD /metrics HTTP/1.0\r\n\r\n");
  CU_ASSERT_PTR_EQUAL(strstr(answer, "HTTP/1.1 200"), answer);
  body = strstr(answer, "\r\n\r\n");
  CU_ASSERT(body != NULL && body[4] == '\0');
  answer = test_ask(port, "GET /metrics?x=1 HTTP/1.1\n\n");
  CU_ASSERT_PTR_EQUAL(strstr(answer, "HTTP/1.1 200"), answer);
  answer = test_ask(port, "GET /metricsx HTTP/1.1\r\n\r\n");
  CU_ASSERT_PTR_EQUAL(strstr(answer, "HTTP/1.1 404"), answer);
  answer = test_ask(port, "GET / HTTP/1.1\r\n\r\n");
  CU_ASSERT_PTR_EQUAL(strstr(answer, "HTTP/1.1 404"), answer);
  answer = test_ask(port, "POST /metrics HTTP/1.1\r\n\r\n");
  CU_ASSERT_PTR_EQUAL(strstr(answer, "HTTP/1.1 405"), answer);
  answer = test_ask(port, "\r\n\r\n");
  CU_ASSERT_PTR_EQUAL(strstr(answer, "HTTP/1.1 405"), answer);
  memset(request, 'x', LISTENER_REQUEST_MAX);
  answer = test_ask(port, request);
  CU_ASSERT_PTR_EQUAL(strstr(answer, "HTTP/1.1 431"), answer);
  sb_backend_close(backend);
  CU_ASSERT_EQUAL(test_connect(port), -1);
}

/* Clients that say nothing: they are dropped, then others get their turn, and
   closing waits for none of them. */
static void
test_slow_clients(void)
{
  int fds[LISTENER_CLIENTS + 2];
  sb_backend *backend;
  const char *answer;
  uint64_t start;
  uint16_t port;
  sb_error err;
  size_t i;

  test_log_text[0] = '\0';
  CU_ASSERT_EQUAL_FATAL(test_open(NULL, "127.0.0.1:0", "64mb", &backend,
                                  &err), SB_OK);
  port = test_port();
  CU_ASSERT_FATAL(port != 0);
  for (i = 0; i < TAP_COUNT(fds); i++) {
    fds[i] = test_connect(port);
    CU_ASSERT(fds[i] >= 0);
    (void)send(fds[i], "GET /metr", i % 2 == 0 ? 9 : 0, MSG_NOSIGNAL);
  }
  answer = test_ask(port, "GET /metrics HTTP/1.1\r\n\r\n");
  CU_ASSERT_PTR_EQUAL(strstr(answer, "HTTP/1.1 200"), answer);
  for (i = 0; i < TAP_COUNT(fds); i++)
    (void)close(fds[i]);
  fds[0] = test_connect(port);
  start = host->monotonic_ns(host);
  sb_backend_close(backend);
  CU_ASSERT(host->monotonic_ns(host) - start < 1500000000u);
  (void)close(fds[0]);
}

/* A taken port is tried again. */
static void
test_taken_port(void)
{
  struct sockaddr_in at = { .sin_family = AF_INET };
  socklen_t len = sizeof at;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  char place[64];
  sb_backend *backend;
  sb_error err;

  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CU_ASSERT_FATAL(fd >= 0);
  CU_ASSERT_EQUAL_FATAL(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
  CU_ASSERT_EQUAL_FATAL(listen(fd, 1), 0);
  CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)&at, &len), 0);
  (void)snprintf(place, sizeof place, "127.0.0.1:%u",
                 (unsigned)ntohs(at.sin_port));
  CU_ASSERT_EQUAL_FATAL(test_open(NULL, place, "64mb", &backend, &err),
                        SB_OK);
  CU_ASSERT_STRING_NOT_EQUAL(test_logged("could not listen on"), "");
  (void)close(fd);
  CU_ASSERT_STRING_NOT_EQUAL(test_logged("can be read at"), "");
  CU_ASSERT_PTR_NOT_NULL(strstr(test_ask(ntohs(at.sin_port),
                                         "GET /metrics HTTP/1.1\r\n\r\n"),
                                "200 OK"));
  sb_backend_close(backend);
}

/* Last: it takes all the room there is. */
static void
test_full(void)
{
  char name[64];
  unsigned i;

  for (i = 0; i < 3000; i++) {
    (void)snprintf(name, sizeof name, "full.n{i=\"%u\"}", i);
    host->metric_slot_add(host, host->metric_slot(host, name,
                                                  SB_METRIC_COUNTER, NULL), 1);
  }
  CU_ASSERT_PTR_NULL(host->metric_slot(host, "full.more", SB_METRIC_GAUGE,
                                       NULL));
  host->metric_slot_set(host, NULL, 1);
  CU_ASSERT_STRING_EQUAL(test_value("statebackend_full_n_total{i=\"0\"}"),
                         "1");
}

static int
test_main(int argc, char **argv)
{
  static const tap_case text[] = {
    { "names", test_names },       { "odd_names", test_odd_names },
    { "kinds_clash", test_kinds_clash }, { "histogram", test_histogram },
    { "call", test_call },         { "threads", test_threads },
  };
  static const tap_case exporters[] = {
    { "file", test_to_file },      { "file_missing", test_file_missing },
    { "addresses", test_addresses }, { "listener", test_listener },
    { "slow_clients", test_slow_clients }, { "taken_port", test_taken_port },
    { "full", test_full },
  };
  static const tap_suite suites[] = {
    { "text", text, TAP_COUNT(text) },
    { "exporters", exporters, TAP_COUNT(exporters) },
  };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}

int
main(int argc, char **argv)
{
  char command[sizeof test_dir + 16];
  int code;

  if (mkdtemp(test_dir) == NULL)
    return 99;
  host = sb_host_default();
  sb_host_set_log(test_log, NULL);
  code = test_main(argc, argv);
  sb_host_set_log(NULL, NULL);
  free(test_text);
  (void)snprintf(command, sizeof command, "rm -rf %s", test_dir);
  return system(command) != 0 ? 99 : code;
}
