/* SPDX-License-Identifier: Apache-2.0 */
/* Names of entries; see entries_name.h. */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <openssl/evp.h>

#include "host/engine/entries_name.h"

#define NAME_HASH_LEN 65u /* '!' and 64 hexadecimal digits */
#define NAME_TEXT_SIZE (2u * SB_OBJECT_NAME_MAX)

static const char name_alphabet[] =
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* ---- parts -------------------------------------------------------------- */

void
entries_base64(sb_slice bytes, char *out)
{
  const uint8_t *p = bytes.data;
  size_t i;
  int left = 0;
  uint32_t bits = 0;

  for (i = 0; i < bytes.len; i++) {
    bits = bits << 8 | p[i];
    for (left += 8; left >= 6; left -= 6)
      *out++ = name_alphabet[bits >> (left - 6) & 63];
  }
  if (left > 0)
    *out++ = name_alphabet[bits << (6 - left) & 63];
  *out = '\0';
}

/* -1 if `text` is not the encoding of any bytes. */
static int
name_unbase64(const char *text, size_t len, uint8_t *out, size_t *out_len)
{
  uint32_t bits = 0;
  size_t i, n = 0;
  int left = 0;

  for (i = 0; i < len; i++) {
    const char *at = strchr(name_alphabet, text[i]);

    if (at == NULL || text[i] == '\0')
      return -1;
    bits = bits << 6 | (uint32_t)(at - name_alphabet);
    left += 6;
    if (left >= 8) {
      left -= 8;
      out[n++] = (uint8_t)(bits >> left);
    }
  }
  *out_len = n;
  return left >= 6 || (bits & ((1u << left) - 1)) != 0 ? -1 : 0;
}

static sb_status
name_hash(sb_slice bytes, char *out, sb_error *err)
{
  uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned len = 0, i;

  if (EVP_Digest(bytes.data == NULL ? "" : bytes.data, bytes.len, digest, &len,
                 EVP_sha256(), NULL) != 1)
    return sb_error_set(err, SB_NO_MEMORY, "could not hash a name");
  *out++ = '!';
  for (i = 0; i < len; i++, out += 2)
    (void)snprintf(out, 3, "%02x", digest[i]);
  return SB_OK;
}

/* A key or namespace as text. An empty key is "!", so that no part of a name
   is a dot alone. */
static sb_status
name_text(sb_slice bytes, int hash, int key, char *out, sb_error *err)
{
  if (hash)
    return name_hash(bytes, out, err);
  if (key && bytes.len == 0)
    memcpy(out, "!", 2);
  else
    entries_base64(bytes, out);
  return SB_OK;
}

/* ---- whole names -------------------------------------------------------- */

sb_status
entries_root(const paths *p, const char *job, char *out, sb_error *err)
{
  sb_status st = paths_segments_prefix(p, job, out, err);

  if (st == SB_OK)
    out[strlen(out) - 2] = '\0'; /* "_/" */
  return st;
}

sb_status
entries_dir(const char *operator_id, sb_slice state, char *out, int *hashed,
            sb_error *err)
{
  size_t at = 0;
  sb_status st = SB_OK;

  if (operator_id[0] != '\0') {
    st = paths_encode_part(operator_id, strlen(operator_id), out, PATH_SIZE,
                           err);
    if (st != SB_OK)
      return st;
    at = strlen(out);
    out[at++] = '/';
  }
  *hashed = paths_encode_part(state.data, state.len, out + at, PATH_SIZE - at,
                              NULL) != SB_OK;
  return *hashed ? name_hash(state, out + at, err) : SB_OK;
}

/* Appends `text` in parts of up to ENTRIES_PART_MAX characters, none of which
   begins with a dot. 0 if it does not fit. */
static int
name_cut(const char *text, const char *extension, char *out, size_t at)
{
  size_t len = strlen(text), tail = strlen(extension), n;

  if (at + len + len / (ENTRIES_PART_MAX - 1) + tail > SB_OBJECT_NAME_MAX)
    return 0;
  while (len > ENTRIES_PART_MAX) {
    n = text[ENTRIES_PART_MAX] == '.' ? ENTRIES_PART_MAX - 1
                                      : ENTRIES_PART_MAX;
    memcpy(out + at, text, n);
    at += n;
    out[at++] = '/';
    text += n;
    len -= n;
  }
  memcpy(out + at, text, len);
  memcpy(out + at + len, extension, tail + 1);
  return 1;
}

