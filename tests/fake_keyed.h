/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A keyed handle and a backend for unit tests: records in one sorted array,
 * snapshots that do nothing, commits that end as the test says.
 */
#ifndef TESTS_FAKE_KEYED_H
#define TESTS_FAKE_KEYED_H

#include <statebackend/backend.h>

#define FAKE_STATES_MAX 16
#define FAKE_EVENTS_MAX 64

typedef struct fake_record {
  uint32_t state, key_group;
  sb_slice ns, key, subkey, value; /* each owned */
} fake_record;

typedef struct fake_event {
  char kind;         /* C complete, A aborted, F freed, X cancelled */
  uint64_t id;
} fake_event;

typedef struct fake_keyed {
  sb_keyed keyed;
  sb_slice names[FAKE_STATES_MAX];
  uint32_t kinds[FAKE_STATES_MAX];
  uint32_t state_count;
  fake_record *records;
  size_t count, cap;
  sb_slice list;     /* what get of a list handed out last */
  uint64_t sequence; /* of list elements */
  unsigned calls;    /* that can fail, so far */
  unsigned fail_at;  /* this one fails with SB_IO */
  unsigned scans;    /* scan_open calls */
  unsigned list_max; /* get of a longer list is SB_TOO_LARGE; 0: no limit */
  sb_status begin_status, run_status;
  unsigned snapshots; /* alive */
  fake_event events[FAKE_EVENTS_MAX];
  size_t event_count;
} fake_keyed;

void fake_keyed_init(fake_keyed *fake);
void fake_keyed_dispose(fake_keyed *fake);

#define FAKE_COMMITS_MAX 64

typedef struct fake_backend {
  sb_backend backend;
  sb_status script[FAKE_COMMITS_MAX]; /* what commit returns, in turn; then
                                         SB_OK */
  size_t script_len, commits;
  uint64_t committed[FAKE_COMMITS_MAX];
  char blobs[FAKE_COMMITS_MAX][64];
  size_t committed_count;
  uint64_t stored;      /* id of the checkpoint to restore, 0: none */
  uint64_t newest;      /* if higher than `stored` */
  unsigned checkpoints; /* open */
  unsigned jobs;        /* open */
  sb_status gc_status;
} fake_backend;

void fake_backend_init(fake_backend *fake);

#endif
