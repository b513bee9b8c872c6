/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of the S3 plugin about credentials. Goal: requests are signed with
 * the keys that each option leads to, and the token service is asked for what
 * the options about roles say. Method: the test server verifies signatures
 * with the secret of the key they name; a token service of the test gives out
 * keys named after the role, and keeps what it was sent; see
 * options_fixture.h.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <statebackend/credentials.h>

#include "tests/options_fixture.h"

#define PROVIDER "aws.credentials.provider"
#define ROLE PROVIDER ".role.provider"
#define NO_BASIC PROVIDER ".basic.accesskeyid\n" PROVIDER ".basic.secretkey\n"
#define REQUESTS_MAX 4u
#define ARN "arn:aws:iam::1:role/"

/* ---- a token service ---------------------------------------------------- */

typedef struct service {
  http_server *http;
  char url[64];
  pthread_mutex_t lock;      /* guards what follows */
  unsigned count;
  char bodies[REQUESTS_MAX][2048], signers[REQUESTS_MAX][512];
  char tokens[REQUESTS_MAX][128];
} service;

static void
service_keep(char *out, size_t size, const char *text)
{
  (void)snprintf(out, size, "%s", text == NULL ? "" : text);
}

/* The access key is "AKID" and the role's name. */
static int
service_answer(void *arg, http_connection *connection, http_request *request)
{
  service *s = arg;
  char body[1024], role[32] = "";
  const char *name;

  if (http_body(connection, request, 1u << 16) != 0)
    return -1;
  name = strstr(request->body, "role%2F");
  if (name != NULL)
    (void)snprintf(role, sizeof role, "%.*s", (int)strcspn(name + 7, "&"),
                   name + 7);
  pthread_mutex_lock(&s->lock);
  if (s->count < REQUESTS_MAX) {
    service_keep(s->bodies[s->count], sizeof s->bodies[0], request->body);
    service_keep(s->signers[s->count], sizeof s->signers[0],
                 http_header(request, "authorization"));
    service_keep(s->tokens[s->count], sizeof s->tokens[0],
                 http_header(request, "x-amz-security-token"));
    s->count++;
  }
  pthread_mutex_unlock(&s->lock);
  (void)snprintf(body, sizeof body, "<R><Result><Credentials><AccessKeyId>"
                 "AKID%s</AccessKeyId><SecretAccessKey>" S3_TEST_SECRET
                 "</SecretAccessKey><SessionToken>" S3_TEST_TOKEN
                 "</SessionToken><Expiration>2099-01-01T00:00:00Z"
                 "</Expiration></Credentials></Result></R>", role);
  return http_printf(connection, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n"
                     "\r\n%s", strlen(body), body);
}

static void
service_start(service *s)
{
  http_options options = { .handler = service_answer, .arg = s };

  memset(s, 0, sizeof *s);
  pthread_mutex_init(&s->lock, NULL);
  s->http = http_server_start(&options);
  CU_ASSERT_PTR_NOT_NULL_FATAL(s->http);
  (void)snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d",
                 http_server_port(s->http));
}

static void
service_end(service *s)
{
  http_server_stop(s->http);
  pthread_mutex_destroy(&s->lock);
}

/* ---- files and a provider of one's own ---------------------------------- */

static char files_dir[] = "/tmp/sb-s3-options-XXXXXX";

static int
files_write(const char *name, const char *text)
{
  char path[128];
  FILE *file;
  int result;

  (void)snprintf(path, sizeof path, "%s/%s", files_dir, name);
  file = fopen(path, "w");
  if (file == NULL)
    return -1;
  result = fputs(text, file) >= 0 ? 0 : -1;
  return fclose(file) == 0 ? result : -1;
}

/* 0, or -1. */
static int
files_make(void)
{
  if (mkdtemp(files_dir) == NULL)
    return -1;
  return files_write("profiles", "[default]\naws_access_key_id=AKIDdefault\n"
                     "aws_secret_access_key=" S3_TEST_SECRET "\n"
                     "[other]\naws_access_key_id=AKIDother\n"
                     "aws_secret_access_key=" S3_TEST_SECRET "\n"
                     "aws_session_token=" S3_TEST_TOKEN "\n") == 0 &&
         files_write("empty", "") == 0 &&
         files_write("token", "SECRETsecretWEB\n") == 0 ? 0 : -1;
}

