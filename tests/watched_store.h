/* SPDX-License-Identifier: Apache-2.0 */
/* The backend's store with its changes watched: the n-th one fails, removals
   fail or wait, it cannot copy. */
#ifndef TESTS_WATCHED_STORE_H
#define TESTS_WATCHED_STORE_H

#define STORE_FAIL_BEFORE 1 /* no effect */
#define STORE_FAIL_AFTER 2  /* the effect is there, its answer is lost */

/* From now on the backend's store looks at its changes: puts, streams, copies,
   removals. The `nth` from now fails in that way; 0: none. */
void store_watch(void);
void store_fail(long nth, int mode);
void store_fail_removes(int on);
/* Removals wait until it is said that they need not. */
void store_hold_removes(int on);
/* How many came while they had to. */
unsigned store_held_removes(void);
/* Listings fail. */
void store_fail_lists(int on);
/* It says that it cannot copy; on = 2: only when it is asked to. */
void store_cannot_copy(int on);
/* Was the failure that store_fail set reached? */
int store_failed(void);
unsigned store_copies(void);

#endif
