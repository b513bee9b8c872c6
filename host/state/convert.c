/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Migration of states whose stored values are wrapped: elements of lists with
 * or without a stamp, values of maps that may be null. The handle calls the
 * hook, from any thread, until it is closed; the context may be gone by then,
 * so the hook's memory belongs to the handle.
 */
#include "config.h"

#include "host/state/spec.h"
#include "host/state/ttl.h"

typedef struct convert {
  const sb_host *host;
  sb_migrate_fn *fn;        /* the caller's, or NULL */
  void *arg;
  uint32_t schema_version;  /* as it is now */
  uint32_t changes;         /* lists: now */
  uint64_t stamped_ms;
} convert;

static void
convert_free(void *arg)
{
  convert *m = arg;

  mem_free(m->host, m);
}

/* The caller's part of it. */
static sb_status
convert_value(const convert *m, uint32_t from_version, sb_slice value,
              sb_give_fn *give, void *give_arg)
{
  if (m->fn == NULL || from_version == m->schema_version)
    return give(give_arg, value.data, value.len);
  return m->fn(m->arg, from_version, value, give, give_arg);
}

/* What is stamped anew while the stamps go and come back counts as written
   when they came: whatever was between has not kept the old ones. */
static sb_status
convert_element(void *arg, uint32_t version, sb_slice element,
                sb_give_fn *give, void *give_arg)
{
  const convert *m = arg;
  uint32_t from_version = version / 256, from_changes = version % 256;
  int had = from_changes % 2 != 0, has = m->changes % 2 != 0;
  int kept = had && has && from_changes == m->changes;
  uint8_t stamp[TTL_STAMP_LEN];
  sb_slice value = element;
  sb_status status = SB_OK;

  ttl_put_stamp(stamp, m->stamped_ms);
  if (had) {
    if (element.len < TTL_STAMP_LEN)
      return SB_CORRUPT;
    (void)ttl_split(element, &value);
    if (kept || from_version != m->schema_version)
      memcpy(stamp, element.data, TTL_STAMP_LEN);
  }
  if (has)
    status = give(give_arg, stamp, sizeof stamp);
  if (status != SB_OK)
    return status;
  return convert_value(m, from_version, value, give, give_arg);
}

static sb_status
convert_nullable(void *arg, uint32_t version, sb_slice value,
                 sb_give_fn *give, void *give_arg)
{
  const convert *m = arg;
  const uint8_t *p = value.data;
  sb_status status;

  if (value.len == 0)
    return SB_CORRUPT;
  if (p[0] != 0)
    return give(give_arg, value.data, value.len);
  status = give(give_arg, value.data, 1);
  if (status != SB_OK)
    return status;
  return convert_value(m, version, sb_slice_of(p + 1, value.len - 1), give,
                       give_arg);
}

sb_status
convert_hook(const sb_host *host, const sb_state_spec *spec, uint32_t kind,
             const spec_stored *stored, sb_state_options *options,
             sb_error *err)
{
  convert *m;

  if (kind != SB_STATE_LIST && !(stored->nulls && spec->migrate != NULL))
    return SB_OK;
  m = mem_zalloc(host, sizeof *m);
  if (m == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not open state \"%s\": out of memory", spec->name);
  m->host = host;
  m->fn = spec->migrate;
  m->arg = spec->migrate_arg;
  m->schema_version = stored->schema_version;
  m->changes = stored->changes;
  m->stamped_ms = stored->stamped_ms;
  options->migrate = kind == SB_STATE_LIST ? convert_element
                                           : convert_nullable;
  options->migrate_arg = m;
  options->migrate_free = convert_free;
  return SB_OK;
}
