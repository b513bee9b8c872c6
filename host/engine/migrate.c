/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calling the migrate callback: value by value where records are read, and for
 * a whole state when it is registered with SB_STATE_MIGRATE_NOW.
 */
#include "config.h"

#include "host/engine/migrate.h"
#include "host/engine/reader.h"

#define MIGRATE_AHEAD ((size_t)256 << 10)

uint32_t
migrate_version(const segment *s, const rule *r)
{
  const segment_directory *d = atomic_load_explicit(&s->directory,
                                                    memory_order_acquire);
  uint32_t from;

  if (d == NULL || segment_directory_schema(d, r->state, &from) != SB_OK)
    return r->schema_version;
  return from;
}

static sb_status
migrate_failed(keyed *k, const rule *r, uint32_t from, sb_status status,
               sb_error *err)
{
  const state *s;
  sb_slice name = { "", 0 };

  keyed_lock(k);
  s = keyed_state_by_id(k, r->state);
  if (s != NULL)
    name = s->name; /* lives as long as the handle */
  keyed_unlock(k);
  /* Some numbers steer the callers of this: they must not come from here. */
  if (status == SB_NOT_FOUND || status == SB_END || status == SB_BUSY ||
      status == SB_CORRUPT || status > 0)
    return sb_error_set(err, SB_INVALID, "could not migrate a value of state "
                        "\"%.*s\" from schema version %u to %u: the callback "
                        "returned %s", (int)name.len, (const char *)name.data,
                        (unsigned)from, (unsigned)r->schema_version,
                        sb_status_name(status));
  return sb_error_set(err, status, "could not migrate a value of state "
                      "\"%.*s\" from schema version %u to %u: %s",
                      (int)name.len, (const char *)name.data,
                      (unsigned)from, (unsigned)r->schema_version,
                      sb_status_name(status));
}

static sb_status
migrate_one(const rule *r, uint32_t from, sb_slice value, buf *out)
{
  sb_status status = r->migrate(r->migrate_arg, from, value, buf_give, out);

  return status == SB_OK ? out->status : status;
}

static sb_status
migrate_list(const rule *r, uint32_t from, sb_slice list, buf *out)
{
  sb_slice element, whole;
  sb_status status = SB_OK;
  size_t at = 0, start;

  while (status == SB_OK && rule_next_element(list, &at, &element, &whole)) {
    start = out->len;
    buf_u32(out, 0);
    status = migrate_one(r, from, element, out);
    if (status == SB_OK)
      store_u32(out->data + start, (uint32_t)(out->len - start - 4));
  }
  return status;
}

sb_status
migrate_value(keyed *k, const segment *s, const rule *r, sb_slice *value,
              buf *out, sb_error *err)
{
  uint32_t from = migrate_version(s, r);
  sb_status status;

  if (r->migrate == NULL || from >= r->schema_version)
    return SB_OK;
  buf_clear(out);
  status = r->kind == SB_STATE_LIST ? migrate_list(r, from, *value, out)
                                    : migrate_one(r, from, *value, out);
  if (status == SB_OK && out->len > SB_VALUE_MAX)
    status = SB_TOO_LARGE;
  if (status != SB_OK)
    return migrate_failed(k, r, from, status, err);
  *value = sb_slice_of(out->data, out->len);
  return SB_OK;
}

int
migrate_rule(keyed *k, uint32_t state_id, rule *out)
{
  const state *s;

  memset(out, 0, sizeof *out);
  out->state = state_id;
  if (atomic_load_explicit(&k->migrating, memory_order_relaxed) == 0)
    return 0;
  keyed_lock(k);
  s = keyed_state_by_id(k, state_id);
  if (s != NULL) {
    out->kind = s->kind;
    out->schema_version = s->schema_version;
    out->migrate = s->migrate;
    out->migrate_arg = s->migrate_arg;
  }
  keyed_unlock(k);
  return out->migrate != NULL;
}

sb_status
migrate_lookup(keyed *k, const segment *s, const state *st, sb_slice *value,
               buf *out, sb_error *err)
{
  rule r;

  if (!migrate_rule(k, st->id, &r))
    return SB_OK;
  return migrate_value(k, s, &r, value, out, err);
}

void
migrate_forget_stale(keyed *k)
{
  size_t i;

  for (i = 0; i < k->live->count; i++)
    atomic_store(&k->live->views[i].segment->left_alone, 0);
}

/* ---- a whole state ------------------------------------------------------- */

typedef struct migrate_pass {
  keyed *keyed;
  state *state;
  rule rule;
  version *version; /* pinned */
  reader_ctx reader;
} migrate_pass;

/* A record of an older version, of which memory has nothing newer, becomes a
   cell. */
static sb_status
migrate_record(migrate_pass *m, merge *from, sb_error *err)
{
  keyed *k = m->keyed;
  const run *source = &from->runs[from->current];
  sb_status status;
  cell *found;
  place p;

  if ((from->record.flags & (RECORD_TOMBSTONE | RECORD_CLEAR)) ||
      migrate_version(source->segment, &m->rule) >= m->rule.schema_version)
    return SB_OK;
  keyed_place_record(k, m->state, &from->record, &p);
  status = keyed_peek(k, &p, &found);
  if (status != SB_BUSY)
    return SB_OK;
  status = merge_migrate(from, err);
  if (status != SB_OK)
    return status;
  return write_cell(k, &p, from->record.value, 0, from->record.expires_ms, 0,
                    NULL, err);
}

static sb_status
migrate_key_group(migrate_pass *m, uint32_t key_group, sb_error *err)
{
  keyed *k = m->keyed;
  record first = { .state = m->state->id, .key_group = (uint16_t)key_group,
                   .flags = RECORD_CLEAR };
  sb_status status = SB_OK;
  segment **runs;
  size_t count, i;
  merge from;

  runs = version_runs(m->version, key_group, &count);
  if (count == 0)
    return SB_OK;
  if (merge_init(&from, k->host, count) != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY, "could not migrate: no memory");
  for (i = 0; i < count; i++)
    run_init(&from.runs[i], &m->reader, runs[i], key_group, MIGRATE_AHEAD);
  for (i = 0; i < count && status == SB_OK; i++) {
    status = run_seek(&from.runs[i], &first, err);
    if (status == SB_END)
      status = SB_OK;
  }
  if (status == SB_OK)
    status = merge_first(&from, err);
  while (status == SB_OK && from.record.state == m->state->id) {
    status = migrate_record(m, &from, err);
    if (status == SB_OK)
      status = merge_next(&from, err);
  }
  merge_dispose(&from, k->host);
  return status == SB_END ? SB_OK : status;
}

sb_status
migrate_state_now(keyed *k, state *s, sb_error *err)
{
  migrate_pass m = { .keyed = k, .state = s };
  sb_status status = SB_OK;
  uint32_t g;

  if (!s->restored || !migrate_rule(k, s->id, &m.rule))
    return SB_OK;
  m.reader.keyed = k;
  m.reader.priority = SB_PRIORITY_READ;
  /* Of its own: making room waits on the handle's. */
  m.reader.event = k->host->event_new(k->host);
  if (m.reader.event == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not migrate: no memory");
  keyed_lock(k);
  m.version = k->version;
  m.version->refs++;
  keyed_unlock(k);
  for (g = k->key_group_first; g <= k->key_group_last && status == SB_OK; g++)
    status = migrate_key_group(&m, g, err);
  keyed_lock(k);
  version_unref(k, m.version);
  keyed_unlock(k);
  k->host->event_free(k->host, m.reader.event);
  return status;
}
