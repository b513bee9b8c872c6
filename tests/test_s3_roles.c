/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ASSUME_ROLE and WEB_IDENTITY_TOKEN: what is sent to the token service, roles
 * that assume roles, and tokens that are replaced.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/credentials_service.h"
#include "tests/tap.h"

#define NESTED PROVIDER ".role.provider"

static void
has_header(service *s, const char *name, const char *text)
{
  char value[512];
  const char *found = service_header(s, name, value);

  CU_ASSERT_PTR_NOT_NULL(found);
  if (found == NULL)
    return;
  CU_ASSERT_PTR_NOT_NULL(strstr(found, text));
  if (strstr(found, text) == NULL)
    tap_note("%s: %s", name, found);
}

static void
has_sent(service *s, const char *text)
{
  CU_ASSERT(service_sent(s, text));
  if (!service_sent(s, text))
    tap_note("no \"%s\" in %s", text, s->body);
}

/* ---- ASSUME_ROLE -------------------------------------------------------- */

static void
test_request(void)
{
  service s;
  rig r;

  service_start(&s, &r, SERVICE_ROLE);
  rig_must_open(&r);
  CU_ASSERT_STRING_EQUAL(s3_provider_name(r.provider), "ASSUME_ROLE");
  service_is(&s, 1);
  CU_ASSERT_STRING_EQUAL(s.method, "POST");
  CU_ASSERT_STRING_EQUAL(s.path, "/");
  has_header(&s, "content-type", "application/x-www-form-urlencoded");
  has_header(&s, "authorization", "AWS4-HMAC-SHA256 Credential=AKIABASE/");
  has_header(&s, "authorization", "/us-east-1/sts/aws4_request");
  has_header(&s, "authorization", "host");
  has_header(&s, "x-amz-security-token", SECRET "BaseToken");
  has_sent(&s, "Action=AssumeRole&Version=2011-06-15");
  has_sent(&s, "&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr");
  has_sent(&s, "&RoleSessionName=statebackend-");
  CU_ASSERT(!service_sent(&s, "ExternalId"));
  CU_ASSERT(!service_sent(&s, "DurationSeconds"));
  service_end(&s);
}

static void
test_options(void)
{
  service s;
  rig r;

  service_start(&s, &r, SERVICE_ROLE);
  r.settings.region = (char *)(uintptr_t)"eu-west-1";
  rig_set(&r, PROVIDER ".role.sessionName", "job@7");
  rig_set(&r, PROVIDER ".role.externalId", "a b&c=+");
  rig_set(&r, PROVIDER ".role.duration", "7200000");
  rig_must_open(&r);
  service_is(&s, 1);
  has_header(&s, "authorization", "/eu-west-1/sts/aws4_request");
  has_sent(&s, "&RoleSessionName=job%407");
  has_sent(&s, "&ExternalId=a%20b%26c%3D%2B");
  has_sent(&s, "&DurationSeconds=7200");
  service_end(&s);
}

/* A role that is assumed by a role, which the environment's keys assume. */
static void
test_nested(void)
{
  service s;
  rig r;

  service_start(&s, &r, SERVICE_ROLE);
  rig_set(&r, NESTED, "ASSUME_ROLE");
  rig_set(&r, NESTED ".role.arn", "arn:aws:iam::2:role/first");
  rig_set(&r, NESTED ".role.externalId", "first");
  rig_set(&r, NESTED ".role.provider", "ENV_VAR");
  rig_env("AWS_ACCESS_KEY_ID", "AKIAENV");
  rig_env("AWS_SECRET_ACCESS_KEY", SECRET "Env");
  rig_must_open(&r);
  service_is(&s, 2);
  CU_ASSERT_EQUAL(http_stub_count(s.stub), 2);
  has_header(&s, "authorization", "Credential=AKIA1/");
  has_header(&s, "x-amz-security-token", SECRET "Token1");
  has_sent(&s, "role%2Fr");
  CU_ASSERT(!service_sent(&s, "ExternalId"));
  service_end(&s);
}

static void
test_nested_deep(void)
{
  sb_error err;
  service s;
  rig r;

  service_start(&s, &r, SERVICE_ROLE);
  rig_set(&r, NESTED, "ASSUME_ROLE");
  rig_set(&r, NESTED ".role.arn", "arn:aws:iam::2:role/first");
  rig_set(&r, NESTED ".role.provider", "ASSUME_ROLE");
  CU_ASSERT_EQUAL(rig_open(&r, &err), SB_CONFIG);
  CU_ASSERT_PTR_NOT_NULL(strstr(err.message, "roles nest no deeper"));
  service_end(&s);
}