static void
files_remove(void)
{
  static const char *const names[] = { "profiles", "empty", "token", "" };
  char path[128];
  size_t i;

  for (i = 0; i < TAP_COUNT(names); i++) {
    (void)snprintf(path, sizeof path, "%s/%s", files_dir, names[i]);
    (void)(names[i][0] == '\0' ? rmdir(files_dir) : unlink(path));
  }
}

static sb_status
custom_fetch(void *ctx, sb_credentials_reply *reply, sb_error *err)
{
  (void)err;
  return reply->set(reply, ctx, S3_TEST_SECRET, S3_TEST_TOKEN, 0);
}

static char custom_key[] = "AKIDcustom";
static sb_credentials_provider custom_provider = {
  .struct_size = sizeof custom_provider, .abi_version = SB_ABI_VERSION,
  .ctx = custom_key, .fetch = custom_fetch
};

static void *
custom_lookup(const sb_host *host, const char *name)
{
  (void)host;
  return strcmp(name, "our-keys") == 0 ? &custom_provider : NULL;
}

/* ---- the table ---------------------------------------------------------- */

typedef struct keys_row {
  const char *keys;          /* options that are seen, with commas; those that
                                begin with '.' are below PROVIDER, with '+'
                                below ROLE */
  /* '@' stands for the directory of files, '$' for the service's URL. */
  const char *settings;
  const char *access;        /* the key that signs, NULL: none comes */
  int token;                 /* it has a session token */
  const char *signers[2];    /* of requests to the service; "": not signed */
  const char *sent;          /* in those requests, with '|' between */
} keys_row;

#define ASSUME NO_BASIC PROVIDER "=ASSUME_ROLE\n" PROVIDER                    \
  ".role.arn=" ARN "last\n" PROVIDER ".role.stsEndpoint=$\n"

