/* SPDX-License-Identifier: Apache-2.0 */
/* Counting and judging what segments hold; see times.h. */
#include "config.h"

#include <stdlib.h>

#include "host/engine/times.h"

#define TIMES_COMPLETE 1u    /* flag: each state of the segment is listed */
#define TIMES_SAMPLES 128u
#define TIMES_STRIDE 64u     /* bytes between samples, at first */
#define TIMES_RECORD_COST 12u /* of a record beside its strings, about */

/* ---- reading ------------------------------------------------------------ */

static int
times_take(reader *r, times_entry *e)
{
  unsigned i;

  memset(e, 0, sizeof *e);
  e->state = (uint32_t)reader_varint(r);
  e->kind = (uint32_t)reader_varint(r);
  if (e->kind == SB_TIME_VALUE)
    e->offset = (uint32_t)reader_varint(r);
  e->bytes = reader_varint(r);
  e->timed = reader_varint(r);
  e->marks = reader_varint(r);
  if (r->bad || e->timed > e->bytes || e->marks > e->bytes - e->timed)
    return 0;
  if (e->timed == 0)
    return 1;
  for (i = 0; i <= TIMES_PARTS; i++) {
    e->at[i] = (i == 0 ? 0 : e->at[i - 1]) + reader_varint(r);
    if (i > 0 && e->at[i] < e->at[i - 1])
      return 0;
  }
  return !r->bad;
}

/* Opens the block; the count of entries. */
static size_t
times_open(sb_slice times, reader *r, uint64_t *flags)
{
  uint64_t count;

  *r = reader_of(times.data, times.len);
  *flags = reader_varint(r);
  count = reader_varint(r);
  return r->bad || count > TIMES_STATES_MAX ? 0 : (size_t)count;
}

int
times_valid(sb_slice times)
{
  uint64_t flags;
  times_entry e;
  uint32_t last = 0;
  size_t i, count;
  reader r;

  if (times.len == 0)
    return 1;
  count = times_open(times, &r, &flags);
  if (r.bad || count == 0 || flags > TIMES_COMPLETE)
    return 0;
  for (i = 0; i < count; i++) {
    if (!times_take(&r, &e) || (i > 0 && e.state <= last))
      return 0;
    last = e.state;
  }
  return reader_left(&r) == 0;
}

int
times_complete(sb_slice times)
{
  uint64_t flags;
  reader r;

  return times_open(times, &r, &flags) != 0 && (flags & TIMES_COMPLETE) != 0;
}

int
times_may_have(sb_slice times, uint32_t state)
{
  uint64_t flags;
  times_entry e;
  size_t i, count;
  reader r;

  count = times_open(times, &r, &flags);
  for (i = 0; i < count && times_take(&r, &e); i++)
    if (e.state == state)
      return 1;
  return count == 0 || !(flags & TIMES_COMPLETE);
}

/* The share of the timed bytes, in thousandths, that are at or before
   `bound`. */
static uint64_t
times_share(const times_entry *e, uint64_t bound)
{
  uint64_t part = 1000 / TIMES_PARTS, wide;
  unsigned i;

  if (bound >= e->at[TIMES_PARTS])
    return 1000;
  if (bound < e->at[0])
    return 0;
  for (i = 0; e->at[i + 1] <= bound; i++)
    continue;
  wide = e->at[i + 1] - e->at[i];
  return i * 1000 / TIMES_PARTS +
         (uint64_t)((double)part * (double)(bound - e->at[i]) / (double)wide);
}

