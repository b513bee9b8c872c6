/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A provider of credentials as the plugin opens it, over the default host with
 * a clock that can be moved, a configuration given as pairs, an environment
 * without any AWS_ variable, a home directory of its own, and everything that
 * was logged or said in errors kept: no secret may be in there. All secrets of
 * these tests hold the text SECRET.
 */
#ifndef TESTS_CREDENTIALS_FIXTURE_H
#define TESTS_CREDENTIALS_FIXTURE_H

#include <pthread.h>
#include <stdatomic.h>

#include "plugins/s3/credentials.h"
#include "tests/faulty_host.h"
#include "tests/http_stub.h"

#define SECRET "S3cr3t"
#define RIG_SETTINGS_MAX 32

typedef struct rig {
  faulty_host faulty;      /* first: the host is the rig */
  _Atomic int64_t ahead_ms; /* how far both clocks are ahead */
  s3_settings settings;
  const char *config[RIG_SETTINGS_MAX][2];
  size_t config_count;
  s3_provider *provider;
  char home[64];
  char old_home[512];
  pthread_mutex_t lock;    /* guards what follows */
  char *said;              /* logs and errors */
  size_t said_len;
  unsigned refreshes, failures; /* as s3_provider_watch tells */
} rig;

void rig_start(rig *r);
void rig_end(rig *r);      /* closes the provider; checks secrets and memory */

/* Before rig_open. Texts are borrowed. */
void rig_set(rig *r, const char *key, const char *value);
void rig_env(const char *name, const char *value); /* until rig_end */
/* Writes a file below the home directory, as printf; its path is borrowed
   until the next call. */
const char *rig_file(rig *r, const char *name, const char *format, ...)
  __attribute__((format(printf, 3, 4)));

sb_status rig_open(rig *r, sb_error *err);
void rig_must_open(rig *r);

/* Asks for credentials and waits. On failure NULL and the error. */
s3_credentials *rig_get(rig *r, sb_error *err);
/* The same, checked: these credentials, then let go. */
void rig_is(rig *r, const char *access, const char *secret, const char *token);
/* Fails with that status and a message that has `text` in it. */
void rig_fails(rig *r, sb_status status, const char *text);
/* Rejects what rig_get gives; what s3_provider_reject says. */
int rig_reject(rig *r);

void rig_ahead(rig *r, int64_t ms);      /* moves the clocks */
uint64_t rig_now(rig *r);
unsigned rig_refreshes(rig *r);          /* good and bad */
/* Waits until there have been so many; 0 if not within five seconds. */
int rig_wait(rig *r, unsigned refreshes);
void rig_said(rig *r, const char *text); /* adds to what is checked */
int rig_heard(rig *r, const char *text); /* 1 if it was logged or an error */

/* `ms` as Amazon writes times. */
const char *rig_time(uint64_t ms, char out[32]);

#endif
