/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the header of a canonical savepoint. How long a serializer's snapshot
 * is only its class knows, so this skips the classes it has in its table, and
 * with them learns which lengths are fixed; others are refused by name.
 */
#include "config.h"

#include "host/checkpoint/canonical_names.h"

#define PARSE_DEPTH 16
#define PARSE_OPTIONS_MAX 64u
#define PARSE_BUF_MAX (4u << 20)

/* What a snapshot says of its serializer. */
#define TYPE_OTHER 0u
#define TYPE_BYTES 10u
#define TYPE_VOID 20u
#define TYPE_LIST 30u
#define TYPE_MAP 40u
#define TYPE_TIMED 50u

typedef struct parse_type {
  uint32_t type;
  uint32_t length;   /* serialized; 0: variable */
  uint32_t inner[2]; /* types inside */
  uint32_t inner_length[2];
  uint32_t timed;    /* the last one inside is TYPE_TIMED, of bytes */
} parse_type;

typedef struct parse {
  reader r;
  const sb_host *host;
  sb_error *err;
  sb_status status;  /* other than "more bytes are needed" */
  buf text;
} parse;

/* ---- serializer snapshots ---------------------------------------------- */

/* Simple snapshots: nothing follows their version. */
static const struct {
  const char *name; /* in SNAPSHOT_BASE, or whole */
  uint32_t type, length;
} parse_simple[] = {
  { SNAPSHOT_BYTES, TYPE_BYTES, 0 },
  { SNAPSHOT_VOID, TYPE_VOID, 1 },
  { SNAPSHOT_LONG, TYPE_OTHER, 8 },
#define PARSE_SIMPLE(name, length)                                            \
  { SNAPSHOT_BASE name "Serializer$" name "SerializerSnapshot", TYPE_OTHER,   \
    length }
  PARSE_SIMPLE("String", 0),
  PARSE_SIMPLE("Int", 4),
  PARSE_SIMPLE("Short", 2),
  PARSE_SIMPLE("Byte", 1),
  PARSE_SIMPLE("Boolean", 1),
  PARSE_SIMPLE("Char", 2),
  PARSE_SIMPLE("Double", 8),
  PARSE_SIMPLE("Float", 4),
  PARSE_SIMPLE("Date", 8),
  PARSE_SIMPLE("SqlDate", 8),
  PARSE_SIMPLE("SqlTime", 8),
  PARSE_SIMPLE("SqlTimestamp", 12),
  PARSE_SIMPLE("LocalDate", 6),
  PARSE_SIMPLE("LocalTime", 7),
  PARSE_SIMPLE("LocalDateTime", 13),
  PARSE_SIMPLE("Instant", 12),
  PARSE_SIMPLE("BigInt", 0),
  PARSE_SIMPLE("BigDec", 0),
  PARSE_SIMPLE("LongValue", 8),
  PARSE_SIMPLE("IntValue", 4),
  PARSE_SIMPLE("StringValue", 0),
  PARSE_SIMPLE("Void", 1),
#undef PARSE_SIMPLE
  { "org.apache.flink.streaming.api.windowing.windows.TimeWindow$Serializer"
    "$TimeWindowSerializerSnapshot", TYPE_OTHER, 16 },
  { "org.apache.flink.streaming.api.windowing.windows.GlobalWindow$Serializer"
    "$GlobalWindowSerializerSnapshot", TYPE_OTHER, 1 },
};

static const struct {
  const char *name;
  uint32_t type, count;
} parse_composite[] = {
  { SNAPSHOT_LIST, TYPE_LIST, 1 },
  { SNAPSHOT_MAP, TYPE_MAP, 2 },
  { SNAPSHOT_TTL, TYPE_TIMED, 2 },
  { "org.apache.flink.streaming.api.operators.TimerSerializerSnapshot",
    TYPE_OTHER, 2 },
};

static void
parse_fail(parse *p, sb_status status, const char *what, sb_slice name)
{
  if (p->r.bad || p->status != SB_OK)
    return;
  p->status = status;
  sb_error_set(p->err, status, "cannot read a canonical savepoint: %s "
               "\"%.*s\"", what, name.len > 200 ? 200 : (int)name.len,
               (const char *)name.data);
}

