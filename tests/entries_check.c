/* SPDX-License-Identifier: Apache-2.0 */
/* Are the objects on the store those of the model? See entries_fixture.h. */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <snappy-c.h>

#include "host/base/mem.h"
#include "host/engine/entries_name.h"
#include "host/engine/head.h"
#include "host/engine/metadata.h"
#include "host/store/store.h"
#include "tests/entries_fixture.h"

static int
model_alive(const world *w, const model_part *p)
{
  return p->present &&
         (p->expires_ms == 0 || p->expires_ms > atomic_load(&w->now_ms));
}

static void
body_length(buf *body, size_t len)
{
  buf_u8(body, (uint8_t)(len >> 24));
  buf_u8(body, (uint8_t)(len >> 16));
  buf_u8(body, (uint8_t)(len >> 8));
  buf_u8(body, (uint8_t)len);
}

/* The body that the documentation says; how many parts it has. */
static unsigned
model_body(const world *w, const model_part *parts, uint32_t kind, buf *body)
{
  unsigned n = 0, i;

  buf_clear(body);
  for (i = 0; i < WORLD_PARTS; i++) {
    if (!model_alive(w, &parts[i]))
      continue;
    if (kind == SB_STATE_LIST && n > 0)
      buf_u8(body, ',');
    if (kind == SB_STATE_MAP) {
      body_length(body, 1);
      buf_u8(body, (uint8_t)("abcd"[i]));
      body_length(body, parts[i].len);
    }
    buf_add(body, parts[i].data, parts[i].len);
    n++;
  }
  return n;
}

static int
check_body(world *w, const char *name, const buf *expected)
{
  void *data;
  uint64_t len;
  sb_error err;
  char plain[4096];
  size_t plain_len = sizeof plain;
  int same;

  if (store_get_all(&w->host, w->store, name, 1 << 20, &data, &len, NULL,
                    SB_PRIORITY_READ, &err) != SB_OK) {
    tap_note("%s", err.message);
    return 0;
  }
  if (w->compression) {
    same = snappy_uncompress(data, len, plain, &plain_len) == SNAPPY_OK &&
           plain_len == expected->len &&
           (plain_len == 0 || memcmp(plain, expected->data, plain_len) == 0);
  } else {
    same = len == expected->len &&
           (len == 0 || memcmp(data, expected->data, len) == 0);
  }
  mem_free(&w->host, data);
  if (!same)
    tap_note("%.80s... has %u bytes, other than %u expected", name,
             (unsigned)len, (unsigned)expected->len);
  return same;
}

static int
check_meta(world *w, const char *name, const char *key, const char *value)
{
  char *got = NULL;
  int same;
  sb_error err;

  world_must(store_head_meta(&w->host, w->store, name, key, NULL, &got, &err),
             &err);
  same = got != NULL && strcmp(got, value) == 0;
  if (!same)
    tap_note("%.80s...: %s is %s, not %s", name, key,
             got == NULL ? "missing" : got, value);
  mem_free(&w->host, got);
  return same;
}

static int
check_slot(world *w, unsigned state, unsigned key, unsigned space,
           const buf *body)
{
  sb_key k = world_place(state, key, space);
  char dir[PATH_SIZE], name[PATH_SIZE], group[16];
  int hashed, good;
  sb_error err;

  world_must(entries_dir("", world_state_name(state), dir, &hashed, &err),
             &err);
  world_must(entries_name("base/state/", dir, k.key_group, k.key, k.ns,
                          ".state", name, &hashed, &err), &err);
  snprintf(group, sizeof group, "%u", (unsigned)k.key_group);
  good = check_body(w, name, body);
  if (good && (key * 7 + space + state) % 5 == 0)
    good = check_meta(w, name, "key-group", group) &&
           check_meta(w, name, "kind", world_kind_names[state]) &&
           check_meta(w, name, "compression",
                      w->compression ? "snappy" : "none");
  return good;
}

static sb_status
count_entry(void *arg, const sb_store_entry *entry, sb_error *err)
{
  size_t *count = arg;

  (void)err;
  *count += (size_t)world_is_entry(entry->name);
  return SB_OK;
}

int
world_check(world *w, const model *m, size_t foreign)
{
  size_t expected = foreign, found = 0;
  unsigned state, key, space;
  sb_error err;
  int good = 1;
  buf body;

  m = m == NULL ? &w->model : m;
  buf_init(&body, &w->host, 65536);
  for (state = 0; state < WORLD_STATES; state++)
    for (key = 0; key < WORLD_KEYS; key++)
      for (space = 0; space < WORLD_SPACES && good; space++) {
        const model_part *parts = m->parts[state][key][space];

        if (model_body(w, parts, world_kinds[state], &body) == 0)
          continue;
        expected++;
        good = check_slot(w, state, key, space, &body);
      }
  buf_dispose(&body);
  world_must(store_list(&w->host, w->store, "base/state/", NULL, count_entry,
                        &found, &err), &err);
  if (good && found != expected)
    tap_note("%u objects, %u expected", (unsigned)found, (unsigned)expected);
  return good && found == expected;
}

uint64_t
world_through(world *w)
{
  sb_engine_options options = { .struct_size = sizeof options,
                                .base_path = "base" };
  paths p;
  job_env env = { &w->host, w->store, &p, 0 };
  head_version newest;
  metadata *m;
  sb_error err;
  uint64_t through;

  world_must(paths_init(&p, &w->host, &options, &err), &err);
  env.store_flags = store_info(w->store)->flags & ~w->flags_off;
  world_must(head_read(&env, "", &newest, &err), &err);
  world_must(metadata_read(&w->host, w->store, newest.head.metadata,
                           newest.head.metadata_len, newest.head.metadata_crc,
                           &m, &err), &err);
  through = m->entries_through;
  metadata_free(&w->host, m);
  paths_dispose(&p, &w->host);
  return through;
}
