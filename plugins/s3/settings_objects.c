/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How objects are written: encryption with its keys and context, tags, storage
 * class. What becomes a header is made once, here, in the form it is sent in.
 * Keys are read from files and shown to nobody.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/s3/digest.h"
#include "plugins/s3/settings_parts.h"
#include "plugins/s3/uri.h"

#define OBJECTS_KEY_SIZE 32
#define OBJECTS_FILE_MAX 1024
#define OBJECTS_TAGS_MAX 10
#define OBJECTS_TAG_NAME_MAX 128
#define OBJECTS_TAG_VALUE_MAX 256
#define OBJECTS_CONTEXT_MAX 4096

/* ---- lists of NAME=VALUE ------------------------------------------------ */

typedef sb_status objects_pair_fn(void *arg, const char *name,
                                  const char *value, sb_error *err);

/* Calls fn for each element of the option's list. */
static sb_status
objects_each(const s3_settings *settings, const char *option,
             objects_pair_fn *fn, void *arg, sb_error *err)
{
  const char *text = s3_settings_text(settings, option);
  char *copy = text == NULL ? NULL : s3_strdup(settings->host, text);
  char *p = copy;
  sb_status status = SB_OK;

  if (text != NULL && copy == NULL)
    return sb_fail(err, SB_NO_MEMORY, "out of memory");
  while (p != NULL && status == SB_OK) {
    char *next = strchr(p, ','), *equals;

    if (next != NULL)
      *next++ = '\0';
    equals = strchr(p, '=');
    if (equals == NULL || equals == p) {
      status = sb_fail(err, SB_CONFIG, "%s%s has \"%.100s\": it must be "
                       "NAME=VALUE", settings->prefix, option, p);
    } else {
      *equals = '\0';
      status = fn(arg, p, equals + 1, err);
    }
    p = next;
  }
  s3_free(settings->host, copy);
  return status;
}

/* ---- tags --------------------------------------------------------------- */

typedef struct objects_tags {
  const s3_settings *settings;
  s3_buf out;
  size_t count;
  char names[OBJECTS_TAGS_MAX][OBJECTS_TAG_NAME_MAX * 4 + 1];
} objects_tags;

/* Characters of UTF-8; -1 if there is one that a tag cannot have. Letters of
   other scripts are left for the server to judge. */
static long
objects_tag_len(const char *text)
{
  static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
                              "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "0123456789 +-=._:/@";
  long len = 0;

  for (; *text != '\0'; text++) {
    unsigned char c = (unsigned char)*text;

    if (c < 0x80 && strchr(plain, c) == NULL)
      return -1;
    len += c < 0x80 || c >= 0xc0;
  }
  return len;
}

static const char *
objects_tag_problem(const objects_tags *tags, const char *name,
                    const char *value)
{
  long name_len = objects_tag_len(name), value_len = objects_tag_len(value);
  size_t i;

  if (tags->count == OBJECTS_TAGS_MAX)
    return "an object has at most 10 tags";
  if (name_len < 0 || value_len < 0)
    return "tags have letters, digits, spaces and + - = . _ : / @ only";
  if (name_len > OBJECTS_TAG_NAME_MAX || value_len > OBJECTS_TAG_VALUE_MAX)
    return "a tag's name has at most 128 characters, its value 256";
  if (strncmp(name, "aws:", 4) == 0)
    return "names that begin with aws: belong to Amazon";
  for (i = 0; i < tags->count; i++)
    if (strcmp(tags->names[i], name) == 0)
      return "it is there twice";
  return NULL;
}

static sb_status
objects_add_tag(void *arg, const char *name, const char *value, sb_error *err)
{
  objects_tags *tags = arg;
  const char *problem = objects_tag_problem(tags, name, value);

  if (problem != NULL)
    return sb_fail(err, SB_CONFIG, "%stags has \"%.100s\": %s",
                   tags->settings->prefix, name, problem);
  if (tags->count > 0)
    s3_buf_text(&tags->out, "&");
  s3_uri_encode(&tags->out, name, 0);
  s3_buf_text(&tags->out, "=");
  s3_uri_encode(&tags->out, value, 0);
  (void)snprintf(tags->names[tags->count++], sizeof tags->names[0], "%s",
                 name);
  return SB_OK;
}

