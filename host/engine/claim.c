/* SPDX-License-Identifier: Apache-2.0 */
/* Claims in HEADs and in the directories of savepoints; see claim.h. */
#include "config.h"

#include <string.h>

#include "host/engine/claim.h"
#include "host/engine/envelope.h"

#define CLAIM_MAGIC "SBcm"
#define CLAIM_VERSION 1u
#define CLAIM_SIZE_MAX 1024u
#define CLAIM_TRIES 4

/* ---- bytes -------------------------------------------------------------- */

void
claim_encode(const claim *c, buf *out)
{
  size_t start = envelope_begin(out, CLAIM_MAGIC, CLAIM_VERSION);

  buf_u8(out, (uint8_t)c->kind);
  envelope_add_str(out, c->job_id);
  envelope_end(out, start);
}

sb_status
claim_decode(const void *data, size_t len, claim *out, sb_error *err)
{
  const char *job_id;
  reader body;
  claim c = { 0 };
  sb_status st;

  st = envelope_open(data, len, CLAIM_MAGIC, CLAIM_VERSION, "claim", &body,
                     err);
  if (st != SB_OK)
    return st;
  c.kind = reader_u8(&body);
  job_id = envelope_str(&body, HEAD_JOB_ID_MAX);
  if (body.bad || reader_left(&body) != 0 || c.kind > CLAIM_REMOVAL ||
      (c.kind == CLAIM_BY_JOB) == (job_id[0] == '\0'))
    return sb_error_set(err, SB_CORRUPT, "claim has impossible contents");
  memcpy(c.job_id, job_id, strlen(job_id) + 1);
  *out = c;
  return SB_OK;
}

/* ---- HEADs -------------------------------------------------------------- */

const char *
claim_claimer(const char *job_id)
{
  size_t len = sizeof CLAIM_PREFIX - 1;

  return strncmp(job_id, CLAIM_PREFIX, len) == 0 && job_id[len] != '\0'
           ? job_id + len : NULL;
}

sb_status
claim_check(const char *job_id, sb_error *err)
{
  if (job_id == NULL || job_id[0] == '\0')
    return sb_error_set(err, SB_INVALID, "cannot claim without the job id of "
                        "the claimer");
  if (strlen(job_id) > CLAIM_JOB_ID_MAX)
    return sb_error_set(err, SB_INVALID, "cannot claim for job id "
                        "\"%.60s...\": it has over %u bytes", job_id,
                        CLAIM_JOB_ID_MAX);
  if (claim_claimer(job_id) != NULL)
    return sb_error_set(err, SB_INVALID, "cannot claim for job id \"%.100s\": "
                        "it reads as a claim itself", job_id);
  return SB_OK;
}

sb_status
claim_swap(const job_env *env, const char *job, const head_version *from,
           const char *claimer, sb_error *err)
{
  const sb_host *host = env->host;
  head to = from->head;
  head_version now;
  size_t len = sizeof CLAIM_PREFIX - 1;
  sb_status st;

  to.generation++;
  to.sequence++;
  to.owner = host->random(host);
  to.nonce = host->random(host);
  memcpy(to.job_id, CLAIM_PREFIX, len);
  memcpy(to.job_id + len, claimer, strlen(claimer) + 1);
  st = head_swap(env, job, from, &to, &now, err);
  if (st == SB_OK)
    head_trim(env, job, now.number);
  return st;
}

static sb_status
claim_retire_once(const job_env *env, const char *job, sb_error *err)
{
  head_version from, now;
  head to;
  sb_status st = head_read(env, job, &from, err);

  if (st != SB_OK)
    return st;
  if (claim_claimer(from.head.job_id) == NULL)
    return sb_error_set(err, SB_MISMATCH, "HEAD of job \"%s\" is not claimed",
                        job);
  if (from.head.checkpoint_id == 0)
    return SB_OK;
  to = from.head;
  to.sequence++;
  to.nonce = env->host->random(env->host);
  to.checkpoint_id = to.metadata_len = to.metadata_crc = 0;
  to.metadata[0] = '\0';
  st = head_swap(env, job, &from, &to, &now, err);
  if (st == SB_OK)
    head_trim(env, job, now.number);
  return st;
}

