/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbctl serve: a read-only HTTP server for dashboards, by libmicrohttpd, on a
 * loopback address alone. One thread answers, so memory and work are those of
 * one request at a time; more of them wait.
 */
#include "config.h"

#include "host/cli/serve.h"

#ifndef HAVE_MICROHTTPD

int
serve_run(cli *c)
{
  (void)c;
  return cli_refuse("this sbctl was built without libmicrohttpd");
}

#else

#include <microhttpd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/plugin/listener.h"

#define SERVE_ADDRESS "127.0.0.1:8480"
#define SERVE_CONNECTIONS 32u
#define SERVE_CONNECTION_MEMORY ((size_t)32 << 10)
#define SERVE_PATIENCE_S 10u

static uint64_t
serve_now(void)
{
  return inside_host()->monotonic_ns(inside_host());
}

/* ---- one request -------------------------------------------------------- */

static enum MHD_Result
serve_send(struct MHD_Connection *connection, unsigned http, char *body,
           size_t len)
{
  struct MHD_Response *response =
    MHD_create_response_from_buffer(len, body, MHD_RESPMEM_MUST_FREE);
  enum MHD_Result result;

  if (response == NULL) {
    free(body);
    return MHD_NO;
  }
  (void)MHD_add_response_header(response, "Content-Type", "application/json");
  (void)MHD_add_response_header(response, "Cache-Control", "no-store");
  (void)MHD_add_response_header(response, "X-Content-Type-Options",
                                "nosniff");
  if (http == MHD_HTTP_METHOD_NOT_ALLOWED)
    (void)MHD_add_response_header(response, "Allow", "GET, HEAD");
  result = MHD_queue_response(connection, http, response);
  MHD_destroy_response(response);
  return result;
}

static enum MHD_Result
serve_refuse(struct MHD_Connection *connection, unsigned http,
             const char *message)
{
  char *body = NULL;
  size_t len = 0;
  FILE *to = open_memstream(&body, &len);
  printer out;

  if (to == NULL)
    return MHD_NO;
  print_begin(&out, to, 1);
  print_text(&out, "error", message);
  (void)print_end(&out);
  if (fclose(to) != 0) {
    free(body);
    return MHD_NO;
  }
  return serve_send(connection, http, body, len);
}

static sb_slice
serve_value(struct MHD_Connection *connection, const char *name)
{
  const char *value = NULL;
  size_t len = 0;

  if (MHD_lookup_connection_value_n(connection, MHD_GET_ARGUMENT_KIND, name,
                                    strlen(name), &value, &len) != MHD_YES)
    return sb_slice_of(NULL, 0);
  return value == NULL ? sb_slice_of("", 0) : sb_slice_of(value, len);
}

/* A browser that was led here by a name of somebody else's sends that name:
   only names of this machine are answered. */
static int
serve_is_local(struct MHD_Connection *connection)
{
  static const char *const local[] = { "localhost", "127.0.0.1", "[::1]" };
  const char *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                                 "Host");
  size_t i, len;

  for (i = 0; host != NULL && i < sizeof local / sizeof local[0]; i++) {
    len = strlen(local[i]);
    if (strncmp(host, local[i], len) == 0 &&
        (host[len] == '\0' || host[len] == ':'))
      return 1;
  }
  return host != NULL && strncmp(host, "127.", 4) == 0 &&
         strspn(host, "0123456789.:") == strlen(host);
}

static enum MHD_Result
serve_get(serve *s, struct MHD_Connection *connection, const char *path)
{
  serve_query query = {
    .path = path,
    .key = serve_value(connection, "key"),
    .key_format = serve_value(connection, "key_format"),
    .ns = serve_value(connection, "ns"),
    .subkey = serve_value(connection, "subkey"),
    .limit = serve_value(connection, "limit"),
    .operator_id = serve_value(connection, "operator"),
  };
  char *body = NULL;
  size_t len = 0;
  FILE *to = open_memstream(&body, &len);
  unsigned http;
  sb_error err;

  if (to == NULL)
    return MHD_NO;
  pthread_mutex_lock(&s->lock);
  s->asked_ns = serve_now();
  http = serve_answer(s, &query, to, &err);
  pthread_mutex_unlock(&s->lock);
  if (fclose(to) != 0) {
    free(body);
    return MHD_NO;
  }
  if (http == MHD_HTTP_OK)
    return serve_send(connection, http, body, len);
  free(body);
  return serve_refuse(connection, http, err.message);
}

