/* SPDX-License-Identifier: Apache-2.0 */
/* Blocking calls of a store's single operations; see store.h. */
#include "config.h"

#include <stddef.h>
#include <string.h>

#include "host/base/mem.h"
#include "host/store/wait.h"

#define STORE_FIRST_GET 65536u
#define STORE_GET_TRIES 8

/* Is this method in the store's table? */
#define STORE_HAS(s, method)                                                  \
  ((s)->ops->struct_size                                                      \
     >= offsetof(sb_store_ops, method) + sizeof (s)->ops->method              \
   && (s)->ops->method != NULL)

static sb_status
store_name_part_check(const char *name, const char *part, size_t len,
                      sb_error *err)
{
  if (len == 0)
    return sb_error_set(err, SB_INVALID,
                        "object name \"%.400s\" has an empty part", name);
  if (part[0] == '.' && (len == 1 || (len == 2 && part[1] == '.')))
    return sb_error_set(err, SB_INVALID,
                        "object name \"%.400s\" has the part \"%.*s\"", name,
                        (int)len, part);
  return SB_OK;
}

sb_status
store_name_check(const char *name, sb_error *err)
{
  const char *part = name;
  const char *p;
  sb_status status;

  if (name == NULL)
    return sb_error_set(err, SB_INVALID, "object name is missing");
  for (p = name;; p++) {
    if ((size_t)(p - name) > SB_OBJECT_NAME_MAX)
      return sb_error_set(err, SB_TOO_LARGE,
                          "object name \"%.100s...\" has over %u bytes", name,
                          SB_OBJECT_NAME_MAX);
    if (*p == '/' || *p == '\0') {
      status = store_name_part_check(name, part, (size_t)(p - part), err);
      if (status != SB_OK)
        return status;
      if (*p == '\0')
        return SB_OK;
      part = p + 1;
    } else if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e) {
      return sb_error_set(err, SB_INVALID,
                          "object name has the byte 0x%02x at offset %u: only "
                          "printable ASCII is allowed",
                          (unsigned char)*p, (unsigned)(p - name));
    }
  }
}

sb_status
store_check(const sb_store *s, sb_error *err)
{
  const char *missing = NULL;

  if (s == NULL || s->ops == NULL)
    return sb_error_set(err, SB_INVALID, "store has no table of methods");
  if (s->ops->abi_version != SB_ABI_VERSION)
    return sb_error_set(err, SB_UNSUPPORTED,
                        "store has ABI %u, this host needs %u",
                        s->ops->abi_version, SB_ABI_VERSION);
  if (!STORE_HAS(s, info))
    missing = "info";
  else if (!STORE_HAS(s, get))
    missing = "get";
  else if (!STORE_HAS(s, put))
    missing = "put";
  else if (!STORE_HAS(s, put_open) || !STORE_HAS(s, put_write)
           || !STORE_HAS(s, put_commit) || !STORE_HAS(s, put_abort))
    missing = "put_open, put_write, put_commit or put_abort";
  else if (!STORE_HAS(s, head))
    missing = "head";
  else if (!STORE_HAS(s, list))
    missing = "list";
  else if (!STORE_HAS(s, remove))
    missing = "remove";
  else if (!STORE_HAS(s, close))
    missing = "close";
  if (missing != NULL)
    return sb_error_set(err, SB_INVALID, "store lacks the method %s", missing);
  return SB_OK;
}

const sb_store_info *
store_info(sb_store *s)
{
  return s->ops->info(s);
}

void
store_close(sb_store *s)
{
  if (s != NULL)
    s->ops->close(s);
}

/* ---- get ---------------------------------------------------------------- */

