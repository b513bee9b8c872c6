/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check on opening: is the bucket there, may we do what we shall have to,
 * what does the server honour. With Amazon one listing tells all that is not
 * known; elsewhere an object of a random name is written, read, listed and
 * removed. What the server honours is decided by plain answers alone: a doubt
 * fails the check, since two processes that decide differently would not see
 * each other's commits.
 *
 * Runs on the caller's thread; each request is an operation of its own on the
 * network thread, one after the other.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "plugins/s3/check.h"
#include "plugins/s3/settings_parts.h"
#include "plugins/s3/uri.h"

#define CHECK_PATH (SB_OBJECT_NAME_MAX / 2 + 64)
/* The object's name begins with it, below the base path. The engine's own
   names are one level further down, so that it never lists this one. */
#define CHECK_NAME ".probe-"

typedef struct checker {
  s3_store *store;
  const sb_host *host;
  sb_event *event;
  s3_call call;              /* the last one */
  s3_buf query;
  sb_slice slice;
  char prefix[CHECK_PATH];   /* "" or "base/" */
  char name[CHECK_PATH];
  char etag[SB_ETAG_MAX + 1]; /* of the object as last put */
  const char *content;       /* likewise */
  int made;                  /* the object may be there */
  unsigned denied;           /* S3_CHECK_... */
  char reason[256];          /* of the first denial */
} checker;

/* ---- one request -------------------------------------------------------- */

static void
check_over(void *arg, const sb_store_result *result)
{
  checker *c = arg;

  (void)result;
  c->host->event_set(c->host, c->event);
}

/* A server that takes CRC-32C gives it back; others would not look at it. */
static void
check_called(s3_call *call)
{
  s3_store *store = call->op->store;

  if (call->kind == S3_KIND_PUT && call->status == SB_OK &&
      store->settings->checksum == S3_CHECKSUM_AUTO)
    store->crc32c = call->answer.crc32c[0] != '\0';
  s3_op_end(call->op, SB_OK);
}

static void
check_start(s3_op *op)
{
  checker *c = op->arg;

  c->call.op = op;
  s3_call_start(&c->call);
}

static void
check_begin(checker *c, s3_kind kind, const char *method, const char *key,
            uint32_t flags)
{
  s3_call_dispose(&c->call);
  memset(&c->call, 0, sizeof c->call);
  c->call.kind = kind;
  c->call.method = method;
  c->call.key = key;
  c->call.flags = flags | S3_CALL_NO_BUCKET_RETRY;
  c->call.done = check_called;
  /* Not made yet: s3_call_dispose and messages work all the same. */
  c->call.text.host = c->call.answer.meta.host = c->host;
}

/* Waits for the call to end; its outcome is in c->call. */
static sb_status
check_run(checker *c)
{
  sb_request request = { .struct_size = sizeof request,
                         .priority = SB_PRIORITY_COMMIT,
                         .done = check_over,
                         .arg = c };
  s3_op *op = s3_op_new(c->store, sizeof *op, 0, &request, check_start);
  sb_status status = SB_NO_MEMORY;

  if (op != NULL)
    status = s3_op_submit(op, NULL, &c->call.error);
  else
    (void)sb_fail(&c->call.error, status, "could not check bucket \"%s\": out "
                  "of memory", c->store->settings->bucket);
  if (status != SB_OK) {
    s3_op_discard(op);
    c->call.status = status;
    return status;
  }
  while (c->host->event_wait(c->host, c->event, SB_NO_DEADLINE) != SB_OK)
    continue;
  return c->call.status;
}

/* SB_OK if a call that was not refused was denied: that is told in the end,
   all denials together. */
static sb_status
check_outcome(checker *c, unsigned permission, sb_error *err)
{
  if (c->call.status == SB_OK)
    return SB_OK;
  if (!s3_check_denied(&c->call))
    return s3_check_explain(c->store, &c->call, err);
  if (c->denied == 0)
    (void)snprintf(c->reason, sizeof c->reason, "%.250s",
                   c->call.error.message);
  c->denied |= permission;
  return SB_OK;
}

