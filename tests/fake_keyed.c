/* SPDX-License-Identifier: Apache-2.0 */
/* The unit tests' keyed handle and backend; see fake_keyed.h. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/fake_keyed.h"

struct sb_cursor {
  sb_scan_options options;
  sb_slice ns, key, start, end;
  fake_record last; /* copies of the place returned last */
  int started;
  sb_slice value;
};

struct sb_snapshot {
  uint64_t id;
  sb_part part;
  int cancelled;
};

static fake_keyed *
fake_of(sb_keyed *keyed)
{
  return (fake_keyed *)keyed;
}

static sb_slice
fake_copy(sb_slice slice)
{
  void *data = malloc(slice.len + 1);

  if (slice.len != 0)
    memcpy(data, slice.data, slice.len);
  return sb_slice_of(data, slice.len);
}

static void
fake_drop(sb_slice *slice)
{
  free((void *)slice->data);
  *slice = sb_slice_of(NULL, 0);
}

static int
fake_compare_slices(sb_slice a, sb_slice b)
{
  size_t n = a.len < b.len ? a.len : b.len;
  int c = n == 0 ? 0 : memcmp(a.data, b.data, n);

  return c != 0 ? c : a.len < b.len ? -1 : a.len > b.len;
}

static int
fake_compare(const fake_record *a, const fake_record *b)
{
  int c;

  if (a->state != b->state)
    return a->state < b->state ? -1 : 1;
  if (a->key_group != b->key_group)
    return a->key_group < b->key_group ? -1 : 1;
  if ((c = fake_compare_slices(a->ns, b->ns)) != 0)
    return c;
  if ((c = fake_compare_slices(a->key, b->key)) != 0)
    return c;
  return fake_compare_slices(a->subkey, b->subkey);
}

/* Index of the first record not below `want`. */
static size_t
fake_find(const fake_keyed *fake, const fake_record *want)
{
  size_t i = 0;

  while (i < fake->count && fake_compare(&fake->records[i], want) < 0)
    i++;
  return i;
}

static fake_record
fake_place(const sb_key *key)
{
  return (fake_record){ .state = key->state, .key_group = key->key_group,
                        .ns = key->ns, .key = key->key,
                        .subkey = key->subkey };
}

static int
fake_at(const fake_keyed *fake, size_t i, const fake_record *want)
{
  return i < fake->count && fake_compare(&fake->records[i], want) == 0;
}

static void
fake_record_dispose(fake_record *record)
{
  fake_drop(&record->ns);
  fake_drop(&record->key);
  fake_drop(&record->subkey);
  fake_drop(&record->value);
}

static void
fake_remove_at(fake_keyed *fake, size_t i)
{
  fake_record_dispose(&fake->records[i]);
  memmove(fake->records + i, fake->records + i + 1,
          (--fake->count - i) * sizeof *fake->records);
}

static void
fake_store(fake_keyed *fake, const fake_record *place, sb_slice value)
{
  size_t i = fake_find(fake, place);
  sb_slice copy = fake_copy(value);

  if (fake_at(fake, i, place)) {
    fake_drop(&fake->records[i].value);
    fake->records[i].value = copy;
    return;
  }
  if (fake->count == fake->cap) {
    fake->cap = fake->cap == 0 ? 64 : fake->cap * 2;
    fake->records = realloc(fake->records,
                            fake->cap * sizeof *fake->records);
  }
  memmove(fake->records + i + 1, fake->records + i,
          (fake->count++ - i) * sizeof *fake->records);
  fake->records[i] = (fake_record){
    .state = place->state, .key_group = place->key_group,
    .ns = fake_copy(place->ns), .key = fake_copy(place->key),
    .subkey = fake_copy(place->subkey), .value = copy
  };
}

static sb_status
fake_call(fake_keyed *fake, sb_error *err)
{
  if (++fake->calls == fake->fail_at)
    return sb_error_set(err, SB_IO, "made to fail");
  return SB_OK;
}