static const keys_row keys_rows[] = {
  { ".basic.accesskeyid,.basic.secretkey", PROVIDER
    ".basic.accesskeyid=AKIDother2\n" PROVIDER
    ".basic.secretkey=SECRETsecretOTHER", "AKIDother2", 0, { NULL }, NULL },
  { ".basic.sessiontoken", PROVIDER ".basic.accesskeyid=AKIDother\n" PROVIDER
    ".basic.sessiontoken=" S3_TEST_TOKEN, "AKIDother", 1, { NULL }, NULL },
  { ",aws.accessKeyId,aws.secretKey", PROVIDER "=SYS_PROP\n"
    "aws.accessKeyId=AKIDdefault\naws.secretKey=" S3_TEST_SECRET,
    "AKIDdefault", 0, { NULL }, NULL },
  { "aws.secretAccessKey,aws.sessionToken", PROVIDER "=SYS_PROP\n"
    "aws.accessKeyId=AKIDother\naws.secretKey=SECRETsecretWRONG\n"
    "aws.secretAccessKey=" S3_TEST_SECRET "\naws.sessionToken=" S3_TEST_TOKEN,
    "AKIDother", 1, { NULL }, NULL },
  { ".profile.path", PROVIDER "=PROFILE\n" PROVIDER
    ".profile.path=@/profiles", "AKIDdefault", 0, { NULL }, NULL },
  { NULL, PROVIDER "=PROFILE\n" PROVIDER ".profile.path=@/empty", NULL, 0,
    { NULL }, NULL },
  { ".profile.name", PROVIDER "=PROFILE\n" PROVIDER
    ".profile.path=@/profiles\n" PROVIDER ".profile.name=other", "AKIDother",
    1, { NULL }, NULL },
  { ".custom.class", PROVIDER "=CUSTOM\n" PROVIDER ".custom.class=our-keys",
    "AKIDcustom", 1, { NULL }, NULL },
  { NULL, NO_BASIC PROVIDER "=ENV_VAR", "AKIDenv", 0, { NULL }, NULL },
  { NULL, NO_BASIC, "AKIDenv", 0, { NULL }, NULL },

  { ".role.arn,.role.stsEndpoint,+,+.basic.accesskeyid,+.basic.secretkey",
    ASSUME ROLE "=BASIC\n" ROLE ".basic.accesskeyid=AKIDbase\n" ROLE
    ".basic.secretkey=" S3_TEST_SECRET, "AKIDlast", 1, { "AKIDbase" },
    "Action=AssumeRole&|RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Flast&|"
    "DurationSeconds=3600" },
  { ".role.sessionName,.role.externalId,.role.duration,"
    "+.basic.sessiontoken",
    ASSUME ROLE "=BASIC\n" ROLE ".basic.accesskeyid=AKIDbase\n" ROLE
    ".basic.secretkey=" S3_TEST_SECRET "\n" ROLE
    ".basic.sessiontoken=SECRETsecretBASE\n" PROVIDER
    ".role.sessionName=the-job\n" PROVIDER ".role.externalId=e=1\n" PROVIDER
    ".role.duration=2h", "AKIDlast", 1, { "AKIDbase" },
    "RoleSessionName=the-job|ExternalId=e%3D1|DurationSeconds=7200|"
    "SECRETsecretBASE" },
  { "+.profile.path,+.profile.name", ASSUME ROLE "=PROFILE\n" ROLE
    ".profile.path=@/profiles\n" ROLE ".profile.name=other", "AKIDlast", 1,
    { "AKIDother" }, NULL },
  { "+.role.arn,+.role.sessionName,+.role.externalId,+.role.provider",
    ASSUME ROLE "=ASSUME_ROLE\n" ROLE ".role.arn=" ARN "first\n" ROLE
    ".role.sessionName=the-first\n" ROLE ".role.externalId=one\n" ROLE
    ".role.provider=ENV_VAR", "AKIDlast", 1, { "AKIDenv", "AKIDfirst" },
    "role%2Ffirst&|RoleSessionName=the-first|ExternalId=one|role%2Flast&" },
  { "+.webIdentityToken.file", ASSUME ROLE "=WEB_IDENTITY_TOKEN\n" ROLE
    ".role.arn=" ARN "web\n" ROLE ".webIdentityToken.file=@/token",
    "AKIDlast", 1, { "", "AKIDweb" }, "Action=AssumeRoleWithWebIdentity&|"
    "role%2Fweb&|WebIdentityToken=SECRETsecretWEB" },
  { "+.custom.class", ASSUME ROLE "=CUSTOM\n" ROLE ".custom.class=our-keys",
    "AKIDlast", 1, { "AKIDcustom" }, NULL },
  { ".webIdentityToken.file", NO_BASIC PROVIDER "=WEB_IDENTITY_TOKEN\n"
    PROVIDER ".role.arn=" ARN "web\n" PROVIDER ".role.stsEndpoint=$\n"
    PROVIDER ".webIdentityToken.file=@/token", "AKIDweb", 1, { "" },
    "Action=AssumeRoleWithWebIdentity&|WebIdentityToken=SECRETsecretWEB" },
};

static void
keys_settings(const keys_row *row, const service *s, char *out, size_t size)
{
  const char *in;
  size_t len = 0;

  for (in = row->settings; *in != '\0' && len + 1 < size; in++) {
    const char *text = *in == '@' ? files_dir : *in == '$' ? s->url : NULL;

    if (text == NULL)
      out[len++] = *in;
    else
      len += (size_t)snprintf(out + len, size - len, "%s", text);
  }
  out[len] = '\0';
}

static void
keys_know(s3_server *server)
{
  static const char *const with_token[] = {
    "AKIDother", "AKIDcustom", "AKIDlast", "AKIDfirst", "AKIDweb"
  };
  size_t i;

  for (i = 0; i < TAP_COUNT(with_token); i++)
    s3_server_credentials(server, with_token[i], S3_TEST_SECRET,
                          S3_TEST_TOKEN);
  s3_server_credentials(server, "AKIDdefault", S3_TEST_SECRET, NULL);
  s3_server_credentials(server, "AKIDenv", S3_TEST_SECRET, NULL);
  s3_server_credentials(server, "AKIDother2", "SECRETsecretOTHER", NULL);
}

/* "AKID..." of "AWS4-HMAC-SHA256 Credential=AKID.../..." */
static void
keys_signer(const char *authorization, char out[64])
{
  const char *at = strstr(authorization, "Credential=");

  out[0] = '\0';
  if (at != NULL)
    (void)snprintf(out, 64, "%.*s", (int)strcspn(at + 11, "/"), at + 11);
}

