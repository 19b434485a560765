/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schedule of a call: how many threads, how they share rows and units, how much time is walked at once, and where
 * everything lies in the workspace. Made before the first step; the run only reads it.
 *
 * Rows are dealt to teams, which never wait for each other. Inside a team the threads share the hidden units (and take
 * a direction each where there are two) and meet at a barrier after each step; or they form a wavefront, each with some
 * of the levels, and meet after each segment.
 */
#ifndef LW_PLAN_H
#define LW_PLAN_H

#include "cost.h"

#define LW_BLOCK_ROWS ((size_t)128)   /* rows that a team walks together at most */
#define LW_SEGMENT_ROWS ((size_t)512) /* steps x rows that all levels finish before the next ones begin */

struct lw_plan {
    size_t steps, batch;
    enum lw_way way;
    struct lw_schedule schedule;
    size_t rows;    /* of a block, at most */
    size_t segment; /* steps of a segment; all of them when a level walks backwards */
    size_t chunk;   /* steps x rows whose input part is merged into one product */
    /* A team's workspace, in floats. Strides are of a row. */
    size_t staged, staged_stride;
    size_t joined, joined_stride;
    size_t trail[2][2], trail_stride; /* [ping][direction]: (segment + 1, rows) outputs, the first one the state */
    size_t merged[2];
    size_t scratch_c[2], scratch_z[2], scratch_stride;
    size_t gates[2], gates_stride;
    size_t carry; /* rows * state_floats: h and c between segments */
    size_t order; /* size_t: the rows of all teams' blocks, of which this team takes its own, then their lengths */
    size_t team_floats;
};

enum lw_plan_kind {
    LW_PLAN_RUN,
    LW_PLAN_TAPE, /* one team, one block, one segment; activations lie in a recording, not in the workspace */
};

/* False when a size overflows. `threads` is what the call may use. */
bool lw_plan_make(const lw_model *model, size_t steps, size_t batch, size_t threads, enum lw_plan_kind kind,
                  struct lw_plan *plan);

/* Floats of workspace: each team its own, each stage of a wavefront two. */
static inline size_t lw_plan_floats(const struct lw_plan *plan)
{
    return plan->schedule.teams * plan->team_floats * (plan->schedule.stages > 1 ? 2 * plan->schedule.stages : 1);
}

/* A row of `width` floats in the workspace: a multiple of the widest vector, but not of a kilobyte, because rows that
 * far apart fall into the same sets of the first-level cache. */
static inline size_t lw_stride(size_t width)
{
    size_t stride = lw_round_up(width, LW_PAD);
    return stride % 256 == 0 ? stride + LW_PAD : stride;
}

#endif