/* The buffer's text becomes the settings'; NULL if it is empty. */
static sb_status
objects_keep(s3_settings *settings, s3_buf *buf, char **out, sb_error *err)
{
  int failed = buf->failed;

  if (!failed && buf->len > 0) {
    *out = s3_strdup(settings->host, s3_buf_string(buf));
    failed = *out == NULL;
  }
  if (buf->data != NULL)
    OPENSSL_cleanse(buf->data, buf->size);
  s3_buf_free(buf);
  return failed ? sb_fail(err, SB_NO_MEMORY, "out of memory") : SB_OK;
}

static sb_status
objects_read_tags(s3_settings *settings, sb_error *err)
{
  objects_tags *tags = s3_alloc(settings->host, sizeof *tags);
  sb_status status;

  if (tags == NULL)
    return sb_fail(err, SB_NO_MEMORY, "out of memory");
  tags->settings = settings;
  tags->out = s3_buf_of(settings->host);
  status = objects_each(settings, "tags", objects_add_tag, tags, err);
  if (status == SB_OK)
    status = objects_keep(settings, &tags->out, &settings->tags, err);
  else
    s3_buf_free(&tags->out);
  s3_free(settings->host, tags);
  return status;
}

/* ---- the encryption context --------------------------------------------- */

typedef struct objects_context {
  const s3_settings *settings;
  json_t *object;
} objects_context;

static sb_status
objects_add_context(void *arg, const char *name, const char *value,
                    sb_error *err)
{
  objects_context *context = arg;

  if (json_object_get(context->object, name) != NULL)
    return sb_fail(err, SB_CONFIG, "%ssse.kms-context has \"%.100s\" twice",
                   context->settings->prefix, name);
  if (json_object_set_new(context->object, name, json_string(value)) == 0)
    return SB_OK;
  return sb_fail(err, SB_CONFIG, "%ssse.kms-context has \"%.100s\", which is "
                 "not valid UTF-8", context->settings->prefix, name);
}

static sb_status
objects_read_context(s3_settings *settings, sb_error *err)
{
  objects_context context = { settings, json_object() };
  s3_buf out = s3_buf_of(settings->host);
  char *text = NULL;
  sb_status status = context.object == NULL ? SB_NO_MEMORY : SB_OK;

  if (status == SB_OK)
    status = objects_each(settings, "sse.kms-context", objects_add_context,
                          &context, err);
  if (status == SB_OK && json_object_size(context.object) > 0) {
    text = json_dumps(context.object, JSON_COMPACT | JSON_SORT_KEYS);
    status = text == NULL ? SB_NO_MEMORY : SB_OK;
  }
  if (status == SB_NO_MEMORY)
    (void)sb_fail(err, status, "out of memory");
  if (text != NULL)
    s3_base64(&out, text, strlen(text));
  free(text);
  json_decref(context.object);
  if (status == SB_OK && out.len > OBJECTS_CONTEXT_MAX)
    status = sb_fail(err, SB_CONFIG, "%ssse.kms-context is longer than %d "
                     "bytes in base64, more than a header can hold",
                     settings->prefix, OBJECTS_CONTEXT_MAX);
  if (status == SB_OK)
    return objects_keep(settings, &out, &settings->kms_context, err);
  s3_buf_free(&out);
  return status;
}

/* ---- the customer's key ------------------------------------------------- */

static sb_status
objects_refuse_file(const s3_settings *settings, const char *path,
                    const char *why, sb_error *err)
{
  return sb_fail(err, SB_CONFIG, "%ssse.customer-key-file \"%.200s\" %s",
                 settings->prefix, path, why);
}

/* Reads up to `size` bytes. -1 and errno. */
static ssize_t
objects_read_file(const char *path, char *data, size_t size, mode_t *mode)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  struct stat st;
  size_t len = 0;
  ssize_t n = 1;
  int number;

  if (fd < 0)
    return -1;
  *mode = fstat(fd, &st) == 0 ? st.st_mode : 0;
  while (len < size && n != 0) {
    n = read(fd, data + len, size - len);
    if (n < 0 && errno != EINTR)
      break;
    len += n > 0 ? (size_t)n : 0;
  }
  number = errno;
  (void)close(fd);
  errno = number;
  return n < 0 ? -1 : (ssize_t)len;
}

/* The 32 bytes themselves, or base64 of them with spaces around. 1 if `key`
   was filled. */
