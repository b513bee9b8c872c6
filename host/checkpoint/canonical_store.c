/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Canonical streams as objects of a store: written in pieces as they are made,
 * read in windows of the key groups that are wanted.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "host/base/crc.h"
#include "host/checkpoint/canonical.h"
#include "host/checkpoint/canonical_part.h"
#include "host/engine/manifest.h"
#include "host/store/store.h"

#define STORE_OPERATOR_MAX 160 /* characters of an operator id in a name */

struct canonical_written {
  const sb_host *host;
  sb_part part;
  sb_object_use objects[2];
  char file[256], index[256];
  char name[SB_OBJECT_NAME_MAX + 1];  /* what is being written */
  char *operator_id;
  buf manifest;
};

int
canonical_is_name(const char *name)
{
  size_t len = strlen(name), tail = strlen(CANONICAL_DESCRIPTOR_EXTENSION);

  return len > tail &&
         strcmp(name + len - tail, CANONICAL_DESCRIPTOR_EXTENSION) == 0;
}

/* ---- writing ----------------------------------------------------------- */

/* Takes the stream; counts each key group's checksum on the way. */
typedef struct store_sink {
  store_writer *writer;
  uint64_t position;
  uint32_t crc;        /* of everything */
} store_sink;

static sb_status
store_take(void *arg, const void *data, size_t len, sb_error *err)
{
  store_sink *sink = arg;

  sink->crc = crc32c_extend(sink->crc, data, len);
  sink->position += len;
  return store_writer_add(sink->writer, data, len, err);
}

/* An operator id as a piece of a name. */
static void
store_operator(const char *id, char *out)
{
  static const char digits[] = "0123456789ABCDEF";
  size_t used = 0;

  for (; *id != '\0' && used < STORE_OPERATOR_MAX; id++) {
    unsigned char c = (unsigned char)*id;

    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
        (c >= 'A' && c <= 'Z') || c == '-' || c == '_') {
      out[used++] = (char)c;
    } else {
      out[used++] = '%';
      out[used++] = digits[c >> 4];
      out[used++] = digits[c & 15];
    }
  }
  if (used != 0)
    out[used++] = '-';
  out[used] = '\0';
}

static void
store_make_names(canonical_written *w, const sb_keyed_options *place)
{
  char operator_id[STORE_OPERATOR_MAX + 8];
  uint64_t random = w->host->random(w->host);

  store_operator(place->operator_id, operator_id);
  snprintf(w->file, sizeof w->file, "%s%u-%016" PRIx64 CANONICAL_EXTENSION,
           operator_id, (unsigned)place->subtask, random);
  snprintf(w->index, sizeof w->index, "%s%u-%016" PRIx64
           CANONICAL_DESCRIPTOR_EXTENSION, operator_id,
           (unsigned)place->subtask, random);
}

static sb_status
store_whole_name(canonical_written *w, const char *directory,
                 const char *file, sb_error *err)
{
  int len = snprintf(w->name, sizeof w->name, "%s%s%s", directory,
                     directory[0] == '\0' ? "" : "/", file);

  if (len < 0 || (size_t)len >= sizeof w->name)
    return sb_error_set(err, SB_TOO_LARGE, "cannot name an object of a "
                        "canonical savepoint in \"%.200s\": it is over %u "
                        "bytes", directory, SB_OBJECT_NAME_MAX);
  return SB_OK;
}

static sb_status
store_write_stream(canonical_written *w, sb_store *store,
                   sb_canonical *canonical, canonical_part *p, sb_error *err)
{
  store_sink sink = { .crc = 0 };
  sb_status status = store_writer_open(w->host, store, w->name, 0,
                                       SB_PRIORITY_CHECKPOINT, &sink.writer,
                                       err);

  if (status != SB_OK)
    return status;
  status = canonical_write_summed(canonical, store_take, &sink, p->offsets,
                                  p->checksums, &p->length, err);
  p->crc32c = sink.crc;
  if (status != SB_OK) {
    store_writer_abort(sink.writer);
    return status;
  }
  return store_writer_commit(sink.writer, NULL, err);
}

