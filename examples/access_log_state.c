/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is kept for each client address:
 *   totals    value   hits, bytes, and how many paths the list holds
 *   statuses  map     hits by status code
 *   paths     list    the last ten paths, in input order
 *   sessions  value   open sessions, earliest first
 *   timers            one for each address with open sessions
 *
 * Hits come out of order by less than the watermark trails, so an address has
 * at most two open sessions, and a hit can join them into one. Its timer is
 * never later than the end of its first session: when it fires it closes what
 * is over and is set again for the rest.
 */
#include <stdio.h>
#include <string.h>
#include "access_log.h"

#define SESSION_LEN 32u    /* start, last, hits, bytes */
#define SESSIONS_MAX 8u
#define PATHS_MAX (2 * RECENT_PATHS) /* then the older half is cut off */

typedef struct session {
  int64_t start_ms, last_ms;
  uint64_t hits, bytes;
} session;

typedef struct sessions {
  session list[SESSIONS_MAX];
  size_t count;
} sessions;

uint64_t
load_number(const void *data)
{
  const uint8_t *b = data;
  uint64_t number = 0;
  int i;

  for (i = 7; i >= 0; i--)
    number = number << 8 | b[i];
  return number;
}

void
store_number(void *data, uint64_t number)
{
  uint8_t *b = data;
  int i;

  for (i = 0; i < 8; i++)
    b[i] = (uint8_t)(number >> (8 * i));
}

sb_status
state_open(subtask *s, sb_error *err)
{
  sb_status status = sb_value_open(s->context, "totals", &s->totals, err);

  if (status == SB_OK)
    status = sb_value_open(s->context, "sessions", &s->sessions, err);
  if (status == SB_OK)
    status = sb_map_open(s->context, "statuses", &s->statuses, err);
  if (status == SB_OK)
    status = sb_list_open(s->context, "paths", &s->paths, err);
  if (status == SB_OK)
    status = sb_timers_open(s->context, "event-time", &s->timers, err);
  return status;
}

/* ---- totals and statuses ------------------------------------------------ */

typedef struct totals_arg {
  uint64_t bytes;
  uint64_t paths; /* out: held by the list, this hit's included */
  uint8_t fresh[TOTAL_LEN];
} totals_arg;

static sb_status
totals_update(void *arg, sb_update *update)
{
  totals_arg *t = arg;
  uint8_t *value = update->exists ? update->data : t->fresh;

  if (update->exists && update->len != TOTAL_LEN)
    return SB_CORRUPT;
  if (!update->exists)
    memset(value, 0, TOTAL_LEN);
  t->paths = load_number(value + 16) + 1;
  store_number(value, load_number(value) + 1);
  store_number(value + 8, load_number(value + 8) + t->bytes);
  store_number(value + 16,
               t->paths == PATHS_MAX ? RECENT_PATHS : t->paths);
  update->action = update->exists ? SB_UPDATE_IN_PLACE : SB_UPDATE_PUT;
  update->replacement = sb_slice_of(t->fresh, TOTAL_LEN);
  return SB_OK;
}

static sb_status
status_update(void *arg, sb_update *update)
{
  uint8_t *fresh = arg;

  if (update->exists && update->len != 8)
    return SB_CORRUPT;
  if (update->exists) {
    store_number(update->data, load_number(update->data) + 1);
    update->action = SB_UPDATE_IN_PLACE;
  } else {
    store_number(fresh, 1);
    update->action = SB_UPDATE_PUT;
    update->replacement = sb_slice_of(fresh, 8);
  }
  return SB_OK;
}

/* ---- paths -------------------------------------------------------------- */

typedef struct recent {
  char text[PATHS_MAX * LINE_LEN_MAX];
  sb_slice paths[PATHS_MAX];
  size_t count, len;
} recent;

static int
recent_add(void *arg, sb_slice element)
{
  recent *r = arg;

  if (r->count == PATHS_MAX || r->len + element.len > sizeof r->text)
    return 1;
  memcpy(r->text + r->len, element.data, element.len);
  r->paths[r->count++] = sb_slice_of(r->text + r->len, element.len);
  r->len += element.len;
  return 0;
}

