/* SPDX-License-Identifier: Apache-2.0 */
/* Opening states by a spec; see spec.h. */
#include "config.h"

#include "host/state/spec.h"
#include "host/state/ttl.h"

#define SPEC_MAGIC "SBS1"
#define SPEC_LIST_VERSIONS 256u /* changes that fit below a schema version */

static const char *const spec_type_names[] = { "key", "namespace", "subkey",
                                               "value" };

/* ---- the blob ----------------------------------------------------------- */

static void
spec_read_blob(sb_slice blob, spec_stored *stored)
{
  reader r = reader_of(blob.data, blob.len);
  sb_slice magic = reader_bytes(&r, 4);
  uint8_t flags = reader_u8(&r);
  size_t i;

  stored->schema_version = reader_u32(&r);
  stored->stamped_ms = reader_u64(&r);
  for (i = 0; i < 4; i++)
    stored->types[i] = reader_slice(&r);
  stored->nulls = flags & SPEC_BLOB_NULLS;
  if (r.bad || memcmp(magic.data, SPEC_MAGIC, 4) != 0 ||
      (flags & ~SPEC_BLOB_NULLS) != 0) {
    memset(stored, 0, sizeof *stored);
    stored->foreign = 1;
  }
}

void
spec_read(const sb_state_info *info, spec_stored *stored)
{
  uint32_t version = info->restored && !info->registered
                       ? info->restored_version
                       : info->schema_version;
  int list = info->kind == SB_STATE_LIST;

  memset(stored, 0, sizeof *stored);
  if (info->blob.len != 0)
    spec_read_blob(info->blob, stored);
  else
    stored->foreign = list && version != 0;
  stored->known = 1;
  stored->blob = info->blob;
  stored->time_kind = info->time_kind;
  /* The blob is the restored one, but values are newer by now. */
  if (info->restored && info->registered &&
      info->restored_version != info->schema_version)
    stored->types[3] = sb_slice_of(NULL, 0);
  if (stored->foreign || !list)
    stored->schema_version = version;
  else
    stored->changes = version % SPEC_LIST_VERSIONS;
}

static int
spec_says_nothing(const spec_stored *s)
{
  return s->nulls == 0 && s->schema_version == 0 && s->stamped_ms == 0 &&
         s->types[0].len == 0 && s->types[1].len == 0 &&
         s->types[2].len == 0 && s->types[3].len == 0;
}

/* The blob of what is true from now on. */
static sb_status
spec_write(const spec_stored *s, const sb_host *host, sb_slice *blob)
{
  sb_status status;
  buf b;
  size_t i;

  *blob = sb_slice_of(NULL, 0);
  if (s->foreign) {
    blob->data = mem_dup(host, s->blob.data, s->blob.len);
    blob->len = s->blob.len;
    return blob->data == NULL ? SB_NO_MEMORY : SB_OK;
  }
  if (spec_says_nothing(s))
    return SB_OK;
  buf_init(&b, host, 1u << 20);
  buf_add(&b, SPEC_MAGIC, 4);
  buf_u8(&b, s->nulls ? SPEC_BLOB_NULLS : 0);
  buf_u32(&b, s->schema_version);
  buf_u64(&b, s->stamped_ms);
  for (i = 0; i < 4; i++)
    buf_slice(&b, s->types[i]);
  status = b.status;
  if (status == SB_OK)
    *blob = sb_slice_of(b.data, b.len);
  else
    buf_dispose(&b);
  return status;
}

/* ---- checks of the spec alone ------------------------------------------- */

