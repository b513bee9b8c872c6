/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of a checkpoint or a savepoint. */
#ifndef SB_CLI_CHECKPOINTS_H
#define SB_CLI_CHECKPOINTS_H

#include "host/cli/origin.h"

/* Prints a list, under its name in JSON, and frees it. */
void checkpoints_print_list(cli *c, const char *name, const char *row,
                            sb_checkpoint_info *list, size_t count);
/* Opens the backend and prints parts, states and segments. Exit code. */
int checkpoints_show(cli *c, const origin_name *name);

#endif
