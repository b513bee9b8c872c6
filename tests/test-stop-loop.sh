#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The example job stopped and overtaken, on a short input.
JOB_REPEAT=${JOB_REPEAT-12}
JOB_BUDGET=${JOB_BUDGET-8mb}
JOB_QUICK=1
set -- 2
. "$(dirname "$0")/stop-loop.sh"
