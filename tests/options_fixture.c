/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of options share; see options_fixture.h. */
#include "config.h"

#include <semaphore.h>
#include <stdio.h>
#include <string.h>

#include "tests/options_fixture.h"

#define OPTIONS_GETS_MAX 64
#define PROVIDER "aws.credentials.provider"
#define ROLE PROVIDER ".role.provider"

typedef struct options_entry {
  const char *program, *key;
  int set, seen;
} options_entry;

/* What no prefix stands before is below the plugin's own. */
static options_entry options_table[] = {
  { "objects", "state-file-encryption", 0, 0 },
  { "objects", "sse.type", 0, 0 },
  { "objects", "sse.kms-key-id", 0, 0 },
  { "objects", "sse.kms-context", 0, 0 },
  { "objects", "sse.bucket-key", 0, 0 },
  { "objects", "sse.customer-key-file", 0, 0 },
  { "objects", "state-file-part-size", 0, 0 },
  { "objects", "multipart-threshold", 0, 0 },
  { "objects", "upload-parallelism", 0, 0 },
  { "objects", "upload-memory", 0, 0 },
  { "objects", "checksum", 0, 0 },
  { "objects", "storage-class", 0, 0 },
  { "objects", "acl", 0, 0 },
  { "objects", "tags", 0, 0 },
  { "objects", "requester-pays", 0, 0 },
  { "objects", "expected-bucket-owner", 0, 0 },
  { "objects", "max-connections", 0, 0 },
  { "objects", "aws.http-client.max-concurrency", 0, 0 },
  { "objects", "price.put", 0, 0 },
  { "objects", "price.get", 0, 0 },

  { "times", "connection-idle-time", 0, 0 },
  { "times", "connection-lifetime", 0, 0 },
  { "times", "first-byte-timeout", 0, 0 },
  { "times", "stall-timeout", 0, 0 },
  { "times", "request-timeout", 0, 0 },
  { "times", "aws.http-client.read-timeout", 0, 0 },
  { "times", "retry.attempts", 0, 0 },
  { "times", "retry.delay-min", 0, 0 },
  { "times", "retry.delay-max", 0, 0 },
  { "times", "retry.throttle-delay-min", 0, 0 },
  { "times", "retry.tokens", 0, 0 },
  { "times", "aws.retry-strategy.attempts.max", 0, 0 },
  { "times", "aws.retry-strategy.delay.min", 0, 0 },
  { "times", "aws.retry-strategy.delay.max", 0, 0 },
  { "times", "limit.requests", 0, 0 },
  { "times", "limit.upload", 0, 0 },
  { "times", "limit.download", 0, 0 },

  { "place", "bucket", 0, 0 },
  { "place", "aws.region", 0, 0 },
  { "place", "aws.endpoint", 0, 0 },
  { "place", "path-style-access", 0, 0 },
  { "place", "transfer-acceleration", 0, 0 },
  { "place", "dualstack", 0, 0 },
  { "place", "fips", 0, 0 },
  { "place", "payload-signing", 0, 0 },
  { "place", "tls.verify", 0, 0 },
  { "place", "tls.ca-file", 0, 0 },
  { "place", "aws.trust.all.certificates", 0, 0 },
  { "place", "aws.http.protocol.version", 0, 0 },
  { "place", "proxy.url", 0, 0 },
  { "place", "proxy.user", 0, 0 },
  { "place", "proxy.password", 0, 0 },
  { "place", "proxy.bypass", 0, 0 },
  { "place", "connect-timeout", 0, 0 },
  { "place", "open-check", 0, 0 },

  { "state", "base-path", 0, 0 },
  { "state", "state-prefix", 0, 0 },
  { "state", "checkpoint-prefix", 0, 0 },
  { "state", "savepoint-prefix", 0, 0 },
  { "state", "state-file-extension", 0, 0 },
  { "state", "layout", 0, 0 },
  { "state", "state-file-compression", 0, 0 },
  { "state", "conditional-writes", 0, 0 },

  { "credentials", PROVIDER, 0, 0 },
  { "credentials", PROVIDER ".basic.accesskeyid", 0, 0 },
  { "credentials", PROVIDER ".basic.secretkey", 0, 0 },
  { "credentials", PROVIDER ".basic.sessiontoken", 0, 0 },
  { "credentials", PROVIDER ".profile.path", 0, 0 },
  { "credentials", PROVIDER ".profile.name", 0, 0 },
  { "credentials", PROVIDER ".role.arn", 0, 0 },
  { "credentials", PROVIDER ".role.sessionName", 0, 0 },
  { "credentials", PROVIDER ".role.externalId", 0, 0 },
  { "credentials", PROVIDER ".role.duration", 0, 0 },
  { "credentials", PROVIDER ".role.stsEndpoint", 0, 0 },
  { "credentials", PROVIDER ".webIdentityToken.file", 0, 0 },
  { "credentials", PROVIDER ".custom.class", 0, 0 },
  { "credentials", ROLE, 0, 0 },
  { "credentials", ROLE ".basic.accesskeyid", 0, 0 },
  { "credentials", ROLE ".basic.secretkey", 0, 0 },
  { "credentials", ROLE ".basic.sessiontoken", 0, 0 },
  { "credentials", ROLE ".profile.path", 0, 0 },
  { "credentials", ROLE ".profile.name", 0, 0 },
  { "credentials", ROLE ".role.arn", 0, 0 },
  { "credentials", ROLE ".role.sessionName", 0, 0 },
  { "credentials", ROLE ".role.externalId", 0, 0 },
  { "credentials", ROLE ".role.provider", 0, 0 },
  { "credentials", ROLE ".webIdentityToken.file", 0, 0 },
  { "credentials", ROLE ".custom.class", 0, 0 },
  { "credentials", "aws.accessKeyId", 0, 0 },
  { "credentials", "aws.secretKey", 0, 0 },
  { "credentials", "aws.secretAccessKey", 0, 0 },
  { "credentials", "aws.sessionToken", 0, 0 },
};

