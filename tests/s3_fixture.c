/* SPDX-License-Identifier: Apache-2.0 */
/* An s3 store over a server that does wrong; see s3_fixture.h. */
#include "config.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/s3_fixture.h"
#include "tests/tap.h"

#define PREFIX "state.backend.s3."

/* ---- the host ----------------------------------------------------------- */

static void
s3_fixture_log(const sb_host *host, uint32_t level, const char *component,
               const char *text)
{
  s3_fixture *f = (s3_fixture *)(uintptr_t)host;

  pthread_mutex_lock(&f->lock);
  http_text_printf(&f->log, "%u %s: %s\n", level, component, text);
  pthread_mutex_unlock(&f->lock);
}

static uint64_t
s3_fixture_clock(const sb_host *host)
{
  const s3_fixture *f = (const s3_fixture *)(const void *)host;
  const sb_host *real = sb_host_default();

  return (uint64_t)((int64_t)real->clock_ms(real) + atomic_load(&f->clock_ms));
}

static void *
s3_fixture_alloc(const sb_host *host, void *old, size_t size)
{
  s3_fixture *f = (s3_fixture *)(uintptr_t)host;
  void *p = sb_host_default()->alloc(sb_host_default(), old, size);

  if (old == NULL && p != NULL)
    atomic_fetch_add(&f->blocks, 1);
  if (old != NULL && size == 0)
    atomic_fetch_sub(&f->blocks, 1);
  return p;
}

/* These keep memory for the whole process: not out of what is counted. */
static void
s3_fixture_metric_add(const sb_host *host, const char *name, int64_t delta)
{
  (void)host;
  sb_host_default()->metric_add(sb_host_default(), name, delta);
}

static sb_metric *
s3_fixture_metric_slot(const sb_host *host, const char *name, uint32_t kind,
                       const char *help)
{
  (void)host;
  return sb_host_default()->metric_slot(sb_host_default(), name, kind, help);
}

static sb_status
s3_fixture_timer_start(const sb_host *host, uint64_t delay_ms, sb_task *task,
                       void *arg, uint64_t *id, sb_error *err)
{
  (void)host;
  return sb_host_default()->timer_start(sb_host_default(), delay_ms, task,
                                        arg, id, err);
}

int
s3_fixture_logged(s3_fixture *f, const char *text)
{
  int found;

  pthread_mutex_lock(&f->lock);
  found = strstr(http_text_string(&f->log), text) != NULL;
  pthread_mutex_unlock(&f->lock);
  return found;
}

/* ---- opening ------------------------------------------------------------ */

unsigned char
s3_fixture_byte(uint64_t at)
{
  return (unsigned char)(at * 31 + (at >> 8));
}

void
s3_fixture_start(s3_fixture *f, const s3_server_options *options)
{
  unsigned char data[S3_FIXTURE_SIZE];
  size_t i;

  memset(f, 0, sizeof *f);
  f->host = *sb_host_default();
  f->host.log = s3_fixture_log;
  f->host.alloc = s3_fixture_alloc;
  f->host.metric_add = s3_fixture_metric_add;
  f->host.metric_slot = s3_fixture_metric_slot;
  f->host.timer_start = s3_fixture_timer_start;
  f->host.clock_ms = s3_fixture_clock;
  pthread_mutex_init(&f->lock, NULL);
  f->server = s3_server_start(options);
  CU_ASSERT_PTR_NOT_NULL_FATAL(f->server);
  for (i = 0; i < sizeof data; i++)
    data[i] = s3_fixture_byte(i);
  s3_server_store(f->server, S3_TEST_BUCKET, S3_FIXTURE_NAME, data,
                  sizeof data);
}

/* A later line of the same key wins. */
static void
s3_fixture_set(s3_fixture *f, const char *line, size_t len)
{
  char key[160], value[512];
  size_t name = 0;

  while (name < len && line[name] != '=')
    name++;
  if (name == len)
    return;
  (void)snprintf(key, sizeof key, "%s%.*s",
                 strncmp(line, "aws.", 4) == 0 ? "" : PREFIX, (int)name, line);
  (void)snprintf(value, sizeof value, "%.*s", (int)(len - name - 1),
                 line + name + 1);
  CU_ASSERT_EQUAL_FATAL(sb_config_set(f->config, key, value, NULL, &f->error),
                        SB_OK);
}

/* Does a line of `more` name the key of this line? */
static int
s3_fixture_replaced(const char *line, size_t len, const char *more)
{
  size_t name = 0;

  while (name < len && line[name] != '=')
    name++;
  while (more != NULL && *more != '\0') {
    size_t next = strcspn(more, "\n");

    if (next >= name && strncmp(more, line, name) == 0 &&
        (next == name || more[name] == '='))
      return 1;
    more += next;
    more += *more == '\n';
  }
  return 0;
}

