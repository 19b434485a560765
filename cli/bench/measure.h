/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures one workload with all engines in turn, A B C A B C: first each finds its better thread count and its answers
 * are compared with Latchwork's, then come the rounds that count. Called by cmd_bench.c.
 */
#ifndef CLI_BENCH_MEASURE_H
#define CLI_BENCH_MEASURE_H

#include "entry.h"

#include <signal.h>

struct plan {
    double seconds; /* for the rounds of all engines together, but for the least rounds */
    size_t counts[COUNTS_MAX], count_count;
    size_t singles; /* calls of a step workload that are timed one by one, at most */
    size_t done;    /* steps of the progress bar so far; measure() adds MEASURE_STEPS for each entry */
    const volatile sig_atomic_t *stop; /* ends the measurement early, with what there is */
};

enum { ROUNDS = 10, MEASURE_STEPS = ROUNDS + 2 };

/* entries[0] is Latchwork. Troubles stay in the entries. */
void measure(struct entry *entries, size_t count, struct plan *plan);

#endif