/* ---- the requests ------------------------------------------------------- */

/* A page of one name of those that begin with `prefix`; *found: `prefix`
   itself is the name. */
static sb_status
check_list(checker *c, const char *prefix, int *found, sb_error *err)
{
  s3_xml_list page = { .count = 0 };
  sb_error bad;
  sb_status status;

  s3_buf_clear(&c->query);
  s3_buf_text(&c->query, "list-type=2&max-keys=1&encoding-type=url&prefix=");
  s3_uri_encode(&c->query, prefix, 0);
  if (c->query.failed)
    return sb_fail(err, SB_NO_MEMORY, "out of memory");
  check_begin(c, S3_KIND_LIST, "GET", NULL, S3_CALL_TEXT);
  c->call.query = s3_buf_string(&c->query);
  if (check_run(c) != SB_OK)
    return check_outcome(c, S3_CHECK_LIST, err);
  status = s3_xml_read_list(c->host, s3_buf_string(&c->call.text),
                            c->call.text.len, &page, &bad);
  *found = status == SB_OK && page.count > 0 &&
           strcmp(page.entries[0].key, prefix) == 0;
  s3_xml_list_free(c->host, &page);
  if (status == SB_OK || status == SB_NO_MEMORY)
    return status == SB_OK ? status : sb_fail(err, status, "out of memory");
  return sb_fail(err, SB_CONFIG,
                 "could not list bucket \"%.63s\" at \"%.120s\": the answer "
                 "is no listing (%.100s): this is no S3 server: check host, "
                 "port and scheme of aws.endpoint, and proxies on the way",
                 c->store->settings->bucket, c->store->endpoint.url,
                 bad.message);
}

/* Puts the object. The outcome is in c->call. */
static sb_status
check_put(checker *c, const char *content, const char *test,
          const char *value)
{
  sb_status status;

  check_begin(c, S3_KIND_PUT, "PUT", c->name,
              S3_CALL_WRITE | S3_CALL_CHECKSUM | S3_CALL_OBJECT |
                S3_CALL_CUSTOMER_KEY);
  if (test != NULL)
    s3_call_header(&c->call, test, value);
  c->slice.data = content;
  c->slice.len = strlen(content);
  c->call.body.slices = &c->slice;
  c->call.body.count = 1;
  c->call.body.length = c->slice.len;
  status = check_run(c);
  c->made |= status == SB_OK || status == SB_UNKNOWN || c->call.ambiguous;
  if (status == SB_OK) {
    c->content = content;
    memcpy(c->etag, c->call.answer.etag, sizeof c->etag);
  }
  return status;
}

static sb_status
check_remove(checker *c)
{
  check_begin(c, S3_KIND_DELETE, "DELETE", c->name, 0);
  if (check_run(c) == SB_NOT_FOUND)
    c->call.status = SB_OK;
  if (c->call.status == SB_OK)
    c->made = 0;
  return c->call.status;
}

/* ---- conditions --------------------------------------------------------- */

/* What the call with a test says: 1 it was refused as it should, 0 the server
   took or did not understand it, -1 it cannot be told. */
static int
check_refused(const s3_call *call)
{
  switch (call->status) {
  case SB_CONFLICT:
    return 1;
  case SB_OK:
  case SB_UNSUPPORTED:
  case SB_INVALID:
    return 0;
  default:
    return -1;
  }
}

static int
check_not_understood(sb_status status)
{
  return status == SB_UNSUPPORTED || status == SB_INVALID;
}

/* A put with a test was refused, though it should not have been. An earlier
   attempt of it may have passed whose answer was lost, perhaps inside of
   libcurl: then the object has another tag than `old` ("" for none). *passed
   is 0 if the refusal was real. */
