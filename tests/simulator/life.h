/* SPDX-License-Identifier: Apache-2.0 */
/*
 * life: one seed's whole story. A ledger of checkpoint attempts outlives the
 * processes; each process is a job (coordinator and subtasks) or a reader from
 * outside; the master task crashes, stalls, wakes and replaces them.
 */
#ifndef SIM_LIFE_H
#define SIM_LIFE_H

#include <statebackend/queue.h>
#include <statebackend/state.h>
#include "tests/simulator/bucket.h"
#include "tests/simulator/model.h"

#define LIFE_SUBTASKS_MAX 4
#define LIFE_WALKS_MAX 3
#define LIFE_VIEWS_MAX 2
#define LIFE_BATCH_MAX 24
#define LIFE_ROUNDS_MAX 3

typedef struct life life;
typedef struct job job;
typedef struct subtask subtask;

/* ---- the ledger of checkpoints ------------------------------------------ */

enum {
  ATTEMPT_OPEN,      /* no commit was tried */
  ATTEMPT_MAYBE,     /* commit is under way, or its answer is not known */
  ATTEMPT_OK,        /* committed */
  ATTEMPT_NEVER,     /* commit has failed for good */
  ATTEMPT_EXCLUDED,  /* a later take-over did not find it */
  ATTEMPT_GONE       /* committed once (or maybe), no longer retained */
};

typedef struct attempt {
  struct attempt *next;     /* newest first */
  uint64_t id, generation, takeovers; /* of the life when its job took over */
  uint64_t taking_ns;       /* of its job */
  int fate, removing, pins;
  int savepoint;            /* not a checkpoint */
  int saved, claimed;       /* it was written; somebody took it, perhaps */
  cell *cells;              /* what it must hold */
  uint32_t states;          /* mask of those known to it */
  uint32_t versions[MODEL_STATES_MAX];
  uint64_t ttls[MODEL_STATES_MAX];
  sb_part *parts[LIFE_SUBTASKS_MAX]; /* what a host that owns objects keeps */
  char **names;             /* its objects, without _metadata */
  size_t name_count;
  char **held;              /* what its manifests hold: it may be there */
  size_t held_count;
  char blob[48];
} attempt;

/* What happened; added up over seeds, so that a quiet simulation shows. */
typedef struct life_counts {
  uint64_t jobs, crashes, zombies, fenced, committed, restored, rescales,
    readers, gcs, compared, tolerated, early_flushes, compactions, cold_reads,
    interrupts, view_rows, migrated, dropped, full, savepoints,
    no_claims, claims, queue_answers, typed, visited, hosted, requests, faults, flips,
    switches, virtual_ms;
} life_counts;

#define LIFE_VERSIONS_MAX 48
#define TYPED_LIST_VERSIONS 256u /* the typed interface's own ones between */
typedef struct migrator {   /* of a state, to one schema version */
  struct life *l;
  uint32_t state, version;
  int is_typed;             /* called by the typed interface */
} migrator;

struct life {
  sim s;
  bucket b;
  rng rng;
  space sp;
  attempt *attempts;
  sim_setting settings[16];
  sb_engine_options engine_options;
  const char *job_name;     /* path part */

  /* character of this life */
  uint32_t operators;       /* 1 or 2; states are dealt out to them in turn */
  uint32_t subtasks_max, retain, retain_floor, rounds_max;
  uint32_t value_max, value_usual, expiry, busy, batch, scan, pressure;
  uint32_t checkpoint_every_ms, idle, unrest;
  int full;                 /* whole snapshots now and then */
  uint32_t migrates, drops, ttl_changes; /* per mille, of states at a
                               restart */
  uint32_t savepoints;      /* per mille of the rounds, and restarts */
  uint32_t event;           /* per mille: the event time grows */
  uint32_t namespaces;      /* per mille: keys and removals of namespaces */
  migrator migrators[MODEL_STATES_MAX][LIFE_VERSIONS_MAX + 1];
  migrator typed_migrators[MODEL_STATES_MAX][LIFE_VERSIONS_MAX + 1];

  int hosted;               /* the host owns the objects of checkpoints */
  int calm;                 /* every process ends as it should */
  int typed_batches;        /* of the typed interface, and no others */
  uint32_t trouble;         /* 0 none; else how unkind the bucket gets */
  uint32_t alloc_trouble;   /* per mille in troubled phases */
  uint64_t memory_size;

  uint64_t steps, steps_max;
  int stopping;
  uint64_t value_serial;
  uint64_t newest_generation;  /* whose take-over returned SB_OK */
  uint64_t takeovers;          /* begun */
  void *special;            /* the fault loops' */
  job *current, *all;
  sim_process *master;
  life_counts did;
};

