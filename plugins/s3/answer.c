/* SPDX-License-Identifier: Apache-2.0 */
/* The headers of an answer, as far as the client looks at them. */
#include "config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "plugins/s3/net.h"

#define ANSWER_META "x-amz-meta-"
#define ANSWER_META_MAX 8192u

void
s3_answer_reset(s3_answer *answer)
{
  s3_buf meta = answer->meta;

  memset(answer, 0, sizeof *answer);
  answer->meta = meta;
  s3_buf_clear(&answer->meta);
  answer->length = answer->total = answer->range_start = UINT64_MAX;
}

typedef struct answer_text {
  const char *name;
  size_t offset, size;
} answer_text;

#define ANSWER_TEXT(name, field)                                              \
  { name, offsetof(s3_answer, field), sizeof((s3_answer *)0)->field }

/* Headers that are kept as they are. */
static const answer_text answer_texts[] = {
  ANSWER_TEXT("etag", etag),
  ANSWER_TEXT("x-amz-checksum-crc32c", crc32c),
  ANSWER_TEXT("x-amz-checksum-type", checksum_type),
  ANSWER_TEXT("x-amz-bucket-region", region),
  ANSWER_TEXT("x-amz-request-id", request_id),
  ANSWER_TEXT("x-amz-id-2", host_id),
  ANSWER_TEXT("location", location),
  ANSWER_TEXT("server", server),
  ANSWER_TEXT("x-amz-server-side-encryption", sse),
  ANSWER_TEXT("x-amz-server-side-encryption-customer-algorithm", sse),
};

/* A text that does not fit, or holds what no header should, is left out. */
static void
answer_keep(s3_answer *answer, const answer_text *text, const char *value,
            size_t len)
{
  char *to = (char *)answer + text->offset;
  size_t i;

  to[0] = '\0';
  if (len >= text->size)
    return;
  for (i = 0; i < len; i++)
    if (value[i] < ' ' || value[i] > '~')
      return;
  memcpy(to, value, len);
  to[len] = '\0';
}

static uint64_t
answer_number(const char *value)
{
  char *end;
  unsigned long long number;

  if (!isdigit((unsigned char)value[0]))
    return UINT64_MAX;
  number = strtoull(value, &end, 10);
  return *end == '\0' || *end == ' ' || *end == '/' || *end == '-'
           ? number
           : UINT64_MAX;
}

/* "bytes 0-99/1000", or "bytes 0-99/" and a star where the size is not told,
   or no range at all after a 416. */
static void
answer_range(s3_answer *answer, const char *value)
{
  const char *slash = strchr(value, '/');

  if (strncmp(value, "bytes ", 6) != 0)
    return;
  answer->range_start = answer_number(value + 6);
  if (slash != NULL)
    answer->total = answer_number(slash + 1);
}

static void
answer_meta(s3_answer *answer, const char *name, const char *value)
{
  char key[128];
  size_t i, len = strlen(name);

  if (len >= sizeof key || answer->meta.len > ANSWER_META_MAX)
    return;
  for (i = 0; i <= len; i++)
    key[i] = (char)tolower((unsigned char)name[i]);
  s3_buf_add(&answer->meta, key, len + 1);
  s3_buf_add(&answer->meta, value, strlen(value) + 1);
}

static void
answer_value(s3_answer *answer, const char *name, const char *value)
{
  size_t i;

  for (i = 0; i < sizeof answer_texts / sizeof answer_texts[0]; i++)
    if (strcasecmp(name, answer_texts[i].name) == 0) {
      answer_keep(answer, &answer_texts[i], value, strlen(value));
      return;
    }
  if (strcasecmp(name, "content-length") == 0)
    answer->length = answer_number(value);
  else if (strcasecmp(name, "transfer-encoding") == 0)
    answer->chunked = 1;
  else if (strcasecmp(name, "content-range") == 0)
    answer_range(answer, value);
  else if (strcasecmp(name, "date") == 0)
    answer->date_ms = s3_time_parse(value);
  else if (strcasecmp(name, "last-modified") == 0)
    answer->modified_ms = s3_time_parse(value);
  else if (strcasecmp(name, "x-amz-retry-after") == 0
           && answer_number(value) != UINT64_MAX)
    answer->retry_after_ms = answer_number(value);
  else if (strcasecmp(name, "retry-after") == 0
           && answer->retry_after_ms == 0
           && answer_number(value) < UINT32_MAX)
    answer->retry_after_ms = answer_number(value) * 1000;
  else if (strncasecmp(name, ANSWER_META, strlen(ANSWER_META)) == 0)
    answer_meta(answer, name + strlen(ANSWER_META), value);
}

/* Headers worth a look begin with one of these letters: the rest of them is
   passed over without a copy. */
static int
answer_wanted(char first)
{
  return strchr("cdelrstxCDELRSTX", first) != NULL;
}

void
s3_answer_line(s3_answer *answer, const char *line, size_t len)
{
  char text[2560];
  char *colon, *value, *end;

  if (len > 5 && strncasecmp(line, "HTTP/", 5) == 0) {
    const char *space = memchr(line, ' ', len);

    s3_answer_reset(answer);
    if (space != NULL)
      answer->http = atoi(space + 1);
    return;
  }
  if (len == 0 || len >= sizeof text || !answer_wanted(line[0]))
    return;
  memcpy(text, line, len);
  text[len] = '\0';
  colon = strchr(text, ':');
  if (colon == NULL)
    return;
  *colon = '\0';
  for (value = colon + 1; *value == ' ' || *value == '\t'; value++)
    continue;
  for (end = value + strlen(value); end > value && isspace((unsigned char)end[-1]);
       end--)
    continue;
  *end = '\0';
  answer_value(answer, text, value);
}
