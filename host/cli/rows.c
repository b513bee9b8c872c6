/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of an origin, read through the public ABI; see rows.h. */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "host/cli/rows.h"

static int
rows_is(const rows_bytes *wanted, sb_slice bytes)
{
  return !wanted->given ||
         (bytes.len == wanted->len &&
          (bytes.len == 0 ||
           memcmp(bytes.data, wanted->data, bytes.len) == 0));
}

static int
rows_match(const rows_select *select, const sb_row *row)
{
  const rows_bytes *prefix = &select->prefix;

  if (!rows_is(&select->key, row->key) || !rows_is(&select->ns, row->ns) ||
      !rows_is(&select->subkey, row->subkey))
    return 0;
  return !prefix->given || prefix->len == 0 ||
         (row->key.len >= prefix->len &&
          memcmp(row->key.data, prefix->data, prefix->len) == 0);
}

/* ---- keys once ---------------------------------------------------------- */

static int
rows_seen_grow(rows_seen *seen)
{
  size_t mask = seen->mask == 0 ? 1023 : seen->mask * 2 + 1, i, k;
  uint64_t (*slots)[2] = calloc(mask + 1, sizeof *slots);

  if (slots == NULL)
    return -1;
  for (i = 0; seen->slots != NULL && i <= seen->mask; i++) {
    if ((seen->slots[i][0] | seen->slots[i][1]) == 0)
      continue;
    for (k = seen->slots[i][0] & mask; (slots[k][0] | slots[k][1]) != 0;)
      k = (k + 1) & mask;
    memcpy(slots[k], seen->slots[i], sizeof slots[k]);
  }
  free(seen->slots);
  seen->slots = slots;
  seen->mask = mask;
  return 0;
}

static void
rows_seen_clear(rows_seen *seen)
{
  if (seen->slots != NULL)
    memset(seen->slots, 0, (seen->mask + 1) * sizeof *seen->slots);
  seen->count = 0;
}

/* 1 the first time a key comes in a state and key group, 0 later, -1: no
   memory. What it is in is not next to each other, but in one key group. */
static int
rows_seen_add(rows_seen *seen, uint32_t state, const sb_row *row, int pairs)
{
  XXH64_hash_t ns = pairs ? XXH3_64bits(row->ns.data, row->ns.len) : 0;
  XXH128_hash_t hash = XXH3_128bits_withSeed(row->key.data, row->key.len, ns);
  size_t k;

  if (row->key_group != seen->key_group || state != seen->state)
    rows_seen_clear(seen);
  seen->key_group = row->key_group;
  seen->state = state;
  if (seen->count * 2 >= seen->mask && rows_seen_grow(seen) != 0)
    return -1;
  for (k = hash.low64 & seen->mask;
       (seen->slots[k][0] | seen->slots[k][1]) != 0; k = (k + 1) & seen->mask)
    if (seen->slots[k][0] == hash.low64 && seen->slots[k][1] == hash.high64)
      return 0;
  seen->slots[k][0] = hash.low64;
  seen->slots[k][1] = hash.high64;
  seen->count++;
  return 1;
}

/* ---- reading ------------------------------------------------------------ */

void
rows_scan_options(const rows_select *select, const origin_operator *o,
                  const origin_state *state, sb_scan_options *options)
{
  uint32_t kind = state->state->kind;
  sb_slice key = sb_slice_of(select->key.data, select->key.len);

  memset(options, 0, sizeof *options);
  options->struct_size = sizeof *options;
  options->state = state->id;
  options->key_group_last = o->key_group_count - 1;
  if (select->what == ROWS_KEYS || select->what == ROWS_PAIRS)
    options->flags = SB_SCAN_KEYS;
  if (select->has_key_group) {
    options->key_group_first = select->key_group_first;
    options->key_group_last = select->key_group_last;
  } else if (select->key.given && kind != SB_STATE_TIMER) {
    options->key_group_first =
      sb_key_group(sb_hash_bytes(key), o->key_group_count);
    options->key_group_last = options->key_group_first;
  }
  if (options->key_group_last >= o->key_group_count)
    options->key_group_last = o->key_group_count - 1;
  if (kind == SB_STATE_TIMER || !select->ns.given)
    return;
  options->has_ns = 1;
  options->ns = sb_slice_of(select->ns.data, select->ns.len);
  if (select->key.given) {
    options->has_key = 1;
    options->key = key;
  }
}

int
rows_widen(const rows_select *select, const origin_operator *o,
           sb_scan_options *options)
{
  if (!options->has_key || select->has_key_group ||
      options->key_group_last - options->key_group_first + 1 >=
        o->key_group_count)
    return 0;
  options->key_group_first = 0;
  options->key_group_last = o->key_group_count - 1;
  return 1;
}

