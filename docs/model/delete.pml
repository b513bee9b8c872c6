/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The deletion: PROTOCOL.md 4. Two generations, each a committer and the
 * handles of two subtasks, which write, compact and read segments while
 * commits, collections and deletes go on; the first generation may stall
 * anywhere and wake when the second has taken over. Deletes may be delayed for
 * as long as it takes. One reader from outside pins a checkpoint. A swap of
 * HEAD is one step here; commit.pml is about that.
 *
 * Objects are bits. Two checkpoints are retained, r[0] the newest.
 *
 * Checked in every state
 * - RETAINED no object of a retained checkpoint is missing
 * - LIVE     none that a handle of the present generation uses
 * - READER   none that a reader uses, whose second look was good
 *
 * Broken on purpose by -DBREAK_...: RECORD (deletes before the swap), NAMED
 * (does not subtract what siblings name), HELD (cursors are not told of), PIN
 * (pins are listed before the swap), LOOK (the reader does not look again), OWN
 * (collects its own generation's objects), FENCED (deletes though the swap
 * failed), NAMES (names are used again), TAKE (restores what was retained
 * before its take-over).
 */
#define OBJECTS 6
#ifndef COMMITS
#define COMMITS 2
#endif
#ifndef OPS
#define OPS 2  /* of the handles of one generation */
#endif
#ifndef GENERATIONS
#define GENERATIONS 2
#endif
#ifndef READERS
#define READERS 0
#endif

byte exists = 3, next = 2;       /* objects 0 and 1 are there at the start */
byte head_gen, r[2], r_id[2], pend, ids;
byte own[3];                     /* written by each generation */
byte live0[3], live1[3];         /* used by each generation's handles */
byte cursor[3], dropped[3], cut[3];
bool open[3];
byte late;                       /* deletes on their way */
byte pin, reading;

#define BIT(n_) (1 << (n_))
#define USED(g_) (live0[g_] | live1[g_] | cursor[g_])

/* ---- handles: what they do, at any time --------------------------------- */

inline new_object(g_) {
#ifdef BREAK_NAMES
  id = 0;
  do
  :: id < OBJECTS && (exists & BIT(id)) -> id++
  :: else -> break
  od;
#else
  id = next; next++;
#endif
  exists = exists | BIT(id); own[g_] = own[g_] | BIT(id)
}

/* What was never in a manifest is dropped when it is replaced. */
inline retire(g_, old_) {
  dropped[g_] = dropped[g_] |
    (old_ & own[g_] & ~cut[g_] & ~live0[g_] & ~live1[g_] & ~cursor[g_])
}

#ifdef BREAK_NAMES
#define ROOM (exists != 63)
#else
#define ROOM (next < OBJECTS)
#endif

proctype handles(byte g) {
  byte id, old, ops;

  do
  /* A flush adds a segment to subtask 0. */
  :: atomic { open[g] && ROOM && ops < OPS ->
       ops++; new_object(g); live0[g] = live0[g] | BIT(id); id = 0 }
  /* Compaction: one segment in place of all. Subtask 0, subtask 1. */
  :: atomic { open[g] && ROOM && ops < OPS ->
       ops++; old = live0[g]; new_object(g); live0[g] = BIT(id);
       retire(g, old); id = 0; old = 0 }
  :: atomic { open[g] && ROOM && ops < OPS ->
       ops++; old = live1[g]; new_object(g); live1[g] = BIT(id);
       retire(g, old); id = 0; old = 0 }
  /* A cursor of subtask 0. */
  :: atomic { open[g] && cursor[g] == 0 && ops < OPS ->
       ops++; cursor[g] = live0[g] }
  :: atomic { open[g] && cursor[g] != 0 ->
       old = cursor[g]; cursor[g] = 0; retire(g, old); old = 0 }
  :: open[g] && ops == OPS && cursor[g] == 0 -> break
  :: timeout -> break
  od
}

/* ---- committers --------------------------------------------------------- */

inline delete_all(todo_) {
  atomic {
    if
    :: exists = exists & ~(todo_); mine_pend = mine_pend & ~(todo_)
    :: late = late | todo_ /* not answered: it stays pending */
    fi
  }
}

