/* SPDX-License-Identifier: Apache-2.0 */
/* See credentials_fixture.h. */
#include "config.h"

#include <ftw.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/credentials_fixture.h"
#include "tests/tap.h"

#define RIG_PAUSE_NS 5000000u
#define RIG_SAID_MAX (1u << 20)

/* Every variable that a source reads. */
static const char *const rig_variables[] = {
  "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
  "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE",
  "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_STS",
  "AWS_ENDPOINT_URL_SSO", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN",
  "AWS_ROLE_SESSION_NAME", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
  "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
  "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_EC2_METADATA_DISABLED",
  "AWS_EC2_METADATA_SERVICE_ENDPOINT",
  "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"
};

static rig *
rig_of(const sb_host *host)
{
  return (rig *)(uintptr_t)host;
}

/* ---- the host ----------------------------------------------------------- */

static void
rig_log(const sb_host *host, uint32_t level, const char *component,
        const char *text)
{
  (void)level;
  (void)component;
  rig_said(rig_of(host), text);
}

static uint64_t
rig_clock_ms(const sb_host *host)
{
  rig *r = rig_of(host);

  return r->faulty.real->clock_ms(r->faulty.real) +
         (uint64_t)atomic_load(&r->ahead_ms);
}

static uint64_t
rig_monotonic_ns(const sb_host *host)
{
  rig *r = rig_of(host);

  return r->faulty.real->monotonic_ns(r->faulty.real) +
         (uint64_t)atomic_load(&r->ahead_ms) * 1000000u;
}

static sb_status
rig_event_wait(const sb_host *host, sb_event *event, uint64_t deadline_ns)
{
  rig *r = rig_of(host);

  /* Only pauses have a deadline: they are short here. */
  if (deadline_ns != SB_NO_DEADLINE)
    deadline_ns = r->faulty.real->monotonic_ns(r->faulty.real) + RIG_PAUSE_NS;
  return r->faulty.real->event_wait(r->faulty.real, event, deadline_ns);
}

/* A lane frees what it keeps of a task a moment after the task has ended; by
   then the rig may be gone. */
static sb_status
rig_execute(const sb_host *host, uint32_t lane, sb_task *task, void *arg,
            sb_error *err)
{
  const sb_host *real = rig_of(host)->faulty.real;

  return real->execute(real, lane, task, arg, err);
}

static const char *
rig_config_string(const sb_config *config, const char *key)
{
  const rig *r = (const rig *)(const void *)config;
  size_t i;

  for (i = r->config_count; i-- > 0;)
    if (strcmp(r->config[i][0], key) == 0)
      return r->config[i][1];
  return NULL;
}

static int64_t
rig_config_int(const sb_config *config, const char *key)
{
  const char *text = rig_config_string(config, key);

  return text == NULL ? 0 : strtoll(text, NULL, 10);
}

/* ---- start and end ------------------------------------------------------ */

static void
rig_clear_environment(void)
{
  size_t i;

  for (i = 0; i < TAP_COUNT(rig_variables); i++)
    (void)unsetenv(rig_variables[i]);
}

void
rig_start(rig *r)
{
  const char *home = getenv("HOME");
  sb_host *host = &r->faulty.host;

  memset(r, 0, sizeof *r);
  faulty_host_init(&r->faulty, 0);
  host->log = rig_log;
  host->clock_ms = rig_clock_ms;
  host->monotonic_ns = rig_monotonic_ns;
  host->event_wait = rig_event_wait;
  host->execute = rig_execute;
  host->config_string = rig_config_string;
  host->config_int = rig_config_int;
  r->settings.host = host;
  r->settings.config = (const sb_config *)(const void *)r;
  r->settings.tls_verify = 1;
  (void)pthread_mutex_init(&r->lock, NULL);
  r->said = calloc(1, RIG_SAID_MAX);
  CU_ASSERT_PTR_NOT_NULL_FATAL(r->said);
  (void)snprintf(r->old_home, sizeof r->old_home, "%s",
                 home == NULL ? "" : home);
  (void)snprintf(r->home, sizeof r->home, "/tmp/sb-credentials-XXXXXX");
  CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(r->home));
  (void)setenv("HOME", r->home, 1);
  rig_clear_environment();
  rig_env("AWS_EC2_METADATA_DISABLED", "true");
}

static int
rig_remove(const char *path, const struct stat *info, int type,
           struct FTW *place)
{
  (void)info;
  (void)type;
  (void)place;
  return remove(path);
}

void
rig_end(rig *r)
{
  s3_provider_close(r->provider);
  CU_ASSERT_EQUAL(atomic_load(&r->faulty.live), 0);
  CU_ASSERT_PTR_NULL(strstr(r->said, SECRET));
  if (strstr(r->said, SECRET) != NULL)
    tap_note("a secret in: %s", r->said);
  rig_clear_environment();
  (void)setenv("HOME", r->old_home, 1);
  (void)nftw(r->home, rig_remove, 8, FTW_DEPTH | FTW_PHYS);
  (void)pthread_mutex_destroy(&r->lock);
  free(r->said);
}

void
rig_set(rig *r, const char *key, const char *value)
{
  CU_ASSERT_FATAL(r->config_count < RIG_SETTINGS_MAX);
  r->config[r->config_count][0] = key;
  r->config[r->config_count++][1] = value;
}

void
rig_env(const char *name, const char *value)
{
  if (value == NULL)
    (void)unsetenv(name);
  else
    (void)setenv(name, value, 1);
}

