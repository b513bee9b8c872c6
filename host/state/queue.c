/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Priority queues over a keyed handle. Every change goes to the handle first
 * and to the cache of near elements (queue_cache.c) afterwards, so that a
 * restart finds them all. A record is the element's rank, if there is one, and
 * the element.
 */
#include "config.h"

#include <statebackend/plugin.h>
#include "host/base/slice.h"
#include "host/state/queue.h"

static const sb_slice queue_nothing = { NULL, 0 };

static sb_status
queue_fail_memory(sb_error *err)
{
  return sb_fail(err, SB_NO_MEMORY, "could not keep a queue: out of memory");
}

/* ---- life --------------------------------------------------------------- */

sb_status
queue_init(sb_queue *queue, sb_keyed *keyed, const sb_host *host,
           uint32_t state, const sb_queue_options *options,
           uint32_t order_len, sb_error *err)
{
  uint32_t groups = options->key_group_last - options->key_group_first + 1;

  queue->keyed = keyed;
  queue->host = host;
  queue->state = state;
  queue->key_group_first = options->key_group_first;
  queue->key_group_last = options->key_group_last;
  queue->rank_len = options->rank_len;
  queue->rank = options->rank;
  queue->rank_arg = options->rank_arg;
  buf_init(&queue->record, host, SB_KEY_MAX);
  buf_init(&queue->lent, host, SIZE_MAX / 2);
  if (queue_cache_init(&queue->cache, host, groups, order_len,
                       options->memory != 0 ? options->memory
                                            : SB_QUEUE_MEMORY) != SB_OK)
    return queue_fail_memory(err);
  return SB_OK;
}

void
queue_dispose(sb_queue *queue)
{
  if (queue->host == NULL)
    return;
  queue_cache_dispose(&queue->cache);
  buf_dispose(&queue->record);
  buf_dispose(&queue->lent);
}

static sb_status
queue_check(const sb_queue_options *o, sb_error *err)
{
  if (o->state == NULL || o->state->kind != SB_STATE_TIMER)
    return sb_fail(err, SB_INVALID, "cannot open a queue: its state is not of "
                   "kind timer");
  if (o->key_group_first > o->key_group_last ||
      o->key_group_last >= SB_KEY_GROUPS_MAX)
    return sb_fail(err, SB_INVALID, "cannot open queue \"%.*s\": key groups "
                   "%u to %u", (int)o->state->name.len,
                   (const char *)o->state->name.data, o->key_group_first,
                   o->key_group_last);
  if ((o->rank == NULL) != (o->rank_len == 0) || o->rank_len >= SB_KEY_MAX)
    return sb_fail(err, SB_INVALID, "cannot open queue \"%.*s\": a rank "
                   "function has to give 1 to %u bytes, not %u",
                   (int)o->state->name.len,
                   (const char *)o->state->name.data, SB_KEY_MAX - 1,
                   o->rank_len);
  return SB_OK;
}

sb_status
sb_queue_open(sb_keyed *keyed, const sb_host *host,
              const sb_queue_options *given, sb_state_info *info,
              sb_queue **out, sb_error *err)
{
  sb_queue_options options = { .struct_size = sizeof options };
  sb_state_info own = { .struct_size = sizeof own };
  sb_queue *queue;
  sb_status status;

  if (out != NULL)
    *out = NULL;
  if (keyed == NULL || host == NULL || given == NULL || out == NULL)
    return sb_fail(err, SB_INVALID, "cannot open a queue: an argument is "
                   "NULL");
  memcpy(&options, given, given->struct_size < sizeof options
                            ? given->struct_size : sizeof options);
  status = queue_check(&options, err);
  if (status != SB_OK)
    return status;
  queue = mem_zalloc(host, sizeof *queue);
  if (queue == NULL)
    return queue_fail_memory(err);
  if (info == NULL)
    info = &own;
  status = keyed->ops->register_state(keyed, options.state, info, err);
  if (status == SB_OK)
    status = queue_init(queue, keyed, host, info->id, &options,
                        options.rank_len, err);
  if (status != SB_OK) {
    queue_dispose(queue);
    mem_free(host, queue);
    return status;
  }
  *out = queue;
  return SB_OK;
}

void
sb_queue_close(sb_queue *queue)
{
  const sb_host *host;

  if (queue == NULL)
    return;
  host = queue->host;
  queue_dispose(queue);
  mem_free(host, queue);
}

