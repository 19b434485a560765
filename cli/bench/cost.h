/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a call must compute and read, and the least time in which this machine could do it: the roofline. Used by
 * cmd_bench.c's rows; docs/benchmarking.md gives the formulas. Every figure is a lower bound of the work, so that a
 * share of the limit never flatters.
 */
#ifndef CLI_BENCH_COST_H
#define CLI_BENCH_COST_H

#include "workload.h"

#include <latchwork.h>

#define READS_MAX 64

struct cost {
    double flops;
    double bytes;
    /* Weights that a call reads `times` times over. */
    struct {
        double bytes, times;
    } reads[READS_MAX];
    size_t read_count;
};

/* `model` only for a workload of a model's file. */
void cost_of(const struct workload *w, const lw_model *model, struct cost *cost);

/* This machine's limits with so many threads, measured when first asked for (about a second); NULL when they cannot be.
 * They stay at their place. */
const lw_limits *limits_of(size_t threads);
/* Measures all that were asked for once more and keeps the better figures, since a disturbance only ever lowers them.
 */
void limits_again(void);
/* The list for context.latchwork.limits. */
json_t *limits_json(void);

struct bound {
    double seconds;   /* 0: the machine's limits are not known */
    const char *name; /* "FMA peak", "L1", "L2", "L3", "DRAM"; static */
};
/* The least time of a call, and what it is bound by. */
struct bound bound_of(const struct cost *cost, const lw_limits *limits);

#endif
