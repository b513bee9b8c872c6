/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Canonical savepoints over rows in memory: bytes written out by hand after
 * Flink's format, everything written is read back, damage is an error, and
 * each failure of memory, sink, source and handle is passed on.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/checkpoint/canonical.h"
#include "tests/canonical_fixture.h"
#include "tests/fake_host.h"
#include "tests/tap.h"

static fake_host host;
static rows_keyed from, to;
static stream bytes;
static sb_error err;

static void
set_up(uint32_t groups, uint32_t first, uint32_t last)
{
  fake_host_init(&host);
  rows_init(&from, groups, first, last);
  rows_init(&to, groups, 0, groups - 1);
}

static void
tear_down(void)
{
  CU_ASSERT_EQUAL(from.views + from.cursors, 0);
  CU_ASSERT_EQUAL(host.live, 0);
  rows_dispose(&from);
  rows_dispose(&to);
  stream_dispose(&bytes);
}

static int
check_ok(sb_status status)
{
  CU_ASSERT_EQUAL(status, SB_OK);
  if (status != SB_OK)
    tap_note("%s: %s", sb_status_name(status), err.message);
  return status == SB_OK;
}

static sb_slice
text(const char *s)
{
  return sb_slice_of(s, strlen(s));
}

static sb_status
restore(const sb_canonical_read *read)
{
  sb_canonical_reader *r;
  sb_status status = sb_canonical_reader_open(&host.host, stream_source,
                                              &bytes, read, &r, &err);

  if (status != SB_OK)
    return status;
  status = sb_canonical_restore(&to.keyed, r, NULL, NULL, &err);
  sb_canonical_reader_close(r);
  return status;
}

/* Writes `from`, reads it into `to`, with offsets and without. */
static void
round_trip(const sb_canonical_options *options,
           const sb_canonical_options *reading, sb_canonical_field *field)
{
  sb_canonical_read read;

  if (!check_ok(stream_write(&bytes, &from, &host.host, options, &err)))
    return;
  CU_ASSERT_EQUAL(bytes.len, bytes.length);
  read = stream_read(&bytes, &from);
  read.options = reading;
  read.field = field;
  check_ok(restore(&read));
  CU_ASSERT(rows_same(&from, &to));
  rows_clear(&to);
  read.offsets = NULL;
  bytes.read_max = 7;
  check_ok(restore(&read));
  bytes.read_max = 0;
  CU_ASSERT(rows_same(&from, &to));
}

/* ---- golden bytes ------------------------------------------------------ */

#define BYTES_CLASS                                                           \
  "org.apache.flink.api.common.typeutils.base.array."                         \
  "BytePrimitiveArraySerializer$BytePrimitiveArraySerializerSnapshot"
#define VOID_CLASS                                                            \
  "org.apache.flink.runtime.state.VoidNamespaceSerializer"                    \
  "$VoidNamespaceSerializerSnapshot"
#define LIST_CLASS                                                            \
  "org.apache.flink.api.common.typeutils.base.ListSerializerSnapshot"
#define MAP_CLASS                                                             \
  "org.apache.flink.api.common.typeutils.base.MapSerializerSnapshot"
#define TTL_CLASS                                                             \
  "org.apache.flink.runtime.state.ttl.TtlStateFactory$TtlSerializerSnapshot"
#define LONG_CLASS                                                            \
  "org.apache.flink.api.common.typeutils.base.LongSerializer"                 \
  "$LongSerializerSnapshot"

/* What is expected, written with the tests' own hands. */
static uint8_t golden[8192];
static size_t golden_len;

static void
hex(const char *digits)
{
  unsigned value;

  for (; *digits != '\0'; digits++) {
    if (*digits == ' ')
      continue;
    sscanf(digits++, "%2x", &value);
    golden[golden_len++] = (uint8_t)value;
  }
}

/* A Java string. */
static void
utf(const char *s)
{
  size_t len = strlen(s);

  golden[golden_len++] = (uint8_t)(len >> 8);
  golden[golden_len++] = (uint8_t)len;
  memcpy(golden + golden_len, s, len);
  golden_len += len;
}

static void
simple(const char *class)
{
  utf(class);
  hex("00000003");
}

static void
check_golden(size_t at, const char *what)
{
  size_t i;

  for (i = 0; i < golden_len && at + i < bytes.len; i++)
    if (golden[i] != bytes.data[at + i])
      break;
  CU_ASSERT_EQUAL(i, golden_len);
  if (i != golden_len)
    tap_note("%s: byte %zu is %02x, not %02x", what, i,
             at + i < bytes.len ? bytes.data[at + i] : 0, golden[i]);
  golden_len = 0;
}

static void
golden_header(unsigned compressed, const char *count)
{
  hex("00000006");
  hex(compressed ? "01" : "00");
  hex("00000002");
  simple(BYTES_CLASS);
  hex(count);
}

/* Name, backend state type 0, options, two serializers, the namespace's. */
static void
golden_state(const char *name, const char *kind, const char *ns)
{
  utf(name);
  hex("00000000 00000001");
  utf("KEYED_STATE_TYPE");
  utf(kind);
  hex("00000002");
  utf("NAMESPACE_SERIALIZER");
  hex("00000002");
  simple(ns);
  utf("VALUE_SERIALIZER");
  hex("00000002");
}

static sb_canonical_options
with_states(const sb_canonical_state *states, size_t count)
{
  sb_canonical_options o;

  memset(&o, 0, sizeof o);
  o.struct_size = sizeof o;
  o.states = states;
  o.state_count = count;
  return o;
}