int
rows_is_over(const rows *r)
{
  return cli_interrupted() || ferror(stdout) ||
         (r->select->limit != 0 && r->printed >= r->select->limit);
}

int
rows_take(rows *r, const origin_operator *o, const manifest_state *state,
          const sb_row *row)
{
  int what = r->select->what, first = 1;

  if (!rows_match(r->select, row))
    return CLI_OK;
  if ((what == ROWS_KEYS && !r->select->ns.given) ||
      ((what == ROWS_KEYS || what == ROWS_PAIRS) &&
       r->origin.in.canonical != 0))
    first = rows_seen_add(&r->seen, state->id, row, what == ROWS_PAIRS);
  if (first < 0)
    return cli_fail(&(sb_error){ SB_NO_MEMORY, 0, "out of memory" });
  if (first == 0)
    return CLI_OK;
  rows_print(r, o, state, row);
  r->printed++;
  return CLI_OK;
}

static int
rows_scan_range(rows *r, const origin_operator *o, const origin_state *state,
                const sb_scan_options *options)
{
  sb_keyed *keyed = o->keyed;
  sb_cursor *cursor;
  sb_status status;
  sb_error err;
  sb_row row;
  int code = CLI_OK;

  if (keyed->ops->scan_open(keyed, options, &cursor, &err) != SB_OK)
    return origin_fail(&err);
  while ((status = keyed->ops->scan_next(keyed, cursor, &row, &err)) ==
         SB_OK) {
    progress_add(&r->bar, 1);
    if (rows_is_over(r))
      break;
    code = rows_take(r, o, state->state, &row);
    if (code != CLI_OK)
      break;
  }
  keyed->ops->scan_close(keyed, cursor);
  if (status != SB_OK && status != SB_END) {
    progress_clear(&r->bar);
    code = origin_fail(&err);
  }
  rows_seen_clear(&r->seen);
  return code;
}

static int
rows_scan(rows *r, const origin_operator *o, const origin_state *state)
{
  uint64_t before = r->printed;
  sb_scan_options options;
  int code;

  rows_scan_options(r->select, o, state, &options);
  if (options.key_group_first > options.key_group_last)
    return CLI_OK;
  code = rows_scan_range(r, o, state, &options);
  if (code == CLI_OK && r->printed == before && !rows_is_over(r) &&
      rows_widen(r->select, o, &options))
    code = rows_scan_range(r, o, state, &options);
  return code;
}

int
rows_wants_state(const rows_select *select, const manifest_state *state)
{
  const char *wanted = select->state;

  return wanted == NULL || (strlen(wanted) == state->name.len &&
                            memcmp(wanted, state->name.data,
                                   state->name.len) == 0);
}

static int
rows_operator(rows *r, origin_operator *o)
{
  sb_error err;
  size_t i;
  int code = CLI_OK;

  for (i = 0; code == CLI_OK && i < o->state_count; i++) {
    if (!rows_wants_state(r->select, o->states[i].state))
      continue;
    r->states++;
    if (origin_keyed(&r->origin, o, &err) != SB_OK)
      return origin_fail(&err);
    code = rows_scan(r, o, &o->states[i]);
  }
  return code;
}

int
rows_read(cli *c, const rows_select *select, uint64_t *printed)
{
  rows r = { .c = c, .select = select };
  origin_name name;
  sb_error err;
  size_t i;
  int code = origin_options(c, &name);

  if (code == CLI_OK && origin_open_any(c, &name, &r.origin, &err) != SB_OK)
    code = cli_fail(&err);
  if (code != CLI_OK)
    return code;
  rows_print_header(&r);
  progress_begin(&r.bar, "reading", origin_records(&r.origin));
  if (r.origin.in.canonical != 0)
    code = rows_read_canonical(&r);
  for (i = 0; code == CLI_OK && i < r.origin.operator_count; i++)
    if (select->operator_id == NULL ||
        strcmp(select->operator_id, r.origin.operators[i].id) == 0)
      code = rows_operator(&r, &r.origin.operators[i]);
  progress_end(&r.bar);
  (void)print_end(&c->out);
  if (code == CLI_OK && select->state != NULL && r.states == 0) {
    cli_warn("checkpoint %" PRIu64 " has no state '%s'",
             r.origin.in.checkpoint->info.id, select->state);
    code = CLI_NOT_FOUND;
  }
  origin_close(&r.origin);
  free(r.seen.slots);
  *printed = r.printed;
  return code;
}
