/* SPDX-License-Identifier: Apache-2.0 */
/* Answers with many entries: lists, lists of uploads, results of deletions. */
#include "config.h"

#include <string.h>

#include "plugins/s3/uri.h"
#include "plugins/s3/xml_reader.h"

#define XML_ENTRIES 10000u
#define UPLOADS "ListMultipartUploadsResult"

/* ---- pages -------------------------------------------------------------- */

/* Adds a text and its NUL, after those of the entries before it: while the
   buffer grows it moves, so the entries point into it only in the end. */
static void
page_add(s3_buf *text, const s3_buf *string)
{
  s3_buf_add(text, s3_buf_string(string), string->len + 1);
}

/* The next text of the buffer. */
static char *
page_next(char **at)
{
  char *text = *at;

  *at += strlen(text) + 1;
  return text;
}

static void
page_set(s3_buf *buf, const char *text)
{
  s3_buf_clear(buf);
  s3_buf_text(buf, text);
}

/* Room for one more of `count`; moves the array. */
static int
page_grow(s3_xml_reader *reader, const sb_host *host, void **array,
          size_t count, size_t *room, size_t size)
{
  size_t more = *room == 0 ? 16 : *room * 2;
  void *grown;

  if (count == XML_ENTRIES) {
    s3_xml_stop(reader, SB_TOO_LARGE, "it has more than 10000 entries");
    return 0;
  }
  if (count < *room)
    return 1;
  grown = host->alloc(host, *array, more * size);
  if (grown == NULL) {
    s3_xml_stop(reader, SB_NO_MEMORY, "out of memory");
    return 0;
  }
  *array = grown;
  *room = more;
  return 1;
}

/* Replaces *to, which belongs to the page, by a text that is not empty. */
static void
page_keep(s3_xml_reader *reader, const sb_host *host, char **to,
          const char *text)
{
  s3_free(host, *to);
  *to = NULL;
  if (*text == '\0')
    return;
  *to = s3_strdup(host, text);
  if (*to == NULL)
    s3_xml_stop(reader, SB_NO_MEMORY, "out of memory");
}

static int
xml_bool(s3_xml_reader *reader, const char *text, int *out)
{
  *out = strcmp(text, "true") == 0;
  if (*out || strcmp(text, "false") == 0)
    return 1;
  s3_xml_stop(reader, SB_CORRUPT, "IsTruncated is neither true nor false");
  return 0;
}

static int
xml_number(const char *text, uint64_t *out)
{
  uint64_t value = 0;

  if (*text == '\0')
    return 0;
  for (; *text != '\0'; text++) {
    unsigned digit = (unsigned)(*text - '0');

    if (digit > 9 || value > (UINT64_MAX - digit) / 10)
      return 0;
    value = value * 10 + digit;
  }
  *out = value;
  return 1;
}

/* ---- lists -------------------------------------------------------------- */

typedef struct list_reading {
  const sb_host *host;
  s3_xml_list *out;
  size_t room;
  s3_buf key, etag;          /* of the entry that is being read */
  uint64_t size, modified_ms;
  int has_size;
  int url;                   /* keys are percent-encoded */
  int says_truncated;
} list_reading;

static void
list_open(s3_xml_reader *reader)
{
  list_reading *reading = reader->arg;

  if (!s3_xml_at(reader, "ListBucketResult/Contents"))
    return;
  s3_buf_clear(&reading->key);
  s3_buf_clear(&reading->etag);
  reading->modified_ms = 0;
  reading->has_size = 0;
}

/* Some servers leave out the quotes that every ETag header has. */
static void
list_etag(list_reading *reading, const char *text)
{
  int bare = *text != '\0' && *text != '"' && strncmp(text, "W/", 2) != 0;

  s3_buf_clear(&reading->etag);
  s3_buf_text(&reading->etag, bare ? "\"" : "");
  s3_buf_text(&reading->etag, text);
  s3_buf_text(&reading->etag, bare ? "\"" : "");
}

static void
list_entry_leaf(s3_xml_reader *reader, const char *name, const char *text)
{
  list_reading *reading = reader->arg;

  if (strcmp(name, "Key") == 0)
    page_set(&reading->key, text);
  else if (strcmp(name, "ETag") == 0)
    list_etag(reading, text);
  else if (strcmp(name, "Size") == 0)
    reading->has_size = xml_number(text, &reading->size);
  else if (strcmp(name, "LastModified") == 0)
    reading->modified_ms = s3_time_parse(text);
}

static void
list_leaf(s3_xml_reader *reader, const char *text)
{
  static const char contents[] = "ListBucketResult/Contents/";
  list_reading *reading = reader->arg;
  s3_xml_list *out = reading->out;

  if (strncmp(reader->path, contents, sizeof contents - 1) == 0)
    list_entry_leaf(reader, reader->path + sizeof contents - 1, text);
  else if (s3_xml_at(reader, "ListBucketResult/IsTruncated"))
    reading->says_truncated = xml_bool(reader, text, &out->truncated);
  else if (s3_xml_at(reader, "ListBucketResult/NextContinuationToken"))
    page_keep(reader, reading->host, &out->next, text);
  else if (s3_xml_at(reader, "ListBucketResult/EncodingType"))
    reading->url = strcmp(text, "url") == 0;
}