static void
test_golden_value(void)
{
  sb_canonical_state s = { .struct_size = sizeof s, .name = text("count"),
                           .flags = SB_CANONICAL_VOID_NAMESPACE };
  sb_canonical_options o = with_states(&s, 1);
  uint32_t id;

  set_up(128, 4, 6);
  id = rows_state(&from, "count", SB_STATE_VALUE, 0, 0);
  rows_state(&to, "count", SB_STATE_VALUE, 0, 0);
  rows_put(&from, id, 4, "a", NULL, NULL, "1");
  rows_put(&from, id, 6, "bc", NULL, NULL, "");
  rows_put(&from, id, 6, "d", NULL, NULL, "22");
  round_trip(&o, NULL, NULL);
  golden_header(0, "0001");
  golden_state("count", "VALUE", VOID_CLASS);
  simple(BYTES_CLASS);
  CU_ASSERT_EQUAL(bytes.offsets[0], golden_len);
  hex("0000 00000007 84 00000001 61 00 00000005 00000001 31 FFFF");
  CU_ASSERT_EQUAL(bytes.offsets[1], 0);
  CU_ASSERT_EQUAL(bytes.offsets[2], golden_len);
  hex("0000 00000008 06 00000002 6263 00 00000004 00000000"
      "00000007 86 00000001 64 00 00000006 00000002 3232 FFFF");
  CU_ASSERT_EQUAL(bytes.len, golden_len);
  check_golden(0, "value");
  tear_down();
}

/* Namespaces that vary, two bytes of key group, many states in a group. */
static void
test_golden_namespaces(void)
{
  uint32_t a, b, i;
  char ns[300];

  set_up(129, 0, 128);
  a = rows_state(&from, "a", SB_STATE_REDUCING, 0, 0);
  b = rows_state(&from, "b", SB_STATE_AGGREGATING, 0, 0);
  rows_state(&to, "a", SB_STATE_REDUCING, 0, 0);
  rows_state(&to, "b", SB_STATE_AGGREGATING, 0, 0);
  memset(ns, 'n', sizeof ns);
  ns[256] = '\0';
  rows_put(&from, a, 128, "k", "w", NULL, "1");
  rows_put(&from, a, 128, "k", NULL, NULL, "2");
  rows_put(&from, b, 128, "k", ns, NULL, "3");
  round_trip(NULL, NULL, NULL);
  golden_header(0, "0002");
  golden_state("a", "REDUCING", BYTES_CLASS);
  simple(BYTES_CLASS);
  golden_state("b", "AGGREGATING", BYTES_CLASS);
  simple(BYTES_CLASS);
  CU_ASSERT_EQUAL(bytes.offsets[128], golden_len);
  /* prefix, key, its length 5, namespace, its length 5 */
  hex("0000 0000000E 0080 00000001 6B 05 00000001 77 05"
      "00000005 00000001 31");
  hex("0000000D 8080 00000001 6B 05 00000000 04 00000005 00000001 32");
  /* 260 is 04 01 to the base of 256, the low digit first */
  hex("0001 0000010E 8080 00000001 6B 05 00000100");
  for (i = 0; i < 256; i++)
    hex("6E");
  hex("0401 00000005 00000001 33 FFFF");
  CU_ASSERT_EQUAL(bytes.len, golden_len);
  check_golden(0, "namespaces");
  tear_down();
}

static void
golden_composite(const char *class, const char *version, const char *count)
{
  simple(class);
  hex("000DE704"); /* 911108 */
  hex(version);
  hex("001457FD 00000001"); /* 1333245 */
  hex(count);
}

static void
test_golden_collections(void)
{
  sb_canonical_state s[3] = {
    { .struct_size = sizeof s[0], .name = text("list"),
      .flags = SB_CANONICAL_VOID_NAMESPACE },
    { .struct_size = sizeof s[0], .name = text("map"),
      .flags = SB_CANONICAL_VOID_NAMESPACE },
    { .struct_size = sizeof s[0], .name = text("timers") } };
  sb_canonical_options o = with_states(s, 3);
  uint32_t list, map, timers;

  set_up(2, 0, 1);
  list = rows_state(&from, "list", SB_STATE_LIST, 0, 0);
  map = rows_state(&from, "map", SB_STATE_MAP, 0, 0);
  timers = rows_state(&from, "timers", SB_STATE_TIMER, 0, 0);
  rows_state(&to, "timers", SB_STATE_TIMER, 0, 0);
  rows_state(&to, "map", SB_STATE_MAP, 0, 0);
  rows_state(&to, "list", SB_STATE_LIST, 0, 0);
  rows_put(&from, list, 1, "k", NULL, NULL, "x");
  rows_put(&from, list, 1, "k", NULL, NULL, ",");
  rows_put(&from, list, 1, "k", NULL, NULL, "");
  rows_put(&from, list, 1, "l", NULL, NULL, "y");
  rows_put(&from, map, 1, "k", NULL, "u", "v");
  rows_put(&from, map, 1, "k", NULL, "v", "w");
  rows_put(&from, timers, 1, "12345678k", NULL, NULL, NULL);
  round_trip(&o, NULL, NULL);
  golden_header(0, "0003");
  golden_state("list", "LIST", VOID_CLASS);
  golden_composite(LIST_CLASS, "00000001", "00000001");
  simple(BYTES_CLASS);
  golden_state("map", "MAP", VOID_CLASS);
  golden_composite(MAP_CLASS, "00000001", "00000002");
  simple(BYTES_CLASS);
  simple(BYTES_CLASS);
  utf("timers");
  hex("00000003 00000000 00000001");
  utf("VALUE_SERIALIZER");
  hex("00000002");
  simple(BYTES_CLASS);
  CU_ASSERT_EQUAL(bytes.offsets[1], golden_len);
  hex("0000 00000007 01 00000001 6B 00 00000010"
      "00000001 78 2C 00000001 2C 2C 00000000");
  hex("00000007 81 00000001 6C 00 00000005 00000001 79");
  hex("0001 0000000C 01 00000001 6B 00 00000001 75 00000006 00 00000001 76");
  hex("0000000C 81 00000001 6B 00 00000001 76 00000006 00 00000001 77");
  hex("0002 0000000E 81 00000009 31323334353637386B 00000000 FFFF");
  CU_ASSERT_EQUAL(bytes.len, golden_len);
  check_golden(0, "collections");
  tear_down();
}

