/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sb_context: the current key and namespace over a keyed handle, and the
 * states that were opened with it.
 */
#include "config.h"

#include "host/state/context.h"

sb_status
sb_context_new(sb_keyed *keyed, const sb_host *host, uint32_t key_group_count,
               uint32_t key_group_first, uint32_t key_group_last,
               sb_context **out, sb_error *err)
{
  sb_context *context;

  *out = NULL;
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
  context->key_group_count = key_group_count;
  context->key_group_first = key_group_first;
  context->key_group_last = key_group_last;
  buf_init(&context->key, host, SB_KEY_MAX);
  buf_init(&context->ns, host, SB_NAMESPACE_MAX);
  *out = context;
  return SB_OK;
}

void
sb_context_free(sb_context *context)
{
  state_base *base, *next;

  if (context == NULL)
    return;
  for (base = context->states; base != NULL; base = next) {
    next = base->next;
    if (base->dispose != NULL)
      base->dispose(base);
    mem_free(context->host, base);
  }
  buf_dispose(&context->key);
  buf_dispose(&context->ns);
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
  if (slice.len != 0 && slice.data != b->data)
    memmove(b->data, slice.data, slice.len);
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

sb_status
sb_context_set_key_hash(sb_context *context, sb_slice key, int32_t hash,
                        sb_error *err)
{
  uint32_t key_group = sb_key_group(hash, context->key_group_count);
  sb_status status;

  if (key_group < context->key_group_first ||
      key_group > context->key_group_last)
    return sb_fail(err, SB_INVALID,
                   "cannot set a key of key group %u: this subtask has %u "
                   "to %u", key_group, context->key_group_first,
                   context->key_group_last);
  status = context_reserve(&context->key, key.len);
  if (status != SB_OK)
    return context_fail(err, status, "key", key.len);
  context_fill(&context->key, key);
  context->key_group = key_group;
  context->has_key = 1;
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
  return sb_slice_of(context->key.data, context->key.len);
}

sb_status
sb_context_set_namespace(sb_context *context, sb_slice ns, sb_error *err)
{
  sb_status status = context_reserve(&context->ns, ns.len);

  if (status != SB_OK)
    return context_fail(err, status, "namespace", ns.len);
  context_fill(&context->ns, ns);
  return SB_OK;
}

static state_base *
context_find(const sb_context *context, uint32_t id)
{
  state_base *base = context->states;

  while (base != NULL && base->id != id)
    base = base->next;
  return base;
}

sb_status
context_open(sb_context *context, const char *name, uint32_t kind,
             size_t size, state_base **out, sb_error *err)
{
  sb_state_options options = { .struct_size = sizeof options };
  sb_state_info info = { .struct_size = sizeof info };
  state_base *base;
  sb_status status;

  *out = NULL;
  options.kind = kind;
  options.name = sb_slice_of(name, strlen(name));
  status = context->keyed->ops->register_state(context->keyed, &options,
                                               &info, err);
  if (status != SB_OK)
    return status;
  *out = context_find(context, info.id);
  if (*out != NULL)
    return SB_OK;
  base = mem_zalloc(context->host, size);
  if (base == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not open state \"%s\": out of memory", name);
  base->context = context;
  base->id = info.id;
  base->next = context->states;
  context->states = base;
  *out = base;
  return SB_OK;
}

sb_status
context_place(const state_base *base, sb_slice subkey, sb_key *place,
              sb_error *err)
{
  const sb_context *context = base->context;

  if (!context->has_key)
    return sb_fail(err, SB_INVALID, "cannot use state: no current key is set");
  place->state = base->id;
  place->key_group = context->key_group;
  place->key = sb_slice_of(context->key.data, context->key.len);
  place->ns = sb_slice_of(context->ns.data, context->ns.len);
  place->subkey = subkey;
  return SB_OK;
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