static void
list_close(s3_xml_reader *reader)
{
  list_reading *reading = reader->arg;
  s3_xml_list *out = reading->out;
  void *entries = out->entries;
  s3_xml_entry *entry;

  if (!s3_xml_at(reader, "ListBucketResult/Contents"))
    return;
  if (reading->key.failed || reading->etag.failed) {
    s3_xml_stop(reader, SB_NO_MEMORY, "out of memory");
    return;
  }
  if (reading->key.len == 0 || !reading->has_size) {
    s3_xml_stop(reader, SB_CORRUPT, "an entry has no key or no size");
    return;
  }
  if (!page_grow(reader, reading->host, &entries, out->count, &reading->room,
                 sizeof *out->entries))
    return;
  out->entries = entries;
  entry = &out->entries[out->count++];
  entry->size = reading->size;
  entry->modified_ms = reading->modified_ms;
  page_add(&out->text, &reading->key);
  page_add(&out->text, &reading->etag);
}

static sb_status
list_finish(list_reading *reading, sb_error *err)
{
  s3_xml_list *out = reading->out;
  char *at = out->text.data;
  size_t i;

  if (out->text.failed)
    return sb_fail(err, SB_NO_MEMORY, "could not read a list: out of memory");
  for (i = 0; i < out->count; i++) {
    char *key = page_next(&at);

    out->entries[i].key = key;
    out->entries[i].etag = page_next(&at);
    if (reading->url && s3_uri_decode(key, 1) < 0)
      return sb_fail(err, SB_CORRUPT,
                     "could not read a list: a key is badly encoded");
  }
  if (!reading->says_truncated)
    out->truncated = out->next != NULL;
  return SB_OK;
}

sb_status
s3_xml_read_list(const sb_host *host, const char *data, size_t len,
                 s3_xml_list *out, sb_error *err)
{
  list_reading reading = { .host = host, .out = out };
  s3_xml_reader reader = s3_xml_reader_of(host, "a list", &reading, err);
  sb_status status;

  memset(out, 0, sizeof *out);
  out->text = reading.key = reading.etag = s3_buf_of(host);
  reader.wanted = "ListBucketResult";
  reader.open = list_open;
  reader.leaf = list_leaf;
  reader.close = list_close;
  status = s3_xml_run(&reader, data, len);
  s3_buf_free(&reading.key);
  s3_buf_free(&reading.etag);
  if (status == SB_OK)
    status = list_finish(&reading, err);
  if (status != SB_OK)
    out->count = 0;
  return status;
}

void
s3_xml_list_free(const sb_host *host, s3_xml_list *list)
{
  list->text.host = host;
  s3_buf_free(&list->text);
  s3_free(host, list->entries);
  s3_free(host, list->next);
  memset(list, 0, sizeof *list);
}

/* ---- uploads ------------------------------------------------------------ */

typedef struct uploads_reading {
  const sb_host *host;
  s3_xml_uploads *out;
  size_t room;
  s3_buf key, upload_id;
  int url;
  int says_truncated;
} uploads_reading;

static void
uploads_open(s3_xml_reader *reader)
{
  uploads_reading *reading = reader->arg;

  if (!s3_xml_at(reader, UPLOADS "/Upload"))
    return;
  s3_buf_clear(&reading->key);
  s3_buf_clear(&reading->upload_id);
}

static void
uploads_leaf(s3_xml_reader *reader, const char *text)
{
  uploads_reading *reading = reader->arg;
  s3_xml_uploads *out = reading->out;

  if (s3_xml_at(reader, UPLOADS "/Upload/Key"))
    page_set(&reading->key, text);
  else if (s3_xml_at(reader, UPLOADS "/Upload/UploadId"))
    page_set(&reading->upload_id, text);
  else if (s3_xml_at(reader, UPLOADS "/IsTruncated"))
    reading->says_truncated = xml_bool(reader, text, &out->truncated);
  else if (s3_xml_at(reader, UPLOADS "/NextKeyMarker"))
    page_keep(reader, reading->host, &out->next_key, text);
  else if (s3_xml_at(reader, UPLOADS "/NextUploadIdMarker"))
    page_keep(reader, reading->host, &out->next_upload, text);
  else if (s3_xml_at(reader, UPLOADS "/EncodingType"))
    reading->url = strcmp(text, "url") == 0;
}