/* Times stand in front of values as Flink's TtlSerializer has them. */
static void
test_golden_times(void)
{
  sb_canonical_state s[3] = {
    { .struct_size = sizeof s[0], .name = text("stamp"),
      .flags = SB_CANONICAL_VOID_NAMESPACE },
    { .struct_size = sizeof s[0], .name = text("inside"),
      .flags = SB_CANONICAL_VOID_NAMESPACE },
    { .struct_size = sizeof s[0], .name = text("nulls"),
      .flags = SB_CANONICAL_VOID_NAMESPACE | SB_CANONICAL_NULLABLE } };
  sb_canonical_options o = with_states(s, 3);
  uint32_t a, b, c;

  set_up(1, 0, 0);
  a = rows_state(&from, "stamp", SB_STATE_VALUE, SB_TIME_STAMP, 1000);
  b = rows_state(&from, "inside", SB_STATE_LIST, SB_TIME_VALUE, 1000);
  c = rows_state(&from, "nulls", SB_STATE_MAP, SB_TIME_STAMP, 5);
  rows_state(&to, "stamp", SB_STATE_VALUE, SB_TIME_STAMP, 1000);
  rows_state(&to, "inside", SB_STATE_LIST, SB_TIME_VALUE, 1000);
  rows_state(&to, "nulls", SB_STATE_MAP, SB_TIME_STAMP, 5);
  rows_put_bytes(&from, a, 0, text("k"), text(""), text(""), text("v"), 258);
  rows_put_bytes(&from, a, 0, text("l"), text(""), text(""), text("v"), 0);
  rows_put(&from, b, 0, "k", NULL, NULL, "12345678e");
  rows_put(&from, b, 0, "k", NULL, NULL, "87654321");
  rows_put_bytes(&from, c, 0, text("k"), text(""), text("s"),
                 sb_slice_of("\0v", 2), 3);
  rows_put_bytes(&from, c, 0, text("k"), text(""), text("t"),
                 sb_slice_of("\1", 1), 4);
  round_trip(&o, NULL, NULL);
  golden_header(0, "0003");
  utf("stamp");
  hex("00000000 00000003");
  utf("KEYED_STATE_TYPE");
  utf("VALUE");
  utf("statebackend.time");
  utf("10");
  utf("statebackend.ttl");
  utf("1000");
  hex("00000002");
  utf("NAMESPACE_SERIALIZER");
  hex("00000002");
  simple(VOID_CLASS);
  utf("VALUE_SERIALIZER");
  hex("00000002");
  golden_composite(TTL_CLASS, "00000002", "00000002");
  simple(LONG_CLASS);
  simple(BYTES_CLASS);
  utf("inside");
  check_golden(0, "header");
  hex("0000 00000007 00 00000001 6B 00 0000000D 0000000000000102 00000001 76");
  hex("00000007 80 00000001 6C 00 0000000D 7FFFFFFFFFFFFFFF 00000001 76");
  hex("0001 00000007 80 00000001 6B 00 0000001A"
      "3132333435363738 00000001 65 2C 3837363534333231 00000000");
  hex("0002 0000000C 00 00000001 6B 00 00000001 73"
      "0000000E 00 0000000000000003 00000001 76");
  hex("0000000C 80 00000001 6B 00 00000001 74"
      "00000009 01 0000000000000004 FFFF");
  CU_ASSERT_EQUAL(bytes.len - bytes.offsets[0], golden_len);
  check_golden(bytes.offsets[0], "entries");
  tear_down();
}

/* The framing of snappy-java: identifier, and a plain chunk, as it does not
   shrink. */
static void
test_golden_compressed(void)
{
  sb_canonical_options o = with_states(NULL, 0);
  uint32_t id, crc;
  uint8_t group[] = { 0, 0, 0, 0, 0, 7, 0x81, 0, 0, 0, 1, 'a', 0,
                      0, 0, 0, 5, 0, 0, 0, 1, '1', 0xFF, 0xFF };
  sb_canonical_state s = { .struct_size = sizeof s, .name = text("c"),
                           .flags = SB_CANONICAL_VOID_NAMESPACE };

  set_up(2, 0, 1);
  o.flags = SB_CANONICAL_COMPRESS;
  o.states = &s;
  o.state_count = 1;
  id = rows_state(&from, "c", SB_STATE_VALUE, 0, 0);
  rows_state(&to, "c", SB_STATE_VALUE, 0, 0);
  rows_put(&from, id, 1, "a", NULL, NULL, "1");
  round_trip(&o, NULL, NULL);
  golden_header(1, "0001");
  check_golden(0, "header");
  hex("FF060000 734E61507059");
  hex("01 1C0000");
  check_golden(bytes.offsets[1], "frame");
  CU_ASSERT_EQUAL(bytes.len - bytes.offsets[1], 18 + sizeof group);
  CU_ASSERT_EQUAL(memcmp(bytes.data + bytes.offsets[1] + 18, group,
                         sizeof group), 0);
  crc = load_u32(bytes.data + bytes.offsets[1] + 14) - 0xA282EAD8u;
  crc = crc << 15 | crc >> 17;
  {
    /* CRC-32C bit by bit */
    uint32_t want = 0xFFFFFFFFu;
    size_t i;
    int bit;

    for (i = 0; i < sizeof group; i++)
      for (want ^= group[i], bit = 0; bit < 8; bit++)
        want = want >> 1 ^ (want & 1 ? 0x82F63B78u : 0);
    CU_ASSERT_EQUAL(crc, ~want);
  }
  tear_down();
}

/* ---- round trips ------------------------------------------------------- */

static const uint32_t kinds[] = { SB_STATE_VALUE, SB_STATE_LIST, SB_STATE_MAP,
                                  SB_STATE_REDUCING, SB_STATE_AGGREGATING,
                                  SB_STATE_TIMER };

static unsigned random_state = 1;

static unsigned
random_to(unsigned n)
{
  random_state = random_state * 1103515245u + 12345u;
  return (random_state >> 8) % n;
}

static size_t
random_bytes(uint8_t *p, size_t max)
{
  size_t len = random_to(8) == 0 ? random_to((unsigned)max) : random_to(12), i;

  for (i = 0; i < len; i++)
    p[i] = random_to(3) == 0 ? (uint8_t)random_to(256) : 'a';
  return len;
}

