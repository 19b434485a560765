/* SPDX-License-Identifier: Apache-2.0 */
/* Training: a recorded forward run and the way back through it. */
#ifndef LW_TAPE_H
#define LW_TAPE_H

#include "forward.h"

/* A run that is kept as its input and the states between its segments. */
struct lw_retrace {
    bool used; /* by the last forward run */
    size_t steps, batch, segments;
    lw_output output_kind;
    float *input;                                                /* (steps, batch, I) dense */
    size_t *lengths;                                             /* (batch) of the whole run, then those of a segment */
    lw_state **states;                                           /* (segments) at the beginning of each */
    lw_state *gradient[2];                                       /* of the state between two segments, in turn */
    size_t input_floats, lengths_count, state_count, state_rows; /* what there is room for */
};

/* Memory of the caller's, by its place among the arrays of a lw_gradients. */
struct lw_extent {
    const float *begin;
    size_t floats, index;
};

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
    struct lw_extent *extents; /* room for every array of a lw_gradients, to be checked */
    size_t *row_memory;        /* user_rows and lengths of the recording */
    size_t row_capacity;
    float *memory; /* the recording's and the way back's arrays, one after the other */
    size_t memory_floats;
    struct lw_back_space space;
    /* Segments: what is kept to run them again. */
    size_t segment;                   /* steps; 0: off */
    lw_regularisation regularisation; /* of the runs to come; all zero: none */
    struct lw_retrace retrace;
};

lw_status lw_tape_build(const lw_model *model, const lw_context_options *options, lw_tape **tape);
void lw_tape_free(lw_tape *tape);
size_t lw_tape_need(const lw_tape *tape, size_t steps, size_t batch); /* bytes; 0 on overflow */
/* The caller's parameters, each of them there; NULL: those of the run before. */
lw_status lw_tape_check(const lw_tape *tape, const float *const *parameters);
/* Packs them for the way forward and transposed for the way back. */
void lw_tape_take(lw_tape *tape, const float *const *parameters);
/* Memory for a recorded run, at least; what was recorded before is lost only when there is room for the new one. */
lw_status lw_tape_prepare(lw_tape *tape, size_t steps, size_t batch);
/* Runs and records a run, io checked and its strides filled in, from a state that receives the final values; or a
 * segment of a longer run. */
lw_status lw_tape_record(lw_tape *tape, const float *const *parameters, lw_state *state, const lw_io *io);
struct lw_part {
    size_t first_step;
    const size_t *whole_lengths;
    bool keep_state; /* as it is */
};
lw_status lw_tape_record_part(lw_tape *tape, lw_state *state, const lw_io *io, const struct lw_part *part);
/* Keeps a run of any length, whole or in segments; gradients checked, strides filled in. (retrace.c) */
lw_status lw_tape_run(lw_tape *tape, const float *const *parameters, lw_state *state, const lw_io *io);
lw_status lw_tape_back(lw_tape *tape, const lw_gradients *gradients);
size_t lw_retrace_need(const lw_tape *tape, size_t steps, size_t batch); /* bytes; 0 on overflow */
void lw_retrace_free(struct lw_retrace *retrace);

/* Back through what is recorded. The sums of the weights start from zero, or go on. (backward.c) */
enum lw_back_start { LW_BACK_BEGIN, LW_BACK_CONTINUE };
lw_status lw_backward_run(lw_tape *tape, const lw_gradients *gradients, enum lw_back_start start);

#endif
