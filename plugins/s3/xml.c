/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of XML, and the answers that are small: errors and single texts.
 * See xml.h and xml_reader.h.
 */
#include "config.h"

#include <string.h>
#include <openssl/crypto.h>

#include <statebackend/plugin.h>
#include "plugins/s3/xml_reader.h"

/* ---- the reader --------------------------------------------------------- */

void
s3_xml_stop(s3_xml_reader *reader, sb_status status, const char *why)
{
  if (reader->stopped)
    return;
  reader->stopped = 1;
  reader->status = status;
  if (why != NULL)
    (void)sb_fail(reader->err, status, "could not read %s: %s", reader->what,
                  why);
  (void)XML_StopParser(reader->parser, XML_FALSE);
}

/* Without a namespace's prefix; names of no use to us are all alike. */
static void
reader_push(s3_xml_reader *reader, const char *name)
{
  const char *colon = strrchr(name, ':');
  size_t len;

  if (colon != NULL)
    name = colon + 1;
  len = strlen(name);
  if (len > XML_NAME - 2) {
    name = "?";
    len = 1;
  }
  reader->ends[reader->depth++] = reader->path_len;
  if (reader->depth > 1)
    reader->path[reader->path_len++] = '/';
  memcpy(reader->path + reader->path_len, name, len + 1);
  reader->path_len += len;
}

static void XMLCALL
reader_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
  s3_xml_reader *reader = arg;

  (void)attributes;
  if (reader->stopped)
    return;
  if (reader->depth == S3_XML_DEPTH) {
    s3_xml_stop(reader, SB_CORRUPT, "its elements are nested too deeply");
    return;
  }
  reader_push(reader, name);
  if (reader->depth == 1 && reader->wanted != NULL &&
      strcmp(reader->path, reader->wanted) != 0) {
    s3_xml_stop(reader, SB_CORRUPT, "it is some other document");
    return;
  }
  reader->is_leaf = 1;
  s3_buf_clear(&reader->text);
  if (reader->open != NULL)
    reader->open(reader);
}

static void XMLCALL
reader_end(void *arg, const XML_Char *name)
{
  s3_xml_reader *reader = arg;

  (void)name;
  if (reader->stopped)
    return;
  if (reader->text.failed) {
    s3_xml_stop(reader, SB_NO_MEMORY, "out of memory");
    return;
  }
  if (reader->is_leaf && reader->leaf != NULL)
    reader->leaf(reader, s3_buf_string(&reader->text));
  if (reader->close != NULL && !reader->stopped)
    reader->close(reader);
  reader->is_leaf = 0;
  reader->path_len = reader->ends[--reader->depth];
  reader->path[reader->path_len] = '\0';
}

static void XMLCALL
reader_characters(void *arg, const XML_Char *data, int count)
{
  s3_xml_reader *reader = arg;
  size_t len = (size_t)count;

  if (reader->stopped || !reader->is_leaf)
    return;
  if (len > S3_XML_TEXT - reader->text.len) {
    if (!reader->lenient) {
      s3_xml_stop(reader, SB_CORRUPT, "one of its texts is too long");
      return;
    }
    len = S3_XML_TEXT - reader->text.len;
  }
  s3_buf_add(&reader->text, data, len);
}

/* Without declarations there are no entities to blow up, nor to fetch. */
static void XMLCALL
reader_doctype(void *arg, const XML_Char *name, const XML_Char *system,
               const XML_Char *public, int internal)
{
  (void)name;
  (void)system;
  (void)public;
  (void)internal;
  s3_xml_stop(arg, SB_CORRUPT, "it has a document type declaration");
}

s3_xml_reader
s3_xml_reader_of(const sb_host *host, const char *what, void *arg,
                 sb_error *err)
{
  s3_xml_reader reader = { .what = what, .arg = arg, .err = err };

  reader.text = s3_buf_of(host);
  return reader;
}