static void
add_random_row(uint32_t id, uint32_t kind, uint32_t group, unsigned number)
{
  static uint8_t key[70000], ns[400], sub[400], value[200000];
  size_t len = random_bytes(key, 400), ns_len = random_bytes(ns, 400);
  size_t sub_len = random_bytes(sub, 400);
  size_t value_len = random_bytes(value, number % 50 == 0 ? 200000 : 400);

  if (kind == SB_STATE_TIMER)
    ns_len = value_len = 0;
  if (kind == SB_STATE_LIST) {
    /* a key's elements stand together */
    len = 2;
    key[0] = (uint8_t)(number >> 4);
    key[1] = (uint8_t)(number >> 12);
    ns_len = 0;
  }
  rows_put_bytes(&from, id, group, sb_slice_of(key, len),
                 sb_slice_of(ns, ns_len),
                 sb_slice_of(sub, kind == SB_STATE_MAP ? sub_len : 0),
                 sb_slice_of(value, value_len), 0);
}

static void
random_rows(uint32_t groups, unsigned rows, int compress)
{
  static char names[12][8];
  sb_canonical_options o = with_states(NULL, 0);
  uint32_t ids[12], i, g;
  unsigned n;

  set_up(groups, 0, groups - 1);
  for (i = 0; i < 12; i++) {
    snprintf(names[i], sizeof names[i], "s-%u", (unsigned)i);
    ids[i] = rows_state(&from, names[i], kinds[i % 6], 0, 0);
    rows_state(&to, names[i], kinds[i % 6], 0, 0);
  }
  for (g = 0; g < groups; g += groups > 20 ? 31 : 1)
    for (i = 0; i < 12; i += 1 + random_to(3))
      for (n = random_to(rows); n > 0; n--)
        add_random_row(ids[i], kinds[i % 6], g, n);
  o.flags = compress ? SB_CANONICAL_COMPRESS : 0;
  round_trip(&o, NULL, NULL);
  tear_down();
}

static void
test_round_trips(void)
{
  random_rows(1, 100, 0);
  random_rows(128, 60, 1);
  random_rows(129, 60, 0);
  random_rows(1000, 30, 1);
  random_rows(3, 1, 1);
}

static void
test_empty(void)
{
  set_up(4, 1, 2);
  round_trip(NULL, NULL, NULL);
  CU_ASSERT_EQUAL(bytes.offsets[0], 0);
  CU_ASSERT_EQUAL(bytes.offsets[1], 0);
  tear_down();
}

/* Names of any UTF-8, in Java's form of it. */
static void
test_names(void)
{
  sb_canonical_info info = { .struct_size = sizeof info };
  static const char name[] = "n\0\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80";
  sb_canonical_reader *r;
  sb_canonical_read read;

  set_up(1, 0, 0);
  rows_state(&from, "", SB_STATE_VALUE, 0, 0);
  from.states[0].name = sb_slice_of(name, sizeof name - 1);
  from.states[0].blob = text("blob");
  from.states[0].schema_version = 7;
  rows_put(&from, from.states[0].id, 0, "k", NULL, NULL, "v");
  check_ok(stream_write(&bytes, &from, &host.host, NULL, &err));
  golden_header(0, "0001");
  hex("000E 6E C080 C3A9 E282AC EDA0BD EDB880");
  check_golden(0, "name");
  read = stream_read(&bytes, &from);
  check_ok(sb_canonical_reader_open(&host.host, stream_source, &bytes, &read,
                                    &r, &err));
  check_ok(sb_canonical_reader_state(r, 0, &info, &err));
  CU_ASSERT(info.name.len == sizeof name - 1 &&
            memcmp(info.name.data, name, info.name.len) == 0);
  CU_ASSERT(info.blob.len == 4 && memcmp(info.blob.data, "blob", 4) == 0);
  CU_ASSERT_EQUAL(info.schema_version, 7);
  CU_ASSERT_EQUAL(info.kind, SB_STATE_VALUE);
  CU_ASSERT_EQUAL(sb_canonical_reader_state(r, 1, &info, &err), SB_END);
  sb_canonical_reader_close(r);
  from.states[0].name = text("\xC0\x80");
  CU_ASSERT_EQUAL(stream_write(&bytes, &from, &host.host, NULL, &err),
                  SB_INVALID);
  from.states[0].name = text("\xED\xA0\x80");
  CU_ASSERT_EQUAL(stream_write(&bytes, &from, &host.host, NULL, &err),
                  SB_INVALID);
  tear_down();
}

/* ---- verbatim ---------------------------------------------------------- */

/* Keys of 8 bytes; namespaces begin with their length in one byte, so do
   elements. */
static sb_status
first_byte(void *arg, uint32_t field, sb_slice state, sb_slice data,
           size_t *len, sb_error *e)
{
  (void)arg;
  (void)field;
  (void)state;
  if (data.len == 0)
    return sb_error_set(e, SB_CORRUPT, "no length");
  *len = 1u + *(const uint8_t *)data.data;
  return SB_OK;
}

static sb_canonical_state
verbatim(const char *name, uint32_t kind, uint32_t flags)
{
  sb_canonical_state s;

  memset(&s, 0, sizeof s);
  s.struct_size = sizeof s;
  s.name = text(name);
  s.kind = kind;
  s.flags = flags;
  s.meta = text("meta");
  return s;
}