/* Appending does not read; only each tenth hit of an address cuts its list. */
static sb_status
paths_add(subtask *s, sb_slice path, uint64_t held, sb_error *err)
{
  static _Thread_local recent r;
  sb_status status = sb_list_add(s->paths, path, err);

  if (status != SB_OK || held < PATHS_MAX)
    return status;
  r.count = 0;
  r.len = 0;
  status = sb_list_each(s->paths, recent_add, &r, err);
  if (status != SB_OK)
    return status;
  if (r.count != PATHS_MAX)
    return sb_error_set(err, SB_CORRUPT, "a list of %zu paths, not %u",
                        r.count, PATHS_MAX);
  return sb_list_update(s->paths, r.paths + (PATHS_MAX - RECENT_PATHS),
                        RECENT_PATHS, err);
}

/* ---- sessions ----------------------------------------------------------- */

static sb_status
sessions_load(sessions *all, const sb_update *update)
{
  const uint8_t *value = update->data;
  size_t i;

  all->count = update->len / SESSION_LEN;
  if (update->len % SESSION_LEN != 0 || all->count >= SESSIONS_MAX)
    return SB_CORRUPT;
  for (i = 0; i < all->count; i++, value += SESSION_LEN) {
    all->list[i].start_ms = (int64_t)load_number(value);
    all->list[i].last_ms = (int64_t)load_number(value + 8);
    all->list[i].hits = load_number(value + 16);
    all->list[i].bytes = load_number(value + 24);
  }
  return SB_OK;
}

static void
sessions_store(const sessions *all, uint8_t *fresh, sb_update *update)
{
  size_t len = all->count * SESSION_LEN, i;
  int same = update->exists && update->len == len;
  uint8_t *value = same ? update->data : fresh;

  for (i = 0; i < all->count; i++) {
    store_number(value + i * SESSION_LEN, (uint64_t)all->list[i].start_ms);
    store_number(value + i * SESSION_LEN + 8, (uint64_t)all->list[i].last_ms);
    store_number(value + i * SESSION_LEN + 16, all->list[i].hits);
    store_number(value + i * SESSION_LEN + 24, all->list[i].bytes);
  }
  update->action = len == 0 ? SB_UPDATE_REMOVE
                   : same   ? SB_UPDATE_IN_PLACE
                            : SB_UPDATE_PUT;
  update->replacement = sb_slice_of(fresh, len);
}

typedef struct session_arg {
  session hit;
  uint32_t first; /* out: the address had no open session */
  uint8_t fresh[SESSIONS_MAX * SESSION_LEN];
} session_arg;

static int
session_joins(const session *a, const session *b)
{
  return a->start_ms < b->last_ms + SESSION_GAP_MS &&
         b->start_ms < a->last_ms + SESSION_GAP_MS;
}

static void
session_join(session *into, const session *other)
{
  if (other->start_ms < into->start_ms)
    into->start_ms = other->start_ms;
  if (other->last_ms > into->last_ms)
    into->last_ms = other->last_ms;
  into->hits += other->hits;
  into->bytes += other->bytes;
}

static sb_status
session_update(void *arg, sb_update *update)
{
  session_arg *a = arg;
  session joined = a->hit;
  sessions all;
  size_t i, kept = 0, place = 0;
  sb_status status = sessions_load(&all, update);

  if (status != SB_OK)
    return status;
  a->first = all.count == 0;
  for (i = 0; i < all.count; i++) {
    if (session_joins(&joined, &all.list[i])) {
      session_join(&joined, &all.list[i]);
      continue;
    }
    place += all.list[i].start_ms < joined.start_ms;
    all.list[kept++] = all.list[i];
  }
  memmove(all.list + place + 1, all.list + place,
          (kept - place) * sizeof *all.list);
  all.list[place] = joined;
  all.count = kept + 1;
  sessions_store(&all, a->fresh, update);
  return SB_OK;
}

