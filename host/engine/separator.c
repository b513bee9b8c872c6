/* SPDX-License-Identifier: Apache-2.0 */
/* Bounds of indexes; see separator.h. */
#include "config.h"

#include "host/engine/separator.h"

/* What an encoding ends with; in its first byte, with the length of the hash
   above. */
#define SEPARATOR_HASH 0   /* nothing: before all keys of this hash */
#define SEPARATOR_KEY 1    /* a key: before all of that key */
#define SEPARATOR_SUBKEY 2 /* a key and a subkey */
#define SEPARATOR_HASH_SHIFT 4

uint64_t
separator_word(const record *r)
{
  uint64_t low = r->hash >> 49;

  if (r->ns.len != 0) {
    const uint8_t *p = r->ns.data;

    low = 0x8000u | (uint64_t)p[0] << 7 | (r->ns.len > 1 ? p[1] >> 1 : 0);
  }
  return (uint64_t)r->key_group << 48 | (uint64_t)r->state << 16 | low;
}

/* The shortest start of `b` that is greater than `a`, which is smaller. */
static sb_slice
separator_prefix(sb_slice a, sb_slice b)
{
  const uint8_t *p = a.data, *q = b.data;
  size_t n = 0;

  while (n < a.len && n < b.len && p[n] == q[n])
    n++;
  return sb_slice_of(b.data, n < b.len ? n + 1 : n);
}

/* Big-endian, so that bytes compare as the number does. */
static sb_slice
separator_hash(uint64_t hash, uint8_t bytes[8])
{
  size_t i;

  for (i = 0; i < 8; i++)
    bytes[i] = (uint8_t)(hash >> (56 - 8 * i));
  return sb_slice_of(bytes, 8);
}

/* The start of a bound: level, hash without trailing zeros, namespace. */
static void
separator_head(buf *out, unsigned level, sb_slice hash, sb_slice ns)
{
  const uint8_t *p = hash.data;

  while (hash.len != 0 && p[hash.len - 1] == 0)
    hash.len--;
  buf_u8(out, (uint8_t)(level | hash.len << SEPARATOR_HASH_SHIFT));
  buf_add(out, hash.data, hash.len);
  buf_slice(out, ns);
}

void
separator_encode(buf *out, const record *previous, const record *first)
{
  uint8_t bytes[8], before[8];
  sb_slice hash = separator_hash(first->hash, bytes), none = { NULL, 0 };

  if (separator_word(previous) != separator_word(first))
    return;
  if (!slice_equal(previous->ns, first->ns)) {
    separator_head(out, SEPARATOR_HASH, none, first->ns);
  } else if (previous->hash != first->hash) {
    hash = separator_prefix(separator_hash(previous->hash, before), hash);
    separator_head(out, SEPARATOR_HASH, hash, first->ns);
  } else if (!slice_equal(previous->key, first->key)) {
    separator_head(out, SEPARATOR_KEY, hash, first->ns);
    buf_slice(out, separator_prefix(previous->key, first->key));
  } else {
    separator_head(out, SEPARATOR_SUBKEY, hash, first->ns);
    buf_slice(out, first->key);
    buf_slice(out, previous->flags & RECORD_CLEAR
                       ? none
                       : separator_prefix(previous->subkey, first->subkey));
  }
}

int
separator_decode(uint64_t word, const void *bytes, size_t len, record *out)
{
  reader r = reader_of(bytes, len);
  unsigned head = reader_u8(&r), hash_len = head >> SEPARATOR_HASH_SHIFT, i;
  unsigned level = head & ((1u << SEPARATOR_HASH_SHIFT) - 1);

  memset(out, 0, sizeof *out);
  out->key_group = (uint16_t)(word >> 48);
  out->state = (uint32_t)(word >> 16);
  for (i = 0; i < 8; i++)
    out->hash = out->hash << 8 | (i < hash_len ? reader_u8(&r) : 0);
  out->ns = reader_slice(&r);
  /* A clear marker comes first of its key, as a bound without subkey must. */
  if (level < SEPARATOR_SUBKEY)
    out->flags = RECORD_CLEAR;
  if (level >= SEPARATOR_KEY)
    out->key = reader_slice(&r);
  if (level == SEPARATOR_SUBKEY)
    out->subkey = reader_slice(&r);
  if (r.bad || reader_left(&r) != 0 || level > SEPARATOR_SUBKEY ||
      hash_len > 8 || out->ns.len > SB_NAMESPACE_MAX ||
      out->key.len > SB_KEY_MAX || out->subkey.len > SB_SUBKEY_MAX)
    return -1;
  return 0;
}

