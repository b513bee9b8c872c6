/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a queue as a whole: iterating over its elements, counting them. */
#include "config.h"

#include <statebackend/plugin.h>
#include "host/state/queue.h"

struct sb_queue_iterator {
  sb_queue *queue;
  sb_cursor *cursor;
};

static sb_status
queue_scan_open(sb_queue *queue, uint32_t first, uint32_t last,
                uint32_t flags, sb_cursor **out, sb_error *err)
{
  sb_scan_options options = { .struct_size = sizeof options };

  options.state = queue->state;
  options.flags = flags;
  options.key_group_first = first;
  options.key_group_last = last;
  return queue->keyed->ops->scan_open(queue->keyed, &options, out, err);
}

sb_status
sb_queue_iterate(sb_queue *queue, uint32_t key_group_first,
                 uint32_t key_group_last, sb_queue_iterator **out,
                 sb_error *err)
{
  sb_queue_iterator *iterator;
  sb_status status;

  if (out == NULL)
    return sb_fail(err, SB_INVALID, "cannot iterate over a queue: there is no "
                   "place for the iterator");
  *out = NULL;
  status = queue_need(queue, err);
  if (status != SB_OK)
    return status;
  if (key_group_first > key_group_last ||
      key_group_first < queue->key_group_first ||
      key_group_last > queue->key_group_last)
    return sb_fail(err, SB_INVALID, "cannot iterate over key groups %u to %u: "
                   "this queue has %u to %u", key_group_first, key_group_last,
                   queue->key_group_first, queue->key_group_last);
  iterator = mem_zalloc(queue->host, sizeof *iterator);
  if (iterator == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not iterate over a queue: out of memory");
  iterator->queue = queue;
  status = queue_scan_open(queue, key_group_first, key_group_last, 0,
                           &iterator->cursor, err);
  if (status != SB_OK) {
    mem_free(queue->host, iterator);
    return status;
  }
  *out = iterator;
  return SB_OK;
}

sb_status
sb_queue_next(sb_queue_iterator *iterator, sb_queue_element *element,
              sb_error *err)
{
  sb_queue *queue;
  sb_row row;
  sb_status status;

  if (iterator == NULL || element == NULL)
    return sb_fail(err, SB_INVALID, "cannot iterate over a queue: an argument "
                   "is NULL");
  queue = iterator->queue;
  status = queue->keyed->ops->scan_next(queue->keyed, iterator->cursor, &row,
                                        err);
  if (status == SB_OK)
    status = queue_check_record(queue, row.key, err);
  if (status != SB_OK)
    return status;
  memset(element, 0, sizeof *element);
  element->key_group = row.key_group;
  element->bytes = sb_slice_of((const uint8_t *)row.key.data + queue->rank_len,
                               row.key.len - queue->rank_len);
  return SB_OK;
}

void
sb_queue_iterator_close(sb_queue_iterator *iterator)
{
  sb_queue *queue;

  if (iterator == NULL)
    return;
  queue = iterator->queue;
  queue->keyed->ops->scan_close(queue->keyed, iterator->cursor);
  mem_free(queue->host, iterator);
}

/* 1 if all elements are in memory; how many there are. */
static int
queue_is_complete(const sb_queue *queue, uint64_t *size)
{
  const queue_cache *cache = &queue->cache;
  uint32_t i;

  *size = 0;
  for (i = 0; i < cache->group_count; i++) {
    if (!cache->groups[i].complete)
      return 0;
    *size += cache->groups[i].count;
  }
  return 1;
}

sb_status
sb_queue_size(sb_queue *queue, uint64_t *size, sb_error *err)
{
  sb_status status = queue_need_room(queue, size, err);
  uint64_t count = 0;
  sb_cursor *cursor;
  sb_keyed *keyed;
  sb_row row;

  if (status != SB_OK)
    return status;
  keyed = queue->keyed;
  if (queue_is_complete(queue, size))
    return SB_OK;
  status = queue_scan_open(queue, queue->key_group_first,
                           queue->key_group_last, SB_SCAN_KEYS, &cursor, err);
  if (status != SB_OK)
    return status;
  while ((status = keyed->ops->scan_next(keyed, cursor, &row, err)) == SB_OK)
    count++;
  keyed->ops->scan_close(keyed, cursor);
  if (status != SB_END)
    return status;
  *size = count;
  return SB_OK;
}
