/* SPDX-License-Identifier: Apache-2.0 */
/* Running a model: loops over time, levels and directions. */
#ifndef LW_FORWARD_H
#define LW_FORWARD_H

#include "context.h"

/* A checked call. The streams are the rows of one state, or the only rows of many states, or none. */
struct lw_call {
    lw_context *context;
    lw_state *state;         /* `batch` rows, or NULL */
    lw_state *const *states; /* or `batch` states of one row */
    lw_io io;                /* strides filled in */
};

lw_status lw_forward_run(struct lw_call *call);

/* One step of a few rows on the calling thread, on the state's own memory: nothing is planned, shared or copied that
 * need not be. */
void lw_forward_step(lw_context *context, lw_state *state, const float *x, float *y);
/* True if that is the way for this state. */
bool lw_forward_is_short(const lw_context *context, size_t batch);

#endif