/* ---- methods ------------------------------------------------------------ */

static sb_status
fake_register(sb_keyed *keyed, const sb_state_options *options,
              sb_state_info *info, sb_error *err)
{
  fake_keyed *fake = fake_of(keyed);
  uint32_t i;

  if (fake_call(fake, err) != SB_OK)
    return SB_IO;
  for (i = 0; i < fake->state_count; i++)
    if (fake_compare_slices(fake->names[i], options->name) == 0)
      break;
  if (i == fake->state_count) {
    fake->names[i] = fake_copy(options->name);
    fake->kinds[i] = options->kind;
    fake->state_count++;
  } else if (fake->kinds[i] != options->kind) {
    return sb_error_set(err, SB_MISMATCH, "another kind of state");
  }
  info->id = i;
  info->kind = options->kind;
  return SB_OK;
}

static sb_status
fake_get_list(fake_keyed *fake, const fake_record *place, sb_slice *value,
              sb_error *err)
{
  uint8_t *data = NULL;
  size_t len = 0, i = fake_find(fake, place), n;

  for (; i < fake->count; i++) {
    fake_record place_only = fake->records[i];

    place_only.subkey = sb_slice_of(NULL, 0);
    if (fake_compare(&place_only, place) != 0)
      break;
    n = fake->records[i].value.len;
    data = realloc(data, len + 4 + n);
    data[len] = (uint8_t)n;
    data[len + 1] = (uint8_t)(n >> 8);
    data[len + 2] = (uint8_t)(n >> 16);
    data[len + 3] = (uint8_t)(n >> 24);
    memcpy(data + len + 4, fake->records[i].value.data, n);
    len += 4 + n;
  }
  fake_drop(&fake->list);
  fake->list = sb_slice_of(data, len);
  if (data == NULL)
    return SB_NOT_FOUND;
  if (fake->list_max != 0 && len > fake->list_max)
    return sb_error_set(err, SB_TOO_LARGE, "a list of %zu bytes", len);
  *value = fake->list;
  return SB_OK;
}

static sb_status
fake_get(sb_keyed *keyed, const sb_key *key, sb_slice *value, sb_error *err)
{
  fake_keyed *fake = fake_of(keyed);
  fake_record place = fake_place(key);
  size_t i = fake_find(fake, &place);

  if (fake_call(fake, err) != SB_OK)
    return SB_IO;
  if (fake->kinds[key->state] == SB_STATE_LIST)
    return fake_get_list(fake, &place, value, err);
  if (!fake_at(fake, i, &place))
    return sb_error_set(err, SB_NOT_FOUND, "no record");
  *value = fake->records[i].value;
  return SB_OK;
}

static sb_status
fake_put(sb_keyed *keyed, const sb_key *key, sb_slice value,
         uint64_t expires_ms, sb_error *err)
{
  fake_record place = fake_place(key);

  (void)expires_ms;
  if (fake_call(fake_of(keyed), err) != SB_OK)
    return SB_IO;
  fake_store(fake_of(keyed), &place, value);
  return SB_OK;
}

static sb_status
fake_remove(sb_keyed *keyed, const sb_key *key, sb_error *err)
{
  fake_keyed *fake = fake_of(keyed);
  fake_record place = fake_place(key);
  size_t i = fake_find(fake, &place);

  if (fake_call(fake, err) != SB_OK)
    return SB_IO;
  if (fake_at(fake, i, &place))
    fake_remove_at(fake, i);
  return SB_OK;
}

static sb_status
fake_append(sb_keyed *keyed, const sb_key *key, sb_slice value,
            uint64_t expires_ms, sb_error *err)
{
  fake_keyed *fake = fake_of(keyed);
  fake_record place = fake_place(key);
  uint8_t subkey[8];
  int i;

  (void)expires_ms;
  if (fake_call(fake, err) != SB_OK)
    return SB_IO;
  fake->sequence++;
  for (i = 0; i < 8; i++)
    subkey[i] = (uint8_t)(fake->sequence >> (56 - 8 * i));
  place.subkey = sb_slice_of(subkey, sizeof subkey);
  fake_store(fake, &place, value);
  return SB_OK;
}

