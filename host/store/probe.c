/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a store really does, found by trying it with two small objects whose
 * names nobody else uses.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "host/store/store.h"

typedef struct probe {
  const sb_host *host;
  sb_store *store;
  sb_probe *out;
  char name[SB_OBJECT_NAME_MAX + 1];
  char copy[SB_OBJECT_NAME_MAX + 8];
  store_meta meta;      /* of `name` as last put */
  const char *content;  /* of `name` as last put */
  int listed;
} probe;

/* Keeps the first failure's words. */
static sb_status
probe_note(probe *p, sb_status status, const sb_error *error)
{
  if (status != SB_OK && p->out->detail[0] == '\0')
    (void)snprintf(p->out->detail, sizeof p->out->detail, "%.250s",
                   error->message);
  return status;
}

static sb_status
probe_put(probe *p, const char *content, uint32_t flags, const char *etag,
          sb_error *error)
{
  store_meta meta;
  sb_status status = store_put(p->host, p->store, p->name, content,
                               strlen(content), flags, etag, NULL, 0, &meta,
                               SB_PRIORITY_COMMIT, error);

  if (status == SB_OK) {
    p->meta = meta;
    p->content = content;
  }
  return status;
}

static void
probe_write(probe *p)
{
  sb_error error;
  sb_status status = probe_put(p, "first", SB_PUT_CREATE, NULL, &error);

  if (status == SB_UNSUPPORTED)
    status = probe_put(p, "first", 0, NULL, &error);
  else if (status == SB_OK
           && probe_put(p, "second", SB_PUT_CREATE, NULL, &error) == SB_EXISTS)
    p->out->honours |= SB_STORE_CREATE;
  p->out->write = probe_note(p, status, &error);
}

/* Both sides count: the right tag must pass and an old one must not. */
static void
probe_match(probe *p)
{
  char old[SB_ETAG_MAX + 1];
  sb_error error;

  if (p->meta.etag[0] == '\0')
    return;
  strcpy(old, p->meta.etag);
  if (probe_put(p, "third, longer", 0, old, &error) == SB_OK
      && strcmp(p->meta.etag, old) != 0
      && probe_put(p, "fourth", 0, old, &error) == SB_CONFLICT)
    p->out->honours |= SB_STORE_MATCH;
}

static void
probe_read(probe *p)
{
  char bytes[64];
  uint64_t got = 0;
  sb_error error;
  sb_status status = store_get(p->host, p->store, p->name, 0, bytes,
                               sizeof bytes, &got, NULL, 0, &error);

  if (status == SB_OK
      && (got != strlen(p->content) || memcmp(bytes, p->content, got) != 0))
    status = sb_error_set(&error, SB_CORRUPT,
                          "object \"%.150s\" reads back other than written",
                          p->name);
  p->out->read = probe_note(p, status, &error);
}

static sb_status
probe_listed(void *arg, const sb_store_entry *entry, sb_error *err)
{
  probe *p = arg;

  (void)err;
  p->listed |= strcmp(entry->name, p->name) == 0;
  return SB_OK;
}

static void
probe_list(probe *p)
{
  sb_error error;
  sb_status status = store_list(p->host, p->store, p->name, NULL,
                                probe_listed, p, &error);

  if (status == SB_OK && p->listed == 0)
    status = sb_error_set(&error, SB_IO,
                          "object \"%.150s\" is not in the listing", p->name);
  p->out->list = probe_note(p, status, &error);
}

static void
probe_copy(probe *p)
{
  const sb_store_info *info = store_info(p->store);

  if (store_copy(p->host, p->store, NULL, p->name, p->copy, 0, NULL, NULL)
      != SB_OK)
    return;
  p->out->honours |= SB_STORE_COPY;
  /* Foreign roots cannot be tried without one: the store's word is taken. */
  if (info != NULL)
    p->out->honours |= info->flags & SB_STORE_COPY_FOREIGN;
}

static void
probe_remove(probe *p)
{
  const char *names[2] = { p->name, p->copy };
  sb_error error;
  sb_status status = store_remove(p->host, p->store, names, 2, NULL, &error);

  if (status == SB_OK) {
    status = store_head(p->host, p->store, p->name, NULL, &error);
    if (status == SB_OK)
      status = sb_error_set(&error, SB_IO,
                            "object \"%.150s\" is there after its removal",
                            p->name);
    else if (status == SB_NOT_FOUND)
      status = SB_OK;
  }
  p->out->remove = probe_note(p, status, &error);
}

/* Nothing can be written: reading is tried with a name that is not there. */
static void
probe_read_only(probe *p)
{
  sb_error error;
  sb_status status = store_list(p->host, p->store, p->name, NULL,
                                probe_listed, p, &error);

  p->out->list = probe_note(p, status, &error);
  status = store_head(p->host, p->store, p->name, NULL, &error);
  p->out->read = status == SB_NOT_FOUND ? SB_OK
                                        : probe_note(p, status, &error);
  p->out->remove = p->out->write;
}

sb_status
store_probe(const sb_host *host, sb_store *s, const char *prefix,
            sb_probe *out, sb_error *err)
{
  probe p = { .host = host, .store = s, .out = out };
  uint32_t struct_size = out->struct_size;
  unsigned long long nonce = host->random(host);
  const char *slash = prefix[0] == '\0' ? "" : "/";

  memset(out, 0, sizeof *out);
  out->struct_size = struct_size;
  if (strlen(prefix) + 32 > SB_OBJECT_NAME_MAX)
    return sb_error_set(err, SB_TOO_LARGE, "prefix \"%.200s...\" is too long",
                        prefix);
  (void)snprintf(p.name, sizeof p.name, "%s%sprobe-%016llx", prefix, slash,
                 nonce);
  (void)snprintf(p.copy, sizeof p.copy, "%s.copy", p.name);
  probe_write(&p);
  if (out->write == SB_OK) {
    probe_match(&p);
    probe_read(&p);
    probe_list(&p);
    probe_copy(&p);
    probe_remove(&p);
  } else {
    probe_read_only(&p);
  }
  return store_name_check(p.name, err);
}
