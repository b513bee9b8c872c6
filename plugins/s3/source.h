/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources of credentials: what a provider asks when it needs new ones. One
 * file each; a source is asked by one thread at a time, on a task that may
 * block, and stops early when `stopping` is set.
 *
 * A fetch says SB_NOT_FOUND when the source is not set up here, SB_CONFIG when
 * it is set up wrongly, SB_DENIED when it was refused, SB_CORRUPT when the
 * answer makes no sense and SB_UNAVAILABLE when asking again may help.
 */
#ifndef PLUGINS_S3_SOURCE_H
#define PLUGINS_S3_SOURCE_H

#include <stdatomic.h>

#include "plugins/s3/buf.h"
#include "plugins/s3/credentials.h"

/* What a fetch has at hand. */
typedef struct s3_fetch {
  const sb_host *host;
  const s3_settings *settings;
  sb_event *wake;          /* set when `stopping` is */
  atomic_int stopping;
  int rejected;            /* the server has refused the last ones */
} s3_fetch;

typedef struct s3_source s3_source;
struct s3_source {
  const sb_host *host;
  const char *name;        /* a literal; may change with a fetch */
  int renewable;           /* another fetch can give something else */
  sb_status (*fetch)(s3_source *source, s3_fetch *fetch, s3_credentials **out,
                     sb_error *err);
  void (*close)(s3_source *source);
};

/* The source that "<prefix>" names, as aws.credentials.provider does; prefix
   is that key or the one of a role's own provider. `level` counts roles. */
sb_status s3_source_open(const s3_settings *settings, const char *prefix,
                         int level, s3_source **out, sb_error *err);
void s3_source_close(s3_source *source); /* NULL: nothing */

/* A zeroed source of `size` bytes, closed by s3_free alone unless changed. */
void *s3_source_new(const sb_host *host, size_t size, const char *name,
                    sb_status (*fetch)(s3_source *, s3_fetch *,
                                       s3_credentials **, sb_error *));

/* The openers. Texts of the configuration live as long as the settings. */
sb_status s3_static_open(const s3_settings *settings, const char *prefix,
                         s3_source **out, sb_error *err);
sb_status s3_properties_open(const s3_settings *settings, s3_source **out,
                             sb_error *err);
sb_status s3_environment_open(const s3_settings *settings, s3_source **out,
                              sb_error *err);
/* path, name: NULL for the usual ones. */
sb_status s3_profile_open(const s3_settings *settings, const char *path,
                          const char *name, s3_source **out, sb_error *err);
sb_status s3_role_open(const s3_settings *settings, const char *prefix,
                       int level, s3_source **out, sb_error *err);
/* prefix NULL: from the environment alone. */
sb_status s3_web_identity_open(const s3_settings *settings, const char *prefix,
                               s3_source **out, sb_error *err);
sb_status s3_container_open(const s3_settings *settings, s3_source **out,
                            sb_error *err);
sb_status s3_imds_open(const s3_settings *settings, s3_source **out,
                       sb_error *err);
sb_status s3_custom_open(const s3_settings *settings, const char *name,
                         s3_source **out, sb_error *err);
sb_status s3_chain_open(const s3_settings *settings, s3_source **out,
                        sb_error *err);

/* ---- what sources are made of ------------------------------------------- */

/* Checks the texts (what could break a header is refused) and makes a
   snapshot. `token` NULL or "": none. `what` names the source in errors. */
sb_status s3_fetched(const sb_host *host, const char *what, const char *access,
                     const char *secret, const char *token,
                     uint64_t expires_ms, s3_credentials **out, sb_error *err);

sb_status s3_environment_fetch(s3_fetch *fetch, s3_credentials **out,
                               sb_error *err);
sb_status s3_container_fetch(s3_fetch *fetch, s3_credentials **out,
                             sb_error *err);
sb_status s3_process_fetch(s3_fetch *fetch, const char *command,
                           s3_credentials **out, sb_error *err);

typedef struct s3_sso {
  const char *session;     /* name of the sso-session; NULL: an old profile */
  const char *start_url, *region, *account, *role;
  const char *endpoint;    /* NULL: Amazon's */
} s3_sso;
sb_status s3_sso_fetch(s3_fetch *fetch, const s3_sso *sso,
                       s3_credentials **out, sb_error *err);

