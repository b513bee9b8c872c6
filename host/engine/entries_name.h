/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entries_name: the names of the objects of the layout `entries`, made and
 * read. Names are normative in docs/FORMAT-entries.md.
 *
 *   <base>/[<job>/]<state>/[<operator>/]<state name>/<key group>/
 *     <base64url(key)>.<base64url(namespace)><extension>
 */
#ifndef SB_ENGINE_ENTRIES_NAME_H
#define SB_ENGINE_ENTRIES_NAME_H

#include "host/engine/paths.h"

#define ENTRIES_PART_MAX 200u /* characters of one part of key and namespace */

/* What all entries of a job begin with, with a slash at the end. */
sb_status entries_root(const paths *p, const char *job, char *out,
                       sb_error *err);

/* "[<operator>/]<state name>"; `out` has PATH_SIZE bytes. *hashed is 1 if a
   hash stands for the state's name. */
sb_status entries_dir(const char *operator_id, sb_slice state, char *out,
                      int *hashed, sb_error *err);

/* The whole name. *hashed: hashes stand for key or namespace.
   SB_TOO_LARGE if even that is over the limit. */
sb_status entries_name(const char *root, const char *dir, uint32_t key_group,
                       sb_slice key, sb_slice ns, const char *extension,
                       char *out, int *hashed, sb_error *err);

/* What a name says. */
typedef struct entries_parsed {
  char dir[PATH_SIZE];
  uint32_t key_group;
  int hashed;              /* key and namespace cannot be told */
  size_t key_len, ns_len;
  uint8_t key[SB_OBJECT_NAME_MAX], ns[SB_OBJECT_NAME_MAX];
} entries_parsed;

/* 1 if `name` is exactly what entries_name makes. */
int entries_parse(const char *root, const char *extension, const char *name,
                  entries_parsed *out);

/* base64url without padding; NUL-terminated. `out` has room for
   ENTRIES_BASE64_LEN(len) + 1. */
#define ENTRIES_BASE64_LEN(len) (((len) * 4 + 2) / 3)
void entries_base64(sb_slice bytes, char *out);

#endif
