/* SPDX-License-Identifier: Apache-2.0 */
/* Lines in combined log format, taken apart by hand: this is the source's
   hottest code. */
#include <string.h>
#include "access_log.h"

#define TIME_LEN 26u /* 17/May/2015:10:05:03 +0000 */

static int
line_digits(const char *text, size_t count, int64_t *number)
{
  size_t i;

  *number = 0;
  for (i = 0; i < count; i++) {
    if (text[i] < '0' || text[i] > '9')
      return -1;
    *number = *number * 10 + (text[i] - '0');
  }
  return 0;
}

static int
line_month(const char *text)
{
  static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  int i;

  for (i = 0; i < 12; i++)
    if (memcmp(text, names + i * 3, 3) == 0)
      return i + 1;
  return 0;
}

static int
line_days_in_month(int64_t year, int month)
{
  static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
  int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

  return days[month - 1] + (month == 2 && leap);
}

/* Days since 1970: years begin in March, so that a leap day comes last. */
static int64_t
line_days(int64_t year, int month, int64_t day)
{
  int64_t y = month <= 2 ? year - 1 : year;
  int64_t era = y / 400, of_era = y % 400;
  int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year -
         719468;
}

static int
line_time(const char *t, int64_t *time_ms)
{
  int64_t day, year, hour, minute, second, zone_hour, zone_minute, zone;
  int month = line_month(t + 3);

  if (line_digits(t, 2, &day) != 0 || t[2] != '/' || month == 0 ||
      t[6] != '/' || line_digits(t + 7, 4, &year) != 0 || t[11] != ':' ||
      line_digits(t + 12, 2, &hour) != 0 || t[14] != ':' ||
      line_digits(t + 15, 2, &minute) != 0 || t[17] != ':' ||
      line_digits(t + 18, 2, &second) != 0 || t[20] != ' ' ||
      (t[21] != '+' && t[21] != '-') ||
      line_digits(t + 22, 2, &zone_hour) != 0 ||
      line_digits(t + 24, 2, &zone_minute) != 0)
    return -1;
  if (year < 1 || day < 1 || day > line_days_in_month(year, month) ||
      hour > 23 || minute > 59 || second > 59 || zone_hour > 23 ||
      zone_minute > 59)
    return -1;
  zone = (zone_hour * 60 + zone_minute) * (t[21] == '-' ? -1 : 1);
  *time_ms = (((line_days(year, month, day) * 24 + hour) * 60 + minute -
               zone) * 60 + second) * 1000;
  return 0;
}

/* The quoted request starts at `text`; its second word is the path. Returns
   what follows the closing quote. */
static const char *
line_request(const char *text, const char *end, log_line *line)
{
  const char *p = text, *space, *next;

  while (p < end && *p != '"')
    p += *p == '\\' ? 2 : 1;
  if (p >= end)
    return NULL;
  space = memchr(text, ' ', (size_t)(p - text));
  line->path = space == NULL ? text : space + 1;
  next = space == NULL ? NULL
                       : memchr(line->path, ' ', (size_t)(p - line->path));
  line->path_len = (size_t)((next == NULL ? p : next) - line->path);
  if (line->path_len == 0) {
    line->path = "-";
    line->path_len = 1;
  }
  return p + 1;
}

/* Status and bytes: " 200 1234", then the end or a space. */
static int
line_numbers(const char *p, const char *end, log_line *line)
{
  int64_t status, digit;
  unsigned digits = 0;

  if (end - p < 6 || p[0] != ' ' || line_digits(p + 1, 3, &status) != 0 ||
      p[4] != ' ')
    return -1;
  line->status = (uint32_t)status;
  line->bytes = 0;
  p += 5;
  if (*p == '-')
    return p + 1 == end || p[1] == ' ' ? 0 : -1;
  for (; p < end && *p != ' '; p++) {
    if (line_digits(p, 1, &digit) != 0 || ++digits > 18)
      return -1;
    line->bytes = line->bytes * 10 + (uint64_t)digit;
  }
  return digits == 0 ? -1 : 0;
}

int
log_line_parse(const char *text, size_t len, log_line *line)
{
  const char *end = text + len, *p;

  p = memchr(text, ' ', len);
  if (len > LINE_LEN_MAX || p == NULL || p == text ||
      p - text > (ptrdiff_t)ADDRESS_MAX)
    return -1;
  line->address = text;
  line->address_len = (size_t)(p - text);
  do
    p = memchr(p + 1, '[', (size_t)(end - p - 1));
  while (p != NULL && p[-1] != ' ');
  if (p == NULL || end - p < (ptrdiff_t)TIME_LEN + 4 ||
      memcmp(p + 1 + TIME_LEN, "] \"", 3) != 0 ||
      line_time(p + 1, &line->time_ms) != 0)
    return -1;
  p = line_request(p + TIME_LEN + 4, end, line);
  return p == NULL ? -1 : line_numbers(p, end, line);
}
