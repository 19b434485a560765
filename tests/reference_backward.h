/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way back of the reference: gradients of every parameter, the input and the initial states in double precision,
 * as plain loops written from the formulas of latchwork.h. It starts from the trace that ref_run left and shares no
 * code with the library. A ReLU passes no gradient at 0, a gate's argument none at its limits or beyond them, a cell
 * none beyond its limits.
 */
#ifndef LW_TESTS_REFERENCE_BACKWARD_H
#define LW_TESTS_REFERENCE_BACKWARD_H

#include "reference.h"

/* A gradient, and beside it the sums of its terms' magnitudes: what a sum that cancels owes its rounding errors to. */
typedef struct ref_gradient {
    size_t count;
    double *values;
    double *magnitudes;
} ref_gradient;

typedef struct ref_gradients {
    size_t parameter_count;
    ref_gradient *parameters; /* in the order of the model's */
    ref_gradient input;       /* (T, B, I); zero beyond a row's length */
    ref_state *initial;       /* of h and c before the first step */
    /* The gradient jumps where an argument crosses a limit of a clip or a ReLU's zero. `margin` is the smallest
     * distance of any from its jump (an exact zero in front of a ReLU is left out: it comes from zeros alone);
     * `clipped` and `unclipped` count the arguments and cells outside and inside the limits. */
    double margin;
    size_t clipped, unclipped;
} ref_gradients;

/* Walks back through `trace`, which ref_run made with `lengths`; `final` is the state that it left behind.
 * `doutput` is (T, B, O), or (B, O) for LW_OUTPUT_LAST; it and `dfinal` may be NULL: zero. */
ref_gradients *ref_backward(const ref_model *model, const ref_trace *trace, const ref_state *final,
                            const size_t *lengths, lw_output kind, const double *doutput, const ref_state *dfinal);
void ref_gradients_destroy(ref_gradients *gradients);

#endif
