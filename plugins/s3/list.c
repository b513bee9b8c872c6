/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list: one page of names, in byte order. Names that a store of ours could not
 * have (directory markers, other people's objects) are left out, so that one
 * page of ours may take several of the server's; what the server says is
 * checked to go forward, so that no answer makes it go on for ever.
 */
#include "config.h"

#include <string.h>

#include "plugins/s3/call.h"
#include "plugins/s3/uri.h"

#define LIST_PAGES_MAX 10000u   /* the server's, for one of ours */

typedef struct list_op {
  s3_op op;
  s3_call call;
  s3_buf query;
  s3_xml_list page;
  sb_store_entry *entries;
  uint64_t entry_count;
  const char *prefix;
  uint32_t limit, pages;
  char *token;              /* of the page being read; NULL: from `after` on */
  s3_buf after;             /* the last name seen */
} list_op;

static void
list_free(s3_op *op)
{
  list_op *list = (list_op *)op;
  const sb_host *host = op->store->host;

  s3_call_dispose(&list->call);
  s3_buf_free(&list->query);
  s3_buf_free(&list->after);
  s3_xml_list_free(host, &list->page);
  s3_free(host, list->entries);
  s3_free(host, list->token);
}

static void
list_fail(list_op *list, const char *reason, const char *what)
{
  s3_op_end(&list->op,
            sb_fail(&list->op.error, SB_IO,
                    "could not list \"%.150s\": the server %s \"%.150s\"",
                    list->prefix, reason, what));
}

static void
list_no_memory(list_op *list)
{
  s3_op_end(&list->op,
            sb_fail(&list->op.error, SB_NO_MEMORY,
                    "could not list \"%.300s\": out of memory",
                    list->prefix));
}

static void list_called(s3_call *call);

static void
list_ask(list_op *list)
{
  s3_call *call = &list->call;

  s3_buf_clear(&list->query);
  s3_buf_text(&list->query, "list-type=2&encoding-type=url&max-keys=");
  s3_buf_printf(&list->query, "%u&prefix=", list->limit);
  s3_uri_encode(&list->query, list->prefix, 0);
  if (list->token != NULL) {
    s3_buf_text(&list->query, "&continuation-token=");
    s3_uri_encode(&list->query, list->token, 0);
  } else if (list->after.len != 0) {
    s3_buf_text(&list->query, "&start-after=");
    s3_uri_encode(&list->query, s3_buf_string(&list->after), 0);
  }
  if (list->query.failed) {
    list_no_memory(list);
    return;
  }
  s3_call_dispose(call);
  memset(call, 0, sizeof *call);
  call->op = &list->op;
  call->kind = S3_KIND_LIST;
  call->flags = S3_CALL_TEXT | S3_CALL_OK_ERROR;
  call->method = "GET";
  call->query = s3_buf_string(&list->query);
  call->done = list_called;
  s3_call_start(call);
}

/* Takes over what is ours of a page. 0, or -1 when the operation has ended. */
static int
list_take(list_op *list)
{
  const s3_xml_list *page = &list->page;
  size_t i;

  list->entry_count = 0;
  list->entries = s3_alloc(list->op.store->host,
                           page->count * sizeof *list->entries);
  if (list->entries == NULL) {
    list_no_memory(list);
    return -1;
  }
  for (i = 0; i < page->count; i++) {
    const s3_xml_entry *from = &page->entries[i];
    sb_store_entry *to = &list->entries[list->entry_count];

    if (strcmp(from->key, s3_buf_string(&list->after)) <= 0
        || strncmp(from->key, list->prefix, strlen(list->prefix)) != 0) {
      list_fail(list, "gave out of order", from->key);
      return -1;
    }
    s3_buf_clear(&list->after);
    s3_buf_text(&list->after, from->key);
    if (s3_name_check(from->key, NULL) != SB_OK)
      continue;
    to->name = from->key;
    to->size = from->size;
    to->etag = from->etag[0] == '\0' ? NULL : from->etag;
    to->modified_ms = from->modified_ms;
    list->entry_count++;
  }
  return 0;
}

static void
list_end(list_op *list)
{
  sb_store_result *result = &list->op.result;

  result->entries = list->entries;
  result->entry_count = list->entry_count;
  result->truncated = list->page.truncated != 0;
  if (result->entry_count > list->limit) {
    result->entry_count = list->limit;
    result->truncated = 1;
  }
  s3_op_end(&list->op, SB_OK);
}

/* A page without a name of ours that is not the last: on to the next. */
static void
list_go_on(list_op *list)
{
  const sb_host *host = list->op.store->host;
  char *next = list->page.next;

  if (next == NULL && list->page.count == 0) {
    list_fail(list, "gave an empty page that is not the last, after",
              s3_buf_string(&list->after));
    return;
  }
  if (next != NULL && list->token != NULL && list->page.count == 0
      && strcmp(next, list->token) == 0) {
    list_fail(list, "repeats the token", next);
    return;
  }
  if (++list->pages >= LIST_PAGES_MAX) {
    list_fail(list, "goes on without end after",
              s3_buf_string(&list->after));
    return;
  }
  s3_free(host, list->token);
  list->token = next;
  list->page.next = NULL;
  s3_xml_list_free(host, &list->page);
  memset(&list->page, 0, sizeof list->page);
  s3_free(host, list->entries);
  list->entries = NULL;
  list_ask(list);
}

static void
list_called(s3_call *call)
{
  list_op *list = (list_op *)call->op;
  s3_op *op = &list->op;
  sb_error error;
  sb_status status;

  if (call->status != SB_OK) {
    s3_op_end_call(op, call);
    return;
  }
  status = s3_xml_read_list(op->store->host, s3_buf_string(&call->text),
                            call->text.len, &list->page, &error);
  if (status != SB_OK) {
    s3_op_end(op, sb_fail(&op->error, status == SB_CORRUPT ? SB_IO : status,
                          "could not list \"%.150s\": %.250s", list->prefix,
                          error.message));
    return;
  }
  if (list_take(list) != 0)
    return;
  if (list->after.failed)
    list_no_memory(list);
  else if (list->entry_count == 0 && list->page.truncated)
    list_go_on(list);
  else
    list_end(list);
}

/*
 * Not every server takes a start that does not begin with the prefix. One
 * before all names with the prefix is none; after one behind them comes
 * nothing.
 */
static void
list_start(s3_op *op)
{
  list_op *list = (list_op *)op;
  const char *after = s3_buf_string(&list->after);

  if (strncmp(after, list->prefix, strlen(list->prefix)) != 0) {
    if (strcmp(after, list->prefix) > 0) {
      s3_op_end(op, SB_OK);
      return;
    }
    s3_buf_clear(&list->after);
  }
  list_ask(list);
}

static sb_status
list_check(const sb_list_request *request, sb_error *err)
{
  if (request->prefix == NULL || strlen(request->prefix) > SB_OBJECT_NAME_MAX)
    return sb_fail(err, SB_INVALID,
                   "could not list: the prefix is missing or has over %u "
                   "bytes", SB_OBJECT_NAME_MAX);
  if (request->start_after != NULL
      && strlen(request->start_after) > SB_OBJECT_NAME_MAX)
    return sb_fail(err, SB_INVALID,
                   "could not list \"%.300s\": the name to start after has "
                   "over %u bytes", request->prefix, SB_OBJECT_NAME_MAX);
  return SB_OK;
}

sb_status
s3_list(sb_store *base, const sb_list_request *request, uint64_t *id,
        sb_error *err)
{
  s3_store *store = (s3_store *)base;
  sb_status status = list_check(request, err);
  list_op *list;

  if (status != SB_OK)
    return status;
  list = (list_op *)s3_op_new(store, sizeof *list,
                              s3_text_size(request->prefix), &request->base,
                              list_start);
  if (list == NULL)
    return sb_fail(err, SB_NO_MEMORY,
                   "could not list \"%.300s\": out of memory",
                   request->prefix);
  list->op.free = list_free;
  list->prefix = list->op.name = s3_op_text(&list->op, request->prefix);
  list->limit = request->limit == 0 || request->limit > S3_LIST_MAX
                  ? S3_LIST_MAX : (uint32_t)request->limit;
  list->query = s3_buf_of(store->host);
  list->after = s3_buf_of(store->host);
  if (request->start_after != NULL)
    s3_buf_text(&list->after, request->start_after);
  if (list->after.failed) {
    list_free(&list->op);
    s3_op_discard(&list->op);
    return sb_fail(err, SB_NO_MEMORY,
                   "could not list \"%.300s\": out of memory",
                   request->prefix);
  }
  return s3_op_submit(&list->op, id, err);
}
