/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixes what a canonical savepoint will hold: its states as they are now, how
 * each is written, the header, and a view of the handle.
 */
#include "config.h"

#include "host/checkpoint/canonical_write.h"
#include "host/state/spec.h"

#define CANONICAL_HEADER_MAX ((size_t)1 << 30)

static int
canonical_same(sb_slice a, sb_slice b)
{
  return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static const sb_canonical_state *
canonical_find(const sb_canonical_options *options, sb_slice name)
{
  uint64_t i;

  for (i = 0; i < options->state_count; i++)
    if (canonical_same(options->states[i].name, name))
      return &options->states[i];
  return NULL;
}

/* Times that the state keeps anyway are written as Flink's. */
static void
canonical_settle(canonical_state *s)
{
  const uint32_t offset = s->info.time_offset;
  uint32_t front = s->info.kind == SB_STATE_MAP &&
                   (s->info.flags & SB_CANONICAL_NULLABLE) ? 1 : 0;
  int has_time = (s->info.time_kind == SB_TIME_STAMP && s->info.ttl_ms != 0) ||
                 (s->info.time_kind == SB_TIME_VALUE && offset == front);

  if (s->info.kind == SB_STATE_TIMER)
    s->info.flags = SB_CANONICAL_VOID_NAMESPACE;
  if (s->info.encoding != SB_CANONICAL_BYTES ||
      s->info.kind == SB_STATE_TIMER)
    return;
  if (has_time)
    s->info.flags |= SB_CANONICAL_TIMED;
  s->time_in_value = s->info.time_kind == SB_TIME_VALUE && offset == front;
}

static sb_status
canonical_add(sb_canonical *c, const sb_state_info *info,
              const sb_canonical_state *given, sb_error *err)
{
  canonical_state s;
  spec_stored spec;

  memset(&s, 0, sizeof s);
  s.number = info->id;
  s.info.id = c->states.count;
  s.info.kind = info->kind;
  s.info.encoding = c->options.encoding;
  s.info.time_kind = info->time_kind;
  s.info.time_offset = info->time_offset;
  s.info.state_flags = info->flags & ~SB_STATE_MIGRATE_NOW;
  s.info.schema_version = info->schema_version;
  s.info.ttl_ms = info->ttl_ms;
  s.info.name = info->name;
  s.info.blob = info->blob;
  if (given != NULL) {
    if (given->encoding != 0)
      s.info.encoding = given->encoding;
    s.info.flags = given->flags;
    s.info.meta = given->meta;
    s.namespace_length = given->namespace_length;
    s.element_length = given->element_length;
  }
  spec_read(info, &spec);
  if (info->kind == SB_STATE_MAP && spec.nulls)
    s.info.flags |= SB_CANONICAL_NULLABLE;
  canonical_settle(&s);
  if (canonical_states_add(&c->states, &s) != SB_OK)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not open a canonical savepoint: out of memory");
  return SB_OK;
}

/* The states of a given header, in its order. */
static sb_status
canonical_add_given(sb_canonical *c, const sb_canonical_options *options,
                    sb_error *err)
{
  sb_status status = SB_OK;
  uint64_t i;

  for (i = 0; i < options->state_count && status == SB_OK; i++) {
    sb_state_info info = { .struct_size = sizeof info };

    status = c->keyed->ops->state_find(c->keyed, options->states[i].name,
                                       &info, err);
    if (status == SB_OK)
      status = canonical_add(c, &info, &options->states[i], err);
  }
  return status;
}

static sb_status
canonical_add_all(sb_canonical *c, const sb_canonical_options *options,
                  sb_error *err)
{
  sb_status status = SB_OK;
  uint32_t i;

  if (options->header.len != 0)
    return canonical_add_given(c, options, err);
  for (i = 0; status == SB_OK; i++) {
    sb_state_info info = { .struct_size = sizeof info };

    status = c->keyed->ops->state_at(c->keyed, i, &info, err);
    if (status == SB_OK)
      status = canonical_add(c, &info, canonical_find(options, info.name),
                             err);
    else if (status == SB_NOT_FOUND) /* dropped */
      status = SB_OK;
  }
  return status == SB_END ? SB_OK : status;
}

/* Whatever the caller's struct is long enough for. */
static sb_status
canonical_take_options(sb_canonical *c, const sb_canonical_options *given,
                       sb_error *err)
{
  sb_canonical_options *o = &c->options;
  sb_status status;

  if (given != NULL)
    memcpy(o, given, given->struct_size < sizeof *o ? given->struct_size :
                                                      sizeof *o);
  if (o->encoding == 0)
    o->encoding = SB_CANONICAL_BYTES;
  if (o->encoding != SB_CANONICAL_BYTES &&
      o->encoding != SB_CANONICAL_VERBATIM)
    return sb_error_set(err, SB_INVALID,
                        "cannot write a canonical savepoint: unknown "
                        "encoding %u", (unsigned)o->encoding);
  if (o->flags & ~SB_CANONICAL_COMPRESS)
    return sb_error_set(err, SB_INVALID, "cannot write a canonical savepoint "
                        "with flags %#x", (unsigned)o->flags);
  status = canonical_check_options(o, err);
  if (status == SB_OK && o->header.len >= 5)
    o->flags = ((const uint8_t *)o->header.data)[4] != 0 ?
               SB_CANONICAL_COMPRESS : 0;
  return status;
}

static sb_status
canonical_prepare(sb_canonical *c, const sb_canonical_options *options,
                  sb_error *err)
{
  sb_keyed *k = c->keyed;
  sb_status status;

  if (!SB_KEYED_HAS(k, describe) || !SB_KEYED_HAS(k, view_scan_close))
    return sb_error_set(err, SB_UNSUPPORTED, "this backend has no canonical "
                        "savepoints: its views cannot be scanned");
  status = canonical_take_options(c, options, err);
  c->place.struct_size = sizeof c->place;
  if (status == SB_OK)
    status = k->ops->describe(k, &c->place, err);
  if (status == SB_OK)
    status = canonical_add_all(c, &c->options, err);
  if (status == SB_OK)
    status = canonical_header_write(&c->states, &c->options, &c->header, err);
  if (status == SB_OK)
    status = k->ops->view_open(k, &c->view, err);
  /* The caller's memory is not looked at after this. */
  c->options.states = NULL;
  c->options.state_count = 0;
  c->options.key_serializer = c->options.header = sb_slice_of(NULL, 0);
  return status;
}

sb_status
sb_canonical_open(sb_keyed *keyed, const sb_host *host,
                  const sb_canonical_options *options, sb_canonical **out,
                  sb_error *err)
{
  sb_canonical *c;
  sb_status status;

  if (out == NULL)
    return sb_error_set(err, SB_INVALID, "cannot open a canonical savepoint: "
                        "no place for the result");
  *out = NULL;
  if (keyed == NULL || host == NULL)
    return sb_error_set(err, SB_INVALID, "cannot open a canonical savepoint: "
                        "no keyed handle or host");
  c = mem_zalloc(host, sizeof *c);
  if (c == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not open a canonical savepoint: out of memory");
  c->host = host;
  c->keyed = keyed;
  c->states.host = host;
  buf_init(&c->header, host, CANONICAL_HEADER_MAX);
  status = canonical_prepare(c, options, err);
  if (status != SB_OK) {
    sb_canonical_close(c);
    return status;
  }
  *out = c;
  return SB_OK;
}

void
sb_canonical_cancel(sb_canonical *c)
{
  if (c != NULL)
    atomic_store(&c->cancelled, 1);
}

void
sb_canonical_close(sb_canonical *c)
{
  if (c == NULL)
    return;
  if (c->view != NULL)
    c->keyed->ops->view_close(c->view);
  canonical_states_dispose(&c->states);
  buf_dispose(&c->header);
  mem_free(c->host, c);
}

const canonical_states *
canonical_states_of(const sb_canonical *c)
{
  return &c->states;
}

const sb_canonical_options *
canonical_options_of(const sb_canonical *c)
{
  return &c->options;
}

const sb_keyed_options *
canonical_place_of(const sb_canonical *c)
{
  return &c->place;
}

uint64_t
canonical_header_length(const sb_canonical *c)
{
  return c->header.len;
}
