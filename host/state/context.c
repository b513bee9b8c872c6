/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sb_context: the current key and namespace over a keyed handle, and the
 * states that were opened with it.
 */
#include "config.h"

#include "host/state/batch.h"
#include "host/state/iterator.h"
#include "host/state/spec.h"
#include "host/state/ttl.h"
#include "host/state/visitor.h"

const char *
state_kind_name(uint32_t kind)
{
  switch (kind) {
  case SB_STATE_VALUE:
    return "a value";
  case SB_STATE_LIST:
    return "a list";
  case SB_STATE_MAP:
    return "a map";
  case SB_STATE_REDUCING:
    return "a reducing state";
  case SB_STATE_AGGREGATING:
    return "an aggregating state";
  case SB_STATE_TIMER:
    return "a queue";
  default:
    return "of an unknown kind";
  }
}

sb_status
state_refuse(const state_base *base, uint32_t kind, sb_error *err)
{
  if (base == NULL)
    return sb_fail(err, SB_INVALID, "cannot use %s that is NULL",
                   state_kind_name(kind));
  if (base->kind == 0)
    return sb_fail(err, SB_INVALID,
                   "cannot use state \"%s\": it was dropped", base->name);
  return sb_fail(err, SB_INVALID, "cannot use state \"%s\" as %s: it is %s",
                 base->name, state_kind_name(kind),
                 state_kind_name(base->kind));
}

sb_status
state_need(const void *pointer, const char *what, sb_error *err)
{
  return pointer != NULL
           ? SB_OK
           : sb_fail(err, SB_INVALID, "cannot go on: %s is NULL", what);
}

void
buf_trim(buf *b, size_t keep)
{
  const sb_host *host = b->host;
  size_t max = b->max;

  buf_clear(b);
  if (b->cap <= keep)
    return;
  buf_dispose(b);
  buf_init(b, host, max);
}

static int
context_is_read_only(sb_keyed *keyed)
{
  sb_keyed_options options = { .struct_size = sizeof options };

  return SB_KEYED_HAS(keyed, describe) &&
         keyed->ops->describe(keyed, &options, NULL) == SB_OK &&
         (options.flags & SB_OPEN_READ_ONLY) != 0;
}

sb_status
sb_context_new(sb_keyed *keyed, const sb_host *host, uint32_t key_group_count,
               uint32_t key_group_first, uint32_t key_group_last,
               sb_context **out, sb_error *err)
{
  sb_context *context;

  if (out == NULL)
    return state_need(NULL, "where to put the context", err);
  *out = NULL;
  if (keyed == NULL || host == NULL)
    return state_need(NULL, keyed == NULL ? "the handle" : "the host", err);
  if (key_group_count == 0 || key_group_count > SB_KEY_GROUPS_MAX ||
      key_group_first > key_group_last || key_group_last >= key_group_count)
    return sb_fail(err, SB_INVALID,
                   "cannot open state: key groups %u to %u of %u",
                   key_group_first, key_group_last, key_group_count);
  context = mem_zalloc(host, sizeof *context);
  if (context == NULL)
    return sb_fail(err, SB_NO_MEMORY, "could not open state: out of memory");
  context->keyed = keyed;
  context->host = host;
  if (SB_KEYED_HAS(keyed, prefetch))
    context->prefetch = keyed->ops->prefetch;
  context->read_only = (uint8_t)context_is_read_only(keyed);
  context->key_group_count = key_group_count;
  context->key_group_first = key_group_first;
  context->key_group_last = key_group_last;
  buf_init(&context->key, host, SB_KEY_MAX);
  buf_init(&context->ns, host, SB_NAMESPACE_MAX);
  buf_init(&context->reading, host, (size_t)SB_VALUE_MAX + 64);
  buf_init(&context->writing, host, (size_t)SB_VALUE_MAX + 64);
  *out = context;
  return SB_OK;
}

static void
context_free_state(sb_context *context, state_base *base)
{
  if (base->dispose != NULL)
    base->dispose(base);
  ttl_stop(base);
  mem_free(context->host, (void *)(uintptr_t)base->blob.data);
  mem_free(context->host, base->name);
  mem_free(context->host, base);
}

