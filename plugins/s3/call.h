/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_call: one S3 request, made until it is decided. Each attempt waits for
 * its turn, takes the newest credentials and the corrected clock, is signed,
 * sent and classified; then it is done, or tried again after a wait. The
 * deadline includes queueing and waits. Network thread only.
 *
 * An operation embeds its calls, zeroes and fills them, starts them, and gets
 * `done` once for each, never inside s3_call_start.
 */
#ifndef PLUGINS_S3_CALL_H
#define PLUGINS_S3_CALL_H

#include "plugins/s3/digest.h"
#include "plugins/s3/s3.h"
#include "plugins/s3/sign.h"
#include "plugins/s3/xml.h"

/* What a request is; names in metrics. */
typedef enum s3_kind {
  S3_KIND_GET, S3_KIND_HEAD, S3_KIND_PUT, S3_KIND_LIST, S3_KIND_DELETE,
  S3_KIND_DELETE_BATCH, S3_KIND_COPY, S3_KIND_UPLOAD_CREATE,
  S3_KIND_UPLOAD_PART, S3_KIND_UPLOAD_PART_COPY, S3_KIND_UPLOAD_COMPLETE,
  S3_KIND_UPLOAD_ABORT, S3_KIND_UPLOAD_LIST, S3_KIND_BUCKET, S3_KINDS
} s3_kind;
extern const char *const s3_kind_names[S3_KINDS]; /* "get", "upload_part" */

#define S3_CALL_WRITE 1u     /* changes the store: an attempt whose answer was
                                lost leaves the outcome unknown */
#define S3_CALL_TEXT 2u      /* keep the body of a 2xx answer in `text` */
#define S3_CALL_OK_ERROR 4u  /* a 200 may hold <Error>: look (needs TEXT) */
#define S3_CALL_CHECKSUM 8u  /* send a checksum of the body, as settings say */
#define S3_CALL_MD5 16u      /* send Content-MD5 whatever the settings say */
#define S3_CALL_OBJECT 32u   /* creates an object: send the headers that the
                                settings ask for (encryption, class, acl,
                                tags) */
#define S3_CALL_CUSTOMER_KEY 64u /* reads or adds to an object: send SSE-C's */
#define S3_CALL_NO_BUCKET_RETRY 128u /* decided by the first answer: open
                                checks; no retries but for fixable causes */

#define S3_CALL_TEXT_MAX (16u << 20)  /* bytes of an XML answer */
#define S3_CALL_ERROR_MAX (64u << 10) /* bytes of an error's body kept */
#define S3_CALL_HEADERS 24u

/* Headers of the last answer; "" or 0 if absent. */
typedef struct s3_answer {
  int http;                  /* status code, 0: no answer */
  char etag[SB_ETAG_MAX + 1];
  uint64_t length;           /* content-length; UINT64_MAX unknown */
  uint64_t total;            /* size in content-range; UINT64_MAX unknown */
  uint64_t range_start;      /* of content-range; UINT64_MAX unknown */
  char crc32c[16];           /* x-amz-checksum-crc32c */
  char checksum_type[16];    /* FULL_OBJECT, COMPOSITE */
  char region[64];           /* x-amz-bucket-region */
  char request_id[64], host_id[128];
  char location[256];
  char server[64];
  char sse[32];              /* x-amz-server-side-encryption, or its customer
                                algorithm */
  uint64_t date_ms;          /* date */
  uint64_t modified_ms;      /* last-modified */
  uint64_t retry_after_ms;   /* retry-after, x-amz-retry-after */
  int chunked;               /* transfer-encoding */
  s3_buf meta;               /* "key\0value\0..." of x-amz-meta-*, lower case */
} s3_answer;

typedef struct s3_timer s3_timer;

struct s3_call {
  /* ---- filled before s3_call_start; kept until done ---- */
  s3_op *op;                 /* whose deadline and priority count */
  s3_kind kind;
  uint32_t flags;
  const char *method;        /* "GET" */
  const char *key;           /* object's name, not encoded; NULL: the bucket */
  const char *query;         /* encoded: "list-type=2&prefix=a%2F"; NULL none */
  s3_header headers[S3_CALL_HEADERS]; /* more than the flags ask for */
  size_t header_count;
  s3_body body;              /* sent; length 0: none */
  void *buffer;              /* a 2xx answer's body goes here: GET */
  uint64_t buffer_size;
  uint64_t skip;             /* a 200 to a ranged GET: bytes to leave out */
  uint64_t deadline_ns;      /* 0: the op's */
  void (*done)(s3_call *call);
  void *arg;

  /* ---- valid in done ---- */
  sb_status status;          /* mapped: 404 SB_NOT_FOUND, 412 SB_CONFLICT, 403
                                SB_DENIED, ...; a WRITE whose outcome is not
                                known: SB_UNKNOWN */
  sb_error error;            /* names the object, the deed and the reason */
  char code[64];             /* S3's error code, "" none */
  uint64_t received;         /* bytes put into `buffer` */
  s3_answer answer;
  s3_buf text;               /* of S3_CALL_TEXT */
  uint32_t attempts;
  int ambiguous;             /* an attempt's answer was lost, or curl may have
                                sent it twice */

  /* ---- call.c's ---- */
  struct s3_exchange *exchange; /* while one is under way */
  s3_timer *timer;           /* while it waits to try again */
  s3_call *next, *previous;  /* in op->calls */
  s3_call *queue_next, *queue_previous;
  s3_call *all_next, *all_previous; /* in net->calls */
  int queued, ended;
  int hashing;               /* on another thread; it cannot end meanwhile */
  int hash_payload, hash_checksum; /* what is wanted: 1, an s3_checksum */
  int hash_failed;
  int hashed;                /* the two below are filled */
  char payload[S3_SHA256_HEX];
  char checksum[S3_MD5_BASE64];
  uint64_t started_ns;
  int fixed;                 /* causes already cured once, bits */
};

/* Adds a header; the strings are kept by the caller until done. */
void s3_call_header(s3_call *call, const char *name, const char *value);
void s3_call_start(s3_call *call);
/* Ends it soon, with SB_CANCELLED or its real outcome, in done. */
void s3_call_cancel(s3_call *call);
/* Frees what an ended call holds (text, meta). Also of a zeroed one. */
void s3_call_dispose(s3_call *call);

/* Runs fn(arg) on the network thread after `delay_ms`. NULL: out of memory. */
s3_timer *s3_timer_start(s3_net *net, uint64_t delay_ms, void (*fn)(void *arg),
                         void *arg);
void s3_timer_stop(s3_net *net, s3_timer *timer);

#endif
