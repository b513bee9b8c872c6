/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_xml_reader: walks a document and hands each element without children to
 * a function, with the path of names that leads to it
 * ("ListBucketResult/Contents/Key") and its text. What may be taken is bounded
 * by the reader; what it means is the function's.
 */
#ifndef PLUGINS_S3_XML_READER_H
#define PLUGINS_S3_XML_READER_H

#include <expat.h>

#include <statebackend/plugin.h>
#include "plugins/s3/xml.h"

#define XML_NAME 64
#define XML_PATH (S3_XML_DEPTH * XML_NAME)

typedef struct s3_xml_reader s3_xml_reader;

struct s3_xml_reader {
  XML_Parser parser;
  const char *what;        /* being read, for messages */
  const char *wanted;      /* the root's name; NULL: any */
  /* An element begins; one without children ends; any ends. May be NULL. */
  void (*open)(s3_xml_reader *reader);
  void (*leaf)(s3_xml_reader *reader, const char *text);
  void (*close)(s3_xml_reader *reader);
  void *arg;
  int lenient;             /* texts that are too long are cut */

  char path[XML_PATH];     /* "Root/Child" */
  size_t path_len;
  size_t ends[S3_XML_DEPTH]; /* of path before each level */
  unsigned depth;
  int is_leaf;
  s3_buf text;
  int stopped;
  sb_status status;
  sb_error *err;
};

/* The caller then fills in the functions. */
s3_xml_reader s3_xml_reader_of(const sb_host *host, const char *what,
                               void *arg, sb_error *err);
/* Reads it all, or until it is stopped. Once only. */
sb_status s3_xml_run(s3_xml_reader *reader, const char *data, size_t len);
/* For the functions: reading ends. `why` may be NULL. */
void s3_xml_stop(s3_xml_reader *reader, sb_status status, const char *why);
int s3_xml_at(const s3_xml_reader *reader, const char *path);

/* Copies what fits, '?' for what is not printable ASCII. */
void s3_xml_printable(char *out, size_t size, const char *text);

#endif
