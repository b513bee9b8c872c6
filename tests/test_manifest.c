/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small objects' bytes: manifests, _metadata, HEAD, pins; and object
 * names. What is written reads back the same; each damaged or cut form is
 * refused; the golden files of each version are read for ever, those of the
 * current one written.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/crc.h"
#include "host/engine/head.h"
#include "host/engine/manifest.h"
#include "host/engine/metadata.h"
#include "host/engine/names.h"
#include "host/engine/pin.h"
#include "tests/memstore.h"
#include "tests/tap.h"

static memhost host;

/* ---- samples ------------------------------------------------------------ */

static const char *sample_held[] = { "state/_/op/0a/1-9-00000000000000ff.x" };
static const char *sample_dropped[] = { "a", "b/c" };
static manifest_state sample_states[2];
static manifest_segment sample_segments[3];
/* Complete, two states: 0 with a stamp at 3 in its values, 7 without times. */
static const uint8_t sample_times[] = {
  1, 2, 0, SB_TIME_VALUE, 3, 100, 90, 10, 5, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1,
  1, 1, 1, 1, 1, 7, SB_TIME_EXPIRY, 50, 0, 0
};

static manifest
sample_manifest(void)
{
  manifest m = {
    .generation = 3, .checkpoint_id = 1ull << 40, .epoch = 77,
    .next_sequence = 78, .key_group_count = 128, .key_group_first = 32,
    .key_group_last = 95, .subtask = 5, .operator_id = "window sum",
    .list_sequence = UINT64_MAX, .state_count = 2, .segment_count = 3,
    .held_count = 1, .dropped_count = 2, .states = sample_states,
    .segments = sample_segments, .held = sample_held,
    .dropped = sample_dropped
  };
  size_t i, j;

  sample_states[0] = (manifest_state){
    .name = { "totals", 6 }, .kind = SB_STATE_VALUE, .flags = 1,
    .schema_version = 2, .blob = { "\0serializer", 11 },
    .time_kind = SB_TIME_VALUE, .time_offset = 3, .ttl_ms = 86400000
  };
  sample_states[1] = (manifest_state){
    .name = { "t\xc3\xa4ler", 6 }, .id = 7, .kind = SB_STATE_TIMER,
    .flags = MANIFEST_STATE_DROPPED, .schema_version = 1
  };
  for (i = 0; i < 3; i++) {
    manifest_segment *s = &sample_segments[i];

    memset(s, 0, sizeof *s);
    s->name = i == 0 ? "state/_/op/a1/3-1-0123456789abcdef.state" : "other/x";
    s->root = i == 0 ? NULL : i == 1 ? "s3:bucket" : "s3:second";
    s->owner = i == 0 ? MANIFEST_OWNER_ENGINE : MANIFEST_OWNER_FOREIGN;
    s->key_group_first = 40;
    s->key_group_last = 60;
    s->sequence = 100 + i;
    for (j = 0; j < 16; j++)
      s->info.id.bytes[j] = (uint8_t)(i * 16 + j);
    s->info.size = 5000000000ull + i;
    s->info.tail_len = 70000;
    s->info.tail_offset = s->info.size - 70000;
    s->info.directory_offset = s->info.tail_offset + 60000;
    s->info.directory_len = 9840;
    s->info.crc32c = 0xdeadbeef;
    s->info.key_group_first = 32;
    s->info.key_group_last = 95;
    s->info.key_group_count = 128;
    s->info.word_first = (32ull << 48) + (i << 16) + 5;
    s->info.word_last = (95ull << 48) + (7ull << 16) + 0xffff;
    s->info.epoch_min = 70;
    s->info.epoch_max = 77;
    s->info.generation = 3;
    s->info.records = 123456789;
    s->info.tombstones = 12;
    s->info.raw_bytes = 9000000000ull;
    s->info.expires_min = 1700000000000ull;
    s->info.expires_max = UINT64_MAX;
    s->info.blocks = 1000000;
    s->info.partitions = 4000;
    if (i == 0)
      s->times = sb_slice_of(sample_times, sizeof sample_times);
  }
  return m;
}

