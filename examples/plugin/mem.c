/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sb-mem: a small store plugin by a third party. Objects are in memory and go
 * with the process. It shows all that a store needs: the plugin table with its
 * options, `open`, which hands the store to the host's engine, and the store's
 * methods. It uses the installed headers and links to nothing.
 *
 * Every operation is done before its method returns, which the ABI allows. A
 * store that waits for a disk or a network would queue it instead and call
 * `done` from another thread.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <statebackend/backend.h>
#include <statebackend/plugin.h>

#define MEM_KEY "state.backend.mem."
#define MEM_PAGE 1000u

typedef struct mem_object {
  struct mem_object *next;  /* in byte order of names */
  char *name;
  uint8_t *data;
  uint64_t size;
  uint64_t version;         /* the entity tag: never used twice */
  uint64_t modified_ms;
  sb_meta *meta;            /* one block with its strings */
  uint64_t meta_count;
} mem_object;

typedef struct mem_store {
  sb_store base;            /* first: the host sees only this */
  const sb_host *host;
  sb_store_info info;
  uint64_t size_max;
  pthread_mutex_t lock;     /* guards what follows; not held in `done` */
  mem_object *objects;
  uint64_t size;
  uint64_t last_version;
} mem_store;

/* An object that is being written, and what decides about its fate. */
struct sb_stream {
  mem_object *object;
  uint32_t flags;
  char *if_match;
};

/* ---- memory ------------------------------------------------------------- */

static void *
mem_alloc(mem_store *store, void *old, uint64_t size)
{
  return store->host->alloc(store->host, old, size == 0 ? 1 : (size_t)size);
}

static void
mem_free(mem_store *store, void *p)
{
  if (p != NULL)
    (void)store->host->alloc(store->host, p, 0);
}

static char *
mem_copy_text(mem_store *store, const char *text)
{
  char *copy = mem_alloc(store, NULL, strlen(text) + 1);

  return copy == NULL ? NULL : strcpy(copy, text);
}

static void
mem_object_free(mem_store *store, mem_object *object)
{
  if (object == NULL)
    return;
  mem_free(store, object->name);
  mem_free(store, object->data);
  mem_free(store, object->meta);
  mem_free(store, object);
}

static int
mem_object_meta(mem_store *store, mem_object *object, const sb_meta *meta,
                uint64_t count)
{
  uint64_t size = count * sizeof *meta;
  uint64_t i;
  char *text;

  for (i = 0; i < count; i++)
    size += strlen(meta[i].key) + strlen(meta[i].value) + 2;
  object->meta = mem_alloc(store, NULL, size);
  if (object->meta == NULL)
    return -1;
  text = (char *)(object->meta + count);
  for (i = 0; i < count; i++) {
    object->meta[i].key = strcpy(text, meta[i].key);
    text += strlen(text) + 1;
    object->meta[i].value = strcpy(text, meta[i].value);
    text += strlen(text) + 1;
  }
  object->meta_count = count;
  return 0;
}

static mem_object *
mem_object_new(mem_store *store, const char *name, const sb_meta *meta,
               uint64_t meta_count)
{
  mem_object *object = mem_alloc(store, NULL, sizeof *object);

  if (object == NULL)
    return NULL;
  memset(object, 0, sizeof *object);
  object->name = mem_copy_text(store, name);
  if (object->name == NULL
      || mem_object_meta(store, object, meta, meta_count) != 0) {
    mem_object_free(store, object);
    return NULL;
  }
  return object;
}

static int
mem_object_append(mem_store *store, mem_object *object, const sb_slice *body,
                  uint64_t count)
{
  uint64_t i;

  for (i = 0; i < count; i++) {
    uint8_t *grown;

    if (body[i].len == 0)
      continue;
    grown = mem_alloc(store, object->data, object->size + body[i].len);
    if (grown == NULL)
      return -1;
    object->data = grown;
    memcpy(grown + object->size, body[i].data, body[i].len);
    object->size += body[i].len;
  }
  return 0;
}

/* ---- the sorted list of objects; with the lock held ---------------------- */

