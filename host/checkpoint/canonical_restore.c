/* SPDX-License-Identifier: Apache-2.0 */
/* Puts the rows of a canonical savepoint into a keyed handle. */
#include "config.h"

#include "host/checkpoint/canonical.h"
#include "host/state/spec.h"

typedef struct restore_target {
  sb_canonical_target to;
  uint32_t skip;
  uint32_t kind;
  uint32_t version; /* of the stream's values, for migrate */
  uint32_t stamped; /* the row's time goes with the record */
} restore_target;

typedef struct canonical_restore {
  sb_keyed *keyed;
  sb_canonical_reader *reader;
  restore_target *targets;
  uint32_t count;
  buf value;        /* migrated */
  sb_error *err;
} canonical_restore;

/* ---- states ------------------------------------------------------------ */

/* A state that nobody has registered is kept as it was. */
static sb_status
restore_register(const canonical_restore *c, const sb_canonical_info *info,
                 uint32_t *state)
{
  const sb_state_options options = {
    .struct_size = sizeof options,
    .kind = info->kind,
    .flags = info->state_flags,
    .schema_version = info->schema_version,
    .name = info->name,
    .blob = info->blob,
    .time_kind = info->time_kind,
    .time_offset = info->time_offset,
    .ttl_ms = info->ttl_ms,
  };
  sb_state_info made = { .struct_size = sizeof made };
  sb_status status = c->keyed->ops->register_state(c->keyed, &options, &made,
                                                   c->err);

  *state = made.id;
  return status;
}

static sb_status
restore_find(const canonical_restore *c, const sb_canonical_info *info,
             uint32_t *state)
{
  sb_state_info found = { .struct_size = sizeof found };
  sb_status status;

  status = c->keyed->ops->state_find(c->keyed, info->name, &found, c->err);
  if (status == SB_NOT_FOUND || (status == SB_OK && !found.registered))
    return restore_register(c, info, state);
  *state = found.id;
  return status;
}

/* What the handle knows of one of its states. */
static sb_status
restore_state_info(const canonical_restore *c, uint32_t id,
                   sb_state_info *info)
{
  sb_status status = SB_OK;
  uint32_t i;

  for (i = 0; status == SB_OK; i++) {
    memset(info, 0, sizeof *info);
    info->struct_size = sizeof *info;
    status = c->keyed->ops->state_at(c->keyed, i, info, c->err);
    if (status == SB_OK && info->id == id)
      return SB_OK;
    if (status == SB_NOT_FOUND) /* dropped */
      status = SB_OK;
  }
  if (status != SB_END)
    return status;
  return sb_error_set(c->err, SB_INVALID, "cannot restore a canonical "
                      "savepoint into state %#x: there is none",
                      (unsigned)id);
}

static sb_status
restore_mismatch(const canonical_restore *c, const sb_canonical_info *from,
                 const char *what, uint32_t has, uint32_t wants)
{
  return sb_error_set(c->err, SB_MISMATCH, "cannot restore state \"%.*s\" of "
                      "a canonical savepoint: its %s is %u, that of the "
                      "registered state %u", (int)from->name.len,
                      (const char *)from->name.data, what, (unsigned)has,
                      (unsigned)wants);
}

/* The caller's schema version: of lists the number has more in it. */
static uint32_t
restore_version(uint32_t kind, uint32_t version, sb_slice blob)
{
  const sb_state_info info = { .struct_size = sizeof info, .kind = kind,
                               .schema_version = version, .blob = blob };
  spec_stored stored;

  spec_read(&info, &stored);
  return stored.schema_version;
}

/* Times inside values are only right where they are looked for. */
static int
restore_times_fit(const sb_canonical_info *from, const sb_state_info *to)
{
  int from_inside = from->time_kind == SB_TIME_VALUE;
  int to_inside = to->time_kind == SB_TIME_VALUE;

  if (from->flags & SB_CANONICAL_TIMED)
    return from->time_kind == to->time_kind;
  return from->encoding == SB_CANONICAL_VERBATIM || from_inside == to_inside;
}

static sb_status
restore_check(const canonical_restore *c, const sb_canonical_info *from,
              const sb_state_info *to, restore_target *target)
{
  uint32_t has = restore_version(from->kind, from->schema_version, from->blob);
  uint32_t wants = restore_version(to->kind, to->schema_version, to->blob);

  if (from->kind != to->kind)
    return restore_mismatch(c, from, "kind", from->kind, to->kind);
  if (!restore_times_fit(from, to))
    return restore_mismatch(c, from, "kind of time", from->time_kind,
                            to->time_kind);
  if (has > wants || (has < wants && target->to.migrate == NULL))
    return restore_mismatch(c, from, "schema version", has, wants);
  if (has == wants)
    target->to.migrate = NULL;
  target->kind = to->kind;
  target->version = from->schema_version;
  target->stamped = (from->flags & SB_CANONICAL_TIMED) != 0 &&
                    to->time_kind != SB_TIME_VALUE;
  return SB_OK;
}