static sb_status
fake_update(sb_keyed *keyed, const sb_key *key, sb_update_fn *fn, void *arg,
            sb_error *err)
{
  fake_keyed *fake = fake_of(keyed);
  fake_record place = fake_place(key);
  size_t i = fake_find(fake, &place);
  sb_update update = { .struct_size = sizeof update };
  sb_status status;

  if (fake_call(fake, err) != SB_OK)
    return SB_IO;
  if (fake_at(fake, i, &place)) {
    update.exists = 1;
    update.data = (void *)fake->records[i].value.data;
    update.len = fake->records[i].value.len;
  }
  status = fn(arg, &update);
  if (status != SB_OK)
    return status;
  if (update.action == SB_UPDATE_PUT)
    fake_store(fake, &place, update.replacement);
  else if (update.action == SB_UPDATE_REMOVE && update.exists)
    fake_remove_at(fake, i);
  return SB_OK;
}

static sb_status
fake_clear(sb_keyed *keyed, const sb_key *key, sb_error *err)
{
  fake_keyed *fake = fake_of(keyed);
  fake_record place = fake_place(key);
  size_t i;

  if (fake_call(fake, err) != SB_OK)
    return SB_IO;
  place.subkey = sb_slice_of(NULL, 0);
  i = fake_find(fake, &place);
  while (i < fake->count) {
    fake_record place_only = fake->records[i];

    place_only.subkey = sb_slice_of(NULL, 0);
    if (fake_compare(&place_only, &place) != 0)
      break;
    fake_remove_at(fake, i);
  }
  return SB_OK;
}

static sb_status
fake_scan_open(sb_keyed *keyed, const sb_scan_options *options,
               sb_cursor **out, sb_error *err)
{
  sb_cursor *cursor;

  *out = NULL;
  if (fake_call(fake_of(keyed), err) != SB_OK)
    return SB_IO;
  fake_of(keyed)->scans++;
  cursor = calloc(1, sizeof *cursor);
  cursor->options = *options;
  cursor->ns = fake_copy(options->ns);
  cursor->key = fake_copy(options->key);
  cursor->start = fake_copy(options->start);
  cursor->end = fake_copy(options->end);
  *out = cursor;
  return SB_OK;
}

static int
fake_selects(const fake_keyed *fake, const sb_cursor *cursor,
             const fake_record *record)
{
  const sb_scan_options *o = &cursor->options;
  sb_slice sort = fake->kinds[o->state] == SB_STATE_TIMER ? record->key
                                                          : record->subkey;

  return record->state == o->state &&
         record->key_group >= o->key_group_first &&
         record->key_group <= o->key_group_last &&
         (!o->has_ns || fake_compare_slices(record->ns, cursor->ns) == 0) &&
         (!o->has_key || fake_compare_slices(record->key, cursor->key) == 0) &&
         (cursor->start.len == 0 ||
          fake_compare_slices(sort, cursor->start) >= 0) &&
         (cursor->end.len == 0 || fake_compare_slices(sort, cursor->end) < 0);
}

static sb_status
fake_scan_next(sb_keyed *keyed, sb_cursor *cursor, sb_row *row,
               sb_error *err)
{
  fake_keyed *fake = fake_of(keyed);
  size_t i;

  if (fake_call(fake, err) != SB_OK)
    return SB_IO;
  for (i = 0; i < fake->count; i++) {
    fake_record *record = &fake->records[i];

    if (!fake_selects(fake, cursor, record) ||
        (cursor->started && fake_compare(record, &cursor->last) <= 0))
      continue;
    fake_record_dispose(&cursor->last);
    cursor->last = (fake_record){
      .state = record->state, .key_group = record->key_group,
      .ns = fake_copy(record->ns), .key = fake_copy(record->key),
      .subkey = fake_copy(record->subkey), .value = fake_copy(record->value)
    };
    cursor->started = 1;
    *row = (sb_row){ .key_group = record->key_group, .ns = cursor->last.ns,
                     .key = cursor->last.key, .subkey = cursor->last.subkey,
                     .value = cursor->last.value };
    return SB_OK;
  }
  return SB_END;
}

