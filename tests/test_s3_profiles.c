/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Amazon's shared files: how they are read, and everything that a profile can
 * lead to: keys, commands, SSO, roles, other profiles.
 */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/s3/profile.h"
#include "tests/credentials_service.h"
#include "tests/tap.h"

/* ---- the reader --------------------------------------------------------- */

static s3_profiles *
read_usual(rig *r)
{
  s3_profiles *profiles;
  sb_error err;

  err.message[0] = '\0';
  if (s3_profiles_read(&r->faulty.host, NULL, &profiles, &err) != SB_OK)
    tap_note("%s", err.message);
  CU_ASSERT_PTR_NOT_NULL_FATAL(profiles);
  return profiles;
}

static void
is_value(const s3_profiles *profiles, const char *name, const char *key,
         const char *value)
{
  const char *found = s3_profiles_get(profiles, S3_PROFILE, name, key);

  CU_ASSERT_EQUAL(found == NULL, value == NULL);
  if (found == NULL || value == NULL)
    return;
  CU_ASSERT_STRING_EQUAL(found, value);
  if (strcmp(found, value) != 0)
    tap_note("[%s] %s is \"%s\"", name, key, found);
}

static void
test_reader(void)
{
  s3_profiles *p;
  rig r;

  rig_start(&r);
  (void)rig_file(&r, ".aws/config",
                 "\xef\xbb\xbf# a comment\r\n"
                 "lost = 1\n"
                 "[default]\nregion = plain\nonly = here\n"
                 "[profile default]\nregion = marked ; comment\n"
                 "[ profile  spaced  name ]  # x\n"
                 "key=  a = b # c\r\n\tnested = no\n; key = no\n"
                 "  key = no\nempty =\nnothing\nUPPER = v#w\n"
                 "s3 =\n  addressing_style = path\n"
                 "[bare]\nkey = ignored\n"
                 "[sso-session one]\nsso_region = r\n"
                 "[services x]\nkey = ignored\n"
                 "[profile open\nkey = ignored\n"
                 "[profile last]\nkey = 1\nkey = 2");
  (void)rig_file(&r, ".aws/credentials",
                 "[default]\nregion = winner\n[new]\nkey = x\n"
                 "[profile marked]\nkey = too\n");
  p = read_usual(&r);
  is_value(p, "default", "region", "winner");
  is_value(p, "default", "only", "here");
  is_value(p, "default", "lost", NULL);
  is_value(p, "spaced  name", "key", "a = b");
  is_value(p, "spaced  name", "nested", NULL);
  is_value(p, "spaced  name", "empty", NULL);
  is_value(p, "spaced  name", "upper", "v#w");
  is_value(p, "new", "key", "x");
  is_value(p, "marked", "key", "too");
  is_value(p, "last", "key", "2");
  CU_ASSERT(!s3_profiles_has(p, S3_PROFILE, "bare"));
  CU_ASSERT(!s3_profiles_has(p, S3_PROFILE, "x"));
  CU_ASSERT(!s3_profiles_has(p, S3_PROFILE, "one"));
  CU_ASSERT_STRING_EQUAL(s3_profiles_get(p, S3_SSO_SESSION, "one",
                                         "sso_region"), "r");
  s3_profiles_free(p);
  rig_end(&r);
}

static void
test_reader_files(void)
{
  s3_profiles *p;
  sb_error err;
  rig r;

  rig_start(&r);
  CU_ASSERT_EQUAL(s3_profiles_read(&r.faulty.host, NULL, &p, &err),
                  SB_NOT_FOUND);
  CU_ASSERT_EQUAL(s3_profiles_read(&r.faulty.host, r.home, &p, &err),
                  SB_CONFIG);
  CU_ASSERT_EQUAL(s3_profiles_read(&r.faulty.host,
                                   rig_file(&r, "big", "%2000000d", 1), &p,
                                   &err), SB_TOO_LARGE);
  CU_ASSERT_EQUAL(s3_profiles_read(&r.faulty.host, rig_file(&r, "none", "%s",
                                                            ""), &p, &err),
                  SB_OK);
  s3_profiles_free(p);
  (void)rig_file(&r, "else/c", "[profile a]\nkey = c\n");
  (void)rig_file(&r, "else/d", "[a]\nother = d\n");
  rig_env("AWS_CONFIG_FILE", "~/else/c");
  rig_env("AWS_SHARED_CREDENTIALS_FILE", "~/else/d");
  p = read_usual(&r);
  is_value(p, "a", "key", "c");
  is_value(p, "a", "other", "d");
  s3_profiles_free(p);
  rig_end(&r);
}

