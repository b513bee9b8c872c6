/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canonical_tool write DIR: streams of every kind for another reader, each as
 *   NAME.canonical, NAME.rows (what is in it), NAME.offsets, NAME.groups.
 * canonical_tool read FILE GROUPS: the rows of a stream that somebody wrote.
 *
 * A row is a line: state, kind, key group, key, namespace, subkey, value and
 * time, separated by tabs; bytes in hexadecimal, "-" for none.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/canonical_fixture.h"

static rows_keyed keyed;
static sb_error err;
static const char *directory;

static sb_slice
text(const char *s)
{
  return sb_slice_of(s, strlen(s));
}

static void
check(sb_status status)
{
  if (status == SB_OK)
    return;
  fprintf(stderr, "canonical_tool: %s\n", err.message);
  exit(1);
}

/* ---- rows as text ------------------------------------------------------ */

static void
print_hex(FILE *out, sb_slice s)
{
  size_t i;

  if (s.len == 0)
    fputs("\t-", out);
  else
    fputc('\t', out);
  for (i = 0; i < s.len; i++)
    fprintf(out, "%02x", ((const uint8_t *)s.data)[i]);
}

static void
print_row(FILE *out, sb_slice state, uint32_t kind, uint32_t group,
          const sb_slice fields[4], uint64_t time)
{
  size_t i;

  fprintf(out, "%.*s\t%u\t%u", (int)state.len, (const char *)state.data,
          (unsigned)kind, (unsigned)group);
  for (i = 0; i < 4; i++)
    print_hex(out, fields[i]);
  fprintf(out, "\t%llu\n", (unsigned long long)time);
}

static FILE *
open_file(const char *name, const char *extension)
{
  char path[1024];
  FILE *f;

  snprintf(path, sizeof path, "%s/%s.%s", directory, name, extension);
  f = fopen(path, "wb");
  if (f == NULL) {
    perror(path);
    exit(1);
  }
  return f;
}

static void
write_case(const char *name, const sb_canonical_options *options)
{
  static stream out;
  FILE *f;
  size_t i, j;

  check(stream_write(&out, &keyed, sb_host_default(), options, &err));
  f = open_file(name, "canonical");
  fwrite(out.data, 1, out.len, f);
  fclose(f);
  f = open_file(name, "groups");
  fprintf(f, "%u\n", (unsigned)keyed.place.key_group_count);
  fclose(f);
  f = open_file(name, "offsets");
  for (i = 0; i <= keyed.place.key_group_last; i++)
    fprintf(f, "%llu\n", (unsigned long long)out.offsets[i]);
  fclose(f);
  f = open_file(name, "rows");
  for (i = 0; i < keyed.count; i++) {
    const rows_row *r = &keyed.rows[i];
    const sb_slice fields[4] = { r->key, r->ns, r->subkey, r->value };

    for (j = 0; keyed.states[j].id != r->state; j++)
      ;
    print_row(f, keyed.states[j].name, keyed.states[j].kind, r->key_group,
              fields, r->expires_ms);
  }
  fclose(f);
  stream_dispose(&out);
  rows_dispose(&keyed);
}

/* ---- byte strings ------------------------------------------------------ */

static unsigned random_state = 42;

static sb_slice
random_slice(uint8_t *to, unsigned max)
{
  unsigned len, i;

  random_state = random_state * 1103515245u + 12345u;
  len = (random_state >> 8) % max;
  for (i = 0; i < len; i++) {
    random_state = random_state * 1103515245u + 12345u;
    to[i] = (uint8_t)(random_state >> 28);
  }
  return sb_slice_of(to, len);
}

static void
bytes_rows(uint32_t id, uint32_t kind, uint32_t group, uint64_t time)
{
  static uint8_t key[400], ns[400], sub[400], value[90000];
  const sb_slice none = { NULL, 0 };
  sb_slice k, n, s, v;
  unsigned i;

  for (i = 0; i < 8; i++) {
    if (kind != SB_STATE_LIST || i % 4 == 0) {
      k = random_slice(key, 300);
      n = random_slice(ns, 300);
    }
    s = random_slice(sub, 300);
    v = random_slice(value, i == 3 ? 90000 : 300);
    rows_put_bytes(&keyed, id, group, k, kind == SB_STATE_TIMER ? none : n,
                   kind == SB_STATE_MAP ? s : none,
                   kind == SB_STATE_TIMER ? none : v,
                   kind == SB_STATE_TIMER ? 0 : time);
  }
}