static void
uploads_close(s3_xml_reader *reader)
{
  uploads_reading *reading = reader->arg;
  s3_xml_uploads *out = reading->out;
  void *uploads = out->uploads;

  if (!s3_xml_at(reader, UPLOADS "/Upload"))
    return;
  if (reading->key.failed || reading->upload_id.failed) {
    s3_xml_stop(reader, SB_NO_MEMORY, "out of memory");
    return;
  }
  if (reading->key.len == 0 || reading->upload_id.len == 0) {
    s3_xml_stop(reader, SB_CORRUPT, "an upload has no key or no id");
    return;
  }
  if (!page_grow(reader, reading->host, &uploads, out->count, &reading->room,
                 sizeof *out->uploads))
    return;
  out->uploads = uploads;
  out->count++;
  page_add(&out->text, &reading->key);
  page_add(&out->text, &reading->upload_id);
}

static sb_status
uploads_finish(uploads_reading *reading, sb_error *err)
{
  s3_xml_uploads *out = reading->out;
  char *at = out->text.data;
  int good = 1;
  size_t i;

  if (out->text.failed)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not read a list of uploads: out of memory");
  for (i = 0; i < out->count && good; i++) {
    char *key = page_next(&at);

    out->uploads[i].key = key;
    out->uploads[i].upload_id = page_next(&at);
    good = !reading->url || s3_uri_decode(key, 1) >= 0;
  }
  if (reading->url && out->next_key != NULL)
    good = good && s3_uri_decode(out->next_key, 1) >= 0;
  if (!good)
    return sb_fail(err, SB_CORRUPT,
                   "could not read a list of uploads: a key is badly encoded");
  if (!reading->says_truncated)
    out->truncated = out->next_key != NULL;
  return SB_OK;
}

sb_status
s3_xml_read_uploads(const sb_host *host, const char *data, size_t len,
                    s3_xml_uploads *out, sb_error *err)
{
  uploads_reading reading = { .host = host, .out = out };
  s3_xml_reader reader = s3_xml_reader_of(host, "a list of uploads", &reading,
                                          err);
  sb_status status;

  memset(out, 0, sizeof *out);
  out->text = reading.key = reading.upload_id = s3_buf_of(host);
  reader.wanted = UPLOADS;
  reader.open = uploads_open;
  reader.leaf = uploads_leaf;
  reader.close = uploads_close;
  status = s3_xml_run(&reader, data, len);
  s3_buf_free(&reading.key);
  s3_buf_free(&reading.upload_id);
  if (status == SB_OK)
    status = uploads_finish(&reading, err);
  if (status != SB_OK)
    out->count = 0;
  return status;
}

void
s3_xml_uploads_free(const sb_host *host, s3_xml_uploads *uploads)
{
  uploads->text.host = host;
  s3_buf_free(&uploads->text);
  s3_free(host, uploads->uploads);
  s3_free(host, uploads->next_key);
  s3_free(host, uploads->next_upload);
  memset(uploads, 0, sizeof *uploads);
}

/* ---- deletions ---------------------------------------------------------- */

typedef struct delete_reading {
  s3_xml_deleted_fn *fn;
  void *arg;
  s3_buf key;
  char code[64], message[256];
  size_t count;
} delete_reading;

static void
delete_open(s3_xml_reader *reader)
{
  delete_reading *reading = reader->arg;

  if (!s3_xml_at(reader, "DeleteResult/Error"))
    return;
  s3_buf_clear(&reading->key);
  reading->code[0] = reading->message[0] = '\0';
}

static void
delete_leaf(s3_xml_reader *reader, const char *text)
{
  delete_reading *reading = reader->arg;

  if (s3_xml_at(reader, "DeleteResult/Error/Key"))
    page_set(&reading->key, text);
  else if (s3_xml_at(reader, "DeleteResult/Error/Code"))
    s3_xml_printable(reading->code, sizeof reading->code, text);
  else if (s3_xml_at(reader, "DeleteResult/Error/Message"))
    s3_xml_printable(reading->message, sizeof reading->message, text);
}

static void
delete_close(s3_xml_reader *reader)
{
  delete_reading *reading = reader->arg;

  if (!s3_xml_at(reader, "DeleteResult/Error"))
    return;
  if (reading->key.failed)
    s3_xml_stop(reader, SB_NO_MEMORY, "out of memory");
  else if (reading->key.len == 0)
    s3_xml_stop(reader, SB_CORRUPT, "an error has no key");
  else if (++reading->count > XML_ENTRIES)
    s3_xml_stop(reader, SB_TOO_LARGE, "it has more than 10000 entries");
  else
    reading->fn(reading->arg, reading->key.data, reading->code,
                reading->message);
}

sb_status
s3_xml_read_delete(const sb_host *host, const char *data, size_t len,
                   s3_xml_deleted_fn *fn, void *arg, sb_error *err)
{
  delete_reading reading = { .fn = fn, .arg = arg };
  s3_xml_reader reader = s3_xml_reader_of(host, "a result of deletions",
                                          &reading, err);
  sb_status status;

  reading.key = s3_buf_of(host);
  reader.wanted = "DeleteResult";
  reader.open = delete_open;
  reader.leaf = delete_leaf;
  reader.close = delete_close;
  status = s3_xml_run(&reader, data, len);
  s3_buf_free(&reading.key);
  return status;
}
