# SPDX-License-Identifier: Apache-2.0
# The small examples, killed and restored.
dist_check_SCRIPTS += test-examples.sh