static sb_status
store_get_if(const sb_host *host, sb_store *s, sb_get_request *request,
             uint64_t *got, store_meta *meta, uint32_t priority, sb_error *err)
{
  store_wait wait;
  sb_status status = store_wait_init(&wait, host, err);

  if (status != SB_OK)
    return status;
  store_wait_prepare(&wait, &request->base, sizeof *request, priority);
  status = s->ops->get(s, request, NULL, &wait.error);
  status = store_wait_end(&wait, status, "get object", request->name, err);
  if (status == SB_OK && wait.length > request->length) {
    status = sb_error_set(err, SB_IO,
                          "could not get object \"%.300s\": the store gave "
                          "more bytes than asked for", request->name);
  } else if (status == SB_OK) {
    *got = wait.length;
    if (meta != NULL)
      *meta = wait.meta;
  }
  store_wait_dispose(&wait);
  return status;
}

sb_status
store_get(const sb_host *host, sb_store *s, const char *name, uint64_t offset,
          void *buf, uint64_t len, uint64_t *got, store_meta *meta,
          uint32_t priority, sb_error *err)
{
  sb_get_request request = { .name = name, .offset = offset, .length = len,
                             .buffer = buf };
  sb_status status = store_name_check(name, err);

  if (status != SB_OK)
    return status;
  return store_get_if(host, s, &request, got, meta, priority, err);
}

/* Reads what the first GET left, if the object is still the same. */
static sb_status
store_get_rest(const sb_host *host, sb_store *s, const char *name,
               uint8_t **data, uint64_t *len, const store_meta *meta,
               uint32_t priority, sb_error *err)
{
  sb_get_request request = { .name = name, .offset = *len,
                             .length = meta->size - *len };
  store_meta rest;
  uint64_t got;
  uint8_t *grown;
  sb_status status;

  if (meta->size > SIZE_MAX)
    return sb_error_set(err, SB_TOO_LARGE, "object \"%.300s\" is too large",
                        name);
  grown = mem_realloc(host, *data, (size_t)meta->size);
  if (grown == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not get object \"%.300s\": out of memory",
                        name);
  *data = grown;
  request.buffer = grown + *len;
  request.if_match = meta->etag[0] == '\0' ? NULL : meta->etag;
  status = store_get_if(host, s, &request, &got, &rest, priority, err);
  if (status != SB_OK)
    return status;
  if (got != request.length || strcmp(rest.etag, meta->etag) != 0)
    return sb_error_set(err, SB_CONFLICT,
                        "could not get object \"%.300s\": it changed "
                        "meanwhile", name);
  *len = meta->size;
  return SB_OK;
}

static sb_status
store_get_once(const sb_host *host, sb_store *s, const char *name,
               uint64_t size_max, void **out, uint64_t *len, store_meta *meta,
               uint32_t priority, sb_error *err)
{
  sb_get_request request = { .name = name };
  uint8_t *data;
  sb_status status;

  request.length = size_max < STORE_FIRST_GET ? size_max : STORE_FIRST_GET;
  data = mem_alloc(host, (size_t)request.length);
  if (data == NULL)
    return sb_error_set(err, SB_NO_MEMORY,
                        "could not get object \"%.300s\": out of memory",
                        name);
  request.buffer = data;
  status = store_get_if(host, s, &request, len, meta, priority, err);
  if (status == SB_OK && meta->size > size_max)
    status = sb_error_set(err, SB_TOO_LARGE,
                          "object \"%.300s\" has %llu bytes, over the limit "
                          "of %llu", name, (unsigned long long)meta->size,
                          (unsigned long long)size_max);
  if (status == SB_OK && meta->size > *len)
    status = store_get_rest(host, s, name, &data, len, meta, priority, err);
  if (status != SB_OK)
    mem_free(host, data);
  else
    *out = data;
  return status;
}

