/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cut: PROTOCOL.md 2, for one key of one handle. A writer changes its
 * value; early flushes and a compaction run beside it; two snapshots begin one
 * after the other, run at the same time, and the first may be cancelled at any
 * point.
 *
 * Checked
 * - what a manifest shows is the value at its snapshot's begin
 * - what the handle reads is the value last written
 *
 * Broken on purpose by -DBREAK_...: CUT (the manifest is what is live when it
 * is written), ORDER (recency is the order of uploads), MIX (a flush writes the
 * newest value under an older epoch), NEXT (the second snapshot leaves to the
 * first what the first has frozen), CANCEL (a cancelled snapshot's records are
 * clean).
 */
#define WRITES 3
#ifndef EARLY
#define EARLY 1   /* early flushes */
#endif
#define SEGMENTS 7

byte cur, epoch = 1, sequence = 1, begun;
byte dirty[4];                 /* value written in an epoch, not in a segment */
byte s_val[SEGMENTS], s_epoch[SEGMENTS], s_seq[SEGMENTS], segments;
byte live, published;          /* masks; published: flushed, not merged */

#define BIT(n_) (1 << (n_))
#define NEWER(a_, b_) (s_epoch[a_] > s_epoch[b_] || \
  (s_epoch[a_] == s_epoch[b_] && s_seq[a_] > s_seq[b_]))

/* The newest segment of a mask: `best`, SEGMENTS if there is none. */
inline newest(mask_) {
  best = SEGMENTS; i = 0;
  do
  :: i < segments ->
     if
     :: (mask_ & BIT(i)) != 0 && best == SEGMENTS -> best = i
     :: (mask_ & BIT(i)) != 0 && best != SEGMENTS ->
        if
        :: NEWER(i, best) -> best = i
        :: else
        fi
     :: else
     fi;
     i++
  :: else -> break
  od;
  i = 0
}

/* A read finds the newest epoch, in memory or in a segment. A frozen record may
   still be dirty when a later one of its key has been flushed. */
inline check_reads() {
  newest(live);
  i = epoch;
  do
  :: i > 0 && dirty[i] == 0 -> i--
  :: else -> break
  od;
  if
  :: i > 0 && (best == SEGMENTS || s_epoch[best] <= i) ->
     assert(dirty[i] == cur)
  :: else -> assert(cur == 0 || (best < SEGMENTS && s_val[best] == cur))
  fi;
  i = 0; best = 0
}

inline take(e_, at_) {
  at_ = segments; segments++;
#ifdef BREAK_MIX
  s_val[at_] = cur;
#else
  s_val[at_] = dirty[e_];
#endif
  s_epoch[at_] = e_; s_seq[at_] = sequence; sequence++
}

inline publish(e_, at_) {
#ifdef BREAK_ORDER
  s_seq[at_] = sequence; sequence++;
#endif
  live = live | BIT(at_); published = published | BIT(at_);
  if
  :: dirty[e_] == s_val[at_] -> dirty[e_] = 0
  :: else
  fi;
  check_reads()
}

active proctype writer() {
  do
  :: atomic { cur < WRITES -> cur++; dirty[epoch] = cur }
  :: cur == WRITES -> break
  od
}

/* Memory is short. */
active [EARLY] proctype early() {
  byte e, at, i, best;

  do
  :: atomic { dirty[epoch] != 0 && segments < SEGMENTS - 3 ->
       e = epoch; take(e, at) };
     atomic { publish(e, at) };
     break
  :: timeout -> break
  od
}

active proctype compaction() {
  byte inputs, at, i, best;

  do
  :: atomic { (live & (live - 1)) != 0 && segments < SEGMENTS ->
       inputs = live; newest(inputs); at = segments; segments++;
       s_val[at] = s_val[best]; s_epoch[at] = s_epoch[best];
       s_seq[at] = s_seq[best]; best = 0 };
     atomic {
#ifdef BREAK_ORDER
       s_seq[at] = sequence; sequence++;
#endif
       live = (live & ~inputs) | BIT(at); check_reads() };
     break
  :: timeout -> break
  od
}

proctype snapshot(byte n) {
  byte frozen, last, truth, e, at, i, best, mask;

  atomic { begun == n - 1 ->
    begun = n; frozen = live; last = epoch; epoch++; truth = cur };
  e = 1;
#ifdef BREAK_NEXT
  e = last; /* older ones are the first snapshot's */
#endif
  do
  :: n == 1 -> /* cancelled */
#ifdef BREAK_CANCEL
     atomic { dirty[last] = 0; check_reads() };
#endif
     goto end
  :: atomic { e <= last && dirty[e] != 0 && segments < SEGMENTS ->
       take(e, at) };
     atomic { publish(e, at); at = 0 }
  :: atomic { e <= last && dirty[e] == 0 -> e++ }
  :: e > last -> break
  :: e <= last && dirty[e] != 0 && segments == SEGMENTS -> goto end
  od;
  atomic {
#ifdef BREAK_CUT
    mask = live;
#else
    i = 0; mask = frozen;
    do
    :: i < segments ->
       if
       :: (published & BIT(i)) != 0 && s_epoch[i] <= last ->
          mask = mask | BIT(i)
       :: else
       fi;
       i++
    :: else -> break
    od;
#endif
    newest(mask);
    assert(truth == 0 || (best < SEGMENTS && s_val[best] == truth))
  };
end:
  skip
}

init {
  atomic { run snapshot(1); run snapshot(2) }
}
