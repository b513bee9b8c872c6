/* SPDX-License-Identifier: Apache-2.0 */
/*
 * word_count: how often each word comes in the input, in a reducing state.
 * What the state has at the end is compared with a sorted array of all words.
 */
#include <stdio.h>
#include <stdlib.h>
#include "example.h"

static sb_reducing *counts[EXAMPLE_SUBTASKS];

static void
counts_open(example *e)
{
  sb_state_spec spec = { .struct_size = sizeof spec };
  sb_error err;
  uint32_t i;

  spec.name = "counts";
  spec.key_type = "word";
  spec.value_type = "number";
  spec.fold = example_sum;
  for (i = 0; i < e->subtasks; i++)
    example_must(sb_reducing_open_spec(e->contexts[i], &spec, &counts[i],
                                       &err), &err);
}

/* Takes the next run of letters off the text; 0 at the end. */
static int
word_next(sb_slice *text, sb_slice *word)
{
  const char *p = text->data, *end = p + text->len, *start;

  while (p < end && !((*p | 32) >= 'a' && (*p | 32) <= 'z'))
    p++;
  start = p;
  while (p < end && (*p | 32) >= 'a' && (*p | 32) <= 'z')
    p++;
  *word = sb_slice_of(start, (size_t)(p - start));
  *text = sb_slice_of(p, (size_t)(end - p));
  return word->len != 0;
}

static void
counts_line(example *e, const example_line *line)
{
  sb_slice text = line->text, word;
  uint8_t one[8];
  sb_error err;

  example_put(one, 1);
  while (word_next(&text, &word)) {
    uint32_t subtask = example_key(e, word);

    example_must(sb_reducing_add(counts[subtask], sb_slice_of(one, 8), &err),
                 &err);
  }
}

/* ---- the same in memory ------------------------------------------------- */

static int
word_order(const void *a, const void *b)
{
  return example_compare(*(const sb_slice *)a, *(const sb_slice *)b);
}

static sb_slice *
words_sorted(const example *e, size_t *count)
{
  sb_slice *words, text, word;
  size_t i, n = 0;

  for (i = 0; i < e->line_count; i++)
    for (text = e->lines[i].text; word_next(&text, &word);)
      n++;
  words = example_memory(n * sizeof *words);
  n = 0;
  for (i = 0; i < e->line_count; i++)
    for (text = e->lines[i].text; word_next(&text, &word);)
      words[n++] = word;
  qsort(words, n, sizeof *words, word_order);
  *count = n;
  return words;
}

static int
word_is(example *e, sb_slice word, uint64_t number)
{
  uint32_t subtask = example_key(e, word);
  sb_slice value;
  sb_error err;
  sb_status status = sb_reducing_get(counts[subtask], &value, &err);

  return status == SB_OK && value.len == 8 &&
         example_get(value.data) == number;
}

static int
counts_verify(example *e)
{
  size_t count, first, last;
  uint64_t different = 0, wrong = 0;
  sb_slice *words = words_sorted(e, &count);

  for (first = 0; first < count; first = last) {
    for (last = first + 1;
         last < count && example_compare(words[first], words[last]) == 0;)
      last++;
    different++;
    wrong += !word_is(e, words[first], last - first);
  }
  free(words);
  (void)printf("words=%zu\ndifferent=%llu\nwrong=%llu\n", count,
               (unsigned long long)different, (unsigned long long)wrong);
  return count != 0 && wrong == 0 && example_rows(e, "counts") == different;
}

int
main(int argc, char **argv)
{
  example e;

  example_open(&e, "word_count", argc, argv);
  example_input(&e);
  counts_open(&e);
  while (e.position < e.line_count) {
    counts_line(&e, &e.lines[e.position]);
    example_step(&e, 0);
  }
  example_finish(&e);
  return example_close(&e, counts_verify(&e));
}
