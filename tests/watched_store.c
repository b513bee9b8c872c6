/* SPDX-License-Identifier: Apache-2.0 */
/* See watched_store.h. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine_fixture.h"
#include "watched_store.h"

static const sb_store_ops *real;
static sb_store_ops watched_ops;
static atomic_long store_countdown;
static atomic_int store_mode, store_removes_fail, store_copy_refused;
static atomic_int store_removes_wait, store_lists_fail;
static atomic_uint store_copy_count, store_held_count;

/* What happens to the change that comes now. */
static int
store_turn(void)
{
  if (atomic_load(&store_countdown) > 0 &&
      atomic_fetch_sub(&store_countdown, 1) == 1)
    return atomic_load(&store_mode);
  return 0;
}

static sb_status
store_refuse(sb_error *e)
{
  return sb_error_set(e, SB_IO, "the test says no");
}

/* The effect is there, the answer is another. */
typedef struct lost_answer {
  sb_store_done *done;
  void *arg;
} lost_answer;

static void
store_lose(void *arg, const sb_store_result *result)
{
  lost_answer *l = arg;
  sb_store_result lost = *result;
  sb_error e = { .status = SB_UNKNOWN };

  snprintf(e.message, sizeof e.message, "the test lost the answer");
  lost.status = SB_UNKNOWN;
  lost.error = &e;
  l->done(l->arg, &lost);
  free(l);
}

static void
store_divert(sb_request *request)
{
  lost_answer *l = malloc(sizeof *l);

  l->done = request->done;
  l->arg = request->arg;
  request->done = store_lose;
  request->arg = l;
}

static sb_status
watched_put(sb_store *s, const sb_put_request *request, uint64_t *op,
            sb_error *e)
{
  int turn = store_turn();
  sb_put_request mine = *request;

  if (turn == STORE_FAIL_BEFORE)
    return store_refuse(e);
  if (turn == STORE_FAIL_AFTER)
    store_divert(&mine.base);
  return real->put(s, &mine, op, e);
}

static sb_status
watched_open(sb_store *s, const sb_stream_request *request, sb_stream **out,
             sb_error *e)
{
  return store_turn() != 0 ? store_refuse(e)
                           : real->put_open(s, request, out, e);
}

static sb_status
watched_commit(sb_store *s, sb_stream *stream, const sb_request *request,
               sb_error *e)
{
  sb_request mine = *request;

  if (store_turn() != 0)
    store_divert(&mine);
  return real->put_commit(s, stream, &mine, e);
}

static sb_status
watched_remove(sb_store *s, const sb_remove_request *request, uint64_t *op,
               sb_error *e)
{
  if (atomic_load(&store_removes_wait))
    atomic_fetch_add(&store_held_count, 1);
  while (atomic_load(&store_removes_wait))
    pause_ms(1);
  return atomic_load(&store_removes_fail) || store_turn() != 0
           ? store_refuse(e)
           : real->remove(s, request, op, e);
}

static sb_status
watched_list(sb_store *s, const sb_list_request *request, uint64_t *op,
             sb_error *e)
{
  return atomic_load(&store_lists_fail) ? store_refuse(e)
                                        : real->list(s, request, op, e);
}

static void
store_refuse_copy(const sb_copy_request *request)
{
  sb_error e = { .status = SB_UNSUPPORTED };
  sb_store_result result = { .struct_size = sizeof result,
                             .status = SB_UNSUPPORTED, .error = &e };

  request->base.done(request->base.arg, &result);
}

static sb_status
watched_copy(sb_store *s, const sb_copy_request *request, uint64_t *op,
             sb_error *e)
{
  int turn = store_turn();
  sb_copy_request mine = *request;

  if (atomic_load(&store_copy_refused)) {
    store_refuse_copy(request);
    return SB_OK;
  }
  atomic_fetch_add(&store_copy_count, 1);
  if (turn == STORE_FAIL_BEFORE)
    return store_refuse(e);
  if (turn == STORE_FAIL_AFTER)
    store_divert(&mine.base);
  return real->copy(s, &mine, op, e);
}

void
store_watch(void)
{
  sb_store *s = backend->ops->store(backend);

  real = s->ops;
  watched_ops = *real;
  watched_ops.put = watched_put;
  watched_ops.put_open = watched_open;
  watched_ops.put_commit = watched_commit;
  watched_ops.remove = watched_remove;
  watched_ops.copy = watched_copy;
  watched_ops.list = watched_list;
  s->ops = &watched_ops;
  store_fail(0, 0);
  store_fail_removes(0);
  store_hold_removes(0);
  store_fail_lists(0);
  store_cannot_copy(0);
  atomic_store(&store_copy_count, 0);
  atomic_store(&store_held_count, 0);
}

void
store_fail(long nth, int mode)
{
  atomic_store(&store_mode, mode);
  atomic_store(&store_countdown, nth);
}

int
store_failed(void)
{
  return atomic_load(&store_countdown) == 0;
}

void
store_fail_removes(int on)
{
  atomic_store(&store_removes_fail, on);
}

void
store_hold_removes(int on)
{
  atomic_store(&store_removes_wait, on);
}

unsigned
store_held_removes(void)
{
  return atomic_load(&store_held_count);
}

void
store_fail_lists(int on)
{
  atomic_store(&store_lists_fail, on);
}

void
store_cannot_copy(int on)
{
  watched_ops.copy = on == 1 ? NULL : watched_copy;
  atomic_store(&store_copy_refused, on == 2);
}

unsigned
store_copies(void)
{
  return atomic_load(&store_copy_count);
}
