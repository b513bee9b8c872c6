/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XML from servers. Goal: what real servers send is read, whatever else comes
 * is refused within bounds. Method: answers as Amazon, MinIO and Ceph give
 * them, cut at every byte, and documents that a hostile server would send.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/s3/xml.h"
#include "tests/fake_host.h"
#include "tests/tap.h"

#define DECLARATION "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define NAMESPACE " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

static const char list_text[] =
  DECLARATION
  "<ListBucketResult" NAMESPACE "><Name>b</Name><Prefix>a%2F</Prefix>"
  "<KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys>"
  "<IsTruncated>true</IsTruncated>"
  "<NextContinuationToken>1ueGcx/+%2F==</NextContinuationToken>"
  "<Contents><Key>a/x%01%25+y</Key>"
  "<LastModified>2015-08-30T12:36:00.123Z</LastModified>"
  "<ETag>&quot;9b2cf535f27731c974343645a3985328&quot;</ETag>"
  "<Size>18446744073709551615</Size><StorageClass>STANDARD</StorageClass>"
  "<Owner><ID>me</ID><Size>7</Size></Owner></Contents>"
  "<Contents><Size>0</Size><Key>a/z&amp;</Key></Contents>"
  "<CommonPrefixes><Prefix>a/q/</Prefix></CommonPrefixes>"
  "<EncodingType>url</EncodingType></ListBucketResult>";

static const char uploads_text[] =
  DECLARATION
  "<ListMultipartUploadsResult" NAMESPACE "><Bucket>b</Bucket>"
  "<KeyMarker></KeyMarker><NextKeyMarker>k%2F2</NextKeyMarker>"
  "<NextUploadIdMarker>u2</NextUploadIdMarker><EncodingType>url</EncodingType>"
  "<MaxUploads>2</MaxUploads><IsTruncated>true</IsTruncated>"
  "<Upload><Key>k%2F1</Key><UploadId>u1</UploadId>"
  "<Initiator><ID>arn</ID></Initiator></Upload>"
  "<Upload><UploadId>u2</UploadId><Key>k%2F2</Key></Upload>"
  "</ListMultipartUploadsResult>";

static const char delete_text[] =
  "\n " DECLARATION
  "<DeleteResult" NAMESPACE "><Deleted><Key>gone</Key></Deleted>"
  "<Error><Key>a&amp;b</Key><Code>AccessDenied</Code>"
  "<Message>Access Denied</Message></Error>"
  "<Error><Code>InternalError</Code><Key>c</Key></Error></DeleteResult>";

static const char error_text[] =
  "  \r\n" DECLARATION "\n\n<Error><Code>AuthorizationHeaderMalformed</Code>"
  "<Message>The region 'us-east-1' is wrong; expecting 'eu-\xc3\xa9'"
  "</Message><Region>eu-west-1</Region><Endpoint>b.s3.amazonaws.com"
  "</Endpoint><RequestId>4442587FB7D0A2F9</RequestId><HostId>ab+/=</HostId>"
  "<ServerTime>2015-08-30T12:36:00Z</ServerTime>"
  "<Detail><Code>Inner</Code></Detail></Error>";

static const char sts_text[] =
  "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n"
  "  <AssumeRoleResult>\n    <AssumedRoleUser><Arn>arn</Arn>"
  "</AssumedRoleUser>\n"
  "    <Credentials>\n      <AccessKeyId>ASIAEXAMPLE</AccessKeyId>\n"
  "      <SecretAccessKey>wJalr/XUtn</SecretAccessKey>\n"
  "      <SessionToken>a+b==</SessionToken>\n"
  "      <Expiration>2015-08-30T12:36:00Z</Expiration>\n"
  "    </Credentials>\n  </AssumeRoleResult>\n"
  "  <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>\n"
  "</AssumeRoleResponse>\n";

