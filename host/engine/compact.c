/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compaction, in the background lane, one at a time per handle: segments that
 * are wholly dead go unread, runs that are too many or have too much in them
 * that is dead are merged. The next manifest publishes the result. What to
 * merge is chosen in compact_plan.c.
 */
#include "config.h"

#include <stdio.h>

#include "host/engine/compact.h"
#include "host/engine/migrate.h"
#include "host/engine/times.h"

#define COMPACT_AHEAD ((size_t)256 << 10)

static uint32_t
compact_key_groups(const keyed *k)
{
  return k->key_group_last - k->key_group_first + 1;
}

/* ---- the merge ----------------------------------------------------------- */

/* A segment whose records cannot be made current keeps them, and its label,
   until somebody registers the state with a callback that can. */
static void
compact_leave_alone(keyed *k, segment *s, const sb_error *err)
{
  char text[256];

  atomic_store(&s->left_alone, 1);
  (void)snprintf(text, sizeof text, "compaction leaves segment \"%.90s\" as "
                 "it is: %.120s", s->name, err->message);
  k->host->log(k->host, SB_LOG_WARN, "engine", text);
}

/* Inputs with an older version of a state that nobody migrates: the output
   could not say with which version each record was written. */
static int
compact_find_stale(keyed *k, const plan *p)
{
  int found = 0;
  size_t i, j;

  for (i = 0; i < p->count; i++)
    for (j = 0; j < p->rules.count; j++) {
      const rule *r = &p->rules.list[j];
      sb_error why;

      if (r->migrate != NULL || r->dropped_epoch != 0 ||
          migrate_version(p->inputs[i], r) >= r->schema_version ||
          !times_may_have(p->inputs[i]->times, r->state))
        continue;
      (void)sb_error_set(&why, SB_MISMATCH, "it has values of an older schema "
                         "version, and there is no callback to migrate them");
      compact_leave_alone(k, p->inputs[i], &why);
      found = 1;
      break;
    }
  return found;
}

/* A merge under way. */
typedef struct pass {
  keyed *keyed;
  const plan *plan;
  merge merge;
  const rule *rule;      /* of the state of the last record, or NULL */
  int has_state;
  uint32_t state;
  buf elements;          /* what is left of a list's record */
} pass;

/* A list whose elements carry times loses those that have expired. */
static sb_status
compact_thin_list(pass *c, record *r)
{
  sb_slice element, whole;
  size_t at = 0;
  uint64_t time;

  buf_clear(&c->elements);
  while (rule_next_element(r->value, &at, &element, &whole))
    if (!rule_value_time(c->rule, element, &time) || !rule_over(c->rule, time))
      buf_add(&c->elements, whole.data, whole.len);
  if (c->elements.status == SB_OK && c->elements.len != 0 &&
      at == r->value.len)
    r->value = sb_slice_of(c->elements.data, c->elements.len);
  return c->elements.status;
}

/* What of a merged record goes on: SB_NOT_FOUND if nothing. */
static sb_status
compact_keep(pass *c, record *r)
{
  const rule *by = c->rule;
  int bottom = c->plan->bottom;

  if (by != NULL && by->dropped_epoch != 0)
    return SB_NOT_FOUND;
  if (by != NULL && rule_expired(by, r)) {
    /* It still hides what is older. */
    r->flags |= RECORD_TOMBSTONE;
    r->expires_ms = 0;
    r->value = sb_slice_of(NULL, 0);
  }
  if (r->flags & (RECORD_TOMBSTONE | RECORD_CLEAR))
    return bottom ? SB_NOT_FOUND : SB_OK;
  if (by == NULL || by->ttl_ms == 0)
    return SB_OK;
  if (by->time_kind == SB_TIME_STAMP && r->expires_ms == 0)
    r->expires_ms = by->now_ms; /* it lives from now on */
  if (by->time_kind == SB_TIME_VALUE && by->kind == SB_STATE_LIST)
    return compact_thin_list(c, r);
  return SB_OK;
}

