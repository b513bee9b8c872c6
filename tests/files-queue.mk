# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += test_order
test_order_SOURCES = test_order.c faulty_host.h
check_PROGRAMS += test_queue
test_queue_SOURCES = test_queue.c engine_fixture.c engine_fixture.h \
  faulty_host.h
check_PROGRAMS += test_queue_faults
test_queue_faults_SOURCES = test_queue_faults.c engine_fixture.c \
  engine_fixture.h
