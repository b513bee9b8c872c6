/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of containers and instances, and AUTO, which ends with them:
 * what is asked with which token, whom a token is shown, and the order.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/credentials_service.h"
#include "tests/tap.h"

#define FULL_URI "AWS_CONTAINER_CREDENTIALS_FULL_URI"
#define TOKEN_FILE "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"

/* ---- container ---------------------------------------------------------- */

static void
test_container_token(void)
{
  char path[512], value[512];
  service s;
  rig r;

  service_start(&s, &r, SERVICE_CONTAINER);
  rig_must_open(&r);
  service_is(&s, 1);
  CU_ASSERT_STRING_EQUAL(s.path, "/creds?key=" SECRET "Url");
  CU_ASSERT_STRING_EQUAL(service_header(&s, "authorization", value),
                         SECRET "Container");
  CU_ASSERT_STRING_EQUAL(s3_provider_name(r.provider), "AUTO: container");
  /* The file wins and is read each time. */
  (void)snprintf(path, sizeof path, "%s", rig_file(&r, "t", SECRET "File1\n"));
  rig_env(TOKEN_FILE, path);
  CU_ASSERT_EQUAL(rig_reject(&r), 1);
  service_is(&s, 2);
  CU_ASSERT_STRING_EQUAL(service_header(&s, "authorization", value),
                         SECRET "File1");
  (void)rig_file(&r, "t", SECRET "File2\n");
  CU_ASSERT_EQUAL(rig_reject(&r), 1);
  service_is(&s, 3);
  CU_ASSERT_STRING_EQUAL(service_header(&s, "authorization", value),
                         SECRET "File2");
  service_end(&s);
}

static void
container_fails(service *s, const char *text)
{
  rig_ahead(s->r, 3000);
  rig_fails(s->r, SB_DENIED, text);
  CU_ASSERT_EQUAL(http_stub_count(s->stub), 0);
}

/* Plain HTTP and the token go to this machine only. */
static void
test_container_hosts(void)
{
  static const char *const far[] = {
    ("http://example.com/" SECRET), "http://10.0.0.1/", "http://128.0.0.1/",
    "http://169.254.169.254/", "http://[::2]/", "http://127.0.0.1.example/",
    "http://localhost.example/", "ftp://127.0.0.1/",
    "http://user@169.254.170.3/"
  };
  service s;
  rig r;
  size_t i;

  service_start(&s, &r, SERVICE_CONTAINER);
  rig_must_open(&r);
  for (i = 0; i < TAP_COUNT(far); i++) {
    rig_env(FULL_URI, far[i]);
    container_fails(&s, "container: " FULL_URI " is not https");
  }
  rig_env(FULL_URI, "no url " SECRET);
  container_fails(&s, FULL_URI " is no URL");
  rig_env(FULL_URI, http_stub_url(s.stub));
  rig_env("AWS_CONTAINER_AUTHORIZATION_TOKEN", SECRET "\r\nX: y");
  container_fails(&s, "has a line end");
  rig_env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", ".example.com/");
  container_fails(&s, "is no path");
  service_end(&s);
}

static void
test_container_localhost(void)
{
  char url[128];
  service s;
  rig r;

  service_start(&s, &r, SERVICE_CONTAINER);
  (void)snprintf(url, sizeof url, "http://localhost%s/x",
                 strrchr(http_stub_url(s.stub), ':'));
  rig_env(FULL_URI, url);
  rig_must_open(&r);
  service_is(&s, 1);
  service_end(&s);
}

/* ---- instance ----------------------------------------------------------- */

static void
test_instance_token(void)
{
  service s;
  rig r;

  service_start(&s, &r, SERVICE_IMDS);
  rig_must_open(&r);
  service_is(&s, 1);
  CU_ASSERT_STRING_EQUAL(s3_provider_name(r.provider),
                         "AUTO: instance metadata");
  rig_ahead(&r, 61 * MINUTE);
  service_is(&s, 2);
  CU_ASSERT_EQUAL(s.tokens, 1);
  /* The service takes it no longer. */
  s.forget = 1;
  rig_ahead(&r, 61 * MINUTE);
  service_is(&s, 3);
  CU_ASSERT_EQUAL(s.tokens, 2);
  /* It is too old. */
  rig_ahead(&r, 361 * MINUTE);
  service_is(&s, 4);
  CU_ASSERT_EQUAL(s.tokens, 3);
  /* No token is ever taken: an end to it. */
  s.forget = 1000;
  CU_ASSERT_EQUAL(rig_reject(&r), 1);
  rig_fails(&r, SB_DENIED, "HTTP 401");
  CU_ASSERT(s.tokens <= 5);
  service_end(&s);
}