static void
encode_manifest(buf *out)
{
  manifest m = sample_manifest();

  CU_ASSERT(manifest_encode(&host.host, &m, out) == SB_OK);
}

static void
encode_metadata(buf *out)
{
  static const char *pending[] = { "state/_/00/1-1-0000000000000000.state" };
  metadata_ref retained[] = {
    { 11, 2, 1700000000001ull, 400, 300, 0xabcdef01, 2,
      "checkpoints/chk-11-2-00000000000000aa/_metadata" },
    { 10, 1, 1700000000000ull, 4, 3, 5, 0,
      "checkpoints/chk-10-1-00000000000000ab/_metadata" }
  };
  sb_part parts[2] = { { .subtask = 0, .operator_id = "op",
                         .key_group_last = 63, .manifest = { "bytes", 5 },
                         .length = 5, .crc32c = 99 },
                       { .subtask = 1, .operator_id = "",
                         .key_group_first = 64, .key_group_last = 127,
                         .name = "checkpoints/chk-12-3-0000000000000001/"
                                 "1.manifest",
                         .length = 100000, .crc32c = 7 } };
  metadata m = {
    .job_id = "job 1", .id = 12, .generation = 3,
    .created_ms = 1700000000002ull, .size = 123, .parts = parts,
    .part_count = 2, .blob = { "offsets", 7 }, .retained = retained,
    .retained_count = 2, .pending = pending, .pending_count = 1
  };

  CU_ASSERT(metadata_encode(&m, out) == SB_OK);
}

static void
encode_head(buf *out)
{
  static const head h = {
    .generation = 3, .sequence = 9, .owner = 0x1122334455667788ull,
    .nonce = 0x99aabbccddeeff00ull, .checkpoint_id = 12, .metadata_len = 512,
    .metadata_crc = 0x01020304, .job_id = "job 1",
    .metadata = "checkpoints/chk-12-3-0000000000000001/_metadata"
  };

  head_encode(&h, out);
}

static void
encode_pin(buf *out)
{
  static const pin p = { 512, 0x01020304,
                         "checkpoints/chk-12-3-0000000000000001/_metadata" };

  pin_encode(&p, out);
}

/* ---- decoding whatever it is -------------------------------------------- */

static sb_status
decode_manifest(const void *data, size_t len)
{
  manifest *m;
  sb_status st = manifest_decode(&host.host, data, len, &m, NULL);

  manifest_free(&host.host, m);
  return st;
}

static sb_status
decode_metadata(const void *data, size_t len)
{
  metadata *m;
  sb_status st = metadata_decode(&host.host, data, len, &m, NULL);

  metadata_free(&host.host, m);
  return st;
}

static sb_status
decode_head(const void *data, size_t len)
{
  head h;

  return head_decode(data, len, &h, NULL);
}

static sb_status
decode_pin(const void *data, size_t len)
{
  pin p;

  return pin_decode(data, len, &p, NULL);
}

typedef struct kind {
  const char *name;
  void (*encode)(buf *out);
  sb_status (*decode)(const void *data, size_t len);
  const char *version; /* the current one */
} kind;

static const kind kinds[] = {
  { "manifest", encode_manifest, decode_manifest, "v2" },
  { "metadata", encode_metadata, decode_metadata, "v1" },
  { "head", encode_head, decode_head, "v1" },
  { "pin", encode_pin, decode_pin, "v1" },
};

/* Makes the checksum right again, so that the contents are looked at. */
static void
reseal(uint8_t *data, size_t len)
{
  store_u64(data + 8, len);
  store_u32(data + len - 4, crc32c(data, len - 4));
}