static sb_status
list_read(fake_host *fake, const char *text, s3_xml_list *list, sb_error *err)
{
  fake_host_init(fake);
  return s3_xml_read_list(&fake->host, text, strlen(text), list, err);
}

static void
list_done(fake_host *fake, s3_xml_list *list)
{
  s3_xml_list_free(&fake->host, list);
  CU_ASSERT_EQUAL(fake->live, 0);
}

/* ---- answers as they are ------------------------------------------------ */

static void
test_list(void)
{
  s3_xml_list list;
  fake_host fake;

  CU_ASSERT_EQUAL_FATAL(list_read(&fake, list_text, &list, NULL), SB_OK);
  CU_ASSERT_EQUAL_FATAL(list.count, 2);
  /* Amazon and MinIO write a space as a plus. */
  CU_ASSERT_STRING_EQUAL(list.entries[0].key, "a/x\x01% y");
  CU_ASSERT_STRING_EQUAL(list.entries[0].etag,
                         "\"9b2cf535f27731c974343645a3985328\"");
  CU_ASSERT_EQUAL(list.entries[0].size, UINT64_MAX);
  CU_ASSERT_EQUAL(list.entries[0].modified_ms, UINT64_C(1440938160123));
  CU_ASSERT_STRING_EQUAL(list.entries[1].key, "a/z&");
  CU_ASSERT_STRING_EQUAL(list.entries[1].etag, "");
  CU_ASSERT_EQUAL(list.entries[1].size, 0);
  CU_ASSERT_EQUAL(list.entries[1].modified_ms, 0);
  CU_ASSERT_EQUAL(list.truncated, 1);
  CU_ASSERT_STRING_EQUAL(list.next, "1ueGcx/+%2F==");
  list_done(&fake, &list);
}

static void
test_list_kinds(void)
{
  s3_xml_list list;
  fake_host fake;

  /* Not encoded, with a prefix of the namespace, quotes left out. */
  CU_ASSERT_EQUAL_FATAL(
    list_read(&fake, "<a:ListBucketResult xmlns:a='u'><a:IsTruncated>false"
                     "</a:IsTruncated><a:Contents><a:Key>x%41</a:Key>"
                     "<a:ETag>abc-2</a:ETag><a:Size>3</a:Size></a:Contents>"
                     "</a:ListBucketResult>", &list, NULL), SB_OK);
  CU_ASSERT_EQUAL_FATAL(list.count, 1);
  CU_ASSERT_STRING_EQUAL(list.entries[0].key, "x%41");
  CU_ASSERT_STRING_EQUAL(list.entries[0].etag, "\"abc-2\"");
  CU_ASSERT_EQUAL(list.truncated, 0);
  CU_ASSERT_PTR_NULL(list.next);
  list_done(&fake, &list);
  /* Nothing at all. */
  CU_ASSERT_EQUAL(list_read(&fake, "<ListBucketResult/>", &list, NULL), SB_OK);
  CU_ASSERT_EQUAL(list.count, 0);
  CU_ASSERT_EQUAL(list.truncated, 0);
  list_done(&fake, &list);
  /* A token is enough to go on, an empty one is none. */
  CU_ASSERT_EQUAL(list_read(&fake,
                            "<ListBucketResult><NextContinuationToken>t"
                            "</NextContinuationToken></ListBucketResult>",
                            &list, NULL), SB_OK);
  CU_ASSERT_EQUAL(list.truncated, 1);
  list_done(&fake, &list);
  CU_ASSERT_EQUAL(list_read(&fake,
                            "<ListBucketResult><IsTruncated>true</IsTruncated>"
                            "<NextContinuationToken/></ListBucketResult>",
                            &list, NULL), SB_OK);
  CU_ASSERT_EQUAL(list.truncated, 1);
  CU_ASSERT_PTR_NULL(list.next);
  list_done(&fake, &list);
}