/* Where `name` stands or would stand. */
static mem_object **
mem_find(mem_store *store, const char *name)
{
  mem_object **link = &store->objects;

  while (*link != NULL && strcmp((*link)->name, name) < 0)
    link = &(*link)->next;
  return link;
}

static mem_object *
mem_lookup(mem_store *store, const char *name)
{
  mem_object *object = *mem_find(store, name);

  return object != NULL && strcmp(object->name, name) == 0 ? object : NULL;
}

static void
mem_etag(const mem_object *object, char *etag)
{
  (void)snprintf(etag, SB_ETAG_MAX + 1, "%llu",
                 (unsigned long long)object->version);
}

static void
mem_take_out(mem_store *store, const char *name)
{
  mem_object **link = mem_find(store, name);
  mem_object *object = *link;

  if (object == NULL || strcmp(object->name, name) != 0)
    return;
  *link = object->next;
  store->size -= object->size;
  mem_object_free(store, object);
}

static sb_status
mem_check(mem_store *store, const mem_object *object, uint32_t flags,
          const char *if_match, sb_error *err)
{
  const mem_object *old = mem_lookup(store, object->name);
  char etag[SB_ETAG_MAX + 1] = "";

  if (old != NULL)
    mem_etag(old, etag);
  if ((flags & SB_PUT_CREATE) != 0 && old != NULL)
    return sb_fail(err, SB_EXISTS, "could not put object \"%.300s\": it "
                   "exists", object->name);
  if (if_match != NULL && (old == NULL || strcmp(etag, if_match) != 0))
    return sb_fail(err, SB_CONFLICT, "could not put object \"%.300s\": it has "
                   "changed", object->name);
  if (store->size - (old == NULL ? 0 : old->size) + object->size
      > store->size_max)
    return sb_fail(err, SB_NO_SPACE, "could not put object \"%.300s\": "
                   MEM_KEY "size-max is reached", object->name);
  return SB_OK;
}

/* Makes the object visible, or frees it. */
static sb_status
mem_publish(mem_store *store, mem_object *object, uint32_t flags,
            const char *if_match, sb_store_result *result, sb_error *err)
{
  mem_object **link;
  sb_status status;

  pthread_mutex_lock(&store->lock);
  status = mem_check(store, object, flags, if_match, err);
  if (status == SB_OK) {
    object->version = ++store->last_version;
    object->modified_ms = store->host->clock_ms(store->host);
    result->size = object->size;
    mem_etag(object, result->etag);
    mem_take_out(store, object->name);
    link = mem_find(store, object->name);
    object->next = *link;
    *link = object;
    store->size += object->size;
  }
  pthread_mutex_unlock(&store->lock);
  if (status != SB_OK)
    mem_object_free(store, object);
  return status;
}

/* ---- completions -------------------------------------------------------- */

static void
mem_result(sb_store_result *result)
{
  memset(result, 0, sizeof *result);
  result->struct_size = sizeof *result;
}

/* Success and failure both go through `done`; the method returns SB_OK. */
static sb_status
mem_done(const sb_request *request, sb_store_result *result, sb_status status,
         const sb_error *error)
{
  result->status = status;
  result->error = status == SB_OK ? NULL : error;
  request->done(request->arg, result);
  return SB_OK;
}

static sb_status
mem_missing(const char *what, const char *name, sb_error *err)
{
  return sb_fail(err, SB_NOT_FOUND, "could not %s object \"%.300s\": no such "
                 "object", what, name);
}

static sb_status
mem_no_memory(sb_error *err)
{
  return sb_fail(err, SB_NO_MEMORY, "out of memory for an object");
}

/* ---- the store's methods ------------------------------------------------ */

static const sb_store_info *
mem_info(sb_store *base)
{
  return &((mem_store *)base)->info;
}

