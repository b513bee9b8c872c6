/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A subtask: owner of one keyed handle. It opens and compares what it has
 * restored, then does random operations, with barriers and notifications in
 * between, until its job stops.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "tests/simulator/item.h"
#include "tests/simulator/life.h"

uint64_t
subtask_now_ms(const subtask *t)
{
  const sb_host *host = &t->job->process->host;

  return host->clock_ms(host);
}

uint64_t
subtask_from_ms(const subtask *t, uint32_t state)
{
  return t->job->l->sp.states[state].flags & SB_STATE_EVENT_TIME
         ? t->event_ms : subtask_now_ms(t);
}

/* Values tell their version: a wrong or second migration shows. */
sb_status
life_migrate(void *arg, uint32_t from, sb_slice value, sb_give_fn *give,
             void *give_arg)
{
  migrator *m = arg;
  const space_state *s = &m->l->sp.states[m->state];
  const uint8_t *bytes = value.data;
  uint32_t old, size = 1 + m->version % 3;
  uint8_t tags[4];
  sb_status status = SB_OK;

  if (!m->is_typed && s->nulls && value.len != 0) {
    status = give(give_arg, bytes, 1);
    if (status != SB_OK || bytes[0] != 0)
      return status;
    value = sb_slice_of(++bytes, value.len - 1);
  }
  if (!m->is_typed && s->form == FORM_TYPED && s->kind == SB_STATE_LIST)
    from /= TYPED_LIST_VERSIONS;
  old = from % 3;
  if (from >= m->version || value.len < old ||
      (value.len != 0 && bytes[value.len - 1] != from))
    sim_fail(&m->l->s, SIM_WRONG, "a value of %zu bytes, the last %u, is to "
             "be migrated from version %u to %u", value.len,
             value.len == 0 ? 0 : bytes[value.len - 1], from, m->version);
  m->l->did.migrated++;
  memset(tags, (int)m->version, sizeof tags);
  if (value.len == old)
    return give(give_arg, tags, size - 1);
  if (value.len - old > 1)
    status = give(give_arg, bytes, value.len - old - 1);
  return status == SB_OK ? give(give_arg, tags, size) : status;
}

void
life_state_options(life *l, uint32_t state, uint32_t version,
                   uint64_t ttl_ms, sb_state_options *options)
{
  const space_state *s = &l->sp.states[state];

  memset(options, 0, sizeof *options);
  options->struct_size = sizeof *options;
  options->kind = s->kind;
  options->flags = s->flags;
  options->schema_version = version;
  options->name = sb_slice_of(s->name, strlen(s->name));
  options->blob = sb_slice_of(s->blob, strlen(s->blob));
  options->time_kind = s->time_kind;
  options->time_offset = s->time_offset;
  options->ttl_ms = ttl_ms;
  options->migrate = life_migrate;
  options->migrate_arg = &l->migrators[state][version];
  if (s->form == FORM_TYPED && s->kind == SB_STATE_LIST)
    options->schema_version = version * TYPED_LIST_VERSIONS +
                              (ttl_ms != 0); /* elements have stamps */
  if (s->form == FORM_TYPED && s->kind == SB_STATE_LIST)
    options->flags &= ~SB_STATE_SHOW_EXPIRED;
}

uint32_t
operator_states(const life *l, uint32_t number)
{
  uint32_t mask = 0, i;

  for (i = number; i < l->sp.state_count; i += l->operators)
    mask |= 1u << i;
  return mask;
}

const char *
operator_id(uint32_t number)
{
  return number == 0 ? "op" : "op-2";
}

static void
subtask_open_keyed(subtask *t)
{
  job *j = t->job;
  life *l = j->l;
  sb_keyed_options options;
  sb_part parts[LIFE_SUBTASKS_MAX];
  sb_error err;
  uint32_t tries = 0;

  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.job = l->job_name;
  options.operator_id = operator_id(t->operator_number);
  options.subtask = t->index;
  options.key_group_count = l->sp.groups;
  options.key_group_first = t->group_first;
  options.key_group_last = t->group_last;
  options.generation = j->generation;
  options.flags = j->no_claim ? SB_OPEN_NO_CLAIM : 0;
  if (j->restored != NULL) {
    options.parts = j->restored->parts;
    options.part_count = j->restored->info.part_count;
  }
  if (l->hosted) {
    options.flags = SB_OPEN_HOST_OWNED;
    options.parts = parts;
    options.part_count = manager_parts(j->from, parts);
  }
  for (;;) {
    sb_status status = j->backend->ops->open_keyed(j->backend, &options,
                                                   &t->keyed, &err);

    if (!job_tolerates(j, status, &err, "open_keyed"))
      return;
    if (++tries > 12 && !j->quiet)
      job_give_up(j, "open_keyed fails");
    sim_sleep(&l->s, rng_range(&l->rng, 1, 100) * SIM_MS);
  }
}