static int
reader_feed(s3_xml_reader *reader, const char *data, size_t len)
{
  /* Expat counts in int. */
  while (len > (1u << 30)) {
    if (XML_Parse(reader->parser, data, 1 << 30, 0) != XML_STATUS_OK)
      return 0;
    data += 1u << 30;
    len -= 1u << 30;
  }
  return XML_Parse(reader->parser, data, (int)len, 1) == XML_STATUS_OK;
}

/* Reads it all, or until it is stopped. */
sb_status
s3_xml_run(s3_xml_reader *reader, const char *data, size_t len)
{
  /* Servers send white space while they are busy, even before "<?xml". */
  while (len > 0 && strchr(" \t\r\n", *data) != NULL && *data != '\0') {
    data++;
    len--;
  }
  reader->parser = XML_ParserCreate(NULL);
  if (reader->parser == NULL)
    return sb_fail(reader->err, SB_NO_MEMORY,
                   "could not read %s: out of memory", reader->what);
  XML_SetUserData(reader->parser, reader);
  XML_SetElementHandler(reader->parser, reader_start, reader_end);
  XML_SetCharacterDataHandler(reader->parser, reader_characters);
  XML_SetStartDoctypeDeclHandler(reader->parser, reader_doctype);
  if (!reader_feed(reader, data, len) && !reader->stopped) {
    enum XML_Error code = XML_GetErrorCode(reader->parser);

    reader->status = code == XML_ERROR_NO_MEMORY ? SB_NO_MEMORY : SB_CORRUPT;
    (void)sb_fail(reader->err, reader->status, "could not read %s: %s",
                  reader->what, XML_ErrorString(code));
  }
  XML_ParserFree(reader->parser);
  /* It may have been a secret key. */
  if (reader->text.data != NULL)
    OPENSSL_cleanse(reader->text.data, reader->text.size);
  s3_buf_free(&reader->text);
  return reader->status;
}

int
s3_xml_at(const s3_xml_reader *reader, const char *path)
{
  return strcmp(reader->path, path) == 0;
}

