/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares all that a handle holds with cells: one scan over each state in
 * which every record must be expected, in order and seen once, and none may be
 * missing; then gets of chosen places.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "host/engine/record.h"
#include "tests/simulator/item.h"
#include "tests/simulator/life.h"

/* ---- one scan ----------------------------------------------------------- */

typedef struct pass {
  const comparison *c;
  uint32_t state;
  uint16_t *seen;
  uint64_t began_ms;
  char text[400];
} pass;

static uint64_t
pass_now(const pass *p)
{
  const sb_host *host = &p->c->process->host;

  return host->clock_ms(host);
}

/* What has ended by then must not come. */
static uint64_t
pass_from(const pass *p)
{
  if (p->c->l->sp.states[p->state].flags & SB_STATE_EVENT_TIME)
    return p->c->event_ms;
  return p->c->view != NULL ? p->c->opened_ms : p->began_ms;
}

static void
pass_fail(const pass *p, const char *why)
{
  sim_fail(&p->c->l->s, SIM_WRONG, "%s: scan: %s: %s", p->c->what, why,
           p->text);
}

static void
pass_describe(pass *p, size_t index, sb_slice bytes)
{
  const cell *c = &p->c->cells[index];
  size_t len;

  cell_text(&p->c->l->sp, index, c, p->text, sizeof p->text);
  len = strlen(p->text);
  (void)snprintf(p->text + len, sizeof p->text - len, "; the row has ");
  len = strlen(p->text);
  answer_text(SB_OK, bytes, p->text + len, sizeof p->text - len);
}

/* Elements come in order; expired ones may have gone. */
static void
pass_element(pass *p, size_t index, sb_slice bytes)
{
  const cell *c = &p->c->cells[index];
  uint64_t now = pass_now(p);

  for (;;) {
    const list_node *node = list_at(c->list, p->seen[index]);

    if (node == NULL)
      pass_fail(p, "an element that should not be there");
    p->seen[index]++;
    if (node != NULL && value_equal(node->value, bytes) &&
        end_is_over(&p->c->l->sp, p->state, node->end_ms, pass_from(p)))
      pass_fail(p, "an element that has expired");
    if (node == NULL || value_equal(node->value, bytes))
      return;
    if (node->gone_ms == 0 || node->gone_ms > now)
      pass_fail(p, "another element");
  }
}

static void
pass_row(pass *p, const sb_row *row)
{
  const space *sp = &p->c->l->sp;
  place at;
  size_t index;
  const cell *c;

  (void)snprintf(p->text, sizeof p->text, "%s", sp->states[p->state].name);
  if (space_find(sp, p->state, row->key, row->ns, row->subkey, &at) != 0)
    pass_fail(p, "a row that nobody wrote");
  index = space_cell(sp, at);
  c = &p->c->cells[index];
  pass_describe(p, index, row->value);
  if (row->key_group != sp->keys[at.key].group ||
      row->key_group < p->c->group_first || row->key_group > p->c->group_last)
    pass_fail(p, "a row of another key group");
  if (sp->states[p->state].kind == SB_STATE_LIST) {
    pass_element(p, index, row->value);
    return;
  }
  if (p->seen[index]++ != 0)
    pass_fail(p, "a row comes twice");
  if (cell_is_absent(c, pass_now(p)) == 1)
    pass_fail(p, "a row that should be gone");
  if (!value_equal(c->value, row->value) || row->expires_ms != c->expires_ms)
    pass_fail(p, "another value");
  if (end_is_over(sp, p->state, c->end_ms, pass_from(p)))
    pass_fail(p, "a row that has expired");
}

static void
pass_end(pass *p)
{
  const space *sp = &p->c->l->sp;
  uint64_t now = pass_now(p);
  size_t i;

  for (i = 0; i < sp->cells; i++) {
    const cell *c = &p->c->cells[i];
    uint32_t group = space_group(sp, i);
    const list_node *node;

    if (space_place(sp, i).state != p->state ||
        group < p->c->group_first || group > p->c->group_last)
      continue;
    cell_text(sp, i, c, p->text, sizeof p->text);
    if (c->list == NULL && cell_is_absent(c, now) == 0 && p->seen[i] == 0)
      pass_fail(p, "a row is missing");
    for (node = c->list; node != NULL && node->count > p->seen[i];
         node = node->before)
      if (node->gone_ms == 0 || node->gone_ms > now)
        pass_fail(p, "an element is missing");
  }
}

static void
copy_bytes(const sb_slice *to, sb_slice from)
{
  if (from.len != 0)
    memcpy((void *)(uintptr_t)to->data, from.data, from.len);
}

