/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic of one update on a range of parameters: elements are independent of each other, so a range may be
 * cut anywhere, for threads too, with the same bits. Called by optimiser.c.
 */
#ifndef LW_TRAIN_UPDATE_H
#define LW_TRAIN_UPDATE_H

#include <stddef.h>

#include "latchwork.h"

/* The numbers of one update of one tensor, in f32 as the elements are. */
struct lw_update {
    lw_optimiser_kind kind;
    int nesterov;
    float scale; /* clipping by norm */
    float limit; /* clipping by value; infinity: off */
    float decay; /* added to the gradient, times the parameter */
    float keep;  /* AdamW: what the parameter is multiplied by first, else 1 */
    float rate;  /* Adam, AdamW: corrected for the mean's start at zero */
    float momentum;
    float mean_step;           /* 1 - beta1 */
    float square, square_step; /* alpha or beta2, and 1 - that */
    float root;                /* Adam, AdamW: sqrt(1 - beta2^n) */
    float epsilon;
};

/* Updates `count` parameters; `mean` and `square` are their moments, NULL where the kind has none. */
void lw_update_range(const struct lw_update *update, size_t count, float *parameters, const float *gradients,
                     float *mean, float *square);

/* Sum of squares of `count` values in the order of lanes.h, in chunks whose sums are added in order. */
double lw_sum_squares(const float *values, size_t count);

#endif