static void
damage(const kind *k, const buf *bytes)
{
  uint8_t *copy = malloc(bytes->len + 1);
  size_t i;

  CU_ASSERT_FATAL(copy != NULL);
  for (i = 0; i < bytes->len; i++) {
    CU_ASSERT(k->decode(bytes->data, i) == SB_CORRUPT);
    memcpy(copy, bytes->data, bytes->len);
    copy[i] ^= 0x10;
    CU_ASSERT(k->decode(copy, bytes->len) == SB_CORRUPT);
    reseal(copy, bytes->len);
    (void)k->decode(copy, bytes->len); /* no crash, whatever it says */
    memcpy(copy, bytes->data, bytes->len);
    if (i >= 20) {
      reseal(copy, i);
      CU_ASSERT(k->decode(copy, i) == SB_CORRUPT);
    }
  }
  memcpy(copy, bytes->data, bytes->len);
  copy[bytes->len] = 0;
  reseal(copy, bytes->len + 1);
  CU_ASSERT(k->decode(copy, bytes->len + 1) == SB_CORRUPT);
  memcpy(copy, bytes->data, bytes->len);
  copy[4] = 9;
  reseal(copy, bytes->len);
  CU_ASSERT(k->decode(copy, bytes->len) == SB_UNSUPPORTED);
  free(copy);
}

static void
test_damage(void)
{
  size_t i;

  memhost_init(&host, 1);
  for (i = 0; i < TAP_COUNT(kinds); i++) {
    buf bytes;

    buf_init(&bytes, &host.host, 1u << 20);
    kinds[i].encode(&bytes);
    CU_ASSERT(bytes.status == SB_OK);
    CU_ASSERT(kinds[i].decode(bytes.data, bytes.len) == SB_OK);
    damage(&kinds[i], &bytes);
    buf_dispose(&bytes);
  }
  CU_ASSERT(host.live == 0);
}

/* ---- golden files ------------------------------------------------------- */

static size_t
golden_read(const char *version, const char *name, uint8_t *data, size_t max)
{
  const char *dir = getenv("srcdir");
  char path[1024];
  size_t len = 0;
  FILE *file;

  (void)snprintf(path, sizeof path, "%s/golden/manifest-%s/%s",
                 dir == NULL ? "tests" : dir, version, name);
  file = fopen(path, "rb");
  if (file != NULL) {
    len = fread(data, 1, max, file);
    (void)fclose(file);
  }
  return len;
}

/* With SB_GOLDEN_WRITE=DIR the files are written there instead. */
static void
golden_write(const char *dir, const char *name, const buf *bytes)
{
  char path[1024];
  FILE *file;

  (void)snprintf(path, sizeof path, "%s/%s", dir, name);
  file = fopen(path, "wb");
  CU_ASSERT_FATAL(file != NULL);
  CU_ASSERT(fwrite(bytes->data, 1, bytes->len, file) == bytes->len);
  CU_ASSERT(fclose(file) == 0);
}

static void
test_golden(void)
{
  static uint8_t golden[8192];
  const char *dir = getenv("SB_GOLDEN_WRITE");
  size_t i;

  memhost_init(&host, 1);
  for (i = 0; i < TAP_COUNT(kinds); i++) {
    size_t len;
    buf bytes;

    buf_init(&bytes, &host.host, 1u << 20);
    kinds[i].encode(&bytes);
    if (dir != NULL) {
      golden_write(dir, kinds[i].name, &bytes);
    } else {
      len = golden_read(kinds[i].version, kinds[i].name, golden,
                        sizeof golden);
      CU_ASSERT(kinds[i].decode(golden, len) == SB_OK);
      CU_ASSERT(len == bytes.len && memcmp(golden, bytes.data, len) == 0);
    }
    buf_dispose(&bytes);
  }
}

/* ---- round trips -------------------------------------------------------- */

