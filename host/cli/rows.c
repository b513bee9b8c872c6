/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a checkpoint, read through the public ABI; see rows.h. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "host/cli/rows.h"

#define ROWS_TIME_LEN 8 /* bytes of a timer's time, before its key */

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

static void
rows_field(rows *r, const char *name, sb_slice bytes)
{
  if (r->select->format == ROWS_HEX)
    print_digits(&r->c->out, name, bytes);
  else
    print_bytes(&r->c->out, name, bytes);
}

/* Timers' keys begin with their time, big-endian with the sign bit flipped. */
static void
rows_time(printer *out, sb_slice key)
{
  const uint8_t *p = key.data;
  uint64_t bits = 0;
  int i;

  if (key.len < ROWS_TIME_LEN)
    return;
  for (i = 0; i < ROWS_TIME_LEN; i++)
    bits = bits << 8 | p[i];
  bits ^= UINT64_C(1) << 63;
  if (bits <= INT64_MAX)
    print_number(out, "time_ms", bits);
}

static void
rows_print_row(rows *r, const manifest_state *state, const sb_row *row,
               int single)
{
  printer *out = &r->c->out;

  if (r->select->format == ROWS_RAW) {
    if (row->value.len != 0)
      fwrite(row->value.data, 1, row->value.len, stdout);
    if (!single)
      putchar('\n');
    return;
  }
  print_row(out);
  print_bytes(out, "state", state->name);
  print_number(out, "key_group", row->key_group);
  if (state->kind == SB_STATE_TIMER)
    rows_time(out, row->key);
  rows_field(r, "key", row->key);
  if (row->ns.len != 0)
    rows_field(r, "ns", row->ns);
  if (state->kind == SB_STATE_MAP)
    rows_field(r, "subkey", row->subkey);
  if (state->kind != SB_STATE_TIMER || row->value.len != 0)
    rows_field(r, "value", row->value);
  if (row->expires_ms != 0)
    print_number(out, "expires_ms", row->expires_ms);
  print_row_end(out);
}

/* ---- reading ------------------------------------------------------------ */

static void
rows_scan_options(const rows *r, const manifest *m, const sb_state_info *info,
                  sb_scan_options *options)
{
  const rows_select *select = r->select;
  sb_slice key = sb_slice_of(select->key.data, select->key.len);

  memset(options, 0, sizeof *options);
  options->struct_size = sizeof *options;
  options->state = info->id;
  options->key_group_last = m->key_group_count - 1;
  if (select->has_key_group) {
    options->key_group_first = select->key_group_first;
    options->key_group_last = select->key_group_last;
  } else if (select->key.given && info->kind != SB_STATE_TIMER) {
    options->key_group_first =
      sb_key_group(sb_hash_bytes(key), m->key_group_count);
    options->key_group_last = options->key_group_first;
  }
  if (options->key_group_last >= m->key_group_count)
    options->key_group_last = m->key_group_count - 1;
  if (info->kind == SB_STATE_TIMER || !select->ns.given)
    return;
  options->has_ns = 1;
  options->ns = sb_slice_of(select->ns.data, select->ns.len);
  if (select->key.given) {
    options->has_key = 1;
    options->key = key;
  }
}

static int
rows_scan(rows *r, sb_keyed *keyed, const manifest_state *state,
          const sb_scan_options *options, int single)
{
  sb_cursor *cursor;
  sb_status status;
  sb_error err;
  sb_row row;
  int more = 1;

  if (options->key_group_first > options->key_group_last)
    return CLI_OK;
  if (keyed->ops->scan_open(keyed, options, &cursor, &err) != SB_OK)
    return cli_fail(&err);
  while ((status = keyed->ops->scan_next(keyed, cursor, &row, &err)) ==
         SB_OK) {
    progress_add(&r->bar, 1);
    more = !cli_interrupted() && !ferror(stdout) &&
           (r->select->limit == 0 || r->printed < r->select->limit);
    if (!more)
      break;
    if (!rows_match(r->select, &row))
      continue;
    rows_print_row(r, state, &row, single);
    r->printed++;
  }
  keyed->ops->scan_close(keyed, cursor);
  return status == SB_OK || status == SB_END ? CLI_OK : cli_fail(&err);
}

static int
rows_state(rows *r, sb_keyed *keyed, const manifest *m,
           const manifest_state *state, int single)
{
  sb_state_options options = {
    .struct_size = sizeof options,
    .kind = state->kind,
    .flags = state->flags,
    .schema_version = state->schema_version,
    .name = state->name,
    .blob = state->blob,
  };
  sb_state_info info = { .struct_size = sizeof info };
  sb_scan_options scan;
  sb_error err;

  if (keyed->ops->register_state(keyed, &options, &info, &err) != SB_OK)
    return cli_fail(&err);
  rows_scan_options(r, m, &info, &scan);
  return rows_scan(r, keyed, state, &scan, single);
}

