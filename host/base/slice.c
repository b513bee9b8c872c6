/* SPDX-License-Identifier: Apache-2.0 */
/* Refusing slices without bytes; see slice.h. */
#include "config.h"

#include "host/base/slice.h"

sb_status
slice_refuse(sb_slice s, const char *what, sb_error *err)
{
  return sb_error_set(err, SB_INVALID, "cannot use %s of %zu bytes: its data "
                      "is NULL", what, s.len);
}

sb_status
slice_refuse_at(sb_slice s, const char *what, size_t at, sb_error *err)
{
  return sb_error_set(err, SB_INVALID, "cannot use %s %zu, which has %zu "
                      "bytes: its data is NULL", what, at, s.len);
}

sb_status
slices_check(const sb_slice *list, size_t count, const char *what,
             sb_error *err)
{
  size_t i;

  for (i = 0; i < count; i++)
    if (slice_bad(list[i]))
      return slice_refuse_at(list[i], what, i, err);
  return SB_OK;
}