static int
same_slice(sb_slice a, sb_slice b)
{
  return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static void
compare_manifest(const manifest *a, const manifest *b)
{
  size_t i;

  CU_ASSERT(a->generation == b->generation && a->epoch == b->epoch);
  CU_ASSERT(a->checkpoint_id == b->checkpoint_id);
  CU_ASSERT(a->next_sequence == b->next_sequence);
  CU_ASSERT(a->list_sequence == b->list_sequence);
  CU_ASSERT(a->key_group_count == b->key_group_count);
  CU_ASSERT(a->key_group_first == b->key_group_first);
  CU_ASSERT(a->key_group_last == b->key_group_last);
  CU_ASSERT(a->subtask == b->subtask);
  CU_ASSERT(strcmp(a->operator_id, b->operator_id) == 0);
  CU_ASSERT_FATAL(a->state_count == b->state_count &&
                  a->segment_count == b->segment_count &&
                  a->held_count == b->held_count &&
                  a->dropped_count == b->dropped_count);
  for (i = 0; i < a->state_count; i++) {
    CU_ASSERT(same_slice(a->states[i].name, b->states[i].name));
    CU_ASSERT(same_slice(a->states[i].blob, b->states[i].blob));
    CU_ASSERT(a->states[i].id == b->states[i].id &&
              a->states[i].kind == b->states[i].kind &&
              a->states[i].flags == b->states[i].flags &&
              a->states[i].schema_version == b->states[i].schema_version &&
              a->states[i].time_kind == b->states[i].time_kind &&
              a->states[i].time_offset == b->states[i].time_offset &&
              a->states[i].ttl_ms == b->states[i].ttl_ms);
  }
  for (i = 0; i < a->segment_count; i++) {
    const manifest_segment *s = &a->segments[i], *t = &b->segments[i];

    CU_ASSERT(strcmp(s->name, t->name) == 0);
    CU_ASSERT((s->root == NULL) == (t->root == NULL));
    CU_ASSERT(s->root == NULL || strcmp(s->root, t->root) == 0);
    CU_ASSERT(s->owner == t->owner && s->sequence == t->sequence);
    CU_ASSERT(s->key_group_first == t->key_group_first &&
              s->key_group_last == t->key_group_last);
    CU_ASSERT(memcmp(&s->info, &t->info, sizeof s->info) == 0);
    CU_ASSERT(same_slice(s->times, t->times));
  }
  for (i = 0; i < a->held_count; i++)
    CU_ASSERT(strcmp(a->held[i], b->held[i]) == 0);
  for (i = 0; i < a->dropped_count; i++)
    CU_ASSERT(strcmp(a->dropped[i], b->dropped[i]) == 0);
}

static void
test_manifest(void)
{
  manifest m = sample_manifest(), *out;
  sb_part part = { .subtask = 1 };
  buf bytes;

  memhost_init(&host, 1);
  buf_init(&bytes, &host.host, 1u << 20);
  buf_u32(&bytes, 0); /* appended to, not replaced */
  CU_ASSERT(manifest_encode(&host.host, &m, &bytes) == SB_OK);
  CU_ASSERT_FATAL(manifest_decode(&host.host, bytes.data + 4, bytes.len - 4,
                                  &out, NULL) == SB_OK);
  compare_manifest(&m, out);
  manifest_free(&host.host, out);
  part.manifest = sb_slice_of(bytes.data + 4, bytes.len - 4);
  part.length = part.manifest.len;
  part.crc32c = crc32c(part.manifest.data, part.manifest.len);
  CU_ASSERT(manifest_read(&host.host, NULL, &part, &out, NULL) == SB_OK);
  manifest_free(&host.host, out);
  part.crc32c++;
  CU_ASSERT(manifest_read(&host.host, NULL, &part, &out, NULL) == SB_CORRUPT);
  part.manifest.len = 0;
  CU_ASSERT(manifest_read(&host.host, NULL, &part, &out, NULL) == SB_INVALID);
  buf_dispose(&bytes);
  CU_ASSERT(host.live == 0);
}

/* Version 1 has no times. */
static void
test_manifest_old(void)
{
  static uint8_t golden[8192];
  manifest m = sample_manifest(), *out;
  size_t i, len = golden_read("v1", "manifest", golden, sizeof golden);

  memhost_init(&host, 1);
  CU_ASSERT_FATAL(manifest_decode(&host.host, golden, len, &out, NULL) ==
                  SB_OK);
  sample_states[0].time_kind = sample_states[0].time_offset = 0;
  sample_states[0].ttl_ms = 0;
  sample_states[1].flags = 0;
  for (i = 0; i < m.segment_count; i++)
    sample_segments[i].times = sb_slice_of(NULL, 0);
  compare_manifest(&m, out);
  manifest_free(&host.host, out);
  CU_ASSERT(host.live == 0);
}

static void
refuse_times(const uint8_t *bytes, size_t len)
{
  manifest m = sample_manifest();
  buf out;

  sample_segments[0].times = sb_slice_of(bytes, len);
  buf_init(&out, &host.host, 1u << 20);
  CU_ASSERT(manifest_encode(&host.host, &m, &out) == SB_INVALID);
  buf_dispose(&out);
}

static void
test_manifest_times(void)
{
  uint8_t bytes[sizeof sample_times + 1];
  size_t i;

  memhost_init(&host, 1);
  for (i = 1; i < sizeof sample_times; i++)
    refuse_times(sample_times, i); /* cut */
  memset(bytes, 0, sizeof bytes);
  memcpy(bytes, sample_times, sizeof sample_times);
  refuse_times(bytes, sizeof bytes); /* too long */
  bytes[0] = 2;
  refuse_times(bytes, sizeof sample_times); /* unknown flag */
  bytes[0] = 1;
  bytes[6] = 91;
  refuse_times(bytes, sizeof sample_times); /* more than there is */
  bytes[6] = 90;
  bytes[25] = 0;
  refuse_times(bytes, sizeof sample_times); /* a state twice */
}

static void
test_manifest_refused(void)
{
  manifest m;
  buf bytes;

  memhost_init(&host, 1);
  buf_init(&bytes, &host.host, 1u << 20);
  m = sample_manifest();
  m.key_group_last = 128;
  CU_ASSERT(manifest_encode(&host.host, &m, &bytes) == SB_INVALID);
  m = sample_manifest();
  m.key_group_count = 0;
  CU_ASSERT(manifest_encode(&host.host, &m, &bytes) == SB_INVALID);
  m = sample_manifest();
  sample_segments[1].key_group_first = 61;
  CU_ASSERT(manifest_encode(&host.host, &m, &bytes) == SB_INVALID);
  m = sample_manifest();
  sample_segments[1].info.tail_offset++;
  CU_ASSERT(manifest_encode(&host.host, &m, &bytes) == SB_INVALID);
  m = sample_manifest();
  sample_segments[1].info.word_first = 31ull << 48;
  CU_ASSERT(manifest_encode(&host.host, &m, &bytes) == SB_INVALID);
  m = sample_manifest();
  sample_segments[1].info.word_last = 96ull << 48;
  CU_ASSERT(manifest_encode(&host.host, &m, &bytes) == SB_INVALID);
  m = sample_manifest();
  sample_segments[1].info.key_group_first = 95;
  sample_segments[1].info.word_first = sample_segments[1].info.word_last + 1;
  CU_ASSERT(manifest_encode(&host.host, &m, &bytes) == SB_INVALID);
  m = sample_manifest();
  sample_states[1].name.len = 0;
  CU_ASSERT(manifest_encode(&host.host, &m, &bytes) == SB_INVALID);
  CU_ASSERT(bytes.len == 0);
  buf_dispose(&bytes);
}

static void
test_metadata(void)
{
  metadata *m;
  buf bytes;

  memhost_init(&host, 1);
  buf_init(&bytes, &host.host, 1u << 20);
  encode_metadata(&bytes);
  CU_ASSERT_FATAL(metadata_decode(&host.host, bytes.data, bytes.len, &m, NULL)
                  == SB_OK);
  CU_ASSERT(strcmp(m->job_id, "job 1") == 0 && m->id == 12);
  CU_ASSERT(m->part_count == 2 && m->parts[0].name == NULL);
  CU_ASSERT(m->parts[0].manifest.len == 5 && m->parts[0].length == 5);
  CU_ASSERT(m->parts[1].length == 100000 && m->parts[1].crc32c == 7);
  CU_ASSERT(m->parts[1].manifest.len == 0);
  CU_ASSERT(m->retained_count == 2 && m->retained[0].id == 11);
  CU_ASSERT(m->retained[0].crc32c == 0xabcdef01);
  CU_ASSERT(m->pending_count == 1 && m->blob.len == 7);
  metadata_free(&host.host, m);
  buf_dispose(&bytes);
  CU_ASSERT(host.live == 0);
}

/* Every allocation of encoding and decoding fails once. */
static void
test_no_memory(void)
{
  size_t i, n;

  for (i = 0; i < 2; i++) {
    for (n = 1;; n++) {
      sb_status st = SB_NO_MEMORY;
      buf bytes;

      memhost_init(&host, 1);
      buf_init(&bytes, &host.host, 1u << 20);
      kinds[i].encode(&bytes);
      host.allocations = 0;
      host.fail_at = n;
      st = kinds[i].decode(bytes.data, bytes.len);
      CU_ASSERT(st == SB_OK || st == SB_NO_MEMORY);
      buf_dispose(&bytes);
      CU_ASSERT(host.live == 0);
      if (st == SB_OK)
        break;
    }
    CU_ASSERT(n > 3);
  }
}

/* ---- names -------------------------------------------------------------- */

static void
check_parse(const paths *p, const char *name, uint32_t expected)
{
  path_info info = paths_parse(p, "job 1", name);

  if (info.kind != expected)
    printf("# %s is %u, not %u\n", name, info.kind, expected);
  CU_ASSERT(info.kind == expected);
}

static void
test_paths(void)
{
  static const char *strange[] = {
    "b/job%201/state/_/0/1-1-0123456789abcdef.state",
    "b/job%201/state/_/00/01-1-0123456789abcdef.state",
    "b/job%201/state/_/00/1-1-0123456789abcde.state",
    "b/job%201/state/_/00/1-1-0123456789ABCDEF.state",
    "b/job%201/state/_/00/1-1-0123456789abcdefx",
    "b/job%201/state/_/a/b/00/1-1-0123456789abcdef.state",
    "b/job%201/state/value/00/1-1-0123456789abcdef.state",
    "b/job/state/_/00/1-1-0123456789abcdef.state",
    "b/job%201/checkpoints/chk-1-1-0123456789abcdef/",
    "b/job%201/checkpoints/chk-1-1-0123456789abcdef/_metadata2",
    "b/job%201/checkpoints/chk-1-99999999999999999999-0123456789abcdef/x",
    "b/job%201/checkpoints/chk-1-01-0123456789abcdef/_metadata",
    "b/job%201/checkpoints/HEAD-1",
    "b/job%201/checkpoints/pins/1", "", "b"
  };
  sb_engine_options options = { .struct_size = sizeof options,
                                .base_path = "b" };
  char name[PATH_SIZE], job[600];
  uint64_t generation;
  path_info info;
  paths p;
  size_t i;

  memhost_init(&host, 1);
  CU_ASSERT_FATAL(paths_init(&p, &host.host, &options, NULL) == SB_OK);
  CU_ASSERT(paths_segment(&p, "job 1", "_op", 3, 4, 0xabc, name, NULL) ==
            SB_OK);
  CU_ASSERT(strncmp(name, "b/job%201/state/_/%5Fop/", 24) == 0);
  CU_ASSERT(strcmp(name + 26, "/3-4-0000000000000abc.state") == 0);
  info = paths_parse(&p, "job 1", name);
  CU_ASSERT(info.kind == PATH_SEGMENT && info.generation == 3 &&
            info.sequence == 4 && info.random == 0xabc);
  CU_ASSERT(paths_segment_generation(name, &generation) == SB_OK &&
            generation == 3);
  CU_ASSERT(paths_segment(&p, "job 1", "", 3, 4, 5, name, NULL) == SB_OK);
  check_parse(&p, name, PATH_SEGMENT);
  CU_ASSERT(paths_metadata(&p, "job 1", 7, 3, 9, name, NULL) == SB_OK);
  CU_ASSERT(strcmp(name, "b/job%201/checkpoints/chk-7-3-0000000000000009/"
                         "_metadata") == 0);
  info = paths_parse(&p, "job 1", name);
  CU_ASSERT(info.kind == PATH_METADATA && info.id == 7 &&
            info.generation == 3 && info.random == 9);
  CU_ASSERT(paths_manifest(&p, "job 1", 12, 7, 3, 9, name, NULL) == SB_OK);
  info = paths_parse(&p, "job 1", name);
  CU_ASSERT(info.kind == PATH_MANIFEST && info.subtask == 12);
  CU_ASSERT(paths_head(&p, "job 1", name, NULL) == SB_OK);
  check_parse(&p, name, PATH_HEAD);
  CU_ASSERT(paths_head_numbered(&p, "job 1", UINT64_MAX, name, NULL) == SB_OK);
  info = paths_parse(&p, "job 1", name);
  CU_ASSERT(info.kind == PATH_HEAD_NUMBERED && info.id == UINT64_MAX);
  CU_ASSERT(paths_pin(&p, "job 1", 5, name, NULL) == SB_OK);
  check_parse(&p, name, PATH_PIN);
  for (i = 0; i < TAP_COUNT(strange); i++)
    check_parse(&p, strange[i], PATH_OTHER);
  CU_ASSERT(paths_segment_generation("x", &generation) == SB_INVALID);
  memset(job, 'a', sizeof job - 1);
  job[sizeof job - 1] = '\0';
  CU_ASSERT(paths_head(&p, job, name, NULL) == SB_TOO_LARGE);
  CU_ASSERT(paths_savepoint_prefix(&p, "", "..", name, NULL) == SB_OK);
  CU_ASSERT(strcmp(name, "b/savepoints/%2E./") == 0);
  CU_ASSERT(paths_savepoint_prefix(&p, "", "", name, NULL) == SB_INVALID);
  paths_dispose(&p, &host.host);
  CU_ASSERT(host.live == 0);
}

static void
test_paths_options(void)
{
  static const char *bad[] = { "/a", "a/", "a//b", "..", "a/../b", "." };
  sb_engine_options options = { .struct_size = sizeof options };
  paths p;
  size_t i;

  memhost_init(&host, 1);
  for (i = 0; i < TAP_COUNT(bad); i++) {
    options.base_path = bad[i];
    CU_ASSERT(paths_init(&p, &host.host, &options, NULL) == SB_CONFIG);
  }
  options.base_path = "a/..b/.c";
  CU_ASSERT(paths_init(&p, &host.host, &options, NULL) == SB_OK);
  paths_dispose(&p, &host.host);
  options.state_prefix = "";
  CU_ASSERT(paths_init(&p, &host.host, &options, NULL) == SB_CONFIG);
  options.state_prefix = NULL;
  options.extension = "x";
  CU_ASSERT(paths_init(&p, &host.host, &options, NULL) == SB_CONFIG);
  CU_ASSERT(host.live == 0);
}

static void
test_names(void)
{
  names a, b;
  char name[16];
  unsigned i;

  memhost_init(&host, 1);
  names_init(&a, &host.host);
  names_init(&b, &host.host);
  for (i = 0; i < 1000; i++) {
    (void)snprintf(name, sizeof name, "n%03u", i * 7919 % 500);
    names_add(&a, name, i);
    if (i % 3 == 0)
      names_add(&b, name, 0);
  }
  names_sort(&a);
  names_sort(&b);
  CU_ASSERT(a.count == 500);
  for (i = 1; i < a.count; i++)
    CU_ASSERT(strcmp(names_at(&a, i - 1), names_at(&a, i)) < 0);
  CU_ASSERT(names_has(&a, "n499") && !names_has(&a, "n500"));
  CU_ASSERT(names_number(&a, 0) == 500);
  names_subtract(&a, &b);
  CU_ASSERT(a.count + b.count == 500);
  for (i = 0; i < b.count; i++)
    CU_ASSERT(!names_has(&a, names_at(&b, i)));
  names_dispose(&a);
  names_dispose(&b);
  CU_ASSERT(host.live == 0);
}

int
main(int argc, char **argv)
{
  static const tap_case cases[] = {
    { "golden", test_golden },
    { "damage", test_damage },
    { "round_trip", test_manifest },
    { "old", test_manifest_old },
    { "times", test_manifest_times },
    { "refused", test_manifest_refused },
    { "metadata", test_metadata },
    { "no_memory", test_no_memory },
    { "paths", test_paths },
    { "paths_options", test_paths_options },
    { "names", test_names },
  };
  static const tap_suite suites[] = { { "manifest", cases,
                                        TAP_COUNT(cases) } };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