/* The descriptor's state lists, from the writer's. */
static sb_status
store_describe(const sb_host *host, const sb_canonical *canonical,
               canonical_part *p)
{
  const canonical_states *from = canonical_states_of(canonical);
  const sb_keyed_options *place = canonical_place_of(canonical);
  const uint32_t groups = place->key_group_last - place->key_group_first + 1;
  sb_canonical_state *states;
  uint32_t i;

  p->options = *canonical_options_of(canonical);
  p->key_group_count = place->key_group_count;
  p->key_group_first = place->key_group_first;
  p->key_group_last = place->key_group_last;
  p->header_length = canonical_header_length(canonical);
  states = p->memory[1] = mem_zalloc(host, from->count * sizeof *states);
  p->infos = p->memory[2] = mem_zalloc(host, from->count * sizeof *p->infos);
  p->offsets = p->memory[3] = mem_zalloc(host, groups * sizeof *p->offsets);
  p->checksums = p->memory[4] = mem_zalloc(host,
                                           groups * sizeof *p->checksums);
  if (states == NULL || p->infos == NULL || p->offsets == NULL ||
      p->checksums == NULL)
    return SB_NO_MEMORY;
  for (i = 0; i < from->count; i++) {
    const canonical_state *s = &from->list[i];

    p->infos[i] = s->info;
    states[i].kind = s->info.kind;
    states[i].name = s->info.name;
    states[i].encoding = s->info.encoding;
    states[i].flags = s->info.flags;
    states[i].namespace_length = s->namespace_length;
    states[i].element_length = s->element_length;
  }
  p->options.states = states;
  p->options.state_count = from->count;
  return SB_OK;
}

/* A large descriptor becomes an object of its own. */
static sb_status
store_write_index(canonical_written *w, sb_store *store,
                  const char *directory, sb_error *err)
{
  sb_status status;

  if (w->manifest.len <= SB_MANIFEST_INLINE_MAX)
    return SB_OK;
  status = store_whole_name(w, directory, w->index, err);
  if (status == SB_OK)
    status = store_put(w->host, store, w->name, w->manifest.data,
                       w->manifest.len, SB_PUT_CREATE, NULL, NULL, 0, NULL,
                       SB_PRIORITY_CHECKPOINT, err);
  if (status != SB_OK)
    return status;
  w->objects[1].name = w->part.name = w->index;
  w->objects[1].size = w->manifest.len;
  w->objects[1].is_new = 1;
  w->part.object_count = 2;
  return SB_OK;
}

static void
store_fill_part(canonical_written *w, const canonical_part *p,
                const sb_keyed_options *place)
{
  w->part.struct_size = sizeof w->part;
  w->part.subtask = place->subtask;
  w->part.operator_id = w->operator_id;
  w->part.key_group_first = p->key_group_first;
  w->part.key_group_last = p->key_group_last;
  w->part.manifest = sb_slice_of(w->manifest.data, w->manifest.len);
  w->part.length = w->manifest.len;
  w->part.crc32c = crc32c(w->manifest.data, w->manifest.len);
  w->part.objects = w->objects;
  w->part.object_count = 1;
  w->objects[0].name = w->file;
  w->objects[0].size = p->length;
  w->objects[0].is_new = 1;
}

static sb_status
store_write(canonical_written *w, sb_store *store, sb_canonical *canonical,
            const char *directory, canonical_part *p, sb_error *err)
{
  const char *stream = w->name;
  sb_status status = store_whole_name(w, directory, w->file, err);

  if (status == SB_OK)
    status = store_write_stream(w, store, canonical, p, err);
  if (status != SB_OK)
    return status;
  p->name = w->file;
  canonical_part_encode(p, &w->manifest);
  status = w->manifest.status;
  if (status != SB_OK) {
    sb_error_set(err, status, "could not describe canonical savepoint "
                 "\"%.300s\": %s", w->name, sb_status_name(status));
  } else {
    store_fill_part(w, p, canonical_place_of(canonical));
    status = store_write_index(w, store, directory, err);
  }
  if (status != SB_OK &&
      store_whole_name(w, directory, w->file, NULL) == SB_OK)
    (void)store_remove(w->host, store, &stream, 1, NULL, NULL);
  return status;
}

sb_status
canonical_write_part(const sb_host *host, sb_store *store,
                     sb_canonical *canonical, const char *directory,
                     canonical_written **out, const sb_part **part,
                     sb_error *err)
{
  const sb_keyed_options *place = canonical_place_of(canonical);
  canonical_written *w = mem_zalloc(host, sizeof *w);
  canonical_part *p = mem_zalloc(host, sizeof *p);
  sb_status status = SB_NO_MEMORY;

  *out = NULL;
  *part = NULL;
  if (w != NULL) {
    w->host = host;
    buf_init(&w->manifest, host, CANONICAL_DESCRIPTOR_MAX);
    w->operator_id = mem_strdup(host, place->operator_id);
  }
  if (w != NULL && p != NULL && w->operator_id != NULL)
    status = store_describe(host, canonical, p);
  if (status != SB_OK) {
    sb_error_set(err, status, "could not write a canonical savepoint: out of "
                 "memory");
  } else {
    store_make_names(w, place);
    status = store_write(w, store, canonical, directory, p, err);
  }
  canonical_part_free(host, p);
  if (status != SB_OK) {
    canonical_written_free(w);
    return status;
  }
  *out = w;
  *part = &w->part;
  return SB_OK;
}