void
sb_context_free(sb_context *context)
{
  state_base *base, *next;

  if (context == NULL)
    return;
  batch_drain(context);
  while (context->iterators != NULL)
    sb_iterator_close(context->iterators);
  while (context->visitors != NULL)
    sb_visitor_close(context->visitors);
  for (base = context->states; base != NULL; base = next) {
    next = base->next;
    context_free_state(context, base);
  }
  buf_dispose(&context->key);
  buf_dispose(&context->ns);
  buf_dispose(&context->reading);
  buf_dispose(&context->writing);
  mem_free(context->host, context);
}

/* Room for `size` bytes without changing what is there. */
static sb_status
context_reserve(buf *b, size_t size)
{
  size_t len = b->len;

  b->status = SB_OK;
  if (size > len)
    (void)buf_extend(b, size - len);
  b->len = len;
  return b->status;
}

static void
context_fill(buf *b, sb_slice slice)
{
  b->len = slice.len;
  if (slice.data != b->data)
    bytes_copy(b->data, slice.data, slice.len);
}

static sb_status
context_fail(sb_error *err, sb_status status, const char *what, size_t len)
{
  if (status == SB_NO_MEMORY)
    return sb_fail(err, status, "could not set the %s: out of memory", what);
  return sb_fail(err, status, "cannot set a %s of %zu bytes: the limit is %u",
                 what, len, SB_KEY_MAX);
}

sb_status
context_reserve_move(sb_context *context, sb_slice key, sb_slice ns,
                     sb_error *err)
{
  sb_status status = context_reserve(&context->key, key.len);

  if (status != SB_OK)
    return context_fail(err, status, "key", key.len);
  status = context_reserve(&context->ns, ns.len);
  return status == SB_OK ? SB_OK
                         : context_fail(err, status, "namespace", ns.len);
}

void
context_move(sb_context *context, uint32_t key_group, sb_slice key,
             sb_slice ns)
{
  context_fill(&context->key, key);
  context_fill(&context->ns, ns);
  context->key_group = key_group;
  context->has_key = 1;
}

/* Most often the next call is on the state that the last one was on: its memory
   is fetched while the caller gets there. */
static void
context_prefetch(const sb_context *context)
{
  sb_key place = { .state = context->used, .key_group = context->key_group };

  if (context->prefetch == NULL)
    return;
  place.key = sb_slice_of(context->key.data, context->key.len);
  place.ns = sb_slice_of(context->ns.data, context->ns.len);
  context->prefetch(context->keyed, &place);
}

/* Says what is wrong with a key. */
static __attribute__((noinline)) sb_status
context_refuse_key(const sb_context *context, sb_slice key, uint32_t key_group,
                   sb_error *err)
{
  if (slice_bad(key))
    return slice_refuse(key, "the key", err);
  return sb_fail(err, SB_INVALID,
                 "cannot set a key of key group %u: this subtask has %u "
                 "to %u", key_group, context->key_group_first,
                 context->key_group_last);
}

sb_status
sb_context_set_key_hash(sb_context *context, sb_slice key, int32_t hash,
                        sb_error *err)
{
  uint32_t key_group;
  sb_status status;

  if (context == NULL)
    return state_need(NULL, "the context", err);
  key_group = sb_key_group(hash, context->key_group_count);
  if (key_group < context->key_group_first ||
      key_group > context->key_group_last || slice_bad(key))
    return context_refuse_key(context, key, key_group, err);
  status = context_reserve(&context->key, key.len);
  if (status != SB_OK)
    return context_fail(err, status, "key", key.len);
  context_fill(&context->key, key);
  context->key_group = key_group;
  context->has_key = 1;
  context_prefetch(context);
  return SB_OK;
}

sb_status
sb_context_set_key(sb_context *context, sb_slice key, sb_error *err)
{
  return sb_context_set_key_hash(context, key, sb_hash_bytes(key), err);
}

sb_slice
sb_context_key(const sb_context *context)
{
  return context == NULL ? sb_slice_of(NULL, 0)
                         : sb_slice_of(context->key.data, context->key.len);
}

sb_slice
sb_context_namespace(const sb_context *context)
{
  return context == NULL ? sb_slice_of(NULL, 0)
                         : sb_slice_of(context->ns.data, context->ns.len);
}

