/* SPDX-License-Identifier: Apache-2.0 */
/* What sources of credentials share, and which one a key names; source.h. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/crypto.h>
#include <statebackend/plugin.h>

#include "plugins/s3/source.h"

#define SOURCE_KEY_MAX 256u
#define SOURCE_TOKEN_MAX 16384u
#define SOURCE_LEVELS 2       /* a role, and a role that assumes it */
#define SOURCE_MASK_MIN 8u    /* shorter pieces of a secret tell nothing */

sb_status
s3_source_no_memory(sb_error *err)
{
  return sb_fail(err, SB_NO_MEMORY, "no memory for credentials");
}

/* ---- texts -------------------------------------------------------------- */

const char *
s3_environment(const char *name)
{
  const char *value = getenv(name);

  return value == NULL || value[0] == '\0' ? NULL : value;
}

const char *
s3_source_setting(const s3_settings *settings, const char *prefix,
                  const char *suffix)
{
  char key[SOURCE_KEY_MAX];
  const char *value = NULL;
  int len = snprintf(key, sizeof key, "%s%s", prefix, suffix);

  if (len > 0 && (size_t)len < sizeof key)
    value = settings->host->config_string(settings->config, key);
  return value == NULL || value[0] == '\0' ? NULL : value;
}

void
s3_source_wipe(s3_buf *buf)
{
  if (buf->data != NULL)
    OPENSSL_cleanse(buf->data, buf->size);
  s3_buf_free(buf);
}

static size_t
source_match(const char *text, const char *secret)
{
  size_t len = 0;

  while (secret[len] != '\0' && text[len] == secret[len])
    len++;
  return len;
}

void
s3_source_mask(sb_error *err, const char *secret)
{
  char *text, *end;

  if (err == NULL || secret == NULL)
    return;
  for (text = err->message; *text != '\0'; text++) {
    const char *from;

    for (from = secret; *from != '\0'; from++) {
      size_t len = source_match(text, from);

      if (len < SOURCE_MASK_MIN && (len == 0 || secret[len] != '\0'))
        continue;
      for (end = text + len; text < end - 1; text++)
        *text = '*';
      *text = '*';
      break;
    }
  }
}

/* 1 if the text can stand in a header. */
static int
source_plain(const char *text)
{
  const char *p;

  for (p = text; *p > ' ' && *p < 127; p++)
    continue;
  return *p == '\0';
}

sb_status
s3_fetched(const sb_host *host, const char *what, const char *access,
           const char *secret, const char *token, uint64_t expires_ms,
           s3_credentials **out, sb_error *err)
{
  const char *bad = NULL;

  *out = NULL;
  if (token != NULL && token[0] == '\0')
    token = NULL;
  if (access == NULL || access[0] == '\0')
    return sb_fail(err, SB_CORRUPT, "%s gave no access key", what);
  if (secret == NULL || secret[0] == '\0')
    return sb_fail(err, SB_CORRUPT, "%s gave no secret key", what);
  if (!source_plain(access))
    bad = "access key";
  else if (!source_plain(secret))
    bad = "secret key";
  else if (token != NULL && !source_plain(token))
    bad = "session token";
  if (bad != NULL)
    return sb_fail(err, SB_CORRUPT,
                   "the %s of %s has a character that cannot be in one, such "
                   "as a space or a line end", bad, what);
  *out = s3_credentials_new(host, access, secret, token, expires_ms);
  return *out == NULL ? s3_source_no_memory(err) : SB_OK;
}

/* ---- files -------------------------------------------------------------- */

void
s3_source_path(s3_buf *out, const char *path)
{
  const char *home = s3_environment("HOME");

  if (path[0] == '~' && path[1] == '/' && home != NULL) {
    s3_buf_text(out, home);
    path++;
  }
  s3_buf_text(out, path);
}

static sb_status
source_file_error(const char *what, const char *path, sb_error *err)
{
  int number = errno;
  sb_status status = number == ENOENT || number == ENOTDIR ? SB_NOT_FOUND
                     : number == EACCES || number == EPERM ? SB_DENIED
                                                           : SB_IO;

  return sb_fail(err, status, "could not read %s \"%s\": %s", what, path,
                 strerrordesc_np(number));
}

static sb_status
source_read(int fd, const char *what, const char *path, size_t max,
            s3_buf *out, sb_error *err)
{
  char chunk[4096];
  sb_status status = SB_OK;
  ssize_t n;

  out->max = max;
  while ((n = read(fd, chunk, sizeof chunk)) != 0) {
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0) {
      status = source_file_error(what, path, err);
      break;
    }
    s3_buf_add(out, chunk, (size_t)n);
    if (out->failed) {
      status = out->len + (size_t)n > max
                 ? sb_fail(err, SB_TOO_LARGE,
                           "%s \"%s\" is larger than %zu bytes", what, path,
                           max)
                 : s3_source_no_memory(err);
      break;
    }
  }
  OPENSSL_cleanse(chunk, sizeof chunk);
  return status;
}