/* The role's base is missing: a reason, not a signature. */
static void
test_base_missing(void)
{
  service s;
  rig r;

  service_start(&s, &r, SERVICE_ROLE);
  rig_set(&r, NESTED, "ENV_VAR");
  rig_must_open(&r);
  rig_fails(&r, SB_DENIED, "AWS_ACCESS_KEY_ID is not set");
  CU_ASSERT_EQUAL(http_stub_count(s.stub), 0);
  service_end(&s);
}

/* The service's words are shown; what we sent is starred out of them. */
static void
test_refused(void)
{
  service s;
  rig r;

  service_start(&s, &r, SERVICE_WEB_IDENTITY);
  rig_must_open(&r);
  service_break(&s, FAULT_DENIED, -1);
  rig_fails(&r, SB_DENIED, "could not assume role \"arn:aws:iam::1:role/r\"");
  CU_ASSERT(rig_heard(&r, "(AccessDenied)"));
  s.status = 400;
  rig_ahead(&r, 3000);
  rig_fails(&r, SB_DENIED, "AccessDenied");
  service_end(&s);
}

/* ---- WEB_IDENTITY_TOKEN ------------------------------------------------- */

static void
test_token_replaced(void)
{
  service s;
  rig r;

  service_start(&s, &r, SERVICE_WEB_IDENTITY);
  rig_must_open(&r);
  service_is(&s, 1);
  has_sent(&s, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15");
  has_sent(&s, "&WebIdentityToken=" SECRET "Web1");
  CU_ASSERT_PTR_NULL(service_header(&s, "authorization", (char[512]){ 0 }));
  (void)rig_file(&r, "token", SECRET "Web2");
  CU_ASSERT_EQUAL(rig_reject(&r), 1);
  service_is(&s, 2);
  has_sent(&s, "&WebIdentityToken=" SECRET "Web2");
  service_end(&s);
}

static void
test_token_bad(void)
{
  service s;
  rig r;

  service_start(&s, &r, SERVICE_WEB_IDENTITY);
  rig_must_open(&r);
  (void)rig_file(&r, "token", " \n");
  rig_fails(&r, SB_UNAVAILABLE, "is empty");
  (void)rig_file(&r, "token", SECRET "\n" SECRET "\n");
  rig_ahead(&r, 3000);
  rig_fails(&r, SB_UNAVAILABLE, "is no single line");
  (void)rig_file(&r, "token", "%20000s", SECRET);
  rig_ahead(&r, 3000);
  rig_fails(&r, SB_DENIED, "is larger than 16384 bytes");
  CU_ASSERT_EQUAL(http_stub_count(s.stub), 0);
  service_end(&s);
}

static void
test_token_environment(void)
{
  char path[512];
  service s;
  rig r;

  service_start(&s, &r, SERVICE_WEB_IDENTITY);
  rig_set(&r, PROVIDER, "AUTO");
  rig_set(&r, PROVIDER ".role.stsEndpoint", "");
  (void)snprintf(path, sizeof path, "%s", rig_file(&r, "other",
                                                   SECRET "Other"));
  rig_must_open(&r);
  rig_fails(&r, SB_DENIED, "AWS_WEB_IDENTITY_TOKEN_FILE is not set");
  rig_env("AWS_WEB_IDENTITY_TOKEN_FILE", path);
  rig_ahead(&r, 3000);
  rig_fails(&r, SB_DENIED, "AWS_ROLE_ARN is not set");
  rig_env("AWS_ROLE_ARN", "arn:aws:iam::3:role/env");
  rig_env("AWS_ROLE_SESSION_NAME", "from-env");
  rig_env("AWS_ENDPOINT_URL_STS", http_stub_url(s.stub));
  rig_ahead(&r, 3000);
  service_is(&s, 1);
  has_sent(&s, "role%2Fenv");
  has_sent(&s, "RoleSessionName=from-env");
  has_sent(&s, SECRET "Other");
  CU_ASSERT_STRING_EQUAL(s3_provider_name(r.provider), "AUTO: web identity");
  service_end(&s);
}

static const tap_case role_cases[] = {
  { "request", test_request },
  { "options", test_options },
  { "nested", test_nested },
  { "nested_deep", test_nested_deep },
  { "base_missing", test_base_missing },
  { "refused", test_refused }
};

static const tap_case token_cases[] = {
  { "token_replaced", test_token_replaced },
  { "token_bad", test_token_bad },
  { "token_environment", test_token_environment }
};

int
main(int argc, char **argv)
{
  static const tap_suite suites[] = {
    { "role", role_cases, TAP_COUNT(role_cases) },
    { "token", token_cases, TAP_COUNT(token_cases) }
  };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
