/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A caller's own pool for lw_context_options.parallel, by pthreads: a fresh thread for each task but the first, so
 * that all run at the same time, as the contract asks. Counts its calls, to show that it was used.
 */
#ifndef LW_TESTS_POOL_H
#define LW_TESTS_POOL_H

#include <pthread.h>
#include <stdlib.h>

typedef struct pool {
    size_t calls;
    size_t most; /* tasks of one call */
} pool;

struct pool_task {
    void (*task)(void *argument, size_t index);
    void *argument;
    size_t index;
};

static inline void *pool_thread(void *argument)
{
    struct pool_task *t = argument;
    t->task(t->argument, t->index);
    return NULL;
}

static inline void pool_run(void *p, size_t count, void (*task)(void *argument, size_t index), void *argument)
{
    enum { MOST = 64 };
    pool *own = p;
    pthread_t ids[MOST];
    struct pool_task tasks[MOST];
    if (count > MOST)
        abort();
    own->calls++;
    own->most = count > own->most ? count : own->most;
    for (size_t k = 1; k < count; k++) {
        tasks[k] = (struct pool_task){task, argument, k};
        if (pthread_create(&ids[k], NULL, pool_thread, &tasks[k]))
            abort();
    }
    if (count)
        task(argument, 0);
    for (size_t k = 1; k < count; k++)
        pthread_join(ids[k], NULL);
}

#endif
