/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small HTTP requests for credentials, blocking, on a task: short timeouts,
 * short answers, no redirects. Errors show the host of a URL and no more.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <curl/curl.h>
#include <openssl/crypto.h>
#include <statebackend/plugin.h>

#include "plugins/s3/source.h"

#define HTTP_CONNECT_MS 2000l
#define HTTP_TOTAL_MS 5000u
#define HTTP_PAUSE_MS 100u
#define HTTP_AGAIN_NS 5000000000u  /* no attempt begins later than that */

typedef struct http_call {
  s3_fetch *fetch;
  const s3_http *request;
  s3_buf *body;
  int too_large;
  int connected;
  char host[128];
  char why[CURL_ERROR_SIZE];
} http_call;

static size_t
http_write(char *data, size_t size, size_t count, void *arg)
{
  http_call *call = arg;

  s3_buf_add(call->body, data, size * count);
  if (!call->body->failed)
    return size * count;
  call->too_large = call->body->len + size * count > S3_HTTP_ANSWER_MAX;
  return 0;
}

static int
http_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c,
              curl_off_t d)
{
  const http_call *call = arg;

  (void)a;
  (void)b;
  (void)c;
  (void)d;
  return atomic_load(&call->fetch->stopping);
}

/* "host:port" of the URL. */
static void
http_host(const char *url, char *out, size_t size)
{
  CURLU *parts = curl_url();
  char *host = NULL, *port = NULL;

  (void)snprintf(out, size, "its address");
  if (parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK
      && curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
    (void)curl_url_get(parts, CURLUPART_PORT, &port, 0);
    (void)snprintf(out, size, "%s%s%s", host, port == NULL ? "" : ":",
                   port == NULL ? "" : port);
  }
  curl_free(host);
  curl_free(port);
  curl_url_cleanup(parts);
}

/* ---- options ------------------------------------------------------------ */

static void
http_set_proxy(CURL *easy, const s3_settings *settings, int direct)
{
  /* "" keeps libcurl from looking for one in the environment. */
  if (direct || settings->proxy_url == NULL) {
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    return;
  }
  (void)curl_easy_setopt(easy, CURLOPT_PROXY, settings->proxy_url);
  if (settings->proxy_user != NULL)
    (void)curl_easy_setopt(easy, CURLOPT_PROXYUSERNAME, settings->proxy_user);
  if (settings->proxy_password != NULL)
    (void)curl_easy_setopt(easy, CURLOPT_PROXYPASSWORD,
                           settings->proxy_password);
  (void)curl_easy_setopt(easy, CURLOPT_NOPROXY,
                         settings->proxy_bypass == NULL
                           ? "" : settings->proxy_bypass);
}

static void
http_set_tls(CURL *easy, const s3_settings *settings)
{
  (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER,
                         settings->tls_verify ? 1l : 0l);
  (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST,
                         settings->tls_verify ? 2l : 0l);
  if (settings->ca_file != NULL) {
    (void)curl_easy_setopt(easy, CURLOPT_CAINFO, settings->ca_file);
    (void)curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
  }
}

static void
http_set_limits(CURL *easy, const s3_http *request)
{
  (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1l);
  (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0l);
  (void)curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
  (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, HTTP_CONNECT_MS);
  (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                         (long)(request->total_ms == 0 ? HTTP_TOTAL_MS
                                                       : request->total_ms));
  (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                         (long)CURL_HTTP_VERSION_1_1);
  (void)curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1l);
}