/* ---- keys --------------------------------------------------------------- */

static void
start(rig *r)
{
  rig_start(r);
  rig_set(r, PROVIDER, "PROFILE");
}

static void
test_keys(void)
{
  char path[512];
  rig r;

  start(&r);
  (void)rig_file(&r, ".aws/credentials",
                 "[default]\naws_access_key_id = AKIADEFAULT\n"
                 "aws_secret_access_key = " SECRET "Default\n"
                 "[other]\naws_access_key_id = AKIAOTHER\n"
                 "aws_secret_access_key = " SECRET "Other\n"
                 "aws_session_token = " SECRET "Token\n");
  rig_must_open(&r);
  CU_ASSERT_STRING_EQUAL(s3_provider_name(r.provider), "PROFILE");
  rig_is(&r, "AKIADEFAULT", SECRET "Default", NULL);
  rig_env("AWS_PROFILE", "other");
  CU_ASSERT_EQUAL(rig_reject(&r), 1);
  rig_is(&r, "AKIAOTHER", SECRET "Other", SECRET "Token");
  s3_provider_close(r.provider);
  /* A file of one's own is read alone. */
  (void)snprintf(path, sizeof path, "%s",
                 rig_file(&r, "mine", "[job]\naws_access_key_id = AKIAMINE\n"
                          "aws_secret_access_key = " SECRET "Mine\n"));
  rig_set(&r, PROVIDER ".profile.path", path);
  rig_set(&r, PROVIDER ".profile.name", "job");
  rig_must_open(&r);
  rig_is(&r, "AKIAMINE", SECRET "Mine", NULL);
  s3_provider_close(r.provider);
  rig_set(&r, PROVIDER ".profile.name", "other");
  rig_must_open(&r);
  rig_fails(&r, SB_DENIED, "there is no profile \"other\"");
  rig_end(&r);
}

/* The files are read again when the server refuses what stood in them. */
static void
test_keys_replaced(void)
{
  rig r;

  start(&r);
  rig_must_open(&r);
  rig_fails(&r, SB_DENIED, "could not read profile file");
  (void)rig_file(&r, ".aws/credentials",
                 "[default]\naws_access_key_id = AKIA1\n");
  rig_ahead(&r, 3000);
  rig_fails(&r, SB_CONFIG, "has no \"aws_secret_access_key\"");
  (void)rig_file(&r, ".aws/credentials",
                 "[default]\naws_access_key_id = AKIA1\n"
                 "aws_secret_access_key = " SECRET "1\n");
  rig_ahead(&r, 3000);
  rig_is(&r, "AKIA1", SECRET "1", NULL);
  (void)rig_file(&r, ".aws/credentials",
                 "[default]\naws_access_key_id = AKIA2\n"
                 "aws_secret_access_key = " SECRET "2\n");
  rig_is(&r, "AKIA1", SECRET "1", NULL);
  CU_ASSERT_EQUAL(rig_reject(&r), 1);
  rig_is(&r, "AKIA2", SECRET "2", NULL);
  rig_end(&r);
}

/* ---- roles -------------------------------------------------------------- */

static void
role_fails(rig *r, const char *profile, const char *text)
{
  rig_env("AWS_PROFILE", profile);
  rig_ahead(r, 3000);
  rig_fails(r, SB_CONFIG, text);
}

static void
test_role(void)
{
  char value[512];
  service s;
  rig r;

  service_start(&s, &r, SERVICE_ROLE);
  rig_set(&r, PROVIDER, "PROFILE");
  rig_set(&r, PROVIDER ".profile.name", "top");
  (void)rig_file(&r, ".aws/config",
                 "[profile top]\nrole_arn = arn:top\nsource_profile = mid\n"
                 "external_id = ext\nrole_session_name = me\n"
                 "duration_seconds = 1800\nregion = eu-north-1\n"
                 "[profile mid]\nrole_arn = arn:mid\nsource_profile = mid\n"
                 "aws_access_key_id = AKIAMID\n"
                 "aws_secret_access_key = " SECRET "Mid\n");
  rig_must_open(&r);
  service_is(&s, 2);
  CU_ASSERT_EQUAL(http_stub_count(s.stub), 2);
  CU_ASSERT(service_sent(&s, "arn%3Atop"));
  CU_ASSERT(service_sent(&s, "ExternalId=ext"));
  CU_ASSERT(service_sent(&s, "RoleSessionName=me"));
  CU_ASSERT(service_sent(&s, "DurationSeconds=1800"));
  CU_ASSERT_PTR_NOT_NULL(strstr(service_header(&s, "authorization", value),
                                "/eu-north-1/sts/"));
  service_end(&s);
}