static void
verbatim_round_trip(uint32_t key_length, int variable_key)
{
  sb_canonical_state s[] = {
    verbatim("v", SB_STATE_VALUE, SB_CANONICAL_VOID_NAMESPACE),
    verbatim("w", SB_STATE_REDUCING, 0),
    verbatim("l", SB_STATE_LIST, SB_CANONICAL_VOID_NAMESPACE),
    verbatim("m", SB_STATE_MAP, 0),
    verbatim("t", SB_STATE_TIMER, 0),
    verbatim("f", SB_STATE_MAP, 0) };
  sb_canonical_options o = with_states(s, TAP_COUNT(s)), reading;
  const char *key = variable_key ? "\3key" : "12345678";
  uint32_t ids[TAP_COUNT(s)];
  unsigned i;

  set_up(300, 0, 299);
  for (i = 0; i < TAP_COUNT(s); i++) {
    char *name = (char *)(uintptr_t)s[i].name.data;

    ids[i] = rows_state(&from, name, s[i].kind, 0, 0);
    rows_state(&to, name, s[i].kind, 0, 0);
  }
  s[5].namespace_length = 4;
  rows_put(&from, ids[0], 299, key, NULL, NULL, "anything");
  rows_put(&from, ids[1], 299, key, "\2ns", NULL, "1");
  rows_put(&from, ids[1], 299, key, "\3nsx", NULL, "2");
  rows_put(&from, ids[2], 299, key, NULL, NULL, "\2,,");
  rows_put(&from, ids[2], 299, key, NULL, NULL, "\1x");
  rows_put(&from, ids[3], 299, key, "\1n", "sub", "\1");
  rows_put(&from, ids[3], 299, key, "\1n", "sux", "value");
  rows_put(&from, ids[4], 299, "12345678", NULL, NULL, NULL);
  rows_put(&from, ids[5], 299, key, "1234", "s", "f");
  o.encoding = SB_CANONICAL_VERBATIM;
  o.key_length = key_length;
  o.key_serializer = text("key serializer");
  CU_ASSERT_EQUAL(stream_write(&bytes, &from, &host.host, &o, &err), SB_OK);
  /* a header of another's serializers cannot be parsed, so it is given */
  reading = o;
  reading.header = sb_slice_of(bytes.data, 4 + 1 + 14 + 2 + 4 * TAP_COUNT(s));
  CU_ASSERT_EQUAL(bytes.offsets[299], reading.header.len);
  round_trip(&o, &reading, first_byte);
  tear_down();
}

static void
test_verbatim(void)
{
  verbatim_round_trip(8, 0);
  verbatim_round_trip(0, 1);
}

/* As Flink writes String keys and TimeWindow namespaces: known by name. */
static void
test_verbatim_layout(void)
{
  sb_canonical_state s = verbatim("w", SB_STATE_MAP, 0);
  sb_canonical_options o = with_states(&s, 1);
  sb_canonical_read read;
  uint32_t id;

  set_up(128, 0, 127);
  id = rows_state(&from, "w", SB_STATE_MAP, 0, 0);
  rows_put(&from, id, 3, "\2k", "\2n", "sub", "\1");
  o.encoding = SB_CANONICAL_VERBATIM;
  o.key_serializer = text("x");
  check_ok(stream_write(&bytes, &from, &host.host, &o, &err));
  hex("0000 0000000A 83 026B 02 026E 02 737562 00000001 01 FFFF");
  check_golden(bytes.offsets[3], "both vary");
  o.key_length = 2;
  check_ok(stream_write(&bytes, &from, &host.host, &o, &err));
  hex("0000 00000008 83 026B 026E 737562 00000001 01 FFFF");
  check_golden(bytes.offsets[3], "key fixed");
  /* the header names a serializer nobody knows */
  read = stream_read(&bytes, &from);
  CU_ASSERT_NOT_EQUAL(restore(&read), SB_OK);
  o.key_length = 3;
  CU_ASSERT_EQUAL(stream_write(&bytes, &from, &host.host, &o, &err),
                  SB_INVALID);
  s.meta.len = 0;
  CU_ASSERT_EQUAL(stream_write(&bytes, &from, &host.host, &o, &err),
                  SB_INVALID);
  tear_down();
}

/* ---- mistakes ---------------------------------------------------------- */

static void
test_refused(void)
{
  sb_canonical_state s = { .struct_size = sizeof s, .name = text("s"),
                           .flags = SB_CANONICAL_VOID_NAMESPACE };
  sb_canonical_options o = with_states(&s, 1);
  sb_canonical_read read;
  sb_canonical *c;
  uint32_t id;

  set_up(4, 0, 3);
  id = rows_state(&from, "s", SB_STATE_VALUE, 0, 0);
  rows_put(&from, id, 2, "k", "ns", NULL, "v");
  CU_ASSERT_EQUAL(stream_write(&bytes, &from, &host.host, &o, &err),
                  SB_INVALID);
  CU_ASSERT(strstr(err.message, "\"s\"") != NULL);
  s.flags = 0;
  check_ok(stream_write(&bytes, &from, &host.host, &o, &err));
  /* another kind; a record that expires */
  read = stream_read(&bytes, &from);
  rows_state(&to, "s", SB_STATE_MAP, 0, 0);
  CU_ASSERT_EQUAL(restore(&read), SB_MISMATCH);
  rows_put_bytes(&from, id, 3, text("k"), text(""), text(""), text("v"), 1);
  CU_ASSERT_EQUAL(stream_write(&bytes, &from, &host.host, &o, &err),
                  SB_INVALID);
  s.flags = SB_CANONICAL_TIMED;
  check_ok(stream_write(&bytes, &from, &host.host, &o, &err));
  to.states[0].kind = SB_STATE_VALUE;
  read = stream_read(&bytes, &from);
  check_ok(restore(&read));
  CU_ASSERT(rows_same(&from, &to));
  to.states[0].time_kind = SB_TIME_STAMP;
  CU_ASSERT_EQUAL(restore(&read), SB_MISMATCH);
  read.key_group_last = 4;
  CU_ASSERT_EQUAL(restore(&read), SB_INVALID);
  CU_ASSERT_EQUAL(sb_canonical_open(NULL, &host.host, NULL, &c, &err),
                  SB_INVALID);
  CU_ASSERT_EQUAL(sb_canonical_open(&from.keyed, &host.host, NULL, NULL, &err),
                  SB_INVALID);
  o.flags = 6;
  CU_ASSERT_EQUAL(sb_canonical_open(&from.keyed, &host.host, &o, &c, &err),
                  SB_INVALID);
  sb_canonical_close(NULL);
  sb_canonical_reader_close(NULL);
  tear_down();
}

