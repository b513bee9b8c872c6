/* SPDX-License-Identifier: Apache-2.0 */
/* See ttl_fixture.h. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "ttl_fixture.h"

_Atomic uint64_t ttl_now;
_Atomic long ttl_countdown, ttl_live;
_Atomic unsigned ttl_warnings;
uint64_t ttl_checkpoint;
static sb_host ttl_host;

static uint64_t
ttl_clock(const sb_host *host)
{
  (void)host;
  return atomic_load(&ttl_now);
}

static void *
ttl_alloc(const sb_host *host, void *old, size_t size)
{
  void *p;

  if (size != 0 && atomic_load(&ttl_countdown) > 0 &&
      atomic_fetch_sub(&ttl_countdown, 1) == 1)
    return NULL;
  p = sb_host_default()->alloc(host, old, size);
  if (size == 0)
    atomic_fetch_sub(&ttl_live, old != NULL);
  else if (p != NULL && old == NULL)
    atomic_fetch_add(&ttl_live, 1);
  return p;
}

static void
ttl_log(const sb_host *host, uint32_t level, const char *component,
        const char *line)
{
  (void)host;
  (void)component;
  if (getenv("TTL_LOG") != NULL)
    tap_note("%s", line);
  atomic_fetch_add(&ttl_warnings, level == SB_LOG_WARN);
}

void
ttl_open(const char *runs, uint32_t group_count)
{
  sb_takeover_options take;

  atomic_store(&ttl_now, 1700000000000ull);
  atomic_store(&ttl_countdown, 0);
  atomic_store(&ttl_live, 0);
  atomic_store(&ttl_warnings, 0);
  ttl_checkpoint = 1;
  ttl_host = *sb_host_default();
  ttl_host.clock_ms = ttl_clock;
  ttl_host.alloc = ttl_alloc;
  ttl_host.log = ttl_log;
  begin_backend("32m", group_count);
  set("state.backend.compaction.runs", runs);
  if (!check_ok(sb_backend_open(config, &ttl_host, &backend, &err)))
    exit(1);
  memset(&take, 0, sizeof take);
  take.struct_size = sizeof take;
  take.job = "";
  take.job_id = "test";
  take.retain = 1;
  check_ok(backend->ops->takeover(backend, &take, &job, &err));
}

void
ttl_close(void)
{
  close_backend();
}

sb_state_options
ttl_options(const char *name, uint32_t kind)
{
  sb_state_options o;

  memset(&o, 0, sizeof o);
  o.struct_size = sizeof o;
  o.kind = kind;
  o.name = sb_slice_of(name, strlen(name));
  return o;
}

uint32_t
ttl_register(sb_keyed *k, const sb_state_options *o)
{
  sb_state_info info;

  memset(&info, 0, sizeof info);
  check_ok(k->ops->register_state(k, o, &info, &err));
  return info.id;
}

void
ttl_commit(sb_keyed *k)
{
  checkpoint(ttl_checkpoint++, &k, 1);
}

sb_keyed *
ttl_reopen(sb_keyed *k, const sb_state_options *o)
{
  ttl_commit(k);
  k = reopen(k, 0);
  if (o != NULL)
    (void)ttl_register(k, o);
  return k;
}

uint64_t
ttl_bytes(sb_keyed *k)
{
  sb_keyed_stats stats;

  memset(&stats, 0, sizeof stats);
  stats.struct_size = sizeof stats;
  check_ok(k->ops->stats(k, &stats));
  return stats.segment_bytes;
}

int
ttl_wait_bytes(sb_keyed *k, uint64_t bytes)
{
  double until = seconds() + 5.0;

  while (ttl_bytes(k) > bytes) {
    if (seconds() > until) {
      tap_note("%llu bytes are left, %llu were expected",
               (unsigned long long)ttl_bytes(k), (unsigned long long)bytes);
      return 0;
    }
    ttl_commit(k);
    pause_ms(5);
  }
  return 1;
}

sb_slice
ttl_value(unsigned i, size_t len, uint64_t stamp)
{
  static char value[65536];
  size_t at = 0, n;

  if (stamp != UINT64_MAX)
    for (; at < 8; at++)
      value[at] = (char)(stamp >> (56 - 8 * at));
  n = at + (size_t)snprintf(value + at, 32, "value-%u", i);
  for (; n < len; n++)
    value[n] = (char)(i * 31 + n * n * 7 + (n >> 3) * i);
  return sb_slice_of(value, n);
}

void
ttl_put(sb_keyed *k, uint32_t state, unsigned i, size_t len, uint64_t stamp,
        uint64_t expires_ms)
{
  sb_key key = make_key(state, i);
  sb_slice value = ttl_value(i, len, stamp);

  check_ok(k->ops->put(k, &key, value, expires_ms, &err));
}

int
ttl_has(sb_keyed *k, uint32_t state, unsigned i)
{
  sb_key key = make_key(state, i);
  sb_slice value;
  sb_status status = k->ops->get(k, &key, &value, &err);

  if (status != SB_NOT_FOUND)
    check_ok(status);
  return status == SB_OK;
}

uint64_t
now(void)
{
  return atomic_load(&ttl_now);
}

void
forward(uint64_t ms)
{
  atomic_fetch_add(&ttl_now, ms);
}

sb_state_options
stamped(const char *name, uint32_t kind)
{
  sb_state_options o = ttl_options(name, kind);

  o.time_kind = SB_TIME_STAMP;
  o.ttl_ms = TTL;
  return o;
}