sb_status
subtask_need_context(subtask *t, sb_error *err)
{
  if (t->context != NULL)
    return SB_OK;
  return sb_context_new(t->keyed, &t->job->process->host,
                        t->job->l->sp.groups, t->group_first, t->group_last,
                        &t->context, err);
}

static void
subtask_check_kind(subtask *t, const sb_state_options *options)
{
  job *j = t->job;
  sb_state_options wrong = *options;
  sb_state_info info;
  sb_error err;
  sb_status status;

  wrong.kind = options->kind == SB_STATE_MAP ? SB_STATE_VALUE : SB_STATE_MAP;
  memset(&info, 0, sizeof info);
  info.struct_size = sizeof info;
  status = t->keyed->ops->register_state(t->keyed, &wrong, &info, &err);
  if (status != SB_MISMATCH &&
      !job_tolerates(j, status, &err, "register_state of a wrong kind"))
    sim_fail(&j->l->s, SIM_WRONG, "a state is registered with another kind");
}

/* Timers have no blob to give, the typed interface has one of its own. */
static int
subtask_blob_is(const space_state *state, sb_slice blob)
{
  size_t len = state->form == FORM_TIMERS ? 0 : strlen(state->blob);

  if (state->form == FORM_TYPED)
    return blob.len != 0;
  return blob.len == len && (len == 0 || memcmp(blob.data, state->blob,
                                                len) == 0);
}

static void
subtask_register(subtask *t, uint32_t i, int known)
{
  job *j = t->job;
  life *l = j->l;
  const space_state *state = &l->sp.states[i];
  sb_state_options options;
  sb_state_info info;
  uint32_t tries = 0;
  sb_error err;
  sb_status status;

  life_state_options(l, i, j->versions[i], j->ttls[i], &options);
  if (l->migrates != 0 && rng_chance(&l->rng, 200))
    options.flags |= SB_STATE_MIGRATE_NOW;
  if (known && rng_chance(&l->rng, 30))
    subtask_check_kind(t, &options);
  for (;;) {
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    if (state->form == FORM_RAW)
      status = t->keyed->ops->register_state(t->keyed, &options, &info, &err);
    else if (state->form == FORM_TYPED)
      status = typed_open(t, i, &info, &err);
    else
      status = queues_open(t, i, &options, &info, &err);
    if (!job_tolerates(j, status, &err, "register_state"))
      break;
    if (++tries > 12 && !j->quiet)
      job_give_up(j, "register_state fails");
    sim_sleep(&l->s, 10 * SIM_MS);
  }
  if (info.kind != state->kind || info.restored != (uint32_t)known ||
      !subtask_blob_is(state, info.blob))
    sim_fail(&l->s, SIM_WRONG,
             "register_state of %s: kind %u, restored %u, blob of %zu",
             state->name, info.kind, info.restored, info.blob.len);
  t->ids[i] = info.id;
  t->states |= 1u << i;
}

static void
subtask_register_all(subtask *t)
{
  life *l = t->job->l;
  uint32_t mine = operator_states(l, t->operator_number), i;

  for (i = 0; i < l->sp.state_count; i++)
    if ((mine >> i & 1) && (t->job->quiet || t->job->registers >> i & 1))
      subtask_register(t, i, (int)(t->job->states >> i & 1));
}

static sb_status
subtask_drop(subtask *t, uint32_t state, sb_error *err)
{
  const space_state *s = &t->job->l->sp.states[state];

  queues_close(t, state);
  if (s->form == FORM_TIMERS || s->form == FORM_TYPED)
    return sb_context_drop_state(t->context, s->name, err);
  return t->keyed->ops->drop_state(t->keyed, t->ids[state], err);
}

