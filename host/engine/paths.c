/* SPDX-License-Identifier: Apache-2.0 */
/* Making and reading object names; see paths.h. */
#include "config.h"

#include <stdio.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "host/base/mem.h"
#include "host/engine/paths.h"

/* A name being put together; `full` turns 1 when it does not fit. */
typedef struct paths_name {
  char *out;
  size_t len;
  int full;
} paths_name;

static int
paths_clean(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

sb_status
paths_encode_part(const void *data, size_t len, char *out, size_t size,
                  sb_error *err)
{
  static const char hex[] = "0123456789ABCDEF";
  const char *p = data;
  size_t i, n = 0;

  for (i = 0; i < len; i++) {
    int plain = paths_clean(p[i]) && (i != 0 || (p[i] != '_' && p[i] != '.'));

    if (n + (plain ? 1 : 3) > PATH_PART_MAX || n + 4 > size)
      return sb_error_set(err, SB_TOO_LARGE,
                          "\"%.*s...\" is over %u bytes as part of a name",
                          (int)(i < 60 ? i : 60), p, PATH_PART_MAX);
    if (plain) {
      out[n++] = p[i];
    } else {
      out[n++] = '%';
      out[n++] = hex[(uint8_t)p[i] >> 4];
      out[n++] = hex[(uint8_t)p[i] & 15];
    }
  }
  out[n] = '\0';
  return SB_OK;
}

/* ---- options ------------------------------------------------------------ */

/* Parts must not be empty, "." or "..", and begin and end without slash. */
static int
paths_prefix_valid(const char *s)
{
  for (;;) {
    size_t len = strcspn(s, "/");

    if (len == 0 || strncmp(s, "..", len > 2 ? len : 2) == 0 ||
        (len == 1 && s[0] == '.'))
      return 0;
    if (s[len] == '\0')
      return 1;
    s += len + 1;
  }
}

static sb_status
paths_copy(char **out, const sb_host *host, const char *s, const char *what,
           sb_error *err)
{
  if (!paths_prefix_valid(s))
    return sb_error_set(err, SB_CONFIG,
                        "\"%s\" cannot be the %s: it must be a path without "
                        "empty, \".\" and \"..\" parts", s, what);
  *out = mem_strdup(host, s);
  if (*out == NULL)
    return sb_error_set(err, SB_NO_MEMORY, "no memory for the %s", what);
  return SB_OK;
}

static const char *
paths_default(const char *s, const char *otherwise)
{
  return s == NULL ? otherwise : s;
}

sb_status
paths_init(paths *p, const sb_host *host, const sb_engine_options *options,
           sb_error *err)
{
  const char *base = paths_default(options->base_path, "");
  const char *extension = paths_default(options->extension, ".state");
  sb_status st = SB_OK;

  memset(p, 0, sizeof *p);
  if (extension[0] != '\0' &&
      (extension[0] != '.' || strchr(extension, '/') != NULL))
    return sb_error_set(err, SB_CONFIG, "\"%s\" cannot be the state file "
                        "extension: it must begin with a dot", extension);
  if (base[0] != '\0')
    st = paths_copy(&p->base, host, base, "base path", err);
  if (st == SB_OK)
    st = paths_copy(&p->state_prefix, host,
                    paths_default(options->state_prefix, "state"),
                    "state prefix", err);
  if (st == SB_OK)
    st = paths_copy(&p->checkpoint_prefix, host,
                    paths_default(options->checkpoint_prefix, "checkpoints"),
                    "checkpoint prefix", err);
  if (st == SB_OK)
    st = paths_copy(&p->savepoint_prefix, host,
                    paths_default(options->savepoint_prefix, "savepoints"),
                    "savepoint prefix", err);
  if (st == SB_OK && base[0] == '\0')
    p->base = mem_strdup(host, "");
  if (st == SB_OK)
    p->extension = mem_strdup(host, extension);
  if (st == SB_OK && (p->base == NULL || p->extension == NULL))
    st = sb_error_set(err, SB_NO_MEMORY, "no memory for object names");
  if (st != SB_OK)
    paths_dispose(p, host);
  return st;
}

void
paths_dispose(paths *p, const sb_host *host)
{
  mem_free(host, p->base);
  mem_free(host, p->state_prefix);
  mem_free(host, p->checkpoint_prefix);
  mem_free(host, p->savepoint_prefix);
  mem_free(host, p->extension);
  memset(p, 0, sizeof *p);
}

/* ---- making names ------------------------------------------------------- */

static void
paths_add(paths_name *n, const char *s)
{
  size_t len = strlen(s);

  if (n->full || len >= PATH_SIZE - n->len) {
    n->full = 1;
    return;
  }
  memcpy(n->out + n->len, s, len + 1);
  n->len += len;
}

static void
paths_add_dir(paths_name *n, const char *s)
{
  if (s[0] == '\0')
    return;
  paths_add(n, s);
  paths_add(n, "/");
}

static void
paths_add_part(paths_name *n, const char *s)
{
  char part[PATH_PART_MAX + 2];

  if (paths_encode_part(s, strlen(s), part, sizeof part, NULL) != SB_OK)
    n->full = 1;
  else
    paths_add_dir(n, part);
}

static paths_name
paths_begin(const paths *p, const char *job, const char *prefix, char *out)
{
  paths_name n = { out, 0, 0 };

  out[0] = '\0';
  paths_add_dir(&n, p->base);
  paths_add_part(&n, job);
  paths_add_dir(&n, prefix);
  return n;
}

static sb_status
paths_end(const paths_name *n, sb_error *err)
{
  if (!n->full)
    return SB_OK;
  return sb_error_set(err, SB_TOO_LARGE,
                      "the object name that begins with \"%.100s\" is over %u "
                      "bytes", n->out, SB_OBJECT_NAME_MAX);
}

sb_status
paths_segment(const paths *p, const char *job, const char *operator_id,
              uint64_t generation, uint64_t sequence, uint64_t random,
              char *out, sb_error *err)
{
  paths_name n = paths_begin(p, job, p->state_prefix, out);
  char file[80], dir[4];

  (void)snprintf(file, sizeof file, "%llu-%llu-%016llx",
                 (unsigned long long)generation, (unsigned long long)sequence,
                 (unsigned long long)random);
  /* The two digits spread names over the store's index. */
  (void)snprintf(dir, sizeof dir, "%02x",
                 (unsigned)(XXH3_64bits(file, strlen(file)) & 0xff));
  paths_add(&n, "_/");
  paths_add_part(&n, operator_id);
  paths_add_dir(&n, dir);
  paths_add(&n, file);
  paths_add(&n, p->extension);
  return paths_end(&n, err);
}

sb_status
paths_shared(const paths *p, const char *job, const char *operator_id,
             uint64_t generation, uint64_t sequence, uint64_t random,
             char *out, sb_error *err)
{
  paths_name n = paths_begin(p, job, p->checkpoint_prefix, out);
  char file[80];

  (void)snprintf(file, sizeof file, "%llu-%llu-%016llx",
                 (unsigned long long)generation, (unsigned long long)sequence,
                 (unsigned long long)random);
  paths_add(&n, "shared/");
  paths_add_part(&n, operator_id);
  paths_add(&n, file);
  paths_add(&n, p->extension);
  return paths_end(&n, err);
}

sb_status
paths_segments_prefix(const paths *p, const char *job, char *out,
                      sb_error *err)
{
  paths_name n = paths_begin(p, job, p->state_prefix, out);

  paths_add(&n, "_/");
  return paths_end(&n, err);
}

/* The checkpoint prefix and what follows. */
static sb_status
paths_under_checkpoints(const paths *p, const char *job, const char *tail,
                        char *out, sb_error *err)
{
  paths_name n = paths_begin(p, job, p->checkpoint_prefix, out);

  paths_add(&n, tail);
  return paths_end(&n, err);
}

sb_status
paths_head(const paths *p, const char *job, char *out, sb_error *err)
{
  return paths_under_checkpoints(p, job, "HEAD", out, err);
}

sb_status
paths_head_numbered(const paths *p, const char *job, uint64_t number,
                    char *out, sb_error *err)
{
  char tail[32];

  (void)snprintf(tail, sizeof tail, "HEAD-%020llu",
                 (unsigned long long)number);
  return paths_under_checkpoints(p, job, tail, out, err);
}

sb_status
paths_metadata(const paths *p, const char *job, uint64_t id,
               uint64_t generation, uint64_t nonce, char *out, sb_error *err)
{
  char tail[96];

  (void)snprintf(tail, sizeof tail, "chk-%llu-%llu-%016llx/_metadata",
                 (unsigned long long)id, (unsigned long long)generation,
                 (unsigned long long)nonce);
  return paths_under_checkpoints(p, job, tail, out, err);
}

sb_status
paths_manifest(const paths *p, const char *job, uint32_t subtask, uint64_t id,
               uint64_t generation, uint64_t nonce, char *out, sb_error *err)
{
  char tail[112];

  (void)snprintf(tail, sizeof tail, "chk-%llu-%llu-%016llx/%u.manifest",
                 (unsigned long long)id, (unsigned long long)generation,
                 (unsigned long long)nonce, subtask);
  return paths_under_checkpoints(p, job, tail, out, err);
}

sb_status
paths_pin(const paths *p, const char *job, uint64_t random, char *out,
          sb_error *err)
{
  char tail[32];

  (void)snprintf(tail, sizeof tail, "pins/%016llx",
                 (unsigned long long)random);
  return paths_under_checkpoints(p, job, tail, out, err);
}

sb_status
paths_checkpoints_prefix(const paths *p, const char *job, char *out,
                         sb_error *err)
{
  return paths_under_checkpoints(p, job, "", out, err);
}

sb_status
paths_heads_prefix(const paths *p, const char *job, char *out, sb_error *err)
{
  return paths_under_checkpoints(p, job, "HEAD-", out, err);
}

sb_status
paths_pins_prefix(const paths *p, const char *job, char *out, sb_error *err)
{
  return paths_under_checkpoints(p, job, "pins/", out, err);
}

sb_status
paths_savepoint_prefix(const paths *p, const char *job, const char *name,
                       char *out, sb_error *err)
{
  paths_name n = paths_begin(p, job, p->savepoint_prefix, out);

  if (name[0] == '\0')
    return sb_error_set(err, SB_INVALID, "a savepoint needs a name");
  paths_add_part(&n, name);
  return paths_end(&n, err);
}

sb_status
paths_savepoints_prefix(const paths *p, const char *job, char *out,
                        sb_error *err)
{
  paths_name n = paths_begin(p, job, p->savepoint_prefix, out);

  return paths_end(&n, err);
}

sb_status
paths_savepoint_file(const paths *p, const char *job, const char *name,
                     const char *file, char *out, sb_error *err)
{
  paths_name n = paths_begin(p, job, p->savepoint_prefix, out);

  if (name[0] == '\0')
    return sb_error_set(err, SB_INVALID, "a savepoint needs a name");
  paths_add_part(&n, name);
  paths_add(&n, file);
  return paths_end(&n, err);
}

sb_status
paths_segment_file(const paths *p, uint64_t generation, uint64_t sequence,
                   uint64_t random, char *out, sb_error *err)
{
  paths_name n = { out, 0, 0 };
  char file[80];

  (void)snprintf(file, sizeof file, "%llu-%llu-%016llx",
                 (unsigned long long)generation, (unsigned long long)sequence,
                 (unsigned long long)random);
  out[0] = '\0';
  paths_add(&n, file);
  paths_add(&n, p->extension);
  return paths_end(&n, err);
}

/* ---- reading names ------------------------------------------------------ */

/* A cursor over a name: each function eats what it knows or sets `bad`. */
typedef struct paths_scan {
  const char *p;
  int bad;
} paths_scan;

static void
paths_eat(paths_scan *s, const char *text)
{
  size_t len = strlen(text);

  if (!s->bad && strncmp(s->p, text, len) == 0)
    s->p += len;
  else
    s->bad = 1;
}

/* A decimal number as printed: no leading zero, unless of a fixed width. */
static uint64_t
paths_eat_number(paths_scan *s, size_t width)
{
  uint64_t v = 0;
  size_t n = 0;

  while (!s->bad && s->p[n] >= '0' && s->p[n] <= '9') {
    uint64_t digit = (uint64_t)(s->p[n] - '0');

    if (v > (UINT64_MAX - digit) / 10)
      s->bad = 1;
    v = v * 10 + digit;
    n++;
  }
  if (n == 0 || (width != 0 && n != width) ||
      (width == 0 && n > 1 && s->p[0] == '0'))
    s->bad = 1;
  s->p += s->bad ? 0 : n;
  return v;
}

static uint64_t
paths_eat_hex(paths_scan *s, size_t width)
{
  static const char digits[] = "0123456789abcdef";
  uint64_t v = 0;
  size_t i;

  for (i = 0; i < width && !s->bad; i++) {
    const char *d = s->p[i] == '\0' ? NULL : strchr(digits, s->p[i]);

    if (d == NULL)
      s->bad = 1;
    else
      v = v << 4 | (uint64_t)(d - digits);
  }
  s->p += s->bad ? 0 : width;
  return v;
}

static void
paths_scan_file(paths_scan *s, path_info *info)
{
  info->generation = paths_eat_number(s, 0);
  paths_eat(s, "-");
  info->sequence = paths_eat_number(s, 0);
  paths_eat(s, "-");
  info->random = paths_eat_hex(s, 16);
  if (!s->bad && s->p[0] != '\0' &&
      (s->p[0] != '.' || strchr(s->p, '/') != NULL))
    s->bad = 1;
}

static path_info
paths_parse_segment(const char *name)
{
  path_info info = { .kind = PATH_SEGMENT };
  paths_scan s = { name, 0 };
  const char *slash = strchr(name, '/');

  /* Two parts follow when there is no operator, else three. */
  if (slash != NULL && strchr(slash + 1, '/') != NULL)
    s.p = slash + 1;
  (void)paths_eat_hex(&s, 2);
  paths_eat(&s, "/");
  paths_scan_file(&s, &info);
  info.kind = s.bad ? PATH_OTHER : PATH_SEGMENT;
  return info;
}

static path_info
paths_parse_checkpoint(const char *name)
{
  path_info info = { .kind = PATH_OTHER };
  paths_scan s = { name, 0 };

  paths_eat(&s, "chk-");
  info.id = paths_eat_number(&s, 0);
  paths_eat(&s, "-");
  info.generation = paths_eat_number(&s, 0);
  paths_eat(&s, "-");
  info.random = paths_eat_hex(&s, 16);
  paths_eat(&s, "/");
  if (!s.bad && strcmp(s.p, "_metadata") == 0) {
    info.kind = PATH_METADATA;
    return info;
  }
  info.subtask = (uint32_t)paths_eat_number(&s, 0);
  paths_eat(&s, ".manifest");
  if (!s.bad && s.p[0] == '\0')
    info.kind = PATH_MANIFEST;
  return info;
}

static path_info
paths_parse_other(const char *name)
{
  path_info info = { .kind = PATH_OTHER };
  paths_scan s = { name, 0 };

  if (strcmp(name, "HEAD") == 0) {
    info.kind = PATH_HEAD;
  } else if (strncmp(name, "HEAD-", 5) == 0) {
    paths_eat(&s, "HEAD-");
    info.id = paths_eat_number(&s, 20);
    if (!s.bad && s.p[0] == '\0')
      info.kind = PATH_HEAD_NUMBERED;
  } else if (strncmp(name, "pins/", 5) == 0) {
    paths_eat(&s, "pins/");
    info.random = paths_eat_hex(&s, 16);
    if (!s.bad && s.p[0] == '\0')
      info.kind = PATH_PIN;
  }
  return info;
}

path_info
paths_parse(const paths *p, const char *job, const char *name)
{
  path_info other = { .kind = PATH_OTHER };
  char prefix[PATH_SIZE];
  size_t len;

  if (paths_segments_prefix(p, job, prefix, NULL) == SB_OK) {
    len = strlen(prefix);
    if (strncmp(name, prefix, len) == 0)
      return paths_parse_segment(name + len);
  }
  if (paths_checkpoints_prefix(p, job, prefix, NULL) != SB_OK)
    return other;
  len = strlen(prefix);
  if (strncmp(name, prefix, len) != 0)
    return other;
  if (strncmp(name + len, "chk-", 4) == 0)
    return paths_parse_checkpoint(name + len);
  return paths_parse_other(name + len);
}

sb_status
paths_segment_generation(const char *name, uint64_t *generation)
{
  const char *slash = strrchr(name, '/');
  paths_scan s = { slash == NULL ? name : slash + 1, 0 };
  path_info info = { .kind = PATH_SEGMENT };

  paths_scan_file(&s, &info);
  *generation = s.bad ? 0 : info.generation;
  return s.bad ? SB_INVALID : SB_OK;
}
