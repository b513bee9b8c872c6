/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AUTO: the usual places, in the order of Amazon's SDK for Java, which is what
 * Flink's AUTO is. The place that has answered is asked alone from then on,
 * so that a job does not change its identity; unless one before it was only
 * out of order, which is then tried again first.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <statebackend/plugin.h>

#include "plugins/s3/source.h"

#define CHAIN_LINKS 6
#define CHAIN_REASON_MAX 90  /* characters of each reason in an error */
#define CHAIN_TEXT_MAX (CHAIN_LINKS * (CHAIN_REASON_MAX + 32))

typedef struct chain_link {
  const char *name, *auto_name;
  s3_source *source;         /* NULL: made when it is reached */
} chain_link;

typedef struct chain_source {
  s3_source base;
  chain_link links[CHAIN_LINKS];
  int answered;              /* the link to ask; -1: all */
} chain_source;

static const chain_link chain_links[CHAIN_LINKS] = {
  { "configuration", "AUTO: configuration", NULL },
  { "environment", "AUTO: environment", NULL },
  { "web identity", "AUTO: web identity", NULL },
  { "profile", "AUTO: profile", NULL },
  { "container", "AUTO: container", NULL },
  { "instance metadata", "AUTO: instance metadata", NULL }
};

static sb_status
chain_make(const s3_settings *settings, int i, s3_source **out, sb_error *err)
{
  switch (i) {
  case 0:
    return s3_properties_open(settings, out, err);
  case 1:
    return s3_environment_open(settings, out, err);
  case 2:
    return s3_web_identity_open(settings, NULL, out, err);
  case 3:
    return s3_profile_open(settings, NULL, NULL, out, err);
  case 4:
    return s3_container_open(settings, out, err);
  default:
    return s3_imds_open(settings, out, err);
  }
}

static sb_status
chain_ask(chain_source *s, int i, s3_fetch *fetch, s3_credentials **out,
          sb_error *err)
{
  chain_link *link = &s->links[i];
  sb_status status = SB_OK;

  if (link->source == NULL)
    status = chain_make(fetch->settings, i, &link->source, err);
  return status != SB_OK ? status
                         : link->source->fetch(link->source, fetch, out, err);
}

static void
chain_answered(chain_source *s, int i, int passing, s3_fetch *fetch,
               const char *reasons)
{
  char text[CHAIN_TEXT_MAX + 100];

  s->base.name = s->links[i].auto_name;
  if (!passing) {
    s->answered = i;
    return;
  }
  (void)snprintf(text, sizeof text,
                 "credentials are those of the %s, since others failed: %s",
                 s->links[i].name, reasons);
  fetch->host->log(fetch->host, SB_LOG_WARN, "s3", text);
}

static sb_status
chain_fetch(s3_source *source, s3_fetch *fetch, s3_credentials **out,
            sb_error *err)
{
  chain_source *s = (chain_source *)source;
  char reasons[CHAIN_TEXT_MAX];
  int i, passing = 0;
  size_t len = 0;

  *out = NULL;
  if (s->answered >= 0)
    return chain_ask(s, s->answered, fetch, out, err);
  reasons[0] = '\0';
  for (i = 0; i < CHAIN_LINKS; i++) {
    sb_error local;
    sb_status status = chain_ask(s, i, fetch, out, &local);

    if (status == SB_OK) {
      chain_answered(s, i, passing, fetch, reasons);
      return SB_OK;
    }
    if (status == SB_CANCELLED || status == SB_NO_MEMORY)
      return sb_fail(err, status, "%s", local.message);
    passing |= status == SB_UNAVAILABLE || status == SB_TIMEOUT ||
               status == SB_IO || status == SB_CORRUPT;
    len += (size_t)snprintf(reasons + len, sizeof reasons - len,
                            "%s%s: %.*s", len == 0 ? "" : "; ",
                            s->links[i].name, CHAIN_REASON_MAX,
                            local.message);
  }
  return sb_fail(err, passing ? SB_UNAVAILABLE : SB_DENIED, "%s", reasons);
}

static void
chain_close(s3_source *source)
{
  chain_source *s = (chain_source *)source;
  int i;

  for (i = 0; i < CHAIN_LINKS; i++)
    s3_source_close(s->links[i].source);
}

sb_status
s3_chain_open(const s3_settings *settings, s3_source **out, sb_error *err)
{
  chain_source *s = s3_source_new(settings->host, sizeof *s, "AUTO",
                                  chain_fetch);

  *out = NULL;
  if (s == NULL)
    return s3_source_no_memory(err);
  s->base.close = chain_close;
  memcpy(s->links, chain_links, sizeof s->links);
  s->answered = -1;
  *out = &s->base;
  return SB_OK;
}
