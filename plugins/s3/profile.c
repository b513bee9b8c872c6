/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of Amazon's shared files; see profile.h. A file is kept as it was
 * read, cut into texts in place; lines that make no sense are skipped, as
 * Amazon's own tools do.
 */
#include "config.h"

#include <string.h>
#include <strings.h>
#include <openssl/crypto.h>
#include <statebackend/plugin.h>

#include "plugins/s3/profile.h"
#include "plugins/s3/source.h"

#define PROFILE_FILE_MAX (1u << 20)
#define PROFILE_FILES 2

/* Which entry wins: the highest. */
#define PROFILE_RANK_PLAIN 1      /* [default] in the config file */
#define PROFILE_RANK_CONFIG 2     /* [profile x] */
#define PROFILE_RANK_CREDENTIALS 3

typedef struct profile_entry {
  struct profile_entry *next;
  const char *kind, *name;        /* of the section */
  const char *key, *value;        /* key NULL: the section's head */
  int rank;
} profile_entry;

struct s3_profiles {
  const sb_host *host;
  s3_buf files[PROFILE_FILES];    /* hold the texts */
  profile_entry *entries;         /* the last first */
};

typedef struct profile_reader {
  s3_profiles *profiles;
  int credentials;                /* a credentials file */
  const char *kind, *name;        /* of the section; NULL: skip */
  int rank;
} profile_reader;

/* ---- texts -------------------------------------------------------------- */

static int
profile_space(char c)
{
  return c == ' ' || c == '\t' || c == '\r';
}

static char *
profile_trim(char *text)
{
  size_t len;

  while (profile_space(*text))
    text++;
  for (len = strlen(text); len > 0 && profile_space(text[len - 1]);)
    text[--len] = '\0';
  return text;
}

/* Cuts a comment off, which begins with a space and one of `marks`. */
static void
profile_uncomment(char *text, const char *marks)
{
  char *p;

  for (p = text; *p != '\0'; p++)
    if (strchr(marks, *p) != NULL && p > text && profile_space(p[-1])) {
      *p = '\0';
      return;
    }
}

static int
profile_add(profile_reader *r, const char *key, const char *value)
{
  profile_entry *entry = s3_alloc(r->profiles->host, sizeof *entry);

  if (entry == NULL)
    return -1;
  entry->kind = r->kind;
  entry->name = r->name;
  entry->rank = r->rank;
  entry->key = key;
  entry->value = value;
  entry->next = r->profiles->entries;
  r->profiles->entries = entry;
  return 0;
}

/* ---- lines -------------------------------------------------------------- */

/* "x" in a credentials file, "profile x" or "sso-session x" in a config file;
   a file of one's own may have either. */
static int
profile_section(profile_reader *r, char *text)
{
  char *end = strchr(text, ']');
  char *name;
  size_t len;

  r->kind = NULL;
  if (end == NULL)
    return 0;
  *end = '\0';
  text = profile_trim(text);
  len = strcspn(text, " \t");
  name = profile_trim(text + len);
  r->rank = r->credentials ? PROFILE_RANK_CREDENTIALS : PROFILE_RANK_CONFIG;
  if (name[0] == '\0') {
    if (!r->credentials) {
      if (strcmp(text, "default") != 0)
        return 0;
      r->rank = PROFILE_RANK_PLAIN;
    }
    r->kind = S3_PROFILE;
    r->name = text;
  } else {
    text[len] = '\0';
    if (strcmp(text, S3_PROFILE) == 0)
      r->kind = S3_PROFILE;
    else if (strcmp(text, S3_SSO_SESSION) == 0)
      r->kind = S3_SSO_SESSION;
    else
      return 0;
    r->name = name;
  }
  return profile_add(r, NULL, NULL);
}

static int
profile_line(profile_reader *r, char *line)
{
  char *equals;

  if (*line == '#' || *line == ';')
    return 0;
  if (*line == '[')
    return profile_section(r, line + 1);
  /* What is indented belongs to the value before: nothing of ours. */
  if (r->kind == NULL || profile_space(*line))
    return 0;
  equals = strchr(line, '=');
  if (equals == NULL)
    return 0;
  *equals = '\0';
  profile_uncomment(equals + 1, "#;");
  return profile_add(r, profile_trim(line), profile_trim(equals + 1));
}