static void
bytes_case(const char *name, uint32_t groups, uint32_t time_kind, int compress)
{
  static const uint32_t kinds[] = { SB_STATE_VALUE, SB_STATE_LIST,
                                    SB_STATE_MAP, SB_STATE_REDUCING,
                                    SB_STATE_AGGREGATING, SB_STATE_TIMER };
  static char names[6][16];
  sb_canonical_options o = { .struct_size = sizeof o };
  uint32_t ids[6], g, i;

  rows_init(&keyed, groups, 0, groups - 1);
  for (i = 0; i < 6; i++) {
    snprintf(names[i], sizeof names[i], "state-%u", (unsigned)i);
    ids[i] = rows_state(&keyed, names[i], kinds[i], time_kind, 1000);
  }
  for (g = 0; g < groups; g += 1 + groups / 5)
    for (i = 0; i < 6; i++)
      bytes_rows(ids[i], kinds[i], g,
                 time_kind == SB_TIME_STAMP ? 1000u + g : 0);
  o.flags = compress ? SB_CANONICAL_COMPRESS : 0;
  write_case(name, &o);
}

/* ---- what Flink's own serializers write -------------------------------- */

static uint8_t meta_bytes[8][4096];
static uint8_t *meta_at;

static void
meta_int(uint32_t v)
{
  const uint8_t b[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16),
                         (uint8_t)(v >> 8), (uint8_t)v };

  memcpy(meta_at, b, 4);
  meta_at += 4;
}

static void
meta_utf(const char *s)
{
  size_t len = strlen(s);

  *meta_at++ = (uint8_t)(len >> 8);
  *meta_at++ = (uint8_t)len;
  memcpy(meta_at, s, len);
  meta_at += len;
}

#define BASE "org.apache.flink.api.common.typeutils.base."
#define STRING_CLASS BASE "StringSerializer$StringSerializerSnapshot"
#define LONG_CLASS BASE "LongSerializer$LongSerializerSnapshot"
#define DOUBLE_CLASS BASE "DoubleSerializer$DoubleSerializerSnapshot"
#define WINDOW_CLASS                                                          \
  "org.apache.flink.streaming.api.windowing.windows.TimeWindow$Serializer"    \
  "$TimeWindowSerializerSnapshot"
#define TIMER_CLASS                                                           \
  "org.apache.flink.streaming.api.operators.TimerSerializerSnapshot"

static void
meta_class(const char *class)
{
  meta_utf(class);
  meta_int(3);
}

static void
meta_inside(const char *class, uint32_t version, const char *a, const char *b)
{
  meta_class(class);
  meta_int(911108);
  meta_int(version);
  meta_int(1333245);
  meta_int(1);
  meta_int(b == NULL ? 1 : 2);
  meta_class(a);
  if (b != NULL)
    meta_class(b);
}

static void
meta_begin(unsigned i, const char *name, const char *kind)
{
  meta_at = meta_bytes[i];
  meta_utf(name);
  meta_int(kind == NULL ? 3 : 0);
  meta_int(kind == NULL ? 0 : 1);
  if (kind != NULL) {
    meta_utf("KEYED_STATE_TYPE");
    meta_utf(kind);
    meta_int(2);
    meta_utf("NAMESPACE_SERIALIZER");
    meta_int(2);
    meta_class(WINDOW_CLASS);
  } else {
    meta_int(1);
  }
  meta_utf("VALUE_SERIALIZER");
  meta_int(2);
}

static sb_canonical_state
meta_end(unsigned i, const char *name)
{
  sb_canonical_state s;

  memset(&s, 0, sizeof s);
  s.struct_size = sizeof s;
  s.name = text(name);
  s.meta = sb_slice_of(meta_bytes[i], (size_t)(meta_at - meta_bytes[i]));
  s.namespace_length = 16;
  return s;
}

static void
window_rows(uint32_t ids[4])
{
  static const char key[] = "\4key";        /* the length plus 1, characters */
  const sb_slice none = { NULL, 0 };
  const sb_slice k = text(key), window = text("\1\1\1\1\1\1\1\1AAAAAAAA");

  rows_put_bytes(&keyed, ids[0], 77, k, window, none, text("12345678"), 0);
  rows_put_bytes(&keyed, ids[0], 77, text("\1"), window, none,
                 text("12345678"), 0);
  rows_put_bytes(&keyed, ids[1], 77, k, window, none, text("abcdefgh"), 0);
  rows_put_bytes(&keyed, ids[1], 77, k, window, none, text(",,,,,,,,"), 0);
  rows_put_bytes(&keyed, ids[2], 77, k, window, text("\3uk"),
                 sb_slice_of("\0DOUBLE64", 9), 0);
  rows_put_bytes(&keyed, ids[2], 77, k, window, text("\3ul"),
                 sb_slice_of("\1", 1), 0);
  rows_put_bytes(&keyed, ids[3], 77, text("TIMESTMP\4keyWINDOW0123456789"),
                 none, none, none, 0);
}

