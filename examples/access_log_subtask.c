/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A subtask: the owner thread of one keyed handle. It takes items from its
 * queue in order, so a barrier separates exactly what the source sent before
 * it from what came after. With one source there is one queue, and a barrier
 * is aligned when it arrives.
 */
#include <stdlib.h>
#include <string.h>
#include "access_log.h"

sb_status
subtask_open(subtask *s, job *j, uint32_t index, sb_error *err)
{
  sb_keyed_options options = { .struct_size = sizeof options };
  sb_status status;

  s->job = j;
  s->index = index;
  s->watermark_ms = INT64_MIN;
  options.job = "";
  options.operator_id = "";
  options.subtask = index;
  options.key_group_count = KEY_GROUPS;
  status = sb_key_group_range(KEY_GROUPS, j->settings.subtasks, index,
                              &options.key_group_first,
                              &options.key_group_last);
  if (status != SB_OK)
    return sb_error_set(err, status, "cannot run %u subtasks",
                        j->settings.subtasks);
  options.generation = j->generation;
  if (j->restored != NULL) {
    options.parts = j->restored->parts;
    options.part_count = j->restored->info.part_count;
  }
  status = sb_backend_keyed(j->backend, &options, &s->keyed, err);
  if (status != SB_OK)
    return status;
  status = sb_context_new(s->keyed, j->host, KEY_GROUPS,
                          options.key_group_first, options.key_group_last,
                          &s->context, err);
  return status == SB_OK ? state_open(s, err) : status;
}

void
subtask_close(subtask *s)
{
  sb_context_free(s->context);
  if (s->keyed != NULL)
    s->keyed->ops->close(s->keyed);
  sink_dispose(&s->sink);
}

static sb_status
subtask_hits(subtask *s, const batch *item, sb_error *err)
{
  sb_status status = SB_OK;
  size_t at = 0;

  while (at < item->len && status == SB_OK) {
    const hit *h = (const hit *)(const void *)(item->data + at);
    const char *address = (const char *)(h + 1);

    if (h->watermark_ms > s->watermark_ms)
      status = state_watermark(s, h->watermark_ms, err);
    if (status == SB_OK)
      status = state_hit(s, h, address, address + h->address_len, err);
    at += (sizeof *h + h->address_len + h->path_len + 7) & ~(size_t)7;
  }
  if (status == SB_OK && item->watermark_ms > s->watermark_ms)
    status = state_watermark(s, item->watermark_ms, err);
  return status;
}

/* Where the job's totals of what the engine did come from. */
static void
subtask_count(subtask *s)
{
  sb_keyed_stats stats = { .struct_size = sizeof stats };

  if (s->keyed->ops->stats(s->keyed, &stats) != SB_OK)
    return;
  pthread_mutex_lock(&s->job->lock);
  s->counters.evicted_bytes = stats.evicted_bytes;
  s->counters.early_flushes = stats.early_flushes;
  s->counters.compactions = stats.compactions;
  s->counters.cold_reads = stats.cold_reads;
  pthread_mutex_unlock(&s->job->lock);
}

/* Results first, then state: both belong to what came before the barrier. A
   checkpoint that was given up meanwhile is no failure; its results go with
   the next one. */
static sb_status
subtask_barrier(subtask *s, uint64_t checkpoint, sb_error *err)
{
  char name[96];
  sb_status status = sink_seal(&s->sink, checkpoint, name, sizeof name, err);

  if (status != SB_OK)
    return status;
  subtask_count(s);
  status = job_arrive(s->job, checkpoint, name, err);
  if (status == SB_OK)
    status = sb_coordinator_snapshot(s->job->coordinator, checkpoint,
                                     s->index, s->keyed, err);
  return status == SB_CANCELLED ? SB_OK : status;
}

static sb_status
subtask_item(subtask *s, const batch *item, sb_error *err)
{
  sb_status status;

  switch (item->kind) {
  case ITEM_HITS:
    status = subtask_hits(s, item, err);
    break;
  case ITEM_BARRIER:
    status = subtask_barrier(s, item->checkpoint, err);
    break;
  case ITEM_END:
    status = state_watermark(s, INT64_MAX, err);
    if (status == SB_OK)
      status = state_dump(s, err);
    break;
  default:
    return SB_OK;
  }
  if (status == SB_OK)
    status = sb_coordinator_notify(s->job->coordinator, s->index, s->keyed,
                                   err);
  return status;
}

void *
subtask_run(void *arg)
{
  subtask *s = arg;
  sb_status status = SB_OK;
  sb_error err;
  int stop = 0;

  while (!stop && status == SB_OK) {
    batch *item = queue_pop(&s->queue);

    if (item == NULL)
      break;
    stop = item->kind == ITEM_STOP;
    status = subtask_item(s, item, &err);
    free(item);
  }
  if (status != SB_OK)
    job_fail(s->job, status, &err);
  return NULL;
}
