/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libconfig files: groups become keys with dots, arrays and lists of single
 * values become lists. Names there have no dots; where a key is a value and a
 * group at once ("state.backend"), its value is called "type" in the group.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <libconfig.h>
#include "host/config/config_file.h"

static unsigned
libconfig_line(const config_setting_t *s)
{
  int line = config_setting_source_line(s);

  return line < 0 ? 0 : (unsigned)line;
}

/* A single value as text, in the library's own spelling of it. */
static const char *
libconfig_text(const config_setting_t *s, char *text, size_t size)
{
  switch (config_setting_type(s)) {
  case CONFIG_TYPE_STRING:
    return config_setting_get_string(s);
  case CONFIG_TYPE_BOOL:
    return config_setting_get_bool(s) ? "true" : "false";
  case CONFIG_TYPE_INT:
    (void)snprintf(text, size, "%d", config_setting_get_int(s));
    return text;
  case CONFIG_TYPE_INT64:
    (void)snprintf(text, size, "%lld",
                   (long long)config_setting_get_int64(s));
    return text;
  case CONFIG_TYPE_FLOAT:
    (void)snprintf(text, size, "%.17g", config_setting_get_float(s));
    return text;
  default:
    return NULL;
  }
}

static sb_status
libconfig_list(config_file *r, const config_setting_t *s, const char *key)
{
  int count = config_setting_length(s), i;
  sb_status status = SB_OK;
  char text[64];
  buf list;

  buf_init(&list, r->host, OPTION_VALUE_MAX + 1);
  for (i = 0; i < count && status == SB_OK; i++) {
    const char *element = libconfig_text(
      config_setting_get_elem(s, (unsigned)i), text, sizeof text);

    if (element == NULL)
      status = config_file_fail(r, libconfig_line(s), "the list \"%s\" may "
                                "hold single values only", key);
    else
      status = config_file_list_add(r, &list, key, element,
                                    libconfig_line(s));
  }
  buf_u8(&list, 0);
  if (status == SB_OK && list.status != SB_OK)
    status = config_file_fail(r, libconfig_line(s),
                              "the list \"%s\" does not fit", key);
  if (status == SB_OK)
    status = config_file_add(r, key, (const char *)list.data,
                             libconfig_line(s));
  buf_dispose(&list);
  return status;
}

static sb_status
libconfig_group(config_file *r, const config_setting_t *group,
                const char *prefix, unsigned depth)
{
  int count = config_setting_length(group), i;
  char key[OPTION_KEY_MAX + 1];
  char number[64];
  sb_status status = SB_OK;

  if (depth > CONFIG_FILE_DEPTH_MAX)
    return config_file_fail(r, libconfig_line(group),
                            "groups are nested more than %u deep",
                            CONFIG_FILE_DEPTH_MAX);
  for (i = 0; i < count && status == SB_OK; i++) {
    const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
    const char *text = libconfig_text(s, number, sizeof number);

    status = config_file_join(r, prefix, config_setting_name(s),
                              libconfig_line(s), key);
    if (status != SB_OK)
      break;
    if (config_setting_is_group(s))
      status = libconfig_group(r, s, key, depth + 1);
    else if (text != NULL)
      status = config_file_add(r, key, text, libconfig_line(s));
    else
      status = libconfig_list(r, s, key);
  }
  return status;
}

sb_status
config_file_libconfig(config_file *r)
{
  config_t config;
  sb_status status;

  if (strlen(r->text) != r->len)
    return sb_error_set(r->err, SB_CONFIG, "%.200s: the file holds a NUL",
                        r->path);
  config_init(&config);
  if (config_read_string(&config, r->text) != CONFIG_TRUE) {
    int line = config_error_line(&config);

    status = config_file_fail(r, line < 0 ? 0 : (unsigned)line,
                         "this is not libconfig: %s",
                         config_error_text(&config));
  } else {
    status = libconfig_group(r, config_root_setting(&config), "", 0);
  }
  config_destroy(&config);
  return status;
}