/* Forgets states and begins them anew, as all the job's subtasks do. */
static void
subtask_drop_some(subtask *t)
{
  job *j = t->job;
  life *l = j->l;
  uint32_t i;
  sb_error err;
  size_t k;

  for (i = 0; i < l->sp.state_count; i++) {
    if ((t->states & j->drops & j->states & 1u << i) == 0)
      continue;
    while (job_tolerates(j, subtask_drop(t, i, &err), &err, "drop_state"))
      sim_sleep(&l->s, 10 * SIM_MS);
    l->did.dropped++;
    subtask_register(t, i, 0);
    for (k = 0; k < l->sp.cells; k++)
      if (space_place(&l->sp, k).state == i &&
          space_group(&l->sp, k) >= t->group_first &&
          space_group(&l->sp, k) <= t->group_last)
        act_set(t, k, cell_absent());
  }
}

/* What has expired by now may be gone already, whatever the time to live is
   from now on. */
static void
subtask_renew(subtask *t)
{
  life *l = t->job->l;
  size_t i;

  for (i = 0; l->ttl_changes != 0 && i < l->sp.cells; i++) {
    uint32_t state = space_place(&l->sp, i).state;
    cell *c = &t->job->m.cells[i];

    if ((t->states >> state & 1) && space_group(&l->sp, i) >= t->group_first &&
        space_group(&l->sp, i) <= t->group_last)
      *c = cell_renewed(&l->sp, state, t->job->ttls[state], *c,
                        subtask_now_ms(t));
  }
}

static void
subtask_compare(subtask *t, uint32_t gets)
{
  job *j = t->job;
  comparison c = { j->l, j->process, t->keyed, t->ids, t->states,
                   t->group_first, t->group_last, j->m.cells, "restored",
                   NULL, t->event_ms, 0 };
  uint32_t tries = 0;
  sb_error err;

  for (;;) {
    sb_status status = compare_gets(&c, gets, &j->l->rng, &err);

    if (status == SB_OK)
      status = compare_all(&c, &err);
    if (!job_tolerates(j, status, &err, "comparison"))
      return;
    if (++tries > 20 && !j->quiet)
      job_give_up(j, "comparing fails");
    sim_sleep(&j->l->s, rng_range(&j->l->rng, 1, 100) * SIM_MS);
  }
}

static void
subtask_keys(subtask *t)
{
  const space *sp = &t->job->l->sp;
  uint32_t i;

  t->keys = sim_memory(NULL, sp->key_count * sizeof *t->keys);
  for (i = 0; i < sp->key_count; i++)
    if (sp->keys[i].group >= t->group_first &&
        sp->keys[i].group <= t->group_last)
      t->keys[t->key_count++] = i;
}

static void
subtask_stats(subtask *t)
{
  life *l = t->job->l;
  sb_keyed_stats stats;

  memset(&stats, 0, sizeof stats);
  stats.struct_size = sizeof stats;
  if (t->keyed->ops->stats(t->keyed, &stats) != SB_OK)
    sim_fail(&l->s, SIM_WRONG, "stats fails");
  /* Indexes may go a little over while they grow. */
  if (stats.memory_limit != 0 &&
      stats.memory_used > stats.memory_limit + stats.memory_limit / 8)
    sim_fail(&l->s, SIM_WRONG, "%llu bytes are used of a budget of %llu",
             (unsigned long long)stats.memory_used,
             (unsigned long long)stats.memory_limit);
  l->did.early_flushes += stats.early_flushes;
  l->did.compactions += stats.compactions;
  l->did.cold_reads += stats.cold_reads;
}

static void
subtask_must_be_over(subtask *t, sb_status status, const char *what)
{
  if (status != SB_CANCELLED)
    sim_fail(&t->job->l->s, SIM_WRONG, "%s after an interrupt: %s", what,
             sb_status_name(status));
}

/* All calls but close are refused now. */
static void
subtask_check_interrupted(subtask *t)
{
  const sb_keyed_ops *ops = t->keyed->ops;
  sb_snapshot_options options = { .struct_size = sizeof options,
                                  .kind = SB_SNAPSHOT_CHECKPOINT,
                                  .checkpoint_id = 1000000 };
  sb_slice value = { NULL, 0 };
  sb_snapshot *snapshot = NULL;
  sb_view *opened = NULL;
  sb_op *done[1];
  size_t count;
  sb_error err;
  place at;

  if (act_place(t, &at)) {
    sb_key key = space_sb_key(&t->job->l->sp, at, t->ids[at.state]);

    subtask_must_be_over(t, ops->get(t->keyed, &key, &value, &err), "get");
    subtask_must_be_over(t, ops->remove(t->keyed, &key, &err), "remove");
    subtask_must_be_over(t, ops->clear(t->keyed, &key, &err), "clear");
  }
  subtask_must_be_over(t, ops->poll(t->keyed, done, 1, &count, 0, &err),
                       "poll");
  subtask_must_be_over(t, ops->snapshot_begin(t->keyed, &options, &snapshot,
                                              &err), "snapshot_begin");
  subtask_must_be_over(t, ops->view_open(t->keyed, &opened, &err),
                       "view_open");
  subtask_must_be_over(t, ops->notify(t->keyed, SB_NOTIFY_ABORTED, 1, &err),
                       "notify");
}

