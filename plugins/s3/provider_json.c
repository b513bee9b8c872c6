/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials in JSON, as processes, containers, instances and SSO give them.
 * The parser's messages quote what they read, so none of them is shown; the
 * texts are wiped before jansson frees them.
 */
#include "config.h"

#include <string.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <statebackend/plugin.h>

#include "plugins/s3/source.h"
#include "plugins/s3/xml.h"

#define JSON_NUMBER_MAX 1000000000000000ll

static void
json_wipe(json_t *root)
{
  const char *name;
  json_t *value;

  json_object_foreach(root, name, value) {
    if (json_is_string(value))
      OPENSSL_cleanse((char *)(uintptr_t)json_string_value(value),
                      json_string_length(value));
    else if (json_is_object(value))
      json_wipe(value);
  }
}

static json_t *
json_read(const char *data, size_t len)
{
  json_error_t error;

  return json_loadb(data == NULL ? "" : data, len, 0, &error);
}

static void
json_done(json_t *root)
{
  json_wipe(root);
  json_decref(root);
}

/* The end in "expires": 0 if there is none, -1 if it cannot be read. */
static int64_t
json_expires(const json_t *object, const s3_json_names *names)
{
  const json_t *value = json_object_get(object, names->expires);
  int64_t number;

  if (value == NULL || json_is_null(value))
    return 0;
  if (names->numeric && json_is_integer(value)) {
    number = json_integer_value(value);
    return number > 0 && number < JSON_NUMBER_MAX ? number : -1;
  }
  if (names->numeric || !json_is_string(value))
    return -1;
  number = (int64_t)s3_time_parse(json_string_value(value));
  return number == 0 ? -1 : number;
}

static const char *
json_text(const json_t *object, const char *name)
{
  return json_string_value(json_object_get(object, name));
}

static sb_status
json_credentials(const sb_host *host, const char *what, const json_t *root,
                 const s3_json_names *names, s3_credentials **out,
                 sb_error *err)
{
  const json_t *object = names->object == NULL
                           ? root
                           : json_object_get(root, names->object);
  int64_t expires;

  if (!json_is_object(object))
    return sb_fail(err, SB_CORRUPT, "%s gave no credentials", what);
  if (names->version &&
      json_integer_value(json_object_get(object, "Version")) != 1)
    return sb_fail(err, SB_CORRUPT,
                   "%s gave no \"Version\": 1 with its credentials", what);
  expires = json_expires(object, names);
  if (expires < 0)
    return sb_fail(err, SB_CORRUPT,
                   "%s gave credentials with a \"%s\" that is no time", what,
                   names->expires);
  return s3_fetched(host, what, json_text(object, names->access),
                    json_text(object, names->secret),
                    json_text(object, names->token), (uint64_t)expires, out,
                    err);
}

sb_status
s3_source_json(const sb_host *host, const char *what, const char *data,
               size_t len, const s3_json_names *names, s3_credentials **out,
               sb_error *err)
{
  json_t *root = json_read(data, len);
  sb_status status;

  *out = NULL;
  if (root == NULL)
    return sb_fail(err, SB_CORRUPT, "%s gave something that is no JSON", what);
  status = json_credentials(host, what, root, names, out, err);
  json_done(root);
  return status;
}

sb_status
s3_json_member(const char *data, size_t len, const char *name, char *out,
               size_t size)
{
  json_t *root = json_read(data, len);
  const char *text;
  sb_status status = SB_OK;

  if (root == NULL)
    return SB_CORRUPT;
  text = json_text(root, name);
  if (text == NULL)
    status = SB_NOT_FOUND;
  else if (strlen(text) >= size)
    status = SB_TOO_LARGE;
  else
    memcpy(out, text, strlen(text) + 1);
  json_done(root);
  return status;
}
