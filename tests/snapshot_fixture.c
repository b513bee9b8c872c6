/* SPDX-License-Identifier: Apache-2.0 */
/* See snapshot_fixture.h. */
#include "config.h"

#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/base/crc.h"
#include "host/engine/keyed.h"
#include "host/engine/manifest.h"
#include "snapshot_fixture.h"

#define CONTENT_VALUE 120u /* bytes of a value */

/* ---- contents ------------------------------------------------------------ */

void
content_register(sb_keyed *k)
{
  CU_ASSERT_EQUAL(add_state(k, "values", SB_STATE_VALUE), 0);
  CU_ASSERT_EQUAL(add_state(k, "lists", SB_STATE_LIST), 1);
}

static void
content_value(uint32_t i, uint32_t value, uint8_t *out)
{
  uint32_t at;

  for (at = 0; at < CONTENT_VALUE; at += 4) {
    uint32_t word = (value + at) * 2654435761u + i;

    memcpy(out + at, &word, 4);
  }
}

static int
content_in_range(sb_keyed *k, const sb_key *key)
{
  sb_keyed_options o = { .struct_size = sizeof o };

  check_ok(k->ops->describe(k, &o, &err));
  return key->key_group >= o.key_group_first &&
         key->key_group <= o.key_group_last;
}

void
content_change(sb_keyed *k, content *c, unsigned count)
{
  uint8_t value[CONTENT_VALUE];

  while (count-- != 0) {
    uint32_t i = (uint32_t)(next_random() >> 20) % CONTENT_KEYS;
    sb_key key = make_key(0, i);

    if (!content_in_range(k, &key))
      continue;
    switch (next_random() >> 20 & 7) {
    case 0:
      check_ok(k->ops->remove(k, &key, &err));
      c->value[i] = 0;
      break;
    case 1:
      key.state = 1;
      check_ok(k->ops->clear(k, &key, &err));
      c->elements[i] = 0;
      break;
    case 2:
    case 3:
      key.state = 1;
      c->elements[i]++;
      check_ok(k->ops->append(k, &key,
                              sb_slice_of(&c->elements[i], 4), 0, &err));
      break;
    default:
      c->value[i] = (uint32_t)(next_random() >> 20) | 1;
      content_value(i, c->value[i], value);
      check_ok(k->ops->put(k, &key, sb_slice_of(value, sizeof value), 0,
                           &err));
    }
  }
}

static int
content_list_right(sb_keyed *k, sb_key key, uint32_t elements)
{
  sb_cursor *c;
  sb_row row;
  uint32_t n = 0, got;
  sb_status status;

  key.state = 1;
  c = open_scan(k, 1, 0, &key);
  while ((status = k->ops->scan_next(k, c, &row, &err)) == SB_OK) {
    n++;
    memcpy(&got, row.value.data, 4);
    if (row.value.len != 4 || got != n)
      n = elements + 1000;
  }
  k->ops->scan_close(k, c);
  if (status != SB_END)
    tap_note("%s", err.message);
  return status == SB_END && n == elements;
}

unsigned
content_wrong(sb_keyed *k, const content *c)
{
  uint8_t value[CONTENT_VALUE];
  unsigned wrong = 0;
  uint32_t i;

  for (i = 0; i < CONTENT_KEYS; i++) {
    sb_key key = make_key(0, i);
    sb_slice got;
    sb_status status;

    if (!content_in_range(k, &key))
      continue;
    content_value(i, c->value[i], value);
    status = k->ops->get(k, &key, &got, &err);
    if (status != SB_OK && status != SB_NOT_FOUND && wrong == 0)
      tap_note("%s", err.message);
    if (c->value[i] == 0 ? status != SB_NOT_FOUND
                         : status != SB_OK || !same(got, value, sizeof value))
      wrong++;
    else
      wrong += !content_list_right(k, key, c->elements[i]);
  }
  return wrong;
}

/* ---- parts --------------------------------------------------------------- */

static char *
kept_string(const char *s)
{
  return s == NULL ? NULL : strdup(s);
}

