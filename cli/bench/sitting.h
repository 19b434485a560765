/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes the pairs of a judgement (judge.h): two sides work on one workload in turns, in blocks ABBA or BAAB by lot, in
 * fresh processes on the same CPUs. Used by gate.c.
 */
#ifndef CLI_BENCH_SITTING_H
#define CLI_BENCH_SITTING_H

#include "entry.h"
#include "judge.h"
#include "side.h"

struct sitting {
    struct side *base, *now;
    struct workload workload;
    size_t threads;
    double timeout;
    uint64_t seed;
    struct trouble trouble; /* what ended it */
    const char *blame;      /* the name of the side that had it */
    /* Filled in by the first pair. */
    double set_up_seconds;
    double base_us, now_us; /* the last medians of a call */
    void (*tick)(void);     /* after each pair; may be NULL */
};

/* A judge_pair; `source` is the struct sitting. */
int sitting_pair(void *source, enum pairing pairing, double *log_ratio);
/* One turn of the new side by itself, in a fresh process: the logarithm of its median time. */
int sitting_alone(struct sitting *sitting, double *log_time);

/* Keeps this process and all that it starts on as many CPUs as there are threads, the last ones that it may use: the
 * first serve interrupts. Returns how many there are now; 0 where the system has no such call. */
size_t pin_cpus(size_t threads);

#endif
