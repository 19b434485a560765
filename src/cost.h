/* SPDX-License-Identifier: Apache-2.0 */
/* What a call would cost under each schedule: the numbers behind plan.c's choice and lw_explain. */
#ifndef LW_COST_H
#define LW_COST_H

#include "model.h"

#define LW_MOST_STAGES 16
#define LW_WAVE_BATCH ((size_t)16) /* rows of a wavefront at most */
#define LW_WAVE_ROWS ((size_t)128) /* steps x rows of its segments at most */

/* Bytes a cycle that one core gets from each level, and the level's size. */
struct lw_hierarchy {
    double bytes[4], rate[4]; /* L1, L2, L3, memory */
};
struct lw_hierarchy lw_cost_hierarchy(size_t lanes); /* round numbers, for choosing */

/* Where the cycles of a step go. */
struct lw_cost {
    double cycles;     /* of a step of the whole batch */
    double arithmetic; /* of them, bound by multiply-adds, */
    double traffic[4]; /* by each level's bandwidth, */
    double overhead;   /* and activations, calls and barriers */
};

struct lw_schedule {
    size_t teams, members, stages;
    size_t stage_end[LW_MOST_STAGES];
    struct lw_cost cost;
};

enum lw_way { LW_WAY_ONE, LW_WAY_ROWS, LW_WAY_UNITS, LW_WAY_WAVEFRONT, LW_WAYS };

/* The best schedule of each way; NULL in why_not, or why the way is not possible. */
struct lw_ways {
    struct lw_schedule schedule[LW_WAYS];
    const char *why_not[LW_WAYS];
};
void lw_cost_ways(const lw_model *model, size_t steps, size_t batch, size_t threads,
                  const struct lw_hierarchy *hierarchy, struct lw_ways *ways);
/* The way to go: the cheapest, if it promises enough more than one thread. */
enum lw_way lw_cost_choose(const struct lw_ways *ways);

/* Steps of a wavefront's segment. */
size_t lw_cost_wave_segment(size_t steps, size_t rows);

#endif
