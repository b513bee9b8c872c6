/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing, page by page. A page is copied out of the completion into one
 * block of memory, so that the visitor runs outside it and may call the store.
 */
#include "config.h"

#include <string.h>

#include "host/base/mem.h"
#include "host/store/wait.h"

typedef struct list_page {
  const sb_host *host;
  sb_store_entry *entries;  /* followed by the strings */
  uint64_t count;
  uint32_t truncated;
} list_page;

static sb_status
list_keep(void *arg, const sb_store_result *result)
{
  list_page *page = arg;
  size_t bytes = (size_t)result->entry_count * sizeof *page->entries;
  char *text;
  uint64_t i;

  for (i = 0; i < result->entry_count; i++) {
    bytes += strlen(result->entries[i].name) + 1;
    if (result->entries[i].etag != NULL)
      bytes += strlen(result->entries[i].etag) + 1;
  }
  page->entries = mem_alloc(page->host, bytes);
  if (page->entries == NULL)
    return SB_NO_MEMORY;
  text = (char *)(page->entries + result->entry_count);
  for (i = 0; i < result->entry_count; i++) {
    const sb_store_entry *from = &result->entries[i];
    sb_store_entry *to = &page->entries[i];

    *to = *from;
    to->name = strcpy(text, from->name);
    text += strlen(text) + 1;
    if (from->etag == NULL)
      continue;
    to->etag = strcpy(text, from->etag);
    text += strlen(text) + 1;
  }
  page->count = result->entry_count;
  page->truncated = result->truncated;
  return SB_OK;
}

/* Hands the page's entries on. *last is the name of the last one. */
static sb_status
list_visit(const list_page *page, const char *prefix, const char *after,
           char *last, store_list_fn *fn, void *arg, sb_error *err)
{
  uint64_t i;

  strcpy(last, after);
  for (i = 0; i < page->count; i++) {
    const sb_store_entry *entry = &page->entries[i];
    sb_status status;

    if (strlen(entry->name) > SB_OBJECT_NAME_MAX
        || strncmp(entry->name, prefix, strlen(prefix)) != 0
        || strcmp(entry->name, last) <= 0)
      return sb_error_set(err, SB_IO,
                          "could not list \"%.200s\": the store gave "
                          "\"%.200s\" out of order", prefix, entry->name);
    strcpy(last, entry->name);
    status = fn(arg, entry, err);
    if (status != SB_OK)
      return status;
  }
  return SB_OK;
}

sb_status
store_list(const sb_host *host, sb_store *s, const char *prefix,
           const char *start_after, store_list_fn *fn, void *arg,
           sb_error *err)
{
  char after[SB_OBJECT_NAME_MAX + 1] = "";
  char last[SB_OBJECT_NAME_MAX + 1] = "";
  list_page page = { .host = host, .truncated = 1 };
  store_wait wait;
  sb_status status;

  if (start_after != NULL && strlen(start_after) > SB_OBJECT_NAME_MAX)
    return sb_error_set(err, SB_TOO_LARGE,
                        "could not list \"%.200s\": the name to start after "
                        "has over %u bytes", prefix, SB_OBJECT_NAME_MAX);
  if (start_after != NULL)
    strcpy(after, start_after);
  status = store_wait_init(&wait, host, err);
  if (status != SB_OK)
    return status;
  wait.keep = list_keep;
  wait.keep_arg = &page;
  while (status == SB_OK && page.truncated != 0) {
    sb_list_request request = { .prefix = prefix, .start_after = after };

    page.entries = NULL;
    page.count = 0;
    store_wait_prepare(&wait, &request.base, sizeof request, 0);
    status = s->ops->list(s, &request, NULL, &wait.error);
    status = store_wait_end(&wait, status, "list objects", prefix, err);
    if (status == SB_OK && page.truncated != 0 && page.count == 0)
      status = sb_error_set(err, SB_IO,
                            "could not list \"%.200s\": the store gave an "
                            "empty page that is not the last", prefix);
    if (status == SB_OK)
      status = list_visit(&page, prefix, after, last, fn, arg, err);
    strcpy(after, last);
    mem_free(host, page.entries);
  }
  store_wait_dispose(&wait);
  return status;
}
