# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += test_view_scan
test_view_scan_SOURCES = test_view_scan.c engine_fixture.c engine_fixture.h \
  faulty_host.h
check_PROGRAMS += test_namespaces
test_namespaces_SOURCES = test_namespaces.c namespace_fixture.c \
  namespace_fixture.h engine_fixture.c engine_fixture.h
check_PROGRAMS += test_visitors
test_visitors_SOURCES = test_visitors.c namespace_fixture.c \
  namespace_fixture.h engine_fixture.c engine_fixture.h faulty_host.h
