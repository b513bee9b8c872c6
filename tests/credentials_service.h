/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The services that give credentials, played by http_stub: each kind sets a
 * rig up to ask it and answers well, or with a fault. The n-th credentials are
 * "AKIA<n>", SECRET "Key<n>", SECRET "Token<n>".
 */
#ifndef TESTS_CREDENTIALS_SERVICE_H
#define TESTS_CREDENTIALS_SERVICE_H

#include "tests/credentials_fixture.h"

#define PROVIDER "aws.credentials.provider"
#define MINUTE 60000

typedef enum service_kind {
  SERVICE_ROLE,          /* AssumeRole, signed by BASIC */
  SERVICE_WEB_IDENTITY,
  SERVICE_CONTAINER,
  SERVICE_IMDS,
  SERVICE_SSO,
  SERVICE_KINDS
} service_kind;

typedef enum service_fault {
  FAULT_NONE,
  FAULT_ERROR,           /* 500 */
  FAULT_DENIED,          /* 403, and all that was sent comes back */
  FAULT_GARBAGE,
  FAULT_EMPTY,
  FAULT_OVERSIZED,
  FAULT_DROP,
  FAULT_TRUNCATED,
  FAULT_REDIRECT,
  FAULT_NO_SECRET,
  FAULT_BAD_TIME,
  FAULT_BAD_TOKEN        /* with a line end */
} service_fault;

typedef struct service {
  rig *r;
  service_kind kind;
  http_stub *stub;
  pthread_mutex_t lock;  /* guards what follows */
  service_fault fault;
  int faults;            /* requests that get it; -1: all */
  int status;            /* of FAULT_DENIED; 0: 403 */
  uint32_t delay_ms;
  int64_t life_ms;       /* of credentials: an hour */
  unsigned given;        /* credentials */
  unsigned tokens;       /* of IMDS */
  int forget;            /* IMDS: the tokens up to this one are refused */
  char redirect[128];
  char method[16], path[1024], headers[8192], body[16384]; /* of the last */
} service;

/* Starts the rig too; it is still to be opened. */
void service_start(service *s, rig *r, service_kind kind);
void service_end(service *s);
void service_break(service *s, service_fault fault, int requests);
void service_life(service *s, int64_t life_ms);
/* The n-th credentials are there. */
void service_is(service *s, unsigned n);
/* A header of the last request. */
const char *service_header(service *s, const char *name, char out[512]);
/* 1 if the last request's body has this text. */
int service_sent(service *s, const char *text);

extern const char *const service_names[SERVICE_KINDS];

#endif