static sb_status
compact_stream(pass *c, output *o, sb_error *err)
{
  merge *m = &c->merge;
  sb_status status = merge_first(m, err), kept;
  record r;

  while (status == SB_OK) {
    if (!c->has_state || m->record.state != c->state) {
      c->has_state = 1;
      c->state = m->record.state;
      c->rule = rules_find(&c->plan->rules, c->state);
    }
    status = merge_migrate(m, err);
    if (status != SB_OK && status != SB_NO_MEMORY) {
      compact_leave_alone(c->keyed, m->runs[m->current].segment, err);
      return SB_BUSY;
    }
    if (status != SB_OK)
      break;
    record_copy(&r, &m->record);
    kept = compact_keep(c, &r);
    if (kept == SB_OK)
      status = output_add(o, &r, c->rule != NULL &&
                                   (c->rule->flags & SB_STATE_MOSTLY_HIT),
                          err);
    else if (kept != SB_NOT_FOUND)
      status = sb_error_set(err, kept, "could not compact: no memory");
    if (status == SB_OK)
      status = merge_next(m, err);
  }
  return status == SB_END ? SB_OK : status;
}

static size_t
compact_ahead(const keyed *k, size_t inputs)
{
  size_t ahead = k->engine->memory_limit / 64 / (inputs + 1);

  return ahead < COMPACT_AHEAD ? ahead : COMPACT_AHEAD;
}

static sb_status
compact_open_runs(keyed *k, const plan *p, reader_ctx *ctx, merge *m,
                  sb_error *err)
{
  size_t ahead = compact_ahead(k, p->count), i;
  sb_status status = SB_OK;
  record from;

  for (i = 0; i < p->count; i++)
    run_init(&m->runs[i], ctx, p->inputs[i], p->views[i].key_group_last,
             ahead);
  for (i = 0; i < p->count && status == SB_OK; i++) {
    memset(&from, 0, sizeof from);
    from.key_group = (uint16_t)p->views[i].key_group_first;
    from.flags = RECORD_CLEAR;
    status = run_seek(&m->runs[i], &from, err);
    if (status == SB_END)
      status = SB_OK;
  }
  return status;
}

/* SB_BUSY: some inputs must be left alone, plan anew. */
static sb_status
compact_merge(keyed *k, const plan *p, sb_event *event, segment ***outputs,
              size_t *count, sb_error *err)
{
  reader_ctx ctx = { k, event, SB_PRIORITY_BACKGROUND, NULL, NULL };
  size_t reserve = p->count * (compact_ahead(k, p->count) + 16384);
  pass c = { .keyed = k, .plan = p };
  output_options options;
  output *o = NULL;
  sb_status status;

  memset(&options, 0, sizeof options);
  options.epoch_max = p->inputs[0]->info.epoch_max;
  options.epoch_min = p->inputs[p->count - 1]->info.epoch_min;
  options.size_max = k->engine->segment_size;
  options.priority = SB_PRIORITY_BACKGROUND;
  options.rules = &p->rules;
  if (merge_init(&c.merge, k->host, p->count) != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY, "could not compact: no memory");
  c.merge.rules = &p->rules;
  buf_init(&c.elements, k->host, (size_t)SB_VALUE_MAX + 65536);
  engine_charge(k->engine, reserve);
  status = compact_open_runs(k, p, &ctx, &c.merge, err);
  if (status == SB_OK && compact_find_stale(k, p))
    status = SB_BUSY;
  if (status == SB_OK)
    status = output_new(k, &options, &o, err);
  if (status == SB_OK)
    status = compact_stream(&c, o, err);
  merge_dispose(&c.merge, k->host);
  buf_dispose(&c.elements);
  if (status == SB_OK)
    status = output_finish(o, outputs, count, err);
  if (status == SB_OK)
    atomic_fetch_add(&k->compacted_raw, output_raw_bytes(o));
  output_free(o);
  engine_release(k->engine, reserve);
  return status;
}

/* The result takes the place of the newest input. */
static sb_status
compact_publish(keyed *k, const plan *p, segment **outputs, size_t count,
                sb_error *err)
{
  sb_status status;
  size_t i;

  keyed_lock(k);
  for (i = 0; i < count; i++)
    outputs[i]->sequence = p->inputs[0]->sequence;
  status = version_replace(k, p->inputs, p->count, p->first, p->last, outputs,
                           count);
  for (i = 0; i < count; i++)
    version_unref_segment(k, outputs[i]);
  keyed_unlock(k);
  mem_free(k->host, outputs);
  if (status != SB_OK)
    return sb_error_set(err, status, "could not publish a compaction: %s",
                        sb_status_name(status));
  atomic_fetch_add(&k->compactions, 1);
  return SB_OK;
}

/* Takes segments without anything that counts out of the live version. SB_END
   if there are none; SB_BUSY if it changed meanwhile. */
