/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine's tests share: a backend over the `local` plugin in a
   directory of its own, handles, keys, checkpoints and a watch for hangs. */
#ifndef TESTS_ENGINE_FIXTURE_H
#define TESTS_ENGINE_FIXTURE_H

#include <stdatomic.h>
#include <statebackend/statebackend.h>

#include "tap.h"

extern char directory[64], trigger[80], key_text[32];
extern sb_config *config;
extern sb_backend *backend;
extern sb_job *job;
extern sb_error err;
extern uint32_t groups;
extern atomic_int watch_fired;

int check_ok(sb_status status);
uint64_t next_random(void);
void fill_random(void *to, size_t len);
double seconds(void);
void pause_ms(long ms);
void set(const char *key, const char *value);
void begin_backend(const char *memory, uint32_t group_count);
void finish_backend(void);
void open_backend(const char *memory, uint32_t group_count);
void close_backend(void);
sb_keyed *open_range(uint32_t first, uint32_t last, const sb_checkpoint *from,
                     uint32_t flags);
sb_keyed *open_all(void);
uint32_t add_state_with(sb_keyed *k, const char *name, uint32_t kind,
                        const char *blob, sb_state_info *info);
uint32_t add_state(sb_keyed *k, const char *name, uint32_t kind);
sb_key key_of(uint32_t state, const void *data, size_t len);
sb_key make_key(uint32_t state, unsigned i);
sb_slice text(const char *s);
int same(sb_slice a, const void *data, size_t len);
sb_snapshot *begin_snapshot(sb_keyed *k, uint64_t id);
void commit_snapshots(sb_keyed **handles, sb_snapshot **snapshots,
                      size_t count, uint64_t id);
void checkpoint(uint64_t id, sb_keyed **handles, size_t count);
sb_checkpoint *newest(void);
sb_keyed *reopen(sb_keyed *k, uint32_t flags);
sb_cursor *open_scan(sb_keyed *k, uint32_t state, uint32_t flags,
                     const sb_key *only);
unsigned count_rows(sb_keyed *k, uint32_t state, uint32_t flags,
                    const sb_key *only);
void watch(sb_keyed *k, double limit);
void unwatch(void);
void set_trigger(int on);
sb_status add_one(void *arg, sb_update *u);
int run_suite(int argc, char **argv, const char *name, const tap_case *list,
              size_t count);

#endif