static int
profile_parse(profile_reader *r, char *text)
{
  char *line = text;
  int failed = 0;

  if (text == NULL)
    return 0;
  if (strncmp(line, "\xef\xbb\xbf", 3) == 0)
    line += 3;
  while (line != NULL && failed == 0) {
    char *end = strchr(line, '\n');

    if (end != NULL)
      *end = '\0';
    failed = profile_line(r, line);
    line = end == NULL ? NULL : end + 1;
  }
  return failed;
}

/* ---- files -------------------------------------------------------------- */

static sb_status
profile_read(s3_profiles *profiles, int i, const char *path, int credentials,
             sb_error *err)
{
  profile_reader reader = { .profiles = profiles, .credentials = credentials };
  s3_buf full = s3_buf_of(profiles->host);
  sb_status status;

  s3_source_path(&full, path);
  if (full.failed)
    return s3_source_no_memory(err);
  status = s3_source_file(profiles->host, "profile file", full.data,
                          PROFILE_FILE_MAX, &profiles->files[i], err);
  s3_buf_free(&full);
  if (status == SB_OK && profile_parse(&reader, profiles->files[i].data) != 0)
    status = s3_source_no_memory(err);
  return status;
}

static sb_status
profile_read_usual(s3_profiles *profiles, sb_error *err)
{
  const char *config = s3_environment("AWS_CONFIG_FILE");
  const char *secrets = s3_environment("AWS_SHARED_CREDENTIALS_FILE");
  sb_status first = profile_read(
    profiles, 0, config == NULL ? "~/.aws/config" : config, 0, err);
  sb_status second;

  if (first != SB_OK && first != SB_NOT_FOUND)
    return first;
  second = profile_read(
    profiles, 1, secrets == NULL ? "~/.aws/credentials" : secrets, 1, err);
  return second == SB_NOT_FOUND ? first : second;
}

sb_status
s3_profiles_read(const sb_host *host, const char *path, s3_profiles **out,
                 sb_error *err)
{
  s3_profiles *profiles = s3_alloc(host, sizeof *profiles);
  sb_status status;
  int i;

  *out = NULL;
  if (profiles == NULL)
    return s3_source_no_memory(err);
  profiles->host = host;
  for (i = 0; i < PROFILE_FILES; i++)
    profiles->files[i] = s3_buf_of(host);
  status = path != NULL ? profile_read(profiles, 0, path, 1, err)
                        : profile_read_usual(profiles, err);
  if (status == SB_OK)
    *out = profiles;
  else
    s3_profiles_free(profiles);
  return status;
}

void
s3_profiles_free(s3_profiles *profiles)
{
  int i;

  if (profiles == NULL)
    return;
  while (profiles->entries != NULL) {
    profile_entry *entry = profiles->entries;

    profiles->entries = entry->next;
    s3_free(profiles->host, entry);
  }
  for (i = 0; i < PROFILE_FILES; i++)
    s3_source_wipe(&profiles->files[i]);
  s3_free(profiles->host, profiles);
}

/* ---- looking up --------------------------------------------------------- */

/* key NULL: the section itself. */
static const profile_entry *
profile_find(const s3_profiles *profiles, const char *kind, const char *name,
             const char *key)
{
  const profile_entry *entry, *best = NULL;

  for (entry = profiles->entries; entry != NULL; entry = entry->next)
    if ((entry->key == NULL) == (key == NULL) &&
        strcmp(entry->kind, kind) == 0 && strcmp(entry->name, name) == 0 &&
        (key == NULL || strcasecmp(entry->key, key) == 0) &&
        (best == NULL || entry->rank > best->rank))
      best = entry;
  return best;
}

int
s3_profiles_has(const s3_profiles *profiles, const char *kind,
                const char *name)
{
  return profile_find(profiles, kind, name, NULL) != NULL;
}

const char *
s3_profiles_get(const s3_profiles *profiles, const char *kind,
                const char *name, const char *key)
{
  const profile_entry *entry = profile_find(profiles, kind, name, key);

  return entry == NULL || entry->value[0] == '\0' ? NULL : entry->value;
}