static void
test_role_sources(void)
{
  char value[512];
  service s;
  rig r;

  service_start(&s, &r, SERVICE_ROLE);
  rig_set(&r, PROVIDER, "PROFILE");
  (void)rig_file(&r, ".aws/config",
                 "[default]\nrole_arn = arn:x\n"
                 "credential_source = Environment\n");
  rig_env("AWS_ACCESS_KEY_ID", "AKIAENV");
  rig_env("AWS_SECRET_ACCESS_KEY", SECRET "Env");
  rig_must_open(&r);
  service_is(&s, 1);
  CU_ASSERT_PTR_NOT_NULL(strstr(service_header(&s, "authorization", value),
                                "Credential=AKIAENV/"));
  (void)rig_file(&r, ".aws/config",
                 "[default]\nrole_arn = arn:x\n"
                 "web_identity_token_file = ~/web\n");
  (void)rig_file(&r, "web", SECRET "Web");
  CU_ASSERT_EQUAL(rig_reject(&r), 1);
  service_is(&s, 2);
  CU_ASSERT(service_sent(&s, "WebIdentityToken=" SECRET "Web"));
  CU_ASSERT_PTR_NULL(service_header(&s, "authorization", value));
  service_end(&s);
}

static void
test_role_bad(void)
{
  rig r;

  start(&r);
  (void)rig_file(
    &r, ".aws/config",
    "[profile none]\nrole_arn = x\n"
    "[profile both]\nrole_arn = x\nsource_profile = a\n"
    "credential_source = Environment\n"
    "[profile odd]\nrole_arn = x\ncredential_source = Elsewhere\n"
    "[profile a]\nrole_arn = x\nsource_profile = b\n"
    "[profile b]\nrole_arn = x\nsource_profile = a\n"
    "[profile self]\nrole_arn = x\nsource_profile = self\n"
    "[profile 1]\nrole_arn = x\nsource_profile = 2\n"
    "[profile 2]\nrole_arn = x\nsource_profile = 3\n"
    "[profile 3]\nrole_arn = x\nsource_profile = 4\n"
    "[profile 4]\nrole_arn = x\nsource_profile = 5\n"
    "[profile 5]\nrole_arn = x\nsource_profile = 6\n"
    "[profile 6]\nrole_arn = x\nsource_profile = 7\n"
    "[profile 7]\nrole_arn = x\nsource_profile = 8\n"
    "[profile 8]\nrole_arn = x\nsource_profile = 9\n"
    "[profile 9]\nrole_arn = x\nsource_profile = 9\n");
  rig_must_open(&r);
  role_fails(&r, "none", "neither source_profile nor credential_source");
  role_fails(&r, "both", "both source_profile and credential_source");
  role_fails(&r, "odd", "\"Elsewhere\"");
  role_fails(&r, "a", "leads from profile \"a\" back to it");
  role_fails(&r, "self", "leads from profile \"self\" back to it");
  role_fails(&r, "1", "over more than 8 profiles");
  rig_end(&r);
}

/* ---- SSO ---------------------------------------------------------------- */

static void
test_sso(void)
{
  char value[512];
  service s;
  rig r;

  service_start(&s, &r, SERVICE_SSO);
  rig_must_open(&r);
  service_is(&s, 1);
  CU_ASSERT_STRING_EQUAL(s.path, "/federation/credentials?role_name="
                         "Read%26Write&account_id=123456789012");
  CU_ASSERT_STRING_EQUAL(service_header(&s, "x-amz-sso_bearer_token", value),
                         SECRET "Sso");
  /* The token has expired meanwhile. */
  rig_ahead(&r, 601 * MINUTE);
  rig_fails(&r, SB_DENIED, "log in with \"aws sso login\"");
  service_end(&s);
}

