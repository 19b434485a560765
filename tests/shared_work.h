/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One model that many threads or processes work on, each with a context and a state of its own; the work's bits are
 * those of one thread. Called by test_processes.c, and by threads_tap.c where the test framework does not run.
 */
#ifndef LW_TESTS_SHARED_WORK_H
#define LW_TESTS_SHARED_WORK_H

#include <stdatomic.h>

#include "scenario.h"

#define SHARING_THREADS 16

/* A model that is large enough for two threads to share its run, by rows or by units; false, with a sentence in `why`,
 * when two threads would not. */
bool shared_create(harness *h, lw_kind kind, lw_isa isa, char why[WHY_SIZE]);
/* Bits of output and final state of the harness's request, in a context of its own. 0: it failed. */
uint64_t shared_work(const harness *h, size_t threads);

struct worker {
    const harness *h;
    uint64_t want;
    size_t wrong;            /* runs with other bits */
    const atomic_bool *stop; /* NULL: five rounds */
};
/* What a thread does with a worker, on one and on two threads in turn. */
void *worker_run(void *worker);

/* SHARING_THREADS threads at once on one model; false, with a sentence in `why`. */
bool shared_check(const harness *h, char why[WHY_SIZE]);

#endif
