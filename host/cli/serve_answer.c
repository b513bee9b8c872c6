/* SPDX-License-Identifier: Apache-2.0 */
/* The answers of sbctl serve, see serve.h: paths, and what is said to each. */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/rows.h"
#include "host/cli/serve.h"

#define HTTP_OK 200u
#define HTTP_BAD 400u
#define HTTP_NOT_FOUND 404u
#define HTTP_TOO_LARGE 413u
#define HTTP_FAILED 500u
#define HTTP_UNAVAILABLE 503u

#define SERVE_TRIES 5

static unsigned
serve_error(sb_error *err, unsigned http, const char *message)
{
  (void)sb_error_set(err, SB_INVALID, "%s", message);
  return http;
}

/* ---- the newest checkpoint ---------------------------------------------- */

static void
serve_close(serve *s)
{
  if (s->is_open)
    origin_close(&s->origin);
  s->is_open = 0;
}

void
serve_forget(serve *s)
{
  sb_backend *backend = s->c->backend;

  serve_close(s);
  if (s->list != NULL)
    backend->ops->list_free(backend, s->list, s->list_count);
  s->list = NULL;
  s->list_count = 0;
  s->read_ns = 0;
}

static int
serve_is_newest(const serve *s)
{
  const sb_checkpoint_info *info;

  if (!s->is_open)
    return 0;
  info = &s->origin.in.checkpoint->info;
  return info->id == s->list[0].id && strcmp(info->name, s->list[0].name) == 0;
}

static sb_status
serve_list(serve *s, sb_error *err)
{
  sb_backend *backend = s->c->backend;
  sb_checkpoint_info *list;
  size_t count;
  sb_status status = backend->ops->list(backend, s->c->job, &list, &count,
                                        err);

  if (status != SB_OK)
    return status;
  if (s->list != NULL)
    backend->ops->list_free(backend, s->list, s->list_count);
  s->list = list;
  s->list_count = count;
  s->read_ns = s->asked_ns;
  return SB_OK;
}

/* Reads HEAD, if that was a while ago, and opens the newest checkpoint. One
   that was just listed may be gone: then the job has a newer one. */
static sb_status
serve_refresh(serve *s, sb_error *err)
{
  origin_name name = { .kind = ORIGIN_CHECKPOINT };
  sb_status status = SB_NOT_FOUND;
  int tries;

  if (s->read_ns != 0 && s->asked_ns - s->read_ns < SERVE_HEAD_NS &&
      s->is_open)
    return SB_OK;
  for (tries = 0; status == SB_NOT_FOUND && tries < SERVE_TRIES; tries++) {
    status = serve_list(s, err);
    if (status != SB_OK)
      return status;
    if (s->list_count == 0)
      return sb_error_set(err, SB_NOT_FOUND, "the job has no checkpoint");
    if (serve_is_newest(s))
      return SB_OK;
    serve_close(s);
    name.id = s->list[0].id;
    status = origin_open(s->c, &name, &s->origin, err);
    s->is_open = status == SB_OK;
  }
  return status;
}

static unsigned
serve_newest(serve *s, sb_error *err)
{
  sb_status status = serve_refresh(s, err);

  return status == SB_OK ? HTTP_OK
         : status == SB_NOT_FOUND ? HTTP_NOT_FOUND : HTTP_UNAVAILABLE;
}

/* ---- checkpoints and states --------------------------------------------- */

static void
serve_checkpoint_fields(printer *out, const sb_checkpoint_info *info)
{
  print_number(out, "id", info->id);
  print_number(out, "generation", info->generation);
  print_number(out, "created_ms", info->created_ms);
  print_number(out, "parts", info->part_count);
  print_number(out, "size", info->size);
}

