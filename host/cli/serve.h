/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbctl serve: what its answers are made from. A request is answered from the
 * newest checkpoint, which is opened, with its pin, when somebody asks and
 * closed when nobody has asked for a while.
 */
#ifndef SB_CLI_SERVE_H
#define SB_CLI_SERVE_H

#include <pthread.h>
#include "host/cli/origin.h"

#define SERVE_HEAD_NS UINT64_C(1000000000)  /* HEAD is read again after */
#define SERVE_IDLE_NS UINT64_C(30000000000) /* a checkpoint is closed after */
#define SERVE_BODY_MAX ((size_t)4 << 20)    /* bytes of an answer, about */
#define SERVE_ROWS_DEFAULT 100u
#define SERVE_ROWS_MAX 10000u

/* One GET; values are decoded, data is NULL if one was not given. */
typedef struct serve_query {
  const char *path;
  sb_slice key, key_format, ns, subkey, limit, operator_id;
} serve_query;

typedef struct serve {
  cli *c;
  pthread_mutex_t lock;       /* one request at a time; all below */
  origin origin;
  int is_open;
  sb_checkpoint_info *list;   /* of the retained ones, as last read */
  size_t list_count;
  uint64_t read_ns;           /* when HEAD was last read, 0: never */
  uint64_t asked_ns;          /* when the last request came */
} serve;

/* Writes a JSON document, unless it fails; the HTTP status, with `err` filled
   if it is not 200. With the lock held. */
unsigned serve_answer(serve *s, const serve_query *query, FILE *to,
                      sb_error *err);
/* Gives everything back; with the lock held. */
void serve_forget(serve *s);

#endif