sb_status
store_get_all(const sb_host *host, sb_store *s, const char *name,
              uint64_t size_max, void **data, uint64_t *len, store_meta *meta,
              uint32_t priority, sb_error *err)
{
  store_meta own;
  uint64_t got = 0;
  int tries;
  sb_status status = store_name_check(name, err);

  *data = NULL;
  if (status != SB_OK)
    return status;
  /* A mutable object may be replaced between the two GETs. */
  for (tries = 0; tries < STORE_GET_TRIES; tries++) {
    status = store_get_once(host, s, name, size_max, data, &got, &own,
                            priority, err);
    if (status != SB_CONFLICT)
      break;
  }
  if (status == SB_CONFLICT)
    return sb_error_set(err, SB_BUSY,
                        "could not get object \"%.300s\": it keeps changing",
                        name);
  if (status != SB_OK)
    return status;
  *len = got;
  if (meta != NULL)
    *meta = own;
  return SB_OK;
}

sb_status
store_get_async(const sb_host *host, sb_store *s,
                const sb_get_request *request, uint64_t *op, sb_error *err)
{
  sb_status status = store_name_check(request->name, err);

  (void)host;
  if (status != SB_OK)
    return status;
  if (request->base.done == NULL
      || (request->buffer == NULL && request->length != 0))
    return sb_error_set(err, SB_INVALID,
                        "could not get object \"%.300s\": no buffer or no "
                        "completion", request->name);
  return s->ops->get(s, request, op, err);
}

/* ---- put, head ---------------------------------------------------------- */

static sb_status
store_meta_check(const char *name, const sb_meta *meta, uint64_t count,
                 sb_error *err)
{
  uint64_t total = 0;
  uint64_t i;

  for (i = 0; i < count; i++) {
    const char *p;

    if (meta[i].key == NULL || meta[i].value == NULL || meta[i].key[0] == '\0')
      return sb_error_set(err, SB_INVALID,
                          "object \"%.300s\": metadata lacks a key or value",
                          name);
    for (p = meta[i].key; *p != '\0'; p++)
      if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-'))
        return sb_error_set(err, SB_INVALID,
                            "object \"%.300s\": metadata key \"%.60s\" may "
                            "only have a-z, 0-9 and -", name, meta[i].key);
    total += (uint64_t)(p - meta[i].key);
    for (p = meta[i].value; *p != '\0'; p++)
      if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
        return sb_error_set(err, SB_INVALID,
                            "object \"%.300s\": metadata value of \"%.60s\" "
                            "may only have printable ASCII", name,
                            meta[i].key);
    total += (uint64_t)(p - meta[i].value);
  }
  if (total > SB_META_MAX)
    return sb_error_set(err, SB_TOO_LARGE,
                        "object \"%.300s\": metadata has over %u bytes", name,
                        SB_META_MAX);
  return SB_OK;
}

static sb_status
store_put_check(const sb_put_request *request, sb_error *err)
{
  sb_status status = store_name_check(request->name, err);

  if (status != SB_OK)
    return status;
  if ((request->flags & ~SB_PUT_CREATE) != 0)
    return sb_error_set(err, SB_INVALID,
                        "could not put object \"%.300s\": unknown flags 0x%x",
                        request->name, request->flags);
  if ((request->flags & SB_PUT_CREATE) != 0 && request->if_match != NULL)
    return sb_error_set(err, SB_INVALID,
                        "could not put object \"%.300s\": create-only and "
                        "match conditions exclude each other", request->name);
  if (request->if_match != NULL
      && (request->if_match[0] == '\0'
          || strlen(request->if_match) > SB_ETAG_MAX))
    return sb_error_set(err, SB_INVALID,
                        "could not put object \"%.300s\": entity tag is empty "
                        "or too long", request->name);
  return store_meta_check(request->name, request->meta, request->meta_count,
                          err);
}

