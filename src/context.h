/* SPDX-License-Identifier: Apache-2.0 */
/* Threads and workspace for one model; used by one thread at a time. */
#ifndef LW_CONTEXT_H
#define LW_CONTEXT_H

#include "parallel.h"
#include "plan.h"
#include "state.h"

#define LW_SHORT_ROWS ((size_t)8) /* that a step may have to go the short way */

/* Rows of a level's input or output: step t, row r at data + (t * rows + r) * stride. */
struct view {
    const float *data;
    size_t stride;
};

struct lw_team {
    struct lw_barrier all;                 /* joins */
    struct lw_barrier side[3];             /* steps: the threads of each direction, or all of them */
    struct view handed[LW_MOST_STAGES][2]; /* wavefront: what a stage hands on, by parity of the segment */
};

struct lw_context {
    lw_model *model;
    atomic_int busy;
    size_t threads; /* 0: OpenMP's number */
    lw_parallel parallel;
    void *pool;
    float *workspace;
    size_t workspace_floats;
    struct lw_team *teams;
    size_t team_count;
    struct lw_plan step_plan; /* one step of LW_SHORT_ROWS: where the short way finds its scratch */
    double step_cycles;       /* predicted, of one row and step on one thread */
    /* On a busy machine threads keep missing each other: then calls run on one thread for some time, and longer each
     * time that it happens again. Nanoseconds. */
    uint64_t rest_until, patience;
    struct lw_plan call_plan; /* of the call that is running */
};

lw_status lw_context_build(const lw_model *model, const lw_context_options *options, lw_context **context);
void lw_context_free(lw_context *context);
/* Floats of workspace that any run of that size can need, whatever number of threads it gets; false on overflow. */
bool lw_context_need(const lw_context *context, size_t steps, size_t batch, size_t *floats);
/* Threads for the next call; its barriers, once its plan is in call_plan, with the cycles that pass between two; and
 * what is learned from a call that used several. `late`: they ended far apart. */
size_t lw_context_threads(const lw_context *context);
void lw_context_begin(lw_context *context, double cycles);
void lw_context_learn(lw_context *context, bool late);
lw_status lw_context_grow(lw_context *context, size_t floats);

#endif