static void
test_uploads(void)
{
  s3_xml_uploads uploads;
  fake_host fake;

  fake_host_init(&fake);
  CU_ASSERT_EQUAL_FATAL(s3_xml_read_uploads(&fake.host, uploads_text,
                                            strlen(uploads_text), &uploads,
                                            NULL), SB_OK);
  CU_ASSERT_EQUAL_FATAL(uploads.count, 2);
  CU_ASSERT_STRING_EQUAL(uploads.uploads[0].key, "k/1");
  CU_ASSERT_STRING_EQUAL(uploads.uploads[0].upload_id, "u1");
  CU_ASSERT_STRING_EQUAL(uploads.uploads[1].key, "k/2");
  CU_ASSERT_STRING_EQUAL(uploads.uploads[1].upload_id, "u2");
  CU_ASSERT_EQUAL(uploads.truncated, 1);
  CU_ASSERT_STRING_EQUAL(uploads.next_key, "k/2");
  CU_ASSERT_STRING_EQUAL(uploads.next_upload, "u2");
  s3_xml_uploads_free(&fake.host, &uploads);
  CU_ASSERT_EQUAL(fake.live, 0);
}

static void
deleted(void *arg, const char *key, const char *code, const char *message)
{
  char *text = arg;
  size_t len = strlen(text);

  (void)snprintf(text + len, 256 - len, "%s|%s|%s;", key, code, message);
}

static void
test_delete(void)
{
  char text[256] = "";
  fake_host fake;

  fake_host_init(&fake);
  CU_ASSERT_EQUAL(s3_xml_read_delete(&fake.host, delete_text,
                                     strlen(delete_text), deleted, text,
                                     NULL), SB_OK);
  CU_ASSERT_STRING_EQUAL(text, "a&b|AccessDenied|Access Denied;"
                               "c|InternalError|;");
  CU_ASSERT_EQUAL(fake.live, 0);
}

static void
test_error(void)
{
  s3_xml_error e;
  fake_host fake;

  fake_host_init(&fake);
  CU_ASSERT_EQUAL(s3_xml_read_error(&fake.host, error_text,
                                    strlen(error_text), &e), 1);
  CU_ASSERT_STRING_EQUAL(e.code, "AuthorizationHeaderMalformed");
  CU_ASSERT_STRING_EQUAL(e.message, "The region 'us-east-1' is wrong; "
                                    "expecting 'eu-?" "?'");
  CU_ASSERT_STRING_EQUAL(e.region, "eu-west-1");
  CU_ASSERT_STRING_EQUAL(e.endpoint, "b.s3.amazonaws.com");
  CU_ASSERT_STRING_EQUAL(e.request_id, "4442587FB7D0A2F9");
  CU_ASSERT_STRING_EQUAL(e.host_id, "ab+/=");
  CU_ASSERT_EQUAL(e.server_time_ms, UINT64_C(1440938160000));
  CU_ASSERT_EQUAL(fake.live, 0);
}

static int
error_read(const char *text, s3_xml_error *e)
{
  fake_host fake;
  int is_error;

  fake_host_init(&fake);
  is_error = s3_xml_read_error(&fake.host, text, strlen(text), e);
  CU_ASSERT_EQUAL(fake.live, 0);
  return is_error;
}