/* A session of a name: the token's file is named after it. */
static void
test_sso_session(void)
{
  char end[32];
  service s;
  rig r;

  service_start(&s, &r, SERVICE_SSO);
  (void)rig_file(&r, ".aws/config",
                 "[profile dev]\nsso_session = work\nsso_account_id = 1\n"
                 "sso_role_name = r\nendpoint_url = %s/\n"
                 "[sso-session work]\nsso_region = us-east-1\n"
                 "sso_start_url = https://x\n",
                 http_stub_url(s.stub));
  rig_env("AWS_ENDPOINT_URL_SSO", NULL);
  rig_env("AWS_PROFILE", "dev");
  rig_must_open(&r);
  rig_fails(&r, SB_DENIED, "there is no cached SSO token");
  /* SHA-1 of "work". */
  (void)rig_file(&r, ".aws/sso/cache/"
                 "e274eeff768c6396088ec6eb091f4bf4d47ab1e0.json", "{}");
  rig_ahead(&r, 3000);
  rig_fails(&r, SB_UNAVAILABLE, "cannot be read");
  (void)rig_file(&r, ".aws/sso/cache/"
                 "e274eeff768c6396088ec6eb091f4bf4d47ab1e0.json",
                 "{\"accessToken\": \"" SECRET "Named\", \"expiresAt\": "
                 "\"%.19sUTC\"}", rig_time(rig_now(&r) + 60 * MINUTE, end));
  rig_ahead(&r, 3000);
  service_is(&s, 1);
  service_end(&s);
}

static void
test_sso_bad(void)
{
  service s;
  rig r;

  service_start(&s, &r, SERVICE_SSO);
  (void)rig_file(&r, ".aws/config",
                 "[default]\nsso_session = gone\n[profile half]\n"
                 "sso_account_id = 1\n");
  rig_must_open(&r);
  rig_fails(&r, SB_CONFIG, "names the sso-session \"gone\"");
  role_fails(&r, "half", "has no \"sso_start_url\" for SSO");
  service_end(&s);
}

/* ---- credential_process ------------------------------------------------- */

static void
process_set(rig *r, const char *command)
{
  (void)rig_file(r, ".aws/config", "[default]\ncredential_process = %s\n",
                 command);
}

static void
process_fails(rig *r, const char *command, sb_status status, const char *text)
{
  process_set(r, command);
  rig_ahead(r, 3000);
  rig_fails(r, status, text);
}

static void
process_json(rig *r, unsigned n)
{
  char end[32];

  (void)rig_file(r, "json",
                 "{\"Version\": 1, \"AccessKeyId\": \"AKIA%u\", "
                 "\"SecretAccessKey\": \"" SECRET "Key%u\", "
                 "\"SessionToken\": \"" SECRET "Token%u\", "
                 "\"Expiration\": \"%s\"}", n, n, n,
                 rig_time(rig_now(r) + 60 * MINUTE, end));
}

static void
test_process(void)
{
  rig r;

  start(&r);
  process_json(&r, 1);
  process_set(&r, "echo " SECRET " >&2; cat; cat \"$HOME/json\"");
  rig_must_open(&r);
  rig_is(&r, "AKIA1", SECRET "Key1", SECRET "Token1");
  process_json(&r, 2);
  rig_ahead(&r, 61 * MINUTE);
  process_json(&r, 2);
  rig_is(&r, "AKIA2", SECRET "Key2", SECRET "Token2");
  /* It fails; the old ones are still good. */
  process_set(&r, "exit 3");
  rig_ahead(&r, 56 * MINUTE);
  rig_is(&r, "AKIA2", SECRET "Key2", SECRET "Token2");
  CU_ASSERT(rig_wait(&r, 3));
  CU_ASSERT(rig_heard(&r, "failed with status 3"));
  rig_is(&r, "AKIA2", SECRET "Key2", SECRET "Token2");
  rig_end(&r);
}