static sb_status
check_look(checker *c, const char *old, const char *content, int *passed,
           sb_error *err)
{
  sb_status status;

  *passed = 0;
  check_begin(c, S3_KIND_HEAD, "HEAD", c->name, S3_CALL_CUSTOMER_KEY);
  status = check_run(c);
  if (status == SB_NOT_FOUND)
    return SB_OK;
  if (status != SB_OK)
    return s3_check_explain(c->store, &c->call, err);
  *passed = strcmp(c->call.answer.etag, old) != 0;
  c->made = 1;
  if (*passed)
    c->content = content;
  memcpy(c->etag, c->call.answer.etag, sizeof c->etag);
  return SB_OK;
}

static void
check_log(const checker *c, uint32_t level, const char *text)
{
  c->host->log(c->host, level, c->store->settings->scheme, text);
}

/* Some servers take the headers and encrypt nothing: what was to be secret
   would lie there for all to read. */
static sb_status
check_encrypted(const checker *c, sb_error *err)
{
  const s3_settings *settings = c->store->settings;

  if (settings->sse == S3_SSE_NONE || c->call.answer.sse[0] != '\0')
    return SB_OK;
  return sb_fail(err, SB_UNSUPPORTED,
                 "%sstate-file-encryption is true, but the server at "
                 "\"%.100s\" does not say that it encrypts: take another "
                 "kind of encryption, or do without",
                 settings->prefix, c->store->endpoint.url);
}

/* The first put, so that it also shows whether we may write, and whether it is
   the checksum that the server does not take. *honours is 0 if the server does
   not know If-None-Match or refuses a free name. */
static sb_status
check_create_first(checker *c, int *honours, sb_error *err)
{
  static const char content[] = "first";
  sb_status status = check_put(c, content, "if-none-match", "*");

  if (check_not_understood(status) &&
      c->store->settings->checksum == S3_CHECKSUM_AUTO) {
    c->store->crc32c = 0;
    status = check_put(c, content, "if-none-match", "*");
  }
  *honours = status == SB_OK;
  if (status == SB_OK)
    return check_encrypted(c, err);
  if (status == SB_CONFLICT)
    return check_look(c, "", content, honours, err);
  if (check_not_understood(status))
    status = check_put(c, "first, again", NULL, NULL);
  return status == SB_OK ? check_encrypted(c, err)
                         : check_outcome(c, S3_CHECK_WRITE, err);
}

static sb_status
check_create(checker *c, int *honours, sb_error *err)
{
  sb_status status = check_create_first(c, honours, err);

  if (status != SB_OK || !*honours)
    return status;
  (void)check_put(c, "second", "if-none-match", "*");
  *honours = check_refused(&c->call);
  return *honours < 0 ? s3_check_explain(c->store, &c->call, err) : SB_OK;
}

/* Both sides count: the right tag must pass and an old one must not. */
static sb_status
check_match(checker *c, int *honours, sb_error *err)
{
  static const char content[] = "third, by its tag";
  char old[SB_ETAG_MAX + 1];
  sb_status status;
  int refused;

  *honours = 0;
  if (c->etag[0] == '\0')
    return SB_OK;
  memcpy(old, c->etag, sizeof old);
  (void)check_put(c, content, "if-match", old);
  refused = check_refused(&c->call);
  if (refused < 0)
    return s3_check_explain(c->store, &c->call, err);
  *honours = c->call.status == SB_OK && strcmp(old, c->etag) != 0;
  if (refused) {
    status = check_look(c, old, content, honours, err);
    if (status != SB_OK)
      return status;
  }
  if (!*honours)
    return SB_OK;
  (void)check_put(c, "fourth, by an old tag", "if-match", old);
  *honours = check_refused(&c->call);
  return *honours < 0 ? s3_check_explain(c->store, &c->call, err) : SB_OK;
}

