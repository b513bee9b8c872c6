/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The XML that S3 and STS answer with, read by expat with limits: no document
 * type declarations, no entities of one's own, at most S3_XML_DEPTH levels,
 * texts of at most S3_XML_TEXT bytes. Unknown elements are skipped; namespaces
 * and white space before the root do not matter.
 */
#ifndef PLUGINS_S3_XML_H
#define PLUGINS_S3_XML_H

#include "plugins/s3/buf.h"
#include <statebackend/store.h>

#define S3_XML_DEPTH 16
#define S3_XML_TEXT 8192

typedef struct s3_xml_error {
  char code[64];           /* "" if there is no <Error> */
  char message[256];       /* printable ASCII only */
  char region[64];         /* <Region> */
  char endpoint[256];      /* <Endpoint> */
  char request_id[64], host_id[128];
  uint64_t server_time_ms; /* <ServerTime>; 0: none */
} s3_xml_error;

/* 1 if the document's root is Error (also STS's ErrorResponse/Error), which
   is then read; else 0. Never fails: what cannot be read stays "". */
int s3_xml_read_error(const sb_host *host, const char *data, size_t len,
                      s3_xml_error *out);

/* The root element's name into out, "" if it is no XML. */
void s3_xml_root(const char *data, size_t len, char out[64]);

typedef struct s3_xml_entry {
  const char *key;         /* decoded */
  const char *etag;        /* with quotes; "" none */
  uint64_t size, modified_ms;
} s3_xml_entry;

/* A page of ListObjectsV2 (or V1), of encoding-type=url or not. */
typedef struct s3_xml_list {
  s3_buf text;             /* holds the strings */
  s3_xml_entry *entries;
  size_t count;
  int truncated;
  char *next;              /* NextContinuationToken; NULL: none */
} s3_xml_list;

/* SB_CORRUPT with the reason if it is not what it should be; SB_TOO_LARGE over
   10,000 entries. Free it in any case. */
sb_status s3_xml_read_list(const sb_host *host, const char *data, size_t len,
                           s3_xml_list *out, sb_error *err);
void s3_xml_list_free(const sb_host *host, s3_xml_list *list);

/* DeleteResult: calls fn for each key that could not be deleted. */
typedef void s3_xml_deleted_fn(void *arg, const char *key, const char *code,
                               const char *message);
sb_status s3_xml_read_delete(const sb_host *host, const char *data, size_t len,
                             s3_xml_deleted_fn *fn, void *arg, sb_error *err);

/* The text of one element right below the root, or at a path of names
   "Credentials/AccessKeyId" below any element, decoded, into `out`.
   SB_NOT_FOUND if there is none, SB_CORRUPT, SB_TOO_LARGE. */
sb_status s3_xml_read_text(const sb_host *host, const char *data, size_t len,
                           const char *path, char *out, size_t size,
                           sb_error *err);

typedef struct s3_xml_upload {
  const char *key, *upload_id;
} s3_xml_upload;

/* A page of ListMultipartUploads. */
typedef struct s3_xml_uploads {
  s3_buf text;
  s3_xml_upload *uploads;
  size_t count;
  int truncated;
  char *next_key, *next_upload;
} s3_xml_uploads;
sb_status s3_xml_read_uploads(const sb_host *host, const char *data,
                              size_t len, s3_xml_uploads *out, sb_error *err);
void s3_xml_uploads_free(const sb_host *host, s3_xml_uploads *uploads);

/* Adds text with & < > " escaped, control characters as references. */
void s3_xml_escape(s3_buf *out, const char *text);

/* "2015-08-30T12:36:00.000Z" (fraction optional) or an HTTP date, "Sun, 06
   Nov 1994 08:49:37 GMT", in milliseconds since 1970; 0 if it is neither. */
uint64_t s3_time_parse(const char *text);
/* "20150830T123600Z". 0 after the year 9999. */
int s3_time_stamp(uint64_t time_ms, char out[17]);

#endif
