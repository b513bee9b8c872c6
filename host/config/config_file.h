/* SPDX-License-Identifier: Apache-2.0 */
/* Readers of configuration files: each turns a text into flat settings. */
#ifndef SB_CONFIG_FILE_H
#define SB_CONFIG_FILE_H

#include "host/base/buf.h"
#include "host/config/settings.h"

#define CONFIG_FILE_MAX (4u << 20)  /* bytes of a file */
#define CONFIG_FILE_DEPTH_MAX 32u        /* maps in maps */

typedef struct config_file_entry {
  char *key;     /* allocated, with value behind it */
  const char *value;
  unsigned line;
} config_file_entry;

typedef struct config_file {
  const sb_host *host;
  const char *path;       /* as the caller gave it, for messages */
  char *text;             /* the file, NUL-terminated */
  size_t len;
  config_file_entry *entries;
  size_t count, capacity;
  sb_error *err;
} config_file;

/* Adds one flat setting. `key` and `value` are copied. */
sb_status config_file_add(config_file *r, const char *key, const char *value,
                     unsigned line);

/* "FILE:LINE: " and the message. */
sb_status config_file_fail(const config_file *r, unsigned line,
                           const char *format, ...) SB_PRINTF(3, 4);

/* Puts `name` behind `prefix` and a '.', into `key` of OPTION_KEY_MAX + 1. */
sb_status config_file_join(const config_file *r, const char *prefix,
                      const char *name, unsigned line, char *key);

/* Appends one element to a list's text. */
sb_status config_file_list_add(const config_file *r, buf *list,
                               const char *key, const char *element,
                               unsigned line);

sb_status config_file_yaml(config_file *r);
sb_status config_file_libconfig(config_file *r);

#endif