kept_part *
kept_part_new(const sb_part *part)
{
  kept_part *p = calloc(1, sizeof *p);
  uint32_t i;

  p->part = *part;
  p->operator_id = kept_string(part->operator_id);
  p->manifest_name = kept_string(part->name);
  p->manifest = malloc(part->manifest.len + 1);
  memcpy(p->manifest, part->manifest.data, part->manifest.len);
  p->names = calloc(part->object_count + 1, sizeof *p->names);
  p->is_new = calloc(part->object_count + 1, 1);
  for (i = 0; i < part->object_count; i++) {
    p->names[i] = strdup(part->objects[i].name);
    p->is_new[i] = part->objects[i].is_new != 0;
  }
  p->part.operator_id = p->operator_id;
  p->part.name = p->manifest_name;
  p->part.manifest.data = p->manifest;
  p->part.objects = NULL;
  return p;
}

kept_part *
kept_part_again(const kept_part *p)
{
  sb_object_use *objects = calloc(p->part.object_count + 1, sizeof *objects);
  sb_part part = p->part;
  kept_part *copy;
  uint32_t i;

  for (i = 0; i < part.object_count; i++)
    objects[i] = (sb_object_use){ .name = p->names[i],
                                  .is_new = p->is_new[i] };
  part.objects = objects;
  copy = kept_part_new(&part);
  free(objects);
  return copy;
}

void
kept_part_free(kept_part *p)
{
  uint32_t i;

  if (p == NULL)
    return;
  for (i = 0; i < p->part.object_count; i++)
    free(p->names[i]);
  free(p->names);
  free(p->is_new);
  free(p->operator_id);
  free(p->manifest_name);
  free(p->manifest);
  free(p);
}

int
kept_part_names(const kept_part *p, const char *name)
{
  uint32_t i;

  for (i = 0; i < p->part.object_count; i++)
    if (strcmp(p->names[i], name) == 0)
      return 1;
  return 0;
}

void
kept_part_place(kept_part *p, const char *prefix)
{
  const sb_host *host = sb_host_default();
  manifest *m;
  char (*names)[300];
  size_t i;
  buf out;

  if (!check_ok(manifest_decode(host, p->part.manifest.data,
                                p->part.manifest.len, &m, &err)))
    return;
  names = calloc(m->segment_count + 1, sizeof *names);
  for (i = 0; i < m->segment_count; i++) {
    CU_ASSERT_PTR_NULL(strchr(m->segments[i].name, '/'));
    snprintf(names[i], sizeof names[i], "%s%s", prefix, m->segments[i].name);
    m->segments[i].name = names[i];
  }
  buf_init(&out, host, MANIFEST_SIZE_MAX);
  check_ok(manifest_encode(host, m, &out));
  free(p->manifest);
  p->manifest = malloc(out.len);
  memcpy(p->manifest, out.data, out.len);
  p->part.manifest = sb_slice_of(p->manifest, out.len);
  p->part.length = out.len;
  p->part.crc32c = crc32c(p->manifest, out.len);
  buf_dispose(&out);
  manifest_free(host, m);
  free(names);
}

sb_snapshot *
begin_kind(sb_keyed *k, uint64_t id, uint32_t kind, const char *savepoint)
{
  sb_snapshot_options o = { .struct_size = sizeof o, .kind = kind,
                            .checkpoint_id = id, .savepoint = savepoint };
  sb_snapshot *s = NULL;

  check_ok(k->ops->snapshot_begin(k, &o, &s, &err));
  return s;
}

sb_keyed *
open_parts(const char *job_name, const kept_part *const *parts, size_t count,
           uint64_t generation, uint32_t flags, uint32_t subtask,
           sb_status *status)
{
  sb_keyed_options o = { .struct_size = sizeof o, .flags = flags,
                         .job = job_name, .operator_id = "op",
                         .subtask = subtask, .key_group_count = groups,
                         .key_group_last = groups - 1,
                         .generation = generation };
  sb_part *list = calloc(count + 1, sizeof *list);
  sb_keyed *k = NULL;
  size_t i;

  for (i = 0; i < count; i++)
    list[i] = parts[i]->part;
  o.parts = list;
  o.part_count = count;
  *status = sb_backend_keyed(backend, &o, &k, &err);
  free(list);
  if (*status != SB_OK)
    tap_note("%s", err.message);
  return *status == SB_OK ? k : NULL;
}

/* ---- objects ------------------------------------------------------------- */

static void
object_path(const char *name, char *out, size_t size)
{
  snprintf(out, size, "%s/%s", directory, name);
}

int
object_exists(const char *name)
{
  char path[1200];

  object_path(name, path, sizeof path);
  return access(path, F_OK) == 0;
}

