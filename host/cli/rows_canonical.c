/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of a canonical savepoint: its streams are read from front to back, as
 * no handle over them can be opened without writing. What is not byte strings
 * comes out as its serializers wrote it.
 */
#include "config.h"

#include <string.h>

#include "host/base/mem.h"
#include "host/checkpoint/canonical.h"
#include "host/cli/rows.h"
#include "host/store/store.h"

typedef struct canonical_pass {
  rows *r;
  sb_store *store;
  const canonical_part *part;
  sb_canonical_reader *reader;
  origin_operator o;        /* of the part, for its id */
  uint32_t first, last;     /* key groups wanted */
} canonical_pass;

static sb_status
canonical_read(void *arg, uint64_t offset, void *buffer, size_t len,
               size_t *got, sb_error *err)
{
  const canonical_pass *pass = arg;
  uint64_t n = 0;
  sb_status status = store_get(inside_host(), pass->store, pass->part->name,
                               offset, buffer, len, &n, NULL, SB_PRIORITY_READ,
                               err);

  *got = (size_t)n;
  return status;
}

static sb_status
canonical_open(canonical_pass *pass, sb_error *err)
{
  const canonical_part *p = pass->part;
  sb_canonical_options options = p->options;
  sb_canonical_read read = {
    .struct_size = sizeof read,
    .key_group_count = p->key_group_count,
    .key_group_first = pass->first,
    .key_group_last = pass->last,
    .offsets = p->offsets,
    .offset_first = p->key_group_first,
    .offset_count = p->key_group_last - p->key_group_first + 1,
    .length = p->length,
    .options = &options,
  };
  sb_status status;

  /* Not parsed: only its length counts, and that it is there. */
  options.header = sb_slice_of(p->name, (size_t)p->header_length);
  status = sb_canonical_reader_open(inside_host(), canonical_read, pass, &read,
                                    &pass->reader, err);
  if (status != SB_OK)
    return status;
  canonical_reader_expect(pass->reader, p->checksums);
  canonical_reader_describe(pass->reader, p->infos);
  return SB_OK;
}

/* Exit code. */
static int
canonical_row(canonical_pass *pass, const sb_canonical_row *from)
{
  manifest_state state;
  sb_canonical_info info = { .struct_size = sizeof info };
  sb_row row;
  sb_error err;

  if (sb_canonical_reader_state(pass->reader, from->state, &info, &err) !=
      SB_OK)
    return cli_fail(&err);
  memset(&state, 0, sizeof state);
  state.name = info.name;
  state.kind = info.kind;
  state.id = info.id;
  if (!rows_wants_state(pass->r->select, &state))
    return CLI_OK;
  memset(&row, 0, sizeof row);
  row.key_group = from->key_group;
  row.key = from->key;
  row.ns = from->ns;
  row.subkey = from->subkey;
  row.value = from->value;
  row.expires_ms = from->time_ms == CANONICAL_NEVER ? 0 : from->time_ms;
  return rows_take(pass->r, &pass->o, &state, &row);
}

/* The states of the stream that are wanted, also if they have no rows. */
static void
canonical_count_states(const canonical_pass *pass)
{
  sb_canonical_info info = { .struct_size = sizeof info };
  manifest_state state;
  sb_error err;
  uint32_t i;

  memset(&state, 0, sizeof state);
  for (i = 0; sb_canonical_reader_state(pass->reader, i, &info, &err) == SB_OK;
       i++) {
    state.name = info.name;
    pass->r->states += (uint64_t)rows_wants_state(pass->r->select, &state);
  }
}

static int
canonical_rows(canonical_pass *pass)
{
  rows *r = pass->r;
  sb_canonical_row row;
  sb_status status;
  sb_error err;
  int code = CLI_OK;

  if (canonical_open(pass, &err) != SB_OK)
    return origin_fail(&err);
  canonical_count_states(pass);
  while (code == CLI_OK &&
         (status = sb_canonical_reader_next(pass->reader, &row, &err)) !=
           SB_END) {
    if (status != SB_OK) {
      progress_clear(&r->bar);
      code = origin_fail(&err);
      break;
    }
    progress_add(&r->bar, 1);
    if (rows_is_over(r))
      break;
    code = canonical_row(pass, &row);
  }
  sb_canonical_reader_close(pass->reader);
  return code;
}

/* The key groups of a part that are wanted; 0 if there are none. */
static int
canonical_wants(canonical_pass *pass, const sb_part *part)
{
  const rows_select *select = pass->r->select;
  uint32_t group;

  if (select->operator_id != NULL &&
      strcmp(select->operator_id, part->operator_id) != 0)
    return 0;
  pass->first = pass->part->key_group_first;
  pass->last = pass->part->key_group_last;
  if (select->has_key_group) {
    if (select->key_group_first > pass->first)
      pass->first = select->key_group_first;
    if (select->key_group_last < pass->last)
      pass->last = select->key_group_last;
  } else if (select->what == ROWS_SINGLE) {
    group = sb_key_group(sb_hash_bytes(sb_slice_of(select->key.data,
                                                   select->key.len)),
                         pass->part->key_group_count);
    if (group < pass->first || group > pass->last)
      return 0;
  }
  return pass->first <= pass->last;
}

int
rows_read_canonical(rows *r)
{
  const sb_checkpoint *checkpoint = r->origin.in.checkpoint;
  const sb_host *host = inside_host();
  canonical_pass pass = { .r = r, .store = inside_store(r->c) };
  canonical_part *part;
  sb_slice bytes;
  void *owned;
  sb_error err;
  sb_status status;
  uint32_t i;
  int code = pass.store == NULL ? CLI_FAILED : CLI_OK;

  for (i = 0; code == CLI_OK && i < checkpoint->info.part_count; i++) {
    status = manifest_bytes(host, pass.store, &checkpoint->parts[i], &bytes,
                            &owned, &err);
    if (status != SB_OK)
      return origin_fail(&err);
    status = canonical_part_decode(host, bytes, &part, &err);
    mem_free(host, owned);
    if (status != SB_OK)
      return origin_fail(&err);
    pass.part = part;
    pass.o.id = checkpoint->parts[i].operator_id;
    if (canonical_wants(&pass, &checkpoint->parts[i]))
      code = canonical_rows(&pass);
    canonical_part_free(host, part);
  }
  return code;
}