/* The watermark is never ahead of the clock: so what has ended by the clock
   may be gone, and what has ended by the watermark must be. */
static void
subtask_advance(subtask *t)
{
  uint64_t now = subtask_now_ms(t), back = rng_skewed(&t->job->l->rng, 2000);
  sb_error err;
  sb_status status;

  if (back > now)
    return;
  status = t->context != NULL
             ? sb_context_set_time(t->context, (int64_t)(now - back), &err)
             : t->keyed->ops->advance_time(t->keyed, now - back, &err);
  if (!job_tolerates(t->job, status, &err, "advance_time") &&
      now - back > t->event_ms)
    t->event_ms = now - back;
}

static void
subtask_work(subtask *t)
{
  job *j = t->job;
  life *l = j->l;

  while (!j->stop && !l->stopping) {
    rounds_begin(t);
    rounds_release(t, 0);
    rounds_notify(t);
    act_step(t);
    if (l->event != 0 && rng_chance(&l->rng, l->event))
      subtask_advance(t);
    l->steps++;
    if (l->steps >= l->steps_max)
      l->stopping = 1;
    if (rng_chance(&l->rng, l->idle))
      sim_sleep(&l->s, rng_skewed(&l->rng, 100 * SIM_MS));
    else if (rng_chance(&l->rng, 300))
      sim_yield(&l->s);
  }
  while (!j->stop) { /* the coordinator still commits */
    rounds_begin(t);
    rounds_release(t, 0);
    rounds_notify(t);
    sim_sleep(&l->s, SIM_MS);
  }
}

void
subtask_close_states(subtask *t)
{
  uint32_t i;

  visits_close(t);
  for (i = 0; i < MODEL_STATES_MAX; i++)
    queues_close(t, i);
  sb_context_free(t->context);
  t->context = NULL;
}

void
subtask_main(void *arg)
{
  subtask *t = arg;
  job *j = t->job;

  subtask_keys(t);
  t->bytes = sim_memory(NULL, j->l->value_max + 32);
  subtask_open_keyed(t);
  subtask_register_all(t);
  subtask_renew(t);
  subtask_compare(t, rng_chance(&j->l->rng, 500) ? 20 : 0);
  subtask_drop_some(t);
  t->ready = 1;
  while (!j->ready)
    sim_sleep(&j->l->s, SIM_MS);
  if (!j->quiet)
    subtask_work(t);
  else
    while (!j->stop) {
      rounds_begin(t);
      rounds_release(t, 0);
      if (t->poked) {
        (void)act_write_one(t);
        t->poked = 0;
      }
      sim_sleep(&j->l->s, 20 * SIM_MS);
    }
  batches_drain(t);
  walks_close(t);
  views_close(t, 1);
  subtask_close_states(t);
  rounds_release(t, 1);
  if (t->interrupted)
    subtask_check_interrupted(t);
  else if (!job_is_old(j) && rng_chance(&j->l->rng, 200))
    subtask_compare(t, 0);
  subtask_stats(t);
  t->keyed->ops->close(t->keyed);
  t->closed = 1;
}

void
subtask_dispose(subtask *t)
{
  size_t i;

  batches_dispose(t);
  typed_batches_dispose(t);
  visits_dispose(t);
  for (i = 0; i < LIFE_WALKS_MAX; i++)
    if (t->walks[i] != NULL) {
      free(t->walks[i]->seen);
      free(t->walks[i]);
    }
  for (i = 0; i < LIFE_VIEWS_MAX; i++)
    if (t->views[i] != NULL) {
      free(t->views[i]->cells);
      free(t->views[i]);
    }
  free(t->keys);
  free(t->bytes);
}
