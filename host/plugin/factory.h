/* SPDX-License-Identifier: Apache-2.0 */
/* The factory: backends by configuration, one a process for each. */
#ifndef SB_PLUGIN_FACTORY_H
#define SB_PLUGIN_FACTORY_H

#include <statebackend/backend.h>

/* What sb_host.engine_open does, on any host: filters, then the engine. */
sb_status factory_engine_open(const sb_host *host, sb_store *store,
                              const sb_engine_options *options,
                              const sb_config *config, sb_backend **out,
                              sb_error *err);

#endif