/* A service in trouble gives credentials that have ended. */
static void
test_instance_ended(void)
{
  service s;
  rig r;

  service_start(&s, &r, SERVICE_IMDS);
  rig_must_open(&r);
  service_is(&s, 1);
  service_life(&s, -MINUTE);
  rig_ahead(&r, 61 * MINUTE);
  service_is(&s, 2);
  CU_ASSERT(rig_heard(&r, "gave credentials that have ended"));
  service_is(&s, 2);
  CU_ASSERT_EQUAL(rig_refreshes(&r), 2);
  service_end(&s);
}

static void
test_instance_disabled(void)
{
  service s;
  rig r;

  service_start(&s, &r, SERVICE_IMDS);
  rig_env("AWS_EC2_METADATA_DISABLED", "TRUE");
  rig_must_open(&r);
  rig_fails(&r, SB_DENIED, "AWS_EC2_METADATA_DISABLED switches it off");
  CU_ASSERT_EQUAL(http_stub_count(s.stub), 0);
  service_end(&s);
}

/* Nothing listens: this is no instance, and trying on would be no use. */
static void
test_instance_none(void)
{
  rig r;

  rig_start(&r);
  rig_env("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
  rig_env("AWS_EC2_METADATA_DISABLED", NULL);
  rig_must_open(&r);
  rig_fails(&r, SB_DENIED, "instance metadata: could not ask");
  rig_end(&r);
}

/* But an instance stays one. */
static void
test_instance_gone(void)
{
  service s;
  rig r;

  service_start(&s, &r, SERVICE_IMDS);
  rig_must_open(&r);
  service_is(&s, 1);
  CU_ASSERT_EQUAL(rig_reject(&r), 1);
  rig_env("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
  rig_fails(&r, SB_UNAVAILABLE, "could not ask");
  service_end(&s);
}

static void
no_role(void *arg, const http_stub_request *request, http_stub_answer *answer)
{
  if (strcmp(request->method, "PUT") == 0)
    (void)snprintf(answer->body, sizeof answer->body, "token");
  else if (*(const int *)arg == 0)
    answer->status = 404;
  else if (strstr(request->path, "role") == NULL)
    (void)snprintf(answer->body, sizeof answer->body, "role\nother");
  else
    (void)snprintf(answer->body, sizeof answer->body,
                   "{\"Code\":\"AssumeRoleUnauthorizedAccess\"}");
}

static void
test_instance_no_role(void)
{
  int step = 0;
  http_stub *stub = http_stub_start(no_role, &step);
  char url[128];
  rig r;

  CU_ASSERT_PTR_NOT_NULL_FATAL(stub);
  rig_start(&r);
  (void)snprintf(url, sizeof url, "%s/", http_stub_url(stub));
  rig_env("AWS_EC2_METADATA_SERVICE_ENDPOINT", url);
  rig_env("AWS_EC2_METADATA_DISABLED", NULL);
  rig_must_open(&r);
  rig_fails(&r, SB_DENIED, "the instance has no role");
  step = 1;
  rig_ahead(&r, 3000);
  rig_fails(&r, SB_DENIED, "has no credentials for the instance's role");
  rig_end(&r);
  http_stub_stop(stub);
}

/* ---- AUTO --------------------------------------------------------------- */

/* Every place says why it has nothing. */
static void
test_auto_nothing(void)
{
  rig r;

  rig_start(&r);
  rig_must_open(&r); /* AUTO is the default */
  CU_ASSERT_STRING_EQUAL(s3_provider_name(r.provider), "AUTO");
  rig_fails(&r, SB_DENIED,
            "no credentials from AUTO: "
            "configuration: \"aws.accessKeyId\" is not set; "
            "environment: AWS_ACCESS_KEY_ID is not set; "
            "web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set; "
            "profile: ");
  rig_ahead(&r, 3000);
  rig_fails(&r, SB_DENIED,
            "container: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  rig_ahead(&r, 3000);
  rig_fails(&r, SB_DENIED, "instance metadata: AWS_EC2_METADATA_DISABLED");
  rig_end(&r);
}

static void
test_auto_order(void)
{
  service s;
  rig r;

  service_start(&s, &r, SERVICE_CONTAINER);
  rig_env("AWS_ACCESS_KEY_ID", "AKIAENV");
  rig_env("AWS_SECRET_ACCESS_KEY", SECRET "Env");
  rig_must_open(&r);
  rig_is(&r, "AKIAENV", SECRET "Env", NULL);
  CU_ASSERT_STRING_EQUAL(s3_provider_name(r.provider), "AUTO: environment");
  s3_provider_close(r.provider);
  rig_set(&r, "aws.accessKeyId", "AKIAPROP");
  rig_set(&r, "aws.secretKey", SECRET "Prop");
  rig_must_open(&r);
  rig_is(&r, "AKIAPROP", SECRET "Prop", NULL);
  CU_ASSERT_STRING_EQUAL(s3_provider_name(r.provider), "AUTO: configuration");
  CU_ASSERT_EQUAL(http_stub_count(s.stub), 0);
  service_end(&s);
}

/* Who has answered is asked on, though another could answer now. */
static void
test_auto_stays(void)
{
  service s;
  rig r;

  service_start(&s, &r, SERVICE_CONTAINER);
  rig_must_open(&r);
  service_is(&s, 1);
  rig_env("AWS_ACCESS_KEY_ID", "AKIAENV");
  rig_env("AWS_SECRET_ACCESS_KEY", SECRET "Env");
  rig_ahead(&r, 61 * MINUTE);
  service_is(&s, 2);
  service_break(&s, FAULT_ERROR, -1);
  rig_ahead(&r, 61 * MINUTE);
  rig_fails(&r, SB_UNAVAILABLE, "HTTP 500");
  service_end(&s);
}

/* A place that is out of order for a while is passed over for a while. */
static void
test_auto_passing(void)
{
  char path[512];
  service s, token;
  rig r;

  service_start(&s, &r, SERVICE_CONTAINER);
  token = (service){ .r = &r, .kind = SERVICE_WEB_IDENTITY };
  (void)snprintf(path, sizeof path, "%s", rig_file(&r, "web", SECRET "Web"));
  rig_env("AWS_WEB_IDENTITY_TOKEN_FILE", path);
  rig_env("AWS_ROLE_ARN", "arn:aws:iam::1:role/r");
  rig_env("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1");
  rig_must_open(&r);
  service_is(&s, 1);
  CU_ASSERT(rig_heard(&r, "since others failed"));
  CU_ASSERT_STRING_EQUAL(s3_provider_name(r.provider), "AUTO: container");
  /* The token service is back: the container's own now answers in XML. */
  rig_env("AWS_ENDPOINT_URL_STS", http_stub_url(s.stub));
  s.kind = token.kind;
  rig_ahead(&r, 61 * MINUTE);
  service_is(&s, 2);
  CU_ASSERT_STRING_EQUAL(s3_provider_name(r.provider), "AUTO: web identity");
  service_end(&s);
}

static const tap_case container_cases[] = {
  { "container_token", test_container_token },
  { "container_hosts", test_container_hosts },
  { "container_localhost", test_container_localhost }
};

static const tap_case instance_cases[] = {
  { "instance_token", test_instance_token },
  { "instance_ended", test_instance_ended },
  { "instance_disabled", test_instance_disabled },
  { "instance_none", test_instance_none },
  { "instance_gone", test_instance_gone },
  { "instance_no_role", test_instance_no_role }
};

static const tap_case auto_cases[] = {
  { "auto_nothing", test_auto_nothing },
  { "auto_order", test_auto_order },
  { "auto_stays", test_auto_stays },
  { "auto_passing", test_auto_passing }
};

int
main(int argc, char **argv)
{
  static const tap_suite suites[] = {
    { "container", container_cases, TAP_COUNT(container_cases) },
    { "instance", instance_cases, TAP_COUNT(instance_cases) },
    { "auto", auto_cases, TAP_COUNT(auto_cases) }
  };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
