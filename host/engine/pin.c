/* SPDX-License-Identifier: Apache-2.0 */
/* Readers' pins; see pin.h. */
#include "config.h"

#include "host/engine/envelope.h"
#include "host/engine/job_state.h"
#include "host/engine/pin.h"

#define PIN_MAGIC "SBpn"
#define PIN_VERSION 1u
#define PIN_TRIES 3

void
pin_encode(const pin *p, buf *out)
{
  size_t start = envelope_begin(out, PIN_MAGIC, PIN_VERSION);

  buf_u64(out, p->length);
  buf_u32(out, p->crc32c);
  envelope_add_str(out, p->metadata);
  envelope_end(out, start);
}

sb_status
pin_decode(const void *data, size_t len, pin *out, sb_error *err)
{
  const char *name;
  reader body;
  pin p = { 0 };
  sb_status st;

  st = envelope_open(data, len, PIN_MAGIC, PIN_VERSION, "pin", &body, err);
  if (st != SB_OK)
    return st;
  p.length = reader_u64(&body);
  p.crc32c = reader_u32(&body);
  name = envelope_str(&body, SB_OBJECT_NAME_MAX);
  if (body.bad || reader_left(&body) != 0 || name[0] == '\0')
    return sb_error_set(err, SB_CORRUPT, "pin has impossible contents");
  memcpy(p.metadata, name, strlen(name) + 1);
  *out = p;
  return SB_OK;
}

sb_status
pin_put(const job_env *env, const char *job, const metadata_ref *ref,
        char *name, sb_error *err)
{
  pin p = { .length = ref->length, .crc32c = ref->crc32c };
  buf bytes;
  sb_status st;
  int tries;

  name[0] = '\0';
  memcpy(p.metadata, ref->name, strlen(ref->name) + 1);
  buf_init(&bytes, env->host, PIN_SIZE_MAX);
  pin_encode(&p, &bytes);
  st = bytes.status;
  if (st != SB_OK)
    sb_error_set(err, st, "could not encode a pin of \"%s\"", ref->name);
  else
    st = paths_pin(env->paths, job, env->host->random(env->host), name, err);
  /* The same bytes under the same name: writing again does no harm. */
  for (tries = 0; st == SB_OK && tries < PIN_TRIES; tries++) {
    st = store_put(env->host, env->store, name, bytes.data, bytes.len, 0, NULL,
                   NULL, 0, NULL, SB_PRIORITY_READ, err);
    if (st != SB_UNKNOWN)
      break;
    st = tries + 1 == PIN_TRIES ? st : SB_OK;
  }
  buf_dispose(&bytes);
  return st;
}

void
pin_remove(const job_env *env, const char *name)
{
  const char *list[1] = { name };

  if (name[0] == '\0')
    return;
  if (store_remove(env->host, env->store, list, 1, NULL, NULL) != SB_OK)
    env->host->log(env->host, SB_LOG_WARN, "job",
                   "could not remove a reader's pin; gc removes it");
}

/* ---- the deleter's side ------------------------------------------------- */

typedef struct pin_listing {
  const job_env *env;
  const char *job;
  names *pins;
} pin_listing;

static sb_status
pin_list_entry(void *arg, const sb_store_entry *entry, sb_error *err)
{
  pin_listing *l = arg;

  (void)err;
  if (paths_parse(l->env->paths, l->job, entry->name).kind == PATH_PIN)
    names_add(l->pins, entry->name, entry->size);
  return SB_OK;
}

sb_status
pin_list(const job_env *env, const char *job, names *pins, sb_error *err)
{
  pin_listing l = { env, job, pins };
  char prefix[PATH_SIZE];
  sb_status st;

  st = paths_pins_prefix(env->paths, job, prefix, err);
  if (st == SB_OK)
    st = store_list(env->host, env->store, prefix, NULL, pin_list_entry, &l,
                    err);
  if (st == SB_OK && pins->status != SB_OK)
    st = sb_error_set(err, pins->status, "no memory for a list of pins");
  return st;
}

static sb_status
pin_read(const job_env *env, const char *name, pin *out, sb_error *err)
{
  uint8_t bytes[PIN_SIZE_MAX];
  uint64_t got = 0;
  sb_status st;

  st = store_get(env->host, env->store, name, 0, bytes, sizeof bytes, &got,
                 NULL, SB_PRIORITY_COMMIT, err);
  return st == SB_OK ? pin_decode(bytes, (size_t)got, out, err) : st;
}

/* What the pin called `name` keeps. */
static sb_status
pin_collect_one(const job_env *env, const char *name, const names *retained,
                names *keep, sb_error *err)
{
  metadata *m = NULL;
  pin p;
  sb_status st;

  st = pin_read(env, name, &p, err);
  if (st == SB_NOT_FOUND)
    return SB_OK; /* its reader has gone */
  if (st != SB_OK || names_has(retained, p.metadata))
    return st;
  st = metadata_read(env->host, env->store, p.metadata, p.length, p.crc32c,
                     &m, err);
  if (st == SB_OK) {
    names_add(keep, p.metadata, 0);
    st = change_metadata_names(env, m, keep, err);
  }
  metadata_free(env->host, m);
  if (st != SB_NOT_FOUND)
    return st;
  /* Its deletion had begun before the pin came, so nobody reads it. */
  pin_remove(env, name);
  return SB_OK;
}

sb_status
pin_collect(const job_env *env, const char *job, const names *retained,
            names *keep, uint64_t *count, sb_error *err)
{
  names pins;
  sb_status st;
  size_t i;

  names_init(&pins, env->host);
  st = pin_list(env, job, &pins, err);
  for (i = 0; st == SB_OK && i < pins.count; i++)
    st = pin_collect_one(env, names_at(&pins, i), retained, keep, err);
  if (st == SB_OK && keep->status != SB_OK)
    st = sb_error_set(err, keep->status, "no memory for pinned names");
  *count = pins.count;
  names_dispose(&pins);
  return st;
}
