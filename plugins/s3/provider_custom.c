/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CUSTOM: a provider of the program's, registered with the host, or one in a
 * shared object; see <statebackend/credentials.h>.
 */
#include "config.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>
#include <statebackend/credentials.h>
#include <statebackend/plugin.h>

#include "plugins/s3/source.h"

#define CUSTOM_KEY "aws.credentials.provider.custom.class"

typedef struct custom_source {
  s3_source base;
  const sb_credentials_provider *provider;
} custom_source;

typedef struct custom_reply {
  sb_credentials_reply base;
  const sb_host *host;
  s3_credentials *got;
} custom_reply;

static sb_status
custom_set(sb_credentials_reply *reply, const char *access, const char *secret,
           const char *token, uint64_t expires_ms)
{
  custom_reply *r = (custom_reply *)reply;
  s3_credentials *got;
  sb_status status = s3_fetched(r->host, "the custom provider", access, secret,
                                token, expires_ms, &got, NULL);

  if (status != SB_OK)
    return status == SB_CORRUPT ? SB_INVALID : status;
  s3_credentials_unref(r->got);
  r->got = got;
  return SB_OK;
}

static sb_status
custom_fetch(s3_source *source, s3_fetch *fetch, s3_credentials **out,
             sb_error *err)
{
  const sb_credentials_provider *provider
    = ((custom_source *)source)->provider;
  custom_reply reply = {
    .base = { .struct_size = sizeof (sb_credentials_reply),
              .set = custom_set },
    .host = fetch->host
  };
  sb_error local;
  sb_status status;

  *out = NULL;
  memset(&local, 0, sizeof local);
  status = provider->fetch(provider->ctx, &reply.base, &local);
  local.message[sizeof local.message - 1] = '\0';
  if (status == SB_OK && reply.got != NULL) {
    *out = reply.got;
    return SB_OK;
  }
  s3_credentials_unref(reply.got);
  if (status == SB_OK)
    return sb_fail(err, SB_CORRUPT,
                   "the custom provider gave no credentials that can be used");
  if (local.message[0] == '\0')
    return sb_fail(err, status, "the custom provider failed");
  return sb_fail(err, status, "the custom provider failed: %.400s",
                 local.message);
}

/* ---- finding it --------------------------------------------------------- */

/* The object stays: its code may run until the process ends. */
static sb_status
custom_load(const char *path, const sb_credentials_provider **out,
            sb_error *err)
{
  void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  sb_credentials_init_fn *init;
  void *symbol;

  if (object == NULL)
    return sb_fail(err, SB_CONFIG,
                   "\"" CUSTOM_KEY "\": could not load: %.400s", dlerror());
  symbol = dlsym(object, SB_CREDENTIALS_INIT);
  if (symbol == NULL)
    return sb_fail(err, SB_CONFIG, "\"" CUSTOM_KEY "\": \"%.300s\" has no "
                   "function \"" SB_CREDENTIALS_INIT "\"", path);
  memcpy(&init, &symbol, sizeof init);
  *out = init();
  return SB_OK;
}

static sb_status
custom_check(const char *name, const sb_credentials_provider *provider,
             sb_error *err)
{
  const char *problem = NULL;

  if (provider == NULL)
    problem = "is not registered with the host; a file's name needs a \"/\"";
  else if (provider->abi_version != SB_ABI_VERSION)
    problem = "is of another ABI version";
  else if (provider->struct_size <
             offsetof(sb_credentials_provider, fetch) +
               sizeof provider->fetch || provider->fetch == NULL)
    problem = "has no method \"fetch\"";
  if (problem == NULL)
    return SB_OK;
  return sb_fail(err, SB_CONFIG, "\"" CUSTOM_KEY "\": \"%.300s\" %s", name,
                 problem);
}

sb_status
s3_custom_open(const s3_settings *settings, const char *name, s3_source **out,
               sb_error *err)
{
  const sb_host *host = settings->host;
  const sb_credentials_provider *provider = NULL;
  sb_status status = SB_OK;
  custom_source *s;

  *out = NULL;
  if (name == NULL)
    return sb_fail(err, SB_CONFIG,
                   "the provider is CUSTOM and its \"custom.class\" is not "
                   "set");
  if (strchr(name, '/') != NULL)
    status = custom_load(name, &provider, err);
  else
    provider = host->lookup(host, name);
  if (status == SB_OK)
    status = custom_check(name, provider, err);
  if (status != SB_OK)
    return status;
  s = s3_source_new(host, sizeof *s, "CUSTOM", custom_fetch);
  if (s == NULL)
    return s3_source_no_memory(err);
  s->provider = provider;
  *out = &s->base;
  return SB_OK;
}
