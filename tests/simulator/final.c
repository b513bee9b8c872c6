/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a life, with a kind store: every retained checkpoint is right,
 * nothing is on the store that nothing needs, an idle job makes no requests.
 */
#include "config.h"

#include <string.h>
#include "host/engine/engine.h"
#include "tests/simulator/item.h"
#include "tests/simulator/life.h"

typedef struct final {
  life *l;
  sim_process *process;
  sb_backend *backend;
  int over;
} final;

static void
final_must(final *f, sb_status status, const sb_error *err, const char *what)
{
  if (status != SB_OK)
    sim_fail(&f->l->s, SIM_WRONG, "in the end: %s: %s: %s", what,
             sb_status_name(status), err->message);
}

static void
final_register(final *f, sb_keyed *keyed, comparison *c, uint32_t *ids,
               const attempt *a)
{
  const space *sp = &f->l->sp;
  uint32_t i;

  for (i = 0; i < sp->state_count; i++) {
    sb_state_options options;
    sb_state_info info;
    sb_error err;

    if ((c->states >> i & 1) == 0)
      continue;
    life_state_options(f->l, i, a->versions[i], a->ttls[i], &options);
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    final_must(f, keyed->ops->register_state(keyed, &options, &info, &err),
               &err, "register_state");
    ids[i] = info.id;
  }
}

static void
final_operator(final *f, const sb_part *parts, uint32_t count,
               const attempt *a, uint32_t number)
{
  life *l = f->l;
  sb_keyed_options options;
  sb_keyed *keyed;
  uint32_t ids[MODEL_STATES_MAX];
  comparison c = { l, f->process, NULL, ids,
                   a->states & operator_states(l, number), 0,
                   l->sp.groups - 1, a->cells, "in the end", NULL, 0, 0 };
  sb_error err;

  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.flags = SB_OPEN_READ_ONLY;
  options.job = l->job_name;
  options.operator_id = operator_id(number);
  options.key_group_count = l->sp.groups;
  options.key_group_last = l->sp.groups - 1;
  options.parts = parts;
  options.part_count = count;
  final_must(f, f->backend->ops->open_keyed(f->backend, &options, &keyed,
                                            &err), &err, "open_keyed");
  c.keyed = keyed;
  final_register(f, keyed, &c, ids, a);
  final_must(f, compare_all(&c, &err), &err, "scan");
  final_must(f, compare_gets(&c, 30, &l->rng, &err), &err, "get");
  keyed->ops->close(keyed);
}

void
final_read_parts(life *l, sim_process *process, sb_backend *backend,
                 const attempt *a, const sb_part *parts, uint32_t count)
{
  final f = { l, process, backend, 0 };
  uint32_t i;

  for (i = 0; i < l->operators; i++)
    final_operator(&f, parts, count, a, i);
}

void
final_read_opened(life *l, sim_process *process, sb_backend *backend,
                  const attempt *a, sb_checkpoint *checkpoint)
{
  final_read_parts(l, process, backend, a, checkpoint->parts,
                   checkpoint->info.part_count);
  backend->ops->checkpoint_close(backend, checkpoint);
}

void
final_read(life *l, sim_process *process, sb_backend *backend,
           const attempt *a, uint64_t id)
{
  final f = { l, process, backend, 0 };
  sb_checkpoint *checkpoint;
  sb_error err;

  final_must(&f, backend->ops->checkpoint_open(backend, l->job_name, id, 0,
                                               &checkpoint, &err),
             &err, "checkpoint_open");
  final_read_opened(l, process, backend, a, checkpoint);
}

static void
final_list(final *f, sb_job *handle)
{
  life *l = f->l;
  sb_checkpoint_info *list;
  sb_gc_report report;
  size_t count, i;
  sb_error err;
  job pretended;

  memset(&pretended, 0, sizeof pretended);
  pretended.l = l;
  pretended.generation = UINT64_MAX;
  final_must(f, f->backend->ops->list(f->backend, l->job_name, &list, &count,
                                      &err), &err, "list");
  ledger_settle(&pretended, list, count);
  for (i = 0; i < count; i++)
    final_read(l, f->process, f->backend,
               ledger_find(l, list[i].id, list[i].generation), list[i].id);
  savepoints_final(l, f->process, f->backend);
  memset(&report, 0, sizeof report);
  report.struct_size = sizeof report;
  final_must(f, f->backend->ops->gc(handle, SB_GC_PINS, &report, &err), &err,
             "gc");
  if (report.failed != 0)
    sim_fail(&l->s, SIM_WRONG, "gc could not remove %llu objects",
             (unsigned long long)report.failed);
  ledger_check_objects(l, list, count);
  f->backend->ops->list_free(f->backend, list, count);
}

static void
final_close(final *f)
{
  char text[200];

  f->backend->ops->close(f->backend);
  if (sim_process_left(f->process, text, sizeof text))
    sim_fail(&f->l->s, SIM_LEAKED, "the last process leaves %s", text);
  f->over = 1;
}

static void
final_main(void *arg)
{
  final *f = arg;
  life *l = f->l;
  sb_takeover_options options;
  sb_job *handle;
  sb_error err;

  final_must(f, engine_open(&f->process->host,
                            bucket_open(&l->b, f->process),
                            &l->engine_options,
                            (const sb_config *)(const void *)l->settings,
                            &f->backend, &err), &err, "engine_open");
  if (l->hosted) {
    manager_final(l, f->process, f->backend);
    final_close(f);
    return;
  }
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.job = l->job_name;
  options.job_id = "another job";
  options.retain = 1;
  if (f->backend->ops->takeover(f->backend, &options, &handle, &err) !=
      SB_MISMATCH)
    sim_fail(&l->s, SIM_WRONG, "another job id takes over");
  options.job_id = "a job";
  final_must(f, f->backend->ops->takeover(f->backend, &options, &handle,
                                          &err), &err, "takeover");
  final_list(f, handle);
  f->backend->ops->job_close(handle);
  final_close(f);
}

void
final_check(life *l)
{
  final f = { l, NULL, NULL, 0 };

  f.process = sim_process_new(&l->s, "last", l->settings);
  (void)sim_spawn(f.process, 0, "last", final_main, &f);
  while (!f.over)
    sim_sleep(&l->s, 10 * SIM_MS);
}