static unsigned
serve_checkpoints(serve *s, printer *out, sb_error *err)
{
  unsigned http = serve_newest(s, err);
  size_t i;

  if (http != HTTP_OK)
    return http;
  print_list(out, "checkpoints", "checkpoint");
  for (i = 0; i < s->list_count; i++) {
    print_row(out);
    serve_checkpoint_fields(out, &s->list[i]);
    print_row_end(out);
  }
  print_list_end(out);
  return HTTP_OK;
}

static unsigned
serve_checkpoint(serve *s, printer *out, sb_error *err)
{
  unsigned http = serve_newest(s, err);

  if (http == HTTP_OK)
    serve_checkpoint_fields(out, &s->origin.in.checkpoint->info);
  return http;
}

static unsigned
serve_states(serve *s, printer *out, sb_error *err)
{
  unsigned http = serve_newest(s, err);
  const origin_operator *o;
  size_t i, k;

  if (http != HTTP_OK)
    return http;
  print_number(out, "checkpoint", s->origin.in.checkpoint->info.id);
  print_list(out, "states", "state");
  for (i = 0; i < s->origin.operator_count; i++) {
    o = &s->origin.operators[i];
    for (k = 0; k < o->state_count; k++) {
      print_row(out);
      print_text(out, "operator", o->id);
      print_bytes(out, "name", o->states[k].state->name);
      print_text(out, "kind", inside_kind(o->states[k].state->kind));
      print_row_end(out);
    }
  }
  print_list_end(out);
  return HTTP_OK;
}

/* ---- one state ---------------------------------------------------------- */

/* What a query says of keys, as a selection; rows_select_dispose it. */
static unsigned
serve_bytes(sb_slice text, int hex, rows_bytes *out, sb_error *err)
{
  const char *p = text.data;
  size_t i;

  if (p == NULL)
    return HTTP_OK;
  out->given = 1;
  out->data = malloc(text.len + 1);
  if (out->data == NULL)
    return serve_error(err, HTTP_FAILED, "out of memory");
  if (!hex) {
    memcpy(out->data, p, text.len);
    out->len = text.len;
    return HTTP_OK;
  }
  for (i = 0; i < text.len; i += 2) {
    int high = rows_digit(p[i]);
    int low = i + 1 < text.len ? rows_digit(p[i + 1]) : -1;

    if (high < 0 || low < 0)
      return serve_error(err, HTTP_BAD, "key, ns and subkey are to be pairs "
                                        "of hexadecimal digits");
    out->data[out->len++] = (uint8_t)(high << 4 | low);
  }
  return HTTP_OK;
}

static int
serve_is(sb_slice value, const char *text)
{
  return value.len == strlen(text) && memcmp(value.data, text,
                                             value.len) == 0;
}

static unsigned
serve_limit(sb_slice text, uint64_t *limit, sb_error *err)
{
  const char *p = text.data;
  uint64_t value = 0;
  size_t i;

  *limit = SERVE_ROWS_DEFAULT;
  if (p == NULL)
    return HTTP_OK;
  for (i = 0; i < text.len && i < 7 && p[i] >= '0' && p[i] <= '9'; i++)
    value = value * 10 + (uint64_t)(p[i] - '0');
  if (i == 0 || i != text.len || value == 0 || value > SERVE_ROWS_MAX)
    return serve_error(err, HTTP_BAD,
                       "limit is to be a number from 1 to 10000");
  *limit = value;
  return HTTP_OK;
}

static unsigned
serve_select(const serve_query *q, rows_select *select, sb_error *err)
{
  int hex = 0;
  unsigned http;

  if (q->key_format.data != NULL) {
    hex = serve_is(q->key_format, "hex");
    if (!hex && !serve_is(q->key_format, "utf8"))
      return serve_error(err, HTTP_BAD, "key_format is to be hex or utf8");
  }
  http = serve_limit(q->limit, &select->limit, err);
  if (http == HTTP_OK)
    http = serve_bytes(q->key, hex, &select->key, err);
  if (http == HTTP_OK)
    http = serve_bytes(q->ns, hex, &select->ns, err);
  if (http == HTTP_OK)
    http = serve_bytes(q->subkey, hex, &select->subkey, err);
  return http;
}