/* `key` need not end with NUL. */
static options_entry *
options_find(const char *key, size_t len)
{
  size_t i;

  for (i = 0; i < TAP_COUNT(options_table); i++)
    if (strlen(options_table[i].key) == len &&
        memcmp(options_table[i].key, key, len) == 0)
      return &options_table[i];
  return NULL;
}

/* ---- opening ------------------------------------------------------------ */

static void
options_note(const char *settings)
{
  while (settings != NULL && *settings != '\0') {
    size_t len = strcspn(settings, "\n"), name = strcspn(settings, "=\n");
    options_entry *entry = options_find(settings, name);

    if (entry != NULL && name < len)
      entry->set = 1;
    settings += len;
    settings += *settings == '\n';
  }
}

sb_status
options_open(s3_fixture *f, const char *settings)
{
  options_note(settings);
  return s3_fixture_open(f, settings);
}

void
options_begin(s3_fixture *f, const char *rules, const char *settings)
{
  options_note(settings);
  s3_fixture_begin(f, rules, settings);
}

/* ---- what was seen ------------------------------------------------------ */

void
options_seen(const char *key)
{
  options_entry *entry = options_find(key, strlen(key));

  CU_ASSERT_PTR_NOT_NULL_FATAL(entry);
  CU_ASSERT(entry->set);
  if (!entry->set)
    tap_note("%s was never set", key);
  entry->seen = entry->set;
}

/* Each option of the plugin has its entry. */
static size_t
options_check_plugin(const char *name)
{
  const sb_plugin *plugin = NULL;
  size_t prefix = strlen("state.backend.") + strlen(name) + 1;
  sb_error err;
  size_t i;

  CU_ASSERT_EQUAL_FATAL(sb_plugin_find(name, &plugin, NULL, &err), SB_OK);
  for (i = 0; i < plugin->option_count; i++) {
    const char *key = plugin->options[i].key;

    key += strncmp(key, "aws.", 4) == 0 ? 0 : prefix;
    CU_ASSERT_PTR_NOT_NULL(options_find(key, strlen(key)));
    if (options_find(key, strlen(key)) == NULL)
      tap_note("plugin %s: no program has to show %s", name, key);
  }
  return plugin->option_count;
}

void
options_check(const char *program)
{
  size_t i, seen = 0;

  for (i = 0; i < TAP_COUNT(options_table); i++)
    seen += (size_t)options_table[i].seen;
  if (seen == 0) {
    tap_skip("no other case has run");
    return;
  }
  CU_ASSERT_EQUAL(options_check_plugin("s3"), TAP_COUNT(options_table));
  CU_ASSERT_EQUAL(options_check_plugin("minio"), TAP_COUNT(options_table));
  for (i = 0; i < TAP_COUNT(options_table); i++) {
    const options_entry *entry = &options_table[i];

    if (strcmp(entry->program, program) != 0)
      continue;
    CU_ASSERT(entry->seen);
    if (!entry->seen)
      tap_note("nothing was seen of %s", entry->key);
  }
}

/* ---- looking ------------------------------------------------------------ */

const char *
options_header(s3_fixture *f, const char *kind, size_t n, const char *name)
{
  const s3_seen *seen = s3_server_seen_nth(f->server, kind, n);
  const char *value = seen == NULL ? NULL : http_header(&seen->request, name);

  return value == NULL ? "" : value;
}

void
options_has(const char *text, const char *wanted)
{
  int has = text != NULL && strstr(text, wanted) != NULL;

  CU_ASSERT(has);
  if (!has)
    tap_note("no \"%s\" in \"%.300s\"", wanted, text == NULL ? "" : text);
}

/* ---- many at once ------------------------------------------------------- */

typedef struct options_wait {
  sem_t done;
  _Atomic size_t failed;
} options_wait;

static void
options_got(void *arg, const sb_store_result *result)
{
  options_wait *wait = arg;

  if (result->status != SB_OK)
    atomic_fetch_add(&wait->failed, 1);
  (void)sem_post(&wait->done);
}

void
options_gets(s3_fixture *f, size_t count)
{
  static char buffers[OPTIONS_GETS_MAX][S3_FIXTURE_SIZE];
  options_wait wait = { .failed = 0 };
  sb_get_request request = {
    .base = { sizeof request, 0, 0, options_got, &wait },
    .name = S3_FIXTURE_NAME, .length = S3_FIXTURE_SIZE };
  size_t i;

  CU_ASSERT_FATAL(count <= OPTIONS_GETS_MAX);
  (void)sem_init(&wait.done, 0, 0);
  f->started_ns = f->host.monotonic_ns(&f->host);
  for (i = 0; i < count; i++) {
    request.buffer = buffers[i];
    CU_ASSERT_EQUAL_FATAL(f->store->base.ops->get(&f->store->base, &request,
                                                  NULL, &f->error), SB_OK);
  }
  for (i = 0; i < count; i++)
    (void)sem_wait(&wait.done);
  f->took_ms = (f->host.monotonic_ns(&f->host) - f->started_ns) / 1000000;
  CU_ASSERT_EQUAL(atomic_load(&wait.failed), 0);
  (void)sem_destroy(&wait.done);
}
