/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commit: PROTOCOL.md 3. Two committers take over whenever they like, each
 * makes up to two changes of HEAD, any of them may stall at any point. Answers
 * get lost; writes are delayed for as long as it takes, or for ever; attempts
 * fail for good. With -DROW, HEAD is a numbered row of create-only objects.
 *
 * Checked
 * - LOST     HEAD only ever changes from a _metadata to one that was built on
 *            it: no committed checkpoint is lost.
 * - FALSE    what was told to be committed is; what was told to have failed
 *            is not and never will be.
 *
 * Broken on purpose by -DBREAK_...: IF_MATCH (unconditional puts), UNKNOWN
 * (unknown told as failed), ABSENT (not seen in HEAD told as failed), CONFLICT
 * (told as failed without a look), REBUILD (built on what was there before),
 * TAKE (restores what it saw before its swap), EARLY (told before the swap is
 * known), EXCLUDE (given up
 * and told as failed before the next swap), and in a row LIST (does not list), TRIM (removes the highest too).
 */
#define METAS 5   /* 0: the first _metadata; each committer makes two */
#define SLOTS 2   /* writes on their way */
#define ROWS 12
#ifndef FAULTS
#define FAULTS 2  /* answers lost, writes delayed, attempts failed: in all */
#endif
#ifndef TRIES
#define TRIES 5   /* swaps of one committer */
#endif

mtype = { OK, CONFLICT, UNKNOWN, FAILED };

/* HEAD. In a row, `head_at` is the highest number; else it is the etag. */
byte head_owner = 0, head_meta = 0, head_at = 1;
byte versions = 1;
#ifdef ROW
bit row[ROWS];
byte row_owner[ROWS], row_meta[ROWS];
#endif

bit landed[METAS];
bit told_ok[METAS], told_failed[METAS];
byte faults = FAULTS;

typedef delayed { bit used; byte from; byte owner; byte meta; byte on };
delayed slot[SLOTS];

/* What a swap does when it reaches the store; `done` says whether it did. */
inline apply(from_, owner_, meta_, on_, done_) {
#ifdef ROW
  if
  :: row[from_ + 1] -> done_ = 0
  :: else ->
     row[from_ + 1] = 1; row_owner[from_ + 1] = owner_;
     row_meta[from_ + 1] = meta_;
     done_ = 1;
     if
     :: from_ + 1 > head_at ->
        become(owner_, meta_, on_, from_ + 1)
     :: else /* below the highest: nobody looks at it */
     fi
  fi
#else
#ifdef BREAK_IF_MATCH
  if
  :: true ->
#else
  if
  :: from_ != head_at -> done_ = 0
  :: else ->
#endif
     done_ = 1;
     versions++;
     become(owner_, meta_, on_, versions)
  fi
#endif
}

inline become(owner__, meta__, on__, at__) {
  assert(on__ == head_meta);                 /* LOST */
  assert(!told_failed[meta__]);              /* FALSE */
  landed[meta__] = 1;
  head_owner = owner__; head_meta = meta__; head_at = at__
}

inline tell_ok(m_) {
  assert(landed[m_]); told_ok[m_] = 1        /* FALSE */
}

inline tell_failed(m_) {
  assert(!landed[m_]); told_failed[m_] = 1   /* FALSE */
}

/* One attempt: reaches the store now, or later, or not; is answered, or not. */
inline swap(s_from, s_owner, s_meta, s_on) {
  atomic {
    if
    :: apply(s_from, s_owner, s_meta, s_on, done);
       if
       :: done -> answer = OK; got = head_at
       :: !done -> answer = CONFLICT
       fi
    :: faults > 0 -> faults--;
       apply(s_from, s_owner, s_meta, s_on, done); answer = UNKNOWN
    :: faults > 0 && !slot[0].used -> faults--;
       slot[0].used = 1; slot[0].from = s_from; slot[0].owner = s_owner;
       slot[0].meta = s_meta; slot[0].on = s_on; answer = UNKNOWN
    :: faults > 0 && slot[0].used && !slot[1].used -> faults--;
       slot[1].used = 1; slot[1].from = s_from; slot[1].owner = s_owner;
       slot[1].meta = s_meta; slot[1].on = s_on; answer = UNKNOWN
    :: faults > 0 -> faults--; answer = FAILED
    fi;
    done = 0
  };
#ifdef ROW
#ifndef BREAK_LIST
  /* The create counts only if the row has not gone on. */
  atomic {
    if
    :: answer == OK && head_at > s_from + 1 -> answer = CONFLICT
    :: else
    fi
  };
#endif
  atomic {
    if
    :: answer == OK -> got = s_from + 1; trim(s_from + 1)
    :: else
    fi
  }
#endif
}

