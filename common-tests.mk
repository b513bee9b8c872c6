# SPDX-License-Identifier: Apache-2.0
# The TAP harness. Everything in TESTS prints TAP; names ending in .sh are run
# by bash.

TEST_EXTENSIONS = .sh
LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) \
	$(top_srcdir)/build-aux/tap-driver.sh
SH_LOG_DRIVER = $(LOG_DRIVER)
SH_LOG_COMPILER = $(BASH_SHELL)

AM_TESTS_ENVIRONMENT = \
	MALLOC_PERTURB_=$${MALLOC_PERTURB_-165}; export MALLOC_PERTURB_; \
	LC_ALL=C; export LC_ALL; \
	SB_PLUGIN_PATH='$(abs_top_builddir)/plugins/.libs'; \
	export SB_PLUGIN_PATH; \
	top_builddir='$(abs_top_builddir)'; export top_builddir; \
	top_srcdir='$(abs_top_srcdir)'; export top_srcdir; \
	srcdir='$(abs_srcdir)'; export srcdir; \
	builddir='$(abs_builddir)'; export builddir;