const char *
rig_file(rig *r, const char *name, const char *format, ...)
{
  static char path[512];
  va_list args;
  char *slash;
  FILE *file;

  (void)snprintf(path, sizeof path, "%s/%s", r->home, name);
  for (slash = path + strlen(r->home) + 1;
       (slash = strchr(slash, '/')) != NULL; slash++) {
    *slash = '\0';
    (void)mkdir(path, 0700);
    *slash = '/';
  }
  file = fopen(path, "w");
  CU_ASSERT_PTR_NOT_NULL_FATAL(file);
  va_start(args, format);
  (void)vfprintf(file, format, args);
  va_end(args);
  (void)fclose(file);
  return path;
}

/* ---- asking ------------------------------------------------------------- */

static void
rig_watch(void *arg, uint64_t obtained_ms, uint64_t expires_ms, int failed)
{
  rig *r = arg;

  (void)obtained_ms;
  (void)expires_ms;
  (void)pthread_mutex_lock(&r->lock);
  r->refreshes++;
  r->failures += failed != 0;
  (void)pthread_mutex_unlock(&r->lock);
}

sb_status
rig_open(rig *r, sb_error *err)
{
  sb_status status = s3_provider_open(&r->settings, &r->provider, err);

  if (status == SB_OK)
    s3_provider_watch(r->provider, rig_watch, r);
  else
    rig_said(r, err->message);
  return status;
}

void
rig_must_open(rig *r)
{
  sb_error err;

  err.message[0] = '\0';
  if (rig_open(r, &err) != SB_OK)
    tap_note("%s", err.message);
  CU_ASSERT_PTR_NOT_NULL_FATAL(r->provider);
}

typedef struct rig_asked {
  sem_t done;
  s3_credentials *got;
  sb_error err;
} rig_asked;

static void
rig_done(void *arg, s3_credentials *credentials, const sb_error *error)
{
  rig_asked *asked = arg;

  asked->got = credentials;
  if (error != NULL)
    asked->err = *error;
  (void)sem_post(&asked->done);
}

s3_credentials *
rig_get(rig *r, sb_error *err)
{
  rig_asked asked;
  s3_credentials *got;

  memset(&asked, 0, sizeof asked);
  (void)sem_init(&asked.done, 0, 0);
  s3_provider_get(r->provider, rig_done, &asked, &got);
  if (got == NULL) {
    while (sem_wait(&asked.done) != 0)
      continue;
    got = asked.got;
  }
  (void)sem_destroy(&asked.done);
  if (got == NULL) {
    *err = asked.err;
    rig_said(r, err->message);
  }
  return got;
}

void
rig_is(rig *r, const char *access, const char *secret, const char *token)
{
  sb_error err;
  s3_credentials *c = rig_get(r, &err);

  if (c == NULL)
    tap_note("%s", err.message);
  CU_ASSERT_PTR_NOT_NULL(c);
  if (c == NULL)
    return;
  CU_ASSERT_STRING_EQUAL(c->access_key, access);
  CU_ASSERT_STRING_EQUAL(c->secret_key, secret);
  CU_ASSERT_EQUAL(c->session_token == NULL, token == NULL);
  if (c->session_token != NULL && token != NULL)
    CU_ASSERT_STRING_EQUAL(c->session_token, token);
  s3_credentials_unref(c);
}

void
rig_fails(rig *r, sb_status status, const char *text)
{
  sb_error err;
  s3_credentials *c;

  memset(&err, 0, sizeof err);
  c = rig_get(r, &err);
  CU_ASSERT_PTR_NULL(c);
  s3_credentials_unref(c);
  CU_ASSERT_EQUAL(err.status, status);
  CU_ASSERT_PTR_NOT_NULL(strstr(err.message, text));
  if (err.status != status || strstr(err.message, text) == NULL)
    tap_note("%d: %s", (int)err.status, err.message);
}

int
rig_reject(rig *r)
{
  sb_error err;
  s3_credentials *c = rig_get(r, &err);
  int hope;

  CU_ASSERT_PTR_NOT_NULL(c);
  if (c == NULL)
    return -1;
  hope = s3_provider_reject(r->provider, c);
  s3_credentials_unref(c);
  return hope;
}

/* ---- clocks and words --------------------------------------------------- */

void
rig_ahead(rig *r, int64_t ms)
{
  atomic_fetch_add(&r->ahead_ms, ms);
}

uint64_t
rig_now(rig *r)
{
  return rig_clock_ms(&r->faulty.host);
}

unsigned
rig_refreshes(rig *r)
{
  unsigned n;

  (void)pthread_mutex_lock(&r->lock);
  n = r->refreshes;
  (void)pthread_mutex_unlock(&r->lock);
  return n;
}

int
rig_wait(rig *r, unsigned refreshes)
{
  int i;

  for (i = 0; i < 500 && rig_refreshes(r) < refreshes; i++) {
    sb_error err;

    /* A refresh that was just ending may have hidden the need of another. */
    s3_credentials_unref(rig_get(r, &err));
    (void)usleep(10000);
  }
  /* The watcher is told a moment before the refresh has ended. */
  (void)usleep(2000);
  return rig_refreshes(r) >= refreshes;
}

void
rig_said(rig *r, const char *text)
{
  size_t len = strlen(text);

  (void)pthread_mutex_lock(&r->lock);
  if (r->said_len + len + 2 < RIG_SAID_MAX) {
    memcpy(r->said + r->said_len, text, len);
    r->said_len += len;
    r->said[r->said_len++] = '\n';
  }
  (void)pthread_mutex_unlock(&r->lock);
}

int
rig_heard(rig *r, const char *text)
{
  int heard;

  (void)pthread_mutex_lock(&r->lock);
  heard = strstr(r->said, text) != NULL;
  (void)pthread_mutex_unlock(&r->lock);
  return heard;
}

const char *
rig_time(uint64_t ms, char out[32])
{
  time_t seconds = (time_t)(ms / 1000);
  struct tm parts;

  (void)gmtime_r(&seconds, &parts);
  (void)strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return out;
}