sb_status
claim_retire(const job_env *env, const char *job, sb_error *err)
{
  sb_status st = SB_UNKNOWN;
  int tries;

  for (tries = 0; tries < CLAIM_TRIES; tries++) {
    st = claim_retire_once(env, job, err);
    if (st != SB_CONFLICT && st != SB_UNKNOWN)
      break;
  }
  return st;
}

/* ---- savepoints --------------------------------------------------------- */

sb_status
claim_read(const job_env *env, const char *job, const char *savepoint,
           claim *out, sb_error *err)
{
  uint8_t bytes[CLAIM_SIZE_MAX];
  char name[PATH_SIZE];
  uint64_t got = 0;
  sb_error why;
  sb_status st;

  st = paths_savepoint_file(env->paths, job, savepoint, CLAIM_FILE, name, err);
  if (st == SB_OK)
    st = store_get(env->host, env->store, name, 0, bytes, sizeof bytes, &got,
                   NULL, SB_PRIORITY_COMMIT, err);
  if (st != SB_OK)
    return st;
  st = claim_decode(bytes, (size_t)got, out, &why);
  if (st != SB_OK)
    (void)sb_error_set(err, st, "could not read \"%s\": %s", name,
                       why.message);
  return st;
}

static sb_status
claim_compare(const char *savepoint, const claim *mine, const claim *there,
              sb_error *err)
{
  if (there->kind == mine->kind && strcmp(there->job_id, mine->job_id) == 0)
    return SB_OK;
  if (there->kind == CLAIM_REMOVAL)
    return sb_error_set(err, SB_BUSY, "savepoint \"%s\" is being removed",
                        savepoint);
  return sb_error_set(err, SB_BUSY, "savepoint \"%s\" is claimed by job id "
                      "\"%s\"", savepoint, there->job_id);
}

static sb_status
claim_put(const job_env *env, const char *name, const claim *c, sb_error *err)
{
  uint32_t flags = env->store_flags & SB_STORE_CREATE ? SB_PUT_CREATE : 0;
  buf bytes;
  sb_status st;

  buf_init(&bytes, env->host, CLAIM_SIZE_MAX);
  claim_encode(c, &bytes);
  st = bytes.status;
  if (st != SB_OK)
    sb_error_set(err, st, "could not encode claim \"%s\"", name);
  else
    st = store_put(env->host, env->store, name, bytes.data, bytes.len, flags,
                   NULL, NULL, 0, NULL, SB_PRIORITY_COMMIT, err);
  buf_dispose(&bytes);
  return st;
}

sb_status
claim_write(const job_env *env, const char *job, const char *savepoint,
            const claim *c, sb_error *err)
{
  char name[PATH_SIZE];
  claim there;
  sb_status st;
  int tries;

  st = paths_savepoint_file(env->paths, job, savepoint, CLAIM_FILE, name, err);
  for (tries = 0; st == SB_OK && tries < CLAIM_TRIES; tries++) {
    st = claim_put(env, name, c, err);
    if (st != SB_EXISTS && st != SB_UNKNOWN)
      return st;
    /* What is there may be an earlier attempt's doing. */
    st = claim_read(env, job, savepoint, &there, err);
    if (st != SB_NOT_FOUND)
      return st == SB_OK ? claim_compare(savepoint, c, &there, err) : st;
    st = SB_OK;
  }
  return st != SB_OK ? st
                     : sb_error_set(err, SB_UNKNOWN, "it is not known whether "
                                    "savepoint \"%s\" is claimed", savepoint);
}

sb_status
claim_remove(const job_env *env, const char *job, const char *savepoint)
{
  char name[PATH_SIZE];
  const char *list[1] = { name };
  sb_status st = paths_savepoint_file(env->paths, job, savepoint, CLAIM_FILE,
                                      name, NULL);

  return st != SB_OK ? st : store_remove(env->host, env->store, list, 1, NULL,
                                         NULL);
}
