#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The example job killed a few times on a short input: the quick version of
# kill-loop.sh, whose runs are long enough for every counter.
JOB_REPEAT=${JOB_REPEAT-12}
JOB_BUDGET=${JOB_BUDGET-8mb}
JOB_QUICK=1
set -- 3
. "$(dirname "$0")/kill-loop.sh"
