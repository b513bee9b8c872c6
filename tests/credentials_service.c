/* SPDX-License-Identifier: Apache-2.0 */
/* See credentials_service.h. */
#include "config.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/credentials_service.h"
#include "tests/tap.h"

#define IMDS_PATH "/latest/meta-data/iam/security-credentials/"
#define SSO_START "https://start.example/" SECRET

const char *const service_names[SERVICE_KINDS] = {
  "role", "web identity", "container", "instance metadata", "sso"
};

/* ---- good answers ------------------------------------------------------- */

static void
service_xml(const service *s, http_stub_answer *answer, const char *end)
{
  const char *action = s->kind == SERVICE_ROLE ? "AssumeRole"
                                               : "AssumeRoleWithWebIdentity";

  (void)snprintf(
    answer->body, sizeof answer->body,
    "<%sResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
    "<%sResult><Credentials><AccessKeyId>AKIA%u</AccessKeyId>"
    "<%s>" SECRET "Key%u</%s><SessionToken>" SECRET "Token%u%s</SessionToken>"
    "<Expiration>%s</Expiration></Credentials></%sResult></%sResponse>",
    action, action, s->given,
    s->fault == FAULT_NO_SECRET ? "Other" : "SecretAccessKey", s->given,
    s->fault == FAULT_NO_SECRET ? "Other" : "SecretAccessKey", s->given,
    s->fault == FAULT_BAD_TOKEN ? "&#10;x" : "", end, action, action);
}

static void
service_json(const service *s, http_stub_answer *answer, const char *end)
{
  (void)snprintf(answer->body, sizeof answer->body,
                 "{%s\"AccessKeyId\":\"AKIA%u\",\"%s\":\"" SECRET "Key%u\","
                 "\"Token\":\"" SECRET "Token%u%s\",\"Expiration\":\"%s\"}",
                 s->kind == SERVICE_IMDS ? "\"Code\":\"Success\"," : "",
                 s->given,
                 s->fault == FAULT_NO_SECRET ? "Other" : "SecretAccessKey",
                 s->given, s->given,
                 s->fault == FAULT_BAD_TOKEN ? "\\r\\nx" : "", end);
}

static void
service_sso(const service *s, http_stub_answer *answer, uint64_t end_ms)
{
  char end[32];

  (void)snprintf(end, sizeof end, "%llu", (unsigned long long)end_ms);
  (void)snprintf(
    answer->body, sizeof answer->body,
    "{\"roleCredentials\":{\"accessKeyId\":\"AKIA%u\",\"%s\":\"" SECRET
    "Key%u\",\"sessionToken\":\"" SECRET "Token%u%s\",\"expiration\":%s}}",
    s->given, s->fault == FAULT_NO_SECRET ? "other" : "secretAccessKey",
    s->given, s->given, s->fault == FAULT_BAD_TOKEN ? "\\r\\nx" : "",
    s->fault == FAULT_BAD_TIME ? "\"soon\"" : end);
}

static void
service_credentials(service *s, http_stub_answer *answer)
{
  uint64_t end_ms = (uint64_t)((int64_t)rig_now(s->r) + s->life_ms);
  char text[32];
  const char *end = s->fault == FAULT_BAD_TIME ? "soon"
                                               : rig_time(end_ms, text);

  if (s->fault == FAULT_NONE)
    s->given++;
  if (s->kind == SERVICE_SSO)
    service_sso(s, answer, end_ms);
  else if (s->kind == SERVICE_ROLE || s->kind == SERVICE_WEB_IDENTITY)
    service_xml(s, answer, end);
  else
    service_json(s, answer, end);
}

/* Tokens are "<SECRET>Imds<n>". */
static void
service_imds(service *s, const http_stub_request *request,
             http_stub_answer *answer)
{
  char token[256];

  if (strcmp(request->path, "/latest/api/token") == 0) {
    answer->status = strcmp(request->method, "PUT") == 0 ? 200 : 405;
    (void)snprintf(answer->body, sizeof answer->body, SECRET "Imds%u",
                   ++s->tokens);
    return;
  }
  if (!http_stub_header(request, "x-aws-ec2-metadata-token", token,
                        sizeof token) ||
      strncmp(token, SECRET "Imds", strlen(SECRET "Imds")) != 0 ||
      atoi(token + strlen(SECRET "Imds")) <= s->forget)
    answer->status = 401;
  else if (strcmp(request->path, IMDS_PATH) == 0)
    (void)snprintf(answer->body, sizeof answer->body, "my-role");
  else if (strcmp(request->path, IMDS_PATH "my-role") == 0)
    service_credentials(s, answer);
  else
    answer->status = 404;
}