static void
test_error_kinds(void)
{
  s3_xml_error e;

  CU_ASSERT_EQUAL(error_read("<ErrorResponse xmlns='x'><Error><Type>Sender"
                             "</Type><Code>ExpiredToken</Code><Message>old"
                             "</Message></Error><RequestId>r1</RequestId>"
                             "</ErrorResponse>", &e), 1);
  CU_ASSERT_STRING_EQUAL(e.code, "ExpiredToken");
  CU_ASSERT_STRING_EQUAL(e.request_id, "r1");
  CU_ASSERT_EQUAL(error_read("<Error/>", &e), 1);
  CU_ASSERT_STRING_EQUAL(e.code, "");
  /* Cut off, or broken further on: what came first counts. */
  CU_ASSERT_EQUAL(error_read("<Error><Code>SlowDown</Code><Mess", &e), 1);
  CU_ASSERT_STRING_EQUAL(e.code, "SlowDown");
  CU_ASSERT_EQUAL(error_read("<Error><Code>SlowDown</Code>&amp<", &e), 1);
  CU_ASSERT_STRING_EQUAL(e.code, "SlowDown");
  /* A region that would lead elsewhere. */
  CU_ASSERT_EQUAL(error_read("<Error><Region>evil.example/</Region></Error>",
                             &e), 1);
  CU_ASSERT_STRING_EQUAL(e.region, "");
  CU_ASSERT_EQUAL(error_read("", &e), 0);
  CU_ASSERT_EQUAL(error_read("   ", &e), 0);
  CU_ASSERT_EQUAL(error_read("{\"Code\":\"x\"}", &e), 0);
  CU_ASSERT_EQUAL(error_read("<html><Error><Code>x</Code></Error></html>",
                             &e), 0);
  CU_ASSERT_STRING_EQUAL(e.code, "");
  CU_ASSERT_EQUAL(error_read("<Errors><Code>x</Code></Errors>", &e), 0);
}

static void
test_error_long(void)
{
  enum { LONG = 20000 };
  char *text = calloc(1, LONG + 100);
  s3_xml_error e;

  CU_ASSERT_PTR_NOT_NULL_FATAL(text);
  strcpy(text, "<Error><Message>");
  memset(text + strlen(text), 'm', LONG);
  strcat(text, "</Message><Code>Late</Code></Error>");
  CU_ASSERT_EQUAL(error_read(text, &e), 1);
  CU_ASSERT_EQUAL(strlen(e.message), sizeof e.message - 1);
  CU_ASSERT_STRING_EQUAL(e.code, "Late");
  free(text);
}

static void
test_root(void)
{
  static const char *const pairs[][2] = {
    { error_text, "Error" }, { list_text, "ListBucketResult" },
    { sts_text, "AssumeRoleResponse" }, { "", "" }, { "  \n", "" },
    { "no", "" }, { "<a", "" }, { "<a>", "a" }, { "<x:b/>", "b" },
    { "<!DOCTYPE a><a/>", "" }, { " <?xml version='1.0'?>  \n<c>", "c" }
  };
  char name[64];
  size_t i;

  for (i = 0; i < TAP_COUNT(pairs); i++) {
    s3_xml_root(pairs[i][0], strlen(pairs[i][0]), name);
    CU_ASSERT_STRING_EQUAL(name, pairs[i][1]);
  }
}

static sb_status
text_read(const char *text, const char *path, char *out, size_t size)
{
  sb_error err;
  fake_host fake;
  sb_status status;

  fake_host_init(&fake);
  status = s3_xml_read_text(&fake.host, text, strlen(text), path, out, size,
                            &err);
  CU_ASSERT_EQUAL(fake.live, 0);
  if (status != SB_OK)
    CU_ASSERT_PTR_NULL(strstr(err.message, "wJalr"));
  return status;
}