/* ---- a job's process ---------------------------------------------------- */

enum { SNAP_NONE, SNAP_RUNNING, SNAP_OK, SNAP_FAILED };

typedef struct snap {
  subtask *subtask;
  struct round *round;
  sb_snapshot *handle;
  const sb_part *part;
  int state, release, cancelled, tries_left, is_full;
} snap;

typedef struct round {      /* a checkpoint being made */
  job *job;
  attempt *attempt;
  int used, decided;
  snap snaps[LIFE_SUBTASKS_MAX];
} round;

typedef struct walk {       /* a cursor and what it has shown */
  sb_cursor *handle;
  sb_scan_options options;
  uint32_t state;
  size_t mark;              /* of the model's log */
  uint64_t from_ms;
  uint16_t *seen;           /* by cell */
  size_t row_cell;          /* of the row last returned */
  uint32_t row_element;
  int has_row, row_was_changed;
  uint64_t rows;
} walk;

typedef struct view {
  subtask *subtask;
  sb_view *handle;
  cell *cells;
  uint64_t opened_ms, event_ms;
  uint32_t states;          /* of its subtask */
  int over;                 /* its task has closed it */
} view;

typedef struct entry {      /* of a batch */
  sb_op op;
  struct subtask *subtask;
  size_t cell;
  value_ref value;
  uint64_t expires_ms;
  uint32_t action;          /* update: what the callback decides */
  int out, is_applied;      /* to the model */
  cell want;                /* as the operation found it */
  int saw_exists;           /* update: what the callback saw */
  uint8_t *seen;
  size_t seen_len;
  uint8_t *buffer;
  uint8_t *sent;            /* the bytes of `value` */
  sb_scan_options scan;
  uint32_t scan_state;
  size_t mark;              /* of the model's log, at submission */
  uint64_t from_ms;
} entry;

typedef struct batch {
  entry *entries;
  size_t count, out;
} batch;

typedef struct notice {
  uint32_t what;
  uint64_t id;
} notice;

#define FOLD_LEN 160u       /* of what folds, more or less */
typedef struct folding {    /* what a fold function was called with */
  struct subtask *t;
  uint32_t state;
  int calls, exists, fails;
  uint8_t bytes[FOLD_LEN + 16];
} folding;

#define VISITS_MAX 2
typedef struct visit {      /* a visitor and what it has shown */
  sb_visitor *handle;
  uint32_t state, first, last;
  size_t mark;              /* of the model's log */
  uint64_t from_ms;
  uint8_t *seen;            /* by cell */
  place places[41];         /* of the rows of one call */
} visit;

#define TYPED_BATCH 12
typedef struct typed_request {
  struct subtask *t;
  place at;
  uint32_t what;            /* SB_OP_... */
  value_ref value;
  uint64_t begin;           /* the stamp when it was made */
  int answers;
  sb_status status;
  sb_error err;
  uint8_t *seen;            /* NULL: no value, or a null one */
  size_t seen_len;
} typed_request;

typedef struct state_handle { /* one of them, if it is not raw */
  sb_queue *queue;
  sb_timers *timers;
  sb_value *value;
  sb_list *list;
  sb_map *map;
  sb_reducing *reducing;
  sb_aggregating *aggregating;
  folding fold;
} state_handle;

struct subtask {
  job *job;
  uint32_t slot;            /* in its job */
  uint32_t operator_number, index; /* index within the operator */
  uint32_t group_first, group_last;
  sb_keyed *keyed;
  uint32_t ids[MODEL_STATES_MAX];
  uint32_t states;          /* mask of those registered */
  sb_context *context;      /* NULL: nothing has asked for it */
  state_handle handles[MODEL_STATES_MAX];
  typed_request requests[TYPED_BATCH];
  visit visits[VISITS_MAX];
  uint32_t *keys;           /* keys of its groups */
  uint32_t key_count;
  walk *walks[LIFE_WALKS_MAX];
  view *views[LIFE_VIEWS_MAX];
  batch batch;
  notice notices[16];
  uint32_t notice_count;
  uint64_t event_ms;
  int ready, closed, interrupted;
  int poked;                /* to write one key; 0 when that is done */
  uint8_t *bytes;           /* of the value being written */
};

