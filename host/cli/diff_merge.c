/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two scans of one state, merged in their one order: what differs is printed
 * as it is met, so memory does not grow with the state.
 */
#include "config.h"

#include "host/cli/diff.h"
#include "host/engine/record.h"

const char *const diff_words[3] = { "added", "removed", "changed" };

int
diff_no_memory(void)
{
  return cli_fail(&(sb_error){ SB_NO_MEMORY, 0, "out of memory" });
}

/* ---- one side ----------------------------------------------------------- */

static int
diff_next(diff *d, diff_side *side)
{
  sb_keyed *keyed;
  sb_status status;
  sb_error err;

  side->has_row = 0;
  if (side->cursor == NULL)
    return CLI_OK;
  keyed = side->o->keyed;
  status = keyed->ops->scan_next(keyed, side->cursor, &side->row, &err);
  if (status == SB_END)
    return CLI_OK;
  if (status != SB_OK) {
    progress_clear(&d->bar);
    return origin_fail(&err);
  }
  progress_add(&d->bar, 1);
  side->has_row = 1;
  side->hash = d->state->kind == SB_STATE_TIMER ? 0
                                                : record_hash(side->row.key);
  return CLI_OK;
}

static int
diff_open(diff *d, diff_side *side, uint32_t first, uint32_t last)
{
  sb_scan_options options;
  sb_error err;

  if (side->state == NULL)
    return CLI_OK;
  if (origin_keyed(&side->origin, side->o, &err) != SB_OK)
    return origin_fail(&err);
  rows_scan_options(&d->select, side->o, side->state, &options);
  options.key_group_first = first;
  options.key_group_last = last;
  if (side->o->keyed->ops->scan_open(side->o->keyed, &options, &side->cursor,
                                     &err) != SB_OK) {
    side->cursor = NULL;
    return origin_fail(&err);
  }
  return diff_next(d, side);
}

static void
diff_close(diff_side *side)
{
  if (side->cursor != NULL)
    side->o->keyed->ops->scan_close(side->o->keyed, side->cursor);
  side->cursor = NULL;
  side->has_row = 0;
}

/* ---- printing ----------------------------------------------------------- */

static diff_count *
diff_counts(diff *d)
{
  return &d->states[d->state_count - 1];
}

/* 1 if the difference is to be printed; the row has begun then. */
static int
diff_begin_row(diff *d, int what, const diff_side *side)
{
  printer *out = &d->c->out;
  const sb_row *row = &side->row;
  uint64_t time_ms;

  diff_counts(d)->counts[what]++;
  d->total++;
  if (cli_has(d->c, OPTION_QUIET) ||
      (d->select.limit != 0 && d->printed >= d->select.limit))
    return 0;
  d->printed++;
  out->row_name = diff_words[what];
  print_row(out);
  if (out->json)
    print_text(out, "change", diff_words[what]);
  print_bytes(out, "state", d->state->name);
  print_number(out, "key_group", row->key_group);
  if (d->state->kind == SB_STATE_TIMER && rows_time(row->key, &time_ms))
    print_number(out, "time_ms", time_ms);
  print_bytes(out, "key", row->key);
  if (row->ns.len != 0)
    print_bytes(out, "ns", row->ns);
  return 1;
}

static void
diff_print_one(diff *d, int what, const diff_side *side)
{
  printer *out = &d->c->out;
  const sb_row *row = &side->row;

  if (!diff_begin_row(d, what, side))
    return;
  if (d->state->kind == SB_STATE_MAP)
    print_bytes(out, "subkey", row->subkey);
  if (d->state->kind != SB_STATE_TIMER || row->value.len != 0)
    print_bytes(out, "value", row->value);
  if (row->expires_ms != 0)
    print_number(out, "expires_ms", row->expires_ms);
  print_row_end(out);
}

static void
diff_print_changed(diff *d)
{
  const sb_row *a = &d->sides[DIFF_A].row, *b = &d->sides[DIFF_B].row;
  printer *out = &d->c->out;

  if (slice_equal(a->value, b->value) && a->expires_ms == b->expires_ms)
    return;
  if (!diff_begin_row(d, DIFF_CHANGED, &d->sides[DIFF_A]))
    return;
  if (d->state->kind == SB_STATE_MAP)
    print_bytes(out, "subkey", a->subkey);
  print_bytes(out, "old", a->value);
  print_bytes(out, "new", b->value);
  if (a->expires_ms != b->expires_ms) {
    print_number(out, "old_expires_ms", a->expires_ms);
    print_number(out, "new_expires_ms", b->expires_ms);
  }
  print_row_end(out);
}

