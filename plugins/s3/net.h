/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_net: the one network thread of a store. It runs operations that other
 * threads submit, timers, and exchanges: HTTP requests on libcurl handles that
 * are kept, with their connections, from request to request. Calls wait in
 * queues by priority until an exchange is free and the limits (connections,
 * requests and bytes a second) let them go.
 */
#ifndef PLUGINS_S3_NET_H
#define PLUGINS_S3_NET_H

#include <curl/curl.h>

#include "plugins/s3/call.h"

#define S3_QUEUES 4u          /* commit, read, checkpoint, background */
#define S3_EXCHANGE_HEADERS 48u
#define S3_TICK_MS 250u       /* how often deadlines and stalls are looked at */

/* Why a transfer was ended from our side. */
typedef enum s3_stop {
  S3_STOP_NONE,
  S3_STOP_CANCELLED,
  S3_STOP_DEADLINE,
  S3_STOP_FIRST_BYTE,  /* no answer in time */
  S3_STOP_STALL,       /* stood still */
  S3_STOP_HEADERS,     /* endless headers */
  S3_STOP_BODY,        /* a longer body than was asked for */
  S3_STOP_RANGE,       /* the range was ignored and starts too far in */
  S3_STOP_MEMORY
} s3_stop;

/* One HTTP request on a handle of its own; reused when it is over. */
typedef struct s3_exchange {
  struct s3_exchange *next, *previous; /* in the net's active or idle list */
  s3_net *net;
  s3_call *call;
  CURL *easy;
  char error[CURL_ERROR_SIZE];
  CURLcode code;
  s3_buf url, path, lines, gathered;
  s3_buf error_text;         /* the body of an answer that is no 2xx */
  size_t line_at[S3_EXCHANGE_HEADERS], line_count;
  struct curl_slist nodes[S3_EXCHANGE_HEADERS];
  s3_credentials *credentials;
  char region[64];           /* signed for */
  uint64_t started_ns, first_byte_ns, progress_ns;
  uint64_t window_ns, window_bytes; /* of the stall watch */
  uint64_t sent, received, header_bytes;
  uint64_t skip;             /* bytes to leave out yet */
  s3_stop stop;
  const char *method;        /* of the request before; a literal */
  int unsent;                /* bytes in the socket when last looked at */
  int streaming;             /* the body goes through exchange_read */
  int began;                 /* bytes of a good answer have come */
  int complete;              /* all was there before the answer's end */
  int head_done;             /* the answer's headers came to their end */
  int sends;                 /* libcurl sends again if a kept connection was
                                dead */
} s3_exchange;

typedef struct s3_rate {
  uint64_t per_second;       /* 0: no limit */
  double tokens;             /* may be negative: a debt */
  uint64_t at_ns;
} s3_rate;

struct s3_net {
  s3_store *store;
  const sb_host *host;
  const s3_settings *settings;
  CURLM *multi;
  int epoll, wake;           /* descriptors: of sockets, and of wake-ups */
  uint64_t curl_due_ns;      /* when libcurl wants to be called; 0: not */
  uint64_t now_ns;           /* of this turn of the loop */
  uint8_t *watched;          /* by descriptor, of connections: what epoll
                                watches, and NET_CONNECTION */
  size_t watched_size;
  pthread_t thread;
  int thread_runs;
  s3_signer *signer;
  s3_signature signature;    /* scratch */

  pthread_mutex_t lock;      /* guards the inbox, for a few instructions */
  s3_op *inbox_first, *inbox_last;
  int stop;
  int credentials_came;      /* with the one below */
  sb_error credentials_error;
  int cancel_asked;
  s3_call *hashed_first;     /* their digests are there */
  atomic_int awake;          /* 1: no wake-up needed */

  /* ---- the network thread's ---- */
  s3_timer **timers;         /* a heap by time */
  size_t timer_count, timer_size;
  s3_exchange *active, *idle;
  s3_call *queue_first[S3_QUEUES], *queue_last[S3_QUEUES];
  s3_call *calls;            /* started and not done */
  s3_call *ended_first, *ended_last; /* done is due */
  uint32_t active_count, queued_count, exchange_count;
  uint32_t active_in[S3_QUEUES];
  uint32_t turns;            /* attempts let go: queue.c */
  uint32_t call_count;       /* started and not done */
  double limit;              /* of exchanges under way; lowered by throttling */
  uint64_t throttled_ns;     /* when it was lowered last */
  double retry_tokens;
  s3_rate requests, upload, download;
  s3_timer *rate_timer, *tick_timer;
  int asking_credentials;
  sb_error no_credentials;   /* why there were none last time; SB_OK: some */
};

s3_net *s3_net_open(s3_store *store, sb_error *err);
void s3_net_close(s3_net *net);   /* all operations must have ended */
void s3_net_wake(s3_net *net);    /* any thread */
/* A connection's descriptor came to be, or will be closed. */
void s3_net_socket_opened(s3_net *net, int fd);
void s3_net_socket_closed(s3_net *net, int fd);
void s3_net_submit(s3_net *net, s3_op *op); /* any thread */
/* A line in the host's log, under the plugin's name. */
void s3_net_log(s3_net *net, uint32_t level, const char *text);
void s3_net_cancel(s3_net *net);  /* any thread: an op wants to be cancelled */

/* queue.c: who goes when. */
void s3_queue_add(s3_net *net, s3_call *call);
void s3_queue_remove(s3_net *net, s3_call *call);
void s3_queue_run(s3_net *net);   /* starts what may go */
void s3_queue_throttled(s3_net *net);
void s3_queue_succeeded(s3_net *net);
/* 1 if a retry may be made (token bucket, if there is one). */
int s3_queue_retry(s3_net *net, int throttled);
unsigned s3_queue_of(const s3_call *call);
void s3_rate_spend(s3_rate *rate, uint64_t amount);

/* exchange.c: one request. */
s3_exchange *s3_exchange_take(s3_net *net);   /* NULL: out of memory */
void s3_exchange_give(s3_exchange *x);
/* Sets the handle up with url, lines and the call's body, and starts it. -1:
   out of memory. */
int s3_exchange_start(s3_exchange *x);
void s3_exchange_line(s3_exchange *x, const char *name, const char *value);
/* Takes it off the network, as stopped for `why`. */
void s3_exchange_abort(s3_exchange *x, s3_stop why);
/* Looks at time limits; why it has to be stopped, or S3_STOP_NONE. */
s3_stop s3_exchange_watch(s3_exchange *x, uint64_t now_ns);
void s3_exchange_close_idle(s3_net *net);

/* answer.c: headers of an answer. */
void s3_answer_reset(s3_answer *answer);
void s3_answer_line(s3_answer *answer, const char *line, size_t len);

/* call.c */
int s3_call_attempt(s3_call *call);  /* from the queue: 0, or -1: not started */
void s3_call_finished(s3_exchange *x); /* an exchange is over */
void s3_call_end(s3_call *call, sb_status status); /* error is filled */
void s3_call_hashed(s3_call *call);  /* its digests are there */
void s3_calls_ended(s3_net *net);    /* calls `done` of those that are over */
void s3_calls_tick(s3_net *net);     /* deadlines of calls that wait */
void s3_calls_no_credentials(s3_net *net, const sb_error *error);

#endif