struct job {
  life *l;
  job *next;                /* of the life */
  int taking;               /* its take-over is under way */
  sim_process *process;
  sb_backend *backend;
  sb_job *handle;
  uint64_t generation, takeovers, next_id, faults_at_start;
  uint64_t taking_ns;       /* when its take-over began */
  uint32_t retain;
  uint32_t subtask_count;
  subtask subtasks[LIFE_SUBTASKS_MAX];
  model m;
  uint32_t states;          /* mask: known to the restored checkpoint */
  uint32_t registers;       /* mask: which it registers */
  uint32_t drops;           /* mask: which it drops first */
  uint32_t versions[MODEL_STATES_MAX];
  uint64_t ttls[MODEL_STATES_MAX];
  sb_checkpoint *restored;
  int no_claim;             /* restored is not its own */
  attempt *from;
  round rounds[LIFE_ROUNDS_MAX];
  int ready, stop, closed, fenced, quiet, interrupted;
  uint64_t commits;
};

typedef struct life_result {
  uint64_t trace;
  uint64_t counts[SIM_KINDS];
  life_counts did;
} life_result;

/* Another story over the same world: the fault loops. */
typedef struct life_special {
  void *arg;
  void (*prepare)(void *arg, life *l);
  sim_fn *master;           /* gets the life */
  void (*finish)(void *arg, const life *l);
} life_special;

/* life.c; 1 if it failed, and what is added to *result */
int life_of_seed(uint64_t seed, uint64_t steps, int verbose,
                 const life_special *special, life_result *result);

void life_setting(life *l, const char *key, int64_t number,
                  const char *text);
/* Makes it one that the typed interface writes to. */
void life_typed(space_state *s, rng *r);
void life_print(const life_counts *did);

/* final.c */
void final_check(life *l);
/* Compares one retained checkpoint; any failure fails the run. */
void final_read(life *l, sim_process *process, sb_backend *backend,
                const attempt *a, uint64_t id);

void final_read_parts(life *l, sim_process *process, sb_backend *backend,
                      const attempt *a, const sb_part *parts,
                      uint32_t count);

void final_read_opened(life *l, sim_process *process, sb_backend *backend,
                       const attempt *a, sb_checkpoint *checkpoint);

/* savepoints.c */
void savepoint_name(const attempt *a, char *name, size_t size);
int savepoint_is_object(const char *name);
/* Is the object in the attempt's directory? */
int savepoint_has(const attempt *a, const char *object_name);
sb_status savepoint_write_once(job *j, attempt *a, const sb_part *parts,
                               uint32_t count, sb_error *err);
attempt *savepoint_pick(const life *l, rng *r);
sb_status savepoint_open_source(life *l, sb_backend *backend, attempt *a,
                                uint32_t mode, const char *job_id,
                                sb_checkpoint **out, sb_error *err);
void savepoint_check_claimed(job *j, attempt *a);
/* Those that nobody took are right, and go without a trace. */
void savepoints_final(life *l, sim_process *process, sb_backend *backend);

/* manager.c: a host that owns the objects of checkpoints. */
void manager_takeover(job *j);
/* The parts that the host has of an attempt; how many. */
uint32_t manager_parts(const attempt *a, sb_part *parts);
void manager_acknowledge(job *j, attempt *a, uint32_t slot,
                         const sb_part *part);
/* 1 if it is complete now; then older ones may be gone. */
int manager_commit(job *j, attempt *a);
void manager_abort(life *l, attempt *a);
void manager_free(attempt *a);
void manager_final(life *l, sim_process *process, sb_backend *backend);

/* faults.c, self.c */
int fault_loop(int verbose, int brief, const char *only);
int self_test(void);

/* ledger.c */
attempt *ledger_new(life *l, job *j, uint64_t id);
attempt *ledger_find(const life *l, uint64_t id, uint64_t generation);
attempt *ledger_newest(const life *l);
void ledger_free(life *l);
void ledger_add_names(attempt *a, const sb_part *part);
/* Of a savepoint: the last parts of the names, in its directory. */
void ledger_add_saved(attempt *a, const sb_part *part);
int ledger_has_name(const attempt *a, const char *name);
/* Does a part list it only because something still reads it? */
int ledger_holds_name(const attempt *a, const char *name);
void ledger_commit_began(attempt *a);
void ledger_committed(job *j, attempt *a);
/* What a list read by a committer that nobody has fenced must look like;
   settles the attempts of unknown fate. */
void ledger_settle(job *j, const sb_checkpoint_info *list, size_t count);
/* The bucket's hook. */
void ledger_removing(void *arg, const char *name);
/* After the last take-over: what is on the store is what is needed. */
void ledger_check_objects(life *l, const sb_checkpoint_info *list,
                          size_t count);

/* job.c */
job *job_begin(life *l, int quiet);
/* Gives up: the process crashes. Does not return. */
void job_give_up(job *j, const char *why);
/* Is a failure one that trouble explains? Fails the run if not. 1: yes. */
int job_tolerates(job *j, sb_status status, const sb_error *err,
                  const char *what);