/* A whole list, whose key is in the sides' buffers. */
static void
diff_print_list(diff *d, int what)
{
  diff_side *side = &d->sides[what == DIFF_ADDED ? DIFF_B : DIFF_A];
  printer *out = &d->c->out;
  diff_side shown = *side;

  shown.row.key = sb_slice_of(side->key.data, side->key.len);
  shown.row.ns = sb_slice_of(side->ns.data, side->ns.len);
  shown.row.key_group = side->key_group;
  if (!diff_begin_row(d, what, &shown))
    return;
  if (what != DIFF_ADDED)
    print_number(out, "old_elements", d->sides[DIFF_A].elements);
  if (what != DIFF_REMOVED)
    print_number(out, "new_elements", d->sides[DIFF_B].elements);
  print_row_end(out);
}

/* ---- merging ------------------------------------------------------------ */

/* The order of a scan, without subkeys: record_compare_key's. */
static int
diff_compare_key(const diff_side *a, const diff_side *b)
{
  int c;

  if (a->row.key_group != b->row.key_group)
    return a->row.key_group < b->row.key_group ? -1 : 1;
  c = slice_compare(a->row.ns, b->row.ns);
  if (c != 0)
    return c;
  if (a->hash != b->hash)
    return a->hash < b->hash ? -1 : 1;
  return slice_compare(a->row.key, b->row.key);
}

/* Below 0: side A's row comes first, or B has none left. */
static int
diff_compare(const diff *d)
{
  const diff_side *a = &d->sides[DIFF_A], *b = &d->sides[DIFF_B];
  int c;

  if (!a->has_row || !b->has_row)
    return a->has_row ? -1 : 1;
  c = diff_compare_key(a, b);
  if (c == 0 && d->state->kind == SB_STATE_MAP)
    c = slice_compare(a->row.subkey, b->row.subkey);
  return c;
}

static int
diff_keep_key(diff_side *side)
{
  buf_clear(&side->key);
  buf_clear(&side->ns);
  buf_add(&side->key, side->row.key.data, side->row.key.len);
  buf_add(&side->ns, side->row.ns.data, side->row.ns.len);
  side->key_group = side->row.key_group;
  side->elements = 0;
  return side->key.status != SB_OK || side->ns.status != SB_OK
           ? diff_no_memory() : CLI_OK;
}

/* Is the side's row still an element of the list whose key was kept? */
static int
diff_in_list(const diff_side *side)
{
  return side->has_row &&
         slice_equal(side->row.key,
                     sb_slice_of(side->key.data, side->key.len)) &&
         slice_equal(side->row.ns, sb_slice_of(side->ns.data, side->ns.len));
}

/* Steps over the lists of one key, on both sides or one of them. */
static int
diff_lists(diff *d, int order)
{
  diff_side *a = &d->sides[DIFF_A], *b = &d->sides[DIFF_B];
  int in_a = order <= 0, in_b = order >= 0, same = order == 0, code = CLI_OK;

  if (in_a)
    code = diff_keep_key(a);
  if (in_b && code == CLI_OK)
    code = diff_keep_key(b);
  while (code == CLI_OK && (in_a || in_b)) {
    if (in_a != in_b || !slice_equal(a->row.value, b->row.value) ||
        a->row.expires_ms != b->row.expires_ms)
      same = 0;
    a->elements += (uint64_t)in_a;
    b->elements += (uint64_t)in_b;
    if (in_a)
      code = diff_next(d, a);
    if (in_b && code == CLI_OK)
      code = diff_next(d, b);
    in_a = in_a && diff_in_list(a);
    in_b = in_b && diff_in_list(b);
  }
  if (code == CLI_OK && !same)
    diff_print_list(d, order < 0 ? DIFF_REMOVED
                                 : order > 0 ? DIFF_ADDED : DIFF_CHANGED);
  return code;
}

static int
diff_records(diff *d, int order)
{
  int code = CLI_OK;

  if (order < 0)
    diff_print_one(d, DIFF_REMOVED, &d->sides[DIFF_A]);
  else if (order > 0)
    diff_print_one(d, DIFF_ADDED, &d->sides[DIFF_B]);
  else
    diff_print_changed(d);
  if (order <= 0)
    code = diff_next(d, &d->sides[DIFF_A]);
  if (order >= 0 && code == CLI_OK)
    code = diff_next(d, &d->sides[DIFF_B]);
  return code;
}

int
diff_is_over(const diff *d)
{
  return cli_interrupted() || ferror(stdout) ||
         (cli_has(d->c, OPTION_QUIET) && d->total != 0);
}

int
diff_range(diff *d, uint32_t first, uint32_t last)
{
  diff_side *a = &d->sides[DIFF_A], *b = &d->sides[DIFF_B];
  int order, code = diff_open(d, a, first, last);

  if (code == CLI_OK)
    code = diff_open(d, b, first, last);
  while (code == CLI_OK && (a->has_row || b->has_row) && !diff_is_over(d)) {
    order = diff_compare(d);
    code = d->state->kind == SB_STATE_LIST ? diff_lists(d, order)
                                           : diff_records(d, order);
  }
  diff_close(a);
  diff_close(b);
  return code;
}