static sb_status
check_conclude(const checker *c, int create, int match, sb_error *err)
{
  const s3_settings *settings = c->store->settings;
  const char *url = c->store->endpoint.url;
  char text[256];

  if (!create)
    return sb_fail(err, SB_UNSUPPORTED,
                   "cannot use bucket \"%.63s\" at \"%.150s\": the server "
                   "does not honour \"If-None-Match: *\", so that two jobs "
                   "could overwrite each other's checkpoints; use a server "
                   "with conditional writes", settings->bucket, url);
  if (match || settings->conditional == S3_CONDITIONAL_CREATE)
    return SB_OK;
  if (settings->conditional == S3_CONDITIONAL_MATCH)
    return sb_fail(err, SB_UNSUPPORTED,
                   "%sconditional-writes is \"match\", but the server at "
                   "\"%.150s\" does not honour If-Match on puts: set it to "
                   "\"auto\" or \"create\"", settings->prefix, url);
  (void)snprintf(text, sizeof text, "the server at \"%.120s\" does not honour "
                 "If-Match on puts: HEAD is kept as numbered objects", url);
  check_log(c, SB_LOG_INFO, text);
  return SB_OK;
}

/* ---- the whole ---------------------------------------------------------- */

static sb_status
check_read(checker *c, sb_error *err)
{
  char bytes[64];

  /* Who may not list is not told that there is nothing to be read. */
  if (!c->made && (c->denied & S3_CHECK_LIST))
    return SB_OK;
  check_begin(c, S3_KIND_GET, "GET", c->name, S3_CALL_CUSTOMER_KEY);
  c->call.buffer = bytes;
  c->call.buffer_size = sizeof bytes;
  if (check_run(c) == SB_NOT_FOUND && c->made)
    return sb_fail(err, SB_UNSUPPORTED, "object \"%.150s\" was put into "
                   "bucket \"%.63s\" and is not there: the server at "
                   "\"%.100s\" is not consistent", c->name,
                   c->store->settings->bucket, c->store->endpoint.url);
  if (c->call.status == SB_NOT_FOUND)
    return SB_OK;
  if (c->call.status != SB_OK)
    return check_outcome(c, S3_CHECK_READ, err);
  if (c->call.received == strlen(c->content) &&
      memcmp(bytes, c->content, c->call.received) == 0)
    return SB_OK;
  return sb_fail(err, SB_CORRUPT, "object \"%.150s\" of bucket \"%.63s\" at "
                 "\"%.100s\" reads back other than it was written", c->name,
                 c->store->settings->bucket, c->store->endpoint.url);
}

static sb_status
check_find(checker *c, sb_error *err)
{
  int found = 0;
  sb_status status;

  if (c->denied & S3_CHECK_LIST)
    return SB_OK;
  status = check_list(c, c->name, &found, err);
  if (status != SB_OK || found || (c->denied & S3_CHECK_LIST))
    return status;
  return sb_fail(err, SB_UNSUPPORTED, "object \"%.150s\" was put into bucket "
                 "\"%.63s\" and is not in its listing: the server at "
                 "\"%.100s\" is not consistent", c->name,
                 c->store->settings->bucket, c->store->endpoint.url);
}

/* Writes, tests conditions, reads and lists; leaves the object behind. */
static sb_status
check_object(checker *c, sb_error *err)
{
  int create = 0, match = 0;
  sb_status status = check_create(c, &create, err);

  if (status == SB_OK && !(c->denied & S3_CHECK_WRITE)) {
    if (create && c->store->settings->conditional != S3_CONDITIONAL_CREATE)
      status = check_match(c, &match, err);
    if (status == SB_OK)
      status = check_conclude(c, create, match, err);
  }
  if (status == SB_OK)
    status = check_read(c, err);
  if (status == SB_OK && c->made)
    status = check_find(c, err);
  if (match)
    c->store->info.flags |= SB_STORE_MATCH;
  return status;
}