static sb_slice
separator_bytes(const separator_table *t, uint32_t i)
{
  const uint8_t *bytes = t->separators + (size_t)t->count * 4;
  uint32_t body = t->separators_len - t->count * 4;
  uint32_t start = load_u32(t->separators + (size_t)i * 4);
  uint32_t end = body;

  if (i + 1 < t->count)
    end = load_u32(t->separators + (size_t)(i + 1) * 4);
  return sb_slice_of(bytes + start, end - start);
}

/* How many words are less than `word`, or not greater if `equal`. */
static uint32_t
separator_bound(const separator_table *t, uint64_t word, int equal)
{
  const uint8_t *base = t->words;
  uint32_t left = t->count;

  while (left > 1) {
    uint32_t half = left / 2;
    uint64_t probe = load_u64(base + (size_t)(half - 1) * 8);

    base += (probe < word) | (equal & (probe == word)) ? (size_t)half * 8 : 0;
    left -= half;
  }
  if (left == 1) {
    uint64_t probe = load_u64(base);
    base += (probe < word) | (equal & (probe == word)) ? 8 : 0;
  }
  return (uint32_t)((size_t)(base - t->words) / 8);
}

static int
separator_not_after(const separator_table *t, uint32_t i, const record *key)
{
  sb_slice bytes = separator_bytes(t, i);
  record bound;

  if (bytes.len == 0)
    return 1;
  (void)separator_decode(load_u64(t->words + (size_t)i * 8), bytes.data,
                         bytes.len, &bound);
  return record_compare(&bound, key) <= 0;
}

uint32_t
separator_find(const separator_table *t, const record *key)
{
  uint64_t word = separator_word(key);
  uint32_t high = separator_bound(t, word, 1), low;

  if (high == 0)
    return 0;
  if (t->separators_len == 0 || load_u64(t->words + (high - 1) * 8ul) != word)
    return high - 1;
  low = separator_bound(t, word, 0);
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;

    if (separator_not_after(t, middle, key))
      low = middle + 1;
    else
      high = middle;
  }
  return low == 0 ? 0 : low - 1;
}

static int
separator_check_one(const separator_table *t, uint32_t i)
{
  uint64_t word = load_u64(t->words + (size_t)i * 8);
  sb_slice bytes = separator_bytes(t, i);
  record bound;

  if (bytes.len == 0)
    return i != 0 && word == load_u64(t->words + (size_t)(i - 1) * 8) ? -1 : 0;
  if (separator_decode(word, bytes.data, bytes.len, &bound) != 0)
    return -1;
  return separator_word(&bound) == word ? 0 : -1;
}

int
separator_check(const separator_table *t)
{
  uint32_t i, previous = 0, body;

  for (i = 1; i < t->count; i++) {
    if (load_u64(t->words + (size_t)i * 8) <
        load_u64(t->words + (size_t)(i - 1) * 8))
      return -1;
  }
  if (t->separators_len == 0)
    return 0;
  if (t->separators_len / 4 < t->count)
    return -1;
  body = t->separators_len - t->count * 4;
  for (i = 0; i < t->count; i++) {
    uint32_t start = load_u32(t->separators + (size_t)i * 4);

    if (start < previous || start > body || (i == 0 && start != 0))
      return -1;
    previous = start;
  }
  for (i = 0; i < t->count; i++) {
    if (separator_check_one(t, i) != 0)
      return -1;
  }
  return 0;
}
