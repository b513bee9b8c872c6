/* SPDX-License-Identifier: Apache-2.0 */
/* The list of a canonical savepoint's states; see canonical.h. */
#include "config.h"

#include "host/base/slice.h"
#include "host/checkpoint/canonical.h"

sb_status
canonical_check_options(const sb_canonical_options *options, sb_error *err)
{
  sb_status status = slice_check(options->key_serializer,
                                 "the key serializer's snapshot", err);
  uint64_t i;

  if (status == SB_OK)
    status = slice_check(options->header, "the header of a canonical "
                         "savepoint", err);
  for (i = 0; status == SB_OK && i < options->state_count; i++) {
    status = slice_check(options->states[i].name, "the name of a state", err);
    if (status == SB_OK)
      status = slice_check(options->states[i].meta, "the meta info of a state",
                           err);
  }
  return status;
}

static void
states_keep(uint8_t **at, sb_slice *s)
{
  if (s->len != 0)
    memcpy(*at, s->data, s->len);
  s->data = *at;
  *at += s->len;
}

sb_status
canonical_states_add(canonical_states *states, const canonical_state *state)
{
  const sb_canonical_info *info = &state->info;
  canonical_state *s;
  uint8_t *at;

  if (states->count == states->cap) {
    uint32_t cap = states->cap == 0 ? 8 : states->cap * 2;
    canonical_state *list = mem_realloc(states->host, states->list,
                                        cap * sizeof *list);

    if (list == NULL)
      return SB_NO_MEMORY;
    states->list = list;
    states->cap = cap;
  }
  at = mem_alloc(states->host,
                 info->name.len + info->blob.len + info->meta.len + 1);
  if (at == NULL)
    return SB_NO_MEMORY;
  s = &states->list[states->count++];
  *s = *state;
  s->memory = at;
  s->info.struct_size = sizeof s->info;
  states_keep(&at, &s->info.name);
  states_keep(&at, &s->info.blob);
  states_keep(&at, &s->info.meta);
  return SB_OK;
}

void
canonical_states_dispose(canonical_states *states)
{
  uint32_t i;

  if (states->host == NULL)
    return;
  for (i = 0; i < states->count; i++)
    mem_free(states->host, states->list[i].memory);
  mem_free(states->host, states->list);
  memset(states, 0, sizeof *states);
}
