/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uploads in parts. s3_upload is the protocol: create, parts, complete,
 * abandon; it is an operation, and what uses it (a stream, a transfer) begins
 * with it. s3_transfer drives one for a body of known size, several parts at
 * a time: big puts and big copies.
 */
#ifndef PLUGINS_S3_MULTIPART_H
#define PLUGINS_S3_MULTIPART_H

#include "plugins/s3/condition.h"

#define S3_PART_MAX (5ull << 30)

typedef struct s3_upload s3_upload;

/* One part under way. */
typedef struct s3_part {
  s3_call call;
  s3_upload *upload;
  s3_buf query;
  char range[64];           /* of a copy */
  uint32_t number;          /* from 1 on */
  uint32_t tries;
  int busy;
} s3_part;

/* What the server said of a part that it has. */
typedef struct s3_part_mark {
  char etag[SB_ETAG_MAX + 1]; /* "": not there yet */
  char crc32c[16];
} s3_part_mark;

/* For a failure op.error is filled, unless an earlier one filled it: the owner
   keeps the first in `status` and gives later ones no attention. */
typedef struct s3_upload_events {
  void (*created)(s3_upload *upload, sb_status status);
  void (*sent)(s3_upload *upload, s3_part *part, sb_status status);
  void (*completed)(s3_upload *upload, sb_status status, const char *etag);
} s3_upload_events;

struct s3_upload {
  s3_op op;
  s3_condition condition;
  const s3_upload_events *events;
  int copies;               /* parts come from another object */
  int own_deadline;         /* calls have request-timeout each, not the op's */
  sb_status status;         /* of the first failure */
  uint32_t busy;            /* parts under way */
  int conflict;             /* completing met another writer: do all anew */

  char *id;                 /* encoded; NULL: none */
  s3_call control;
  s3_buf query, text;
  sb_slice slice;
  s3_part_mark *marks;
  uint32_t mark_size, mark_count;
};

void s3_upload_init(s3_upload *upload, const s3_upload_events *events);
void s3_upload_dispose(s3_upload *upload);

void s3_upload_create(s3_upload *upload);
/* Readies `part`, which is zeroed or was disposed of, for the part `number`;
   then call.body, or the headers of a copy, are added, and it is sent. */
void s3_part_prepare(s3_upload *upload, s3_part *part, uint32_t number);
void s3_part_send(s3_part *part);
void s3_part_dispose(s3_part *part);
void s3_upload_complete(s3_upload *upload);
/* Keeps the first failure, with its message. */
void s3_upload_fail(s3_upload *upload, sb_status status,
                    const sb_error *error);

/* Gives the upload up, if there is one, in an operation of its own that
   outlives this one; fn (may be NULL) is called at its end. The upload can be
   created anew afterwards. No parts may be under way. */
typedef void s3_abandoned_fn(void *arg);
void s3_upload_abandon(s3_upload *upload, s3_abandoned_fn *fn, void *arg);

/* The size of a part for a body of `total` bytes. */
uint64_t s3_part_size(const s3_settings *settings, uint64_t total);

/* "abc" where XML gave abc. */
void s3_etag_quote(const char *etag, char out[SB_ETAG_MAX + 1]);

typedef struct s3_transfer s3_transfer;
struct s3_transfer {
  s3_upload upload;
  uint64_t total, part_size;
  void (*fill)(s3_transfer *transfer, s3_part *part, uint64_t offset,
               uint64_t length);
  /* ---- multipart.c's ---- */
  uint64_t next;
  uint32_t next_number, slot_count, restarts;
  s3_part *slots;
  int stepping, created, completing;
};

/* After s3_upload_init with NULL events and the fields above; ends the
   operation, sooner or later. */
void s3_transfer_start(s3_transfer *transfer);
void s3_transfer_dispose(s3_transfer *transfer);

/* A put of any size over 0, in parts. Does all that the method has to. */
sb_status s3_multipart_put_submit(sb_store *base,
                                  const sb_put_request *request, uint64_t *id,
                                  sb_error *err);

#endif