static void
times_judge(const times_entry *e, const rule *r, times_sum *sum)
{
  uint64_t bound;

  sum->bytes += e->bytes;
  if (r != NULL && r->dropped_epoch != 0) {
    sum->dead += e->bytes;
    return;
  }
  if (e->timed + e->marks != e->bytes)
    sum->all_dead = 0;
  if (e->timed == 0)
    return;
  if (r == NULL || r->time_kind != e->kind || r->time_offset != e->offset ||
      (r->time_kind != SB_TIME_EXPIRY &&
       (r->ttl_ms == 0 || r->now_ms < r->ttl_ms))) {
    sum->all_dead = 0;
    return;
  }
  bound = r->time_kind == SB_TIME_EXPIRY ? r->now_ms : r->now_ms - r->ttl_ms;
  if (bound < e->at[TIMES_PARTS])
    sum->all_dead = 0;
  sum->dead += (uint64_t)((double)e->timed / 1000.0 *
                          (double)times_share(e, bound));
}

void
times_add_up(sb_slice times, const rules *all, times_sum *sum)
{
  uint64_t flags;
  times_entry e;
  size_t i, count;
  reader r;

  memset(sum, 0, sizeof *sum);
  count = times_open(times, &r, &flags);
  sum->all_dead = count != 0 && (flags & TIMES_COMPLETE) != 0;
  for (i = 0; i < count && times_take(&r, &e); i++)
    times_judge(&e, rules_find(all, e.state), sum);
}

/* ---- counting ----------------------------------------------------------- */

/* Every so many bytes of a state one time is kept. When there are too many,
   each second one goes. */
typedef struct times_state {
  uint64_t bytes, timed, marks;
  uint64_t least, greatest;
  uint64_t stride, next;     /* the timed byte at which the next is taken */
  uint64_t *samples;         /* TIMES_SAMPLES, or NULL */
  uint32_t sample_count;
} times_state;

struct times_counter {
  const sb_host *host;
  const rules *all;
  times_state *states;       /* as all->list */
  size_t last;               /* index of the last record's state */
};

sb_status
times_counter_new(const sb_host *host, const rules *all, times_counter **out)
{
  times_counter *c = mem_zalloc(host, sizeof *c);

  *out = NULL;
  if (c == NULL)
    return SB_NO_MEMORY;
  c->host = host;
  c->all = all;
  c->states = mem_zalloc(host, (all->count + 1) * sizeof *c->states);
  if (c->states == NULL) {
    mem_free(host, c);
    return SB_NO_MEMORY;
  }
  *out = c;
  return SB_OK;
}

static void
times_clear(times_counter *c)
{
  size_t i;

  for (i = 0; i < c->all->count; i++)
    mem_free(c->host, c->states[i].samples);
  memset(c->states, 0, c->all->count * sizeof *c->states);
}

void
times_counter_free(times_counter *c)
{
  if (c == NULL)
    return;
  times_clear(c);
  mem_free(c->host, c->states);
  mem_free(c->host, c);
}

static void
times_halve(times_state *s)
{
  uint32_t i;

  for (i = 0; i < TIMES_SAMPLES / 2; i++)
    s->samples[i] = s->samples[2 * i + 1];
  s->sample_count = TIMES_SAMPLES / 2;
  s->stride *= 2;
}

static void
times_note(times_counter *c, times_state *s, uint64_t bytes, uint64_t time)
{
  if (s->timed == 0) {
    s->least = s->greatest = time;
    s->stride = s->next = TIMES_STRIDE;
    s->samples = mem_alloc(c->host, TIMES_SAMPLES * sizeof *s->samples);
  }
  if (time < s->least)
    s->least = time;
  if (time > s->greatest)
    s->greatest = time;
  s->timed += bytes;
  while (s->samples != NULL && s->timed >= s->next) {
    if (s->sample_count == TIMES_SAMPLES)
      times_halve(s);
    s->samples[s->sample_count++] = time;
    s->next += s->stride;
  }
}

static void
times_count_list(times_counter *c, times_state *s, const rule *r,
                 const record *rec, uint64_t extra)
{
  sb_slice element, whole;
  size_t at = 0;
  uint64_t time;

  while (rule_next_element(rec->value, &at, &element, &whole)) {
    if (!rule_value_time(r, element, &time))
      continue;
    times_note(c, s, whole.len + extra, time);
    extra = 0; /* the key's bytes go with the first that has a time */
  }
}

