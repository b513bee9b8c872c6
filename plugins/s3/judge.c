/* SPDX-License-Identifier: Apache-2.0 */
/* Judging attempts and curing causes; see judge.h. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "plugins/s3/judge.h"

#define JUDGE_FIXED_REGION 1
#define JUDGE_FIXED_CLOCK 2
#define JUDGE_FIXED_CREDENTIALS 4
#define JUDGE_DENIED_ATTEMPTS 3u
#define JUDGE_WORDS_MAX 120     /* of a server's message */
#define JUDGE_SKEW_MS (4 * 60 * 1000)

/* ---- words ----------------------------------------------------------------- */

/* A server may repeat what it was sent: nothing secret comes back out. */
static int
judge_is_safe(const char *message, const s3_exchange *x)
{
  const s3_credentials *c = x->credentials;
  const s3_settings *settings = x->net->settings;
  char start[17];

  if ((settings->customer_key != NULL
       && strstr(message, settings->customer_key) != NULL)
      || (settings->proxy_password != NULL
          && strstr(message, settings->proxy_password) != NULL))
    return 0;
  if (c == NULL)
    return 1;
  if (strstr(message, c->access_key) != NULL
      || strstr(message, c->secret_key) != NULL)
    return 0;
  if (c->session_token == NULL)
    return 1;
  (void)snprintf(start, sizeof start, "%s", c->session_token);
  return strstr(message, start) == NULL;
}

/* "Access Denied. (AccessDenied, HTTP 403, request 4442587FB7D0A2F9)" */
static void
judge_http_reason(const s3_call *call, const s3_exchange *x,
                 const s3_xml_error *xml, char *out, size_t size)
{
  const char *message = judge_is_safe(xml->message, x) ? xml->message : "";
  const char *id = call->answer.request_id;
  int worded = message[0] != '\0';
  int cut = strlen(message) > JUDGE_WORDS_MAX;

  (void)snprintf(out, size, "%.*s%s%s%s%sHTTP %d%s%.60s%s", JUDGE_WORDS_MAX,
                 message, cut ? "..." : "", worded ? " (" : "", xml->code,
                 xml->code[0] != '\0' ? ", " : "", call->answer.http,
                 id[0] != '\0' ? ", request " : "", id, worded ? ")" : "");
  if (!judge_is_safe(out, x))
    (void)snprintf(out, size, "HTTP %d", call->answer.http);
}

static const char *
judge_stop_reason(s3_stop stop)
{
  switch (stop) {
  case S3_STOP_CANCELLED:
    return "cancelled";
  case S3_STOP_DEADLINE:
    return "the deadline passed";
  case S3_STOP_FIRST_BYTE:
    return "no answer in first-byte-timeout";
  case S3_STOP_STALL:
    return "the transfer stood still for stall-timeout";
  case S3_STOP_HEADERS:
    return "the answer's headers have no end";
  case S3_STOP_BODY:
    return "the answer is not what was asked for: too long, or another range";
  case S3_STOP_RANGE:
    return "the server ignores ranges";
  default:
    return "out of memory";
  }
}

/* ---- judging ------------------------------------------------------------------ */

static void
judge_set(s3_outcome *outcome, s3_class class, sb_status status, int applied,
         const char *reason)
{
  outcome->verdict.class = class;
  outcome->verdict.status = status;
  outcome->verdict.applied = applied;
  (void)snprintf(outcome->reason, sizeof outcome->reason, "%s", reason);
}