sb_status
store_put(const sb_host *host, sb_store *s, const char *name, const void *data,
          uint64_t len, uint32_t flags, const char *if_match,
          const sb_meta *meta, uint64_t meta_count, store_meta *out,
          uint32_t priority, sb_error *err)
{
  sb_slice body = sb_slice_of(data, (size_t)len);
  sb_put_request request = { .name = name, .body = &body, .body_count = 1,
                             .flags = flags, .if_match = if_match,
                             .meta = meta, .meta_count = meta_count };
  store_wait wait;
  sb_status status = store_put_check(&request, err);

  if (status == SB_OK)
    status = store_wait_init(&wait, host, err);
  if (status != SB_OK)
    return status;
  store_wait_prepare(&wait, &request.base, sizeof request, priority);
  status = s->ops->put(s, &request, NULL, &wait.error);
  status = store_wait_end(&wait, status, "put object", name, err);
  if (status == SB_OK && out != NULL)
    *out = wait.meta;
  store_wait_dispose(&wait);
  return status;
}

sb_status
store_put_async(const sb_host *host, sb_store *s,
                const sb_put_request *request, sb_error *err)
{
  sb_status status = store_put_check(request, err);

  (void)host;
  return status == SB_OK ? s->ops->put(s, request, NULL, err) : status;
}

sb_status
store_head_async(const sb_host *host, sb_store *s,
                 const sb_name_request *request, sb_error *err)
{
  sb_status status = store_name_check(request->name, err);

  (void)host;
  return status == SB_OK ? s->ops->head(s, request, NULL, err) : status;
}

/* What head must keep of the metadata. */
typedef struct store_keep {
  const sb_host *host;
  const char *key;
  char *value;
} store_keep;

static sb_status
store_keep_meta(void *arg, const sb_store_result *result)
{
  store_keep *keep = arg;
  uint64_t i;

  for (i = 0; result->meta != NULL && i < result->meta_count; i++) {
    if (strcmp(result->meta[i].key, keep->key) != 0)
      continue;
    keep->value = mem_strdup(keep->host, result->meta[i].value);
    return keep->value == NULL ? SB_NO_MEMORY : SB_OK;
  }
  return SB_OK;
}

sb_status
store_head_meta(const sb_host *host, sb_store *s, const char *name,
                const char *key, store_meta *meta, char **value, sb_error *err)
{
  sb_name_request request = { .name = name };
  store_keep keep = { .host = host, .key = key };
  store_wait wait;
  sb_status status = store_name_check(name, err);

  if (value != NULL)
    *value = NULL;
  if (status == SB_OK)
    status = store_wait_init(&wait, host, err);
  if (status != SB_OK)
    return status;
  if (value != NULL) {
    wait.keep = store_keep_meta;
    wait.keep_arg = &keep;
  }
  store_wait_prepare(&wait, &request.base, sizeof request, 0);
  status = s->ops->head(s, &request, NULL, &wait.error);
  status = store_wait_end(&wait, status, "look at object", name, err);
  if (status == SB_OK && meta != NULL)
    *meta = wait.meta;
  if (status == SB_OK && value != NULL)
    *value = keep.value;
  store_wait_dispose(&wait);
  return status;
}

sb_status
store_head(const sb_host *host, sb_store *s, const char *name,
           store_meta *meta, sb_error *err)
{
  return store_head_meta(host, s, name, NULL, meta, NULL, err);
}

/* ---- remove, copy ------------------------------------------------------- */

static sb_status
store_remove_batch(const sb_host *host, sb_store *s, const char *const *names,
                   uint64_t count, sb_status *statuses, sb_error *err)
{
  sb_remove_request request = { .names = names, .name_count = count,
                                .statuses = statuses };
  store_wait wait;
  uint64_t i;
  sb_status submitted;
  sb_status status = store_wait_init(&wait, host, err);

  submitted = status;
  if (status == SB_OK) {
    store_wait_prepare(&wait, &request.base, sizeof request,
                       SB_PRIORITY_BACKGROUND);
    submitted = s->ops->remove(s, &request, NULL, &wait.error);
    status = store_wait_end(&wait, submitted,
                            count == 1 ? "remove object"
                                       : "remove objects, first",
                            names[0], err);
    store_wait_dispose(&wait);
  }
  if (submitted != SB_OK && statuses != NULL)
    for (i = 0; i < count; i++)
      statuses[i] = submitted;
  return status;
}

