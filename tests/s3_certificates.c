/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for tests, good and bad, made when they are needed. */
#include "config.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/s3_fixture.h"

#define DAY 86400L

typedef struct certificate {
  X509 *x509;
  EVP_PKEY *key;
} certificate;

static void
certificate_free(certificate *c)
{
  X509_free(c->x509);
  EVP_PKEY_free(c->key);
}

static int
certificate_extend(X509 *x509, int nid, const char *value)
{
  X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
  int added = extension != NULL && X509_add_ext(x509, extension, -1) == 1;

  X509_EXTENSION_free(extension);
  return added ? 0 : -1;
}

/* `by` NULL: signs itself, an authority. `names` NULL: no host. */
static int
certificate_make(certificate *c, const char *common, const char *names,
                 long from_days, long to_days, const certificate *by)
{
  X509_NAME *name;
  int result = -1;

  c->key = EVP_EC_gen("P-256");
  c->x509 = X509_new();
  if (c->key == NULL || c->x509 == NULL)
    return -1;
  name = X509_get_subject_name(c->x509);
  if (X509_set_version(c->x509, 2) == 1 &&
      ASN1_INTEGER_set(X509_get_serialNumber(c->x509), rand() + 1L) == 1 &&
      X509_gmtime_adj(X509_getm_notBefore(c->x509), from_days * DAY) != NULL &&
      X509_gmtime_adj(X509_getm_notAfter(c->x509), to_days * DAY) != NULL &&
      X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                 (const unsigned char *)common, -1, -1, 0)
        == 1 &&
      X509_set_pubkey(c->x509, c->key) == 1 &&
      X509_set_issuer_name(c->x509, by == NULL ? name
                           : X509_get_subject_name(by->x509)) == 1 &&
      (by != NULL || certificate_extend(c->x509, NID_basic_constraints,
                                        "critical,CA:TRUE") == 0) &&
      (names == NULL || certificate_extend(c->x509, NID_subject_alt_name,
                                           names) == 0) &&
      X509_sign(c->x509, by == NULL ? c->key : by->key, EVP_sha256()) > 0)
    result = 0;
  return result;
}

static int
certificate_write(const s3_certificates *all, const certificate *c,
                  const char *name, char path[96], char key_path[96])
{
  FILE *file;
  int written;

  (void)snprintf(path, 96, "%s/%s.pem", all->dir, name);
  file = fopen(path, "w");
  written = file != NULL && PEM_write_X509(file, c->x509) == 1;
  if (file != NULL)
    (void)fclose(file);
  if (!written || key_path == NULL)
    return written ? 0 : -1;
  (void)snprintf(key_path, 96, "%s/%s-key.pem", all->dir, name);
  file = fopen(key_path, "w");
  written = file != NULL && PEM_write_PrivateKey(file, c->key, NULL, NULL, 0,
                                                 NULL, NULL) == 1;
  if (file != NULL)
    (void)fclose(file);
  return written ? 0 : -1;
}

int
s3_certificates_make(s3_certificates *all)
{
  static const char here[] = "IP:127.0.0.1,DNS:localhost,DNS:*.localhost";
  certificate ca = { 0 }, stranger = { 0 }, c[4] = { { 0 } };
  int i, result = -1;

  memset(all, 0, sizeof *all);
  (void)snprintf(all->dir, sizeof all->dir, "/tmp/sb-certificates.XXXXXX");
  if (mkdtemp(all->dir) == NULL)
    return -1;
  if (certificate_make(&ca, "Test authority", NULL, -10, 10, NULL) == 0 &&
      certificate_make(&stranger, "Stranger", NULL, -10, 10, NULL) == 0 &&
      certificate_make(&c[0], "127.0.0.1", here, -1, 1, &ca) == 0 &&
      certificate_make(&c[1], "elsewhere.test", "DNS:elsewhere.test", -1, 1,
                       &ca) == 0 &&
      certificate_make(&c[2], "127.0.0.1", here, -9, -1, &ca) == 0 &&
      certificate_make(&c[3], "127.0.0.1", here, -1, 1, &stranger) == 0 &&
      certificate_write(all, &ca, "ca", all->ca, NULL) == 0 &&
      certificate_write(all, &c[0], "good", all->good, all->good_key) == 0 &&
      certificate_write(all, &c[1], "other", all->other, all->other_key)
        == 0 &&
      certificate_write(all, &c[2], "expired", all->expired,
                        all->expired_key) == 0 &&
      certificate_write(all, &c[3], "unknown", all->unknown,
                        all->unknown_key) == 0)
    result = 0;
  certificate_free(&ca);
  certificate_free(&stranger);
  for (i = 0; i < 4; i++)
    certificate_free(&c[i]);
  if (result != 0)
    s3_certificates_remove(all);
  return result;
}

void
s3_certificates_remove(s3_certificates *all)
{
  const char *const files[] = { all->ca, all->good, all->good_key, all->other,
                                all->other_key, all->expired,
                                all->expired_key, all->unknown,
                                all->unknown_key };
  size_t i;

  for (i = 0; i < sizeof files / sizeof files[0]; i++)
    (void)unlink(files[i]);
  (void)rmdir(all->dir);
}