static sb_status
mem_read(mem_store *store, const sb_get_request *request,
         sb_store_result *result, sb_error *err)
{
  const mem_object *object = mem_lookup(store, request->name);

  if (object == NULL)
    return mem_missing("get", request->name, err);
  mem_etag(object, result->etag);
  result->size = object->size;
  if (request->if_match != NULL
      && strcmp(request->if_match, result->etag) != 0)
    return sb_fail(err, SB_CONFLICT, "could not get object \"%.300s\": it has "
                   "changed", request->name);
  if (request->offset > object->size)
    return sb_fail(err, SB_INVALID, "could not get object \"%.300s\": the "
                   "offset is over its size", request->name);
  result->length = object->size - request->offset;
  if (result->length > request->length)
    result->length = request->length;
  if (result->length > 0)
    memcpy(request->buffer, object->data + request->offset,
           (size_t)result->length);
  return SB_OK;
}

static sb_status
mem_get(sb_store *base, const sb_get_request *request, uint64_t *op,
        sb_error *err)
{
  mem_store *store = (mem_store *)base;
  sb_store_result result;
  sb_error error;
  sb_status status;

  (void)op;
  (void)err;
  mem_result(&result);
  pthread_mutex_lock(&store->lock);
  status = mem_read(store, request, &result, &error);
  pthread_mutex_unlock(&store->lock);
  return mem_done(&request->base, &result, status, &error);
}

static sb_status
mem_put(sb_store *base, const sb_put_request *request, uint64_t *op,
        sb_error *err)
{
  mem_store *store = (mem_store *)base;
  mem_object *object = mem_object_new(store, request->name, request->meta,
                                      request->meta_count);
  sb_store_result result;
  sb_error error;
  sb_status status;

  (void)op;
  if (object == NULL
      || mem_object_append(store, object, request->body, request->body_count)
           != 0) {
    mem_object_free(store, object);
    return mem_no_memory(err);
  }
  mem_result(&result);
  status = mem_publish(store, object, request->flags, request->if_match,
                       &result, &error);
  return mem_done(&request->base, &result, status, &error);
}

static sb_status
mem_head(sb_store *base, const sb_name_request *request, uint64_t *op,
         sb_error *err)
{
  mem_store *store = (mem_store *)base;
  mem_object copy = { NULL };
  const mem_object *object;
  sb_store_result result;
  sb_error error;
  sb_status status = SB_OK;

  (void)op;
  mem_result(&result);
  pthread_mutex_lock(&store->lock);
  object = mem_lookup(store, request->name);
  if (object == NULL) {
    status = mem_missing("look at", request->name, &error);
  } else {
    result.size = object->size;
    mem_etag(object, result.etag);
    /* `done` runs without the lock, so it gets a copy. */
    if (mem_object_meta(store, &copy, object->meta, object->meta_count) != 0)
      status = mem_no_memory(&error);
    result.meta = copy.meta;
    result.meta_count = copy.meta_count;
  }
  pthread_mutex_unlock(&store->lock);
  (void)err;
  mem_done(&request->base, &result, status, &error);
  mem_free(store, copy.meta);
  return SB_OK;
}

/* One page as one block: entries, then their strings. */
static sb_store_entry *
mem_page(mem_store *store, const mem_object *first, uint64_t count)
{
  uint64_t size = count * sizeof(sb_store_entry);
  const mem_object *object = first;
  sb_store_entry *entries;
  char *text;
  uint64_t i;

  for (i = 0; i < count; i++, object = object->next)
    size += strlen(object->name) + 1 + SB_ETAG_MAX + 1;
  entries = mem_alloc(store, NULL, size);
  if (entries == NULL)
    return NULL;
  text = (char *)(entries + count);
  for (i = 0, object = first; i < count; i++, object = object->next) {
    entries[i].name = strcpy(text, object->name);
    text += strlen(text) + 1;
    mem_etag(object, text);
    entries[i].etag = text;
    text += SB_ETAG_MAX + 1;
    entries[i].size = object->size;
    entries[i].modified_ms = object->modified_ms;
  }
  return entries;
}

