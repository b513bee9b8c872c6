/* SPDX-License-Identifier: Apache-2.0 */
/* What goes wrong in the test server: rules, and what they do to answers. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "tests/s3_server_private.h"

#define RULE_WORDS 24

struct s3_rule {
  s3_rule *next;
  char *text;                /* the words, cut at the blanks */
  size_t size;
  const char *operations;
  const char *words[RULE_WORDS]; /* "name" or "name=value" */
  size_t count;
  double chance;             /* 1: always */
  unsigned long nth, times;  /* times 0: for ever */
  unsigned long matched, done;
};

/* ---- rules -------------------------------------------------------------- */

static int
server_word_is(const char *word, const char *name)
{
  size_t len = strlen(name);

  return strncmp(word, name, len) == 0 &&
         (word[len] == '\0' || word[len] == '=');
}

const char *
server_rule_value(const s3_rule *rule, const char *name)
{
  size_t i;

  for (i = 0; rule != NULL && i < rule->count; i++) {
    if (server_word_is(rule->words[i], name))
      return rule->words[i][strlen(name)] == '=' ? rule->words[i]
                                                     + strlen(name) + 1 : "";
  }
  return NULL;
}

int
server_rule_has(const s3_rule *rule, const char *name)
{
  return server_rule_value(rule, name) != NULL;
}

static uint64_t
server_rule_number(const s3_rule *rule, const char *name, uint64_t absent)
{
  const char *value = server_rule_value(rule, name);

  return value == NULL ? absent : strtoull(value, NULL, 10);
}

void
server_rule_free(s3_rule *rule)
{
  if (rule != NULL)
    free(rule->text);
  free(rule);
}

static int
server_word_known(const char *word)
{
  static const char *const known[] = {
    "nth", "count", "chance", "key", "query", "reused", "upload-over",
    "status", "code", "message", "html", "empty", "header", "no-header",
    "apply", "delay", "reset", "close", "stall", "reset-at", "close-at",
    "stall-at", "reset-body-at", "stall-body-at", "reset-random",
    "close-after", "drip", "longer", "chunked", "endless-chunks", "ok-error",
    "spaces", "ignore-range", "flip", "date", "no-continue", "expect-fail",
    "endless-headers", "endless-body", "bomb", "list-token", "list-key-case",
    "list-plain", "delete-errors", "ignore-conditions",
  };
  size_t i;

  for (i = 0; i < sizeof known / sizeof known[0]; i++) {
    if (server_word_is(word, known[i]))
      return 1;
  }
  return 0;
}

s3_rule *
server_rule_parse(const char *text, const char **why)
{
  s3_rule *rule = http_alloc(sizeof *rule);
  char *word, *rest;
  const char *value;

  rule->text = http_strdup(text);
  rule->size = strlen(text) + 1;
  rule->operations = strtok_r(rule->text, " ", &rest);
  while ((word = strtok_r(NULL, " ", &rest)) != NULL) {
    if (!server_word_known(word) || rule->count == RULE_WORDS) {
      if (why != NULL)
        *why = text + (word - rule->text);
      server_rule_free(rule);
      return NULL;
    }
    (void)server_decode(word, 0);
    rule->words[rule->count++] = word;
  }
  value = server_rule_value(rule, "chance");
  rule->chance = value == NULL ? 1 : strtod(value, NULL);
  rule->nth = server_rule_number(rule, "nth", 1);
  rule->times = server_rule_number(rule, "count", value == NULL ? 1 : 0);
  if (rule->operations != NULL && rule->count > 0)
    return rule;
  if (why != NULL)
    *why = text;
  server_rule_free(rule);
  return NULL;
}

int
s3_server_fault(s3_server *server, const char *text, const char **why)
{
  s3_rule *rule = server_rule_parse(text, why), **at = &server->rules;

  if (rule == NULL)
    return -1;
  pthread_mutex_lock(&server->lock);
  while (*at != NULL)
    at = &(*at)->next;
  *at = rule;
  pthread_mutex_unlock(&server->lock);
  return 0;
}

