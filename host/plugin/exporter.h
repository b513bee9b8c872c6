/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where metrics go while a backend is open: a file that is rewritten from time
 * to time, a loopback listener, both or neither, as its settings say. Backends
 * of one process that name the same place share it.
 */
#ifndef SB_PLUGIN_EXPORTER_H
#define SB_PLUGIN_EXPORTER_H

#include <statebackend/config.h>
#include <statebackend/host.h>

typedef struct exporter exporter;

/* *out is NULL if no place is set. A port that is taken or a file that cannot
   be written is logged and tried again: metrics stop no job. */
sb_status exporter_open(const sb_config *config, exporter **out,
                        sb_error *err);
/* Writes the file a last time. NULL: nothing. */
void exporter_close(exporter *e);

#endif