static void
test_text(void)
{
  char out[16];

  CU_ASSERT_EQUAL(text_read(sts_text, "Credentials/AccessKeyId", out, 16),
                  SB_OK);
  CU_ASSERT_STRING_EQUAL(out, "ASIAEXAMPLE");
  CU_ASSERT_EQUAL(text_read(sts_text, "Credentials/SessionToken", out, 6),
                  SB_OK);
  CU_ASSERT_STRING_EQUAL(out, "a+b==");
  CU_ASSERT_EQUAL(text_read(sts_text, "Credentials/SecretAccessKey", out, 10),
                  SB_TOO_LARGE);
  CU_ASSERT_EQUAL(text_read(sts_text, "RequestId", out, 16), SB_NOT_FOUND);
  CU_ASSERT_EQUAL(text_read(sts_text, "dentials/AccessKeyId", out, 16),
                  SB_NOT_FOUND);
  CU_ASSERT_EQUAL(text_read("<I><UploadId>&lt;1&gt;</UploadId></I>",
                            "UploadId", out, 16), SB_OK);
  CU_ASSERT_STRING_EQUAL(out, "<1>");
  CU_ASSERT_EQUAL(text_read("<I><A>1</A><A>2</A></I>", "A", out, 16), SB_OK);
  CU_ASSERT_STRING_EQUAL(out, "1");
  CU_ASSERT_EQUAL(text_read("<I><A/></I>", "A", out, 16), SB_OK);
  CU_ASSERT_STRING_EQUAL(out, "");
  CU_ASSERT_EQUAL(text_read("<LocationConstraint>eu-west-1"
                            "</LocationConstraint>", "LocationConstraint",
                            out, 16), SB_OK);
  CU_ASSERT_STRING_EQUAL(out, "eu-west-1");
  CU_ASSERT_EQUAL(text_read("<I><A>1</A>", "A", out, 16), SB_CORRUPT);
  CU_ASSERT_EQUAL(text_read("not xml", "A", out, 16), SB_CORRUPT);
}

static void
test_escape(void)
{
  fake_host fake;
  s3_buf out;

  fake_host_init(&fake);
  out = s3_buf_of(&fake.host);
  s3_xml_escape(&out, "a&b<c>d\"e'\t\x01\x7f\xc3\xa9");
  CU_ASSERT_STRING_EQUAL(s3_buf_string(&out),
                         "a&amp;b&lt;c&gt;d&quot;e'&#x9;&#x1;&#x7F;\xc3\xa9");
  s3_buf_free(&out);
  CU_ASSERT_EQUAL(fake.live, 0);
}

/* ---- what is refused ---------------------------------------------------- */

static void
test_bad_lists(void)
{
  static const char *const bad[] = {
    "", " ", "<", "<ListBucketResult>", "<Error><Code>x</Code></Error>",
    "<ListBucketResult></ListBucketResult>x",
    "<ListBucketResult/><ListBucketResult/>",
    "<ListBucketResult><IsTruncated>yes</IsTruncated></ListBucketResult>",
    "<ListBucketResult><IsTruncated/></ListBucketResult>",
    "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
    "<ListBucketResult><Contents><Size>1</Size></Contents>"
    "</ListBucketResult>",
    "<ListBucketResult><Contents><Key/><Size>1</Size></Contents>"
    "</ListBucketResult>",
    "<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents>"
    "</ListBucketResult>",
    "<ListBucketResult><Contents><Key>a</Key><Size>18446744073709551616"
    "</Size></Contents></ListBucketResult>",
    "<ListBucketResult><Contents><Key>a</Key><Size>1e3</Size></Contents>"
    "</ListBucketResult>",
    "<ListBucketResult><Contents><Key>%0</Key><Size>1</Size></Contents>"
    "<EncodingType>url</EncodingType></ListBucketResult>",
    "<ListBucketResult><Contents><Key>%00</Key><Size>1</Size></Contents>"
    "<EncodingType>url</EncodingType></ListBucketResult>",
    "<ListBucketResult><Contents><Key>&#x1;</Key><Size>1</Size></Contents>"
    "</ListBucketResult>",
    "<ListBucketResult><Contents><Key>\xff</Key><Size>1</Size></Contents>"
    "</ListBucketResult>",
    "<ListBucketResult>&undefined;</ListBucketResult>",
    "<?xml version='1.0' encoding='x-none'?><ListBucketResult/>",
  };
  s3_xml_list list;
  fake_host fake;
  sb_error err;
  size_t i;

  for (i = 0; i < TAP_COUNT(bad); i++) {
    err.message[0] = '\0';
    CU_ASSERT_EQUAL(list_read(&fake, bad[i], &list, &err), SB_CORRUPT);
    CU_ASSERT_EQUAL(list.count, 0);
    CU_ASSERT_EQUAL(strncmp(err.message, "could not read a list: ", 23), 0);
    list_done(&fake, &list);
  }
}