static void
s3_fixture_lines(s3_fixture *f, const char *lines, const char *more)
{
  while (lines != NULL && *lines != '\0') {
    size_t len = strcspn(lines, "\n");

    if (!s3_fixture_replaced(lines, len, more))
      s3_fixture_set(f, lines, len);
    lines += len;
    lines += *lines == '\n';
  }
}

sb_status
s3_fixture_open(s3_fixture *f, const char *settings)
{
  int slower = tap_is_slow() ? 5 : 1;
  char usual[1024];
  sb_status status;

  (void)snprintf(usual, sizeof usual,
                 "bucket=" S3_TEST_BUCKET "\naws.region=" S3_TEST_REGION "\n"
                 "aws.credentials.provider.basic.accesskeyid=" S3_TEST_ACCESS
                 "\naws.credentials.provider.basic.secretkey=" S3_TEST_SECRET
                 "\naws.endpoint=%s\nopen-check=none\n"
                 "conditional-writes=match\nconnect-timeout=%dms\nfirst-byte-timeout=%dms\n"
                 "stall-timeout=%dms\nrequest-timeout=%ds\n"
                 "retry.attempts=4\nretry.delay-min=2ms\nretry.delay-max=20ms\n"
                 "retry.throttle-delay-min=5ms\n", s3_server_url(f->server),
                 400 * slower, 300 * slower, 500 * slower, 10 * slower);
  CU_ASSERT_EQUAL_FATAL(sb_config_new(&f->config, &f->error), SB_OK);
  status = sb_config_set(f->config, "state.backend", "s3", NULL, &f->error);
  CU_ASSERT_EQUAL_FATAL(status, SB_OK);
  s3_fixture_lines(f, usual, settings);
  s3_fixture_lines(f, settings, NULL);
  status = sb_config_check(f->config, &f->error);
  if (status == SB_OK)
    status = s3_store_open(&f->host, f->config, PREFIX, "s3", &f->store,
                           &f->error);
  if (status != SB_OK)
    tap_note("%s", f->error.message);
  return status;
}

/* Threads of the host give their memory, and this host, up a moment after the
   work is done. */
void
s3_fixture_close(s3_fixture *f)
{
  int tries;

  if (f->store != NULL)
    s3_store_close(&f->store->base);
  for (tries = 0; tries < 2000 && atomic_load(&f->blocks) > 0; tries++)
    (void)usleep(1000);
  CU_ASSERT_EQUAL(atomic_load(&f->blocks), 0);
  sb_config_free(f->config);
  f->store = NULL;
  f->config = NULL;
}

void
s3_fixture_end(s3_fixture *f)
{
  s3_fixture_close(f);
  s3_server_stop(f->server);
  if (f->log.len > 0)
    tap_note("log: %.*s", (int)f->log.len - 1, f->log.data);
  http_text_free(&f->log);
  pthread_mutex_destroy(&f->lock);
}

void
s3_fixture_rules(s3_fixture *f, const char *rules)
{
  char line[512];
  const char *why = "";

  while (rules != NULL && *rules != '\0') {
    size_t len = strcspn(rules, "\n");

    (void)snprintf(line, sizeof line, "%.*s", (int)len, rules);
    CU_ASSERT_EQUAL_FATAL(s3_server_fault(f->server, line, &why), 0);
    rules += len;
    rules += *rules == '\n';
  }
}

void
s3_fixture_begin(s3_fixture *f, const char *rules, const char *settings)
{
  s3_fixture_start(f, NULL);
  s3_fixture_rules(f, rules);
  CU_ASSERT_EQUAL_FATAL(s3_fixture_open(f, settings), SB_OK);
}

/* ---- operations --------------------------------------------------------- */

static void
s3_fixture_go(s3_fixture *f)
{
  f->error.message[0] = '\0';
  f->started_ns = f->host.monotonic_ns(&f->host);
}

static sb_status
s3_fixture_went(s3_fixture *f, sb_status status)
{
  f->took_ms = (f->host.monotonic_ns(&f->host) - f->started_ns) / 1000000;
  if (status != SB_OK)
    tap_note("%s: %s (%llu ms)", sb_status_name(status), f->error.message,
             (unsigned long long)f->took_ms);
  return status;
}

sb_status
s3_fixture_get(s3_fixture *f, uint64_t offset, uint64_t length)
{
  unsigned char *buf = http_alloc(length + 1);
  uint64_t got = 0, i;
  sb_status status;

  s3_fixture_go(f);
  status = store_get(&f->host, &f->store->base, S3_FIXTURE_NAME, offset, buf,
                     length, &got, NULL, 0, &f->error);
  if (status == SB_OK) {
    CU_ASSERT_EQUAL(got, offset + length > S3_FIXTURE_SIZE
                           ? S3_FIXTURE_SIZE - offset : length);
    for (i = 0; i < got && buf[i] == s3_fixture_byte(offset + i); i++)
      continue;
    CU_ASSERT_EQUAL(i, got);
  }
  /* Nothing is written behind what was asked for. */
  CU_ASSERT_EQUAL(buf[length], 0);
  free(buf);
  return s3_fixture_went(f, status);
}