static sb_status
compact_drop_dead(keyed *k, plan *p)
{
  const version *v = p->version;
  uint8_t *gone = mem_alloc(k->host, v->count);
  segment_view *views = mem_alloc(k->host, v->count * sizeof *views);
  size_t i, n = 0;
  sb_status status = SB_NO_MEMORY;

  if (gone != NULL && views != NULL) {
    status = plan_whole_dead(p, gone) == 0 ? SB_END : SB_OK;
    for (i = 0; i < v->count; i++)
      if (!gone[i])
        views[n++] = v->views[i];
  }
  if (status == SB_OK) {
    keyed_lock(k);
    status = k->live == v ? version_set(k, views, n) : SB_BUSY;
    keyed_unlock(k);
  }
  if (status == SB_OK)
    atomic_fetch_add(&k->compactions, 1);
  mem_free(k->host, gone);
  mem_free(k->host, views);
  return status;
}

/* SB_END: there is nothing more to do. */
static sb_status
compact_once(keyed *k, sb_event *event, sb_error *err)
{
  segment **outputs = NULL;
  size_t count = 0;
  plan p;
  sb_status status = plan_begin(k, &p);

  if (status == SB_OK)
    status = compact_drop_dead(k, &p);
  if (status == SB_END)
    status = plan_deep(k, &p);
  else if (status == SB_OK)
    status = SB_BUSY;
  if (status == SB_END)
    status = plan_dead(k, &p);
  if (status == SB_NO_MEMORY)
    (void)sb_error_set(err, status, "could not plan a compaction: no memory");
  if (status == SB_OK)
    status = compact_merge(k, &p, event, &outputs, &count, err);
  if (status == SB_OK)
    status = compact_publish(k, &p, outputs, count, err);
  plan_dispose(k, &p);
  return status;
}

static void
compact_task(void *arg)
{
  keyed *k = arg;
  sb_event *event = k->host->event_new(k->host);
  sb_status status = event == NULL ? SB_NO_MEMORY : SB_OK;
  sb_error error;

  memset(&error, 0, sizeof error);
  while ((status == SB_OK || status == SB_BUSY) && !keyed_stopping(k))
    status = compact_once(k, event, &error);
  if (status != SB_OK && status != SB_BUSY && status != SB_END &&
      status != SB_CANCELLED)
    k->host->log(k->host, SB_LOG_WARN, "engine", error.message);
  keyed_lock(k);
  k->compacting = 0;
  keyed_changed(k);
  keyed_unlock(k);
  if (event != NULL)
    k->host->event_free(k->host, event);
  keyed_task_done(k);
}

/* With the lock held: may anything in segments die of itself? */
static int
compact_may_die(const keyed *k)
{
  size_t i;

  for (i = 0; i < k->state_count; i++)
    if (k->states[i]->ttl_ms != 0 || k->states[i]->dropped_epoch != 0)
      return 1;
  for (i = 0; i < k->live->count; i++)
    if (k->live->views[i].segment->info.expires_min != 0)
      return 1;
  return 0;
}

void
compact_schedule(keyed *k)
{
  int start;

  if (k->engine->compaction_runs == 0 || (k->flags & SB_OPEN_READ_ONLY))
    return;
  keyed_lock(k);
  start = !k->compacting && !keyed_stopping(k) &&
          (compact_depth(k->live, compact_key_groups(k)) >=
             k->engine->compaction_runs || compact_may_die(k));
  if (start)
    k->compacting = 1;
  keyed_unlock(k);
  if (!start || keyed_task(k, SB_LANE_BACKGROUND, compact_task, NULL) == SB_OK)
    return;
  keyed_lock(k);
  k->compacting = 0;
  keyed_unlock(k);
}

void
compact_throttle(keyed *k)
{
  uint64_t start = k->host->monotonic_ns(k->host);
  size_t most = (size_t)k->engine->compaction_runs * COMPACT_THROTTLE;
  int waited = 0;

  keyed_lock(k);
  while (k->compacting && !keyed_stopping(k) &&
         compact_depth(k->live, compact_key_groups(k)) > most) {
    waited = 1;
    (void)keyed_wait(k, k->event, SB_NO_DEADLINE);
  }
  keyed_unlock(k);
  if (!waited)
    return;
  keyed_count(&k->counters.stalls, 1);
  keyed_count(&k->counters.stall_ns, k->host->monotonic_ns(k->host) - start);
}
