/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of HTML, see html.h. */
#include "config.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "host/cli/html.h"
#include "host/cli/print.h"

void
html_escape(sb_slice text)
{
  const unsigned char *p = text.data;
  size_t i;

  if (!print_is_utf8(text)) {
    fputs("hex:", stdout);
    print_hex(stdout, text);
    return;
  }
  for (i = 0; i < text.len; i++)
    switch (p[i]) {
    case '<':
      fputs("&lt;", stdout);
      break;
    case '>':
      fputs("&gt;", stdout);
      break;
    case '&':
      fputs("&amp;", stdout);
      break;
    case '"':
      fputs("&quot;", stdout);
      break;
    case '\'':
      fputs("&#39;", stdout);
      break;
    default:
      if (p[i] < ' ' || p[i] == 0x7F)
        printf("&#x%x;", 0x2400u + (p[i] == 0x7F ? 0x21u : p[i]));
      else
        putchar(p[i]);
    }
}

void
html_text(const char *text)
{
  html_escape(sb_slice_of(text, strlen(text)));
}

void
html_cell(const char *text)
{
  fputs("<td>", stdout);
  html_text(text);
  fputs("</td>", stdout);
}

void
html_bytes(uint64_t bytes)
{
  static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
  double value = (double)bytes;
  size_t i = 0;

  for (; value >= 1024 && i < 4; i++)
    value /= 1024;
  if (i == 0)
    printf("%" PRIu64 " B", bytes);
  else
    printf("%.1f %s", value, units[i]);
}

void
html_bytes_cell(uint64_t bytes)
{
  fputs("<td class=n>", stdout);
  html_bytes(bytes);
  fputs("</td>", stdout);
}

void
html_number_cell(uint64_t number)
{
  printf("<td class=n>%" PRIu64 "</td>", number);
}

void
html_time(uint64_t ms)
{
  time_t seconds = (time_t)(ms / 1000);
  struct tm utc;
  char text[32] = "";

  if (gmtime_r(&seconds, &utc) != NULL)
    (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &utc);
  html_text(text);
}
