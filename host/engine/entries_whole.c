/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries against a listing: what is there and has no key in the checkpoint
 * goes. Objects that do not have the name of an entry are never touched, and
 * neither are those whose metadata does not say that they are one.
 */
#include "config.h"

#include "host/engine/entries_name.h"
#include "host/engine/entries_pass.h"
#include "host/store/store.h"

typedef struct whole {
  entries_pass *pass;
  entries_parsed parsed;
  /* What the last name was of: names come in order. */
  char dir[PATH_SIZE];
  int has_dir;
  keyed *keyed;            /* NULL: there is no such state any more */
  const state *state;
  entries_reader reader;
  uint32_t key_group;
  int reading;
  const char *stop;        /* names from here on are not wanted */
  size_t stop_len;
} whole;

static void
whole_stop_reading(whole *w)
{
  if (w->reading)
    entries_reader_close(&w->reader);
  w->reading = 0;
}

/* Which state's directory is it? */
static sb_status
whole_find(whole *w, sb_error *err)
{
  const entries_base *now = w->pass->now;
  char dir[PATH_SIZE];
  sb_status status;
  size_t i, j;
  int hashed;

  if (w->has_dir && strcmp(w->dir, w->parsed.dir) == 0)
    return SB_OK;
  whole_stop_reading(w);
  memcpy(w->dir, w->parsed.dir, strlen(w->parsed.dir) + 1);
  w->has_dir = 1;
  w->keyed = NULL;
  w->state = NULL;
  for (i = 0; i < now->count; i++)
    for (j = 0; j < now->operators[i].keyed->state_count; j++) {
      const state *s = now->operators[i].keyed->states[j];

      status = entries_dir(now->operators[i].operator_id, s->name, dir,
                           &hashed, err);
      if (status != SB_OK)
        return status;
      if (strcmp(dir, w->dir) != 0)
        continue;
      w->keyed = now->operators[i].keyed;
      w->state = s;
      return SB_OK;
    }
  return SB_OK;
}

static sb_status
whole_present(whole *w, int *present, sb_error *err)
{
  entries_parsed *parsed = &w->parsed;
  entries_value value = { .body_max = 0 };
  record key = { .key_group = (uint16_t)parsed->key_group };
  sb_status status = SB_OK;

  *present = 0;
  if (w->state == NULL || w->state->kind == SB_STATE_TIMER ||
      parsed->key_group >= w->keyed->key_group_count)
    return SB_OK;
  if (w->reading && w->key_group != parsed->key_group)
    whole_stop_reading(w);
  if (!w->reading)
    status = entries_reader_open(&w->reader, w->keyed, parsed->key_group,
                                 w->pass->now->now_ms, 0, err);
  if (status != SB_OK)
    return status;
  w->reading = 1;
  w->key_group = parsed->key_group;
  key.state = w->state->id;
  key.key = sb_slice_of(parsed->key, parsed->key_len);
  key.ns = sb_slice_of(parsed->ns, parsed->ns_len);
  key.hash = record_hash(key.key);
  status = entries_read(&w->reader, &key, ENTRIES_EXISTS, &value, err);
  *present = value.present;
  return status;
}

static sb_status
whole_entry(void *arg, const sb_store_entry *entry, sb_error *err)
{
  whole *w = arg;
  entries_pass *p = w->pass;
  int present = 0;
  sb_status status;

  if (w->stop != NULL && strncmp(entry->name, w->stop, w->stop_len) >= 0)
    return SB_END;
  if (!entries_parse(p->root, p->engine->paths.extension, entry->name,
                     &w->parsed))
    return SB_OK;
  if (w->parsed.hashed) {
    present = names_has(&p->hashed, entry->name);
    status = SB_OK;
  } else {
    status = whole_find(w, err);
    if (status == SB_OK)
      status = whole_present(w, &present, err);
  }
  if (status == SB_OK && !present)
    entries_pump_remove(&p->pump, entry->name);
  return status == SB_OK ? p->pump.status : status;
}

/* Segments have names between those of entries: the listing leaves them out,
   and begins once more behind them. */
sb_status
whole_remove(entries_pass *p, sb_error *err)
{
  const sb_host *host = p->engine->host;
  whole *w = mem_zalloc(host, sizeof *w);
  char segments[PATH_SIZE + 4];
  size_t len = strlen(p->root);
  sb_status status;

  if (w == NULL || p->hashed.status != SB_OK) {
    mem_free(host, w);
    return sb_error_set(err, SB_NO_MEMORY, "could not list entries: no "
                        "memory");
  }
  names_sort(&p->hashed);
  w->pass = p;
  memcpy(segments, p->root, len);
  memcpy(segments + len, "_/", 3);
  w->stop = segments;
  w->stop_len = len + 2;
  status = store_list(host, p->engine->store, p->root, NULL, whole_entry, w,
                      err);
  if (status == SB_OK || status == SB_END) {
    w->stop = NULL;
    segments[len + 1] = '0'; /* comes after the slash */
    status = store_list(host, p->engine->store, p->root, segments, whole_entry,
                        w, err);
  }
  whole_stop_reading(w);
  mem_free(host, w);
  return status == SB_END ? SB_OK : status;
}
