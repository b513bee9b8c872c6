# SPDX-License-Identifier: Apache-2.0
# The examples in other languages.
dist_check_SCRIPTS += test-bindings.sh
EXTRA_DIST += bindings-functions.sh
