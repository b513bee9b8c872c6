/* SPDX-License-Identifier: Apache-2.0 */
/* Whose an object is, told by its name alone; see paths.h. */
#include "config.h"

#include <string.h>

#include "host/engine/paths.h"

static int
paths_hex_digit(char c)
{
  return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                               : -1;
}

/* The `len` bytes at `part` decoded; 0 if nothing encodes to them. `out` has
   PATH_PART_MAX + 1 bytes. */
static int
paths_decode_part(const char *part, size_t len, char *out)
{
  char again[PATH_PART_MAX + 4];
  size_t i, n = 0;

  if (len == 0 || len > PATH_PART_MAX)
    return 0;
  for (i = 0; i < len; i++) {
    int high, low;

    if (part[i] != '%') {
      out[n++] = part[i];
      continue;
    }
    high = i + 2 < len ? paths_hex_digit(part[i + 1]) : -1;
    low = high >= 0 ? paths_hex_digit(part[i + 2]) : -1;
    if (low < 0 || (high | low) == 0)
      return 0;
    out[n++] = (char)(high << 4 | low);
    i += 2;
  }
  out[n] = '\0';
  return paths_encode_part(out, n, again, sizeof again, NULL) == SB_OK &&
         strlen(again) == len && memcmp(again, part, len) == 0;
}

const char *
paths_parse_savepoint(const paths *p, const char *job, const char *name,
                      char *savepoint)
{
  char prefix[PATH_SIZE];
  const char *slash;
  size_t len;

  if (paths_savepoints_prefix(p, job, prefix, NULL) != SB_OK)
    return NULL;
  len = strlen(prefix);
  if (strncmp(name, prefix, len) != 0)
    return NULL;
  slash = strchr(name + len, '/');
  if (slash == NULL || slash[1] == '\0' || strchr(slash + 1, '/') != NULL ||
      !paths_decode_part(name + len, (size_t)(slash - name) - len, savepoint))
    return NULL;
  return slash + 1;
}

/* Is it an object of the job `place` already names? */
static int
paths_locate_in(const paths *p, const char *name, path_place *place)
{
  path_info info = paths_parse(p, place->job, name);

  place->savepoint[0] = '\0';
  return info.kind == PATH_SEGMENT || info.kind == PATH_MANIFEST ||
         info.kind == PATH_METADATA ||
         paths_parse_savepoint(p, place->job, name, place->savepoint) != NULL;
}

int
paths_locate(const paths *p, const char *name, path_place *place)
{
  size_t len = strlen(p->base);
  const char *rest = name, *slash;

  place->job[0] = '\0';
  if (paths_locate_in(p, name, place))
    return 1;
  if (len != 0) {
    if (strncmp(name, p->base, len) != 0 || name[len] != '/')
      return 0;
    rest = name + len + 1;
  }
  slash = strchr(rest, '/');
  return slash != NULL &&
         paths_decode_part(rest, (size_t)(slash - rest), place->job) &&
         paths_locate_in(p, name, place);
}