static void
parse_number(parse *p, uint32_t wanted, const char *what)
{
  uint32_t found = java_read_int(&p->r);

  if (p->r.bad || p->status != SB_OK || found == wanted)
    return;
  p->status = sb_error_set(p->err, SB_UNSUPPORTED, "cannot read a canonical "
                           "savepoint: %s is %u, this library reads %u", what,
                           (unsigned)found, (unsigned)wanted);
}

static sb_slice
parse_utf(parse *p)
{
  buf_clear(&p->text);
  java_read_utf(&p->r, &p->text);
  if (p->text.status != SB_OK && p->status == SB_OK)
    p->status = sb_error_set(p->err, p->text.status, "could not read a "
                             "canonical savepoint: out of memory");
  return sb_slice_of(p->text.data, p->text.len);
}

static int
parse_stopped(const parse *p)
{
  return p->r.bad || p->status != SB_OK;
}

static int
parse_is(sb_slice s, const char *text)
{
  return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static void parse_snapshot(parse *p, int depth, parse_type *out);

static void
parse_nested(parse *p, int depth, uint32_t count, parse_type *out)
{
  uint32_t found, i;
  parse_type inner;

  parse_number(p, SNAPSHOT_OUTER_MAGIC, "a snapshot's magic number");
  (void)java_read_int(&p->r);
  parse_number(p, SNAPSHOT_INNER_MAGIC, "an inner magic number");
  parse_number(p, SNAPSHOT_INNER_VERSION, "an inner version");
  found = java_read_int(&p->r);
  if (!parse_stopped(p) && found != count)
    parse_fail(p, SB_CORRUPT, "a wrong number of serializers in",
               sb_slice_of("snapshot", 8));
  for (i = 0; i < count && !parse_stopped(p); i++) {
    parse_snapshot(p, depth + 1, &inner);
    out->inner[i] = inner.type;
    out->inner_length[i] = inner.length;
    if (i == count - 1 && inner.type == TYPE_TIMED &&
        inner.inner[1] == TYPE_BYTES)
      out->timed = 1;
  }
  if (out->type == TYPE_TIMED && out->inner_length[1] != 0)
    out->length = 8 + out->inner_length[1];
}

/* A class, its version, and what belongs to it. */
static void
parse_snapshot(parse *p, int depth, parse_type *out)
{
  sb_slice name = parse_utf(p);
  uint32_t version = java_read_int(&p->r);
  size_t i;

  memset(out, 0, sizeof *out);
  if (parse_stopped(p))
    return;
  for (i = 0; i < sizeof parse_simple / sizeof parse_simple[0]; i++)
    if (parse_is(name, parse_simple[i].name)) {
      out->type = parse_simple[i].type;
      out->length = parse_simple[i].length;
      if (version == SNAPSHOT_OLD_VERSION)
        java_read_utf(&p->r, NULL);
      else if (version != SNAPSHOT_VERSION)
        parse_fail(p, SB_UNSUPPORTED, "another version of serializer", name);
      return;
    }
  for (i = 0; i < sizeof parse_composite / sizeof parse_composite[0]; i++)
    if (parse_is(name, parse_composite[i].name) && depth < PARSE_DEPTH) {
      out->type = parse_composite[i].type;
      if (version != SNAPSHOT_VERSION)
        parse_fail(p, SB_UNSUPPORTED, "another version of serializer", name);
      else
        parse_nested(p, depth, parse_composite[i].count, out);
      return;
    }
  parse_fail(p, SB_UNSUPPORTED,
             "its header must be given, as it has serializer", name);
}

static void
parse_proxy(parse *p, parse_type *out)
{
  parse_number(p, SNAPSHOT_PROXY_VERSION, "the format of a snapshot");
  parse_snapshot(p, 0, out);
}

/* ---- states ------------------------------------------------------------ */

static uint64_t
parse_decimal(sb_slice text, uint64_t max)
{
  const char *digits = text.data;
  uint64_t value = 0;
  size_t i;

  for (i = 0; i < text.len && digits[i] >= '0' && digits[i] <= '9' &&
              value <= max / 10; i++)
    value = value * 10 + (uint64_t)(digits[i] - '0');
  return value > max ? max : value;
}

static int
parse_digit(char c)
{
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 :
         -1;
}

static void
parse_hexadecimal(sb_slice text, buf *out)
{
  const char *digits = text.data;
  size_t i;

  for (i = 0; i + 1 < text.len; i += 2) {
    int high = parse_digit(digits[i]), low = parse_digit(digits[i + 1]);

    if (high < 0 || low < 0)
      return;
    buf_u8(out, (uint8_t)(high << 4 | low));
  }
}

static uint32_t
parse_kind(parse *p, sb_slice text)
{
  if (parse_is(text, "VALUE"))
    return SB_STATE_VALUE;
  if (parse_is(text, "LIST"))
    return SB_STATE_LIST;
  if (parse_is(text, "MAP"))
    return SB_STATE_MAP;
  if (parse_is(text, "REDUCING"))
    return SB_STATE_REDUCING;
  if (parse_is(text, "AGGREGATING"))
    return SB_STATE_AGGREGATING;
  parse_fail(p, SB_UNSUPPORTED, "a state of type", text);
  return 0;
}

static void
parse_option(parse *p, canonical_state *s, buf *blob, int *ours)
{
  char name[32];
  sb_slice text = parse_utf(p), value;

  if (parse_stopped(p))
    return;
  memset(name, 0, sizeof name);
  if (text.len < sizeof name)
    memcpy(name, text.data, text.len);
  value = parse_utf(p);
  if (parse_stopped(p))
    return;
  if (strcmp(name, "KEYED_STATE_TYPE") == 0)
    s->info.kind = parse_kind(p, value);
  else if (strcmp(name, OPTION_FLAGS) == 0)
    s->info.flags = (uint32_t)parse_decimal(value, UINT32_MAX);
  else if (strcmp(name, OPTION_TIME) == 0)
    s->info.time_kind = (uint32_t)parse_decimal(value, UINT32_MAX), *ours = 1;
  else if (strcmp(name, OPTION_OFFSET) == 0)
    s->info.time_offset = (uint32_t)parse_decimal(value, UINT32_MAX);
  else if (strcmp(name, OPTION_STATE) == 0)
    s->info.state_flags = (uint32_t)parse_decimal(value, UINT32_MAX);
  else if (strcmp(name, OPTION_TTL) == 0)
    s->info.ttl_ms = parse_decimal(value, UINT64_MAX);
  else if (strcmp(name, OPTION_VERSION) == 0)
    s->info.schema_version = (uint32_t)parse_decimal(value, UINT32_MAX);
  else if (strcmp(name, OPTION_BLOB) == 0)
    parse_hexadecimal(value, blob);
}

/* What the serializers of a state come to: byte strings throughout, or bytes
   that are passed on. */
static void
parse_settle(canonical_state *s, const parse_type *ns, const parse_type *value,
             int ours)
{
  const uint32_t last = s->info.kind == SB_STATE_MAP ? 1 : 0;
  int nested = s->info.kind == SB_STATE_MAP || s->info.kind == SB_STATE_LIST;
  int timed = nested ? value->timed != 0 :
              value->type == TYPE_TIMED && value->inner[1] == TYPE_BYTES;
  int plain = nested ? value->inner[last] == TYPE_BYTES :
              value->type == TYPE_BYTES;
  int bytes = (timed || plain) &&
              (ns->type == TYPE_VOID || ns->type == TYPE_BYTES) &&
              (s->info.kind != SB_STATE_MAP || value->inner[0] == TYPE_BYTES);
  uint32_t flags = s->info.flags & SB_CANONICAL_NULLABLE;

  if (ns->type == TYPE_VOID)
    flags |= SB_CANONICAL_VOID_NAMESPACE;
  if (bytes && timed)
    flags |= SB_CANONICAL_TIMED;
  s->info.flags = flags;
  s->info.encoding = bytes ? SB_CANONICAL_BYTES : SB_CANONICAL_VERBATIM;
  s->namespace_length = ns->length;
  s->element_length = value->inner_length[0];
  if (bytes && timed && !ours)
    s->info.time_kind = SB_TIME_STAMP;
  s->time_in_value = s->info.time_kind == SB_TIME_VALUE;
}

static void
parse_serializers(parse *p, canonical_state *s, uint32_t backend, int ours)
{
  uint32_t count = java_read_int(&p->r), i;
  parse_type ns, value, other;
  int seen = 0;

  memset(&ns, 0, sizeof ns);
  memset(&value, 0, sizeof value);
  for (i = 0; i < count && i < PARSE_OPTIONS_MAX && !parse_stopped(p); i++) {
    sb_slice name = parse_utf(p);
    int is_ns = parse_is(name, "NAMESPACE_SERIALIZER");
    int is_value = parse_is(name, "VALUE_SERIALIZER");

    parse_proxy(p, is_ns ? &ns : is_value ? &value : &other);
    seen |= is_ns | is_value << 1;
  }
  if (backend == META_QUEUE) {
    ns.type = TYPE_VOID;
    seen |= 1;
  }
  if (!parse_stopped(p) && (count > PARSE_OPTIONS_MAX || seen != 3))
    parse_fail(p, SB_CORRUPT, "wrong serializers of state", s->info.name);
  parse_settle(s, &ns, &value, ours);
}

static void
parse_state(parse *p, canonical_states *states)
{
  const uint8_t *start = p->r.p;
  uint32_t backend, count, i;
  canonical_state s;
  buf name, blob;
  int ours = 0;

  memset(&s, 0, sizeof s);
  buf_init(&name, p->host, PARSE_BUF_MAX);
  buf_init(&blob, p->host, PARSE_BUF_MAX);
  java_read_utf(&p->r, &name);
  s.info.name = sb_slice_of(name.data, name.len);
  backend = java_read_int(&p->r);
  count = java_read_int(&p->r);
  if (backend == META_QUEUE)
    s.info.kind = SB_STATE_TIMER;
  if (backend != META_KEYED && backend != META_QUEUE)
    parse_fail(p, SB_CORRUPT, "another kind of backend state:", s.info.name);
  for (i = 0; i < count && i < PARSE_OPTIONS_MAX && !parse_stopped(p); i++)
    parse_option(p, &s, &blob, &ours);
  if (count > PARSE_OPTIONS_MAX || s.info.kind == 0)
    parse_fail(p, SB_CORRUPT, "wrong options of state", s.info.name);
  if (!parse_stopped(p))
    parse_serializers(p, &s, backend, ours);
  if (!parse_stopped(p)) {
    s.info.blob = sb_slice_of(blob.data, blob.len);
    s.info.meta = sb_slice_of(start, (size_t)(p->r.p - start));
    s.info.id = states->count;
    if (name.status != SB_OK || blob.status != SB_OK ||
        canonical_states_add(states, &s) != SB_OK)
      p->status = sb_error_set(p->err, SB_NO_MEMORY, "could not read a "
                               "canonical savepoint: out of memory");
  }
  buf_dispose(&name);
  buf_dispose(&blob);
}

sb_status
canonical_header_parse(const sb_host *host, sb_slice bytes,
                       canonical_header *out, sb_error *err)
{
  parse p = { .r = reader_of(bytes.data, bytes.len), .host = host,
              .err = err };
  parse_type key;
  uint32_t count, i, compressed;

  memset(out, 0, sizeof *out);
  out->states.host = host;
  buf_init(&p.text, host, PARSE_BUF_MAX);
  parse_number(&p, HEADER_VERSION, "its version");
  compressed = reader_u8(&p.r);
  if (compressed > 1)
    parse_fail(&p, SB_CORRUPT, "not a flag:", sb_slice_of("compression", 11));
  memset(&key, 0, sizeof key);
  if (!parse_stopped(&p))
    parse_proxy(&p, &key);
  count = java_read_short(&p.r);
  if (count > SB_STATES_MAX)
    parse_fail(&p, SB_CORRUPT, "too many", sb_slice_of("states", 6));
  for (i = 0; i < count && !parse_stopped(&p); i++)
    parse_state(&p, &out->states);
  buf_dispose(&p.text);
  out->compressed = compressed;
  out->key_encoding = key.type == TYPE_BYTES ? SB_CANONICAL_BYTES :
                      SB_CANONICAL_VERBATIM;
  out->key_length = key.length;
  out->length = bytes.len - reader_left(&p.r);
  return p.status != SB_OK ? p.status : p.r.bad ? SB_END : SB_OK;
}
