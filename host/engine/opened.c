/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints in the hands of whoever opened them; see opened.h. */
#include "config.h"

#include "host/base/crc.h"
#include "host/checkpoint/canonical.h"
#include "host/engine/opened.h"
#include "host/engine/pin.h"

typedef struct opened {
  sb_checkpoint checkpoint; /* first: callers get a pointer to it */
  metadata *metadata;
  char name[PATH_SIZE];
  char pin[PATH_SIZE];      /* "" without one */
  buf *rewritten;           /* one a part; or NULL */
} opened;

void
opened_info(const metadata_ref *ref, const char *name,
            sb_checkpoint_info *info)
{
  memset(info, 0, sizeof *info);
  info->struct_size = sizeof *info;
  info->part_count = ref->part_count;
  info->id = ref->id;
  info->generation = ref->generation;
  info->created_ms = ref->created_ms;
  info->size = ref->size;
  info->name = name;
}

sb_status
opened_new(const job_env *env, metadata *m, const metadata_ref *ref,
           const char *pin_name, sb_checkpoint **out, sb_error *err)
{
  opened *o = mem_zalloc(env->host, sizeof *o);

  if (o == NULL) {
    metadata_free(env->host, m);
    return sb_error_set(err, SB_NO_MEMORY, "no memory for checkpoint %llu",
                        (unsigned long long)ref->id);
  }
  o->metadata = m;
  memcpy(o->name, ref->name, strlen(ref->name) + 1);
  if (pin_name != NULL)
    memcpy(o->pin, pin_name, strlen(pin_name) + 1);
  o->checkpoint.struct_size = sizeof o->checkpoint;
  opened_info(ref, o->name, &o->checkpoint.info);
  o->checkpoint.parts = m->parts;
  o->checkpoint.blob = m->blob;
  o->checkpoint.internal = o;
  *out = &o->checkpoint;
  return SB_OK;
}

void
job_checkpoint_close(const job_env *env, sb_checkpoint *checkpoint)
{
  opened *o;
  size_t i;

  if (checkpoint == NULL)
    return;
  o = checkpoint->internal;
  pin_remove(env, o->pin);
  for (i = 0; o->rewritten != NULL && i < o->metadata->part_count; i++)
    buf_dispose(&o->rewritten[i]);
  mem_free(env->host, o->rewritten);
  metadata_free(env->host, o->metadata);
  mem_free(env->host, o);
}

/* ---- rewriting ---------------------------------------------------------- */

/* Names in front of which the directory has been put; freed with the manifest
   that borrows them. */
typedef struct opened_names {
  char *bytes;
  size_t len;
} opened_names;

static sb_status
opened_names_init(const sb_host *host, const manifest *m,
                  const char *directory, opened_names *n)
{
  size_t len = 0, i;

  n->len = 0;
  for (i = 0; i < m->segment_count; i++)
    len += strlen(m->segments[i].name) + strlen(directory) + 1;
  n->bytes = mem_alloc(host, len);
  return n->bytes == NULL ? SB_NO_MEMORY : SB_OK;
}

static const char *
opened_names_add(opened_names *n, const char *directory, const char *name)
{
  char *at = n->bytes + n->len;
  size_t first = strlen(directory), second = strlen(name) + 1;

  memcpy(at, directory, first);
  memcpy(at + first, name, second);
  n->len += first + second;
  return at;
}

static void
opened_edit(manifest *m, const char *directory, uint32_t owner,
            opened_names *n)
{
  size_t i;

  for (i = 0; i < m->segment_count; i++) {
    manifest_segment *s = &m->segments[i];

    if (s->root != NULL)
      continue;
    if (directory != NULL)
      s->name = opened_names_add(n, directory, s->name);
    if (s->owner == MANIFEST_OWNER_ENGINE)
      s->owner = owner;
  }
  m->held_count = m->dropped_count = 0;
}

/* A savepoint's objects are in its directory: it must not make those of others
   somebody's to read or, with a claim, to delete. */
static sb_status
opened_check_name(const char *name, const char *directory, sb_error *err)
{
  if (strchr(name, '/') == NULL)
    return SB_OK;
  return sb_error_set(err, SB_CORRUPT, "savepoint \"%s\" names \"%s\", which "
                      "is not in it", directory, name);
}