static void
test_cancelled(void)
{
  sb_canonical *c;
  uint32_t id;

  set_up(4, 0, 3);
  id = rows_state(&from, "s", SB_STATE_VALUE, 0, 0);
  rows_put(&from, id, 2, "k", "ns", NULL, "v");
  check_ok(sb_canonical_open(&from.keyed, &host.host, NULL, &c, &err));
  check_ok(sb_canonical_write(c, stream_sink, &bytes, bytes.offsets,
                              &bytes.length, &err));
  sb_canonical_cancel(c);
  CU_ASSERT_EQUAL(sb_canonical_write(c, stream_sink, &bytes, bytes.offsets,
                                     &bytes.length, &err), SB_CANCELLED);
  sb_canonical_close(c);
  tear_down();
}

static sb_status
resolve_some(void *arg, const sb_canonical_info *info,
             sb_canonical_target *target, sb_error *e)
{
  (void)e;
  if (info->name.len == 4)
    return SB_NOT_FOUND;
  target->state = *(const uint32_t *)arg;
  return SB_OK;
}

/* States that nobody registered are, as they were. */
static void
test_unregistered(void)
{
  sb_canonical_read read;
  uint32_t id;

  set_up(2, 0, 1);
  id = rows_state(&from, "s", SB_STATE_LIST, SB_TIME_VALUE, 77);
  from.states[0].flags = SB_STATE_MOSTLY_HIT | SB_STATE_EVENT_TIME;
  from.states[0].time_offset = 3;
  from.states[0].schema_version = 9;
  rows_put(&from, id, 1, "k", "n", NULL, "value");
  check_ok(stream_write(&bytes, &from, &host.host, NULL, &err));
  read = stream_read(&bytes, &from);
  check_ok(restore(&read));
  CU_ASSERT(rows_same(&from, &to));
  CU_ASSERT_EQUAL(to.state_count, 1);
  CU_ASSERT_EQUAL(to.states[0].kind, SB_STATE_LIST);
  CU_ASSERT_EQUAL(to.states[0].flags, from.states[0].flags);
  CU_ASSERT_EQUAL(to.states[0].time_kind, SB_TIME_VALUE);
  CU_ASSERT_EQUAL(to.states[0].time_offset, 3);
  CU_ASSERT_EQUAL(to.states[0].ttl_ms, 77);
  CU_ASSERT_EQUAL(to.states[0].schema_version, 9);
  tear_down();
}

static sb_status
add_version(void *arg, uint32_t version, sb_slice value, sb_give_fn *give,
            void *give_arg)
{
  char text_of[8];

  (void)arg;
  snprintf(text_of, sizeof text_of, "%u:", (unsigned)version);
  if (give(give_arg, text_of, strlen(text_of)) != SB_OK)
    return SB_NO_MEMORY;
  return give(give_arg, value.data, value.len);
}

static sb_status
resolve_newer(void *arg, const sb_canonical_info *info,
              sb_canonical_target *target, sb_error *e)
{
  (void)e;
  CU_ASSERT_EQUAL(info->schema_version, 1);
  target->state = to.states[0].id;
  target->migrate = arg != NULL ? add_version : NULL;
  return SB_OK;
}

/* Values of an older schema version go through the caller's function. */
static void
test_migrated(void)
{
  sb_canonical_reader *r;
  sb_canonical_read read;
  uint32_t id;
  int migrates;

  set_up(1, 0, 0);
  id = rows_state(&from, "s", SB_STATE_LIST, 0, 0);
  rows_state(&to, "s", SB_STATE_LIST, 0, 0);
  from.states[0].schema_version = 1;
  to.states[0].schema_version = 2;
  from.states[0].blob = to.states[0].blob = text("another's");
  rows_put(&from, id, 0, "k", "n", NULL, "a");
  rows_put(&from, id, 0, "k", "n", NULL, "b");
  check_ok(stream_write(&bytes, &from, &host.host, NULL, &err));
  read = stream_read(&bytes, &from);
  for (migrates = 0; migrates < 2; migrates++) {
    check_ok(sb_canonical_reader_open(&host.host, stream_source, &bytes, &read,
                                      &r, &err));
    CU_ASSERT_EQUAL(sb_canonical_restore(&to.keyed, r, resolve_newer,
                                         migrates ? &to : NULL, &err),
                    migrates ? SB_OK : SB_MISMATCH);
    sb_canonical_reader_close(r);
  }
  CU_ASSERT_EQUAL_FATAL(to.count, 2);
  CU_ASSERT(to.rows[1].value.len == 3 &&
            memcmp(to.rows[1].value.data, "1:b", 3) == 0);
  /* what is newer than what is registered is refused */
  to.states[0].schema_version = 0;
  CU_ASSERT_EQUAL(restore(&read), SB_MISMATCH);
  tear_down();
}

/* A part of the key groups, a part of the states. */
static void
test_selected(void)
{
  sb_canonical_reader *r;
  sb_canonical_read read;
  uint32_t a, b, target, g;
  int sequential;

  set_up(200, 10, 150);
  a = rows_state(&from, "left", SB_STATE_VALUE, 0, 0);
  b = rows_state(&from, "b", SB_STATE_VALUE, 0, 0);
  target = rows_state(&to, "other", SB_STATE_VALUE, 0, 0);
  for (g = 10; g <= 150; g += 5) {
    rows_put(&from, a, g, "k", NULL, NULL, "a");
    rows_put(&from, b, g, "k", NULL, NULL, "b");
  }
  for (sequential = 0; sequential < 2; sequential++) {
    check_ok(stream_write(&bytes, &from, &host.host, NULL, &err));
    read = stream_read(&bytes, &from);
    read.key_group_first = 19;
    read.key_group_last = 99;
    if (sequential)
      read.offsets = NULL;
    check_ok(sb_canonical_reader_open(&host.host, stream_source, &bytes, &read,
                                      &r, &err));
    rows_clear(&to);
    check_ok(sb_canonical_restore(&to.keyed, r, resolve_some, &target, &err));
    sb_canonical_reader_close(r);
    CU_ASSERT_EQUAL(to.count, 16); /* 20, 25 ... 95 */
    CU_ASSERT_EQUAL(to.rows[0].key_group, 20);
    CU_ASSERT_EQUAL(to.rows[15].key_group, 95);
    CU_ASSERT_EQUAL(((const char *)to.rows[15].value.data)[0], 'b');
  }
  tear_down();
}

