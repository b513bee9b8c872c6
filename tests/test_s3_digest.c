/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests over slices, base64, percent-encoding and dates. Goal: what servers
 * compute. Method: published vectors; bodies cut in every way give the same.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "plugins/s3/digest.h"
#include "plugins/s3/uri.h"
#include "plugins/s3/xml.h"
#include "tests/fake_host.h"
#include "tests/tap.h"

static s3_body
body_of(const sb_slice *slices, uint64_t count, uint64_t offset,
        uint64_t length)
{
  s3_body body = { slices, count, offset, length };

  return body;
}

/* ---- digests ------------------------------------------------------------ */

static void
test_vectors(void)
{
  sb_slice text = { "123456789", 9 };
  s3_body body = body_of(&text, 1, 0, 9);
  s3_body empty = body_of(NULL, 0, 0, 0);
  char sha256[S3_SHA256_HEX], md5[S3_MD5_BASE64], crc[S3_CRC32C_BASE64];
  char again[S3_SHA256_HEX];
  unsigned char zeros[32] = { 0 };

  CU_ASSERT_EQUAL(s3_crc32c(0, "123456789", 9), 0xE3069283u);
  CU_ASSERT_EQUAL(s3_crc32c(0, zeros, sizeof zeros), 0x8A9136AAu);
  CU_ASSERT_EQUAL(s3_crc32c(s3_crc32c(0, "1234", 4), "56789", 5),
                  0xE3069283u);
  CU_ASSERT_EQUAL(s3_crc32c(7, "", 0), 7);
  s3_crc32c_base64(&body, crc);
  CU_ASSERT_STRING_EQUAL(crc, "4waSgw==");
  CU_ASSERT_EQUAL(s3_sha256_hex(&body, sha256), 0);
  CU_ASSERT_STRING_EQUAL(
    sha256,
    "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225");
  CU_ASSERT_EQUAL(s3_sha256_crc32c(&body, again, crc), 0);
  CU_ASSERT_STRING_EQUAL(again, sha256);
  CU_ASSERT_STRING_EQUAL(crc, "4waSgw==");
  CU_ASSERT_EQUAL(s3_md5_base64(&body, md5), 0);
  CU_ASSERT_STRING_EQUAL(md5, "JfnnlDI7RTiF9RgfG2JNCw==");
  CU_ASSERT_EQUAL(s3_sha256_hex(&empty, sha256), 0);
  CU_ASSERT_STRING_EQUAL(
    sha256,
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CU_ASSERT_EQUAL(s3_md5_base64(&empty, md5), 0);
  CU_ASSERT_STRING_EQUAL(md5, "1B2M2Y8AsgTpgAmY7PhCfg==");
  s3_crc32c_base64(&empty, crc);
  CU_ASSERT_STRING_EQUAL(crc, "AAAAAA==");
}

/* A body that is shorter than it says is no body. */
static void
test_short_body(void)
{
  sb_slice text = { "123456789", 9 };
  s3_body body = body_of(&text, 1, 0, 10);
  char sha256[S3_SHA256_HEX], md5[S3_MD5_BASE64];

  CU_ASSERT_EQUAL(s3_sha256_hex(&body, sha256), -1);
  CU_ASSERT_EQUAL(s3_md5_base64(&body, md5), -1);
  CU_ASSERT_PTR_NULL(s3_body_flat(&body));
}

/* Every range of a body in slices, some of them empty. */
static void
test_slices(void)
{
  static const char all[] = "abcdefghij";
  sb_slice slices[] = { { NULL, 0 }, { all, 3 }, { all + 3, 1 }, { NULL, 0 },
                        { all + 4, 4 }, { all + 8, 2 }, { NULL, 0 } };
  uint64_t from, length, skip;
  size_t size;

  for (from = 0; from <= 10; from++)
    for (length = 0; from + length <= 10; length++) {
      s3_body body = body_of(slices, TAP_COUNT(slices), from, length);
      sb_slice whole = { all + from, (size_t)length };
      s3_body plain = body_of(&whole, 1, 0, length);
      char one[S3_SHA256_HEX], two[S3_SHA256_HEX];
      char crc_one[S3_CRC32C_BASE64], crc_two[S3_CRC32C_BASE64];
      const char *flat = s3_body_flat(&body);

      CU_ASSERT_EQUAL(s3_sha256_hex(&body, one), 0);
      CU_ASSERT_EQUAL(s3_sha256_hex(&plain, two), 0);
      CU_ASSERT_STRING_EQUAL(one, two);
      s3_crc32c_base64(&body, crc_one);
      s3_crc32c_base64(&plain, crc_two);
      CU_ASSERT_STRING_EQUAL(crc_one, crc_two);
      CU_ASSERT(flat == NULL || memcmp(flat, all + from, length) == 0);
      for (skip = 0; skip <= length + 1; skip++)
        for (size = 0; size <= length + 1; size++) {
          uint64_t left = skip < length ? length - skip : 0;
          char out[12] = "???????????";

          CU_ASSERT_EQUAL(s3_body_read(&body, skip, out, size),
                          left < size ? left : size);
          CU_ASSERT_EQUAL(memcmp(out, all + from + skip,
                                 left < size ? left : size), 0);
          CU_ASSERT_EQUAL(out[left < size ? left : size], '?');
        }
    }
}

static void
test_flat(void)
{
  static const char all[] = "abcdefghij";
  sb_slice slices[] = { { all, 4 }, { NULL, 0 }, { all + 4, 6 } };
  s3_body inside = body_of(slices, 3, 5, 2);
  s3_body across = body_of(slices, 3, 3, 2);
  s3_body first = body_of(slices, 3, 0, 4);
  s3_body nothing = body_of(slices, 3, 4, 0);

  CU_ASSERT_PTR_EQUAL(s3_body_flat(&inside), all + 5);
  CU_ASSERT_PTR_NULL(s3_body_flat(&across));
  CU_ASSERT_PTR_EQUAL(s3_body_flat(&first), all);
  CU_ASSERT_PTR_NOT_NULL(s3_body_flat(&nothing));
}

/* ---- base64 and hex ----------------------------------------------------- */

static void
test_base64(void)
{
  static const char *const pairs[][2] = {
    { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
    { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" }
  };
  fake_host fake;
  char out[16];
  s3_buf text;
  size_t i;

  fake_host_init(&fake);
  text = s3_buf_of(&fake.host);
  for (i = 0; i < TAP_COUNT(pairs); i++) {
    size_t len = strlen(pairs[i][0]);

    s3_buf_clear(&text);
    s3_base64(&text, pairs[i][0], len);
    CU_ASSERT_STRING_EQUAL(s3_buf_string(&text), pairs[i][1]);
    CU_ASSERT_EQUAL(s3_base64_decode(pairs[i][1], out, sizeof out),
                    (long)len);
    CU_ASSERT_EQUAL(memcmp(out, pairs[i][0], len), 0);
  }
  s3_hex("\x00\xff\x7f", 3, out);
  CU_ASSERT_STRING_EQUAL(out, "00ff7f");
  s3_buf_free(&text);
  CU_ASSERT_EQUAL(fake.live, 0);
}

static void
test_base64_long(void)
{
  unsigned char data[256], back[256];
  fake_host fake;
  s3_buf text;
  size_t i;

  fake_host_init(&fake);
  text = s3_buf_of(&fake.host);
  for (i = 0; i < sizeof data; i++)
    data[i] = (unsigned char)(255 - i);
  for (i = 0; i <= sizeof data; i++) {
    s3_buf_clear(&text);
    s3_base64(&text, data, i);
    CU_ASSERT_EQUAL(text.len, (i + 2) / 3 * 4);
    CU_ASSERT_EQUAL(s3_base64_decode(s3_buf_string(&text), back, i), (long)i);
    CU_ASSERT_EQUAL(memcmp(back, data, i), 0);
    if (i > 0)
      CU_ASSERT_EQUAL(s3_base64_decode(s3_buf_string(&text), back, i - 1),
                      -1);
  }
  s3_buf_free(&text);
}

static void
test_base64_bad(void)
{
  static const char *const bad[] = { "Z", "Zg", "Zg=", "Zg===", "====",
                                     "Z===", "=Zg=", "Zg==Zg==", "Zh==",
                                     "Zm9=", "Zm-v", "Zm9v\n", " Zm9v",
                                     "Zm9\xff" };
  char out[16];
  size_t i;

  for (i = 0; i < TAP_COUNT(bad); i++)
    CU_ASSERT_EQUAL(s3_base64_decode(bad[i], out, sizeof out), -1);
}

/* ---- percent-encoding --------------------------------------------------- */

static void
test_uri(void)
{
  static const char plain[] = "AZaz09-._~";
  fake_host fake;
  char back[1024];
  char all[256];
  s3_buf out;
  int i;

  fake_host_init(&fake);
  out = s3_buf_of(&fake.host);
  s3_uri_encode(&out, plain, 0);
  CU_ASSERT_STRING_EQUAL(s3_buf_string(&out), plain);
  s3_buf_clear(&out);
  s3_uri_encode(&out, "a/b c+%\xc3\xa9$", 1);
  CU_ASSERT_STRING_EQUAL(s3_buf_string(&out), "a/b%20c%2B%25%C3%A9%24");
  s3_buf_clear(&out);
  s3_uri_encode(&out, "/", 0);
  CU_ASSERT_STRING_EQUAL(s3_buf_string(&out), "%2F");
  s3_buf_clear(&out);
  s3_uri_encode(&out, "", 0);
  CU_ASSERT_STRING_EQUAL(s3_buf_string(&out), "");
  for (i = 0; i < 255; i++)
    all[i] = (char)(i + 1);
  all[255] = '\0';
  s3_uri_encode(&out, all, 0);
  (void)snprintf(back, sizeof back, "%s", s3_buf_string(&out));
  CU_ASSERT_EQUAL(s3_uri_decode(back, 1), 255);
  CU_ASSERT_STRING_EQUAL(back, all);
  s3_buf_free(&out);
  CU_ASSERT_EQUAL(fake.live, 0);
}

static void
test_uri_decode(void)
{
  static const char *const bad[] = { "%", "%4", "a%4g", "%zz", "%00", "a%" };
  char text[32] = "a+b%2bc%2Bd%41";
  size_t i;

  CU_ASSERT_EQUAL(s3_uri_decode(text, 0), 8);
  CU_ASSERT_STRING_EQUAL(text, "a+b+c+dA");
  (void)snprintf(text, sizeof text, "a+b%%2bc");
  CU_ASSERT_EQUAL(s3_uri_decode(text, 1), 5);
  CU_ASSERT_STRING_EQUAL(text, "a b+c");
  for (i = 0; i < TAP_COUNT(bad); i++) {
    (void)snprintf(text, sizeof text, "%s", bad[i]);
    CU_ASSERT_EQUAL(s3_uri_decode(text, 0), -1);
  }
}

static void
test_uri_normalize(void)
{
  static const char *const pairs[][2] = {
    { "/", "/" }, { "", "/" }, { "//", "/" }, { "/a", "/a" },
    { "/a/", "/a/" }, { "/a//b///", "/a/b/" }, { "/./", "/" },
    { "/./a/.", "/a" }, { "/a/../b", "/b" }, { "/..", "/" },
    { "/../../a", "/a" }, { "/a/b/../", "/a/" }, { "/a/b/..", "/a" },
    { "/a/../", "/" }, { "/...", "/..." }, { "/.a/..b", "/.a/..b" }
  };
  fake_host fake;
  s3_buf out;
  size_t i;

  fake_host_init(&fake);
  out = s3_buf_of(&fake.host);
  for (i = 0; i < TAP_COUNT(pairs); i++) {
    s3_buf_clear(&out);
    s3_uri_normalize(&out, pairs[i][0]);
    CU_ASSERT_STRING_EQUAL(s3_buf_string(&out), pairs[i][1]);
  }
  s3_buf_free(&out);
}

/* ---- dates -------------------------------------------------------------- */

static void
test_dates(void)
{
  CU_ASSERT_EQUAL(s3_time_parse("2015-08-30T12:36:00.000Z"),
                  UINT64_C(1440938160000));
  CU_ASSERT_EQUAL(s3_time_parse("2015-08-30T12:36:00Z"),
                  UINT64_C(1440938160000));
  CU_ASSERT_EQUAL(s3_time_parse("2015-08-30T12:36:00.123456789Z"),
                  UINT64_C(1440938160123));
  CU_ASSERT_EQUAL(s3_time_parse("2015-08-30T12:36:00.5+00:00"),
                  UINT64_C(1440938160500));
  CU_ASSERT_EQUAL(s3_time_parse("Sun, 06 Nov 1994 08:49:37 GMT"),
                  UINT64_C(784111777000));
  CU_ASSERT_EQUAL(s3_time_parse("2000-02-29T00:00:00Z"),
                  UINT64_C(951782400000));
  CU_ASSERT_EQUAL(s3_time_parse("2016-12-31T23:59:60Z"),
                  UINT64_C(1483228800000));
}

static void
test_bad_dates(void)
{
  static const char *const bad[] = {
    "", "now", "2015-08-30", "2015-13-30T12:36:00Z", "2015-02-29T00:00:00Z",
    "2015-00-01T00:00:00Z", "2015-01-00T00:00:00Z", "2015-08-30T24:00:00Z",
    "2015-08-30T12:60:00Z", "2015-08-30T12:36:00", "2015-08-30T12:36:00.Z",
    "2015-08-30T12:36:00Zx", "2015-08-30T12:36:00+02:00",
    "1969-12-31T23:59:59Z", "Sun, 06 Nov 1994 08:49:37 CET",
    "Sun, 06 Nov 1994 08:49:37", "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 06 Nab 1994 08:49:37 GMT",
    "1900-02-29T00:00:00Z"
  };
  size_t i;

  for (i = 0; i < TAP_COUNT(bad); i++)
    CU_ASSERT_EQUAL(s3_time_parse(bad[i]), 0);
}

/* Each day from 1970 to 2405 there and back. */
static void
test_stamp(void)
{
  char stamp[17], iso[32];
  uint64_t day;

  for (day = 1; day < 159000; day++) {
    uint64_t ms = day * 86400000 + 45296000;

    if (!s3_time_stamp(ms, stamp))
      break;
    (void)snprintf(iso, sizeof iso, "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", stamp,
                   stamp + 4, stamp + 6, stamp + 9, stamp + 11, stamp + 13);
    if (s3_time_parse(iso) != ms)
      break;
  }
  CU_ASSERT_EQUAL(day, 159000);
  CU_ASSERT_EQUAL(s3_time_stamp(UINT64_C(253402300799999), stamp), 1);
  CU_ASSERT_STRING_EQUAL(stamp, "99991231T235959Z");
  CU_ASSERT_EQUAL(s3_time_stamp(UINT64_C(253402300800000), stamp), 0);
}

int
main(int argc, char **argv)
{
  static const tap_case digests[] = {
    { "vectors", test_vectors },
    { "short_body", test_short_body },
    { "slices", test_slices },
    { "flat", test_flat },
  };
  static const tap_case texts[] = {
    { "base64", test_base64 },
    { "base64_long", test_base64_long },
    { "base64_bad", test_base64_bad },
    { "uri", test_uri },
    { "uri_decode", test_uri_decode },
    { "uri_normalize", test_uri_normalize },
    { "dates", test_dates },
    { "bad_dates", test_bad_dates },
    { "stamp", test_stamp },
  };
  static const tap_suite suites[] = {
    { "digests", digests, TAP_COUNT(digests) },
    { "texts", texts, TAP_COUNT(texts) },
  };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