void
s3_xml_printable(char *out, size_t size, const char *text)
{
  size_t i;

  for (i = 0; i + 1 < size && text[i] != '\0'; i++)
    out[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
  out[i] = '\0';
}

/* ---- errors ------------------------------------------------------------- */

/* A region becomes part of host names: nothing odd gets through. */
static void
xml_copy_region(char *out, size_t size, const char *text)
{
  size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz"
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

  if (text[len] == '\0' && len < size)
    memcpy(out, text, len + 1);
}

/* What is being filled, and whether it is an error at all. */
typedef struct error_reading {
  s3_xml_error *out;
  int is_error;
} error_reading;

static void
error_leaf(s3_xml_reader *reader, const char *text)
{
  s3_xml_error *out = ((error_reading *)reader->arg)->out;
  const char *name = reader->path;

  /* Right below <Error>, or below STS's <ErrorResponse>. */
  if (strncmp(name, "ErrorResponse/", 14) == 0)
    name += 14;
  if (strncmp(name, "Error/", 6) == 0)
    name += 6;
  if (strcmp(name, "Code") == 0)
    s3_xml_printable(out->code, sizeof out->code, text);
  else if (strcmp(name, "Message") == 0)
    s3_xml_printable(out->message, sizeof out->message, text);
  else if (strcmp(name, "Region") == 0)
    xml_copy_region(out->region, sizeof out->region, text);
  else if (strcmp(name, "Endpoint") == 0)
    s3_xml_printable(out->endpoint, sizeof out->endpoint, text);
  else if (strcmp(name, "RequestId") == 0)
    s3_xml_printable(out->request_id, sizeof out->request_id, text);
  else if (strcmp(name, "HostId") == 0)
    s3_xml_printable(out->host_id, sizeof out->host_id, text);
  else if (strcmp(name, "ServerTime") == 0)
    out->server_time_ms = s3_time_parse(text);
}

static void
error_open(s3_xml_reader *reader)
{
  error_reading *reading = reader->arg;

  if (reader->depth != 1)
    return;
  reading->is_error = s3_xml_at(reader, "Error") ||
                      s3_xml_at(reader, "ErrorResponse");
  if (!reading->is_error)
    s3_xml_stop(reader, SB_NOT_FOUND, NULL);
}

int
s3_xml_read_error(const sb_host *host, const char *data, size_t len,
                  s3_xml_error *out)
{
  error_reading reading = { .out = out };
  s3_xml_reader reader = s3_xml_reader_of(host, "an error", &reading, NULL);

  memset(out, 0, sizeof *out);
  reader.leaf = error_leaf;
  reader.open = error_open;
  reader.lenient = 1;
  /* What came before a fault, or before the end of what was kept, counts. */
  (void)s3_xml_run(&reader, data, len);
  return reading.is_error;
}

static void
root_open(s3_xml_reader *reader)
{
  char *out = reader->arg;

  memcpy(out, reader->path, reader->path_len + 1);
  s3_xml_stop(reader, SB_OK, NULL);
}

void
s3_xml_root(const char *data, size_t len, char out[64])
{
  s3_xml_reader reader = s3_xml_reader_of(NULL, "a document", out, NULL);

  out[0] = '\0';
  reader.open = root_open;
  (void)s3_xml_run(&reader, data, len);
}

/* ---- single texts ------------------------------------------------------- */

typedef struct text_reading {
  const char *path;
  char *out;
  size_t size;
  int found;
} text_reading;

/* The innermost names are those of the wanted path: one name right below the
   root or the root itself, several anywhere. */
static int
text_matches(const s3_xml_reader *reader, const char *path)
{
  size_t len = strlen(path);

  if (len > reader->path_len ||
      strcmp(reader->path + reader->path_len - len, path) != 0)
    return 0;
  if (len == reader->path_len)
    return 1;
  return reader->path[reader->path_len - len - 1] == '/' &&
         (strchr(path, '/') != NULL || reader->depth == 2);
}

static void
text_leaf(s3_xml_reader *reader, const char *text)
{
  text_reading *reading = reader->arg;
  size_t len = reader->text.len;

  if (reading->found || !text_matches(reader, reading->path))
    return;
  if (len >= reading->size) {
    s3_xml_stop(reader, SB_TOO_LARGE, "one of its texts is too long");
    return;
  }
  memcpy(reading->out, text, len + 1);
  reading->found = 1;
}

sb_status
s3_xml_read_text(const sb_host *host, const char *data, size_t len,
                 const char *path, char *out, size_t size, sb_error *err)
{
  text_reading reading = { .path = path, .out = out, .size = size };
  s3_xml_reader reader = s3_xml_reader_of(host, "an answer", &reading, err);
  sb_status status;

  if (size > 0)
    out[0] = '\0';
  reader.leaf = text_leaf;
  status = s3_xml_run(&reader, data, len);
  if (status == SB_OK && !reading.found)
    status = sb_fail(err, SB_NOT_FOUND,
                     "could not read an answer: it has no \"%s\"", path);
  return status;
}

void
s3_xml_escape(s3_buf *out, const char *text)
{
  const char *start = text;

  for (; *text != '\0'; text++) {
    unsigned char c = (unsigned char)*text;

    if (c >= ' ' && c != 0x7f && c != '&' && c != '<' && c != '>' && c != '"')
      continue;
    s3_buf_add(out, start, (size_t)(text - start));
    if (c == '&')
      s3_buf_text(out, "&amp;");
    else if (c == '<')
      s3_buf_text(out, "&lt;");
    else if (c == '>')
      s3_buf_text(out, "&gt;");
    else if (c == '"')
      s3_buf_text(out, "&quot;");
    else
      s3_buf_printf(out, "&#x%X;", c);
    start = text + 1;
  }
  s3_buf_add(out, start, (size_t)(text - start));
}