/* Whatever happened, nothing stays behind if it can be helped. */
static sb_status
check_clean(checker *c, sb_status status, sb_error *err)
{
  char text[CHECK_PATH + 64];

  if (status != SB_OK && !c->made)
    return status;
  (void)check_remove(c);
  if (c->made) {
    (void)snprintf(text, sizeof text, "object \"%s\" of the opening check "
                   "could not be removed", c->name);
    check_log(c, SB_LOG_WARN, text);
  }
  return status == SB_OK ? check_outcome(c, S3_CHECK_DELETE, err) : status;
}

static sb_status
check_denials(const checker *c, sb_error *err)
{
  return c->denied == 0
           ? SB_OK
           : s3_check_explain_denied(c->store, c->denied, c->prefix,
                                     c->reason, err);
}

static sb_status
check_full(checker *c, sb_error *err)
{
  int found;
  sb_status status = check_list(c, c->prefix, &found, err);

  if (status != SB_OK)
    return status;
  status = check_clean(c, check_object(c, err), err);
  return status == SB_OK ? check_denials(c, err) : status;
}

static sb_status
check_place(checker *c, sb_error *err)
{
  int found;
  sb_status status = check_list(c, c->prefix, &found, err);

  return status == SB_OK ? check_denials(c, err) : status;
}

/* HEAD has no body that says what is wrong; a listing has. */
static sb_status
check_bucket(checker *c, sb_error *err)
{
  check_begin(c, S3_KIND_BUCKET, "HEAD", NULL, 0);
  return check_run(c) == SB_OK ? SB_OK : check_place(c, err);
}

static sb_status
check_as_asked(checker *c, sb_error *err)
{
  switch (c->store->settings->open_check) {
  case S3_OPEN_CHECK_NONE:
    return SB_OK;
  case S3_OPEN_CHECK_BUCKET:
    return check_bucket(c, err);
  case S3_OPEN_CHECK_FULL:
    return check_full(c, err);
  default:
    return c->store->endpoint.amazon ? check_place(c, err)
                                     : check_full(c, err);
  }
}

/* What holds before anything was tried. */
static void
check_assume(checker *c)
{
  const s3_settings *settings = c->store->settings;
  s3_open_check check = settings->open_check;
  int full = check == S3_OPEN_CHECK_FULL ||
             (check == S3_OPEN_CHECK_AUTO && !c->store->endpoint.amazon);

  c->store->info.flags = SB_STORE_CREATE | SB_STORE_COPY |
                         SB_STORE_COPY_FOREIGN;
  if (!full && settings->conditional != S3_CONDITIONAL_CREATE)
    c->store->info.flags |= SB_STORE_MATCH;
}

static void
check_set_names(checker *c)
{
  const char *base = s3_settings_text(c->store->settings, "base-path");

  if (base != NULL)
    (void)snprintf(c->prefix, sizeof c->prefix, "%.*s/",
                   (int)(SB_OBJECT_NAME_MAX / 2), base);
  (void)snprintf(c->name, sizeof c->name, "%.*s" CHECK_NAME "%016llx",
                 (int)(SB_OBJECT_NAME_MAX / 2 + 1), c->prefix,
                 (unsigned long long)c->host->random(c->host));
}

sb_status
s3_check(s3_store *store, sb_error *err)
{
  const sb_host *host = store->host;
  checker *c = s3_alloc(host, sizeof *c);
  sb_status status = SB_NO_MEMORY;

  if (c != NULL)
    c->event = host->event_new(host);
  if (c == NULL || c->event == NULL) {
    s3_free(host, c);
    return sb_fail(err, status, "could not check bucket \"%s\": out of "
                   "memory", store->settings->bucket);
  }
  c->store = store;
  c->host = host;
  c->query = s3_buf_of(host);
  c->call.text.host = c->call.answer.meta.host = host;
  check_set_names(c);
  check_assume(c);
  status = check_as_asked(c, err);
  s3_call_dispose(&c->call);
  s3_buf_free(&c->query);
  host->event_free(host, c->event);
  s3_free(host, c);
  return status;
}
