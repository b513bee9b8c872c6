/* SPDX-License-Identifier: Apache-2.0 */
/*
 * envelope: what manifests, _metadata, HEADs and pins have in common: a magic
 * number, a version, the whole length and a CRC-32C at the end.
 *
 *   4 magic | 2 version | 2 zero | 8 whole length | body | 4 CRC-32C of all
 *   before
 *
 * Strings in a body are varint length, bytes, NUL, so that a reader can lend
 * them as C strings.
 */
#ifndef SB_ENGINE_ENVELOPE_H
#define SB_ENGINE_ENVELOPE_H

#include "host/base/buf.h"

#define ENVELOPE_LEN 20u /* of an empty body */

/* Returns the position that envelope_end needs. */
size_t envelope_begin(buf *b, const char magic[4], uint16_t version);
void envelope_end(buf *b, size_t start);

/* Checks everything but the body, which *body then reads. `what` is the noun
   in messages, such as "manifest". SB_CORRUPT, or SB_UNSUPPORTED for another
   version. */
sb_status envelope_open(const void *data, size_t len, const char magic[4],
                        uint16_t version, const char *what, reader *body,
                        sb_error *err);

void envelope_add_str(buf *b, const char *s);
/* Borrowed from the bytes read; "" and r->bad for what is no string of at most
   `max` bytes. */
const char *envelope_str(reader *r, size_t max);
/* A varint that fits; else 0 and r->bad. */
uint32_t envelope_u32(reader *r);
/* A count of things that take at least `least` bytes each, so that what is
   allocated for them is bounded by what was read. */
size_t envelope_count(reader *r, size_t least);

#endif