static int
keys_was_sent(const service *s, const char *text, size_t len)
{
  char wanted[128];
  unsigned i;

  (void)snprintf(wanted, sizeof wanted, "%.*s", (int)len, text);
  for (i = 0; i < s->count; i++)
    if (strstr(s->bodies[i], wanted) != NULL ||
        strcmp(s->tokens[i], wanted) == 0)
      return 1;
  return 0;
}

/* Texts that may be secrets are not shown: the place in the row is. */
static void
keys_check_service(const keys_row *row, const service *s, size_t number)
{
  unsigned count = row->signers[0] == NULL ? 0
                   : row->signers[1] == NULL ? 1 : 2, i;
  const char *text = row->sent;
  char signer[64];

  CU_ASSERT_EQUAL(s->count, count);
  for (i = 0; i < count && i < s->count; i++) {
    keys_signer(s->signers[i], signer);
    CU_ASSERT_STRING_EQUAL(signer, row->signers[i]);
  }
  for (i = 1; text != NULL && *text != '\0'; i++) {
    size_t len = strcspn(text, "|");

    CU_ASSERT(keys_was_sent(s, text, len));
    if (!keys_was_sent(s, text, len))
      tap_note("row %zu: text %u was not sent", number, i);
    text += len + (text[len] == '|');
  }
}

static void
keys_seen(const char *keys)
{
  char key[128];

  while (keys != NULL && *keys != '\0') {
    size_t len = strcspn(keys, ",");
    const char *prefix = *keys == '.' ? PROVIDER : *keys == '+' ? ROLE : "";
    size_t skip = *keys == '+';

    (void)snprintf(key, sizeof key, "%s%.*s", prefix, (int)(len - skip),
                   keys + skip);
    options_seen(key[0] == '\0' ? PROVIDER : key);
    keys += len + (keys[len] == ',');
  }
}

static void
keys_try(const keys_row *row, size_t number)
{
  char settings[1024], signer[64];
  sb_status status;
  service s;
  s3_fixture f;

  service_start(&s);
  s3_fixture_start(&f, NULL);
  keys_know(f.server);
  f.host.lookup = custom_lookup;
  keys_settings(row, &s, settings, sizeof settings);
  CU_ASSERT_EQUAL_FATAL(options_open(&f, settings), SB_OK);
  status = s3_fixture_get(&f, 0, 100);
  CU_ASSERT_EQUAL(status == SB_OK, row->access != NULL);
  keys_signer(options_header(&f, "get", 1, "authorization"), signer);
  CU_ASSERT_STRING_EQUAL(signer, row->access == NULL ? "" : row->access);
  if (strcmp(signer, row->access == NULL ? "" : row->access) != 0)
    tap_note("row %zu: signed by \"%s\"", number, signer);
  CU_ASSERT_EQUAL(strcmp(options_header(&f, "get", 1, "x-amz-security-token"),
                         S3_TEST_TOKEN) == 0, row->token);
  keys_check_service(row, &s, number);
  keys_seen(row->keys);
  s3_fixture_end(&f);
  service_end(&s);
}

static void
test_keys(void)
{
  size_t i;

  for (i = 0; i < TAP_COUNT(keys_rows); i++)
    keys_try(&keys_rows[i], i);
}

static void
test_all(void)
{
  options_check("credentials");
}

/* What the environment has of others' is not for this program. */
static void
environment_clear(void)
{
  static const char *const names[] = {
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_STS",
    "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI"
  };
  size_t i;

  for (i = 0; i < TAP_COUNT(names); i++)
    (void)unsetenv(names[i]);
  (void)setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
  (void)setenv("AWS_ACCESS_KEY_ID", "AKIDenv", 1);
  (void)setenv("AWS_SECRET_ACCESS_KEY", S3_TEST_SECRET, 1);
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "keys", test_keys },
    { "every option is seen", test_all },
  };
  static const tap_suite suites[] = { { "s3_options_credentials", cases,
                                        TAP_COUNT(cases) } };
  int result;

  environment_clear();
  if (files_make() != 0) {
    (void)fprintf(stderr, "could not make files in /tmp\n");
    return 1;
  }
  (void)setenv("HOME", files_dir, 1);
  result = tap_main(argc, argv, suites, TAP_COUNT(suites));
  files_remove();
  return result;
}
