/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots of credentials; see credentials.h. */
#include "config.h"

#include "plugins/s3/buf.h"
#include "plugins/s3/credentials.h"

static void
credentials_free(s3_credentials *c)
{
  const sb_host *host = c->host;

  s3_free_secret(host, c->access_key);
  s3_free_secret(host, c->secret_key);
  s3_free_secret(host, c->session_token);
  s3_free(host, c);
}

s3_credentials *
s3_credentials_new(const sb_host *host, const char *access, const char *secret,
                   const char *token, uint64_t expires_ms)
{
  s3_credentials *c = s3_alloc(host, sizeof *c);

  if (c == NULL)
    return NULL;
  atomic_init(&c->references, 1);
  c->host = host;
  c->expires_ms = expires_ms;
  c->obtained_ms = host->clock_ms(host);
  c->access_key = s3_strdup(host, access);
  c->secret_key = s3_strdup(host, secret);
  if (token != NULL)
    c->session_token = s3_strdup(host, token);
  if (c->access_key == NULL || c->secret_key == NULL ||
      (token != NULL && c->session_token == NULL)) {
    credentials_free(c);
    return NULL;
  }
  return c;
}

s3_credentials *
s3_credentials_ref(s3_credentials *c)
{
  (void)atomic_fetch_add_explicit(&c->references, 1, memory_order_relaxed);
  return c;
}

void
s3_credentials_unref(s3_credentials *c)
{
  if (c != NULL && atomic_fetch_sub_explicit(&c->references, 1,
                                             memory_order_acq_rel) == 1)
    credentials_free(c);
}