static void
test_bombs(void)
{
  static const char *const bombs[] = {
    "<?xml version='1.0'?><!DOCTYPE ListBucketResult [<!ENTITY a 'aaaa'>"
    "<!ENTITY b '&a;&a;&a;&a;'>]><ListBucketResult>&b;</ListBucketResult>",
    "<!DOCTYPE ListBucketResult SYSTEM 'file:///etc/passwd'>"
    "<ListBucketResult/>",
    "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>"
    "<ListBucketResult><NextContinuationToken>&e;</NextContinuationToken>"
    "</ListBucketResult>"
  };
  s3_xml_list list;
  fake_host fake;
  sb_error err;
  size_t i;

  for (i = 0; i < TAP_COUNT(bombs); i++) {
    CU_ASSERT_EQUAL(list_read(&fake, bombs[i], &list, &err), SB_CORRUPT);
    CU_ASSERT_STRING_EQUAL(err.message, "could not read a list: it has a "
                                        "document type declaration");
    CU_ASSERT_PTR_NULL(list.next);
    list_done(&fake, &list);
  }
}

static void
test_deep(void)
{
  char text[4096] = "<ListBucketResult>";
  s3_xml_list list;
  fake_host fake;
  sb_error err;
  int i;

  for (i = 1; i < S3_XML_DEPTH; i++)
    strcat(text, "<a_name_that_is_longer_than_any_that_S3_has_for_an_element_"
                 "and_so_is_not_kept>");
  for (i = 1; i < S3_XML_DEPTH; i++)
    strcat(text, "</a_name_that_is_longer_than_any_that_S3_has_for_an_element_"
                 "and_so_is_not_kept>");
  strcat(text, "</ListBucketResult>");
  CU_ASSERT_EQUAL(list_read(&fake, text, &list, &err), SB_OK);
  list_done(&fake, &list);
  strcpy(text, "<ListBucketResult>");
  for (i = 0; i < 1000; i++)
    strcat(text, "<a>");
  CU_ASSERT_EQUAL(list_read(&fake, text, &list, &err), SB_CORRUPT);
  CU_ASSERT_STRING_EQUAL(err.message, "could not read a list: its elements "
                                      "are nested too deeply");
  list_done(&fake, &list);
}

/* A key of `len` bytes. */
static sb_status
long_key(size_t len)
{
  char *text = calloc(1, len + 200);
  s3_xml_list list;
  fake_host fake;
  sb_status status;

  CU_ASSERT_PTR_NOT_NULL_FATAL(text);
  strcpy(text, "<ListBucketResult><Contents><Size>1</Size><Key>");
  memset(text + strlen(text), 'k', len);
  strcat(text, "</Key></Contents></ListBucketResult>");
  status = list_read(&fake, text, &list, NULL);
  if (status == SB_OK)
    CU_ASSERT_EQUAL(strlen(list.entries[0].key), len);
  list_done(&fake, &list);
  free(text);
  return status;
}

static sb_status
many_entries(unsigned count)
{
  static const char entry[] =
    "<Contents><Key>k</Key><Size>1</Size></Contents>";
  s3_buf text;
  s3_xml_list list;
  fake_host fake, lists;
  sb_status status;
  unsigned i;

  fake_host_init(&fake);
  text = s3_buf_of(&fake.host);
  s3_buf_text(&text, "<ListBucketResult>");
  for (i = 0; i < count; i++)
    s3_buf_text(&text, entry);
  s3_buf_text(&text, "</ListBucketResult>");
  status = list_read(&lists, text.data, &list, NULL);
  if (status == SB_OK) {
    CU_ASSERT_EQUAL(list.count, count);
    CU_ASSERT_STRING_EQUAL(list.entries[count - 1].key, "k");
  }
  list_done(&lists, &list);
  s3_buf_free(&text);
  return status;
}