sb_status
s3_fixture_put(s3_fixture *f, const char *name, const void *data, size_t len,
               uint32_t flags, const char *if_match, store_meta *meta)
{
  s3_fixture_go(f);
  return s3_fixture_went(f, store_put(&f->host, &f->store->base, name, data,
                                      len, flags, if_match, NULL, 0, meta, 0,
                                      &f->error));
}

sb_status
s3_fixture_head(s3_fixture *f, const char *name, store_meta *meta)
{
  s3_fixture_go(f);
  return s3_fixture_went(f, store_head(&f->host, &f->store->base, name, meta,
                                       &f->error));
}

typedef struct s3_fixture_names {
  size_t limit, count;
  char last[1100];
} s3_fixture_names;

static sb_status
s3_fixture_name(void *arg, const sb_store_entry *entry, sb_error *err)
{
  s3_fixture_names *names = arg;

  CU_ASSERT_TRUE(strcmp(names->last, entry->name) < 0);
  (void)snprintf(names->last, sizeof names->last, "%s", entry->name);
  if (++names->count < names->limit)
    return SB_OK;
  return sb_error_set(err, SB_CANCELLED, "the test has seen enough");
}

sb_status
s3_fixture_list(s3_fixture *f, size_t limit, size_t *count)
{
  s3_fixture_names names = { .limit = limit };
  sb_status status;

  s3_fixture_go(f);
  status = store_list(&f->host, &f->store->base, "", NULL, s3_fixture_name,
                      &names, &f->error);
  *count = names.count;
  return s3_fixture_went(f, status);
}

sb_status
s3_fixture_remove(s3_fixture *f, const char *const *names, size_t count,
                  sb_status *statuses)
{
  s3_fixture_go(f);
  return s3_fixture_went(f, store_remove(&f->host, &f->store->base, names,
                                         count, statuses, &f->error));
}

int
s3_fixture_holds(s3_fixture *f, const char *name, const void *data, size_t len)
{
  size_t has = 0;
  char *copy = s3_server_load(f->server, S3_TEST_BUCKET, name, &has);
  int same = copy != NULL && has == len && memcmp(copy, data, len) == 0;

  free(copy);
  return same;
}

int
s3_fixture_within(const s3_fixture *f, uint64_t ms)
{
  return f->took_ms < ms * (tap_is_slow() ? 20 : 3);
}

void
s3_fixture_expect(s3_fixture *f, sb_status status, sb_status wanted,
                  const char *text)
{
  CU_ASSERT_EQUAL(status, wanted);
  if (status != wanted)
    tap_note("status %s, wanted %s: %s", sb_status_name(status),
             sb_status_name(wanted), f->error.message);
  if (text == NULL || status == SB_OK)
    return;
  CU_ASSERT_PTR_NOT_NULL(strstr(f->error.message, text));
  if (strstr(f->error.message, text) == NULL)
    tap_note("\"%s\" is not in that message", text);
}

void
s3_fixture_try_get(const char *rules, sb_status wanted, size_t requests,
                   const char *text)
{
  s3_fixture f;

  s3_fixture_begin(&f, rules, NULL);
  s3_fixture_expect(&f, s3_fixture_get(&f, 1000, 4096), wanted, text);
  CU_ASSERT_TRUE(s3_fixture_within(&f, 4000));
  if (requests > 0)
    CU_ASSERT_EQUAL(s3_server_seen(f.server, "get"), requests);
  s3_fixture_end(&f);
}

void
s3_fixture_try_put(const char *rules, size_t len, uint32_t flags,
                   sb_status wanted, size_t requests, const char *text)
{
  char *data = http_alloc(len);
  sb_status status;
  s3_fixture f;
  size_t i;

  for (i = 0; i < len; i++)
    data[i] = (char)s3_fixture_byte(i + 7);
  s3_fixture_begin(&f, rules, NULL);
  status = s3_fixture_put(&f, "new", data, len, flags, NULL, NULL);
  s3_fixture_expect(&f, status, wanted, text);
  CU_ASSERT_TRUE(s3_fixture_within(&f, 4000));
  if (requests > 0)
    CU_ASSERT_EQUAL(s3_server_seen(f.server, "put"), requests);
  if (status != SB_UNKNOWN)
    CU_ASSERT_EQUAL(s3_fixture_holds(&f, "new", data, len), status == SB_OK);
  s3_fixture_end(&f);
  free(data);
}