#ifdef ROW
inline trim(number) {
  n = 1;
  do
#ifdef BREAK_TRIM
  :: n <= number ->
#else
  :: n < number ->
#endif
     row[n] = 0; row_owner[n] = 0; row_meta[n] = 0; n++
  :: else -> break
  od;
#ifdef BREAK_TRIM
  /* What is the highest now? */
  n = ROWS - 1;
  do
  :: n > 0 && !row[n] -> n--
  :: else -> break
  od;
  head_at = n;
#endif
  n = 0
}
#endif

inline look() {
  atomic { seen_owner = head_owner; seen_meta = head_meta; seen_at = head_at }
}

/* What is not needed any more would only make states differ. */
inline forget() {
  answer = 0; got = 0; seen_owner = 0; seen_meta = 0; seen_at = 0
}

/* HEAD is mine and is `seen`: what landed has, the others never will. */
inline adopt() {
  atomic {
    m = first;
    do
    :: m < first + 2 ->
       if
       :: open[m - first] && m == seen_meta -> tell_ok(m)
       :: open[m - first] && m != seen_meta -> tell_failed(m)
       :: else
       fi;
       open[m - first] = 0; m++
    :: else -> break
    od;
    m = 0;
    base_meta = seen_meta; base_at = seen_at; change = 0;
    forget()
  }
}

proctype committer(byte me) {
  byte base_meta, base_at, change, first = me * 2 - 1, made, tries, m, n;
  byte seen_owner, seen_meta, seen_at, got;
  bit done, open[2], uncertain[2];
  mtype answer;

  /* Take-over. */
  look();
  do
  :: tries == 3 -> goto end
  :: tries < 3 ->
     tries++;
     base_meta = seen_meta;
     swap(seen_at, me, base_meta, base_meta);
     if
     :: answer == FAILED -> goto end
     :: else
     fi;
#ifdef BREAK_TAKE
     m = seen_meta;
#endif
     look();
     if
     :: seen_owner == me -> break
     :: else
     fi;
#ifdef BREAK_TAKE
     seen_meta = m; m = 0
#endif
  od;
  base_meta = seen_meta; base_at = seen_at; tries = 0;
  forget();

  /* Commits. `open`: its _metadata is written and its fate not known. */
  do
  :: change == 0 && made == 2 -> break
  :: tries == TRIES -> break
  :: change == 0 && made < 2 && tries < TRIES ->
     change = first + made; made++;
     open[change - first] = 1
  :: change != 0 && made < 2 && uncertain[change - first] && tries < TRIES ->
     /* The caller gives it up and goes on with the next; HEAD is read first. */
     look();
     if
     :: seen_owner != me -> goto end
     :: seen_owner == me && seen_meta != base_meta -> adopt()
     :: else
#ifdef BREAK_EXCLUDE
        atomic { tell_failed(change) };
#endif
     fi;
     change = first + made; made++;
     open[change - first] = 1;
     forget()
  :: change != 0 && tries < TRIES ->
     tries++;
#ifdef BREAK_EARLY
     atomic { tell_ok(change) };
#endif
     swap(base_at, me, change, base_meta);
     if
     :: answer == OK ->
        seen_meta = change; seen_at = got; /* the answer has the etag */
        adopt()
     :: answer == FAILED ->
        if
        :: !uncertain[change - first] ->
           atomic { tell_failed(change); open[change - first] = 0; change = 0 }
        :: else
        fi
     :: answer == UNKNOWN || answer == CONFLICT ->
        uncertain[change - first] = 1;
#ifdef BREAK_UNKNOWN
        atomic { tell_failed(change) };
#endif
#ifdef BREAK_CONFLICT
        if
        :: answer == CONFLICT -> atomic { tell_failed(change) }
        :: else
        fi;
#endif
        look();
        if
        :: seen_owner != me -> goto end /* fenced */
        :: seen_owner == me && seen_meta != base_meta ->
#ifdef BREAK_REBUILD
           if
           :: seen_meta != change -> base_at = seen_at
           :: else -> adopt()
           fi
#else
           adopt()
#endif
        :: else
#ifdef BREAK_ABSENT
           atomic { tell_failed(change) };
#endif
           forget()
        fi
     fi
  od;
end:
  skip
}

/* Writes that were on their way arrive, or never do. */
active proctype network() {
  bit done;

  do
  :: atomic { slot[0].used ->
       apply(slot[0].from, slot[0].owner, slot[0].meta, slot[0].on, done);
       slot[0].used = 0; slot[0].from = 0; slot[0].owner = 0;
       slot[0].meta = 0; slot[0].on = 0; done = 0 }
  :: atomic { slot[1].used ->
       apply(slot[1].from, slot[1].owner, slot[1].meta, slot[1].on, done);
       slot[1].used = 0; slot[1].from = 0; slot[1].owner = 0;
       slot[1].meta = 0; slot[1].on = 0; done = 0 }
  :: timeout -> break
  od
}

init {
  atomic {
#ifdef ROW
    row[1] = 1;
#endif
    landed[0] = 1;
    run committer(1);
    run committer(2)
  }
}