static void
judge_stop(const s3_exchange *x, int sent, s3_outcome *outcome)
{
  const char *reason = judge_stop_reason(x->stop);

  switch (x->stop) {
  case S3_STOP_CANCELLED:
    judge_set(outcome, S3_CLASS_FINAL, SB_CANCELLED, sent, reason);
    break;
  case S3_STOP_DEADLINE:
    judge_set(outcome, S3_CLASS_FINAL, SB_TIMEOUT, sent, reason);
    break;
  case S3_STOP_FIRST_BYTE:
  case S3_STOP_STALL:
    judge_set(outcome, S3_CLASS_TRANSIENT, SB_UNAVAILABLE, sent, reason);
    break;
  case S3_STOP_MEMORY:
    judge_set(outcome, S3_CLASS_FINAL, SB_NO_MEMORY, sent, reason);
    break;
  default:
    judge_set(outcome, S3_CLASS_FINAL, SB_IO, sent, reason);
    break;
  }
}

static void
judge_curl(const s3_exchange *x, int sent, s3_outcome *outcome)
{
  const char *text = x->error[0] != '\0' && judge_is_safe(x->error, x)
                       ? x->error
                       : curl_easy_strerror(x->code);

  outcome->verdict = s3_judge_curl((int)x->code, sent);
  (void)snprintf(outcome->reason, sizeof outcome->reason, "%.220s", text);
}

/* A refusal without a body, or one that a wrong clock explains. */
static void
judge_hints(const s3_call *call, const s3_exchange *x,
                 s3_outcome *outcome)
{
  const s3_answer *answer = &call->answer;
  s3_net *net = call->op->store->net;
  int64_t now = (int64_t)net->host->clock_ms(net->host)
                + net->store->clock_offset_ms;
  int64_t skew = answer->date_ms == 0 ? 0 : (int64_t)answer->date_ms - now;

  /* Somebody on the way who knows of no S3: HEAD alone has no body. */
  if (answer->http == 404 && outcome->xml.code[0] == '\0'
      && strcmp(call->method, "HEAD") != 0) {
    judge_set(outcome, S3_CLASS_TRANSIENT, SB_UNAVAILABLE, 0,
             "an HTTP 404 that is not S3's: is this an S3 server?");
    return;
  }
  if (answer->http == 400 && answer->region[0] != '\0'
      && strcmp(answer->region, x->region) != 0)
    outcome->verdict.class = S3_CLASS_FIX_REGION;
  if (answer->http == 403 && (skew > JUDGE_SKEW_MS || skew < -JUDGE_SKEW_MS)
      && (outcome->xml.code[0] == '\0'
          || strcmp(outcome->xml.code, "SignatureDoesNotMatch") == 0
          || strcmp(outcome->xml.code, "AccessDenied") == 0))
    outcome->verdict.class = S3_CLASS_FIX_CLOCK;
  /* MinIO answers so too when a put meets the removal of the last other object
     of the same directory. */
  if (strcmp(outcome->xml.code, "AccessDenied") == 0
      && strcmp(answer->server, "MinIO") == 0 && call->kind == S3_KIND_PUT
      && call->attempts < JUDGE_DENIED_ATTEMPTS
      && !(call->flags & S3_CALL_NO_BUCKET_RETRY)
      && outcome->verdict.class == S3_CLASS_FINAL)
    outcome->verdict.class = S3_CLASS_TRANSIENT;
}

static void
judge_http(const s3_call *call, const s3_exchange *x, const s3_buf *body,
                s3_outcome *outcome)
{
  (void)s3_xml_read_error(x->net->host, s3_buf_string(body), body->len,
                          &outcome->xml);
  outcome->verdict = s3_judge_http(call->answer.http, outcome->xml.code);
  judge_http_reason(call, x, &outcome->xml, outcome->reason,
                   sizeof outcome->reason);
  judge_hints(call, x, outcome);
}

/* Without lengths only chunks and frames tell an end from a cut; of a part of
   the object not even these. */
static int
judge_has_end(const s3_call *call, const s3_exchange *x)
{
  long version = 0;

  (void)curl_easy_getinfo(x->easy, CURLINFO_HTTP_VERSION, &version);
  return call->answer.http != 206
         && (call->answer.chunked || version == CURL_HTTP_VERSION_2_0);
}

