# SPDX-License-Identifier: Apache-2.0
# What the Makefiles of all directories share.

plugindir = $(libdir)/statebackend/$(SB_ABI_MAJOR)/plugins

AM_CPPFLAGS = -I$(top_builddir) -I$(top_srcdir) -I$(top_srcdir)/include \
	$(SB_DEP_CFLAGS)
AM_CFLAGS = $(SB_CFLAGS) $(PTHREAD_CFLAGS)

# Programs that only run from the build tree: a real executable, no wrapper
# script, which looks for plugins in the build tree unless told otherwise.
uninstalled_flags = -no-install -Wl,-u,buildtree_anchor
uninstalled_libs = $(top_builddir)/host/libbuildtree.a

core_libs = $(top_builddir)/host/libsbcore.la $(SB_LIBS) $(PTHREAD_LIBS)
shared_libs = $(top_builddir)/host/libstatebackend.la $(PTHREAD_LIBS)

# Debian's ar warns of the "u" in the default flags.
ARFLAGS = cr
