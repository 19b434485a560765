/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: one parallel region for a whole call, and the barrier inside it. */
#ifndef LW_PARALLEL_H
#define LW_PARALLEL_H

#include <stdatomic.h>

#include "core.h"

#define LW_MOST_THREADS 256

/* Threads that a call may use now: 1 inside somebody's parallel region and in a forked child, else at most `wanted`
 * (0: as many as OpenMP would take). */
size_t lw_parallel_threads(size_t wanted);

/* Runs task(argument, i, n) for i = 0 to n-1 at the same time and returns when all have ended; n is `count`, or less
 * when the threads cannot be had. `parallel` and `pool` are the caller's own pool; NULL: OpenMP. */
typedef void (*lw_task)(void *argument, size_t index, size_t count);
void lw_parallel_run(size_t count, lw_parallel parallel, void *pool, lw_task task, void *argument);

uint64_t lw_nanoseconds(void); /* of a clock that only goes forward */

/*
 * All `count` threads wait for each other: each spins for a while, then yields, then sleeps for short times.
 *
 * On a machine that is busy with something else a thread of the team may not be running at all, and a barrier in every
 * step would then cost a time slice in every step. So the barrier counts how often somebody had to wait beyond its
 * spin, and says `alone` to all of them, at the same barrier, once that has happened too often: one thread then does
 * better to go on by itself. lw_barrier_begin forgets the count, and takes the cycles that pass between two barriers,
 * as forecast: a good part of them is no reason to think that somebody is away. Lines of cache of their own, because
 * everybody writes them.
 */
struct lw_barrier {
    _Alignas(64) atomic_size_t arrived;
    _Alignas(64) atomic_size_t round;
    atomic_size_t late;
    size_t first; /* round at which the call began */
    size_t spins; /* turns of waiting that are not late */
    bool alone;
};
void lw_barrier_begin(struct lw_barrier *barrier, double cycles);
bool lw_barrier_wait(struct lw_barrier *barrier, size_t count);
bool lw_barrier_was_late(const struct lw_barrier *barrier); /* too often, since it began */

#endif