sb_status
queue_need(const sb_queue *queue, sb_error *err)
{
  if (queue != NULL)
    return SB_OK;
  return sb_fail(err, SB_INVALID, "cannot use a queue that is NULL");
}

sb_status
queue_need_room(const sb_queue *queue, const void *room, sb_error *err)
{
  sb_status status = queue_need(queue, err);

  if (status != SB_OK || room != NULL)
    return status;
  return sb_fail(err, SB_INVALID, "cannot use a queue: an argument is NULL");
}

/* ---- records ------------------------------------------------------------ */

static sb_status
queue_add_rank(sb_queue *queue, sb_slice element, sb_error *err)
{
  buf *record = &queue->record;
  sb_status status = queue->rank(queue->rank_arg, element, buf_give, record);

  if (record->status == SB_NO_MEMORY)
    return queue_fail_memory(err);
  if (status != SB_OK && record->status == SB_OK)
    return sb_fail(err, status, "could not rank an element of %zu bytes: the "
                   "caller's function failed", element.len);
  if (record->len != queue->rank_len || record->status != SB_OK)
    return sb_fail(err, SB_INVALID, "cannot rank an element of %zu bytes: its "
                   "rank has %zu bytes, those of the queue have %u",
                   element.len, record->len, queue->rank_len);
  return SB_OK;
}

/* The record of an element, in queue->record. */
static sb_status
queue_place(sb_queue *queue, uint32_t key_group, sb_slice element,
            sb_key *place, sb_error *err)
{
  sb_status status = queue_need(queue, err);
  buf *record;

  if (status != SB_OK)
    return status;
  if (key_group < queue->key_group_first || key_group > queue->key_group_last)
    return sb_fail(err, SB_INVALID, "cannot use key group %u: this queue has "
                   "%u to %u", key_group, queue->key_group_first,
                   queue->key_group_last);
  if (element.len == 0)
    return sb_fail(err, SB_INVALID, "cannot keep an element without bytes");
  if (slice_bad(element))
    return slice_refuse(element, "the element", err);
  record = &queue->record;
  buf_clear(record);
  if (queue->rank != NULL) {
    status = queue_add_rank(queue, element, err);
    if (status != SB_OK)
      return status;
  }
  buf_add(record, element.data, element.len);
  if (record->status == SB_TOO_LARGE)
    return sb_fail(err, SB_TOO_LARGE, "cannot keep an element of %zu bytes: "
                   "the limit is %u, its rank included", element.len,
                   SB_KEY_MAX);
  if (record->status != SB_OK)
    return queue_fail_memory(err);
  memset(place, 0, sizeof *place);
  place->state = queue->state;
  place->key_group = key_group;
  place->key = sb_slice_of(record->data, record->len);
  return SB_OK;
}

static uint32_t
queue_index(const sb_queue *queue, uint32_t key_group)
{
  return key_group - queue->key_group_first;
}

static sb_queue_element
queue_element(const sb_queue *queue, const queue_group *group,
              sb_slice record)
{
  sb_queue_element element = { .key_group = queue->key_group_first };

  element.key_group += queue_cache_index(&queue->cache, group);
  element.bytes = sb_slice_of((const uint8_t *)record.data + queue->rank_len,
                              record.len - queue->rank_len);
  return element;
}

sb_status
queue_check_record(const sb_queue *queue, sb_slice record, sb_error *err)
{
  if (record.len > queue->rank_len)
    return SB_OK;
  return sb_fail(err, SB_CORRUPT, "could not read a queue: a record has %zu "
                 "bytes, its rank alone %u", record.len, queue->rank_len);
}

/* ---- the first element -------------------------------------------------- */

static sb_status
queue_fill_rows(sb_queue *queue, queue_group *group, sb_cursor *cursor,
                sb_error *err)
{
  sb_keyed *keyed = queue->keyed;
  sb_status status;
  sb_row row;

  do {
    status = keyed->ops->scan_next(keyed, cursor, &row, err);
    if (status == SB_OK)
      status = queue_check_record(queue, row.key, err);
    if (status != SB_OK)
      break;
    status = queue_cache_fill(&queue->cache, group, row.key);
    if (status == SB_NO_MEMORY)
      return queue_fail_memory(err);
  } while (status == SB_OK);
  if (status != SB_END && status != SB_BUSY)
    return status;
  queue_cache_fill_end(&queue->cache, group, status == SB_END);
  return SB_OK;
}