void
times_count(times_counter *c, const record *rec)
{
  uint64_t extra = rec->key.len + rec->ns.len + rec->subkey.len +
                   TIMES_RECORD_COST, time;
  const rule *r = &c->all->list[c->last];
  times_state *s;

  if (c->last >= c->all->count || r->state != rec->state) {
    r = rules_find(c->all, rec->state);
    if (r == NULL)
      return;
    c->last = (size_t)(r - c->all->list);
  }
  s = &c->states[c->last];
  s->bytes += extra + rec->value.len;
  if (rec->flags & (RECORD_TOMBSTONE | RECORD_CLEAR))
    s->marks += extra + rec->value.len;
  else if (r->time_kind != SB_TIME_VALUE && rec->expires_ms != 0)
    times_note(c, s, extra + rec->value.len, rec->expires_ms);
  else if (r->time_kind == SB_TIME_VALUE && r->kind == SB_STATE_LIST)
    times_count_list(c, s, r, rec, extra);
  else if (r->time_kind == SB_TIME_VALUE &&
           rule_value_time(r, rec->value, &time))
    times_note(c, s, extra + rec->value.len, time);
}

static int
times_compare(const void *a, const void *b)
{
  const uint64_t *s = a, *t = b;

  return *s < *t ? -1 : *s > *t;
}

static void
times_put_points(const times_state *s, buf *out)
{
  uint64_t last = s->least, at;
  uint32_t i;

  buf_varint(out, s->least);
  if (s->samples != NULL && s->sample_count > 1)
    qsort(s->samples, s->sample_count, sizeof *s->samples, times_compare);
  for (i = 1; i <= TIMES_PARTS; i++) {
    if (i == TIMES_PARTS)
      at = s->greatest;
    else if (s->samples != NULL && s->sample_count != 0)
      at = s->samples[(uint64_t)i * s->sample_count / TIMES_PARTS];
    else
      at = s->least + (s->greatest - s->least) / TIMES_PARTS * i;
    buf_varint(out, at - last);
    last = at;
  }
}

static void
times_put(const rule *r, const times_state *s, buf *out)
{
  buf_varint(out, r->state);
  buf_varint(out, r->time_kind);
  if (r->time_kind == SB_TIME_VALUE)
    buf_varint(out, r->time_offset);
  buf_varint(out, s->bytes);
  buf_varint(out, s->timed);
  buf_varint(out, s->marks);
  if (s->timed != 0)
    times_put_points(s, out);
}

static size_t
times_at_least(const times_counter *c, uint64_t bytes)
{
  size_t i, count = 0;

  for (i = 0; i < c->all->count; i++)
    count += c->states[i].bytes >= bytes;
  return count;
}

/* How many bytes a state must have to be listed: the largest are, and of many
   that are alike the first. */
static uint64_t
times_least_listed(const times_counter *c)
{
  uint64_t least = 1, more;

  while (times_at_least(c, least) > TIMES_STATES_MAX) {
    more = least + least / 8 + 1;
    if (times_at_least(c, more) < TIMES_STATES_MAX / 2)
      break;
    least = more;
  }
  return least;
}

void
times_finish(times_counter *c, buf *out)
{
  uint64_t least = times_least_listed(c);
  size_t i, left = times_at_least(c, least);
  int complete = left <= TIMES_STATES_MAX && left == times_at_least(c, 1);

  if (left > TIMES_STATES_MAX)
    left = TIMES_STATES_MAX;
  if (left != 0) {
    buf_varint(out, complete ? TIMES_COMPLETE : 0);
    buf_varint(out, left);
  }
  for (i = 0; i < c->all->count && left != 0; i++)
    if (c->states[i].bytes >= least) {
      times_put(&c->all->list[i], &c->states[i], out);
      left--;
    }
  times_clear(c);
}