static sb_status
restore_resolve(canonical_restore *c, uint32_t id,
                sb_canonical_resolve *resolve, void *arg)
{
  restore_target *target = &c->targets[id];
  sb_canonical_info info = { .struct_size = sizeof info };
  sb_state_info to;
  sb_status status = sb_canonical_reader_state(c->reader, id, &info, c->err);

  if (status != SB_OK)
    return status;
  target->to.struct_size = sizeof target->to;
  if (resolve == NULL) {
    status = restore_find(c, &info, &target->to.state);
  } else {
    status = resolve(arg, &info, &target->to, c->err);
    if (status == SB_NOT_FOUND) {
      target->skip = 1;
      return SB_OK;
    }
  }
  if (status == SB_OK)
    status = restore_state_info(c, target->to.state, &to);
  return status == SB_OK ? restore_check(c, &info, &to, target) : status;
}

/* ---- rows -------------------------------------------------------------- */

static sb_status
restore_take(void *arg, const void *data, size_t len)
{
  buf *b = arg;

  buf_add(b, data, len);
  return b->status;
}

static sb_status
restore_migrate(canonical_restore *c, const restore_target *target,
                sb_slice *value)
{
  sb_status status;

  buf_clear(&c->value);
  status = target->to.migrate(target->to.migrate_arg, target->version, *value,
                              restore_take, &c->value);
  if (status == SB_OK)
    status = c->value.status;
  if (status != SB_OK)
    return sb_error_set(c->err, status, "could not migrate a value of a "
                        "canonical savepoint from schema version %u",
                        (unsigned)target->version);
  *value = sb_slice_of(c->value.data, c->value.len);
  return SB_OK;
}

static sb_status
restore_row(canonical_restore *c, const sb_canonical_row *row)
{
  const restore_target *target = &c->targets[row->state];
  const sb_keyed_ops *ops = c->keyed->ops;
  const sb_key key = { .state = target->to.state,
                       .key_group = row->key_group, .key = row->key,
                       .ns = row->ns, .subkey = row->subkey };
  uint64_t expires_ms = target->stamped ? row->time_ms : 0;
  sb_slice value = row->value;
  sb_status status = SB_OK;

  if (target->skip)
    return SB_OK;
  if (target->to.migrate != NULL && target->kind != SB_STATE_TIMER)
    status = restore_migrate(c, target, &value);
  if (status != SB_OK)
    return status;
  if (target->kind == SB_STATE_LIST)
    return ops->append(c->keyed, &key, value, expires_ms, c->err);
  return ops->put(c->keyed, &key, value, expires_ms, c->err);
}

static sb_status
restore_rows(canonical_restore *c)
{
  sb_canonical_row row;
  sb_status status;

  while ((status = sb_canonical_reader_next(c->reader, &row, c->err)) == SB_OK)
    if ((status = restore_row(c, &row)) != SB_OK)
      break;
  return status == SB_END ? SB_OK : status;
}

static uint32_t
restore_count(const canonical_restore *c)
{
  sb_canonical_info info = { .struct_size = sizeof info };
  uint32_t count = 0;

  while (sb_canonical_reader_state(c->reader, count, &info, NULL) == SB_OK)
    count++;
  return count;
}

sb_status
sb_canonical_restore(sb_keyed *keyed, sb_canonical_reader *from,
                     sb_canonical_resolve *resolve, void *arg, sb_error *err)
{
  canonical_restore c = { .keyed = keyed, .reader = from, .err = err };
  const sb_host *host;
  sb_status status = SB_OK;
  uint32_t i;

  if (keyed == NULL || from == NULL)
    return sb_error_set(err, SB_INVALID, "cannot restore a canonical "
                        "savepoint: no keyed handle or reader");
  if (!SB_KEYED_HAS(keyed, state_at))
    return sb_error_set(err, SB_UNSUPPORTED, "this backend cannot restore "
                        "canonical savepoints: it does not list states");
  host = canonical_reader_host(from);
  buf_init(&c.value, host, SB_VALUE_MAX);
  c.count = restore_count(&c);
  c.targets = mem_zalloc(host, (c.count + 1u) * sizeof *c.targets);
  if (c.targets == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not restore a canonical "
                        "savepoint: out of memory");
  for (i = 0; i < c.count && status == SB_OK; i++)
    status = restore_resolve(&c, i, resolve, arg);
  if (status == SB_OK)
    status = restore_rows(&c);
  mem_free(host, c.targets);
  buf_dispose(&c.value);
  return status;
}