static sb_status
spec_check_flags(const sb_state_spec *s, uint32_t kind, sb_error *err)
{
  uint32_t allowed = SB_SPEC_MOSTLY_HIT | SB_SPEC_MIGRATE_NOW;

  if (kind == SB_STATE_MAP)
    allowed |= SB_SPEC_NULLS;
  if (kind == SB_STATE_VALUE)
    allowed |= SB_SPEC_DEFAULT;
  if (s->flags & ~allowed)
    return sb_fail(err, SB_INVALID, "cannot open state \"%s\": flags %#x are "
                   "not for %s", s->name, (unsigned)(s->flags & ~allowed),
                   state_kind_name(kind));
  if (kind == SB_STATE_LIST &&
      s->schema_version > UINT32_MAX / SPEC_LIST_VERSIONS)
    return sb_fail(err, SB_INVALID, "cannot open list \"%s\" with schema "
                   "version %u: %u is the highest", s->name,
                   (unsigned)s->schema_version,
                   UINT32_MAX / SPEC_LIST_VERSIONS);
  if ((kind == SB_STATE_REDUCING || kind == SB_STATE_AGGREGATING) &&
      s->fold == NULL)
    return sb_fail(err, SB_INVALID, "cannot open %s \"%s\" without a fold "
                   "function", state_kind_name(kind) + 2, s->name);
  return SB_OK;
}

static sb_status
spec_check_ttl(sb_state_spec *s, sb_error *err)
{
  if (s->ttl_update == 0)
    s->ttl_update = SB_TTL_WRITE;
  if (s->ttl_visibility == 0)
    s->ttl_visibility = SB_TTL_NEVER;
  if (s->ttl_time == 0)
    s->ttl_time = SB_TTL_PROCESSING;
  if ((s->ttl_update != SB_TTL_WRITE && s->ttl_update != SB_TTL_READ_WRITE) ||
      (s->ttl_visibility != SB_TTL_NEVER &&
       s->ttl_visibility != SB_TTL_UNLESS_CLEANED) ||
      (s->ttl_time != SB_TTL_PROCESSING && s->ttl_time != SB_TTL_EVENT))
    return sb_fail(err, SB_INVALID, "cannot open state \"%s\": there is no "
                   "time to live with update %u, visibility %u, time %u",
                   s->name, (unsigned)s->ttl_update,
                   (unsigned)s->ttl_visibility, (unsigned)s->ttl_time);
  return SB_OK;
}

sb_status
spec_copy(const sb_state_spec *from, uint32_t kind, sb_state_spec *to,
          sb_error *err)
{
  sb_status status;
  size_t size;

  if (from == NULL)
    return state_need(NULL, "the spec of a state", err);
  size = from->struct_size < sizeof *to ? from->struct_size : sizeof *to;
  if (size < offsetof(sb_state_spec, key_type))
    return sb_fail(err, SB_INVALID, "cannot open a state: the spec's "
                   "struct_size is %u", (unsigned)from->struct_size);
  memset(to, 0, sizeof *to);
  memcpy(to, from, size);
  if (to->name == NULL)
    return state_need(NULL, "the name of a state", err);
  size = strlen(to->name);
  if (size == 0 || size > SB_STATE_NAME_MAX)
    return sb_fail(err, SB_INVALID, "cannot open a state with a name of %zu "
                   "bytes: 1 to %u are allowed", size, SB_STATE_NAME_MAX);
  if (to->reserved != 0)
    return sb_fail(err, SB_INVALID, "cannot open state \"%s\": what is "
                   "reserved in the spec must be 0", to->name);
  status = spec_check_flags(to, kind, err);
  if (status == SB_OK && (to->flags & SB_SPEC_DEFAULT) != 0)
    status = slice_check(to->default_value, "the default value", err);
  return status == SB_OK ? spec_check_ttl(to, err) : status;
}

/* ---- the spec against what is stored ------------------------------------ */