/* String keys, TimeWindow namespaces, Long values, a map with a null. */
static void
flink_case(const char *name, int compress)
{
  static uint8_t key_serializer[256];
  sb_canonical_state s[4];
  sb_canonical_options o = { .struct_size = sizeof o };
  uint32_t ids[4];

  rows_init(&keyed, 128, 0, 127);
  ids[0] = rows_state(&keyed, "sum", SB_STATE_REDUCING, 0, 0);
  ids[1] = rows_state(&keyed, "all", SB_STATE_LIST, 0, 0);
  ids[2] = rows_state(&keyed, "map", SB_STATE_MAP, 0, 0);
  ids[3] = rows_state(&keyed, "timers", SB_STATE_TIMER, 0, 0);
  meta_begin(0, "sum", "REDUCING");
  meta_class(LONG_CLASS);
  s[0] = meta_end(0, "sum");
  meta_begin(1, "all", "LIST");
  meta_inside(BASE "ListSerializerSnapshot", 1, LONG_CLASS, NULL);
  s[1] = meta_end(1, "all");
  meta_begin(2, "map", "MAP");
  meta_inside(BASE "MapSerializerSnapshot", 1, STRING_CLASS, DOUBLE_CLASS);
  s[2] = meta_end(2, "map");
  meta_begin(3, "timers", NULL);
  meta_inside(TIMER_CLASS, 2, STRING_CLASS, WINDOW_CLASS);
  s[3] = meta_end(3, "timers");
  window_rows(ids);
  meta_at = key_serializer;
  meta_int(2);
  meta_class(STRING_CLASS);
  o.flags = compress ? SB_CANONICAL_COMPRESS : 0;
  o.encoding = SB_CANONICAL_VERBATIM;
  o.key_serializer = sb_slice_of(key_serializer,
                                 (size_t)(meta_at - key_serializer));
  o.states = s;
  o.state_count = 4;
  write_case(name, &o);
}

static void
void_case(const char *name)
{
  sb_canonical_state s = { .struct_size = sizeof s, .name = text("count"),
                           .flags = SB_CANONICAL_VOID_NAMESPACE };
  sb_canonical_options o = { .struct_size = sizeof o, .states = &s,
                             .state_count = 1 };
  uint32_t id;

  rows_init(&keyed, 32768, 0, 1000);
  id = rows_state(&keyed, "count", SB_STATE_VALUE, 0, 0);
  rows_put(&keyed, id, 0, "k", NULL, NULL, "v");
  rows_put(&keyed, id, 1000, "k", NULL, NULL, "v");
  write_case(name, &o);
}

/* ---- reading ----------------------------------------------------------- */

/* A String as Flink's StringSerializer has it: short, all ASCII. */
static sb_status
string_field(void *arg, uint32_t field, sb_slice state, sb_slice bytes,
             size_t *len, sb_error *e)
{
  const uint8_t *p = bytes.data;

  (void)arg;
  (void)state;
  if (field != SB_FIELD_KEY || bytes.len == 0 || p[0] == 0 || p[0] > 127)
    return sb_error_set(e, SB_CORRUPT, "not a short string");
  *len = p[0];
  return SB_OK;
}

static void
read_stream(const char *path, const char *groups)
{
  sb_canonical_read read = { .struct_size = sizeof read,
                             .field = string_field };
  sb_canonical_info info = { .struct_size = sizeof info };
  sb_canonical_reader *r;
  sb_canonical_row row;
  sb_status status;
  static stream in;
  uint8_t piece[4096];
  size_t n;
  FILE *f = fopen(path, "rb");

  if (f == NULL) {
    perror(path);
    exit(1);
  }
  while ((n = fread(piece, 1, sizeof piece, f)) != 0)
    check(stream_sink(&in, piece, n, &err));
  fclose(f);
  read.length = in.len;
  read.key_group_count = (uint32_t)strtoul(groups, NULL, 10);
  read.key_group_last = read.key_group_count - 1;
  check(sb_canonical_reader_open(sb_host_default(), stream_source, &in, &read,
                                 &r, &err));
  while ((status = sb_canonical_reader_next(r, &row, &err)) == SB_OK) {
    const sb_slice fields[4] = { row.key, row.ns, row.subkey, row.value };

    check(sb_canonical_reader_state(r, row.state, &info, &err));
    print_row(stdout, info.name, info.kind, row.key_group, fields,
              row.time_ms);
  }
  if (status != SB_END)
    check(status);
  sb_canonical_reader_close(r);
  stream_dispose(&in);
}

int
main(int argc, char **argv)
{
  if (argc == 4 && strcmp(argv[1], "read") == 0) {
    read_stream(argv[2], argv[3]);
    return 0;
  }
  if (argc != 3 || strcmp(argv[1], "write") != 0) {
    fprintf(stderr, "usage: canonical_tool write DIR | read FILE GROUPS\n");
    return 2;
  }
  directory = argv[2];
  bytes_case("bytes-1", 1, SB_TIME_EXPIRY, 0);
  bytes_case("bytes-128", 128, SB_TIME_EXPIRY, 0);
  bytes_case("bytes-129", 129, SB_TIME_EXPIRY, 1);
  bytes_case("times-128", 128, SB_TIME_STAMP, 1);
  bytes_case("times-1000", 1000, SB_TIME_STAMP, 0);
  flink_case("flink", 0);
  flink_case("flink-packed", 1);
  void_case("void");
  return 0;
}
