# Tests of the build, the headers and the ABI.
check_PROGRAMS += abi
abi_SOURCES = abi.c
abi_LDADD =
abi_LDFLAGS =

dist_check_SCRIPTS += test-headers.sh test-readme.sh
EXTRA_DIST += test-install.sh
