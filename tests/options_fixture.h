/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the S3 plugin's options share: which program shows which
 * option, and the proof that none is forgotten. A case says options_seen(KEY)
 * where it has seen, on the wire or in the store, what the option does; the
 * last case of each program fails if an option of the plugin's own table was
 * not seen by the program that has to show it.
 */
#ifndef TESTS_OPTIONS_FIXTURE_H
#define TESTS_OPTIONS_FIXTURE_H

#include "tests/s3_fixture.h"
#include "tests/tap.h"

/* As s3_fixture_open and s3_fixture_begin; what is set is noted. */
sb_status options_open(s3_fixture *f, const char *settings);
void options_begin(s3_fixture *f, const char *rules, const char *settings);

/* The option, as a line of settings names it, has shown its effect. It must
   have been set since the program began. */
void options_seen(const char *key);
/* All options that `program` has to show were seen, and the table of plugins
   and programs is whole. */
void options_check(const char *program);

/* The value of a header of the nth request of that kind; "" if it or the
   request is not there. Valid until the next call of s3_server_forget. */
const char *options_header(s3_fixture *f, const char *kind, size_t n,
                           const char *name);
/* Asserts that the text stands in the other one, and shows both if not. */
void options_has(const char *text, const char *wanted);

/* Starts so many reads of the object at the same time and waits for them. */
void options_gets(s3_fixture *f, size_t count);

#endif