/* ---- damage ------------------------------------------------------------ */

static void
small_stream(int compress)
{
  sb_canonical_options o = with_states(NULL, 0);
  static char names[6][4];
  uint32_t ids[6], i, g;

  set_up(3, 0, 2);
  for (i = 0; i < 6; i++) {
    snprintf(names[i], sizeof names[i], "s%u", (unsigned)i);
    ids[i] = rows_state(&from, names[i], kinds[i], 0, 0);
    rows_state(&to, names[i], kinds[i], 0, 0);
  }
  for (g = 0; g < 3; g++)
    for (i = g; i < 6; i += 3) {
      const char *ns = i == 5 ? NULL : "ns", *value = i == 5 ? NULL : "value";

      rows_put(&from, ids[i], g, "key", ns, i == 2 ? "sub" : NULL, value);
      rows_put(&from, ids[i], g, i == 1 || i == 2 ? "key" : "kez", ns,
               i == 2 ? "sux" : NULL, value);
    }
  o.flags = compress ? SB_CANONICAL_COMPRESS : 0;
  check_ok(stream_write(&bytes, &from, &host.host, &o, &err));
}

/* Each byte changed, each length cut: an error or other rows, never a crash,
   nothing leaks, and packed key groups find every change. */
static void
damage(int compress)
{
  sb_canonical_read read;
  size_t i, len, missed = 0;
  unsigned bit;

  small_stream(compress);
  read = stream_read(&bytes, &from);
  for (i = 0; i < bytes.len; i++)
    for (bit = 0; bit < 8; bit += i < bytes.offsets[0] ? 5 : 1) {
      bytes.data[i] ^= (uint8_t)(1u << bit);
      if (restore(&read) == SB_OK && compress && i >= bytes.offsets[0])
        missed++;
      bytes.data[i] ^= (uint8_t)(1u << bit);
    }
  CU_ASSERT_EQUAL(missed, 0);
  len = bytes.len;
  for (; bytes.len > 0; bytes.len--) {
    read.length = bytes.len;
    CU_ASSERT(bytes.len == len || restore(&read) != SB_OK);
  }
  tear_down();
}

static void
test_damage(void)
{
  damage(0);
  damage(1);
}

/* Writes one raw entry and reads it as byte strings. */
static sb_status
read_raw(uint32_t kind, uint32_t flags, sb_slice key, sb_slice value)
{
  sb_canonical_state raw = verbatim("s", SB_STATE_VALUE,
                                    SB_CANONICAL_VOID_NAMESPACE), s;
  sb_canonical_options o = with_states(&raw, 1), given;
  sb_canonical_read read;
  sb_status status;

  set_up(1, 0, 0);
  rows_put_bytes(&from, rows_state(&from, "s", SB_STATE_VALUE, 0, 0), 0, key,
                 text(""), text(""), value, 0);
  o.encoding = SB_CANONICAL_VERBATIM;
  o.key_length = (uint32_t)key.len;
  o.key_serializer = text("x");
  check_ok(stream_write(&bytes, &from, &host.host, &o, &err));
  s = verbatim("s", kind, flags);
  s.encoding = SB_CANONICAL_BYTES;
  given = with_states(&s, 1);
  given.header = sb_slice_of(bytes.data, (size_t)bytes.offsets[0]);
  read = stream_read(&bytes, &from);
  read.options = &given;
  rows_state(&to, "s", kind, 0, 0);
  status = restore(&read);
  tear_down();
  return status;
}

/* Entries whose pieces do not add up; the void namespace's 0 comes after the
   key given here, and is part of it where namespaces are read. */
static void
test_malformed(void)
{
  static const struct {
    uint32_t kind, flags;
    const char *key;
    size_t key_len;
    const char *value;
    size_t value_len;
    sb_status status;
  } list[] = {
#define KEY "\0\0\0\1k", 5
#define VOID SB_CANONICAL_VOID_NAMESPACE
    { SB_STATE_VALUE, VOID, KEY, "\0\0\0\1v", 5, SB_OK },
    { SB_STATE_VALUE, VOID, KEY, "\0\0\0\1vv", 6, SB_CORRUPT },
    { SB_STATE_VALUE, VOID, KEY, "\0\0\0\2v", 5, SB_CORRUPT },
    { SB_STATE_VALUE, VOID, KEY, "\0\0\0", 3, SB_CORRUPT },
    { SB_STATE_VALUE, VOID, KEY, "", 0, SB_CORRUPT },
    { SB_STATE_VALUE, VOID, KEY, "\xFF\xFF\xFF\xFFv", 5, SB_CORRUPT },
    { SB_STATE_VALUE, VOID, "\0\0\0\1", 4, "\0\0\0\1v", 5, SB_CORRUPT },
    { SB_STATE_VALUE, VOID, "\0\0\0\1kk", 6, "\0\0\0\1v", 5, SB_CORRUPT },
    { SB_STATE_VALUE, VOID, "\0\0\0\3k", 5, "\0\0\0\1v", 5, SB_CORRUPT },
    { SB_STATE_VALUE, VOID, "\0\0", 2, "\0\0\0\1v", 5, SB_CORRUPT },
    { SB_STATE_VALUE, VOID | SB_CANONICAL_TIMED, KEY,
      "\0\0\0\0\0\0\0\0\0\0\0\1v", 13, SB_OK },
    { SB_STATE_VALUE, VOID | SB_CANONICAL_TIMED, KEY, "\0\0\0\0\0\0\0", 7,
      SB_CORRUPT },
    /* a key of 5 bytes, its length, a namespace of 4 with a wrong length 0 */
    { SB_STATE_VALUE, 0, "\0\0\0\1k\5\0\0\0\0", 10, "\0\0\0\1v", 5,
      SB_CORRUPT },
    { SB_STATE_VALUE, 0, "\0\0\0\1k\6\0\0\0\0\4", 11, "\0\0\0\1v", 5,
      SB_CORRUPT },
    { SB_STATE_VALUE, 0, "\0\0\0\1k\5", 6, "\0\0\0\1v", 5, SB_CORRUPT },
    { SB_STATE_LIST, VOID, KEY, "\0\0\0\1v,\0\0\0\0", 10, SB_OK },
    { SB_STATE_LIST, VOID, KEY, "\0\0\0\1v;\0\0\0\0", 10, SB_CORRUPT },
    { SB_STATE_LIST, VOID, KEY, "\0\0\0\1v,", 6, SB_CORRUPT },
    { SB_STATE_LIST, VOID, KEY, "\0\0\0\1v,\0\0\0\1", 10, SB_CORRUPT },
    { SB_STATE_LIST, VOID, KEY, "", 0, SB_CORRUPT },
    { SB_STATE_MAP, VOID, KEY, "\0\0\0\0\1v", 6, SB_CORRUPT },
    { SB_STATE_TIMER, VOID, KEY, "", 0, SB_CORRUPT },
    { SB_STATE_TIMER, VOID, "\0\0\0\1", 4, "", 0, SB_OK },
  };
  size_t i;

  for (i = 0; i < TAP_COUNT(list); i++) {
    sb_status status = read_raw(list[i].kind, list[i].flags,
                                sb_slice_of(list[i].key, list[i].key_len),
                                sb_slice_of(list[i].value,
                                            list[i].value_len));

    CU_ASSERT_EQUAL(status, list[i].status);
    if (status != list[i].status)
      tap_note("entry %zu: %s", i, sb_status_name(status));
  }
#undef KEY
#undef VOID
}

