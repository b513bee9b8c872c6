/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects of a bucket, and what each operation does to them at the moment
 * of its effect.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/simulator/bucket.h"
#include "tests/simulator/item.h"

#define OBJECTS_BYTES_MAX (512ull << 20) /* a life is far from it */

object_data *
objects_data(const void *bytes, uint64_t size)
{
  object_data *data = sim_memory(NULL, sizeof *data + (size_t)size);

  data->refs = 1;
  data->size = size;
  if (bytes != NULL && size != 0)
    memcpy(data->bytes, bytes, (size_t)size);
  return data;
}

void
objects_unref(object_data *data)
{
  if (data != NULL && --data->refs == 0)
    free(data);
}

sb_meta *
objects_meta(const sb_meta *meta, uint64_t count)
{
  sb_meta *copy;
  uint64_t i;

  if (count == 0)
    return NULL;
  copy = sim_memory(NULL, (size_t)count * sizeof *copy);
  for (i = 0; i < count; i++) {
    copy[i].key = strdup(meta[i].key);
    copy[i].value = strdup(meta[i].value);
  }
  return copy;
}

void
objects_meta_free(sb_meta *meta, uint64_t count)
{
  uint64_t i;

  for (i = 0; i < count; i++) {
    free((void *)(uintptr_t)meta[i].key);
    free((void *)(uintptr_t)meta[i].value);
  }
  free(meta);
}