/* Does a good answer to a GET hold all of what there is, unharmed? */
static void
judge_bytes(const s3_call *call, const s3_exchange *x,
                 s3_outcome *outcome)
{
  const s3_answer *answer = &call->answer;
  uint64_t total = answer->http == 206 ? answer->total : answer->length;
  uint64_t wanted = call->buffer_size;
  char crc[S3_CRC32C_BASE64];

  if (total != UINT64_MAX) {
    uint64_t left = total > call->skip ? total - call->skip : 0;

    if (left < wanted)
      wanted = left;
    if (call->received != wanted) {
      judge_set(outcome, S3_CLASS_TRANSIENT, SB_IO, 0,
               "the answer is shorter than it says");
      return;
    }
  } else if (call->received < wanted && !judge_has_end(call, x)) {
    judge_set(outcome, S3_CLASS_TRANSIENT, SB_IO, 0,
             "the answer does not say where it ends");
    return;
  }
  if (answer->crc32c[0] == '\0' || strchr(answer->crc32c, '-') != NULL
      || strcmp(answer->checksum_type, "COMPOSITE") == 0
      || total == UINT64_MAX || call->skip != 0 || call->received != total)
    return;
  s3_crc32c_text(s3_crc32c(0, call->buffer, (size_t)call->received), crc);
  if (strcmp(crc, answer->crc32c) != 0)
    judge_set(outcome, S3_CLASS_TRANSIENT, SB_CORRUPT, 0,
             "the bytes do not match the object's CRC-32C");
}

/* A 200 that may hold an error, after white space, or be cut off. */
static void
judge_text(const s3_call *call, const s3_exchange *x,
                s3_outcome *outcome)
{
  char root[64];

  s3_xml_root(s3_buf_string(&call->text), call->text.len, root);
  if (strcmp(root, "Error") == 0) {
    judge_http(call, x, &call->text, outcome);
    if (outcome->verdict.class == S3_CLASS_FINAL
        && outcome->verdict.status == SB_INVALID)
      outcome->verdict.status = SB_IO;
    if (outcome->verdict.class == S3_CLASS_OK)
      outcome->verdict = s3_judge_http(500, "");
  } else if (root[0] == '\0') {
    judge_set(outcome, S3_CLASS_TRANSIENT, SB_IO, 1,
             "the answer is not XML: is this an S3 server?");
  }
}

void
s3_judge(s3_call *call, const s3_exchange *x, s3_outcome *outcome)
{
  int http = call->answer.http;
  long sent = 0;

  memset(outcome, 0, sizeof *outcome);
  (void)curl_easy_getinfo(x->easy, CURLINFO_REQUEST_SIZE, &sent);
  if (x->stop != S3_STOP_NONE)
    judge_stop(x, sent > 0, outcome);
  else if (x->code != CURLE_OK && !x->complete)
    judge_curl(x, sent > 0, outcome);
  else if (!x->head_done)
    judge_set(outcome, S3_CLASS_TRANSIENT, SB_UNAVAILABLE, 1,
             "the answer's headers were cut off");
  else if (http < 200 || http >= 300)
    judge_http(call, x, &x->error_text, outcome);
  else if (call->flags & S3_CALL_OK_ERROR)
    judge_text(call, x, outcome);
  else if (call->buffer != NULL)
    judge_bytes(call, x, outcome);
}

/* ---- cures --------------------------------------------------------------------- */

/* "https://bucket.s3.eu-west-1.amazonaws.com/..." to "eu-west-1". */
static int
judge_location_region(const char *location, char region[64])
{
  const char *s3 = strstr(location, "s3");
  const char *end;
  size_t len;

  if (s3 == NULL || (s3[2] != '.' && s3[2] != '-'))
    return 0;
  s3 += 3;
  if (strncmp(s3, "dualstack.", 10) == 0)
    s3 += 10;
  end = strstr(s3, ".amazonaws.com");
  if (end == NULL || (len = (size_t)(end - s3)) == 0 || len > 63
      || memchr(s3, '/', len) != NULL)
    return 0;
  memcpy(region, s3, len);
  region[len] = '\0';
  return 1;
}