static enum MHD_Result
serve_request(void *arg, struct MHD_Connection *connection, const char *path,
              const char *method, const char *version, const char *upload,
              size_t *upload_len, void **request)
{
  static int seen;

  (void)version;
  (void)upload;
  if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
      strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
    return *request != NULL && *upload_len == 0
             ? MHD_NO
             : serve_refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
                            "only GET is answered");
  if (*request == NULL) { /* the head alone is there */
    *request = &seen;
    return MHD_YES;
  }
  if (*upload_len != 0) { /* a body says nothing to us */
    *upload_len = 0;
    return MHD_YES;
  }
  if (!serve_is_local(connection))
    return serve_refuse(connection, MHD_HTTP_FORBIDDEN,
                        "only names of this machine are answered");
  return serve_get(arg, connection, path);
}

/* ---- until a signal ----------------------------------------------------- */

/* Only the main thread takes signals, so that one ends its wait. */
static void
serve_mask(int how)
{
  sigset_t set;

  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  (void)pthread_sigmask(how, &set, NULL);
}

static void
serve_wait(serve *s)
{
  struct timespec second = { .tv_sec = 1 };

  while (!cli_interrupted()) {
    (void)nanosleep(&second, NULL);
    pthread_mutex_lock(&s->lock);
    if (s->is_open && serve_now() - s->asked_ns > SERVE_IDLE_NS)
      serve_forget(s);
    pthread_mutex_unlock(&s->lock);
  }
}

static int
serve_start(serve *s, const char *address)
{
  static listener place;
  struct MHD_Daemon *server;
  char url[128], *end;
  sb_error err;

  if (listener_init(&place, inside_host(), address, &err) != SB_OK)
    return cli_usage("--listen: '%s' is no loopback address with a port, such "
                     "as 127.0.0.1:8480 or [::1]:8480", address);
  if (listener_bind(&place, &err) != SB_OK) {
    cli_warn("could not listen on %s: %s", address, err.message);
    return CLI_FAILED;
  }
  server = MHD_start_daemon(
    MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL,
    serve_request, s, MHD_OPTION_LISTEN_SOCKET, place.fd,
    MHD_OPTION_CONNECTION_LIMIT, SERVE_CONNECTIONS,
    MHD_OPTION_CONNECTION_MEMORY_LIMIT, SERVE_CONNECTION_MEMORY,
    MHD_OPTION_CONNECTION_TIMEOUT, SERVE_PATIENCE_S, MHD_OPTION_END);
  if (server == NULL) {
    listener_close(&place);
    cli_warn("could not start the HTTP server");
    return CLI_FAILED;
  }
  listener_url(&place, url, sizeof url);
  end = strrchr(url, '/');
  if (end != NULL)
    *end = '\0';
  printf("url=%s\n", url);
  (void)fflush(stdout);
  serve_mask(SIG_UNBLOCK);
  serve_wait(s);
  MHD_stop_daemon(server); /* which closes the socket */
  cli_interrupt_wanted();
  return CLI_OK;
}

int
serve_run(cli *c)
{
  const char *address = c->values[OPTION_LISTEN];
  serve s = { .c = c };
  int code;

  serve_mask(SIG_BLOCK);
  code = cli_open_backend(c);
  if (code == CLI_OK && pthread_mutex_init(&s.lock, NULL) == 0) {
    code = serve_start(&s, address == NULL ? SERVE_ADDRESS : address);
    serve_forget(&s);
    (void)pthread_mutex_destroy(&s.lock);
  }
  serve_mask(SIG_UNBLOCK);
  return code;
}

#endif
