/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A keyed handle that is a list of rows, for tests of canonical savepoints:
 * what was put is scanned in the same order. And streams in memory.
 */
#ifndef TESTS_CANONICAL_FIXTURE_H
#define TESTS_CANONICAL_FIXTURE_H

#include <statebackend/statebackend.h>

#define ROWS_STATES_MAX 24

typedef struct rows_row {
  uint32_t state, key_group;
  sb_slice key, ns, subkey, value; /* each owned */
  uint64_t expires_ms;
} rows_row;

typedef struct rows_keyed {
  sb_keyed keyed;
  sb_keyed_options place;
  sb_state_info states[ROWS_STATES_MAX];
  char names[ROWS_STATES_MAX][SB_STATE_NAME_MAX + 1];
  uint32_t state_count;
  rows_row *rows;
  size_t count, cap;
  int unsorted;            /* by key group */
  unsigned views, cursors; /* open */
  unsigned calls, fail_at; /* this call of scan, put and append fails */
} rows_keyed;

void rows_init(rows_keyed *k, uint32_t key_group_count, uint32_t first,
               uint32_t last);
void rows_dispose(rows_keyed *k);
void rows_clear(rows_keyed *k); /* forgets the rows */
/* `name` and the info's strings must stay. Returns the state's number. */
uint32_t rows_state(rows_keyed *k, const char *name, uint32_t kind,
                    uint32_t time_kind, uint64_t ttl_ms);
/* Texts; NULL: empty. */
void rows_put(rows_keyed *k, uint32_t state, uint32_t key_group,
              const char *key, const char *ns, const char *subkey,
              const char *value);
void rows_put_bytes(rows_keyed *k, uint32_t state, uint32_t key_group,
                    sb_slice key, sb_slice ns, sb_slice subkey, sb_slice value,
                    uint64_t expires_ms);
/* 1 if both have the same rows in the same order; states by name. */
int rows_same(const rows_keyed *a, const rows_keyed *b);

typedef struct stream {
  uint8_t *data;
  size_t len, cap;
  size_t fail_after;   /* bytes after which the sink fails; 0: never */
  size_t read_max;     /* the source gives at most so much at once; 0: all */
  uint64_t offsets[1024];
  uint64_t length;     /* as sb_canonical_write said */
} stream;

sb_status stream_sink(void *arg, const void *data, size_t len, sb_error *err);
sb_status stream_source(void *arg, uint64_t offset, void *buffer, size_t len,
                        size_t *got, sb_error *err);
void stream_dispose(stream *s);

/* Opens, writes and closes. */
sb_status stream_write(stream *s, rows_keyed *k, const sb_host *host,
                       const sb_canonical_options *options, sb_error *err);
/* Options to read the whole of it by offsets. */
sb_canonical_read stream_read(const stream *s, const rows_keyed *k);

#endif