static sb_status
mem_list(sb_store *base, const sb_list_request *request, uint64_t *op,
         sb_error *err)
{
  mem_store *store = (mem_store *)base;
  const char *after = request->start_after == NULL ? ""
                                                   : request->start_after;
  size_t prefix_len = strlen(request->prefix);
  uint64_t limit = request->limit == 0 || request->limit > MEM_PAGE
                     ? MEM_PAGE : request->limit;
  const mem_object *first;
  const mem_object *object;
  sb_store_entry *entries;
  sb_store_result result;
  uint64_t count = 0;

  (void)op;
  mem_result(&result);
  pthread_mutex_lock(&store->lock);
  first = *mem_find(store, request->prefix);
  while (first != NULL && strcmp(first->name, after) <= 0)
    first = first->next;
  for (object = first;
       object != NULL && strncmp(object->name, request->prefix, prefix_len)
                           == 0;
       object = object->next) {
    if (count == limit) {
      result.truncated = 1;
      break;
    }
    count++;
  }
  entries = mem_page(store, first, count);
  pthread_mutex_unlock(&store->lock);
  if (entries == NULL)
    return mem_no_memory(err);
  result.entries = entries;
  result.entry_count = count;
  mem_done(&request->base, &result, SB_OK, NULL);
  mem_free(store, entries);
  return SB_OK;
}

static sb_status
mem_remove(sb_store *base, const sb_remove_request *request, uint64_t *op,
           sb_error *err)
{
  mem_store *store = (mem_store *)base;
  sb_store_result result;
  uint64_t i;

  (void)op;
  (void)err;
  mem_result(&result);
  pthread_mutex_lock(&store->lock);
  for (i = 0; i < request->name_count; i++) {
    mem_take_out(store, request->names[i]);
    if (request->statuses != NULL)
      request->statuses[i] = SB_OK;
  }
  pthread_mutex_unlock(&store->lock);
  return mem_done(&request->base, &result, SB_OK, NULL);
}

static sb_status
mem_copy(sb_store *base, const sb_copy_request *request, uint64_t *op,
         sb_error *err)
{
  mem_store *store = (mem_store *)base;
  const mem_object *source;
  mem_object *object = NULL;
  sb_store_result result;
  sb_error error;
  sb_status status = SB_OK;

  (void)op;
  (void)err;
  mem_result(&result);
  pthread_mutex_lock(&store->lock);
  source = mem_lookup(store, request->source);
  if (request->source_root != NULL
      && strcmp(request->source_root, store->info.root) != 0)
    status = sb_fail(&error, SB_UNSUPPORTED, "cannot copy from \"%.200s\"",
                     request->source_root);
  else if (source == NULL)
    status = mem_missing("copy", request->source, &error);
  if (status == SB_OK) {
    sb_slice body;

    object = mem_object_new(store, request->name, source->meta,
                            source->meta_count);
    body.data = source->data;
    body.len = (size_t)source->size;
    if (object == NULL || mem_object_append(store, object, &body, 1) != 0) {
      mem_object_free(store, object);
      status = mem_no_memory(&error);
    }
  }
  pthread_mutex_unlock(&store->lock);
  if (status == SB_OK)
    status = mem_publish(store, object, request->flags, NULL, &result,
                         &error);
  return mem_done(&request->base, &result, status, &error);
}

/* ---- streams ------------------------------------------------------------ */

static void
mem_stream_free(mem_store *store, sb_stream *stream)
{
  mem_object_free(store, stream->object);
  mem_free(store, stream->if_match);
  mem_free(store, stream);
}

static sb_status
mem_put_open(sb_store *base, const sb_stream_request *request,
             sb_stream **out, sb_error *err)
{
  mem_store *store = (mem_store *)base;
  sb_stream *stream = mem_alloc(store, NULL, sizeof *stream);

  *out = NULL;
  if (stream == NULL)
    return mem_no_memory(err);
  stream->flags = request->flags;
  stream->if_match = request->if_match == NULL
                       ? NULL : mem_copy_text(store, request->if_match);
  stream->object = mem_object_new(store, request->name, request->meta,
                                  request->meta_count);
  if (stream->object == NULL
      || (request->if_match != NULL && stream->if_match == NULL)) {
    mem_stream_free(store, stream);
    return mem_no_memory(err);
  }
  *out = stream;
  return SB_OK;
}

static sb_status
mem_put_write(sb_store *base, sb_stream *stream,
              const sb_write_request *request, sb_error *err)
{
  sb_store_result result;

  if (mem_object_append((mem_store *)base, stream->object, request->body,
                        request->body_count) != 0)
    return mem_no_memory(err);
  mem_result(&result);
  return mem_done(&request->base, &result, SB_OK, NULL);
}