/* Reads the next elements of a group that has none in memory. */
static sb_status
queue_fill(sb_queue *queue, queue_group *group, sb_error *err)
{
  sb_scan_options options = { .struct_size = sizeof options };
  sb_keyed *keyed = queue->keyed;
  sb_cursor *cursor;
  sb_status status;

  options.state = queue->state;
  options.key_group_first = queue->key_group_first +
                            queue_cache_index(&queue->cache, group);
  options.key_group_last = options.key_group_first;
  if (group->has_bound)
    options.start = queue_entry_record(group, &group->bound);
  status = keyed->ops->scan_open(keyed, &options, &cursor, err);
  if (status != SB_OK)
    return status;
  status = queue_fill_rows(queue, group, cursor, err);
  keyed->ops->scan_close(keyed, cursor);
  if (status != SB_OK)
    queue_cache_fill_fail(group);
  return status;
}

/* The group with the first element of all, filled; SB_END if there is none. */
static sb_status
queue_first(sb_queue *queue, queue_group **out, sb_error *err)
{
  sb_status status = queue_need(queue, err);
  queue_group *group;

  if (status != SB_OK)
    return status;
  for (;;) {
    group = queue_cache_first(&queue->cache);
    if (group == NULL)
      return SB_END;
    if (group->count != 0)
      break;
    status = queue_fill(queue, group, err);
    if (status != SB_OK)
      return status;
  }
  *out = group;
  return SB_OK;
}

sb_status
sb_queue_peek(sb_queue *queue, sb_queue_element *element, sb_error *err)
{
  queue_group *group;
  sb_status status = queue_need_room(queue, element, err);

  if (status == SB_OK)
    status = queue_first(queue, &group, err);
  if (status != SB_OK)
    return status;
  *element = queue_element(queue, group,
                           queue_entry_record(group,
                                              queue_group_first(group)));
  return SB_OK;
}

sb_status
sb_queue_is_empty(sb_queue *queue, int *empty, sb_error *err)
{
  queue_group *group;
  sb_status status = queue_need_room(queue, empty, err);

  if (status == SB_OK)
    status = queue_first(queue, &group, err);
  if (status != SB_OK && status != SB_END)
    return status;
  *empty = status == SB_END;
  return SB_OK;
}

/* ---- adding and removing ------------------------------------------------ */

/* Is the place before all that the queue has now, or equal to the first? */
typedef struct queue_rank {
  int empty;
  int before, equal;
} queue_rank;

static sb_status
queue_compare_first(sb_queue *queue, const sb_key *place, queue_rank *rank,
                    sb_error *err)
{
  uint32_t index = queue_index(queue, place->key_group), first;
  queue_group *group;
  sb_slice record;
  sb_status status = queue_first(queue, &group, err);
  int c;

  memset(rank, 0, sizeof *rank);
  rank->empty = status == SB_END;
  if (status != SB_OK)
    return status == SB_END ? SB_OK : status;
  record = queue_entry_record(group, queue_group_first(group));
  first = queue_cache_index(&queue->cache, group);
  rank->equal = first == index && record.len == place->key.len &&
                memcmp(record.data, place->key.data, record.len) == 0;
  c = queue_cache_compare(&queue->cache, place->key, record);
  if (c == 0 && first == index)
    c = queue_bytes_compare(place->key, record);
  rank->before = c != 0 ? c < 0 : index < first;
  return SB_OK;
}

static sb_status
queue_put(sb_queue *queue, const sb_key *place, sb_error *err)
{
  uint32_t index = queue_index(queue, place->key_group);
  sb_keyed *keyed = queue->keyed;
  sb_status status;
  int wanted;

  if (queue_cache_has(&queue->cache, index, place->key) == 1)
    return SB_OK;
  if (queue_cache_reserve(&queue->cache, index, place->key, &wanted) != SB_OK)
    return queue_fail_memory(err);
  status = keyed->ops->put(keyed, place, queue_nothing, 0, err);
  if (status == SB_OK && wanted)
    queue_cache_add(&queue->cache, index, place->key);
  return status;
}

