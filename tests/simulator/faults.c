/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/simulator/life.h"

int
fault_loop(int verbose)
{
  (void)verbose;
  return 0;
}