/* ---- faults ------------------------------------------------------------- */

static void
service_fail(service *s, const http_stub_request *request,
             http_stub_answer *answer)
{
  static const char xml[] = "<ErrorResponse><Error><Code>AccessDenied</Code>"
                            "<Message>not with %.4000s</Message></Error>"
                            "</ErrorResponse>";

  switch (s->fault) {
  case FAULT_ERROR:
    answer->status = 500;
    break;
  case FAULT_DENIED:
    answer->status = s->status == 0 ? 403 : s->status;
    (void)snprintf(answer->body, sizeof answer->body, xml,
                   request->body_len > 0 ? request->body : request->headers);
    break;
  case FAULT_GARBAGE:
    (void)snprintf(answer->body, sizeof answer->body,
                   "{]<" SECRET "Garbage\x01");
    break;
  case FAULT_OVERSIZED:
    answer->filler = 10 << 20;
    break;
  case FAULT_DROP:
    answer->drop = 1;
    break;
  case FAULT_TRUNCATED:
    service_credentials(s, answer);
    answer->promise = 10;
    break;
  case FAULT_REDIRECT:
    answer->status = 302;
    answer->headers = s->redirect;
    break;
  default:
    break;
  }
}

/* Faults of what credentials look like: only where there are some. */
static int
service_fault_inside(const service *s)
{
  return s->fault >= FAULT_NO_SECRET;
}

static void
service_keep(service *s, const http_stub_request *request)
{
  (void)snprintf(s->method, sizeof s->method, "%s", request->method);
  (void)snprintf(s->path, sizeof s->path, "%s", request->path);
  (void)snprintf(s->headers, sizeof s->headers, "%s", request->headers);
  (void)snprintf(s->body, sizeof s->body, "%.*s", (int)request->body_len,
                 request->body);
}

static void
service_handle(void *arg, const http_stub_request *request,
               http_stub_answer *answer)
{
  service *s = arg;
  service_fault fault;

  (void)pthread_mutex_lock(&s->lock);
  service_keep(s, request);
  answer->delay_ms = s->delay_ms;
  fault = s->fault;
  if (s->faults == 0)
    s->fault = FAULT_NONE;
  else if (s->faults > 0)
    s->faults--;
  if (s->fault != FAULT_NONE && !service_fault_inside(s))
    service_fail(s, request, answer);
  else if (s->kind == SERVICE_IMDS)
    service_imds(s, request, answer);
  else
    service_credentials(s, answer);
  if (s->faults != 0)
    s->fault = fault;
  (void)pthread_mutex_unlock(&s->lock);
}

/* ---- set-up ------------------------------------------------------------- */

static void
service_set_sso(service *s)
{
  unsigned char digest[EVP_MAX_MD_SIZE];
  char name[128] = ".aws/sso/cache/", end[32];
  unsigned int len = 0, i;

  (void)EVP_Digest(SSO_START, strlen(SSO_START), digest, &len, EVP_sha1(),
                   NULL);
  for (i = 0; i < len; i++)
    (void)snprintf(name + strlen(name), 3, "%02x", digest[i]);
  (void)snprintf(name + strlen(name), 6, ".json");
  (void)rig_file(s->r, name,
                 "{\"startUrl\":\"x\",\"accessToken\":\"" SECRET "Sso\","
                 "\"expiresAt\":\"%s\"}",
                 rig_time(rig_now(s->r) + 600 * MINUTE, end));
  (void)rig_file(s->r, ".aws/config",
                 "[default]\nsso_start_url = " SSO_START "\n"
                 "sso_region = eu-west-1\nsso_account_id = 123456789012\n"
                 "sso_role_name = Read&Write\n");
  rig_env("AWS_ENDPOINT_URL_SSO", http_stub_url(s->stub));
  rig_set(s->r, PROVIDER, "PROFILE");
}