sb_status
sb_queue_add(sb_queue *queue, uint32_t key_group, sb_slice element,
             int *head_changed, sb_error *err)
{
  queue_rank rank = { 0, 0, 0 };
  sb_key place;
  sb_status status = queue_place(queue, key_group, element, &place, err);

  if (status == SB_OK && head_changed != NULL)
    status = queue_compare_first(queue, &place, &rank, err);
  if (status == SB_OK)
    status = queue_put(queue, &place, err);
  if (status == SB_OK && head_changed != NULL)
    *head_changed = rank.empty || rank.before;
  return status;
}

/* Before any is added. */
static sb_status
queue_check_elements(const sb_queue_element *elements, size_t count,
                     sb_error *err)
{
  size_t i;

  for (i = 0; i < count; i++)
    if (slice_bad(elements[i].bytes))
      return slice_refuse_at(elements[i].bytes, "element", i, err);
  return SB_OK;
}

sb_status
sb_queue_add_all(sb_queue *queue, const sb_queue_element *elements,
                 size_t count, int *head_changed, sb_error *err)
{
  sb_status status = count == 0 ? SB_OK
                                : queue_need_room(queue, elements, err);
  int changed = 0, one = 0;
  size_t i;

  if (status == SB_OK)
    status = queue_check_elements(elements, count, err);
  for (i = 0; i < count && status == SB_OK; i++) {
    status = sb_queue_add(queue, elements[i].key_group, elements[i].bytes,
                          head_changed == NULL ? NULL : &one, err);
    changed |= one;
  }
  if (status == SB_OK && head_changed != NULL)
    *head_changed = changed;
  return status;
}

sb_status
sb_queue_remove(sb_queue *queue, uint32_t key_group, sb_slice element,
                int *head_changed, sb_error *err)
{
  queue_rank rank = { 0, 0, 0 };
  uint32_t index;
  sb_key place;
  sb_status status = queue_place(queue, key_group, element, &place, err);

  if (status == SB_OK && head_changed != NULL)
    status = queue_compare_first(queue, &place, &rank, err);
  if (status != SB_OK)
    return status;
  index = queue_index(queue, key_group);
  if (queue_cache_has(&queue->cache, index, place.key) != 0) {
    status = queue->keyed->ops->remove(queue->keyed, &place, err);
    if (status != SB_OK)
      return status;
    queue_cache_remove(&queue->cache, index, place.key);
  }
  if (head_changed != NULL)
    *head_changed = rank.equal;
  return SB_OK;
}

/* ---- polling ------------------------------------------------------------ */

static int
queue_is_due(sb_slice record, sb_slice until)
{
  size_t n = record.len < until.len ? record.len : until.len;

  return n == 0 || memcmp(record.data, until.data, n) <= 0;
}

static sb_status
queue_take(sb_queue *queue, const queue_group *group, sb_slice record,
           sb_error *err)
{
  sb_keyed *keyed = queue->keyed;
  sb_key place;

  memset(&place, 0, sizeof place);
  place.state = queue->state;
  place.key_group = queue->key_group_first +
                    queue_cache_index(&queue->cache, group);
  place.key = record;
  if (SB_KEYED_HAS(keyed, remove_through))
    return keyed->ops->remove_through(keyed, &place, err);
  return keyed->ops->remove(keyed, &place, err);
}

sb_status
sb_queue_poll(sb_queue *queue, sb_slice until, sb_queue_element *element,
              sb_error *err)
{
  queue_group *group;
  sb_slice record;
  sb_status status = queue_need_room(queue, element, err);

  if (status == SB_OK)
    status = slice_check(until, "the bound of a poll", err);
  if (status == SB_OK)
    status = queue_first(queue, &group, err);
  if (status != SB_OK)
    return status;
  record = queue_entry_record(group, queue_group_first(group));
  if (!queue_is_due(record, until))
    return SB_END;
  status = queue_take(queue, group, record, err);
  if (status != SB_OK)
    return status;
  queue_cache_pop(&queue->cache, group);
  *element = queue_element(queue, group, record);
  return SB_OK;
}

/* ---- batches ------------------------------------------------------------ */

/* Copies an element to queue->lent; its data is the record's offset there until
   the buffer has stopped growing. */