proctype committer(byte g) {
  byte needs, cand, mine_pend, pins, made, seen;
  bool collected;

  /* Take-over, and a restore of any retained checkpoint. */
#ifdef BREAK_TAKE
  atomic { seen = r[1] };
#endif
  atomic {
    if
    :: head_gen < g -> head_gen = g
    :: else -> goto fenced
    fi;
    mine_pend = pend;
    if
    :: live0[g] = r[0]; live1[g] = r[0]
    :: live0[g] = r[1]; live1[g] = r[1]
    fi;
#ifdef BREAK_TAKE
    live0[g] = seen; live1[g] = seen;
#endif
    cut[g] = live0[g]; open[g] = true
  };

  do
  :: made == COMMITS -> break
  :: made < COMMITS ->
     made++;
     /* The cut: what the manifests of both subtasks name. */
     atomic {
       needs = live0[g] | live1[g];
#ifndef BREAK_HELD
       needs = needs | cursor[g];
#endif
       cut[g] = cut[g] | needs; cand = dropped[g] & ~needs
     };
#ifdef BREAK_PIN
     pins = pin;
#endif
#ifdef BREAK_RECORD
     atomic { cand = (cand | r[1]) & ~needs & ~r[0]; exists = exists & ~cand };
#endif
     /* The swap. */
     atomic {
       if
       :: head_gen == g ->
#ifdef BREAK_NAMED
          cand = cand | (r[1] & ~live0[g]);
#else
          cand = (cand | r[1]) & ~(needs | r[0]);
#endif
          mine_pend = mine_pend | cand;
          dropped[g] = dropped[g] & ~mine_pend;
          r[1] = r[0]; r_id[1] = r_id[0];
          ids++; r[0] = needs; r_id[0] = ids; pend = mine_pend
       :: else ->
#ifdef BREAK_FENCED
          mine_pend = mine_pend | ((cand | r[1]) & ~needs);
          delete_all(mine_pend);
#endif
          goto fenced
       fi;
       needs = 0; cand = 0
     };
     /* The sweep: pins, then deletes. */
#ifndef BREAK_PIN
     pins = pin;
#endif
     delete_all(mine_pend & ~pins);
     pins = 0
  /* A collection: what older generations left. */
  :: g == 2 && !collected ->
     collected = true;
     atomic {
       if
       :: head_gen == g ->
          cand = exists & ~(r[0] | r[1] | pend | mine_pend);
#ifndef BREAK_OWN
          cand = cand & ~own[g];
#endif
          pins = pin
       :: else -> goto fenced
       fi
     };
     delete_all(cand & ~pins);
     cand = 0; pins = 0
  od;
fenced:
  skip
}

/* ---- the rest ----------------------------------------------------------- */

proctype reader() {
  byte wanted, want_id;

  /* Look, choose, pin, look again. */
  atomic {
    if
    :: wanted = r[0]; want_id = r_id[0]
    :: wanted = r[1]; want_id = r_id[1]
    fi
  };
  pin = wanted;
  atomic {
    if
#ifdef BREAK_LOOK
    :: true -> reading = wanted
#endif
    :: r_id[0] == want_id || r_id[1] == want_id -> reading = wanted
    :: else
    fi
  };
  reading = 0;
  pin = 0
}

proctype network() {
  do
  :: atomic { late != 0 -> exists = exists & ~late; late = 0 }
  :: timeout -> break
  od
}

proctype monitor() {
  do
  :: atomic { ((r[0] | r[1]) & ~exists) != 0 -> assert(false) }
  :: atomic { (reading & ~exists) != 0 -> assert(false) }
  :: atomic { head_gen == 1 && open[1] && (USED(1) & ~exists) != 0 ->
       assert(false) }
  :: atomic { head_gen == 2 && open[2] && (USED(2) & ~exists) != 0 ->
       assert(false) }
  :: timeout -> break
  od
}

init {
  atomic {
    r[0] = 1; r[1] = 2; r_id[0] = 1; r_id[1] = 0; ids = 1;
    run committer(1); run handles(1);
    if
    :: GENERATIONS == 2 -> run committer(2); run handles(2)
    :: else
    fi;
    if
    :: READERS == 1 -> run reader()
    :: else
    fi;
    run network(); run monitor()
  }
}