static sb_status
session_hit(subtask *s, const hit *h, sb_error *err)
{
  session_arg a;
  sb_status status;

  a.hit.start_ms = h->time_ms;
  a.hit.last_ms = h->time_ms;
  a.hit.hits = 1;
  a.hit.bytes = h->bytes;
  status = sb_value_update(s->sessions, session_update, &a, err);
  if (status != SB_OK || !a.first)
    return status;
  return sb_timers_add(s->timers, h->time_ms + SESSION_GAP_MS, err);
}

typedef struct close_arg {
  int64_t watermark_ms;
  sessions closed, open;
  uint8_t fresh[SESSIONS_MAX * SESSION_LEN];
} close_arg;

static sb_status
session_close_update(void *arg, sb_update *update)
{
  close_arg *a = arg;
  sessions all;
  size_t i;
  sb_status status = sessions_load(&all, update);

  if (status != SB_OK)
    return status;
  a->closed.count = 0;
  a->open.count = 0;
  for (i = 0; i < all.count; i++) {
    sessions *to = all.list[i].last_ms + SESSION_GAP_MS <= a->watermark_ms
                     ? &a->closed
                     : &a->open;

    to->list[to->count++] = all.list[i];
  }
  if (a->closed.count != 0)
    sessions_store(&a->open, a->fresh, update);
  return SB_OK;
}

/* A timer of the current address has fired. */
static sb_status
session_close(subtask *s, sb_error *err)
{
  sb_slice address;
  close_arg a;
  size_t i;
  sb_status status;

  a.watermark_ms = s->watermark_ms;
  status = sb_value_update(s->sessions, session_close_update, &a, err);
  address = sb_context_key(s->context);
  for (i = 0; status == SB_OK && i < a.closed.count; i++) {
    const session *c = &a.closed.list[i];

    status = sink_print(&s->sink, err, "session %.*s %lld %lld %llu %llu\n",
                        (int)address.len, (const char *)address.data,
                        (long long)(c->start_ms / 1000),
                        (long long)(c->last_ms / 1000),
                        (unsigned long long)c->hits,
                        (unsigned long long)c->bytes);
  }
  if (status != SB_OK)
    return status;
  pthread_mutex_lock(&s->job->lock);
  s->counters.sessions += a.closed.count;
  pthread_mutex_unlock(&s->job->lock);
  if (a.open.count == 0)
    return SB_OK;
  return sb_timers_add(s->timers, a.open.list[0].last_ms + SESSION_GAP_MS,
                       err);
}

/* ---- hits and watermarks ------------------------------------------------ */

sb_status
state_hit(subtask *s, const hit *h, const char *address, const char *path,
          sb_error *err)
{
  totals_arg totals = { .bytes = h->bytes };
  uint8_t fresh[8];
  char code[4] = { (char)('0' + h->status / 100),
                   (char)('0' + h->status / 10 % 10),
                   (char)('0' + h->status % 10), '\0' };
  sb_status status;

  status = sb_context_set_key_hash(s->context,
                                   sb_slice_of(address, h->address_len),
                                   h->hash, err);
  if (status == SB_OK)
    status = sb_value_update(s->totals, totals_update, &totals, err);
  if (status == SB_OK)
    status = sb_map_update(s->statuses, sb_slice_of(code, 3), status_update,
                           fresh, err);
  if (status == SB_OK)
    status = paths_add(s, sb_slice_of(path, h->path_len), totals.paths, err);
  if (status == SB_OK && h->time_ms > h->watermark_ms)
    status = session_hit(s, h, err);
  return status;
}

sb_status
state_watermark(subtask *s, int64_t watermark_ms, sb_error *err)
{
  sb_timer timer;
  sb_status status;

  s->watermark_ms = watermark_ms;
  for (;;) {
    status = sb_timers_poll(s->timers, watermark_ms, &timer, err);
    if (status != SB_OK)
      return status == SB_END ? SB_OK : status;
    status = session_close(s, err);
    if (status != SB_OK)
      return status;
  }
}
