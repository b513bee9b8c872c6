/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials and where they come from. Credentials are an immutable,
 * counted snapshot; a provider keeps the newest one, refreshes it in the
 * background before it expires, one refresh at a time for all who ask, and
 * goes on with the old one while it is still good and refreshing fails.
 *
 * Threads: all from any thread. No function but s3_provider_stop and
 * s3_provider_close blocks.
 */
#ifndef PLUGINS_S3_CREDENTIALS_H
#define PLUGINS_S3_CREDENTIALS_H

#include <stdatomic.h>

#include "plugins/s3/settings.h"

typedef struct s3_credentials {
  atomic_uint references;
  const sb_host *host;
  uint64_t serial;        /* another one for every snapshot of a provider */
  char *access_key, *secret_key;
  char *session_token;    /* NULL: none */
  uint64_t expires_ms;    /* wall clock; 0: never */
  uint64_t obtained_ms;
} s3_credentials;

/* Copies the texts; one reference. NULL when out of memory. */
s3_credentials *s3_credentials_new(const sb_host *host, const char *access,
                                   const char *secret, const char *token,
                                   uint64_t expires_ms);
s3_credentials *s3_credentials_ref(s3_credentials *c);
void s3_credentials_unref(s3_credentials *c); /* NULL: nothing; wipes */

typedef struct s3_provider s3_provider;

/* The provider that the configuration names. Fetches nothing yet. SB_CONFIG
   if something it needs is missing. */
sb_status s3_provider_open(const s3_settings *settings, s3_provider **out,
                           sb_error *err);

/* Stops it; nobody may use it any more. */
void s3_provider_close(s3_provider *provider); /* NULL: nothing */

/* Ends a refresh that runs and waits for that: then everybody who waited for
   credentials has been told, and s3_provider_get gives what is good already or
   calls `done` with SB_CANCELLED before it returns. */
void s3_provider_stop(s3_provider *provider);

/* What has come of a request for credentials: a reference, or NULL with the
   reason: SB_UNAVAILABLE (asking again later may help; it was tried for some
   seconds), SB_DENIED, SB_CONFIG, SB_NO_MEMORY or SB_CANCELLED. May be called
   on any thread and before s3_provider_get returns. */
typedef void s3_provider_done(void *arg, s3_credentials *credentials,
                              const sb_error *error);

/* Good credentials at once if there are any (then `done` is not called and
   *out is a reference), else `done` is called later, exactly once, and *out is
   NULL. Starts a background refresh when the end is near. */
void s3_provider_get(s3_provider *provider, s3_provider_done *done, void *arg,
                     s3_credentials **out);

/* The server said that these are expired or unknown: if they are still the
   newest, the next s3_provider_get waits for new ones. 1 if new ones can be
   hoped for, 0 if the provider has nothing else to give. */
int s3_provider_reject(s3_provider *provider, const s3_credentials *c);

/* "BASIC", "AUTO: instance metadata"; for messages and metrics. */
const char *s3_provider_name(s3_provider *provider);

/* Called after each refresh, on the task that made it: the new credentials'
   times, or failed = 1 with those of the old ones (0 if there are none). Set
   it before the first s3_provider_get. */
typedef void s3_provider_watch_fn(void *arg, uint64_t obtained_ms,
                                  uint64_t expires_ms, int failed);
void s3_provider_watch(s3_provider *provider, s3_provider_watch_fn *fn,
                       void *arg);

/* What CUSTOM takes: an object registered with the host under the name in
   custom.class, or what the function "sb_s3_credentials" of a shared object
   returns: see <statebackend/credentials.h>. */

#endif