void
canonical_written_free(canonical_written *written)
{
  if (written == NULL)
    return;
  mem_free(written->host, written->operator_id);
  buf_dispose(&written->manifest);
  mem_free(written->host, written);
}

/* ---- restoring --------------------------------------------------------- */

static sb_status
store_read(void *arg, uint64_t offset, void *buffer, size_t len, size_t *got,
           sb_error *err)
{
  const canonical_object *o = arg;
  uint64_t n = 0;
  sb_status status = store_get(o->host, o->store, o->part->name, offset,
                               buffer, len, &n, NULL, SB_PRIORITY_READ, err);

  *got = (size_t)n;
  return status;
}

sb_status
canonical_object_open(canonical_object *o, uint32_t first, uint32_t last,
                      const sb_canonical_read *given,
                      sb_canonical_reader **out, sb_error *err)
{
  const canonical_part *p = o->part;
  sb_canonical_options options = p->options;
  sb_canonical_read read = {
    .struct_size = sizeof read,
    .key_group_count = p->key_group_count,
    .key_group_first = first,
    .key_group_last = last,
    .offsets = p->offsets,
    .offset_first = p->key_group_first,
    .offset_count = p->key_group_last - p->key_group_first + 1,
    .length = p->length,
    .options = &options,
  };
  sb_status status;

  if (given != NULL) {
    read.field = given->field;
    read.field_arg = given->field_arg;
  }
  /* Not parsed: only its length counts, and that it is there. */
  options.header = sb_slice_of(p->name, (size_t)p->header_length);
  status = sb_canonical_reader_open(o->host, store_read, o, &read, out, err);
  if (status != SB_OK)
    return status;
  canonical_reader_expect(*out, p->checksums);
  canonical_reader_describe(*out, p->infos);
  return SB_OK;
}

static sb_status
store_restore(canonical_object *o, sb_keyed *keyed,
              const sb_keyed_options *place, const sb_canonical_read *given,
              sb_canonical_resolve *resolve, void *arg, sb_error *err)
{
  sb_canonical_reader *from;
  sb_status status = canonical_object_open(o, place->key_group_first,
                                           place->key_group_last, given, &from,
                                           err);

  if (status != SB_OK)
    return status;
  status = sb_canonical_restore(keyed, from, resolve, arg, err);
  sb_canonical_reader_close(from);
  return status;
}

static sb_status
store_restore_part(const sb_host *host, sb_store *store, sb_keyed *keyed,
                   const sb_part *part, const sb_keyed_options *place,
                   const sb_canonical_read *given,
                   sb_canonical_resolve *resolve, void *arg, sb_error *err)
{
  canonical_object object = { .host = host, .store = store };
  canonical_part *p = NULL;
  void *owned = NULL;
  sb_slice bytes;
  sb_status status = manifest_bytes(host, store, part, &bytes, &owned, err);

  if (status == SB_OK)
    status = canonical_part_decode(host, bytes, &p, err);
  mem_free(host, owned);
  if (status != SB_OK)
    return status;
  object.part = p;
  if (p->key_group_count != place->key_group_count)
    status = sb_error_set(err, SB_MISMATCH, "cannot restore canonical "
                          "savepoint \"%.200s\" with a maximum parallelism of "
                          "%u: it was taken with %u", p->name,
                          (unsigned)place->key_group_count,
                          (unsigned)p->key_group_count);
  else
    status = store_restore(&object, keyed, place, given, resolve, arg, err);
  canonical_part_free(host, p);
  return status;
}

sb_status
sb_canonical_restore_parts(sb_backend *backend, const sb_host *host,
                           sb_keyed *keyed, const sb_part *parts,
                           uint64_t part_count, const sb_canonical_read *read,
                           sb_canonical_resolve *resolve, void *arg,
                           sb_error *err)
{
  sb_keyed_options place = { .struct_size = sizeof place };
  sb_status status = SB_OK;
  sb_store *store;
  uint64_t i;

  if (backend == NULL || host == NULL || keyed == NULL ||
      (parts == NULL && part_count != 0))
    return sb_error_set(err, SB_INVALID, "cannot restore a canonical "
                        "savepoint: no backend, host, keyed handle or parts");
  store = backend->ops->store(backend);
  if (store == NULL || !SB_KEYED_HAS(keyed, describe))
    return sb_error_set(err, SB_UNSUPPORTED, "this backend cannot restore "
                        "canonical savepoints");
  status = keyed->ops->describe(keyed, &place, err);
  for (i = 0; i < part_count && status == SB_OK; i++) {
    const sb_part *part = &parts[i];

    if (!sb_canonical_is_part(part) ||
        part->key_group_first > place.key_group_last ||
        part->key_group_last < place.key_group_first ||
        strcmp(part->operator_id, place.operator_id) != 0)
      continue;
    status = store_restore_part(host, store, keyed, part, &place, read,
                                resolve, arg, err);
  }
  return status;
}