sb_status
sb_context_set_row(sb_context *context, const sb_row *row, sb_error *err)
{
  sb_status status;

  if (context == NULL || row == NULL)
    return state_need(NULL, context == NULL ? "the context" : "the row", err);
  status = slice_check(row->key, "the key of a row", err);
  if (status == SB_OK)
    status = slice_check(row->ns, "the namespace of a row", err);
  if (status != SB_OK)
    return status;
  status = context_reserve_move(context, row->key, row->ns, err);
  if (status == SB_OK)
    context_move(context, row->key_group, row->key, row->ns);
  return status;
}

sb_status
sb_context_set_time(sb_context *context, int64_t time_ms, sb_error *err)
{
  sb_keyed *keyed;

  if (context == NULL)
    return state_need(NULL, "the context", err);
  keyed = context->keyed;
  if (time_ms <= 0 || (uint64_t)time_ms <= context->time_ms)
    return SB_OK;
  context->time_ms = (uint64_t)time_ms;
  if (!SB_KEYED_HAS(keyed, advance_time))
    return SB_OK;
  return keyed->ops->advance_time(keyed, (uint64_t)time_ms, err);
}

sb_status
sb_context_set_namespace(sb_context *context, sb_slice ns, sb_error *err)
{
  sb_status status;

  if (context == NULL)
    return state_need(NULL, "the context", err);
  if (slice_bad(ns))
    return slice_refuse(ns, "the namespace", err);
  status = context_reserve(&context->ns, ns.len);
  if (status != SB_OK)
    return context_fail(err, status, "namespace", ns.len);
  context_fill(&context->ns, ns);
  if (context->has_key)
    context_prefetch(context);
  return SB_OK;
}

/* ---- states ------------------------------------------------------------- */

state_base *
context_named(const sb_context *context, sb_slice name)
{
  state_base *base = context->states;

  while (base != NULL &&
         (base->kind == 0 || strlen(base->name) != name.len ||
          memcmp(base->name, name.data, name.len) != 0))
    base = base->next;
  return base;
}

sb_status
context_open(sb_context *context, const char *name, uint32_t kind,
             size_t size, state_base **out, sb_error *err)
{
  sb_state_spec spec = { .struct_size = sizeof spec };

  spec.name = name;
  return spec_open(context, &spec, kind, size, out, err);
}

sb_status
context_lookup(sb_context *context, const char *name, uint32_t *id,
               sb_error *err)
{
  sb_state_info info = { .struct_size = sizeof info };
  sb_slice slice = sb_slice_of(name, name == NULL ? 0 : strlen(name));
  state_base *base;
  sb_status status = SB_NOT_FOUND;

  if (name == NULL)
    return state_need(NULL, "the name of a state", err);
  base = context_named(context, slice);
  if (base != NULL) {
    *id = base->id;
    return SB_OK;
  }
  if (SB_KEYED_HAS(context->keyed, state_find))
    status = context->keyed->ops->state_find(context->keyed, slice, &info,
                                             err);
  if (status == SB_NOT_FOUND)
    return sb_fail(err, status, "there is no state \"%s\"", name);
  *id = info.id;
  return status;
}

sb_status
context_refuse_place(sb_error *err)
{
  return sb_fail(err, SB_INVALID, "cannot use state: no current key is set");
}

sb_status
context_check_merge(sb_slice target, const sb_slice *sources, size_t count,
                    sb_error *err)
{
  sb_status status = slice_check(target, "the target namespace", err);

  return status != SB_OK
           ? status
           : slices_check(sources, count, "source namespace", err);
}

sb_status
context_scan_options(const state_base *base, sb_scan_options *options,
                     sb_error *err)
{
  sb_key place = { .state = 0 };
  sb_status status = context_place(base, sb_slice_of(NULL, 0), &place, err);

  if (status != SB_OK)
    return status;
  memset(options, 0, sizeof *options);
  options->struct_size = sizeof *options;
  options->state = base->id;
  options->key_group_first = place.key_group;
  options->key_group_last = place.key_group;
  options->has_ns = 1;
  options->has_key = 1;
  options->ns = place.ns;
  options->key = place.key;
  return SB_OK;
}

sb_status
context_clear(const state_base *base, sb_error *err)
{
  sb_keyed *keyed = base->context->keyed;
  sb_key place;
  sb_status status = context_place(base, sb_slice_of(NULL, 0), &place, err);

  return status != SB_OK ? status : keyed->ops->clear(keyed, &place, err);
}