/* A packed key group with something behind its end, or not in order. */
static void
test_frames(void)
{
  static const uint8_t group[] = { 0, 0, 0, 0, 0, 7, 0x80, 0, 0, 0, 1, 'a', 0,
                                   0, 0, 0, 5, 0, 0, 0, 1, '1', 0xFF, 0xFF,
                                   0 };
  sb_canonical_state s = verbatim("s", SB_STATE_VALUE,
                                  SB_CANONICAL_VOID_NAMESPACE);
  sb_canonical_options o = with_states(&s, 1);
  sb_canonical_read read;
  canonical_out out;
  size_t extra;

  for (extra = 0; extra < 2; extra++) {
    set_up(1, 0, 0);
    rows_state(&to, "s", SB_STATE_VALUE, 0, 0);
    check_ok(canonical_out_init(&out, &host.host, 1, stream_sink, &bytes,
                                &err));
    canonical_out_add(&out, "header", 6);
    bytes.offsets[0] = canonical_out_begin_group(&out);
    CU_ASSERT_EQUAL(bytes.offsets[0], 6);
    canonical_out_add(&out, group, sizeof group - 1 + extra);
    canonical_out_end_group(&out);
    check_ok(canonical_out_finish(&out));
    canonical_out_dispose(&out);
    s.encoding = SB_CANONICAL_BYTES;
    o.flags = SB_CANONICAL_COMPRESS;
    o.header = sb_slice_of(bytes.data, 6);
    read = stream_read(&bytes, &from);
    read.options = &o;
    CU_ASSERT_EQUAL(restore(&read), extra ? SB_CORRUPT : SB_OK);
    tear_down();
  }
}

/* ---- failures ---------------------------------------------------------- */

static void
test_failures(void)
{
  sb_canonical_read read;
  sb_status status;
  long n;
  unsigned call;
  int compress;

  for (compress = 0; compress < 2; compress++) {
    sb_canonical_options o = with_states(NULL, 0);

    o.flags = compress ? SB_CANONICAL_COMPRESS : 0;
    small_stream(compress);
    for (n = 1, status = SB_IO; status != SB_OK && n < 5000; n++) {
      host.fail_at = host.allocations + n;
      status = stream_write(&bytes, &from, &host.host, &o, &err);
      CU_ASSERT(status == SB_OK || status == SB_NO_MEMORY);
      CU_ASSERT_EQUAL(host.live, 0);
    }
    host.fail_at = 0;
    for (call = 1, status = SB_IO; status != SB_OK && call < 5000;
         call++) {
      from.calls = 0;
      from.fail_at = call;
      status = stream_write(&bytes, &from, &host.host, &o, &err);
      CU_ASSERT(status == SB_OK || status == SB_IO);
    }
    from.fail_at = 0;
    for (n = 1, status = SB_IO; status != SB_OK && n < 99999;
         n += 97) {
      bytes.fail_after = (size_t)n;
      status = stream_write(&bytes, &from, &host.host, &o, &err);
      CU_ASSERT(status == SB_OK || status == SB_NO_SPACE);
    }
    bytes.fail_after = 0;
    check_ok(stream_write(&bytes, &from, &host.host, &o, &err));
    read = stream_read(&bytes, &from);
    for (n = 1, status = SB_IO; status != SB_OK && n < 5000; n++) {
      host.fail_at = host.allocations + n;
      rows_clear(&to);
      status = restore(&read);
      CU_ASSERT(status == SB_OK || status == SB_NO_MEMORY);
      CU_ASSERT_EQUAL(host.live, 0);
    }
    host.fail_at = 0;
    CU_ASSERT(rows_same(&from, &to));
    for (call = 1, status = SB_IO; status != SB_OK && call < 5000;
         call++) {
      to.calls = 0;
      to.fail_at = call;
      rows_clear(&to);
      status = restore(&read);
      CU_ASSERT(status == SB_OK || status == SB_IO);
    }
    CU_ASSERT(rows_same(&from, &to));
    tear_down();
  }
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "golden_value", test_golden_value },
    { "golden_namespaces", test_golden_namespaces },
    { "golden_collections", test_golden_collections },
    { "golden_times", test_golden_times },
    { "golden_compressed", test_golden_compressed },
    { "round_trips", test_round_trips },
    { "empty", test_empty },
    { "names", test_names },
    { "verbatim", test_verbatim },
    { "verbatim_layout", test_verbatim_layout },
    { "refused", test_refused },
    { "cancelled", test_cancelled },
    { "unregistered", test_unregistered },
    { "migrated", test_migrated },
    { "selected", test_selected },
    { "damage", test_damage },
    { "malformed", test_malformed },
    { "frames", test_frames },
    { "failures", test_failures },
  };
  const tap_suite suites[] = { { "canonical", cases, TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
