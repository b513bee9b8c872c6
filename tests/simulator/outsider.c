/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader from outside: opens a retained checkpoint with a pin, reads all of
 * it slowly while the job goes on and cleans up, and lets it go.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "host/engine/engine.h"
#include "tests/simulator/item.h"
#include "tests/simulator/life.h"

typedef struct outsider {
  life *l;
  sim_process *process;
  sb_backend *backend;
  sb_checkpoint *checkpoint;
  attempt *attempt;
  sb_keyed *keyed;
  uint32_t ids[MODEL_STATES_MAX];
  uint32_t states, operator_number, group_first, group_last;
} outsider;

/* Trouble ends it: as any command that fails. */
static void
outsider_check(outsider *o, sb_status status, const sb_error *err,
               const char *what)
{
  life *l = o->l;

  if (status == SB_OK)
    return;
  sim_say(&l->s, "%s: %s", what, err->message);
  if (l->b.faults == 0 && l->b.flips == 0 &&
      o->process->alloc_failures == 0)
    sim_fail(&l->s, SIM_WRONG, "outsider: %s: %s: %s", what,
             sb_status_name(status), err->message);
  l->did.tolerated++;
  sim_crash(o->process);
}

static int
outsider_open(outsider *o)
{
  life *l = o->l;
  sb_error err;
  sb_status status;

  status = engine_open(&o->process->host, bucket_open(&l->b, o->process),
                       &l->engine_options,
                       (const sb_config *)(const void *)l->settings,
                       &o->backend, &err);
  outsider_check(o, status, &err, "engine_open");
  status = o->backend->ops->checkpoint_open(o->backend, l->job_name, 0,
                                            SB_CHECKPOINT_PIN,
                                            &o->checkpoint, &err);
  if (status == SB_NOT_FOUND || status == SB_BUSY)
    return 0;
  outsider_check(o, status, &err, "checkpoint_open");
  o->attempt = ledger_find(l, o->checkpoint->info.id,
                           o->checkpoint->info.generation);
  if (o->attempt == NULL || o->attempt->fate == ATTEMPT_OPEN ||
      o->attempt->fate == ATTEMPT_NEVER ||
      o->attempt->fate == ATTEMPT_EXCLUDED)
    sim_fail(&l->s, SIM_WRONG,
             "an outsider reads checkpoint %llu of generation %llu, which "
             "was not committed", (unsigned long long)o->checkpoint->info.id,
             (unsigned long long)o->checkpoint->info.generation);
  if (o->attempt->fate == ATTEMPT_MAYBE)
    o->attempt->fate = ATTEMPT_OK;
  o->attempt->pins++;
  o->process->user = o->attempt;
  return 1;
}

static void
outsider_register(outsider *o)
{
  const space *sp = &o->l->sp;
  uint32_t mine = operator_states(o->l, o->operator_number), i;

  for (i = 0; i < sp->state_count; i++) {
    sb_state_options options;
    sb_state_info info;
    sb_error err;

    if (((o->attempt->states & mine) >> i & 1) == 0)
      continue;
    life_state_options(o->l, i, o->attempt->versions[i],
                       o->attempt->ttls[i], &options);
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    outsider_check(o, o->keyed->ops->register_state(o->keyed, &options, &info,
                                                    &err),
                   &err, "register_state");
    if (!info.restored)
      sim_fail(&o->l->s, SIM_WRONG, "an outsider does not find %s",
               sp->states[i].name);
    o->ids[i] = info.id;
    o->states |= 1u << i;
  }
}

static void
outsider_read(outsider *o)
{
  life *l = o->l;
  sb_keyed_options options;
  comparison c;
  sb_error err;

  o->operator_number = (uint32_t)rng_below(&l->rng, l->operators);
  o->group_first = (uint32_t)rng_below(&l->rng, l->sp.groups);
  o->group_last = (uint32_t)rng_range(&l->rng, o->group_first,
                                      l->sp.groups - 1);
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.flags = SB_OPEN_READ_ONLY;
  options.job = l->job_name;
  options.operator_id = operator_id(o->operator_number);
  options.key_group_count = l->sp.groups;
  options.key_group_first = o->group_first;
  options.key_group_last = o->group_last;
  options.parts = o->checkpoint->parts;
  options.part_count = o->checkpoint->info.part_count;
  outsider_check(o, o->backend->ops->open_keyed(o->backend, &options,
                                                &o->keyed, &err),
                 &err, "open_keyed");
  sim_sleep(&l->s, rng_skewed(&l->rng, 500 * SIM_MS));
  outsider_register(o);
  c = (comparison){ l, o->process, o->keyed, o->ids, o->states,
                    o->group_first, o->group_last, o->attempt->cells,
                    "outsider", NULL, 0, 0 };
  outsider_check(o, compare_gets(&c, 20, &l->rng, &err), &err, "get");
  sim_sleep(&l->s, rng_skewed(&l->rng, 500 * SIM_MS));
  outsider_check(o, compare_all(&c, &err), &err, "scan");
  o->keyed->ops->close(o->keyed);
}

static void
outsider_main(void *arg)
{
  outsider *o = arg;
  life *l = o->l;
  char text[200];

  if (outsider_open(o)) {
    outsider_read(o);
    o->attempt->pins--;
    o->process->user = NULL;
    o->backend->ops->checkpoint_close(o->backend, o->checkpoint);
  }
  o->backend->ops->close(o->backend);
  if (sim_process_left(o->process, text, sizeof text))
    sim_fail(&l->s, SIM_LEAKED, "%s has closed all and leaves %s",
             o->process->name, text);
  l->did.readers++;
}

static void
outsider_free(void *arg)
{
  free(arg);
}

void
outsider_begin(life *l)
{
  outsider *o = sim_memory(NULL, sizeof *o);

  memset(o, 0, sizeof *o);
  o->l = l;
  o->process = sim_process_new(&l->s, "outsider", l->settings);
  o->process->disposed = o;
  o->process->dispose = outsider_free;
  (void)sim_spawn(o->process, 0, "outsider", outsider_main, o);
}
