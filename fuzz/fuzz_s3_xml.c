/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of an S3 server that nobody vouches for, given to every reader: each
 * stays within bounds, leaves nothing behind, and what it takes is sound.
 */
#include "config.h"

#include "fuzz/fuzz_bounded.h"
#include "plugins/s3/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Entries take more than their text; a text being read doubles. */
#define FUZZ_FACTOR 16

static void
fuzz_list(const char *data, size_t size)
{
  fuzz_bounded b;
  s3_xml_list list;
  size_t i;

  fuzz_bounded_init(&b);
  if (s3_xml_read_list(&b.host, data, size, &list, NULL) != SB_OK &&
      list.count != 0)
    abort();
  for (i = 0; i < list.count; i++)
    if (list.entries[i].key[0] == '\0' ||
        strlen(list.entries[i].key) > S3_XML_TEXT ||
        strlen(list.entries[i].etag) > S3_XML_TEXT + 2)
      abort();
  s3_xml_list_free(&b.host, &list);
  fuzz_bounded_check(&b, size, FUZZ_FACTOR);
}

static void
fuzz_uploads(const char *data, size_t size)
{
  fuzz_bounded b;
  s3_xml_uploads uploads;
  size_t i;

  fuzz_bounded_init(&b);
  if (s3_xml_read_uploads(&b.host, data, size, &uploads, NULL) != SB_OK &&
      uploads.count != 0)
    abort();
  for (i = 0; i < uploads.count; i++)
    if (uploads.uploads[i].key[0] == '\0' ||
        uploads.uploads[i].upload_id[0] == '\0')
      abort();
  s3_xml_uploads_free(&b.host, &uploads);
  fuzz_bounded_check(&b, size, FUZZ_FACTOR);
}

static void
fuzz_deleted(void *arg, const char *key, const char *code, const char *message)
{
  size_t *count = arg;

  if (key[0] == '\0' || strlen(code) > 63 || strlen(message) > 255)
    abort();
  ++*count;
}

static void
fuzz_texts(const char *data, size_t size)
{
  fuzz_bounded b;
  s3_xml_error error;
  char out[64];
  size_t count = 0;

  fuzz_bounded_init(&b);
  (void)s3_xml_read_delete(&b.host, data, size, fuzz_deleted, &count, NULL);
  (void)s3_xml_read_text(&b.host, data, size, "UploadId", out, sizeof out,
                         NULL);
  (void)s3_xml_read_text(&b.host, data, size, "Credentials/AccessKeyId", out,
                         sizeof out, NULL);
  s3_xml_root(data, size, out);
  if (s3_xml_read_error(&b.host, data, size, &error) !=
      (strcmp(out, "Error") == 0 || strcmp(out, "ErrorResponse") == 0))
    abort();
  fuzz_bounded_check(&b, size, FUZZ_FACTOR);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  const char *text = (const char *)data;

  fuzz_list(text, size);
  fuzz_uploads(text, size);
  fuzz_texts(text, size);
  return 0;
}