static void
fake_scan_close(sb_keyed *keyed, sb_cursor *cursor)
{
  (void)keyed;
  fake_drop(&cursor->ns);
  fake_drop(&cursor->key);
  fake_drop(&cursor->start);
  fake_drop(&cursor->end);
  fake_record_dispose(&cursor->last);
  free(cursor);
}

/* ---- snapshots ---------------------------------------------------------- */

static void
fake_note(fake_keyed *fake, char kind, uint64_t id)
{
  if (fake->event_count < FAKE_EVENTS_MAX)
    fake->events[fake->event_count++] = (fake_event){ kind, id };
}

static sb_status
fake_snapshot_begin(sb_keyed *keyed, const sb_snapshot_options *options,
                    sb_snapshot **out, sb_error *err)
{
  fake_keyed *fake = fake_of(keyed);

  *out = NULL;
  if (fake->begin_status != SB_OK)
    return sb_error_set(err, fake->begin_status, "begin made to fail");
  *out = calloc(1, sizeof **out);
  (*out)->id = options->checkpoint_id;
  (*out)->part.struct_size = sizeof (sb_part);
  fake->snapshots++;
  return SB_OK;
}

static sb_status
fake_snapshot_run(sb_keyed *keyed, sb_snapshot *snapshot, const sb_part **part,
                  sb_error *err)
{
  fake_keyed *fake = fake_of(keyed);

  *part = NULL;
  if (snapshot->cancelled)
    return sb_error_set(err, SB_CANCELLED, "cancelled");
  if (fake->run_status != SB_OK)
    return sb_error_set(err, fake->run_status, "run made to fail");
  *part = &snapshot->part;
  return SB_OK;
}

static void
fake_snapshot_cancel(sb_keyed *keyed, sb_snapshot *snapshot)
{
  snapshot->cancelled = 1;
  fake_note(fake_of(keyed), 'X', snapshot->id);
}

static void
fake_snapshot_free(sb_keyed *keyed, sb_snapshot *snapshot)
{
  fake_of(keyed)->snapshots--;
  fake_note(fake_of(keyed), 'F', snapshot->id);
  free(snapshot);
}

static sb_status
fake_notify(sb_keyed *keyed, uint32_t what, uint64_t id, sb_error *err)
{
  (void)err;
  fake_note(fake_of(keyed), what == SB_NOTIFY_COMPLETE ? 'C' : 'A', id);
  return SB_OK;
}

static const sb_keyed_ops fake_keyed_ops = {
  .struct_size = sizeof (sb_keyed_ops),
  .abi_version = SB_ABI_VERSION,
  .register_state = fake_register,
  .get = fake_get,
  .put = fake_put,
  .remove = fake_remove,
  .append = fake_append,
  .update = fake_update,
  .clear = fake_clear,
  .scan_open = fake_scan_open,
  .scan_next = fake_scan_next,
  .scan_close = fake_scan_close,
  .snapshot_begin = fake_snapshot_begin,
  .snapshot_run = fake_snapshot_run,
  .snapshot_cancel = fake_snapshot_cancel,
  .snapshot_free = fake_snapshot_free,
  .notify = fake_notify
};

void
fake_keyed_init(fake_keyed *fake)
{
  memset(fake, 0, sizeof *fake);
  fake->keyed.ops = &fake_keyed_ops;
}