void
s3_server_mend(s3_server *server)
{
  pthread_mutex_lock(&server->lock);
  while (server->rules != NULL) {
    s3_rule *next = server->rules->next;

    server_rule_free(server->rules);
    server->rules = next;
  }
  pthread_mutex_unlock(&server->lock);
}

unsigned
s3_server_faults_done(s3_server *server)
{
  unsigned done;

  pthread_mutex_lock(&server->lock);
  done = server->faults_done;
  pthread_mutex_unlock(&server->lock);
  return done;
}

/* ---- which one ---------------------------------------------------------- */

static int
server_rule_names(const char *list, const char *kind)
{
  size_t len = strlen(kind);

  while (*list != '\0') {
    size_t word = strcspn(list, ",");

    if ((word == len && strncmp(list, kind, len) == 0) ||
        (word == 3 && strncmp(list, "any", 3) == 0 &&
         strcmp(kind, "connect") != 0) ||
        (word == 5 && strncmp(list, "write", 5) == 0 &&
         (strcmp(kind, "put") == 0 || strcmp(kind, "copy") == 0 ||
          strcmp(kind, "upload_complete") == 0)))
      return 1;
    list += word;
    list += *list == ',';
  }
  return 0;
}

/* Under the lock. */
static int
server_rule_fits(s3_server *server, s3_rule *rule, const char *kind,
                 const char *key, const http_request *request)
{
  const char *in_key = server_rule_value(rule, "key");
  const char *in_query = server_rule_value(rule, "query");

  if (!server_rule_names(rule->operations, kind) ||
      (rule->times > 0 && rule->done >= rule->times) ||
      (in_key != NULL && (key == NULL || strstr(key, in_key) == NULL)))
    return 0;
  if (request != NULL &&
      ((in_query != NULL && strstr(request->query, in_query) == NULL) ||
       (server_rule_has(rule, "reused") && request->number == 1) ||
       (server_rule_has(rule, "upload-over") &&
        request->length <= server_rule_number(rule, "upload-over", 0))))
    return 0;
  return ++rule->matched >= rule->nth &&
         (rule->chance >= 1 || server_random(server) < rule->chance);
}

s3_rule *
server_rule_match(s3_server *server, const char *kind, const char *key,
                  const http_request *request)
{
  s3_rule *rule, *copy = NULL;
  size_t i;

  pthread_mutex_lock(&server->lock);
  for (rule = server->rules; rule != NULL && copy == NULL; rule = rule->next) {
    if (!server_rule_fits(server, rule, kind, key, request))
      continue;
    rule->done++;
    server->faults_done++;
    copy = http_alloc(sizeof *copy);
    *copy = *rule;
    copy->next = NULL;
    copy->text = http_alloc(rule->size);
    memcpy(copy->text, rule->text, rule->size);
    for (i = 0; i < rule->count; i++)
      copy->words[i] = copy->text + (rule->words[i] - rule->text);
  }
  pthread_mutex_unlock(&server->lock);
  return copy;
}

/* ---- before the body ---------------------------------------------------- */

/* The connection ends like that once the request is in the log. */
static void
server_end(server_work *work, http_end end)
{
  work->end = end;
  work->reply.handled = 1;
}

static http_end
server_rule_end(const s3_rule *rule)
{
  return server_rule_has(rule, "reset") ? HTTP_RESET
         : server_rule_has(rule, "close") ? HTTP_CLOSE : HTTP_STALL;
}

static int
server_rule_ends(const s3_rule *rule)
{
  return server_rule_has(rule, "reset") || server_rule_has(rule, "close") ||
         server_rule_has(rule, "stall");
}

/* As if the client had been heard up to a byte of the body. */
static int
server_fault_body(server_work *work, const char *word, http_end end)
{
  http_request *request = work->request;
  uint64_t at = server_rule_number(work->rule, word, UINT64_MAX);

  if (at == UINT64_MAX || at >= request->length)
    return 0;
  if (at > 0)
    (void)http_body(work->connection, request, at);
  server_end(work, end);
  return 1;
}

