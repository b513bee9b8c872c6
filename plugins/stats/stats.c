/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stats filter: requests, bytes, failures and a histogram of latencies,
 * operation by operation. Counters go to the host as they grow; a summary is
 * logged at close, and written to a file if one is set.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>

#include "plugins/filter/filter.h"

#define STATS_KEY "state.backend.filter.stats."
#define STATS_BUCKETS 40u   /* of powers of two of microseconds */
#define STATS_SUMMARY 16384u

typedef struct stats_operation {
  atomic_uint_fast64_t count, bytes, errors, total_us, max_us;
  atomic_uint_fast64_t buckets[STATS_BUCKETS];
} stats_operation;

typedef struct stats {
  filter f;
  char *file;               /* NULL: none */
  stats_operation operations[FILTER_KINDS];
} stats;

static const sb_option stats_options[] = {
  { STATS_KEY "file", SB_TYPE_STRING, 0, NULL, 0, 0, NULL,
    "File that a summary of key=value lines is written to at close." },
};

static const char *const stats_prefixes[] = { STATS_KEY, NULL };

static void
stats_metric(const stats *s, uint32_t kind, const char *what, uint64_t value)
{
  char name[64];

  if (value == 0)
    return;
  (void)snprintf(name, sizeof name, "stats.%s.%s", filter_names[kind], what);
  s->f.host->metric_add(s->f.host, name, (int64_t)value);
}

static void
stats_count(stats *s, uint32_t kind, uint64_t bytes, sb_status status,
            uint64_t us)
{
  stats_operation *o = &s->operations[kind];
  /* Expected outcomes of conditions and look-ups are no errors. */
  int failed = status != SB_OK && status != SB_NOT_FOUND
               && status != SB_EXISTS && status != SB_CONFLICT;
  uint_fast64_t max = atomic_load(&o->max_us);
  unsigned bucket = 0;

  while (bucket + 1 < STATS_BUCKETS && us >> bucket != 0)
    bucket++;
  atomic_fetch_add(&o->count, 1);
  atomic_fetch_add(&o->bytes, bytes);
  atomic_fetch_add(&o->errors, failed != 0);
  atomic_fetch_add(&o->total_us, us);
  atomic_fetch_add(&o->buckets[bucket], 1);
  while (us > max && !atomic_compare_exchange_weak(&o->max_us, &max, us))
    continue;
  stats_metric(s, kind, "count", 1);
  stats_metric(s, kind, "bytes", bytes);
  stats_metric(s, kind, "errors", failed != 0);
  stats_metric(s, kind, "us", us);
}

static void
stats_after(filter_call *call, const sb_store_result *result)
{
  stats *s = (stats *)call->f;
  uint64_t now_ns = s->f.host->monotonic_ns(s->f.host);
  uint64_t bytes = call->kind == FILTER_GET ? result->length : call->bytes;

  stats_count(s, call->kind, result->status == SB_OK ? bytes : 0,
              result->status, (now_ns - call->start_ns) / 1000);
  filter_reply(call, result);
}

static void
stats_opened(filter *f, const sb_stream_request *request,
             const sb_stream *stream, sb_status status)
{
  (void)request;
  (void)stream;
  stats_count((stats *)f, FILTER_OPEN, 0, status, 0);
}

/* The upper bound of the bucket that holds the share `percent`. */
static uint64_t
stats_percentile(stats_operation *o, unsigned percent)
{
  uint64_t wanted = (atomic_load(&o->count) * percent + 99) / 100;
  uint64_t seen = 0;
  unsigned bucket;

  for (bucket = 0; bucket < STATS_BUCKETS; bucket++) {
    seen += atomic_load(&o->buckets[bucket]);
    if (seen >= wanted)
      break;
  }
  return bucket == 0 ? 0 : (UINT64_C(1) << bucket) - 1;
}

