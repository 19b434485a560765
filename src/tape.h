/* SPDX-License-Identifier: Apache-2.0 */
/* Training: a recorded forward run and the way back through it. */
#ifndef LW_TAPE_H
#define LW_TAPE_H

#include "forward.h"

struct lw_tape {
    atomic_int busy;
    lw_model *model;     /* the caller's: names and shapes */
    lw_model *weights;   /* the same architecture; packed anew from the caller's parameters at each forward run */
    lw_context *context; /* of `weights` */
    bool packed, recorded;
    /* Per level and direction, index 2 * level + direction. */
    struct lw_back_weights *back;
    struct lw_weights *gradients; /* laid out like the weights, own memory */
    float *back_packed, *gradients_packed;
    size_t gradients_floats;
    struct lw_recording recording;
    size_t *row_memory; /* user_rows and lengths of the recording */
    size_t row_capacity;
    float *memory; /* the recording's and the way back's arrays, one after the other */
    size_t memory_floats;
    struct lw_back_space space;
};

lw_status lw_tape_build(const lw_model *model, const lw_context_options *options, lw_tape **tape);
void lw_tape_free(lw_tape *tape);
size_t lw_tape_need(const lw_tape *tape, size_t steps, size_t batch); /* bytes; 0 on overflow */
/* io checked, strides filled in. */
lw_status lw_tape_record(lw_tape *tape, const float *const *parameters, lw_state *state, const lw_io *io);
/* gradients checked, strides filled in. (backward.c) */
lw_status lw_backward_run(lw_tape *tape, const lw_gradients *gradients);

#endif