static void
server_fault_forever(server_work *work, const char *head, const char *line)
{
  http_text some = { 0 };

  (void)http_send(work->connection, head, strlen(head));
  while (some.len < 65536)
    http_text_add(&some, line, strlen(line));
  while (http_send(work->connection, some.data, some.len) == 0)
    continue;
  http_text_free(&some);
}

void
server_fault_hostile(server_work *work)
{
  if (server_rule_has(work->rule, "endless-headers"))
    server_fault_forever(work, "HTTP/1.1 200 OK\r\n",
                         "X-Filler: 012345678901234567890123456789012\r\n");
  else if (!server_rule_has(work->rule, "endless-body"))
    return;
  else if (strcmp(work->kind, "list") == 0)
    server_fault_forever(work, "HTTP/1.1 200 OK\r\nContent-Type: "
                         "application/xml\r\nContent-Length: 10737418240\r\n"
                         "\r\n<ListBucketResult>",
                         "<Contents><Key>a</Key><Size>1</Size></Contents>\n");
  else
    server_fault_forever(work, "HTTP/1.1 206 Partial Content\r\nETag: \"x\""
                         "\r\nContent-Length: 10737418240\r\nContent-Range: "
                         "bytes 0-10737418239/10737418240\r\n\r\n",
                         "0123456789abcdef");
}

/* Half of the time before the request was done, half of the time while it is
   answered. */
static void
server_fault_random(server_work *work)
{
  double x, y;

  pthread_mutex_lock(&work->server->lock);
  x = server_random(work->server);
  y = server_random(work->server);
  pthread_mutex_unlock(&work->server->lock);
  if (x < 0.5) {
    uint64_t at = (uint64_t)(y * (double)work->request->length);

    if (at > 0)
      (void)http_body(work->connection, work->request, at);
    server_end(work, HTTP_RESET);
  }
}

int
server_fault_before(server_work *work)
{
  const s3_rule *rule = work->rule;
  http_request *request = work->request;

  if (server_rule_has(rule, "no-continue"))
    request->expects = 0;
  if (server_rule_has(rule, "expect-fail") && request->expects) {
    (void)http_printf(work->connection, "HTTP/1.1 417 Expectation Failed\r\n"
                      "Content-Length: 0\r\nConnection: close\r\n\r\n");
    server_end(work, HTTP_CLOSE);
    return 1;
  }
  if (server_fault_body(work, "reset-body-at", HTTP_RESET) ||
      server_fault_body(work, "stall-body-at", HTTP_STALL))
    return 1;
  if (server_rule_has(rule, "reset-random"))
    server_fault_random(work);
  if (server_rule_has(rule, "endless-headers") ||
      server_rule_has(rule, "endless-body"))
    server_end(work, HTTP_RESET);
  return work->reply.handled;
}

/* ---- the answer --------------------------------------------------------- */