/* The order that backend.h promises. */
static void
pass_order(pass *p, record *last, const sb_row *row, sb_slice *copies)
{
  const space_state *state = &p->c->l->sp.states[p->state];
  record now;
  int c;

  memset(&now, 0, sizeof now);
  now.key_group = (uint16_t)row->key_group;
  now.ns = row->ns;
  now.key = row->key;
  if (state->kind != SB_STATE_LIST)
    now.subkey = row->subkey;
  now.hash = state->kind == SB_STATE_TIMER ? 0 : record_hash(row->key);
  c = last->key.data == NULL ? -1 : record_compare(last, &now);
  if (c > 0 || (c == 0 && state->kind != SB_STATE_LIST)) {
    (void)snprintf(p->text, sizeof p->text, "%s", state->name);
    pass_fail(p, "rows are out of order");
  }
  last->key_group = now.key_group;
  last->hash = now.hash;
  copy_bytes(&copies[0], row->ns);
  copy_bytes(&copies[1], row->key);
  copy_bytes(&copies[2], now.subkey);
  last->ns = sb_slice_of(copies[0].data, row->ns.len);
  last->key = sb_slice_of(copies[1].data, row->key.len);
  last->subkey = sb_slice_of(copies[2].data, now.subkey.len);
}

/* One of the two cursors, the other is NULL. */
static sb_status
pass_rows(pass *p, sb_cursor *cursor, sb_view_cursor *viewed, sb_error *err)
{
  sb_keyed *keyed = p->c->keyed;
  uint8_t bytes[3][512];
  sb_slice copies[3] = { { bytes[0], 0 }, { bytes[1], 0 }, { bytes[2], 0 } };
  record last;

  memset(&last, 0, sizeof last);
  for (;;) {
    sb_row row;
    sb_status status =
      viewed != NULL ? keyed->ops->view_scan_next(viewed, &row, err)
                     : keyed->ops->scan_next(keyed, cursor, &row, err);

    if (status == SB_END)
      return SB_OK;
    if (status != SB_OK)
      return status;
    pass_row(p, &row);
    pass_order(p, &last, &row, copies);
    p->c->l->did.compared++;
    p->c->l->did.view_rows += viewed != NULL;
  }
}

static sb_status
pass_run(pass *p, sb_error *err)
{
  const comparison *c = p->c;
  sb_scan_options options;
  sb_cursor *cursor = NULL;
  sb_view_cursor *viewed = NULL;
  sb_status status;

  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.state = c->ids[p->state];
  options.key_group_first = c->group_first;
  options.key_group_last = c->group_last;
  p->began_ms = pass_now(p);
  status = c->view != NULL
           ? c->keyed->ops->view_scan_open(c->view, &options, &viewed, err)
           : c->keyed->ops->scan_open(c->keyed, &options, &cursor, err);
  if (status != SB_OK)
    return status;
  status = pass_rows(p, cursor, viewed, err);
  if (viewed != NULL)
    c->keyed->ops->view_scan_close(viewed);
  else
    c->keyed->ops->scan_close(c->keyed, cursor);
  if (status == SB_OK)
    pass_end(p);
  return status;
}

sb_status
compare_all(const comparison *c, sb_error *err)
{
  const space *sp = &c->l->sp;
  uint16_t *seen = sim_scratch(&c->l->s, sp->cells * sizeof *seen);
  sb_status status = SB_OK;
  uint32_t i;

  for (i = 0; i < sp->state_count && status == SB_OK; i++) {
    pass p = { c, i, seen, 0, "" };

    if ((c->states >> i & 1) == 0)
      continue;
    memset(seen, 0, sp->cells * sizeof *seen);
    status = pass_run(&p, err);
  }
  sim_scratch_free(&c->l->s, seen);
  return status;
}

/* ---- gets --------------------------------------------------------------- */

sb_status
compare_gets(const comparison *c, uint32_t count, rng *r, sb_error *err)
{
  const space *sp = &c->l->sp;
  const sb_host *host = &c->process->host;

  while (count-- != 0) {
    size_t index = (size_t)rng_below(r, sp->cells);
    place at = space_place(sp, index);
    uint32_t group = sp->keys[at.key].group;
    sb_slice value = { NULL, 0 };
    sb_key key;
    uint64_t from;
    sb_status status;

    if ((c->states >> at.state & 1) == 0 || group < c->group_first ||
        group > c->group_last)
      continue;
    key = space_sb_key(sp, at, c->ids[at.state]);
    from = sp->states[at.state].flags & SB_STATE_EVENT_TIME
           ? c->event_ms : host->clock_ms(host);
    status = c->keyed->ops->get(c->keyed, &key, &value, err);
    if (status != SB_OK && status != SB_NOT_FOUND)
      return status;
    c->l->did.compared++;
    if (!cell_agrees(sp, at.state, &c->cells[index], status, value, from,
                     host->clock_ms(host))) {
      char want[200], got[100];

      cell_text(sp, index, &c->cells[index], want, sizeof want);
      answer_text(status, value, got, sizeof got);
      sim_fail(&c->l->s, SIM_WRONG, "%s: get: %s; the answer is %s", c->what,
               want, got);
    }
  }
  return SB_OK;
}
