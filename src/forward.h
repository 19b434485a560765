/* SPDX-License-Identifier: Apache-2.0 */
/* Running a model: loops over time, levels and directions. */
#ifndef LW_FORWARD_H
#define LW_FORWARD_H

#include "recording.h"

/* A checked call. The streams are the rows of one state, or the only rows of many states, or none. */
struct lw_call {
    lw_context *context;
    lw_state *state;         /* `batch` rows, or NULL */
    lw_state *const *states; /* or `batch` states of one row */
    lw_io io;                /* strides filled in */
    /* Of a segment of a longer run: the lengths of the whole run, by which rows are sorted in every segment alike.
     * NULL: not one. */
    const size_t *whole_lengths;
    struct lw_recording *recording; /* NULL: nothing is kept */
    bool keep_state;                /* the streams' states are read, not written */
    bool serial;                    /* on the calling thread alone */
};

lw_status lw_forward_run(struct lw_call *call);

/* One step on the calling thread. A few rows go the short way: nothing is planned, shared or copied that need not be.
 * */
lw_status lw_forward_step(lw_context *context, lw_state *state, const float *x, float *y);

/* The short way, on the state's own memory; at most LW_SHORT_ROWS rows. (step.c) */
void lw_step_short(lw_context *context, lw_state *state, const float *x, float *y);

#endif
