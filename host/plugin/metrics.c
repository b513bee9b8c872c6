/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of metrics: open addressing by the name's hash. A slot is filled
 * once, under the lock, and read without it; nothing is ever taken out.
 */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <statebackend/statebackend.h>
#include "host/plugin/metrics.h"

struct sb_metric {
  _Atomic int64_t value;
  _Atomic uint32_t kind;      /* 0: only metric_add has named it yet */
  _Atomic(const char *) help;
  char name[];
};

static struct metrics_table {
  pthread_mutex_t lock; /* guards what makes metrics */
  _Atomic(sb_metric *) slots[METRICS_MAX];
  size_t count;
} metrics_table = { .lock = PTHREAD_MUTEX_INITIALIZER };

static size_t
metrics_first(const char *name)
{
  uint64_t hash = 0xCBF29CE484222325ull;

  for (; *name != '\0'; name++)
    hash = (hash ^ (unsigned char)*name) * 0x100000001B3ull;
  return (size_t)(hash ^ hash >> 32) & (METRICS_MAX - 1);
}

/* The metric, or NULL and the free slot where it would go. */
static sb_metric *
metrics_find(const char *name, size_t *slot)
{
  size_t i = metrics_first(name);

  for (;; i = (i + 1) & (METRICS_MAX - 1)) {
    sb_metric *metric = atomic_load_explicit(&metrics_table.slots[i],
                                             memory_order_acquire);

    if (metric == NULL || strcmp(metric->name, name) == 0) {
      *slot = i;
      return metric;
    }
  }
}

/* With the lock held. A slot always stays free, so that searches end. Memory
   is the default host's: the table outlives all others. */
static sb_metric *
metrics_make(const char *name)
{
  const sb_host *host = sb_host_default();
  size_t len = strlen(name) + 1;
  size_t slot;
  sb_metric *metric = metrics_find(name, &slot);

  if (metric != NULL || metrics_table.count == METRICS_MAX / 4 * 3)
    return metric;
  metric = mem_zalloc(host, sizeof *metric + len);
  if (metric == NULL)
    return NULL;
  memcpy(metric->name, name, len);
  metrics_table.count++;
  atomic_store_explicit(&metrics_table.slots[slot], metric,
                        memory_order_release);
  return metric;
}

/* The first who says what a metric is decides. */
static void
metrics_describe(sb_metric *metric, uint32_t kind, const char *help)
{
  if (atomic_load(&metric->kind) == 0)
    atomic_store(&metric->kind, kind);
  if (help != NULL && atomic_load(&metric->help) == NULL)
    atomic_store(&metric->help, mem_strdup(sb_host_default(), help));
}

static sb_metric *
metrics_get(const char *name, uint32_t kind, const char *help)
{
  size_t slot;
  sb_metric *metric = metrics_find(name, &slot);

  if (metric != NULL && kind == 0)
    return metric;
  (void)pthread_mutex_lock(&metrics_table.lock);
  metric = metrics_make(name);
  if (metric != NULL)
    metrics_describe(metric, kind, help);
  (void)pthread_mutex_unlock(&metrics_table.lock);
  return metric;
}

void
metrics_add(const sb_host *host, const char *name, int64_t delta)
{
  metrics_slot_add(host, metrics_get(name, 0, NULL), delta);
}

sb_metric *
metrics_slot(const sb_host *host, const char *name, uint32_t kind,
             const char *help)
{
  (void)host;
  return metrics_get(name, kind, help);
}

void
metrics_slot_add(const sb_host *host, sb_metric *metric, int64_t delta)
{
  (void)host;
  if (metric != NULL)
    (void)atomic_fetch_add_explicit(&metric->value, delta,
                                    memory_order_relaxed);
}

void
metrics_slot_set(const sb_host *host, sb_metric *metric, int64_t value)
{
  (void)host;
  if (metric != NULL)
    atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

size_t
metrics_collect(metrics_view *views)
{
  size_t i, count = 0;

  for (i = 0; i < METRICS_MAX; i++) {
    sb_metric *metric = atomic_load_explicit(&metrics_table.slots[i],
                                             memory_order_acquire);
    metrics_view *view = &views[count];

    if (metric == NULL)
      continue;
    view->name = metric->name;
    view->help = atomic_load(&metric->help);
    view->kind = atomic_load(&metric->kind);
    view->value = atomic_load_explicit(&metric->value, memory_order_relaxed);
    count++;
  }
  return count;
}

void
sb_host_metrics(void (*fn)(void *arg, const char *name, int64_t value),
                void *arg)
{
  size_t i;

  for (i = 0; fn != NULL && i < METRICS_MAX; i++) {
    sb_metric *metric = atomic_load_explicit(&metrics_table.slots[i],
                                             memory_order_acquire);

    if (metric != NULL)
      fn(arg, metric->name,
         atomic_load_explicit(&metric->value, memory_order_relaxed));
  }
}

sb_status
sb_host_metrics_text(sb_text_fn *fn, void *arg, sb_error *err)
{
  const sb_host *host = sb_host_default();
  sb_status status;
  buf text;

  if (fn == NULL)
    return sb_error_set(err, SB_INVALID, "the metrics' text needs a function "
                        "that takes it");
  buf_init(&text, host, METRICS_TEXT_MAX);
  status = metrics_text(host, &text, err);
  if (status == SB_OK)
    status = fn(arg, (const char *)text.data, text.len - 1);
  buf_dispose(&text);
  return status;
}