static sb_status
mem_put_commit(sb_store *base, sb_stream *stream, const sb_request *request,
               sb_error *err)
{
  mem_store *store = (mem_store *)base;
  sb_store_result result;
  sb_error error;
  sb_status status;

  (void)err;
  mem_result(&result);
  status = mem_publish(store, stream->object, stream->flags, stream->if_match,
                       &result, &error);
  stream->object = NULL;
  mem_stream_free(store, stream);
  return mem_done(request, &result, status, &error);
}

static sb_status
mem_put_abort(sb_store *base, sb_stream *stream, const sb_request *request,
              sb_error *err)
{
  sb_store_result result;

  (void)err;
  mem_stream_free((mem_store *)base, stream);
  mem_result(&result);
  return mem_done(request, &result, SB_OK, NULL);
}

static void
mem_close(sb_store *base)
{
  mem_store *store = (mem_store *)base;

  while (store->objects != NULL)
    mem_take_out(store, store->objects->name);
  pthread_mutex_destroy(&store->lock);
  mem_free(store, store);
}

static const sb_store_ops mem_ops = {
  .struct_size = sizeof mem_ops,
  .abi_version = SB_ABI_VERSION,
  .info = mem_info,
  .get = mem_get,
  .put = mem_put,
  .put_open = mem_put_open,
  .put_write = mem_put_write,
  .put_commit = mem_put_commit,
  .put_abort = mem_put_abort,
  .head = mem_head,
  .list = mem_list,
  .remove = mem_remove,
  .copy = mem_copy,
  .close = mem_close,
};

/* ---- the plugin --------------------------------------------------------- */

static const sb_option mem_options[] = {
  { MEM_KEY "size-max", SB_TYPE_SIZE, 0, "1gb", 1 << 20, INT64_C(1) << 40,
    NULL, "Bytes of all objects together." },
  { MEM_KEY "state-file-compression", SB_TYPE_BOOL, 0, "true", 0, 0, NULL,
    "Compress state files with Snappy." },
};

static const char *const mem_prefixes[] = { MEM_KEY, NULL };

static sb_status
mem_open(const sb_host *host, const sb_config *config, sb_backend **out,
         sb_error *err)
{
  sb_engine_options options = {
    .struct_size = sizeof options,
    .base_path = "",
    .state_prefix = "state",
    .checkpoint_prefix = "checkpoints",
    .savepoint_prefix = "savepoints",
    .extension = ".state",
    .part_size = 8u << 20,
  };
  mem_store *store = host->alloc(host, NULL, sizeof *store);

  *out = NULL;
  if (store == NULL)
    return mem_no_memory(err);
  memset(store, 0, sizeof *store);
  store->base.ops = &mem_ops;
  store->host = host;
  store->info.struct_size = sizeof store->info;
  store->info.flags = SB_STORE_CREATE | SB_STORE_MATCH | SB_STORE_COPY;
  store->info.root = "mem:";
  store->info.object_size_max = UINT64_C(1) << 40;
  store->info.part_size = options.part_size;
  store->size_max = (uint64_t)host->config_int(config, MEM_KEY "size-max");
  pthread_mutex_init(&store->lock, NULL);
  options.compression =
    host->config_int(config, MEM_KEY "state-file-compression") != 0;
  return host->engine_open(host, &store->base, &options, config, out, err);
}

static const sb_plugin mem_plugin = {
  .struct_size = sizeof mem_plugin,
  .abi_version = SB_ABI_VERSION,
  .name = "mem",
  .version = "1.0.0",
  .description = "objects in memory, gone with the process",
  .kind = SB_KIND_BACKEND,
  .option_size = sizeof(sb_option),
  .options = mem_options,
  .option_count = sizeof mem_options / sizeof mem_options[0],
  .prefixes = mem_prefixes,
  .open = mem_open,
};

SB_EXPORT const sb_plugin *sb_plugin_init(void);

const sb_plugin *
sb_plugin_init(void)
{
  return &mem_plugin;
}
