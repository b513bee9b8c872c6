/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of HTML on standard output; whatever text they get, they escape. */
#ifndef SB_CLI_HTML_H
#define SB_CLI_HTML_H

#include <statebackend/base.h>

/* Bytes that are no UTF-8 become hexadecimal digits, control characters their
   pictures. */
void html_escape(sb_slice text);
void html_text(const char *text);
/* "12.3 MiB" */
void html_bytes(uint64_t bytes);
void html_time(uint64_t ms);
void html_cell(const char *text);
void html_bytes_cell(uint64_t bytes);
void html_number_cell(uint64_t number);

#endif