static void
service_set(service *s)
{
  static char path[512];
  const char *url = http_stub_url(s->stub);

  switch (s->kind) {
  case SERVICE_ROLE:
    rig_set(s->r, PROVIDER, "ASSUME_ROLE");
    rig_set(s->r, PROVIDER ".role.arn", "arn:aws:iam::1:role/r");
    rig_set(s->r, PROVIDER ".role.stsEndpoint", url);
    rig_set(s->r, PROVIDER ".role.provider.basic.accesskeyid", "AKIABASE");
    rig_set(s->r, PROVIDER ".role.provider.basic.secretkey", SECRET "Base");
    rig_set(s->r, PROVIDER ".role.provider.basic.sessiontoken",
            SECRET "BaseToken");
    break;
  case SERVICE_WEB_IDENTITY:
    (void)snprintf(path, sizeof path, "%s",
                   rig_file(s->r, "token", SECRET "Web1\n"));
    rig_set(s->r, PROVIDER, "WEB_IDENTITY_TOKEN");
    rig_set(s->r, PROVIDER ".role.arn", "arn:aws:iam::1:role/r");
    rig_set(s->r, PROVIDER ".role.stsEndpoint", url);
    rig_set(s->r, PROVIDER ".webIdentityToken.file", path);
    break;
  case SERVICE_CONTAINER:
    (void)snprintf(path, sizeof path, "%s/creds?key=" SECRET "Url", url);
    rig_env("AWS_CONTAINER_CREDENTIALS_FULL_URI", path);
    rig_env("AWS_CONTAINER_AUTHORIZATION_TOKEN", SECRET "Container");
    rig_set(s->r, PROVIDER, "AUTO");
    break;
  case SERVICE_IMDS:
    rig_env("AWS_EC2_METADATA_SERVICE_ENDPOINT", url);
    rig_env("AWS_EC2_METADATA_DISABLED", NULL);
    rig_set(s->r, PROVIDER, "AUTO");
    break;
  default:
    service_set_sso(s);
  }
}

void
service_start(service *s, rig *r, service_kind kind)
{
  memset(s, 0, sizeof *s);
  rig_start(r);
  s->r = r;
  s->kind = kind;
  s->life_ms = 60 * MINUTE;
  (void)pthread_mutex_init(&s->lock, NULL);
  s->stub = http_stub_start(service_handle, s);
  CU_ASSERT_PTR_NOT_NULL_FATAL(s->stub);
  service_set(s);
}

void
service_end(service *s)
{
  rig_end(s->r);
  http_stub_stop(s->stub);
  (void)pthread_mutex_destroy(&s->lock);
}

void
service_break(service *s, service_fault fault, int requests)
{
  (void)pthread_mutex_lock(&s->lock);
  s->fault = fault;
  s->faults = requests;
  (void)pthread_mutex_unlock(&s->lock);
}

void
service_life(service *s, int64_t life_ms)
{
  (void)pthread_mutex_lock(&s->lock);
  s->life_ms = life_ms;
  (void)pthread_mutex_unlock(&s->lock);
}

/* ---- looking ------------------------------------------------------------ */

void
service_is(service *s, unsigned n)
{
  char access[32], secret[32], token[32];

  (void)snprintf(access, sizeof access, "AKIA%u", n);
  (void)snprintf(secret, sizeof secret, SECRET "Key%u", n);
  (void)snprintf(token, sizeof token, SECRET "Token%u", n);
  rig_is(s->r, access, secret, token);
}

const char *
service_header(service *s, const char *name, char out[512])
{
  http_stub_request request = { .headers = s->headers };
  int found;

  (void)pthread_mutex_lock(&s->lock);
  found = http_stub_header(&request, name, out, 512);
  (void)pthread_mutex_unlock(&s->lock);
  return found ? out : NULL;
}

int
service_sent(service *s, const char *text)
{
  int found;

  (void)pthread_mutex_lock(&s->lock);
  found = strstr(s->body, text) != NULL;
  (void)pthread_mutex_unlock(&s->lock);
  return found;
}