static void
test_limits(void)
{
  CU_ASSERT_EQUAL(long_key(S3_XML_TEXT), SB_OK);
  CU_ASSERT_EQUAL(long_key(S3_XML_TEXT + 1), SB_CORRUPT);
  CU_ASSERT_EQUAL(long_key(1u << 20), SB_CORRUPT);
  CU_ASSERT_EQUAL(many_entries(10000), SB_OK);
  CU_ASSERT_EQUAL(many_entries(10001), SB_TOO_LARGE);
}

/* No answer that was cut off passes for a whole one. */
static void
test_cut(void)
{
  char text[256], out[64];
  s3_xml_uploads uploads;
  s3_xml_list list;
  fake_host fake;
  size_t len;

  for (len = 0; len < strlen(list_text); len++) {
    fake_host_init(&fake);
    CU_ASSERT_EQUAL(s3_xml_read_list(&fake.host, list_text, len, &list, NULL),
                    SB_CORRUPT);
    list_done(&fake, &list);
  }
  for (len = 0; len < strlen(uploads_text); len++) {
    CU_ASSERT_EQUAL(s3_xml_read_uploads(&fake.host, uploads_text, len,
                                        &uploads, NULL), SB_CORRUPT);
    s3_xml_uploads_free(&fake.host, &uploads);
  }
  for (len = 0; len < strlen(delete_text); len++) {
    text[0] = '\0';
    CU_ASSERT_EQUAL(s3_xml_read_delete(&fake.host, delete_text, len, deleted,
                                       text, NULL), SB_CORRUPT);
  }
  for (len = 0; len < strlen(sts_text) - 1; len++)
    CU_ASSERT_EQUAL(s3_xml_read_text(&fake.host, sts_text, len,
                                     "Credentials/AccessKeyId", out,
                                     sizeof out, NULL), SB_CORRUPT);
  CU_ASSERT_EQUAL(fake.live, 0);
}

static sb_status
memory_run(fake_host *fake, long at)
{
  s3_xml_uploads uploads;
  s3_xml_list list;
  char text[256] = "";
  sb_status status;

  fake_host_init(fake);
  fake->fail_at = at;
  status = s3_xml_read_list(&fake->host, list_text, strlen(list_text), &list,
                            NULL);
  s3_xml_list_free(&fake->host, &list);
  if (status != SB_OK)
    return status;
  status = s3_xml_read_uploads(&fake->host, uploads_text,
                               strlen(uploads_text), &uploads, NULL);
  s3_xml_uploads_free(&fake->host, &uploads);
  if (status != SB_OK)
    return status;
  return s3_xml_read_delete(&fake->host, delete_text, strlen(delete_text),
                            deleted, text, NULL);
}

static void
test_memory(void)
{
  fake_host fake;
  sb_status status;
  long at = 0;

  do {
    status = memory_run(&fake, ++at);
    CU_ASSERT(status == SB_OK || status == SB_NO_MEMORY);
    CU_ASSERT_EQUAL(fake.live, 0);
  } while (status != SB_OK && at < 1000);
  CU_ASSERT(at > 10 && at < 1000);
}

int
main(int argc, char **argv)
{
  static const tap_case answers[] = {
    { "list", test_list },
    { "list_kinds", test_list_kinds },
    { "uploads", test_uploads },
    { "delete", test_delete },
    { "error", test_error },
    { "error_kinds", test_error_kinds },
    { "error_long", test_error_long },
    { "root", test_root },
    { "text", test_text },
    { "escape", test_escape },
  };
  static const tap_case refused[] = {
    { "bad_lists", test_bad_lists },
    { "bombs", test_bombs },
    { "deep", test_deep },
    { "limits", test_limits },
    { "cut", test_cut },
    { "memory", test_memory },
  };
  static const tap_suite suites[] = {
    { "answers", answers, TAP_COUNT(answers) },
    { "refused", refused, TAP_COUNT(refused) },
  };

  return tap_main(argc, argv, suites, TAP_COUNT(suites));
}