static void
stats_summary(stats *s, FILE *file)
{
  uint32_t kind;
  unsigned bucket;

  for (kind = 0; kind < FILTER_KINDS; kind++) {
    stats_operation *o = &s->operations[kind];
    const char *name = filter_names[kind];
    unsigned long long count = atomic_load(&o->count);
    char line[256];

    if (count == 0 && file == NULL)
      continue;
    (void)snprintf(line, sizeof line,
                   "%s count=%llu bytes=%llu errors=%llu mean_us=%llu "
                   "p50_us=%llu p99_us=%llu max_us=%llu", name, count,
                   (unsigned long long)atomic_load(&o->bytes),
                   (unsigned long long)atomic_load(&o->errors),
                   count == 0 ? 0
                              : (unsigned long long)atomic_load(&o->total_us)
                                  / count,
                   (unsigned long long)stats_percentile(o, 50),
                   (unsigned long long)stats_percentile(o, 99),
                   (unsigned long long)atomic_load(&o->max_us));
    if (file == NULL) {
      s->f.host->log(s->f.host, SB_LOG_INFO, "stats", line);
      continue;
    }
    fprintf(file, "%s.count=%llu\n%s.bytes=%llu\n%s.errors=%llu\n"
            "%s.total_us=%llu\n%s.p50_us=%llu\n%s.p99_us=%llu\n"
            "%s.max_us=%llu\n%s.histogram_us=", name, count, name,
            (unsigned long long)atomic_load(&o->bytes), name,
            (unsigned long long)atomic_load(&o->errors), name,
            (unsigned long long)atomic_load(&o->total_us), name,
            (unsigned long long)stats_percentile(o, 50), name,
            (unsigned long long)stats_percentile(o, 99), name,
            (unsigned long long)atomic_load(&o->max_us), name);
    for (bucket = 0; bucket < STATS_BUCKETS; bucket++) {
      unsigned long long n = atomic_load(&o->buckets[bucket]);

      if (n != 0)
        fprintf(file, "<%llu:%llu ", 1ull << bucket, n);
    }
    fputc('\n', file);
  }
}

static void
stats_close(filter *f)
{
  stats *s = (stats *)f;
  char text[512];
  FILE *file;

  stats_summary(s, NULL);
  if (s->file == NULL)
    return;
  file = fopen(s->file, "we");
  if (file != NULL)
    stats_summary(s, file);
  if (file == NULL || fclose(file) != 0) {
    (void)snprintf(text, sizeof text, "could not write \"%.300s\": errno %d",
                   s->file, errno);
    f->host->log(f->host, SB_LOG_WARN, "stats", text);
  }
  filter_release(f->host, s->file);
}

static const filter_hooks stats_hooks = {
  .after = stats_after,
  .opened = stats_opened,
  .close = stats_close,
};

static sb_status
stats_filter(const sb_host *host, const sb_config *config, sb_store *lower,
             sb_store **out, sb_error *err)
{
  const char *file = host->config_string(config, STATS_KEY "file");
  filter *f;
  stats *s;
  sb_status status = filter_new(host, lower, &stats_hooks, sizeof *s, &f, err);

  *out = NULL;
  if (status != SB_OK)
    return status;
  s = (stats *)f;
  if (file != NULL && file[0] != '\0') {
    s->file = filter_alloc(host, strlen(file) + 1);
    if (s->file == NULL) {
      filter_free(f);
      return sb_fail(err, SB_NO_MEMORY, "out of memory");
    }
    strcpy(s->file, file);
  }
  *out = &f->base;
  return SB_OK;
}

static const sb_plugin stats_plugin = {
  .struct_size = sizeof stats_plugin,
  .abi_version = SB_ABI_VERSION,
  .name = "stats",
  .version = PACKAGE_VERSION,
  .description = "filter: counts requests, bytes and latencies",
  .kind = SB_KIND_FILTER,
  .option_size = sizeof(sb_option),
  .options = stats_options,
  .option_count = sizeof stats_options / sizeof stats_options[0],
  .prefixes = stats_prefixes,
  .filter = stats_filter,
};

SB_EXPORT const sb_plugin *sb_plugin_init(void);

const sb_plugin *
sb_plugin_init(void)
{
  return &stats_plugin;
}