/* A successor has taken over, or may be about to. */
int job_is_old(const job *j);
int job_was_replaced(const life *l, uint64_t takeovers, uint64_t generation,
                     uint64_t since_ns, const job *but);

/* rounds.c */
void rounds_step(job *j);
void rounds_end(job *j);
/* Two checkpoints that must succeed. */
void rounds_final(job *j);
/* The owner's part: frees snapshots that are done with. */
void rounds_release(subtask *t, int wait);
/* The owner's part: begins what has been triggered. */
void rounds_begin(subtask *t);
void rounds_notify(subtask *t);

/* subtask.c */
/* Mask of an operator's states, and its id. */
uint32_t operator_states(const life *l, uint32_t number);
const char *operator_id(uint32_t number);
void subtask_main(void *arg);
void subtask_dispose(subtask *t);
uint64_t subtask_now_ms(const subtask *t);
/* The time that a call on a state which begins now must know of. */
uint64_t subtask_from_ms(const subtask *t, uint32_t state);
/* As sb_migrate_fn; the argument is a migrator. */
sb_status life_migrate(void *arg, uint32_t from, sb_slice value,
                       sb_give_fn *give, void *give_arg);
/* How a state is registered with a schema version, migration and all. */
void life_state_options(life *l, uint32_t state, uint32_t version,
                        uint64_t ttl_ms, sb_state_options *options);
/* Another time to live, of a state that has one. */
uint64_t life_ttl(const space_state *s, rng *r);

/* The typed interface over its handle: makes t->context. */
sb_status subtask_need_context(subtask *t, sb_error *err);
void subtask_close_states(subtask *t);

/* queues.c: states that queues and timers write to. */
sb_status queues_open(subtask *t, uint32_t state,
                      const sb_state_options *options, sb_state_info *info,
                      sb_error *err);
void queues_close(subtask *t, uint32_t state);
void queues_step(subtask *t, place at);
void queues_add(subtask *t, place at);

/* typed.c: states that the typed interface writes to. */
sb_status typed_open(subtask *t, uint32_t state, sb_state_info *info,
                     sb_error *err);
void typed_step(subtask *t, place at);
void typed_write(subtask *t, place at);
/* A batch, from making to the last answer. */
void typed_batches_step(subtask *t);
void typed_batches_dispose(subtask *t);
/* visits.c: visitors kept open across writes. */
void visits_step(subtask *t);
void visits_close(subtask *t);
void visits_dispose(subtask *t);

/* act.c: one random operation, checked against the model */
void act_step(subtask *t);
value_ref act_value(const subtask *t, uint32_t state);
void act_set(subtask *t, size_t index, cell c);
/* Writes one key; 0 if there is none to write. */
int act_write_one(subtask *t);
/* A random place of a registered state in the subtask's groups; 0 if none. */
int act_place(subtask *t, place *at);
uint64_t act_expiry(subtask *t, uint32_t state, uint32_t len);

/* walks.c: cursors kept open across writes */
void walks_step(subtask *t);
void walks_close(subtask *t);
/* Chooses what to scan; `bounds` also a start and an end. 0: no state. */
int walk_options(subtask *t, sb_scan_options *options, uint32_t *state,
                 int bounds);
int walk_selects(const subtask *t, const sb_scan_options *options,
                 uint32_t state, size_t index);
/* Takes the handle; closes it if there are enough. */
void walk_take(subtask *t, sb_cursor *handle, uint32_t state,
               const sb_scan_options *options, size_t mark, uint64_t from_ms);

/* views.c */
void views_open(subtask *t);
void views_close(subtask *t, int wait);

/* batches.c */
void batches_step(subtask *t);
/* Waits for all of it. */
void batches_drain(subtask *t);
/* Does to the model what the engine has done of it. */
void batches_sync(subtask *t);
/* The same after a synchronous call on the key of a cell, which must have come
   after all that was pending on it, unless it failed. */
void batches_settled(subtask *t, size_t index, sb_status status);
void batches_dispose(subtask *t);

/* compare.c: all of a handle against cells */
typedef struct comparison {
  life *l;
  sim_process *process;
  sb_keyed *keyed;
  const uint32_t *ids;
  uint32_t states;          /* mask */
  uint32_t group_first, group_last;
  const cell *cells;
  const char *what;
  sb_view *view;            /* NULL, or its scans */
  uint64_t event_ms;        /* of the handle */
  uint64_t opened_ms;       /* of the view */
} comparison;
/* SB_OK; a failure of the handle is returned, a difference fails the run. */
sb_status compare_all(const comparison *c, sb_error *err);
sb_status compare_gets(const comparison *c, uint32_t count, rng *r,
                       sb_error *err);

/* outsider.c: a reader from outside, with a pin */
void outsider_begin(life *l);

#endif
