/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that drive the typed interface share. */
#ifndef SIM_TYPED_H
#define SIM_TYPED_H

#include "tests/simulator/life.h"

#define TYPED_SOME 8        /* of one call */

/* 1 if the place's key and namespace are the current ones. */
int typed_enter(subtask *t, place at);
sb_slice typed_namespace(const space *sp, uint32_t state, uint32_t ns);
sb_slice typed_subkey(const space *sp, uint32_t subkey);
value_ref typed_value(subtask *t, uint32_t state);
/* As the caller of the interface has it; made in `room`. */
sb_slice typed_bytes(value_ref value, void *room);
/* What a write that begins now is stamped with. */
uint64_t typed_stamp(const subtask *t, uint32_t state);
void typed_set(subtask *t, place at, value_ref value, uint64_t stamp);
void typed_wrong(subtask *t, const char *what, place at, sb_status status,
                 sb_slice bytes);
void typed_check(subtask *t, const char *what, place at, sb_status status,
                 sb_slice bytes, uint64_t from_ms);
/* Finds out the stamps of the key and namespace after a call that began when
   they would have been `begin`, and that has `read` the record. */
void typed_settle(subtask *t, place at, uint64_t begin, int read);
/* Of a value, or an entry. */
void typed_update(subtask *t, place at);

/* typed_maps.c, typed_lists.c, typed_folds.c */
void map_write(subtask *t, place at);
void maps_step(subtask *t, place at, uint64_t pick);
void list_write(subtask *t, place at);
void lists_step(subtask *t, place at, uint64_t pick);
/* Replaces the list of a visitor's row. */
void list_visit(subtask *t, place at, sb_visitor *visitor, const sb_row *row);
void fold_spec(subtask *t, uint32_t state, sb_state_spec *spec);
void fold_write(subtask *t, place at);
void folds_step(subtask *t, place at, uint64_t pick);
/* What adding gives, as the functions of the spec do it. */
value_ref fold_added(const subtask *t, place at, value_ref input);
/* What the result function makes of the accumulator: 8 bytes. */
void fold_shown(const subtask *t, place at, uint8_t *result);

#endif
