/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the public functions of training do, arguments checked by api_train.c. Each file of this folder is one of
 * them: losses, optimisers (their update, their saved form), schedules, initialisers.
 */
#ifndef LW_TRAIN_H
#define LW_TRAIN_H

#include <stdatomic.h>

#include "model.h"

/* A loss whose strides are complete and whose classes are valid. (loss.c) */
void lw_loss_run(const lw_loss *loss, lw_score *score);

/* True if row `row` counts at `step`. The row's class is looked at only where nothing else leaves it out. */
static inline bool lw_loss_counts(const lw_loss *loss, size_t step, size_t row)
{
    if (loss->lengths && step >= loss->lengths[row])
        return false;
    if (loss->mask && !loss->mask[step * loss->batch + row])
        return false;
    return loss->kind != LW_CROSS_ENTROPY ||
           loss->classes[step * loss->target_step_stride + row * loss->target_row_stride] != loss->ignore;
}

/* An optimiser keeps up to two moments for each parameter: the mean (or momentum) and the mean square. */
struct lw_optimiser {
    atomic_int busy;
    lw_optimiser_options options;
    size_t count;      /* tensors */
    size_t *counts;    /* floats of each */
    size_t *offsets;   /* of each in a moment, on a cache line */
    uint64_t *updates; /* of each: a tensor without a gradient is left out */
    uint64_t steps;
    size_t floats;        /* of one moment, unpadded */
    float *mean, *square; /* NULL where the kind has none */
};
lw_status lw_optimiser_build(const lw_optimiser_options *options, const size_t *counts, size_t tensors,
                             lw_optimiser **optimiser);
void lw_optimiser_free(lw_optimiser *optimiser);
double lw_optimiser_measure(const lw_optimiser *optimiser, const float *const *gradients);
void lw_optimiser_update(lw_optimiser *optimiser, float *const *parameters, const float *const *gradients, double rate,
                         double norm);

/* (optimiser_state.c) */
size_t lw_optimiser_saved_bytes(const lw_optimiser *optimiser);
void lw_optimiser_write(const lw_optimiser *optimiser, unsigned char *bytes);
lw_status lw_optimiser_read(lw_optimiser *optimiser, const unsigned char *bytes);

/* (schedule.c) */
double lw_rate_at(const lw_learning_rate *schedule, uint64_t update);

/* (initialise_with.c) */
lw_status lw_initialise_with(lw_model *model, const lw_initialise_options *options);
/* Fills (rows, columns) with a random matrix whose shorter side is orthonormal, from the numbers `first` on of a
 * stream. `work` has as many doubles as lw_orthogonal_need says, which is false where they overflow. (orthogonal.c) */
bool lw_orthogonal_need(size_t rows, size_t columns, size_t *doubles);
void lw_orthogonal(float *values, size_t rows, size_t columns, uint64_t seed, uint64_t stream, uint64_t first,
                   double *work);

#endif