/* The one state of that name; two operators may have one each. */
static unsigned
serve_find(serve *s, const serve_query *q, sb_slice name, origin_operator **o,
           const origin_state **state, sb_error *err)
{
  const origin_state *found;
  size_t i;

  *state = NULL;
  for (i = 0; i < s->origin.operator_count; i++) {
    if (q->operator_id.data != NULL &&
        !serve_is(q->operator_id, s->origin.operators[i].id))
      continue;
    found = origin_find_state(&s->origin.operators[i], name);
    if (found != NULL && *state != NULL)
      return serve_error(err, HTTP_BAD, "several operators have this state: "
                                        "say which with operator");
    if (found == NULL)
      continue;
    *state = found;
    *o = &s->origin.operators[i];
  }
  if (*state == NULL)
    return serve_error(err, HTTP_NOT_FOUND, "there is no such state");
  return HTTP_OK;
}

/* 1 if a row of a scan is one that was asked for. */
static int
serve_wants(const rows_select *select, const sb_row *row)
{
  if (select->key.given &&
      (row->key.len != select->key.len ||
       memcmp(row->key.data, select->key.data, row->key.len) != 0))
    return 0;
  return !select->subkey.given ||
         (row->subkey.len == select->subkey.len &&
          memcmp(row->subkey.data, select->subkey.data,
                 row->subkey.len) == 0);
}

static void
serve_row(printer *out, const manifest_state *state, const sb_row *row,
          int keys)
{
  uint64_t time_ms;

  print_row(out);
  if (state->kind == SB_STATE_TIMER && rows_time(row->key, &time_ms))
    print_number(out, "time_ms", time_ms);
  if (keys || state->kind == SB_STATE_TIMER)
    print_bytes(out, "key", row->key);
  if (keys && row->ns.len != 0)
    print_bytes(out, "ns", row->ns);
  if (!keys && state->kind == SB_STATE_MAP)
    print_bytes(out, "subkey", row->subkey);
  if (!keys)
    print_bytes(out, "value", row->value);
  if (!keys && row->expires_ms != 0)
    print_number(out, "expires_ms", row->expires_ms);
  print_row_end(out);
}

/* Rows of an open cursor, to the limit; *count of them were printed. */
static unsigned
serve_rows(sb_keyed *keyed, sb_cursor *cursor, const rows_select *select,
           const manifest_state *state, printer *out, uint64_t *count,
           int *more, sb_error *err)
{
  sb_status status;
  sb_row row;
  size_t bytes = 0;
  int keys = select->what == ROWS_PAIRS;

  while ((status = keyed->ops->scan_next(keyed, cursor, &row, err)) == SB_OK) {
    if (cli_interrupted())
      return serve_error(err, HTTP_UNAVAILABLE, "stopping");
    if (!serve_wants(select, &row))
      continue;
    bytes += row.key.len + row.ns.len + row.subkey.len + row.value.len;
    if (bytes > SERVE_BODY_MAX && *count == 0)
      return serve_error(err, HTTP_TOO_LARGE,
                         "this is too large to be answered: use sbctl get");
    *more = *count == select->limit || bytes > SERVE_BODY_MAX;
    if (*more)
      return HTTP_OK;
    serve_row(out, state, &row, keys);
    (*count)++;
  }
  return status == SB_END ? HTTP_OK : HTTP_UNAVAILABLE;
}

static unsigned
serve_range(const origin_operator *o, const origin_state *state,
            const rows_select *select, const sb_scan_options *options,
            printer *out, uint64_t *count, int *more, sb_error *err)
{
  sb_cursor *cursor;
  unsigned http;

  if (o->keyed->ops->scan_open(o->keyed, options, &cursor, err) != SB_OK)
    return HTTP_UNAVAILABLE;
  http = serve_rows(o->keyed, cursor, select, state->state, out, count, more,
                    err);
  o->keyed->ops->scan_close(o->keyed, cursor);
  return http;
}