sb_status
s3_source_file(const sb_host *host, const char *what, const char *path,
               size_t max, s3_buf *out, sb_error *err)
{
  sb_status status;
  struct stat info;
  int fd;

  *out = s3_buf_of(host);
  fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0)
    return source_file_error(what, path, err);
  if (fstat(fd, &info) != 0)
    status = source_file_error(what, path, err);
  else if (!S_ISREG(info.st_mode))
    status = sb_fail(err, SB_CONFIG, "%s \"%s\" is no file", what, path);
  else
    status = source_read(fd, what, path, max, out, err);
  (void)close(fd);
  if (status != SB_OK)
    s3_source_wipe(out);
  return status;
}

static int
source_space(char c)
{
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

sb_status
s3_source_token(const sb_host *host, const char *what, const char *path,
                s3_buf *out, sb_error *err)
{
  sb_status status = s3_source_file(host, what, path, SOURCE_TOKEN_MAX, out,
                                    err);
  size_t skip = 0;

  if (status != SB_OK)
    return status;
  while (out->len > 0 && source_space(out->data[out->len - 1]))
    out->data[--out->len] = '\0';
  while (skip < out->len && source_space(out->data[skip]))
    skip++;
  if (skip > 0)
    memmove(out->data, out->data + skip, out->len - skip + 1);
  out->len -= skip;
  if (out->len == 0)
    status = sb_fail(err, SB_CORRUPT, "%s \"%s\" is empty", what, path);
  else if (strlen(out->data) != out->len ||
           strpbrk(out->data, "\r\n") != NULL)
    status = sb_fail(err, SB_CORRUPT, "%s \"%s\" is no single line", what,
                     path);
  if (status != SB_OK)
    s3_source_wipe(out);
  return status;
}

int
s3_fetch_sleep(s3_fetch *fetch, uint64_t ms)
{
  const sb_host *host = fetch->host;

  if (!atomic_load(&fetch->stopping))
    (void)host->event_wait(host, fetch->wake,
                           host->monotonic_ns(host) + ms * 1000000u);
  return atomic_load(&fetch->stopping);
}

/* ---- which one ---------------------------------------------------------- */

void *
s3_source_new(const sb_host *host, size_t size, const char *name,
              sb_status (*fetch)(s3_source *, s3_fetch *, s3_credentials **,
                                 sb_error *))
{
  s3_source *source = s3_alloc(host, size);

  if (source == NULL)
    return NULL;
  source->host = host;
  source->name = name;
  source->renewable = 1;
  source->fetch = fetch;
  return source;
}

void
s3_source_close(s3_source *source)
{
  if (source == NULL)
    return;
  if (source->close != NULL)
    source->close(source);
  s3_free(source->host, source);
}

/* As Flink's connectors choose when the key is not set. */
static const char *
source_default(const s3_settings *settings, const char *prefix)
{
  return s3_source_setting(settings, prefix, ".basic.accesskeyid") != NULL &&
             s3_source_setting(settings, prefix, ".basic.secretkey") != NULL
           ? "BASIC"
           : "AUTO";
}

sb_status
s3_source_open(const s3_settings *settings, const char *prefix, int level,
               s3_source **out, sb_error *err)
{
  const char *kind = s3_source_setting(settings, prefix, "");

  *out = NULL;
  if (kind == NULL)
    kind = source_default(settings, prefix);
  if (strcmp(kind, "BASIC") == 0)
    return s3_static_open(settings, prefix, out, err);
  if (strcmp(kind, "ENV_VAR") == 0)
    return s3_environment_open(settings, out, err);
  if (strcmp(kind, "SYS_PROP") == 0)
    return s3_properties_open(settings, out, err);
  if (strcmp(kind, "PROFILE") == 0)
    return s3_profile_open(
      settings, s3_source_setting(settings, prefix, ".profile.path"),
      s3_source_setting(settings, prefix, ".profile.name"), out, err);
  if (strcmp(kind, "WEB_IDENTITY_TOKEN") == 0)
    return s3_web_identity_open(settings, prefix, out, err);
  if (strcmp(kind, "CUSTOM") == 0)
    return s3_custom_open(
      settings, s3_source_setting(settings, prefix, ".custom.class"), out,
      err);
  if (strcmp(kind, "AUTO") == 0)
    return s3_chain_open(settings, out, err);
  if (strcmp(kind, "ASSUME_ROLE") != 0)
    return sb_fail(err, SB_CONFIG, "\"%s\" is \"%s\": no such provider",
                   prefix, kind);
  if (level >= SOURCE_LEVELS)
    return sb_fail(err, SB_CONFIG,
                   "\"%s\" is ASSUME_ROLE: roles nest no deeper", prefix);
  return s3_role_open(settings, prefix, level, out, err);
}