static void
test_process_bad(void)
{
  rig r;

  start(&r);
  rig_must_open(&r);
  process_fails(&r, "echo '" SECRET "'", SB_UNAVAILABLE, "no JSON");
  process_fails(&r, "true", SB_UNAVAILABLE, "no JSON");
  process_fails(&r, "echo '{\"AccessKeyId\":\"" SECRET "\"}'", SB_UNAVAILABLE,
                "no \"Version\": 1");
  process_fails(&r, "echo '{\"Version\":1}'", SB_UNAVAILABLE, "no access key");
  process_fails(&r, "echo '{\"Version\":1,\"AccessKeyId\":\"AK\","
                "\"SecretAccessKey\":\"" SECRET "\",\"Expiration\":\""
                SECRET "\"}'", SB_UNAVAILABLE, "\"Expiration\" that is no time");
  process_fails(&r, "echo " SECRET "; exit 5", SB_UNAVAILABLE, "status 5");
  process_fails(&r, "/no/such/" SECRET, SB_CONFIG, "not found by the shell");
  process_fails(&r, "kill -9 $$", SB_UNAVAILABLE, "ended by signal 9");
  process_fails(&r, "head -c 1000000 /dev/zero; sleep 30",
                SB_UNAVAILABLE, "more than 65536 bytes");
  rig_end(&r);
}

static pid_t
process_pid(rig *r)
{
  char path[512];
  long pid = 0;
  int i;

  (void)snprintf(path, sizeof path, "%s/pid", r->home);
  for (i = 0; i < 200 && pid == 0; i++) {
    FILE *file = fopen(path, "r");

    if (file == NULL || fscanf(file, "%ld", &pid) != 1)
      pid = 0;
    if (file != NULL)
      (void)fclose(file);
    (void)usleep(10000);
  }
  return (pid_t)pid;
}

/* What it leaves behind does not hold us up. */
static void
test_process_helper(void)
{
  uint64_t start_ms;
  rig r;

  start(&r);
  start_ms = rig_now(&r);
  process_json(&r, 1);
  process_set(&r, "sleep 9 & echo $! >\"$HOME/pid\"; "
              "cat \"$HOME/json\"");
  rig_must_open(&r);
  rig_is(&r, "AKIA1", SECRET "Key1", SECRET "Token1");
  CU_ASSERT(rig_now(&r) - start_ms < 3000);
  CU_ASSERT_EQUAL(kill(process_pid(&r), SIGKILL), 0);
  rig_end(&r);
}

static void
ignore_done(void *arg, s3_credentials *credentials, const sb_error *error)
{
  *(sb_error *)arg = *error;
  s3_credentials_unref(credentials);
}

/* One that does not end is killed, when its time is up or the store is
   closed. */
static void
process_hangs(int close)
{
  s3_credentials *got;
  uint64_t start_ms;
  sb_error err;
  pid_t pid;
  rig r;
  int i;

  memset(&err, 0, sizeof err);
  start(&r);
  process_set(&r, "echo $$ >\"$HOME/pid\"; sleep 100; true");
  rig_must_open(&r);
  s3_provider_get(r.provider, ignore_done, &err, &got);
  pid = process_pid(&r);
  CU_ASSERT(pid > 0);
  if (!close)
    rig_ahead(&r, 2 * MINUTE);
  if (!close)
    CU_ASSERT(rig_wait(&r, 1));
  start_ms = rig_now(&r);
  s3_provider_close(r.provider);
  r.provider = NULL;
  CU_ASSERT(rig_now(&r) - start_ms < 2000);
  CU_ASSERT_EQUAL(err.status, close ? SB_CANCELLED : SB_UNAVAILABLE);
  for (i = 0; i < 100 && kill(pid, 0) == 0; i++)
    (void)usleep(10000);
  CU_ASSERT(pid > 0 && kill(pid, 0) != 0 && errno == ESRCH);
  rig_end(&r);
}

static void
test_process_slow(void)
{
  process_hangs(0);
}

static void
test_process_close(void)
{
  process_hangs(1);
}

static const tap_case reader_cases[] = {
  { "reader", test_reader },
  { "reader_files", test_reader_files }
};

static const tap_case profile_cases[] = {
  { "keys", test_keys },
  { "keys_replaced", test_keys_replaced },
  { "role", test_role },
  { "role_sources", test_role_sources },
  { "role_bad", test_role_bad },
  { "sso", test_sso },
  { "sso_session", test_sso_session },
  { "sso_bad", test_sso_bad }
};

static const tap_case process_cases[] = {
  { "process", test_process },
  { "process_bad", test_process_bad },
  { "process_helper", test_process_helper },
  { "process_slow", test_process_slow },
  { "process_close", test_process_close }
};

int
main(int argc, char **argv)
{
  static const tap_suite suites[] = {
    { "reader", reader_cases, TAP_COUNT(reader_cases) },
    { "profile", profile_cases, TAP_COUNT(profile_cases) },
    { "process", process_cases, TAP_COUNT(process_cases) }
  };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