typedef struct s3_role {
  const char *arn;
  const char *session;     /* NULL: one is made up */
  const char *external_id; /* NULL: none */
  const char *token_file;  /* of a web identity */
  const char *region;      /* NULL: of the settings or the environment */
  const char *endpoint;    /* NULL: of the settings or the environment */
  uint64_t duration_s;     /* 0: of the settings */
} s3_role;
sb_status s3_sts_assume(s3_fetch *fetch, const s3_role *role,
                        const s3_credentials *by, s3_credentials **out,
                        sb_error *err);
sb_status s3_sts_web_identity(s3_fetch *fetch, const s3_role *role,
                              s3_credentials **out, sb_error *err);

/* The token and the last credentials of the instance's metadata service. */
typedef struct s3_imds {
  const sb_host *host;
  s3_buf token;
  uint64_t token_until_ns;
  s3_credentials *last;
} s3_imds;
sb_status s3_imds_fetch(s3_imds *imds, s3_fetch *fetch, s3_credentials **out,
                        sb_error *err);
void s3_imds_clear(s3_imds *imds);

/* ---- helpers ------------------------------------------------------------ */

/* The variable, NULL if it is not set or empty. */
const char *s3_environment(const char *name);
/* "<prefix><suffix>" of the configuration; NULL if not set or empty. */
const char *s3_source_setting(const s3_settings *settings, const char *prefix,
                              const char *suffix);
/* Adds the path, with a leading "~/" as the home directory. */
void s3_source_path(s3_buf *out, const char *path);
/* A small file, whole. SB_NOT_FOUND, SB_DENIED, SB_TOO_LARGE, SB_IO; `what`
   comes before the path in the error. */
sb_status s3_source_file(const sb_host *host, const char *what,
                         const char *path, size_t max, s3_buf *out,
                         sb_error *err);
/* The same for a token: one line without white space at its ends. */
sb_status s3_source_token(const sb_host *host, const char *what,
                          const char *path, s3_buf *out, sb_error *err);
/* Writes over the bytes and frees them. */
void s3_source_wipe(s3_buf *buf);
/* Stars out what of `secret` stands in the message. NULL: nothing. */
void s3_source_mask(sb_error *err, const char *secret);
/* Sleeps; returns 1 if it is to stop. */
int s3_fetch_sleep(s3_fetch *fetch, uint64_t ms);
sb_status s3_source_no_memory(sb_error *err);

/* Credentials in JSON. Names are those of the members. */
typedef struct s3_json_names {
  const char *object;      /* member that holds them; NULL: the root */
  const char *access, *secret, *token, *expires;
  int numeric;             /* the end is a number of milliseconds */
  int version;             /* "Version" must be 1 */
} s3_json_names;
sb_status s3_source_json(const sb_host *host, const char *what,
                         const char *data, size_t len,
                         const s3_json_names *names, s3_credentials **out,
                         sb_error *err);
/* The text of one member of the root into out, wiped in between. */
sb_status s3_json_member(const char *data, size_t len, const char *name,
                         char *out, size_t size);

/* ---- HTTP --------------------------------------------------------------- */

#define S3_HTTP_ANSWER_MAX 65536u

typedef struct s3_http {
  const char *what;        /* for errors: "the token service" */
  const char *method;      /* "GET", "PUT", "POST" */
  const char *url;
  const char *headers[8];  /* "name: value"; NULL ends them */
  const char *body;        /* NULL: none */
  int direct;              /* never by a proxy */
  uint32_t attempts;
  uint32_t total_ms;       /* of an attempt; 0: five seconds */
  sb_status unreachable;   /* when nothing listens; 0: SB_UNAVAILABLE */
} s3_http;

/* Blocks. Answers of 5xx and 429, and lost ones, are asked for again. The
   answer's status and body (free it, it is limited) whatever the status. */
sb_status s3_http_do(s3_fetch *fetch, const s3_http *request, long *status,
                     s3_buf *body, sb_error *err);
/* "could not ... : HTTP 403": what a status that is no 200 comes to. */
sb_status s3_http_refused(const s3_http *request, long status, sb_error *err);

#endif