static void
http_set_request(CURL *easy, http_call *call, struct curl_slist *headers)
{
  const s3_http *request = call->request;

  (void)curl_easy_setopt(easy, CURLOPT_URL, request->url);
  (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
  (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  (void)curl_easy_setopt(easy, CURLOPT_USERAGENT,
                         "statebackend/" PACKAGE_VERSION);
  if (request->body != NULL) {
    (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE,
                           (long)strlen(request->body));
    (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
  }
  (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, http_write);
  (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
  (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->why);
  (void)curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0l);
  (void)curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, http_progress);
  (void)curl_easy_setopt(easy, CURLOPT_XFERINFODATA, call);
}

/* Some of them are tokens. */
static void
http_headers_free(struct curl_slist *list)
{
  struct curl_slist *item;

  for (item = list; item != NULL; item = item->next)
    OPENSSL_cleanse(item->data, strlen(item->data));
  curl_slist_free_all(list);
}

/* NULL when out of memory. An answer to Expect would only cost time. */
static struct curl_slist *
http_headers(const s3_http *request)
{
  struct curl_slist *list = curl_slist_append(NULL, "Expect:");
  size_t i;

  for (i = 0; list != NULL && i < 8 && request->headers[i] != NULL; i++) {
    struct curl_slist *more = curl_slist_append(list, request->headers[i]);

    if (more == NULL)
      http_headers_free(list);
    list = more;
  }
  return list;
}

/* ---- one attempt -------------------------------------------------------- */

/* OpenSSL writes without MSG_NOSIGNAL, and the signal belongs to the
   process. */
static CURLcode
http_perform(CURL *easy)
{
  static const struct timespec none = { 0, 0 };
  sigset_t pipe, old, pending;
  int before;
  CURLcode code;

  (void)sigemptyset(&pipe);
  (void)sigaddset(&pipe, SIGPIPE);
  (void)sigpending(&pending);
  before = sigismember(&pending, SIGPIPE);
  (void)pthread_sigmask(SIG_BLOCK, &pipe, &old);
  code = curl_easy_perform(easy);
  (void)sigpending(&pending);
  if (!before && sigismember(&pending, SIGPIPE))
    while (sigtimedwait(&pipe, NULL, &none) < 0 && errno == EINTR)
      continue;
  (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
  return code;
}

static int
http_connected(CURL *easy)
{
  curl_off_t time_us = 0;

  (void)curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &time_us);
  return time_us > 0;
}

static sb_status
http_failed(const http_call *call, CURLcode code, sb_error *err)
{
  const char *what = call->request->what;

  if (atomic_load(&call->fetch->stopping))
    return sb_fail(err, SB_CANCELLED, "the store is being closed");
  switch (code) {
  case CURLE_OUT_OF_MEMORY:
    return s3_source_no_memory(err);
  case CURLE_URL_MALFORMAT:
  case CURLE_UNSUPPORTED_PROTOCOL:
    return sb_fail(err, SB_CONFIG, "the URL of %s is no http or https URL",
                   what);
  case CURLE_PEER_FAILED_VERIFICATION:
  case CURLE_SSL_CACERT_BADFILE:
    return sb_fail(err, SB_CONFIG, "could not ask %s at %s: %s", what,
                   call->host, call->why[0] == '\0' ? curl_easy_strerror(code)
                                                    : call->why);
  case CURLE_WRITE_ERROR:
    if (call->too_large)
      return sb_fail(err, SB_CORRUPT,
                     "%s at %s gave more than %u bytes", what, call->host,
                     S3_HTTP_ANSWER_MAX);
    return s3_source_no_memory(err);
  default:
    return sb_fail(err, call->connected || call->request->unreachable == 0
                          ? SB_UNAVAILABLE
                          : call->request->unreachable,
                   "could not ask %s at %s: %s",
                   what, call->host, curl_easy_strerror(code));
  }
}

static sb_status
http_once(http_call *call, long *status, sb_error *err)
{
  CURL *easy = curl_easy_init();
  struct curl_slist *headers = http_headers(call->request);
  CURLcode code = CURLE_OUT_OF_MEMORY;

  *status = 0;
  call->too_large = call->connected = 0;
  call->why[0] = '\0';
  s3_source_wipe(call->body);
  call->body->max = S3_HTTP_ANSWER_MAX;
  if (easy != NULL && headers != NULL) {
    http_set_limits(easy, call->request);
    http_set_tls(easy, call->fetch->settings);
    http_set_proxy(easy, call->fetch->settings, call->request->direct);
    http_set_request(easy, call, headers);
    code = http_perform(easy);
    call->connected = http_connected(easy);
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, status);
  }
  curl_easy_cleanup(easy);
  http_headers_free(headers);
  return code == CURLE_OK ? SB_OK : http_failed(call, code, err);
}

/* ---- the interface ------------------------------------------------------ */

sb_status
s3_http_refused(const s3_http *request, long status, sb_error *err)
{
  sb_status result = status >= 500 || status == 429 ? SB_UNAVAILABLE
                     : status == 404                ? SB_NOT_FOUND
                     : status >= 400                ? SB_DENIED
                                                    : SB_CORRUPT;
  char host[128];

  http_host(request->url, host, sizeof host);
  return sb_fail(err, result, "%s at %s answered HTTP %ld", request->what,
                 host, status);
}

sb_status
s3_http_do(s3_fetch *fetch, const s3_http *request, long *status, s3_buf *body,
           sb_error *err)
{
  http_call call = { .fetch = fetch, .request = request, .body = body };
  const sb_host *host = fetch->host;
  uint64_t until = host->monotonic_ns(host) + HTTP_AGAIN_NS;
  uint64_t pause = HTTP_PAUSE_MS;
  sb_status result;
  uint32_t i;

  http_host(request->url, call.host, sizeof call.host);
  *body = s3_buf_of(host);
  for (i = 1;; i++) {
    result = http_once(&call, status, err);
    if (result != SB_UNAVAILABLE &&
        (result != SB_OK || (*status < 500 && *status != 429)))
      break;
    if (i >= request->attempts || s3_fetch_sleep(fetch, pause) ||
        host->monotonic_ns(host) >= until)
      break;
    pause *= 2;
  }
  if (result != SB_OK)
    s3_source_wipe(body);
  return result;
}
