/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The latency filter: makes a store slow. Each operation waits on the host's
 * timer before it goes down, for a fixed time or one drawn from a lognormal
 * distribution given by its median and its 99th percentile; bytes then queue
 * for a link of limited bandwidth that all operations share.
 */
#include "config.h"

#include <math.h>

#include "plugins/filter/filter.h"

#define LATENCY_KEY "state.backend.filter.latency."
#define LATENCY_NORMAL_99 2.3263478740408408 /* 99th percentile of N(0, 1) */
#define LATENCY_PI 3.14159265358979323846

typedef struct latency {
  filter f;
  uint32_t mask;
  uint64_t delay_ms;
  double mu, sigma;         /* of the logarithm of milliseconds */
  int drawn;                /* delays are drawn */
  uint64_t bandwidth;       /* bytes a second; 0: no limit */
  pthread_mutex_t lock;     /* guards what follows */
  uint64_t seed;
  uint64_t link_free_ns;    /* when the link has sent all it was given */
} latency;

static const sb_option latency_options[] = {
  { LATENCY_KEY "delay", SB_TYPE_DURATION, 0, "0ms", 0, 3600000, NULL,
    "Time that each operation waits." },
  { LATENCY_KEY "p50", SB_TYPE_DURATION, 0, "0ms", 0, 3600000, NULL,
    "Median of a drawn waiting time; 0: none is drawn." },
  { LATENCY_KEY "p99", SB_TYPE_DURATION, 0, "0ms", 0, 3600000, NULL,
    "99th percentile of the drawn waiting time; at least the median." },
  { LATENCY_KEY "bandwidth", SB_TYPE_SIZE, 0, "0", 0, INT64_C(1) << 40, NULL,
    "Bytes a second of the link that all operations share; 0: no limit." },
  { LATENCY_KEY "operations", SB_TYPE_LIST, 0, NULL, 0, 0, NULL,
    "Operations to slow down; all if empty." },
  { LATENCY_KEY "seed", SB_TYPE_INT, 0, "0", 0, INT64_MAX, NULL,
    "Seed of the drawn times; 0: from the host." },
};

static const char *const latency_prefixes[] = { LATENCY_KEY, NULL };

static double
latency_uniform(latency *l)
{
  return ((double)(filter_random(&l->seed) >> 11) + 0.5) / 9007199254740992.0;
}

static uint64_t
latency_draw_ms(latency *l)
{
  double normal;

  if (!l->drawn)
    return l->delay_ms;
  pthread_mutex_lock(&l->lock);
  normal = sqrt(-2.0 * log(latency_uniform(l)))
           * cos(2.0 * LATENCY_PI * latency_uniform(l));
  pthread_mutex_unlock(&l->lock);
  return l->delay_ms + (uint64_t)(exp(l->mu + l->sigma * normal) + 0.5);
}

/* How long `bytes` take behind all that is queued for the link. */
static uint64_t
latency_link_ms(latency *l, uint64_t bytes)
{
  uint64_t now_ns = l->f.host->monotonic_ns(l->f.host);
  uint64_t wait_ns;

  if (l->bandwidth == 0 || bytes == 0)
    return 0;
  pthread_mutex_lock(&l->lock);
  if (l->link_free_ns < now_ns)
    l->link_free_ns = now_ns;
  l->link_free_ns += (uint64_t)((double)bytes * 1e9 / (double)l->bandwidth);
  wait_ns = l->link_free_ns - now_ns;
  pthread_mutex_unlock(&l->lock);
  return wait_ns / 1000000;
}

static void
latency_go(void *arg)
{
  filter_forward(arg);
}

static void
latency_before(filter_call *call)
{
  latency *l = (latency *)call->f;
  uint64_t delay_ms;

  if ((l->mask & 1u << call->kind) == 0) {
    filter_forward(call);
    return;
  }
  delay_ms = latency_draw_ms(l);
  if (call->kind == FILTER_PUT || call->kind == FILTER_WRITE)
    delay_ms += latency_link_ms(l, call->bytes);
  filter_later(call, delay_ms, latency_go);
}

static void
latency_give(void *arg)
{
  filter_call *call = arg;

  filter_reply(call, &call->result);
}

/* What was read takes its time on the link. */
static void
latency_after(filter_call *call, const sb_store_result *result)
{
  latency *l = (latency *)call->f;
  uint64_t delay_ms = 0;

  if (call->kind == FILTER_GET && (l->mask & 1u << FILTER_GET) != 0)
    delay_ms = latency_link_ms(l, result->length);
  if (delay_ms == 0) {
    filter_reply(call, result);
    return;
  }
  (void)filter_keep(call, result);
  filter_later(call, delay_ms, latency_give);
}

static void
latency_close(filter *f)
{
  pthread_mutex_destroy(&((latency *)f)->lock);
}

static const filter_hooks latency_hooks = {
  .before = latency_before,
  .after = latency_after,
  .close = latency_close,
};

static sb_status
latency_filter(const sb_host *host, const sb_config *config, sb_store *lower,
               sb_store **out, sb_error *err)
{
  int64_t p50 = host->config_int(config, LATENCY_KEY "p50");
  int64_t p99 = host->config_int(config, LATENCY_KEY "p99");
  uint32_t mask;
  filter *f;
  latency *l;
  sb_status status =
    filter_mask(LATENCY_KEY "operations",
                host->config_string(config, LATENCY_KEY "operations"), &mask,
                err);

  *out = NULL;
  if (status == SB_OK && p99 != 0 && p99 < p50)
    status = sb_fail(err, SB_CONFIG, LATENCY_KEY "p99 is %lld ms, under the "
                     "p50 of %lld ms", (long long)p99, (long long)p50);
  if (status == SB_OK && p99 != 0 && p50 == 0)
    status = sb_fail(err, SB_CONFIG, LATENCY_KEY "p99 is set without "
                     LATENCY_KEY "p50");
  if (status == SB_OK)
    status = filter_new(host, lower, &latency_hooks, sizeof *l, &f, err);
  if (status != SB_OK)
    return status;
  l = (latency *)f;
  pthread_mutex_init(&l->lock, NULL);
  l->mask = mask;
  l->delay_ms = (uint64_t)host->config_int(config, LATENCY_KEY "delay");
  l->bandwidth = (uint64_t)host->config_int(config, LATENCY_KEY "bandwidth");
  l->seed = (uint64_t)host->config_int(config, LATENCY_KEY "seed");
  if (l->seed == 0)
    l->seed = host->random(host);
  l->drawn = p50 != 0;
  if (l->drawn) {
    l->mu = log((double)p50);
    l->sigma = p99 == 0 ? 0
                        : (log((double)p99) - l->mu) / LATENCY_NORMAL_99;
  }
  *out = &f->base;
  return SB_OK;
}

static const sb_plugin latency_plugin = {
  .struct_size = sizeof latency_plugin,
  .abi_version = SB_ABI_VERSION,
  .name = "latency",
  .version = PACKAGE_VERSION,
  .description = "filter: makes operations slow",
  .kind = SB_KIND_FILTER,
  .option_size = sizeof(sb_option),
  .options = latency_options,
  .option_count = sizeof latency_options / sizeof latency_options[0],
  .prefixes = latency_prefixes,
  .filter = latency_filter,
};

SB_EXPORT const sb_plugin *sb_plugin_init(void);

const sb_plugin *
sb_plugin_init(void)
{
  return &latency_plugin;
}
