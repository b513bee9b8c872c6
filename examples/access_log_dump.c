/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of the input: one line for each address and state, read with cursors
 * in the order of the segments, so that no block is read twice.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "access_log.h"

typedef struct dump {
  subtask *subtask;
  uint64_t keys;
  /* The list being put together: its address and its last paths, a ring. */
  int started;
  char address[ADDRESS_MAX + 32];
  size_t address_len;
  uint64_t count;
  size_t lens[RECENT_PATHS];
  char paths[RECENT_PATHS][LINE_LEN_MAX];
} dump;

typedef sb_status dump_row_fn(dump *d, const sb_row *row, sb_error *err);

static sb_status
dump_state(dump *d, const char *name, uint32_t kind, dump_row_fn *fn,
           sb_error *err)
{
  sb_keyed *keyed = d->subtask->keyed;
  sb_state_options options = { .struct_size = sizeof options };
  sb_state_info info = { .struct_size = sizeof info };
  sb_scan_options scan = { .struct_size = sizeof scan };
  sb_cursor *cursor;
  sb_row row;
  sb_status status;

  options.name = sb_slice_of(name, strlen(name));
  options.kind = kind;
  status = keyed->ops->register_state(keyed, &options, &info, err);
  if (status != SB_OK)
    return status;
  scan.state = info.id;
  (void)sb_key_group_range(KEY_GROUPS, d->subtask->job->settings.subtasks,
                           d->subtask->index, &scan.key_group_first,
                           &scan.key_group_last);
  status = keyed->ops->scan_open(keyed, &scan, &cursor, err);
  if (status != SB_OK)
    return status;
  do {
    status = keyed->ops->scan_next(keyed, cursor, &row, err);
    if (status == SB_OK)
      status = fn(d, &row, err);
  } while (status == SB_OK);
  keyed->ops->scan_close(keyed, cursor);
  return status == SB_END ? SB_OK : status;
}

static sb_status
dump_total(dump *d, const sb_row *row, sb_error *err)
{
  const uint8_t *value = row->value.data;

  if (row->value.len != TOTAL_LEN)
    return sb_error_set(err, SB_CORRUPT, "a total of %zu bytes",
                        row->value.len);
  d->keys++;
  return sink_print(&d->subtask->sink, err, "total %.*s %llu %llu\n",
                    (int)row->key.len, (const char *)row->key.data,
                    (unsigned long long)load_number(value),
                    (unsigned long long)load_number(value + 8));
}

static sb_status
dump_status(dump *d, const sb_row *row, sb_error *err)
{
  if (row->value.len != 8)
    return sb_error_set(err, SB_CORRUPT, "a count of %zu bytes",
                        row->value.len);
  return sink_print(&d->subtask->sink, err, "status %.*s %.*s %llu\n",
                    (int)row->key.len, (const char *)row->key.data,
                    (int)row->subkey.len, (const char *)row->subkey.data,
                    (unsigned long long)load_number(row->value.data));
}

static sb_status
dump_paths_end(dump *d, sb_error *err)
{
  sink *out = &d->subtask->sink;
  uint64_t first = d->count > RECENT_PATHS ? d->count - RECENT_PATHS : 0, i;
  sb_status status;

  if (!d->started)
    return SB_OK;
  status = sink_write(out, "paths ", 6, err);
  if (status == SB_OK)
    status = sink_write(out, d->address, d->address_len, err);
  for (i = first; status == SB_OK && i < d->count; i++) {
    status = sink_write(out, " ", 1, err);
    if (status == SB_OK)
      status = sink_write(out, d->paths[i % RECENT_PATHS],
                          d->lens[i % RECENT_PATHS], err);
  }
  return status == SB_OK ? sink_write(out, "\n", 1, err) : status;
}

static sb_status
dump_path(dump *d, const sb_row *row, sb_error *err)
{
  sb_status status;
  size_t slot;

  if (row->key.len > sizeof d->address || row->value.len > LINE_LEN_MAX)
    return sb_error_set(err, SB_CORRUPT, "a path of %zu bytes",
                        row->value.len);
  if (!d->started || row->key.len != d->address_len ||
      memcmp(row->key.data, d->address, d->address_len) != 0) {
    status = dump_paths_end(d, err);
    if (status != SB_OK)
      return status;
    d->started = 1;
    d->count = 0;
    d->address_len = row->key.len;
    memcpy(d->address, row->key.data, row->key.len);
  }
  slot = d->count++ % RECENT_PATHS;
  d->lens[slot] = row->value.len;
  memcpy(d->paths[slot], row->value.data, row->value.len);
  return SB_OK;
}

sb_status
state_dump(subtask *s, sb_error *err)
{
  dump *d = calloc(1, sizeof *d);
  sb_status status;

  if (d == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "could not write the results");
  d->subtask = s;
  status = dump_state(d, "totals", SB_STATE_VALUE, dump_total, err);
  if (status == SB_OK)
    status = dump_state(d, "statuses", SB_STATE_MAP, dump_status, err);
  if (status == SB_OK)
    status = dump_state(d, "paths", SB_STATE_LIST, dump_path, err);
  if (status == SB_OK)
    status = dump_paths_end(d, err);
  pthread_mutex_lock(&s->job->lock);
  s->counters.keys = d->keys;
  pthread_mutex_unlock(&s->job->lock);
  free(d);
  return status;
}