/* 1 if an earlier part of the same operator has the state too. */
static int
rows_state_seen(const rows *r, uint32_t part, const sb_slice *name)
{
  const manifest *m;
  uint32_t i;
  size_t k;

  for (i = 0; i < part; i++) {
    m = r->in.manifests[i];
    if (strcmp(m->operator_id, r->in.manifests[part]->operator_id) != 0)
      continue;
    for (k = 0; k < m->state_count; k++)
      if (m->states[k].name.len == name->len &&
          memcmp(m->states[k].name.data, name->data, name->len) == 0)
        return 1;
  }
  return 0;
}

static int
rows_wants_state(const rows *r, const manifest_state *state)
{
  const char *wanted = r->select->state;

  return wanted == NULL || (strlen(wanted) == state->name.len &&
                            memcmp(wanted, state->name.data,
                                   state->name.len) == 0);
}

/* All states of the operator that part `first` is the first of. */
static int
rows_operator(rows *r, uint32_t first, int single)
{
  const sb_checkpoint *checkpoint = r->in.checkpoint;
  const manifest *m = r->in.manifests[first];
  sb_keyed_options options = {
    .struct_size = sizeof options,
    .flags = SB_OPEN_READ_ONLY,
    .job = r->c->job,
    .operator_id = m->operator_id,
    .key_group_count = m->key_group_count,
    .key_group_last = m->key_group_count - 1,
    .generation = checkpoint->info.generation,
    .parts = checkpoint->parts,
    .part_count = checkpoint->info.part_count,
  };
  const manifest_state *state;
  sb_keyed *keyed;
  sb_error err;
  uint32_t i;
  size_t k;
  int code = CLI_OK;

  if (sb_backend_keyed(r->c->backend, &options, &keyed, &err) != SB_OK)
    return cli_fail(&err);
  for (i = first; code == CLI_OK && i < checkpoint->info.part_count; i++) {
    if (strcmp(r->in.manifests[i]->operator_id, m->operator_id) != 0)
      continue;
    for (k = 0; code == CLI_OK && k < r->in.manifests[i]->state_count; k++) {
      state = &r->in.manifests[i]->states[k];
      if (!rows_wants_state(r, state) || rows_state_seen(r, i, &state->name))
        continue;
      r->states++;
      code = rows_state(r, keyed, m, state, single);
    }
  }
  keyed->ops->close(keyed);
  return code;
}

static int
rows_operators(rows *r, int single)
{
  uint32_t i, k, count = r->in.checkpoint->info.part_count;
  const char *id;
  int code = CLI_OK;

  for (i = 0; code == CLI_OK && i < count; i++) {
    id = r->in.manifests[i]->operator_id;
    for (k = 0; k < i; k++)
      if (strcmp(r->in.manifests[k]->operator_id, id) == 0)
        break;
    if (k == i && (r->select->operator_id == NULL ||
                   strcmp(r->select->operator_id, id) == 0))
      code = rows_operator(r, i, single);
  }
  return code;
}

static uint64_t
rows_total(const inside *in)
{
  uint64_t total = 0;
  uint32_t i;
  size_t k;

  for (i = 0; i < in->checkpoint->info.part_count; i++)
    for (k = 0; k < in->manifests[i]->segment_count; k++)
      total += in->manifests[i]->segments[k].info.records;
  return total;
}

int
rows_print(cli *c, const rows_select *select, int single, uint64_t *printed)
{
  rows r = { .c = c, .select = select };
  uint64_t id = 0;
  int code = CLI_OK;

  if (c->values[OPTION_CHECKPOINT] != NULL)
    code = cli_number("--checkpoint", c->values[OPTION_CHECKPOINT],
                      UINT64_MAX, &id);
  if (code == CLI_OK)
    code = inside_open(c, id, 0, &r.in);
  if (code != CLI_OK)
    return code;
  print_begin_lines(&c->out, stdout, select->format == ROWS_JSON, "row");
  progress_begin(&r.bar, "reading", rows_total(&r.in));
  code = rows_operators(&r, single);
  progress_end(&r.bar);
  (void)print_end(&c->out);
  if (code == CLI_OK && select->state != NULL && r.states == 0) {
    cli_warn("checkpoint %" PRIu64 " has no state '%s'",
             r.in.checkpoint->info.id, select->state);
    code = CLI_NOT_FOUND;
  }
  inside_close(&r.in);
  *printed = r.printed;
  return code;
}