static size_t
objects_place(const bucket *b, const char *name)
{
  size_t low = 0, high = b->count;

  while (low < high) {
    size_t middle = (low + high) / 2;

    if (strcmp(b->objects[middle]->name, name) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static object *
objects_at(const bucket *b, const char *name)
{
  size_t i = objects_place(b, name);

  if (i < b->count && strcmp(b->objects[i]->name, name) == 0)
    return b->objects[i];
  return NULL;
}

object *
bucket_find(const bucket *b, const char *name)
{
  object *o = objects_at(b, name);

  return o == NULL || o->data == NULL ? NULL : o;
}

static object *
objects_insert(bucket *b, const char *name)
{
  size_t i = objects_place(b, name);
  object *o = sim_memory(NULL, sizeof *o);

  memset(o, 0, sizeof *o);
  o->name = strdup(name);
  if (b->count == b->cap) {
    b->cap = b->cap == 0 ? 64 : b->cap * 2;
    b->objects = sim_memory(b->objects, b->cap * sizeof (object *));
  }
  memmove(b->objects + i + 1, b->objects + i,
          (b->count - i) * sizeof (object *));
  b->objects[i] = o;
  b->count++;
  return o;
}

void
objects_dispose(bucket *b)
{
  size_t i;

  for (i = 0; i < b->count; i++) {
    object *o = b->objects[i];

    objects_unref(o->data);
    objects_meta_free(o->meta, o->meta_count);
    free(o->name);
    free(o);
  }
  free(b->objects);
}

static uint64_t
objects_hash(const object_data *data)
{
  uint64_t hash = data->size, word, i;

  for (i = 0; i + 8 <= data->size; i += 8) {
    memcpy(&word, data->bytes + i, 8);
    hash = (hash ^ word) * 0x9E3779B97F4A7C15ull;
    hash ^= hash >> 29;
  }
  for (; i < data->size; i++)
    hash = (hash ^ data->bytes[i]) * 0x9E3779B97F4A7C15ull;
  return hash;
}

int
bucket_is_entry(const char *name)
{
  const char *state = strstr(name, "state/");

  return state != NULL && strncmp(state, "state/_/", 8) != 0;
}

/* HEAD and entries are the objects that are ever replaced. A numbered HEAD that was
   removed may be made again by an old writer: it finds out by listing. */
static int
objects_replaceable(const char *name)
{
  const char *slash = strrchr(name, '/');

  return bucket_is_entry(name) ||
         strncmp(slash == NULL ? name : slash + 1, "HEAD", 4) == 0;
}

static void
objects_store(bucket_op *op, object_data *data)
{
  bucket *b = op->bucket;
  object *o = objects_at(b, op->name);
  uint64_t content = objects_hash(data);

  if (o == NULL) {
    o = objects_insert(b, op->name);
    o->content = content;
  } else if (!objects_replaceable(op->name) && o->content != content) {
    sim_fail(b->sim, SIM_WRONG, "the name \"%s\" is used twice", op->name);
  }
  if (o->data == NULL)
    b->live++;
  else
    b->live_bytes -= o->data->size;
  b->live_bytes += data->size;
  if (b->live_bytes > OBJECTS_BYTES_MAX)
    sim_fail(b->sim, SIM_WRONG, "the store grows without bounds: %zu objects",
             b->live);
  objects_unref(o->data);
  o->data = data;
  data->refs++;
  objects_meta_free(o->meta, o->meta_count);
  o->meta = objects_meta(op->meta, op->meta_count);
  o->meta_count = op->meta_count;
  o->modified_ms = 1700000000000ull + b->sim->now_ns / SIM_MS;
  (void)snprintf(o->etag, sizeof o->etag, "e%llu",
                 (unsigned long long)++b->etag_serial);
  memcpy(op->etag, o->etag, sizeof op->etag);
  op->size = data->size;
}

static void
effect_put(bucket_op *op)
{
  object *o = bucket_find(op->bucket, op->name);

  if ((op->flags & SB_PUT_CREATE) != 0 && o != NULL)
    op->status = SB_EXISTS;
  else if (op->if_match != NULL &&
           (o == NULL || strcmp(o->etag, op->if_match) != 0))
    op->status = SB_CONFLICT;
  else
    objects_store(op, op->data);
}

static void
effect_get(bucket_op *op)
{
  object *o = bucket_find(op->bucket, op->name);

  if (o == NULL) {
    op->status = SB_NOT_FOUND;
  } else if (op->if_match != NULL && strcmp(o->etag, op->if_match) != 0) {
    op->status = SB_CONFLICT;
  } else if (op->offset > o->data->size) {
    op->status = SB_INVALID;
  } else {
    op->data = o->data;
    op->data->refs++;
    op->size = o->data->size;
    memcpy(op->etag, o->etag, sizeof op->etag);
    op->meta = objects_meta(o->meta, o->meta_count);
    op->meta_count = o->meta_count;
    if (op->length > o->data->size - op->offset)
      op->length = o->data->size - op->offset;
  }
}

static void
effect_list(bucket_op *op)
{
  bucket *b = op->bucket;
  size_t i = objects_place(b, op->prefix), len = strlen(op->prefix);
  uint64_t cap = 0;

  for (; i < b->count; i++) {
    const object *o = b->objects[i];
    sb_store_entry *entry;

    if (strncmp(o->name, op->prefix, len) != 0)
      break;
    if (o->data == NULL || (op->start_after != NULL &&
                            strcmp(o->name, op->start_after) <= 0))
      continue;
    if (op->entry_count == op->limit) {
      op->truncated = 1;
      break;
    }
    if (op->entry_count == cap) {
      cap = cap == 0 ? 16 : cap * 2;
      op->entries = sim_memory(op->entries,
                               (size_t)cap * sizeof *op->entries);
    }
    entry = &op->entries[op->entry_count++];
    memset(entry, 0, sizeof *entry);
    entry->name = strdup(o->name);
    entry->size = o->data->size;
    entry->modified_ms = o->modified_ms;
  }
}

void
bucket_drop(bucket *b, const char *name)
{
  object *o = bucket_find(b, name);

  if (o == NULL)
    return;
  if (b->removing != NULL)
    b->removing(b->removing_arg, name);
  b->live_bytes -= o->data->size;
  objects_unref(o->data);
  o->data = NULL;
  b->live--;
}

static void
effect_remove(bucket_op *op)
{
  uint64_t i;

  for (i = 0; i < op->name_count; i++)
    if (op->outcomes[i] == SB_OK || op->outcomes[i] == SB_UNKNOWN)
      bucket_drop(op->bucket, op->names[i]);
}

static void
effect_copy(bucket_op *op)
{
  object *from = bucket_find(op->bucket, op->source);

  if (from == NULL)
    op->status = SB_NOT_FOUND;
  else if ((op->flags & SB_PUT_CREATE) != 0 &&
           bucket_find(op->bucket, op->name) != NULL)
    op->status = SB_EXISTS;
  else
    objects_store(op, from->data);
}

void
objects_effect(bucket_op *op)
{
  op->took_effect = 1;
  if (op->kind == BUCKET_PUT)
    effect_put(op);
  else if (op->kind == BUCKET_GET || op->kind == BUCKET_HEAD)
    effect_get(op);
  else if (op->kind == BUCKET_LIST)
    effect_list(op);
  else if (op->kind == BUCKET_REMOVE)
    effect_remove(op);
  else if (op->kind == BUCKET_COPY)
    effect_copy(op);
}