static int
spec_same(sb_slice a, sb_slice b)
{
  return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static sb_slice
spec_text(const char *s)
{
  return sb_slice_of(s, s == NULL ? 0 : strlen(s));
}

static void
spec_types(const sb_state_spec *spec, sb_slice types[4])
{
  types[0] = spec_text(spec->key_type);
  types[1] = spec_text(spec->namespace_type);
  types[2] = spec_text(spec->subkey_type);
  types[3] = spec_text(spec->value_type);
}

static sb_status
spec_mismatch(const sb_state_spec *spec, const char *what, sb_slice stored,
              sb_slice given, const char *cure, sb_error *err)
{
  return sb_fail(err, SB_MISMATCH, "cannot open state \"%s\" with %ss of type "
                 "\"%.*s\": they are of type \"%.*s\"%s", spec->name, what,
                 (int)(given.len < 96 ? given.len : 96),
                 (const char *)given.data,
                 (int)(stored.len < 96 ? stored.len : 96),
                 (const char *)stored.data, cure);
}

static sb_status
spec_check_types(const sb_state_spec *spec, const spec_stored *stored,
                 sb_error *err)
{
  sb_slice types[4];
  size_t i;

  spec_types(spec, types);
  for (i = 0; i < 4; i++) {
    if (types[i].len == 0 || stored->types[i].len == 0 ||
        spec_same(types[i], stored->types[i]))
      continue;
    if (i < 3)
      return spec_mismatch(spec, spec_type_names[i], stored->types[i],
                           types[i], ", which cannot change", err);
    if (spec->schema_version <= stored->schema_version ||
        spec->migrate == NULL)
      return spec_mismatch(spec, spec_type_names[i], stored->types[i],
                           types[i], ", and to change that takes a higher "
                           "schema version and a migrate function", err);
  }
  return SB_OK;
}

/* More than a state that others have written can give. */
static int
spec_asks(const sb_state_spec *spec, uint32_t kind)
{
  sb_slice types[4];

  spec_types(spec, types);
  return types[0].len + types[1].len + types[2].len + types[3].len != 0 ||
         (spec->flags & SB_SPEC_NULLS) != 0 ||
         (kind == SB_STATE_LIST && spec->ttl_ms != 0);
}

static sb_status
spec_check_stored(const sb_state_spec *spec, uint32_t kind,
                  const spec_stored *stored, sb_error *err)
{
  int nulls = (spec->flags & SB_SPEC_NULLS) != 0;

  if (!stored->known)
    return SB_OK;
  if (stored->foreign && spec_asks(spec, kind))
    return sb_fail(err, SB_MISMATCH, "cannot open state \"%s\" with types, "
                   "nulls or a time to live: it was not written by this "
                   "interface", spec->name);
  if (spec->schema_version != 0 &&
      spec->schema_version < stored->schema_version)
    return sb_fail(err, SB_MISMATCH, "cannot open state \"%s\" with schema "
                   "version %u: it has version %u", spec->name,
                   (unsigned)spec->schema_version,
                   (unsigned)stored->schema_version);
  if (!stored->foreign && kind == SB_STATE_MAP &&
      nulls != (stored->nulls != 0))
    return sb_fail(err, SB_MISMATCH, "cannot open state \"%s\" %s null "
                   "values: it is stored %s them", spec->name,
                   nulls ? "with" : "without", nulls ? "without" : "with");
  return spec_check_types(spec, stored, err);
}

/* A state that is open, opened again. A spec that has only a name asks for
   what is there. */
static sb_status
spec_check_open(const sb_state_spec *spec, uint32_t kind,
                const state_base *base, sb_error *err)
{
  sb_state_info info = { .struct_size = sizeof info, .blob = base->blob };
  spec_stored stored;
  sb_status status;

  if (base->kind != kind)
    return sb_fail(err, SB_MISMATCH, "cannot open state \"%s\" as %s: it is "
                   "%s", spec->name, state_kind_name(kind),
                   state_kind_name(base->kind));
  info.kind = kind;
  spec_read(&info, &stored);
  stored.schema_version = base->schema_version;
  status = spec_check_types(spec, &stored, err);
  if (status != SB_OK)
    return status;
  if ((spec->flags & SB_SPEC_NULLS) != 0 && !base->nulls)
    return sb_fail(err, SB_MISMATCH, "cannot open state \"%s\" with null "
                   "values: it is open without them", spec->name);
  if (spec->ttl_ms != 0 && spec->ttl_ms != base->ttl_ms)
    return sb_fail(err, SB_MISMATCH, "cannot open state \"%s\" with a time to "
                   "live of %llu ms: it is open with %llu ms", spec->name,
                   (unsigned long long)spec->ttl_ms,
                   (unsigned long long)base->ttl_ms);
  if (spec->schema_version != 0 &&
      spec->schema_version != base->schema_version)
    return sb_fail(err, SB_MISMATCH, "cannot open state \"%s\" with schema "
                   "version %u: it is open with version %u", spec->name,
                   (unsigned)spec->schema_version,
                   (unsigned)base->schema_version);
  return SB_OK;
}

/* ---- what is true from now on ------------------------------------------- */

/* Elements get their stamps or lose them. */
static sb_status
spec_change_stamps(sb_context *context, const sb_state_spec *spec,
                   spec_stored *now, sb_error *err)
{
  int stamped = now->changes % 2 != 0;

  if (now->foreign || stamped == (spec->ttl_ms != 0))
    return SB_OK;
  if (now->changes + 1 == SPEC_LIST_VERSIONS)
    return sb_fail(err, SB_INVALID, "cannot change whether list \"%s\" has a "
                   "time to live once more: raise its schema version",
                   spec->name);
  now->changes++;
  if (stamped)
    return SB_OK;
  now->stamped_ms = spec->ttl_time == SB_TTL_EVENT
                      ? context->time_ms
                      : context->host->clock_ms(context->host);
  if (now->stamped_ms == 0)
    now->stamped_ms = 1;
  return SB_OK;
}

static sb_status
spec_merge(sb_context *context, const sb_state_spec *spec, uint32_t kind,
           const spec_stored *stored, spec_stored *now, sb_error *err)
{
  sb_slice types[4];
  size_t i;

  *now = *stored;
  if (!stored->known)
    now->nulls = (spec->flags & SB_SPEC_NULLS) != 0;
  if (kind == SB_STATE_LIST && spec->schema_version > now->schema_version)
    now->changes %= 2; /* they are counted anew */
  if (spec->schema_version != 0)
    now->schema_version = spec->schema_version;
  spec_types(spec, types);
  for (i = 0; i < 4; i++)
    if (types[i].len != 0)
      now->types[i] = types[i];
  return kind == SB_STATE_LIST ? spec_change_stamps(context, spec, now, err)
                               : SB_OK;
}

static void
spec_set_time(const sb_state_spec *spec, uint32_t kind,
              const spec_stored *now, sb_state_options *o)
{
  o->ttl_ms = spec->ttl_ms;
  if (spec->ttl_time == SB_TTL_EVENT && spec->ttl_ms != 0)
    o->flags |= SB_STATE_EVENT_TIME;
  if (kind == SB_STATE_LIST) {
    if (spec->ttl_ms != 0)
      o->time_kind = SB_TIME_VALUE;
    return;
  }
  /* Stamps that are there must not be taken for times of expiry. */
  if (spec->ttl_ms != 0 || now->time_kind == SB_TIME_STAMP)
    o->time_kind = SB_TIME_STAMP;
  if (spec->ttl_ms != 0 && spec->ttl_visibility == SB_TTL_UNLESS_CLEANED)
    o->flags |= SB_STATE_SHOW_EXPIRED;
}

static sb_status
spec_register(sb_context *context, const sb_state_spec *spec, uint32_t kind,
              const spec_stored *stored, const spec_stored *now,
              sb_slice blob, uint32_t *id, sb_error *err)
{
  sb_keyed *keyed = context->keyed;
  sb_state_options o = { .struct_size = sizeof o };
  sb_state_info info = { .struct_size = sizeof info };
  sb_status status;

  o.kind = kind;
  o.name = spec_text(spec->name);
  o.blob = blob;
  o.schema_version = now->schema_version;
  if (kind == SB_STATE_LIST && !now->foreign)
    o.schema_version = now->schema_version * SPEC_LIST_VERSIONS + now->changes;
  if (spec->flags & SB_SPEC_MOSTLY_HIT)
    o.flags |= SB_STATE_MOSTLY_HIT;
  spec_set_time(spec, kind, now, &o);
  o.migrate = spec->migrate;
  o.migrate_arg = spec->migrate_arg;
  status = SB_OK;
  if (stored->known && !now->foreign)
    status = convert_hook(context->host, spec, kind, now, &o, err);
  if (status != SB_OK)
    return status;
  if ((spec->flags & SB_SPEC_MIGRATE_NOW) != 0 && o.migrate != NULL)
    o.flags |= SB_STATE_MIGRATE_NOW;
  status = keyed->ops->register_state(keyed, &o, &info, err);
  *id = info.id;
  return status;
}

static void
spec_fill(state_base *base, const sb_state_spec *spec, uint32_t kind,
          const spec_stored *now)
{
  base->kind = kind;
  base->schema_version = now->schema_version;
  base->nulls = kind == SB_STATE_MAP && now->nulls != 0;
  base->stamped = kind == SB_STATE_LIST && spec->ttl_ms != 0;
  base->ttl_ms = spec->ttl_ms;
  base->ttl_update = spec->ttl_update;
  base->ttl_visibility = spec->ttl_visibility;
  base->ttl_time = spec->ttl_time;
  base->plain = spec->ttl_ms == 0 || base->context->read_only ||
                (spec->ttl_update == SB_TTL_WRITE &&
                 spec->ttl_visibility == SB_TTL_NEVER);
  if (spec->ttl_ms != 0 && !base->context->read_only)
    base->cleanup = spec->cleanup_per_access;
}

static sb_status
spec_look_up(sb_context *context, const sb_state_spec *spec, uint32_t kind,
             spec_stored *stored, sb_error *err)
{
  sb_keyed *keyed = context->keyed;
  sb_state_info info = { .struct_size = sizeof info };
  sb_status status = SB_NOT_FOUND;

  memset(stored, 0, sizeof *stored);
  if (SB_KEYED_HAS(keyed, state_find))
    status = keyed->ops->state_find(keyed, spec_text(spec->name), &info, err);
  if (status != SB_OK)
    return status == SB_NOT_FOUND ? SB_OK : status;
  if (info.kind != kind)
    return sb_fail(err, SB_MISMATCH, "cannot open state \"%s\" as %s: it is "
                   "%s", spec->name, state_kind_name(kind),
                   state_kind_name(info.kind));
  spec_read(&info, stored);
  return spec_check_stored(spec, kind, stored, err);
}

static sb_status
spec_new(sb_context *context, const sb_state_spec *spec, uint32_t kind,
         size_t size, state_base **out, sb_error *err)
{
  const sb_host *host = context->host;
  state_base *base = mem_zalloc(host, size);
  sb_slice blob = { NULL, 0 };
  spec_stored stored, now;
  sb_status status = SB_NO_MEMORY;

  if (base != NULL)
    base->name = mem_strdup(host, spec->name);
  if (base == NULL || base->name == NULL) {
    (void)sb_fail(err, status, "could not open state \"%s\": out of memory",
                  spec->name);
    goto fail;
  }
  base->context = context;
  status = spec_look_up(context, spec, kind, &stored, err);
  if (status == SB_OK)
    status = spec_merge(context, spec, kind, &stored, &now, err);
  if (status != SB_OK)
    goto fail;
  status = spec_write(&now, host, &blob);
  if (status != SB_OK) {
    (void)sb_fail(err, status, "could not open state \"%s\": its types take "
                  "too much memory", spec->name);
    goto fail;
  }
  status = spec_register(context, spec, kind, &stored, &now, blob, &base->id,
                         err);
  if (status != SB_OK)
    goto fail;
  spec_fill(base, spec, kind, &now);
  base->blob = blob;
  base->next = context->states;
  context->states = base;
  *out = base;
  return SB_OK;
fail:
  mem_free(host, (void *)(uintptr_t)blob.data);
  if (base != NULL)
    mem_free(host, base->name);
  mem_free(host, base);
  return status;
}

sb_status
spec_open(sb_context *context, const sb_state_spec *spec, uint32_t kind,
          size_t size, state_base **out, sb_error *err)
{
  sb_state_spec copy;
  state_base *base;
  sb_status status;

  *out = NULL;
  if (context == NULL)
    return state_need(NULL, "the context", err);
  status = spec_copy(spec, kind, &copy, err);
  if (status != SB_OK)
    return status;
  base = context_named(context, spec_text(copy.name));
  if (base == NULL)
    return spec_new(context, &copy, kind, size, out, err);
  status = spec_check_open(&copy, kind, base, err);
  if (status == SB_OK)
    *out = base;
  return status;
}