static sb_status
queue_lend(sb_queue *queue, const queue_group *group,
           sb_queue_element *element, sb_error *err)
{
  sb_slice record = queue_entry_record(group, queue_group_first(group));
  size_t at = queue->lent.len;

  buf_add(&queue->lent, record.data, record.len);
  if (queue->lent.status != SB_OK)
    return queue_fail_memory(err);
  element->key_group = queue->key_group_first +
                       queue_cache_index(&queue->cache, group);
  element->reserved = 0;
  element->bytes = sb_slice_of((const void *)(uintptr_t)at, record.len);
  return SB_OK;
}

static void
queue_lend_end(const sb_queue *queue, sb_queue_element *elements, size_t count)
{
  size_t i;

  for (i = 0; i < count; i++)
    elements[i].bytes.data = queue->lent.data +
                             (uintptr_t)elements[i].bytes.data;
}

/* Due elements in order, taken from the cache but not yet from the handle,
   unless `each`. */
static sb_status
queue_gather(sb_queue *queue, sb_slice until, sb_queue_element *elements,
             size_t max, int each, size_t *count, sb_error *err)
{
  queue_group *group;
  sb_slice record;
  sb_status status = SB_OK;

  for (*count = 0; *count < max; ++*count) {
    status = queue_first(queue, &group, err);
    if (status != SB_OK)
      return status;
    record = queue_entry_record(group, queue_group_first(group));
    if (!queue_is_due(record, until))
      return SB_END;
    status = queue_lend(queue, group, &elements[*count], err);
    if (status == SB_OK && each)
      status = queue_take(queue, group, record, err);
    if (status != SB_OK)
      return status;
    queue_cache_pop(&queue->cache, group);
  }
  return SB_OK;
}

/* Has a removal that failed got as far as this element? */
static int
queue_was_taken(const sb_queue *queue, const sb_queue_element *element)
{
  sb_keyed *keyed = queue->keyed;
  sb_key place;
  sb_slice value;
  sb_error ignored;

  memset(&place, 0, sizeof place);
  place.state = queue->state;
  place.key_group = element->key_group;
  place.key = element->bytes;
  return keyed->ops->get(keyed, &place, &value, &ignored) == SB_NOT_FOUND;
}

/* Takes the batch from the handle, each key group at once. Returns how many
   elements could be taken; those that could not are forgotten, and found again
   by the next call. */
static size_t
queue_take_batch(sb_queue *queue, sb_queue_element *elements, size_t count,
                 sb_status *status, sb_error *err)
{
  queue_group *groups = queue->cache.groups;
  uint64_t batch = ++queue->batch;
  size_t i, kept = 0;
  uint32_t index;
  sb_status taken;

  for (i = count; i > 0; i--) {
    index = queue_index(queue, elements[i - 1].key_group);
    if (groups[index].batch == batch)
      continue;
    groups[index].batch = batch;
    taken = queue_take(queue, &groups[index], elements[i - 1].bytes, err);
    if (taken == SB_OK)
      continue;
    *status = taken;
    groups[index].failed = batch;
    queue_cache_forget(&queue->cache, index);
  }
  for (i = 0; i < count; i++) {
    index = queue_index(queue, elements[i].key_group);
    if (groups[index].failed != batch ||
        queue_was_taken(queue, &elements[i]))
      elements[kept++] = elements[i];
  }
  return kept;
}

sb_status
sb_queue_poll_batch(sb_queue *queue, sb_slice until,
                    sb_queue_element *elements, size_t max, size_t *count,
                    sb_error *err)
{
  sb_status status = queue_need_room(queue, count, err);
  size_t taken = 0, i;
  int each;

  if (count != NULL)
    *count = 0;
  if (status == SB_OK && max != 0)
    status = queue_need_room(queue, elements, err);
  if (status == SB_OK)
    status = slice_check(until, "the bound of a poll", err);
  if (status != SB_OK)
    return status;
  each = !SB_KEYED_HAS(queue->keyed, remove_through);
  buf_clear(&queue->lent);
  status = queue_gather(queue, until, elements, max, each, &taken, err);
  queue_lend_end(queue, elements, taken);
  if (!each && taken != 0)
    taken = queue_take_batch(queue, elements, taken, &status, err);
  if (taken == 0 && status != SB_OK)
    return status;
  for (i = 0; i < taken; i++)
    elements[i].bytes = sb_slice_of((const uint8_t *)elements[i].bytes.data +
                                      queue->rank_len,
                                    elements[i].bytes.len - queue->rank_len);
  *count = taken;
  return SB_OK;
}