static void
server_fault_bomb(server_work *work)
{
  http_text *body = &work->reply.body;
  int i;

  http_text_free(body);
  http_text_printf(body, "<?xml version=\"1.0\"?>\n<!DOCTYPE bomb [\n"
                   "<!ENTITY a0 \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\">"
                   "\n");
  for (i = 1; i < 12; i++)
    http_text_printf(body, "<!ENTITY a%d \"&a%d;&a%d;&a%d;&a%d;&a%d;&a%d;&a%d;"
                     "&a%d;&a%d;&a%d;\">\n", i, i - 1, i - 1, i - 1, i - 1,
                     i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
  http_text_printf(body, "]>\n<ListBucketResult><Contents><Key>&a11;</Key>"
                   "</Contents></ListBucketResult>");
}

int
server_fault_replaces(server_work *work)
{
  const s3_rule *rule = work->rule;

  if (rule == NULL || server_rule_has(rule, "apply"))
    return 0;
  if (server_rule_has(rule, "status") || server_rule_has(rule, "ok-error"))
    return 1;
  if (!server_rule_ends(rule))
    return 0;
  server_end(work, server_rule_end(rule));
  return 1;
}

static void
server_fault_status(server_work *work)
{
  const s3_rule *rule = work->rule;
  const char *ok = server_rule_value(rule, "ok-error");
  const char *code = server_rule_value(rule, "code");
  const char *message = server_rule_value(rule, "message");
  int status = (int)server_rule_number(rule, "status", 200);

  if (!server_rule_has(rule, "status") && ok == NULL)
    return;
  http_text_free(&work->reply.headers);
  server_fail(work, status, ok != NULL ? ok : code == NULL ? "" : code, "%s",
              message == NULL ? "made up by the test" : message);
  if (!server_rule_has(rule, "html") && !server_rule_has(rule, "empty"))
    return;
  http_text_free(&work->reply.body);
  if (server_rule_has(rule, "html")) {
    server_header(work, "Content-Type", "text/html");
    http_text_printf(&work->reply.body, "<html><head><title>%d</title></head>"
                     "<body><h1>Proxy error<br></h1></body></html>", status);
  }
}

static void
server_fault_headers(server_work *work)
{
  const s3_rule *rule = work->rule;
  char date[40];
  size_t i;

  for (i = 0; i < rule->count; i++) {
    char *name, *colon;

    if (server_word_is(rule->words[i], "no-header"))
      server_header_drop(work, rule->words[i] + 10);
    if (!server_word_is(rule->words[i], "header"))
      continue;
    name = http_strdup(rule->words[i] + 7);
    colon = strchr(name, ':');
    if (colon != NULL) {
      *colon = '\0';
      server_header(work, name, colon + 1);
    }
    free(name);
  }
  if (server_rule_has(rule, "date")) {
    const char *value = server_rule_value(rule, "date");

    http_date((uint64_t)((int64_t)server_now(work->server)
                         + strtoll(value, NULL, 10) * 1000), date);
    server_header(work, "Date", date);
  }
}

void
server_fault_change(server_work *work)
{
  const s3_rule *rule = work->rule;
  http_text *body = &work->reply.body;
  uint64_t at = server_rule_number(rule, "flip", UINT64_MAX);
  uint64_t spaces = server_rule_number(rule, "spaces", 0);

  if (rule == NULL || work->reply.handled)
    return;
  if (server_rule_has(rule, "apply") && server_rule_ends(rule)) {
    server_end(work, server_rule_end(rule));
    return;
  }
  server_fault_status(work);
  if (server_rule_has(rule, "bomb"))
    server_fault_bomb(work);
  server_fault_headers(work);
  if (at < body->len)
    body->data[at] ^= 1;
  if (spaces > 0) {
    http_text padded = { 0 };

    while (spaces-- > 0)
      http_text_add(&padded, " ", 1);
    http_text_add(&padded, http_text_string(body), body->len);
    http_text_free(body);
    *body = padded;
  }
}

/* ---- sending ------------------------------------------------------------ */

static void
server_send_cuts(server_work *work, uint64_t length)
{
  static const struct { const char *word; http_end end; } cuts[] = {
    { "reset-at", HTTP_RESET }, { "close-at", HTTP_CLOSE },
    { "stall-at", HTTP_STALL },
  };
  const s3_rule *rule = work->rule;
  double x;
  size_t i;

  for (i = 0; i < 3; i++) {
    if (server_rule_has(rule, cuts[i].word))
      http_cut(work->connection, server_rule_number(rule, cuts[i].word, 0),
               cuts[i].end);
  }
  if (server_rule_has(rule, "reset-random")) {
    pthread_mutex_lock(&work->server->lock);
    x = server_random(work->server);
    pthread_mutex_unlock(&work->server->lock);
    http_cut(work->connection, (uint64_t)(x * (double)length), HTTP_RESET);
  }
  http_drip(work->connection,
            (unsigned)server_rule_number(rule, "drip", 0));
}

static int
server_send_chunks(server_work *work)
{
  const http_text *body = &work->reply.body;
  size_t at, some;

  for (at = 0; at < body->len; at += some) {
    some = body->len - at > 1000 ? 1000 : body->len - at;
    if (http_printf(work->connection, "%zx\r\n", some) != 0 ||
        http_send(work->connection, body->data + at, some) != 0 ||
        http_send(work->connection, "\r\n", 2) != 0)
      return -1;
  }
  if (server_rule_has(work->rule, "endless-chunks")) {
    http_end_now(work->connection, HTTP_CLOSE);
    return -1;
  }
  return http_send(work->connection, "0\r\n\r\n", 5);
}

static void
server_send_head(server_work *work, http_text *out)
{
  const server_reply *reply = &work->reply;
  const char *headers = http_text_string(&reply->headers);
  uint64_t length = work->head ? reply->head_length : reply->body.len;
  int chunked = server_rule_has(work->rule, "chunked") ||
                server_rule_has(work->rule, "endless-chunks");
  const char *left_out = server_rule_value(work->rule, "no-header");
  char date[40];

  http_date(server_now(work->server), date);
  http_text_printf(out, "HTTP/1.1 %d %s\r\n", reply->status,
                   http_reason(reply->status));
  if (strncmp(headers, "Date:", 5) != 0 &&
      strstr(headers, "\nDate:") == NULL)
    http_text_printf(out, "Date: %s\r\n", date);
  http_text_printf(out, "%s", headers);
  if (strstr(headers, "Server:") == NULL)
    http_text_printf(out, "Server: test\r\nx-amz-request-id: TEST%u\r\n"
                     "x-amz-id-2: test-host\r\n",
                     http_connection_number(work->connection));
  if (chunked)
    http_text_printf(out, "Transfer-Encoding: chunked\r\n\r\n");
  else if (reply->status == 204 || reply->status == 304 ||
           (left_out != NULL && strcmp(left_out, "Content-Length") == 0))
    http_text_printf(out, "\r\n");
  else
    http_text_printf(out, "Content-Length: %llu\r\n\r\n",
                     (unsigned long long)
                       (length + server_rule_number(work->rule, "longer", 0)));
}

int
server_send(server_work *work)
{
  const s3_rule *rule = work->rule;
  const http_text *body = &work->reply.body;
  http_text head = { 0 };
  int result;

  if (server_rule_has(rule, "delay") &&
      http_wait(work->connection,
                (unsigned)server_rule_number(rule, "delay", 0)) != 0)
    return -1;
  server_send_head(work, &head);
  if (rule != NULL)
    server_send_cuts(work, head.len + body->len);
  /* One write: headers and a small body leave together. */
  if (!work->head && !server_rule_has(rule, "chunked") &&
      !server_rule_has(rule, "endless-chunks")) {
    http_text_add(&head, http_text_string(body), body->len);
    result = http_send(work->connection, head.data, head.len);
  } else {
    result = http_send(work->connection, head.data, head.len);
    if (result == 0 && !work->head)
      result = server_send_chunks(work);
  }
  http_text_free(&head);
  if (result == 0 && (server_rule_has(rule, "close-after") ||
                      server_rule_has(rule, "longer")))
    result = -1;
  return result;
}

int
server_fault_connect(s3_server *server, http_connection *connection)
{
  s3_rule *rule = server_rule_match(server, "connect", NULL, NULL);
  int ended = 0;

  if (rule == NULL)
    return 0;
  if (server_rule_has(rule, "delay"))
    (void)http_wait(connection,
                    (unsigned)server_rule_number(rule, "delay", 0));
  if (server_rule_ends(rule)) {
    http_end_now(connection, server_rule_end(rule));
    ended = 1;
  }
  server_rule_free(rule);
  return ended;
}