sb_status
store_remove(const sb_host *host, sb_store *s, const char *const *names,
             uint64_t count, sb_status *statuses, sb_error *err)
{
  sb_status first = SB_OK;
  uint64_t i;

  for (i = 0; i < count; i++) {
    sb_status status = store_name_check(names[i], err);

    if (status != SB_OK)
      return status;
  }
  for (i = 0; i < count; i += STORE_REMOVE_MAX) {
    uint64_t some = count - i < STORE_REMOVE_MAX ? count - i
                                                 : STORE_REMOVE_MAX;
    sb_status status =
      store_remove_batch(host, s, names + i, some,
                         statuses == NULL ? NULL : statuses + i,
                         first == SB_OK ? err : NULL);

    if (first == SB_OK)
      first = status;
  }
  return first;
}

static sb_status
store_copy_check(sb_store *s, const sb_copy_request *request, sb_error *err)
{
  sb_status status = store_name_check(request->source, err);

  if (status == SB_OK)
    status = store_name_check(request->name, err);
  if (status != SB_OK)
    return status;
  if ((request->flags & ~SB_PUT_CREATE) != 0)
    return sb_error_set(err, SB_INVALID,
                        "could not copy to object \"%.300s\": unknown flags "
                        "0x%x", request->name, request->flags);
  if (!STORE_HAS(s, copy))
    return sb_error_set(err, SB_UNSUPPORTED,
                        "could not copy to object \"%.300s\": the store "
                        "cannot copy", request->name);
  return SB_OK;
}

sb_status
store_copy_async(const sb_host *host, sb_store *s,
                 const sb_copy_request *request, uint64_t *op, sb_error *err)
{
  sb_status status = store_copy_check(s, request, err);

  (void)host;
  return status == SB_OK ? s->ops->copy(s, request, op, err) : status;
}

sb_status
store_copy(const sb_host *host, sb_store *s, const char *source_root,
           const char *source, const char *name, uint32_t flags,
           store_meta *out, sb_error *err)
{
  sb_copy_request request = { .source_root = source_root, .source = source,
                              .name = name, .flags = flags };
  store_wait wait;
  sb_status status = store_copy_check(s, &request, err);

  if (status == SB_OK)
    status = store_wait_init(&wait, host, err);
  if (status != SB_OK)
    return status;
  store_wait_prepare(&wait, &request.base, sizeof request,
                     SB_PRIORITY_CHECKPOINT);
  status = s->ops->copy(s, &request, NULL, &wait.error);
  status = store_wait_end(&wait, status, "copy to object", name, err);
  if (status == SB_OK && out != NULL)
    *out = wait.meta;
  store_wait_dispose(&wait);
  return status;
}

sb_status
store_sweep(const sb_host *host, sb_store *s, const char *prefix,
            sb_sweep_fn *dead, void *arg, uint64_t *count, sb_error *err)
{
  sb_sweep_request request = { .prefix = prefix, .dead = dead,
                               .dead_arg = arg };
  store_wait wait;
  sb_status status;

  if (count != NULL)
    *count = 0;
  if (!STORE_HAS(s, sweep))
    return sb_error_set(err, SB_UNSUPPORTED,
                        "could not sweep uploads under \"%.300s\": the store "
                        "has none", prefix);
  status = store_wait_init(&wait, host, err);
  if (status != SB_OK)
    return status;
  store_wait_prepare(&wait, &request.base, sizeof request,
                     SB_PRIORITY_BACKGROUND);
  status = s->ops->sweep(s, &request, NULL, &wait.error);
  status = store_wait_end(&wait, status, "sweep uploads under", prefix, err);
  if (status == SB_OK && count != NULL)
    *count = wait.meta.size;
  store_wait_dispose(&wait);
  return status;
}
