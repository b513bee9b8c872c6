/* SPDX-License-Identifier: Apache-2.0 */
/* Views: pinned points in time, read by tasks of their own while the owner
   goes on writing. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "tests/simulator/item.h"
#include "tests/simulator/life.h"

static void
view_check(view *v, size_t index, sb_status status, sb_slice value)
{
  life *l = v->subtask->job->l;
  char want[200], got[100];

  l->did.compared++;
  if (cell_agrees(&l->sp, space_place(&l->sp, index).state, &v->cells[index],
                  status, value, 0, subtask_now_ms(v->subtask)))
    return;
  cell_text(&l->sp, index, &v->cells[index], want, sizeof want);
  answer_text(status, value, got, sizeof got);
  sim_fail(&l->s, SIM_WRONG, "view: %s; the answer is %s", want, got);
}

static void
view_get(view *v, size_t index)
{
  subtask *t = v->subtask;
  life *l = t->job->l;
  place at = space_place(&l->sp, index);
  sb_key key = space_sb_key(&l->sp, at, t->ids[at.state]);
  size_t room = rng_chance(&l->rng, 100) ? 3 : l->value_max + 65536u;
  size_t size = 0;
  uint8_t *buffer;
  sb_error err;
  sb_status status;

  if ((t->states >> at.state & 1) == 0 || key.key_group < t->group_first ||
      key.key_group > t->group_last)
    return;
  buffer = sim_scratch(&l->s, room);
  status = t->keyed->ops->view_get(v->handle, &key, buffer, room, &size,
                                   &err);
  if (status == SB_OK || status == SB_NOT_FOUND)
    view_check(v, index, status, sb_slice_of(buffer, size));
  else if (status == SB_TOO_LARGE && size <= room)
    sim_fail(&l->s, SIM_WRONG, "view_get: %zu bytes do not fit into %zu",
             size, room);
  else if (status != SB_TOO_LARGE)
    (void)job_tolerates(t->job, status, &err, "view_get");
  sim_scratch_free(&l->s, buffer);
}

static void
view_scan(view *v)
{
  subtask *t = v->subtask;
  job *j = t->job;
  comparison c = { j->l, j->process, t->keyed, t->ids, v->states,
                   t->group_first, t->group_last, v->cells, "view",
                   v->handle, v->event_ms, v->opened_ms };
  sb_error err;

  (void)job_tolerates(j, compare_all(&c, &err), &err, "a view's scan");
}

static void
view_main(void *arg)
{
  view *v = arg;
  life *l = v->subtask->job->l;
  uint64_t n = rng_below(&l->rng, 30);

  while (n-- != 0) {
    view_get(v, (size_t)rng_below(&l->rng, l->sp.cells));
    if (rng_chance(&l->rng, 300))
      sim_sleep(&l->s, rng_skewed(&l->rng, 50 * SIM_MS));
    else
      sim_yield(&l->s);
  }
  if (rng_chance(&l->rng, 500))
    view_scan(v);
  v->subtask->keyed->ops->view_close(v->handle);
  v->over = 1;
}

void
views_open(subtask *t)
{
  life *l = t->job->l;
  size_t i = 0;
  view *v;
  sb_view *handle;
  sb_error err;
  sb_status status;

  while (i < LIFE_VIEWS_MAX && t->views[i] != NULL)
    i++;
  if (i == LIFE_VIEWS_MAX)
    return;
  status = t->keyed->ops->view_open(t->keyed, &handle, &err);
  batches_sync(t);
  if (job_tolerates(t->job, status, &err, "view_open"))
    return;
  v = sim_memory(NULL, sizeof *v);
  memset(v, 0, sizeof *v);
  v->subtask = t;
  v->handle = handle;
  v->states = t->states;
  v->opened_ms = subtask_now_ms(t);
  v->event_ms = t->event_ms;
  v->cells = cells_copy(&l->sp, t->job->m.cells);
  t->views[i] = v;
  (void)sim_spawn(t->job->process, 0, "viewer", view_main, v);
}

void
views_close(subtask *t, int wait)
{
  size_t i;

  for (i = 0; i < LIFE_VIEWS_MAX; i++) {
    while (wait && t->views[i] != NULL && !t->views[i]->over)
      sim_sleep(&t->job->l->s, SIM_MS);
    if (t->views[i] == NULL || !t->views[i]->over)
      continue;
    free(t->views[i]->cells);
    free(t->views[i]);
    t->views[i] = NULL;
  }
}