static sb_status
opened_check_names(const manifest *m, const char *directory, sb_error *err)
{
  sb_status st = SB_OK;
  size_t i;

  for (i = 0; st == SB_OK && i < m->segment_count; i++)
    if (m->segments[i].root == NULL)
      st = opened_check_name(m->segments[i].name, directory, err);
  return st;
}

static sb_status
opened_rewrite_manifest(const job_env *env, sb_slice bytes, buf *out,
                        const char *directory, uint32_t owner, sb_error *err)
{
  opened_names n = { NULL, 0 };
  manifest *m;
  sb_status st = manifest_decode(env->host, bytes.data, bytes.len, &m, err);

  if (st != SB_OK)
    return st;
  if (directory != NULL)
    st = opened_check_names(m, directory, err);
  if (st != SB_OK) {
    manifest_free(env->host, m);
    return st;
  }
  if (directory != NULL)
    st = opened_names_init(env->host, m, directory, &n);
  if (st == SB_OK) {
    opened_edit(m, directory, owner, &n);
    st = manifest_encode(env->host, m, out);
  }
  mem_free(env->host, n.bytes);
  manifest_free(env->host, m);
  return st == SB_OK ? st
                     : sb_error_set(err, st, "could not rewrite a manifest: "
                                    "%s", sb_status_name(st));
}

/* The directory without its slash, as canonical parts have it. */
static sb_status
opened_move_canonical(const job_env *env, sb_slice bytes, buf *out,
                      const char *directory, sb_error *err)
{
  char plain[PATH_SIZE] = "";
  size_t len = directory == NULL ? 0 : strlen(directory);

  if (len != 0) {
    memcpy(plain, directory, len - 1);
    plain[len - 1] = '\0';
  }
  return canonical_part_move(env->host, bytes, plain, out, err);
}

static sb_status
opened_rewrite_bytes(const job_env *env, const sb_part *part, buf *out,
                     const char *directory, uint32_t owner, sb_error *err)
{
  sb_slice bytes;
  void *owned;
  sb_status st;

  st = manifest_bytes(env->host, env->store, part, &bytes, &owned, err);
  if (st == SB_OK && canonical_is_descriptor(bytes))
    st = opened_move_canonical(env, bytes, out, directory, err);
  else if (st == SB_OK)
    st = opened_rewrite_manifest(env, bytes, out, directory, owner, err);
  mem_free(env->host, owned);
  return st;
}

/* A part whose manifest is named relative to the savepoint is read by its
   whole name. */
static sb_status
opened_rewrite_part(const job_env *env, sb_part *part, buf *out,
                    const char *directory, uint32_t owner, sb_error *err)
{
  char name[PATH_SIZE];
  sb_part whole = *part;
  sb_status st;

  if (directory != NULL && part->name != NULL) {
    st = opened_check_name(part->name, directory, err);
    if (st != SB_OK)
      return st;
    if (strlen(directory) + strlen(part->name) >= sizeof name)
      return sb_error_set(err, SB_TOO_LARGE, "the object name that begins "
                          "with \"%.100s\" is over %u bytes", directory,
                          SB_OBJECT_NAME_MAX);
    memcpy(name, directory, strlen(directory));
    memcpy(name + strlen(directory), part->name, strlen(part->name) + 1);
    whole.name = name;
  }
  st = opened_rewrite_bytes(env, &whole, out, directory, owner, err);
  if (st != SB_OK)
    return st;
  part->name = NULL;
  part->manifest = sb_slice_of(out->data, out->len);
  part->length = out->len;
  part->crc32c = crc32c(out->data, out->len);
  return SB_OK;
}

sb_status
opened_rewrite(const job_env *env, sb_checkpoint *checkpoint,
               const char *directory, uint32_t owner, sb_error *err)
{
  opened *o = checkpoint->internal;
  metadata *m = o->metadata;
  sb_status st = SB_OK;
  size_t i;

  o->rewritten = mem_zalloc(env->host, m->part_count * sizeof (buf));
  if (o->rewritten == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory for %zu manifests",
                        m->part_count);
  for (i = 0; i < m->part_count; i++)
    buf_init(&o->rewritten[i], env->host, MANIFEST_SIZE_MAX);
  for (i = 0; st == SB_OK && i < m->part_count; i++)
    st = opened_rewrite_part(env, &m->parts[i], &o->rewritten[i], directory,
                             owner, err);
  return st;
}