void
object_remove(const char *name)
{
  char path[1200];

  object_path(name, path, sizeof path);
  (void)unlink(path);
}

static struct {
  const char *prefix;
  void (*each)(void *arg, const char *name);
  void *arg;
  unsigned count;
} objects_walk;

static int
objects_seen(const char *path, const struct stat *st, int type,
             struct FTW *where)
{
  const char *name = path + strlen(directory) + 1;

  (void)st;
  (void)where;
  if (type != FTW_F || strncmp(name, objects_walk.prefix,
                               strlen(objects_walk.prefix)) != 0)
    return 0;
  objects_walk.count++;
  if (objects_walk.each != NULL)
    objects_walk.each(objects_walk.arg, name);
  return 0;
}

unsigned
objects_under(const char *prefix, void (*each)(void *arg, const char *name),
              void *arg)
{
  objects_walk.prefix = prefix;
  objects_walk.each = each;
  objects_walk.arg = arg;
  objects_walk.count = 0;
  (void)nftw(directory, objects_seen, 16, FTW_PHYS);
  return objects_walk.count;
}

unsigned
part_missing(const kept_part *p)
{
  unsigned missing = 0;
  uint32_t i;

  for (i = 0; p != NULL && i < p->part.object_count; i++)
    if (!object_exists(p->names[i])) {
      tap_note("\"%s\" is missing%s", p->names[i],
               p->is_new[i] ? ", which is new" : "");
      missing++;
    }
  return missing;
}

unsigned
segments_missing(sb_keyed *base)
{
  keyed *k = (keyed *)base;
  const version *v;
  unsigned missing = 0;
  size_t i;

  keyed_lock(k);
  for (v = k->versions; v != NULL; v = v->next)
    for (i = 0; i < v->count; i++)
      if (v->views[i].segment->owner != SEGMENT_FOREIGN &&
          !object_exists(v->views[i].segment->name)) {
        missing++;
        tap_note("the handle needs \"%s\"", v->views[i].segment->name);
      }
  keyed_unlock(k);
  return missing;
}

/* ---- handles and checkpoints --------------------------------------------- */

uint32_t
draw(uint32_t n)
{
  return (uint32_t)(next_random() >> 24) % n;
}

void
open_watched(const sb_host *host)
{
  sb_takeover_options take = { .struct_size = sizeof take, .job = "",
                               .job_id = "test", .retain = 1 };

  begin_backend("16mb", 16);
  check_ok(sb_backend_open(config, host, &backend, &err));
  check_ok(backend->ops->takeover(backend, &take, &job, &err));
  store_watch();
}

sb_keyed *
open_new(void)
{
  sb_status status;
  sb_keyed *k = open_parts("", NULL, 0, backend->ops->job_generation(job), 0,
                           0, &status);

  check_ok(status);
  content_register(k);
  return k;
}

kept_part *
run_kept(sb_keyed *k, sb_snapshot *s)
{
  const sb_part *part;

  if (!check_ok(k->ops->snapshot_run(k, s, &part, &err)))
    exit(1);
  return kept_part_new(part);
}

void
commit_part(const kept_part *p, uint64_t id)
{
  sb_commit_options o = { .struct_size = sizeof o, .id = id,
                          .parts = &p->part, .part_count = 1 };

  check_ok(backend->ops->commit(job, &o, &err));
}

kept_part *
snapshot_whole(sb_keyed *k, uint64_t id, uint32_t kind)
{
  sb_snapshot *s = begin_kind(k, id, kind, NULL);
  kept_part *p = run_kept(k, s);

  commit_part(p, id);
  k->ops->snapshot_free(k, s);
  check_ok(k->ops->notify(k, SB_NOTIFY_COMPLETE, id, &err));
  return p;
}

unsigned
part_wrong(const kept_part *p, const content *c, uint32_t flags)
{
  sb_status status;
  sb_keyed *k = open_parts("", &p, 1, 99, flags | SB_OPEN_READ_ONLY, 7,
                           &status);
  unsigned wrong;

  if (!check_ok(status))
    return 1000;
  content_register(k);
  wrong = content_wrong(k, c);
  k->ops->close(k);
  return wrong;
}

unsigned
shared_objects(const kept_part *a, const kept_part *b)
{
  unsigned n = 0;
  uint32_t i;

  for (i = 0; i < a->part.object_count; i++)
    n += (unsigned)kept_part_names(b, a->names[i]);
  return n;
}