static unsigned
serve_scan(serve *s, origin_operator *o, const origin_state *state,
           const rows_select *select, printer *out, sb_error *err)
{
  int keys = select->what == ROWS_PAIRS, more = 0;
  sb_scan_options options;
  uint64_t count = 0;
  unsigned http;

  if (origin_keyed(&s->origin, o, err) != SB_OK)
    return HTTP_UNAVAILABLE;
  rows_scan_options(select, o, state, &options);
  print_number(out, "checkpoint", s->origin.in.checkpoint->info.id);
  print_text(out, "operator", o->id);
  print_text(out, "kind", inside_kind(state->state->kind));
  print_list(out, keys ? "keys" : "rows", "row");
  http = serve_range(o, state, select, &options, out, &count, &more, err);
  if (http == HTTP_OK && count == 0 && rows_widen(select, o, &options))
    http = serve_range(o, state, select, &options, out, &count, &more, err);
  print_list_end(out);
  print_flag(out, "more", more);
  if (http == HTTP_OK && !keys && count == 0)
    return serve_error(err, HTTP_NOT_FOUND, "there is no such key");
  return http;
}

/* /v1/state/NAME/get and /v1/state/NAME/keys. */
static unsigned
serve_state(serve *s, const serve_query *q, sb_slice name, int keys,
            printer *out, sb_error *err)
{
  rows_select select;
  const origin_state *state = NULL;
  origin_operator *o = NULL;
  unsigned http;

  memset(&select, 0, sizeof select);
  http = serve_select(q, &select, err);
  select.what = keys ? ROWS_PAIRS : ROWS_ALL;
  if (http == HTTP_OK && !keys && !select.key.given)
    http = serve_error(err, HTTP_BAD, "key is missing");
  if (!keys)
    select.ns.given = 1; /* the void namespace unless told otherwise */
  if (http == HTTP_OK)
    http = serve_newest(s, err);
  if (http == HTTP_OK)
    http = serve_find(s, q, name, &o, &state, err);
  if (http == HTTP_OK)
    http = serve_scan(s, o, state, &select, out, err);
  rows_select_dispose(&select);
  return http;
}

/* ---- paths -------------------------------------------------------------- */

/* 1 if `path` is "/v1/state/NAME" and then `end`; NAME may have slashes. */
static int
serve_state_path(const char *path, const char *end, sb_slice *name)
{
  static const char begin[] = "/v1/state/";
  size_t len = strlen(path), before = sizeof begin - 1, after = strlen(end);

  if (len <= before + after || strncmp(path, begin, before) != 0 ||
      strcmp(path + len - after, end) != 0)
    return 0;
  *name = sb_slice_of(path + before, len - before - after);
  return 1;
}

static unsigned
serve_path(serve *s, const serve_query *q, printer *out, sb_error *err)
{
  sb_slice name;

  if (strcmp(q->path, "/healthz") == 0) {
    print_flag(out, "ok", 1);
    return HTTP_OK;
  }
  if (strcmp(q->path, "/v1/checkpoints") == 0)
    return serve_checkpoints(s, out, err);
  if (strcmp(q->path, "/v1/checkpoints/newest") == 0)
    return serve_checkpoint(s, out, err);
  if (strcmp(q->path, "/v1/states") == 0)
    return serve_states(s, out, err);
  if (serve_state_path(q->path, "/get", &name))
    return serve_state(s, q, name, 0, out, err);
  if (serve_state_path(q->path, "/keys", &name))
    return serve_state(s, q, name, 1, out, err);
  return serve_error(err, HTTP_NOT_FOUND, "there is no such page");
}

unsigned
serve_answer(serve *s, const serve_query *query, FILE *to, sb_error *err)
{
  printer out;
  unsigned http;

  print_begin(&out, to, 1);
  http = serve_path(s, query, &out, err);
  (void)print_end(&out);
  return http;
}