sb_status
entries_name(const char *root, const char *dir, uint32_t key_group,
             sb_slice key, sb_slice ns, const char *extension, char *out,
             int *hashed, sb_error *err)
{
  char text[NAME_TEXT_SIZE + 2];
  int n = snprintf(out, PATH_SIZE, "%s%s/%u/", root, dir, key_group);
  sb_status st;
  int round;

  for (round = 0; n > 0 && (size_t)n < PATH_SIZE && round < 2; round++) {
    size_t key_len = ENTRIES_BASE64_LEN(key.len);
    size_t ns_len = ENTRIES_BASE64_LEN(ns.len);
    int hash_key = round == 1 && key_len > ENTRIES_PART_MAX;
    int hash_ns = round == 1 && ns_len > ENTRIES_PART_MAX;

    if (round == 0 && key_len + ns_len > SB_OBJECT_NAME_MAX)
      continue;
    st = name_text(key, hash_key, 1, text, err);
    if (st != SB_OK)
      return st;
    strcat(text, ".");
    st = name_text(ns, hash_ns, 0, text + strlen(text), err);
    if (st != SB_OK)
      return st;
    *hashed = hash_key || hash_ns;
    if (name_cut(text, extension, out, (size_t)n))
      return SB_OK;
  }
  return sb_error_set(err, SB_TOO_LARGE, "the name of an entry below "
                      "\"%.200s%.100s\" is over %u bytes", root, dir,
                      SB_OBJECT_NAME_MAX);
}

/* ---- reading names ------------------------------------------------------ */

static int
name_is_hash(const char *text, size_t len)
{
  return len == NAME_HASH_LEN && text[0] == '!' &&
         strspn(text + 1, "0123456789abcdef") >= len - 1;
}

static int
name_read_text(const char *text, size_t len, int key, entries_parsed *out)
{
  if (name_is_hash(text, len)) {
    out->hashed = 1;
    return 1;
  }
  if (key && len == 1 && text[0] == '!')
    len = 0;
  else if (key && len == 0)
    return 0;
  return name_unbase64(text, len, key ? out->key : out->ns,
                       key ? &out->key_len : &out->ns_len) == 0;
}

/* `rest` is what follows the key group. */
static int
name_read_rest(const char *rest, const char *extension, entries_parsed *out)
{
  char text[PATH_SIZE], again[PATH_SIZE];
  size_t len = strlen(rest), tail = strlen(extension), i, n = 0;
  const char *dot;

  if (len <= tail || strcmp(rest + len - tail, extension) != 0)
    return 0;
  for (i = 0; i < len - tail; i++)
    if (rest[i] != '/')
      text[n++] = rest[i];
  text[n] = '\0';
  dot = strchr(text, '.');
  return dot != NULL && name_cut(text, extension, again, 0) &&
         strcmp(again, rest) == 0 &&
         name_read_text(text, (size_t)(dot - text), 1, out) &&
         name_read_text(dot + 1, strlen(dot + 1), 0, out);
}

/* "<key group>/", without leading zeros. */
static const char *
name_read_group(const char *at, uint32_t *key_group)
{
  size_t len = strspn(at, "0123456789");
  uint32_t v = 0;
  size_t i;

  if (len == 0 || len > 5 || at[len] != '/' || (len > 1 && at[0] == '0'))
    return NULL;
  for (i = 0; i < len; i++)
    v = v * 10 + (uint32_t)(at[i] - '0');
  *key_group = v;
  return v < SB_KEY_GROUPS_MAX ? at + len + 1 : NULL;
}

int
entries_parse(const char *root, const char *extension, const char *name,
              entries_parsed *out)
{
  size_t len = strlen(root);
  const char *at = name + len, *rest;
  int parts;

  if (strncmp(name, root, len) != 0 || at[0] == '_' ||
      strlen(name) >= PATH_SIZE)
    return 0;
  memcpy(out->dir, at, strlen(at) + 1);
  /* The key group is the second part, or the third after an operator. */
  for (parts = 1; parts <= 2; parts++) {
    at = strchr(at, '/');
    if (at == NULL)
      return 0;
    at++;
    out->hashed = 0;
    out->key_len = out->ns_len = 0;
    rest = name_read_group(at, &out->key_group);
    if (rest == NULL || !name_read_rest(rest, extension, out))
      continue;
    out->dir[at - 1 - (name + len)] = '\0';
    return 1;
  }
  return 0;
}
