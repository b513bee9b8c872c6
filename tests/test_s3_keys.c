/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources of credentials that ask nobody: BASIC, SYS_PROP, ENV_VAR, and how
 * CUSTOM finds its provider. Each mistake in the configuration is named.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <statebackend/credentials.h>

#include "tests/credentials_fixture.h"
#include "tests/tap.h"

#define PROVIDER "aws.credentials.provider"

static void
config_fails(rig *r, const char *text)
{
  sb_error err;
  sb_status status;

  memset(&err, 0, sizeof err);
  status = rig_open(r, &err);
  CU_ASSERT_EQUAL(status, SB_CONFIG);
  CU_ASSERT_PTR_NULL(r->provider);
  CU_ASSERT_PTR_NOT_NULL(strstr(err.message, text));
  if (strstr(err.message, text) == NULL)
    tap_note("%s", err.message);
}

static void
test_custom_config(void)
{
  static const sb_credentials_provider empty = {
    .struct_size = sizeof empty, .abi_version = SB_ABI_VERSION
  };
  static sb_credentials_provider other = {
    .struct_size = sizeof other, .abi_version = SB_ABI_VERSION + 1
  };
  sb_error err;
  rig r;

  rig_start(&r);
  rig_set(&r, PROVIDER, "CUSTOM");
  config_fails(&r, "\"custom.class\" is not set");
  rig_set(&r, PROVIDER ".custom.class", "nobody");
  config_fails(&r, "is not registered");
  rig_set(&r, PROVIDER ".custom.class", "/no/such.so");
  config_fails(&r, "could not load");
  rig_set(&r, PROVIDER ".custom.class", "test-odd");
  (void)sb_host_register("test-odd", (void *)(uintptr_t)&empty, &err);
  config_fails(&r, "has no method \"fetch\"");
  (void)sb_host_register("test-odd", &other, &err);
  config_fails(&r, "another ABI version");
  (void)sb_host_register("test-odd", NULL, &err);
  rig_end(&r);
}

#ifdef TEST_CREDENTIALS_OBJECTS
static void
test_custom_object(void)
{
  rig r;

  rig_start(&r);
  rig_set(&r, PROVIDER, "CUSTOM");
  rig_set(&r, PROVIDER ".custom.class",
          TEST_CREDENTIALS_OBJECTS "/credentials_object.so");
  rig_must_open(&r);
  rig_is(&r, "AKIAOBJECT", SECRET "Object", NULL);
  rig_end(&r);
}
#endif

/* ---- BASIC, SYS_PROP, ENV_VAR ------------------------------------------- */

static void
test_basic(void)
{
  rig r;

  rig_start(&r);
  rig_set(&r, PROVIDER ".basic.accesskeyid", "AKIABASIC");
  rig_set(&r, PROVIDER ".basic.secretkey", SECRET "Basic");
  rig_set(&r, PROVIDER ".basic.sessiontoken", SECRET "Session");
  rig_must_open(&r); /* the default, since both keys are there */
  CU_ASSERT_STRING_EQUAL(s3_provider_name(r.provider), "BASIC");
  rig_is(&r, "AKIABASIC", SECRET "Basic", SECRET "Session");
  CU_ASSERT_EQUAL(rig_reject(&r), 0);
  rig_is(&r, "AKIABASIC", SECRET "Basic", SECRET "Session");
  CU_ASSERT_EQUAL(rig_refreshes(&r), 1);
  rig_end(&r);
}

static void
test_basic_config(void)
{
  rig r;

  rig_start(&r);
  rig_set(&r, PROVIDER, "BASIC");
  config_fails(&r, ".basic.accesskeyid\" is not set");
  rig_set(&r, PROVIDER ".basic.accesskeyid", "AKIABASIC");
  config_fails(&r, ".basic.secretkey\" is not set");
  rig_set(&r, PROVIDER ".basic.secretkey", SECRET "Basic\n");
  config_fails(&r, "the secret key of BASIC has a character");
  rig_set(&r, PROVIDER, "basic");
  config_fails(&r, "no such provider");
  rig_set(&r, PROVIDER, "ASSUME_ROLE");
  config_fails(&r, ".role.arn\" is not set");
  rig_end(&r);
}

static void
test_properties(void)
{
  rig r;

  rig_start(&r);
  rig_set(&r, PROVIDER, "SYS_PROP");
  config_fails(&r, "\"aws.accessKeyId\" is not set");
  rig_set(&r, "aws.accessKeyId", "AKIAPROP");
  config_fails(&r, "\"aws.secretKey\" is not set");
  rig_set(&r, "aws.secretKey", SECRET "Prop");
  rig_must_open(&r);
  rig_is(&r, "AKIAPROP", SECRET "Prop", NULL);
  s3_provider_close(r.provider);
  rig_set(&r, "aws.secretAccessKey", SECRET "Newer");
  rig_set(&r, "aws.sessionToken", SECRET "Session");
  rig_must_open(&r);
  rig_is(&r, "AKIAPROP", SECRET "Newer", SECRET "Session");
  rig_end(&r);
}

static void
test_environment(void)
{
  rig r;

  rig_start(&r);
  rig_set(&r, PROVIDER, "ENV_VAR");
  rig_must_open(&r);
  rig_fails(&r, SB_DENIED, "AWS_ACCESS_KEY_ID is not set");
  rig_env("AWS_ACCESS_KEY_ID", "AKIAENV");
  rig_ahead(&r, 3000);
  rig_fails(&r, SB_DENIED, "AWS_SECRET_ACCESS_KEY is not set");
  rig_env("AWS_SECRET_ACCESS_KEY", SECRET "Env");
  rig_ahead(&r, 3000);
  rig_is(&r, "AKIAENV", SECRET "Env", NULL);
  /* It is read again when the server refuses them. */
  rig_env("AWS_SESSION_TOKEN", SECRET "Token");
  CU_ASSERT_EQUAL(rig_reject(&r), 1);
  rig_is(&r, "AKIAENV", SECRET "Env", SECRET "Token");
  rig_end(&r);
}

static const tap_case simple_cases[] = {
  { "custom_config", test_custom_config },
#ifdef TEST_CREDENTIALS_OBJECTS
  { "custom_object", test_custom_object },
#endif
  { "basic", test_basic },
  { "basic_config", test_basic_config },
  { "properties", test_properties },
  { "environment", test_environment }
};

int
main(int argc, char **argv)
{
  static const tap_suite suites[] = {
    { "simple", simple_cases, TAP_COUNT(simple_cases) }
  };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
