/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML, flat as flink-conf.yaml or nested as config.yaml: maps in maps become
 * keys with dots, sequences of scalars become lists.
 */
#include "config.h"

#include <string.h>
#include <strings.h>
#include <yaml.h>
#include "host/config/config_file.h"

typedef struct yaml_walk {
  config_file *r;
  yaml_document_t document;
} yaml_walk;

static unsigned
yaml_line(const yaml_node_t *node)
{
  return (unsigned)node->start_mark.line + 1;
}

static sb_status
yaml_text(const yaml_walk *w, const yaml_node_t *node, const char **text)
{
  *text = (const char *)node->data.scalar.value;
  if (strlen(*text) != node->data.scalar.length)
    return config_file_fail(w->r, yaml_line(node), "a text holds a NUL");
  return SB_OK;
}

/* "key:" and "key: ~" say that there is no value. */
static int
yaml_is_null(const yaml_node_t *node)
{
  const char *text = (const char *)node->data.scalar.value;

  return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
         (text[0] == '\0' || strcmp(text, "~") == 0 ||
          strcasecmp(text, "null") == 0);
}

static sb_status
yaml_sequence(yaml_walk *w, const yaml_node_t *node, const char *key)
{
  const yaml_node_item_t *item = node->data.sequence.items.start;
  sb_status status = SB_OK;
  buf list;

  buf_init(&list, w->r->host, OPTION_VALUE_MAX + 1);
  for (; item < node->data.sequence.items.top && status == SB_OK; item++) {
    const yaml_node_t *element = yaml_document_get_node(&w->document, *item);
    const char *text;

    if (element->type != YAML_SCALAR_NODE) {
      status = config_file_fail(w->r, yaml_line(element), "the list \"%s\" "
                                "may hold single values only", key);
      break;
    }
    status = yaml_text(w, element, &text);
    if (status == SB_OK)
      status = config_file_list_add(w->r, &list, key, text,
                                    yaml_line(element));
  }
  buf_u8(&list, 0);
  if (status == SB_OK && list.status != SB_OK)
    status = config_file_fail(w->r, yaml_line(node),
                              "the list \"%s\" does not fit", key);
  if (status == SB_OK)
    status = config_file_add(w->r, key, (const char *)list.data,
                             yaml_line(node));
  buf_dispose(&list);
  return status;
}

static sb_status yaml_mapping(yaml_walk *w, const yaml_node_t *node,
                              const char *prefix, unsigned depth);

static sb_status
yaml_value(yaml_walk *w, const yaml_node_t *node, const char *key,
           unsigned depth)
{
  const char *text;
  sb_status status;

  switch (node->type) {
  case YAML_SCALAR_NODE:
    if (yaml_is_null(node))
      return SB_OK;
    status = yaml_text(w, node, &text);
    return status != SB_OK ? status
                           : config_file_add(w->r, key, text, yaml_line(node));
  case YAML_SEQUENCE_NODE:
    return yaml_sequence(w, node, key);
  case YAML_MAPPING_NODE:
    return yaml_mapping(w, node, key, depth + 1);
  default:
    return config_file_fail(w->r, yaml_line(node), "\"%s\" has no value", key);
  }
}

/* Anchors can make a map its own child; the limit on depth ends that, the one
   on settings ends maps that multiply. */
static sb_status
yaml_mapping(yaml_walk *w, const yaml_node_t *node, const char *prefix,
             unsigned depth)
{
  const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
  char key[OPTION_KEY_MAX + 1];
  sb_status status = SB_OK;

  if (depth > CONFIG_FILE_DEPTH_MAX)
    return config_file_fail(w->r, yaml_line(node),
                            "maps are nested more than %u deep",
                            CONFIG_FILE_DEPTH_MAX);
  for (; pair < node->data.mapping.pairs.top && status == SB_OK; pair++) {
    const yaml_node_t *name = yaml_document_get_node(&w->document, pair->key);
    const char *text;

    if (name->type != YAML_SCALAR_NODE)
      return config_file_fail(w->r, yaml_line(name),
                              "a key is not a single value");
    status = yaml_text(w, name, &text);
    if (status == SB_OK)
      status = config_file_join(w->r, prefix, text, yaml_line(name), key);
    if (status == SB_OK)
      status = yaml_value(w,
                          yaml_document_get_node(&w->document, pair->value),
                          key, depth);
  }
  return status;
}

static sb_status
yaml_fail(const config_file *r, const yaml_parser_t *parser)
{
  unsigned line = (unsigned)parser->problem_mark.line + 1;
  const char *problem = parser->problem == NULL ? "it cannot be read"
                                                : parser->problem;

  if (parser->error == YAML_MEMORY_ERROR)
    return sb_error_set(r->err, SB_NO_MEMORY,
                        "no memory to read configuration \"%s\"", r->path);
  if (parser->error == YAML_READER_ERROR)
    return sb_error_set(r->err, SB_CONFIG,
                        "%.200s: this is not YAML: %s at byte %zu", r->path,
                        problem, parser->problem_offset);
  if (parser->context == NULL)
    return config_file_fail(r, line, "this is not YAML: %s", problem);
  return config_file_fail(r, line, "this is not YAML: %s, %s", parser->context,
                     problem);
}

/* A second document would otherwise be left unread in silence. */
static sb_status
yaml_one_document(const config_file *r, yaml_parser_t *parser)
{
  yaml_document_t more;
  const yaml_node_t *root;
  unsigned line;

  if (!yaml_parser_load(parser, &more))
    return yaml_fail(r, parser);
  root = yaml_document_get_root_node(&more);
  line = root == NULL ? 0 : yaml_line(root);
  yaml_document_delete(&more);
  return root == NULL ? SB_OK
                      : config_file_fail(r, line, "a second document begins");
}

sb_status
config_file_yaml(config_file *r)
{
  yaml_parser_t parser;
  yaml_walk w = { .r = r };
  const yaml_node_t *root;
  sb_status status;

  if (!yaml_parser_initialize(&parser))
    return sb_error_set(r->err, SB_NO_MEMORY,
                        "no memory to read configuration \"%s\"", r->path);
  yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&parser, (const unsigned char *)r->text,
                               r->len);
  if (!yaml_parser_load(&parser, &w.document)) {
    status = yaml_fail(r, &parser);
    yaml_parser_delete(&parser);
    return status;
  }
  root = yaml_document_get_root_node(&w.document);
  if (root == NULL || (root->type == YAML_SCALAR_NODE && yaml_is_null(root)))
    status = SB_OK;
  else if (root->type != YAML_MAPPING_NODE)
    status = config_file_fail(r, yaml_line(root), "settings are written "
                         "\"key: value\"");
  else
    status = yaml_mapping(&w, root, "", 0);
  if (status == SB_OK && root != NULL)
    status = yaml_one_document(r, &parser);
  yaml_document_delete(&w.document);
  yaml_parser_delete(&parser);
  return status;
}
