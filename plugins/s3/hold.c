/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of streams; see hold.h. */
#include "config.h"

#include "plugins/s3/hold.h"

#define HOLD_TICK_MS 25u

typedef struct hold_all {
  s3_hold *first, *last;    /* in the order of waiting, others anywhere */
  s3_hold *turn;            /* whose part is being filled first; or NULL */
  uint64_t sending;
  uint64_t waiting;
  uint64_t count;
  s3_timer *timer;
  int running, again;
} hold_all;

static hold_all *
hold_all_of(const s3_store *store)
{
  return store->stream_waiters;
}

static void
hold_append(hold_all *all, s3_hold *hold)
{
  hold->next = NULL;
  hold->previous = all->last;
  if (all->last != NULL)
    all->last->next = hold;
  else
    all->first = hold;
  all->last = hold;
}

static void
hold_unlink(hold_all *all, s3_hold *hold)
{
  if (hold->next != NULL)
    hold->next->previous = hold->previous;
  else
    all->last = hold->previous;
  if (hold->previous != NULL)
    hold->previous->next = hold->next;
  else
    all->first = hold->next;
}

int
s3_hold_join(s3_hold *hold)
{
  s3_store *store = hold->store;
  hold_all *all = hold_all_of(store);

  if (all == NULL) {
    all = s3_alloc(store->host, sizeof *all);
    if (all == NULL)
      return -1;
    store->stream_waiters = all;
  }
  hold->joined = 1;
  all->count++;
  hold_append(all, hold);
  return 0;
}

int
s3_hold_is_short(const s3_store *store)
{
  const hold_all *all = hold_all_of(store);

  return all != NULL && all->waiting > 0;
}

/* ---- who is served ------------------------------------------------------ */

/* What is kept free for the stream whose turn it is. */
static uint64_t
hold_reserve(const hold_all *all, const s3_hold *hold)
{
  return all->turn == NULL || all->turn == hold ? 0 : all->turn->part_left;
}

static int
hold_fits(const hold_all *all, const s3_hold *hold, uint64_t bytes)
{
  const s3_store *store = hold->store;

  return store->held_bytes + bytes + hold_reserve(all, hold)
           <= store->settings->upload_memory
         || (all->turn == hold && all->sending == 0);
}

static void
hold_charge(s3_hold *hold, uint64_t bytes)
{
  hold->held += bytes;
  hold->store->held_bytes += bytes;
  hold->active_ns = hold->store->host->monotonic_ns(hold->store->host);
}

static void
hold_stop_waiting(hold_all *all, s3_hold *hold)
{
  if (!hold->waiting)
    return;
  hold->waiting = 0;
  all->waiting--;
}

static s3_hold *
hold_fullest(const hold_all *all)
{
  s3_hold *best = NULL;
  s3_hold *hold;

  for (hold = all->first; hold != NULL; hold = hold->next)
    if (hold->waiting && (best == NULL || hold->filled > best->filled))
      best = hold;
  return best;
}

/* The turn ends when its stream neither waits nor has written for a while. */
static void
hold_check_turn(hold_all *all)
{
  const s3_hold *turn = all->turn;
  uint64_t now;

  if (turn == NULL || turn->waiting)
    return;
  now = turn->store->host->monotonic_ns(turn->store->host);
  if (now - turn->active_ns >= S3_HOLD_IDLE_MS * 1000000u)
    all->turn = NULL;
}

static s3_hold *
hold_next_served(hold_all *all)
{
  s3_hold *hold;

  hold_check_turn(all);
  if (all->turn == NULL)
    all->turn = hold_fullest(all);
  if (all->turn != NULL && all->turn->waiting
      && hold_fits(all, all->turn, all->turn->want))
    return all->turn;
  for (hold = all->first; hold != NULL; hold = hold->next)
    if (hold->waiting && hold_fits(all, hold, hold->want))
      return hold;
  return NULL;
}

/* Asks streams to send what they have. 1 if something has changed. */
static int
hold_press(hold_all *all)
{
  s3_hold *hold;

  for (hold = all->first; hold != NULL && all->sending == 0;
       hold = hold->next)
    if (hold->held > 0)
      hold->press(hold);
  return all->sending > 0;
}

static void
hold_free(s3_store *store)
{
  hold_all *all = hold_all_of(store);

  s3_timer_stop(store->net, all->timer);
  store->stream_waiters = NULL;
  s3_free(store->host, all);
}

static void hold_tick(void *arg);

static void
hold_watch(s3_store *store, hold_all *all)
{
  if (all->timer == NULL && all->waiting > 0)
    all->timer = s3_timer_start(store->net, HOLD_TICK_MS, hold_tick, store);
}

/* Serves whom it can. What is served may come here again. */
static void
hold_run(s3_store *store)
{
  hold_all *all = hold_all_of(store);
  s3_hold *hold;

  if (all == NULL)
    return;
  all->again = 1;
  if (all->running)
    return;
  all->running = 1;
  while (all->again && all->waiting > 0) {
    all->again = 0;
    if (all->sending == 0)
      (void)hold_press(all);
    hold = hold_next_served(all);
    if (hold == NULL)
      continue;
    all->again = 1;
    hold_stop_waiting(all, hold);
    hold_charge(hold, hold->want);
    hold->granted(hold);
  }
  all->running = 0;
  if (all->count == 0)
    hold_free(store);
  else
    hold_watch(store, all);
}

static void
hold_tick(void *arg)
{
  s3_store *store = arg;

  hold_all_of(store)->timer = NULL;
  hold_run(store);
}

/* ---- what streams call -------------------------------------------------- */

int
s3_hold_take(s3_hold *hold, uint64_t bytes)
{
  hold_all *all = hold_all_of(hold->store);

  if ((all->waiting == 0 || all->turn == hold)
      && hold_fits(all, hold, bytes)) {
    hold_charge(hold, bytes);
    return 1;
  }
  hold->want = bytes;
  hold->waiting = 1;
  all->waiting++;
  hold_unlink(all, hold);
  hold_append(all, hold);
  hold_run(hold->store);
  return 0;
}

void
s3_hold_stop(s3_hold *hold)
{
  if (hold->waiting)
    hold_stop_waiting(hold_all_of(hold->store), hold);
}

void
s3_hold_give(s3_hold *hold, uint64_t bytes)
{
  hold->held -= bytes;
  hold->store->held_bytes -= bytes;
  if (bytes > 0)
    hold_run(hold->store);
}

void
s3_hold_sends(s3_hold *hold, int change)
{
  hold_all *all = hold_all_of(hold->store);

  if (change > 0) {
    hold->sending++;
    all->sending++;
    return;
  }
  hold->sending--;
  all->sending--;
  hold_run(hold->store);
}

void
s3_hold_sealed(s3_hold *hold)
{
  hold_all *all = hold_all_of(hold->store);

  /* Nobody is served yet: the part is about to be sent. */
  if (all->turn == hold)
    all->turn = NULL;
}

void
s3_hold_leave(s3_hold *hold)
{
  s3_store *store = hold->store;
  hold_all *all = hold_all_of(store);

  if (!hold->joined)
    return;
  hold_stop_waiting(all, hold);
  hold_unlink(all, hold);
  hold->joined = 0;
  store->held_bytes -= hold->held;
  all->sending -= hold->sending;
  hold->held = hold->sending = 0;
  if (all->turn == hold)
    all->turn = NULL;
  if (--all->count > 0)
    hold_run(store);
  else if (!all->running)
    hold_free(store);
}
