# Tests of configuration, plugins, the factory and the default host.
if HAVE_CUNIT
check_PROGRAMS += test_config test_host test_plugin test_pool
endif
test_config_SOURCES = test_config.c faulty_host.h tap.h
test_host_SOURCES = test_host.c tap.h
test_plugin_SOURCES = test_plugin.c faulty_host.h fake-plugins/fake.h tap.h
test_pool_SOURCES = test_pool.c tap.h
test_plugin_CPPFLAGS = $(AM_CPPFLAGS) \
	-DTEST_BAD_PLUGINS='"$(abs_builddir)/bad-plugins/.libs"' \
	-DTEST_FAKE_PLUGINS='"$(abs_builddir)/fake-plugins/.libs"'

# The API by dlopen alone: this program links to nothing of ours.
noinst_PROGRAMS += dlopen_api
dlopen_api_SOURCES = dlopen_api.c
dlopen_api_LDADD =
dlopen_api_LDFLAGS =
dist_check_SCRIPTS += test-dlopen.sh test-nulls.sh

# An -rpath makes libtool build a shared object of a module not installed.
fake_flags = -avoid-version -shared -rpath /nowhere

check_LTLIBRARIES = \
	fake-plugins/sb-fake.la \
	fake-plugins/sb-fakefilter.la
fake_plugins_sb_fake_la_SOURCES = fake-plugins/fake.c fake-plugins/fake.h
fake_plugins_sb_fake_la_LDFLAGS = -module $(fake_flags)
fake_plugins_sb_fake_la_LIBADD =
fake_plugins_sb_fakefilter_la_SOURCES = fake-plugins/fakefilter.c \
	fake-plugins/fake.h
fake_plugins_sb_fakefilter_la_LDFLAGS = -module $(fake_flags)
fake_plugins_sb_fakefilter_la_LIBADD =

check_LTLIBRARIES += bad-plugins/sb-noentry.la
bad_plugins_sb_noentry_la_SOURCES = bad-plugins/bad.c
bad_plugins_sb_noentry_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=1 -DBAD_NAME='"noentry"'
bad_plugins_sb_noentry_la_LDFLAGS = -module $(fake_flags)
bad_plugins_sb_noentry_la_LIBADD =

check_LTLIBRARIES += bad-plugins/sb-nulltable.la
bad_plugins_sb_nulltable_la_SOURCES = bad-plugins/bad.c
bad_plugins_sb_nulltable_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=2 -DBAD_NAME='"nulltable"'
bad_plugins_sb_nulltable_la_LDFLAGS = -module $(fake_flags)
bad_plugins_sb_nulltable_la_LIBADD =

check_LTLIBRARIES += bad-plugins/sb-major.la
bad_plugins_sb_major_la_SOURCES = bad-plugins/bad.c
bad_plugins_sb_major_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=3 -DBAD_NAME='"major"'
bad_plugins_sb_major_la_LDFLAGS = -module $(fake_flags)
bad_plugins_sb_major_la_LIBADD =

check_LTLIBRARIES += bad-plugins/sb-small.la
bad_plugins_sb_small_la_SOURCES = bad-plugins/bad.c
bad_plugins_sb_small_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=4 -DBAD_NAME='"small"'
bad_plugins_sb_small_la_LDFLAGS = -module $(fake_flags)
bad_plugins_sb_small_la_LIBADD =

check_LTLIBRARIES += bad-plugins/sb-noopen.la
bad_plugins_sb_noopen_la_SOURCES = bad-plugins/bad.c
bad_plugins_sb_noopen_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=5 -DBAD_NAME='"noopen"'
bad_plugins_sb_noopen_la_LDFLAGS = -module $(fake_flags)
bad_plugins_sb_noopen_la_LIBADD =

check_LTLIBRARIES += bad-plugins/sb-nofilter.la
bad_plugins_sb_nofilter_la_SOURCES = bad-plugins/bad.c
bad_plugins_sb_nofilter_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=6 -DBAD_NAME='"nofilter"'
bad_plugins_sb_nofilter_la_LDFLAGS = -module $(fake_flags)
bad_plugins_sb_nofilter_la_LIBADD =

check_LTLIBRARIES += bad-plugins/sb-namediffers.la
bad_plugins_sb_namediffers_la_SOURCES = bad-plugins/bad.c
bad_plugins_sb_namediffers_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=7 -DBAD_NAME='"namediffers"'
bad_plugins_sb_namediffers_la_LDFLAGS = -module $(fake_flags)
bad_plugins_sb_namediffers_la_LIBADD =

check_LTLIBRARIES += bad-plugins/sb-duplicate.la
bad_plugins_sb_duplicate_la_SOURCES = bad-plugins/bad.c
bad_plugins_sb_duplicate_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=8 -DBAD_NAME='"duplicate"'
bad_plugins_sb_duplicate_la_LDFLAGS = -module $(fake_flags)
bad_plugins_sb_duplicate_la_LIBADD =

check_LTLIBRARIES += bad-plugins/sb-baddefault.la
bad_plugins_sb_baddefault_la_SOURCES = bad-plugins/bad.c
bad_plugins_sb_baddefault_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=9 -DBAD_NAME='"baddefault"'
bad_plugins_sb_baddefault_la_LDFLAGS = -module $(fake_flags)
bad_plugins_sb_baddefault_la_LIBADD =

check_LTLIBRARIES += bad-plugins/sb-hostkey.la
bad_plugins_sb_hostkey_la_SOURCES = bad-plugins/bad.c
bad_plugins_sb_hostkey_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=10 -DBAD_NAME='"hostkey"'
bad_plugins_sb_hostkey_la_LDFLAGS = -module $(fake_flags)
bad_plugins_sb_hostkey_la_LIBADD =

check_LTLIBRARIES += bad-plugins/sb-undefined.la
bad_plugins_sb_undefined_la_SOURCES = bad-plugins/bad.c
bad_plugins_sb_undefined_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=11 -DBAD_NAME='"undefined"'
bad_plugins_sb_undefined_la_LDFLAGS = -module $(fake_flags)
bad_plugins_sb_undefined_la_LIBADD =

check_LTLIBRARIES += bad-plugins/sb-nokind.la
bad_plugins_sb_nokind_la_SOURCES = bad-plugins/bad.c
bad_plugins_sb_nokind_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=12 -DBAD_NAME='"nokind"'
bad_plugins_sb_nokind_la_LDFLAGS = -module $(fake_flags)
bad_plugins_sb_nokind_la_LIBADD =

check_LTLIBRARIES += bad-plugins/sb-optionsize.la
bad_plugins_sb_optionsize_la_SOURCES = bad-plugins/bad.c
bad_plugins_sb_optionsize_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=13 -DBAD_NAME='"optionsize"'
bad_plugins_sb_optionsize_la_LDFLAGS = -module $(fake_flags)
bad_plugins_sb_optionsize_la_LIBADD =

check_LTLIBRARIES += bad-plugins/sb-newer.la
bad_plugins_sb_newer_la_SOURCES = bad-plugins/bad.c
bad_plugins_sb_newer_la_CPPFLAGS = $(AM_CPPFLAGS) -DBAD=14 -DBAD_NAME='"newer"'
bad_plugins_sb_newer_la_LDFLAGS = -module $(fake_flags)
bad_plugins_sb_newer_la_LIBADD =
