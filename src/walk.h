/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread's view of a run, shared by forward.c (blocks, segments, levels) and walk.c (the steps of one direction of
 * a level).
 *
 * In a block the rows are sorted by falling length, so that the active rows of a step are always the first ones. A
 * level writes its outputs into a trail of segment + 1 slots, which is also where the next step finds its state: a
 * forward level starts from slot 0 and writes slot t + 1, a reverse one writes slot t, and each row starts from the
 * slot behind its last step. Slots beyond a row's length are never read, except for that start.
 */
#ifndef LW_WALK_H
#define LW_WALK_H

#include "forward.h"

/* One thread's view of its team's work on one block of rows. */
struct worker {
    const struct lw_call *call;
    const struct lw_model *model;
    const struct lw_plan *plan;
    struct lw_team *sync;
    float *base; /* the team's workspace */
    float *own;  /* the part of it where the levels that this thread walks have their buffers */
    size_t team, stage;
    size_t member, members; /* threads that walk the same levels */
    size_t rows;            /* of this block */
    size_t *user_rows;      /* (rows) the caller's row of each */
    size_t *lengths;        /* (rows), falling */
    size_t t0, steps;       /* this segment */
};

/* All threads that walk these levels. */
static inline void meet(const struct worker *w)
{
    lw_barrier_wait(&w->sync->all, w->members);
}

static inline float *step_rows(const struct worker *w, float *data, size_t slot, size_t stride)
{
    return data + slot * w->rows * stride;
}

/* Rows of the block whose sequence is longer than t; they are the first ones. */
static inline size_t active_rows(const struct worker *w, size_t t, size_t hint)
{
    size_t n = hint;
    while (n > 0 && w->lengths[n - 1] <= t)
        n--;
    while (n < w->rows && w->lengths[n] > t)
        n++;
    return n;
}

/* Steps of row r that lie in this segment. */
static inline size_t steps_of(const struct worker *w, size_t r)
{
    return w->lengths[r] <= w->t0 ? 0 : lw_min(w->lengths[r] - w->t0, w->steps);
}

static inline float *carry_h(const struct worker *w, const struct lw_level *level, size_t d)
{
    return w->base + w->plan->carry + w->rows * level->h_offset[d];
}

static inline float *carry_c(const struct worker *w, const struct lw_level *level, size_t d)
{
    return w->base + w->plan->carry + w->rows * level->c_offset[d];
}

/* Where a level's buffers lie: in the recording, each level its own, or in the workspace, where every second level uses
 * the same. */
static inline float *trail_of(const struct worker *w, size_t index, size_t d, size_t *stride)
{
    const struct lw_recording *recording = w->call->recording;
    *stride = recording ? recording->levels[index].trail_stride : w->plan->trail_stride;
    return recording ? recording->levels[index].side[d].trail : w->own + w->plan->trail[index % 2][d];
}

static inline float *joined_of(const struct worker *w, size_t index, size_t *stride)
{
    const struct lw_recording *recording = w->call->recording;
    *stride = recording ? recording->levels[index].joined_stride : w->plan->joined_stride;
    return recording ? recording->levels[index].joined : w->own + w->plan->joined;
}

/* The threads that walk one direction of a level. */
struct side {
    size_t member, members;
    struct lw_barrier *barrier;
};

/* Walks one direction of a recurrent level through the segment. */
void lw_walk_direction(const struct worker *w, size_t index, size_t d, struct view in, const struct side *side);

#endif
