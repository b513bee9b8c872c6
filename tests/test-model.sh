#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "${builddir:-.}/functions.sh"
skip_all "placeholder of BUILD until COMMIT writes this"
