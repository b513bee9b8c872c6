/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dates that S3 sends: ISO 8601 in XML, RFC 9110's fixed form in headers.
 * Both are always in UTC; no locale and no time zone of the system matters.
 */
#include "config.h"

#include <string.h>

#include "plugins/s3/xml.h"

#define TIME_DAYS_MAX 2932896u /* 9999-12-31 */

typedef struct time_parts {
  unsigned year, month, day, hour, minute, second, ms;
} time_parts;

/* Reads exactly `digits` digits; moves *text over them. */
static int
time_number(const char **text, unsigned digits, unsigned *out)
{
  unsigned value = 0;

  for (; digits > 0; digits--, (*text)++) {
    if (**text < '0' || **text > '9')
      return 0;
    value = value * 10 + (unsigned)(**text - '0');
  }
  *out = value;
  return 1;
}

static int
time_literal(const char **text, const char *literal)
{
  size_t len = strlen(literal);

  if (strncmp(*text, literal, len) != 0)
    return 0;
  *text += len;
  return 1;
}

static int
time_clock(const char **text, time_parts *t)
{
  return time_number(text, 2, &t->hour) && time_literal(text, ":") &&
         time_number(text, 2, &t->minute) && time_literal(text, ":") &&
         time_number(text, 2, &t->second);
}

/* Digits after a point, of any number; milliseconds of them. */
static int
time_fraction(const char **text, time_parts *t)
{
  unsigned scale = 100;

  if (!time_literal(text, "."))
    return 1;
  if (**text < '0' || **text > '9')
    return 0;
  for (; **text >= '0' && **text <= '9'; (*text)++, scale /= 10)
    t->ms += (unsigned)(**text - '0') * scale;
  return 1;
}

static int
time_iso(const char *text, time_parts *t)
{
  return time_number(&text, 4, &t->year) && time_literal(&text, "-") &&
         time_number(&text, 2, &t->month) && time_literal(&text, "-") &&
         time_number(&text, 2, &t->day) && time_literal(&text, "T") &&
         time_clock(&text, t) && time_fraction(&text, t) &&
         (time_literal(&text, "Z") || time_literal(&text, "+00:00")) &&
         *text == '\0';
}

static int
time_month(const char **text, unsigned *month)
{
  static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  unsigned i;

  for (i = 0; i < 12; i++)
    if (strncmp(*text, names + (size_t)3 * i, 3) == 0) {
      *text += 3;
      *month = i + 1;
      return 1;
    }
  return 0;
}

static int
time_http(const char *text, time_parts *t)
{
  const char *comma = strchr(text, ',');

  if (comma == NULL || comma - text != 3)
    return 0;
  text = comma;
  return time_literal(&text, ", ") && time_number(&text, 2, &t->day) &&
         time_literal(&text, " ") && time_month(&text, &t->month) &&
         time_literal(&text, " ") && time_number(&text, 4, &t->year) &&
         time_literal(&text, " ") && time_clock(&text, t) &&
         time_literal(&text, " GMT") && *text == '\0';
}

static unsigned
time_month_days(unsigned year, unsigned month)
{
  static const unsigned char days[12] = { 31, 28, 31, 30, 31, 30,
                                          31, 31, 30, 31, 30, 31 };
  int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

  return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

static uint64_t
time_days(unsigned year, unsigned month, unsigned day)
{
  uint64_t y = year - 1;
  uint64_t days = y * 365 + y / 4 - y / 100 + y / 400;
  unsigned m;

  for (m = 1; m < month; m++)
    days += time_month_days(year, m);
  return days + day - 1 - 719162; /* 1970-01-01 */
}

uint64_t
s3_time_parse(const char *text)
{
  time_parts t = { 0 };
  uint64_t seconds;

  if (!time_iso(text, &t)) {
    memset(&t, 0, sizeof t);
    if (!time_http(text, &t))
      return 0;
  }
  /* A leap second counts as the next one, as time_t has it. */
  if (t.year < 1970 || t.month < 1 || t.month > 12 || t.day < 1 ||
      t.day > time_month_days(t.year, t.month) || t.hour > 23 ||
      t.minute > 59 || t.second > 60)
    return 0;
  seconds = time_days(t.year, t.month, t.day) * 86400 + t.hour * 3600u +
            t.minute * 60u + t.second;
  return seconds * 1000 + t.ms;
}

static void
time_digits(char *to, uint64_t value)
{
  to[0] = (char)('0' + value / 10 % 10);
  to[1] = (char)('0' + value % 10);
}

int
s3_time_stamp(uint64_t time_ms, char out[17])
{
  uint64_t second = time_ms / 1000 % 86400;
  uint64_t days = time_ms / 86400000;
  /* Days since March of the year 0, so that leap days come last. */
  uint64_t day = days + 719468;
  uint64_t era = day / 146097;
  uint64_t of_era = day % 146097;
  uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) /
                  365;
  uint64_t of_year = of_era - (365 * year + year / 4 - year / 100);
  uint64_t month = (5 * of_year + 2) / 153;

  if (days > TIME_DAYS_MAX)
    return 0;
  year += era * 400 + (month >= 10);
  time_digits(out, year / 100);
  time_digits(out + 2, year);
  time_digits(out + 4, month < 10 ? month + 3 : month - 9);
  time_digits(out + 6, of_year - (153 * month + 2) / 5 + 1);
  out[8] = 'T';
  time_digits(out + 9, second / 3600);
  time_digits(out + 11, second / 60 % 60);
  time_digits(out + 13, second % 60);
  out[15] = 'Z';
  out[16] = '\0';
  return 1;
}
