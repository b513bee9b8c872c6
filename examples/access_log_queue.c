/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded queue of batches: a slow subtask slows the source down. */
#include <stdlib.h>
#include "access_log.h"

batch *
batch_new(int kind, size_t size)
{
  batch *item = malloc(sizeof *item + size);

  if (item == NULL)
    return NULL;
  item->kind = kind;
  item->checkpoint = 0;
  item->watermark_ms = INT64_MIN;
  item->len = 0;
  return item;
}

int
queue_init(queue *q)
{
  q->first = 0;
  q->count = 0;
  q->closed = 0;
  if (pthread_mutex_init(&q->lock, NULL) != 0)
    return -1;
  return pthread_cond_init(&q->changed, NULL) == 0 ? 0 : -1;
}

void
queue_dispose(queue *q)
{
  while (q->count > 0) {
    free(q->items[q->first]);
    q->first = (q->first + 1) % QUEUE_LENGTH;
    q->count--;
  }
  pthread_cond_destroy(&q->changed);
  pthread_mutex_destroy(&q->lock);
}

int
queue_push(queue *q, batch *item)
{
  int closed;

  pthread_mutex_lock(&q->lock);
  while (q->count == QUEUE_LENGTH && !q->closed)
    pthread_cond_wait(&q->changed, &q->lock);
  closed = q->closed;
  if (!closed) {
    q->items[(q->first + q->count++) % QUEUE_LENGTH] = item;
    pthread_cond_signal(&q->changed);
  }
  pthread_mutex_unlock(&q->lock);
  if (!closed)
    return 0;
  free(item);
  return -1;
}

batch *
queue_pop(queue *q)
{
  batch *item = NULL;

  pthread_mutex_lock(&q->lock);
  while (q->count == 0 && !q->closed)
    pthread_cond_wait(&q->changed, &q->lock);
  if (!q->closed) {
    item = q->items[q->first];
    q->first = (q->first + 1) % QUEUE_LENGTH;
    q->count--;
    pthread_cond_signal(&q->changed);
  }
  pthread_mutex_unlock(&q->lock);
  return item;
}

void
queue_close(queue *q)
{
  pthread_mutex_lock(&q->lock);
  q->closed = 1;
  pthread_cond_broadcast(&q->changed);
  pthread_mutex_unlock(&q->lock);
}