static int
objects_decode_key(char *data, size_t len, unsigned char *key)
{
  size_t first = 0;

  if (len == OBJECTS_KEY_SIZE) {
    memcpy(key, data, OBJECTS_KEY_SIZE);
    return 1;
  }
  while (len > 0 && strchr(" \t\r\n", data[len - 1]) != NULL)
    len--;
  while (first < len && strchr(" \t\r\n", data[first]) != NULL)
    first++;
  data[len] = '\0';
  return s3_base64_decode(data + first, key, OBJECTS_KEY_SIZE)
         == OBJECTS_KEY_SIZE;
}

static sb_status
objects_set_key(s3_settings *settings, const unsigned char *key, sb_error *err)
{
  sb_slice slice = { key, OBJECTS_KEY_SIZE };
  s3_body body = { &slice, 1, 0, OBJECTS_KEY_SIZE };
  s3_buf out = s3_buf_of(settings->host);
  char md5[S3_MD5_BASE64];

  if (s3_md5_base64(&body, md5) != 0)
    return sb_fail(err, SB_UNSUPPORTED, "cannot use %ssse.type \"sse-c\": "
                   "this OpenSSL computes no MD5, which S3 asks for",
                   settings->prefix);
  settings->customer_key_md5 = s3_strdup(settings->host, md5);
  if (settings->customer_key_md5 == NULL)
    return sb_fail(err, SB_NO_MEMORY, "out of memory");
  s3_base64(&out, key, OBJECTS_KEY_SIZE);
  return objects_keep(settings, &out, &settings->customer_key, err);
}

static void
objects_warn_mode(const s3_settings *settings, const char *path, mode_t mode)
{
  char text[384];

  if (!S_ISREG(mode) || (mode & (S_IRGRP | S_IROTH)) == 0)
    return;
  (void)snprintf(text, sizeof text, "sse.customer-key-file \"%.200s\" can be "
                 "read by others than its owner", path);
  settings->host->log(settings->host, SB_LOG_WARN, settings->scheme, text);
}

static sb_status
objects_read_key(s3_settings *settings, const char *path, sb_error *err)
{
  char data[OBJECTS_FILE_MAX + 1], why[128];
  unsigned char key[OBJECTS_KEY_SIZE];
  mode_t mode = 0;
  ssize_t len = objects_read_file(path, data, OBJECTS_FILE_MAX, &mode);
  sb_status status;

  if (len < 0) {
    char reason[64];

    (void)snprintf(why, sizeof why, "cannot be read: %s",
                   strerror_r(errno, reason, sizeof reason));
    return objects_refuse_file(settings, path, why, err);
  }
  if (objects_decode_key(data, (size_t)len, key)) {
    status = objects_set_key(settings, key, err);
    objects_warn_mode(settings, path, mode);
  } else {
    (void)snprintf(why, sizeof why, "has %s%zd bytes: it must hold a key of "
                   "32 bytes, raw or in base64 (44 characters)",
                   len == OBJECTS_FILE_MAX ? "at least " : "", len);
    status = objects_refuse_file(settings, path, why, err);
  }
  OPENSSL_cleanse(data, sizeof data);
  OPENSSL_cleanse(key, sizeof key);
  return status;
}

/* ---- all of it ---------------------------------------------------------- */

static s3_sse
objects_sse(const s3_settings *settings)
{
  const char *type = s3_settings_text(settings, "sse.type");

  if (s3_settings_int(settings, "state-file-encryption") == 0)
    return S3_SSE_NONE;
  return type == NULL || strcmp(type, "sse-s3") == 0 ? S3_SSE_S3
         : strcmp(type, "sse-kms") == 0              ? S3_SSE_KMS
         : strcmp(type, "dsse-kms") == 0             ? S3_SSE_DSSE
                                                     : S3_SSE_CUSTOMER;
}

sb_status
s3_settings_read_objects(s3_settings *settings, sb_error *err)
{
  const char *file = s3_settings_text(settings, "sse.customer-key-file");
  sb_status status;

  settings->sse = objects_sse(settings);
  status = objects_read_context(settings, err);
  if (status == SB_OK)
    status = objects_read_tags(settings, err);
  if (status == SB_OK && settings->sse == S3_SSE_CUSTOMER && file != NULL)
    status = objects_read_key(settings, file, err);
  return status;
}