void
fake_keyed_dispose(fake_keyed *fake)
{
  uint32_t i;

  while (fake->count != 0)
    fake_remove_at(fake, fake->count - 1);
  free(fake->records);
  for (i = 0; i < fake->state_count; i++)
    fake_drop(&fake->names[i]);
  fake_drop(&fake->list);
}

/* ---- backend ------------------------------------------------------------ */

struct sb_job {
  fake_backend *fake;
};

static sb_status
fake_takeover(sb_backend *backend, const sb_takeover_options *options,
              sb_job **out, sb_error *err)
{
  fake_backend *fake = (fake_backend *)backend;

  (void)options;
  (void)err;
  *out = malloc(sizeof **out);
  (*out)->fake = fake;
  fake->jobs++;
  return SB_OK;
}

static uint64_t
fake_job_generation(sb_job *job)
{
  (void)job;
  return 7;
}

static void
fake_job_close(sb_job *job)
{
  job->fake->jobs--;
  free(job);
}

static sb_status
fake_commit(sb_job *job, const sb_commit_options *options, sb_error *err)
{
  fake_backend *fake = job->fake;
  size_t n = fake->commits++;
  sb_status status = n < fake->script_len ? fake->script[n] : SB_OK;
  size_t len = options->blob.len < 63 ? options->blob.len : 63;

  if (status != SB_OK)
    return sb_error_set(err, status, "commit made to fail");
  memcpy(fake->blobs[fake->committed_count], options->blob.data, len);
  fake->blobs[fake->committed_count][len] = '\0';
  fake->committed[fake->committed_count++] = options->id;
  return SB_OK;
}

static sb_status
fake_list(sb_backend *backend, const char *job, sb_checkpoint_info **out,
          size_t *count, sb_error *err)
{
  fake_backend *fake = (fake_backend *)backend;

  (void)job;
  (void)err;
  *out = calloc(1, sizeof **out);
  (*out)->id = fake->newest > fake->stored ? fake->newest : fake->stored;
  *count = 1;
  return SB_OK;
}

static void
fake_list_free(sb_backend *backend, sb_checkpoint_info *list, size_t count)
{
  (void)backend;
  (void)count;
  free(list);
}

static sb_status
fake_checkpoint_open(sb_backend *backend, const char *job, uint64_t id,
                     uint32_t flags, sb_checkpoint **out, sb_error *err)
{
  fake_backend *fake = (fake_backend *)backend;

  (void)job;
  (void)flags;
  *out = NULL;
  if (fake->stored == 0 || (id != 0 && id != fake->stored))
    return sb_error_set(err, SB_NOT_FOUND, "no checkpoint");
  *out = calloc(1, sizeof **out);
  (*out)->info.id = fake->stored;
  fake->checkpoints++;
  return SB_OK;
}

static void
fake_checkpoint_close(sb_backend *backend, sb_checkpoint *checkpoint)
{
  ((fake_backend *)backend)->checkpoints--;
  free(checkpoint);
}

static sb_status
fake_gc(sb_job *job, uint32_t flags, sb_gc_report *report, sb_error *err)
{
  (void)flags;
  (void)report;
  if (job->fake->gc_status == SB_OK)
    return SB_OK;
  return sb_error_set(err, job->fake->gc_status, "gc made to fail");
}

static const sb_backend_ops fake_backend_ops = {
  .struct_size = sizeof (sb_backend_ops),
  .abi_version = SB_ABI_VERSION,
  .takeover = fake_takeover,
  .job_generation = fake_job_generation,
  .job_close = fake_job_close,
  .commit = fake_commit,
  .list = fake_list,
  .list_free = fake_list_free,
  .checkpoint_open = fake_checkpoint_open,
  .checkpoint_close = fake_checkpoint_close,
  .gc = fake_gc
};

void
fake_backend_init(fake_backend *fake)
{
  memset(fake, 0, sizeof *fake);
  fake->backend.ops = &fake_backend_ops;
}
