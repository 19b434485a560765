/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: one parallel region for a whole call, and the barrier inside it. */
#ifndef LW_PARALLEL_H
#define LW_PARALLEL_H

#include <stdatomic.h>

#include "core.h"

/* Threads that a call may use now: 1 inside somebody's parallel region and in a forked child, else at most `wanted`
 * (0: as many as OpenMP would take). */
size_t lw_parallel_threads(size_t wanted);

/* Runs task(argument, i, n) for i = 0 to n-1 at the same time and returns when all have ended; n is `count`, or less
 * when the threads cannot be had. `parallel` and `pool` are the caller's own pool; NULL: OpenMP. True when the caller's
 * thread was ready long before the others, who do better with less of them; not known of a pool. */
typedef void (*lw_task)(void *argument, size_t index, size_t count);
bool lw_parallel_run(size_t count, lw_parallel parallel, void *pool, lw_task task, void *argument);

uint64_t lw_nanoseconds(void); /* of a clock that only goes forward */

/*
 * All `count` threads wait for each other: each spins for a while, then yields, then sleeps for short times.
 *
 * On a machine that is busy with something else a thread of the team may not be running at all, and a barrier in every
 * step would then cost a time slice in every step. So the barrier adds up the waits that went beyond the spin,
 * and says `alone` to all of them, at the same barrier, once that is too large a part of the call's time: one thread
 * then does better to go on by itself. lw_barrier_begin begins anew at `now`, in lw_nanoseconds(), and takes the cycles
 * that pass between two barriers, as forecast: a good part of them is no reason to think that somebody is away. Lines
 * of cache of their own, because everybody writes them.
 */
struct lw_barrier {
    _Alignas(64) atomic_size_t arrived;
    _Alignas(64) atomic_size_t round;
    atomic_size_t late;         /* waits beyond the spin, */
    atomic_uint_least64_t lost; /* and what they took of everybody's time, in nanoseconds */
    uint64_t begin;
    size_t spins; /* turns of waiting that are not late */
    bool alone;   /* what all have been told since it began */
};
void lw_barrier_begin(struct lw_barrier *barrier, double cycles, uint64_t now);
bool lw_barrier_wait(struct lw_barrier *barrier, size_t count);

#endif
