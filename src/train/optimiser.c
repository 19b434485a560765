/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Optimisers: the moments of all tensors in one block each, and the numbers of an update. Called by api_train.c; the
 * arithmetic is in update.c. After creation nothing is allocated, and an update cannot fail.
 */
#include <math.h>

#include "real.h"
#include "train.h"
#include "update.h"

void lw_optimiser_free(lw_optimiser *optimiser)
{
    if (!optimiser)
        return;
    lw_free(optimiser->counts);
    lw_free(optimiser->offsets);
    lw_free(optimiser->updates);
    lw_free(optimiser->mean);
    lw_free(optimiser->square);
    lw_free(optimiser);
}

static lw_status allocate(lw_optimiser *optimiser, size_t padded)
{
    const lw_optimiser_options *options = &optimiser->options;
    const bool adaptive = options->kind != LW_SGD, adam = adaptive && options->kind != LW_RMSPROP;
    if (adam || options->momentum > 0.0) {
        optimiser->mean = lw_alloc_array(padded, sizeof(float));
        if (!optimiser->mean)
            return lw_fail_memory(padded * sizeof(float));
    }
    if (adaptive) {
        optimiser->square = lw_alloc_array(padded, sizeof(float));
        if (!optimiser->square)
            return lw_fail_memory(padded * sizeof(float));
    }
    return LW_OK;
}

lw_status lw_optimiser_build(const lw_optimiser_options *options, const size_t *counts, size_t tensors,
                             lw_optimiser **result)
{
    lw_optimiser *optimiser = lw_alloc(sizeof *optimiser);
    if (!optimiser)
        return lw_fail_memory(sizeof *optimiser);
    optimiser->options = *options;
    optimiser->counts = lw_alloc_array(tensors, sizeof *optimiser->counts);
    optimiser->offsets = lw_alloc_array(tensors, sizeof *optimiser->offsets);
    optimiser->updates = lw_alloc_array(tensors, sizeof *optimiser->updates);
    if (!optimiser->counts || !optimiser->offsets || !optimiser->updates) {
        lw_optimiser_free(optimiser);
        return lw_fail_memory(3 * tensors * sizeof *optimiser->counts);
    }
    size_t padded = 0;
    for (size_t i = 0; i < tensors; i++) {
        optimiser->counts[i] = counts[i];
        optimiser->offsets[i] = padded;
        optimiser->floats += counts[i];
        padded += lw_round_up(counts[i], LW_PAD);
    }
    optimiser->count = tensors;
    lw_status status = allocate(optimiser, padded);
    if (status) {
        lw_optimiser_free(optimiser);
        return status;
    }
    *result = optimiser;
    return LW_OK;
}

double lw_optimiser_measure(const lw_optimiser *optimiser, const float *const *gradients)
{
    double sum = 0.0;
    for (size_t i = 0; i < optimiser->count; i++)
        if (gradients[i])
            sum += lw_sum_squares(gradients[i], optimiser->counts[i]);
    return sqrt(sum);
}

/* The numbers are made in double and rounded once, as PyTorch does. */
static struct lw_update prepare(const lw_optimiser_options *options, double rate, double norm)
{
    double scale = 1.0;
    if (options->clip_norm > 0.0) {
        scale = options->clip_norm / (norm + 1e-6);
        scale = scale > 1.0 ? 1.0 : scale;
    }
    const bool apart = options->kind == LW_ADAMW;
    const double square = options->kind == LW_RMSPROP ? options->alpha : options->beta2;
    return (struct lw_update){.kind = options->kind,
                              .nesterov = (options->options & LW_NESTEROV) != 0,
                              .scale = (float)scale,
                              .limit = options->clip_value > 0.0 ? (float)options->clip_value : INFINITY,
                              .decay = apart ? 0.0f : (float)options->decay,
                              .keep = apart ? (float)(1.0 - rate * options->decay) : 1.0f,
                              .rate = (float)rate,
                              .momentum = (float)options->momentum,
                              .mean_step = (float)(1.0 - options->beta1),
                              .square = (float)square,
                              .square_step = (float)(1.0 - square),
                              .root = 1.0f,
                              .epsilon = (float)options->epsilon};
}

void lw_optimiser_update(lw_optimiser *optimiser, float *const *parameters, const float *const *gradients, double rate,
                         double norm)
{
    const lw_optimiser_options *options = &optimiser->options;
    struct lw_update update = prepare(options, rate, norm);
    optimiser->steps++;
    for (size_t i = 0; i < optimiser->count; i++) {
        if (!gradients[i])
            continue;
        const uint64_t n = ++optimiser->updates[i];
        if (options->kind == LW_ADAM || options->kind == LW_ADAMW) {
            update.rate = (float)(rate / (1.0 - lw_real_power(options->beta1, n)));
            update.root = (float)sqrt(1.0 - lw_real_power(options->beta2, n));
        }
        float *mean = optimiser->mean ? optimiser->mean + optimiser->offsets[i] : NULL;
        float *square = optimiser->square ? optimiser->square + optimiser->offsets[i] : NULL;
        lw_update_range(&update, optimiser->counts[i], parameters[i], gradients[i], mean, square);
    }
}