/* A redirect to where we are already: the same request once more. */
static int
judge_is_here(const s3_store *store, const char *location)
{
  size_t len = strlen(store->endpoint.url);

  return location[0] == '/'
         || (strncmp(location, store->endpoint.url, len) == 0
             && (location[len] == '/' || location[len] == '\0'
                 || location[len] == '?'));
}

static int
judge_fix_region(s3_call *call, const s3_exchange *x, s3_outcome *outcome)
{
  s3_store *store = call->op->store;
  const char *location = call->answer.location;
  char region[64] = "";
  char text[256];
  s3_endpoint endpoint;

  if (strcmp(x->region, store->endpoint.region) != 0)
    return 1; /* another call has found it out meanwhile */
  if (call->fixed & JUDGE_FIXED_REGION)
    return 0;
  call->fixed |= JUDGE_FIXED_REGION;
  if (call->answer.region[0] != '\0')
    (void)snprintf(region, sizeof region, "%s", call->answer.region);
  else if (outcome->xml.region[0] != '\0')
    (void)snprintf(region, sizeof region, "%s", outcome->xml.region);
  else if (!store->endpoint.amazon
           || !judge_location_region(location, region)) {
    if (location[0] == '\0' || judge_is_here(store, location))
      return location[0] != '\0';
    (void)snprintf(outcome->reason, sizeof outcome->reason,
                   "the server redirects to \"%.120s\", which is not "
                   "followed (HTTP %d)", location, call->answer.http);
    return 0;
  }
  if (strcmp(region, store->endpoint.region) == 0
      || s3_endpoint_make(store->settings, region, store->settings->bucket,
                          &endpoint, NULL) != SB_OK)
    return 0;
  (void)snprintf(text, sizeof text,
                 "bucket \"%.63s\" is in region \"%.63s\", not in \"%.63s\"",
                 store->settings->bucket, region, store->endpoint.region);
  s3_net_log(x->net, SB_LOG_INFO, text);
  store->endpoint = endpoint;
  return 1;
}

static int
judge_fix_clock(s3_call *call, const s3_exchange *x,
               const s3_outcome *outcome)
{
  s3_store *store = call->op->store;
  uint64_t server = outcome->xml.server_time_ms != 0
                      ? outcome->xml.server_time_ms
                      : call->answer.date_ms;
  int64_t offset;
  char text[160];

  if (server == 0 || (call->fixed & JUDGE_FIXED_CLOCK))
    return 0;
  call->fixed |= JUDGE_FIXED_CLOCK;
  offset = (int64_t)server - (int64_t)x->net->host->clock_ms(x->net->host);
  if (offset - store->clock_offset_ms < 60000
      && store->clock_offset_ms - offset < 60000)
    return 0;
  (void)snprintf(text, sizeof text,
                 "the clock differs from the server's by %lld s; requests are "
                 "signed with the server's time", (long long)offset / 1000);
  s3_net_log(x->net, SB_LOG_WARN, text);
  store->clock_offset_ms = offset;
  return 1;
}

int
s3_cure(s3_call *call, const s3_exchange *x, s3_outcome *outcome)
{
  switch (outcome->verdict.class) {
  case S3_CLASS_FIX_REGION:
    return judge_fix_region(call, x, outcome);
  case S3_CLASS_FIX_CLOCK:
    return judge_fix_clock(call, x, outcome);
  case S3_CLASS_FIX_CREDENTIALS:
    if (call->fixed & JUDGE_FIXED_CREDENTIALS)
      return 0;
    call->fixed |= JUDGE_FIXED_CREDENTIALS;
    return s3_provider_reject(call->op->store->provider, x->credentials);
  default:
    return 0;
  }
}
