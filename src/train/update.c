/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Updates of parameters, one loop for each optimiser: clipping, decay, moments and the step in one pass over
 * memory. Called by optimiser.c. The loops have no sum across elements, so the compiler may make any vectors of
 * them; operations are written out and never fused, so the bits stay the same.
 */
#include "update.h"

#include <math.h>

#include "lanes.h"

#define CHUNK 4096 /* values whose sum of squares is one number; a multiple of LW_LANES */

/* The clipped gradient with its decay. A NaN stays a NaN: both comparisons are false. */
static inline float pull(const struct lw_update *u, float gradient, float parameter)
{
    float g = gradient * u->scale;
    g = g > u->limit ? u->limit : g;
    g = g < -u->limit ? -u->limit : g;
    return g + u->decay * parameter;
}

static void sgd(struct lw_update u, size_t count, float *restrict p, const float *restrict gradient)
{
    for (size_t k = 0; k < count; k++)
        p[k] -= u.rate * pull(&u, gradient[k], p[k]);
}

static void sgd_momentum(struct lw_update u, size_t count, float *restrict p, const float *restrict gradient,
                         float *restrict mean)
{
    for (size_t k = 0; k < count; k++) {
        float g = pull(&u, gradient[k], p[k]), m = u.momentum * mean[k] + g;
        mean[k] = m;
        p[k] -= u.rate * m;
    }
}

static void sgd_nesterov(struct lw_update u, size_t count, float *restrict p, const float *restrict gradient,
                         float *restrict mean)
{
    for (size_t k = 0; k < count; k++) {
        float g = pull(&u, gradient[k], p[k]), m = u.momentum * mean[k] + g;
        mean[k] = m;
        p[k] -= u.rate * (g + u.momentum * m);
    }
}

static void rmsprop(struct lw_update u, size_t count, float *restrict p, const float *restrict gradient,
                    float *restrict square)
{
    for (size_t k = 0; k < count; k++) {
        float g = pull(&u, gradient[k], p[k]), v = u.square * square[k] + u.square_step * g * g;
        square[k] = v;
        p[k] -= u.rate * (g / (sqrtf(v) + u.epsilon));
    }
}

static void rmsprop_momentum(struct lw_update u, size_t count, float *restrict p, const float *restrict gradient,
                             float *restrict mean, float *restrict square)
{
    for (size_t k = 0; k < count; k++) {
        float g = pull(&u, gradient[k], p[k]), v = u.square * square[k] + u.square_step * g * g;
        float m = u.momentum * mean[k] + g / (sqrtf(v) + u.epsilon);
        square[k] = v;
        mean[k] = m;
        p[k] -= u.rate * m;
    }
}

static void adam(struct lw_update u, size_t count, float *restrict p, const float *restrict gradient,
                 float *restrict mean, float *restrict square)
{
    for (size_t k = 0; k < count; k++) {
        float g = pull(&u, gradient[k], p[k]);
        float m = mean[k] + u.mean_step * (g - mean[k]), v = u.square * square[k] + u.square_step * g * g;
        mean[k] = m;
        square[k] = v;
        p[k] = p[k] * u.keep - u.rate * (m / (sqrtf(v) / u.root + u.epsilon));
    }
}

void lw_update_range(const struct lw_update *update, size_t count, float *parameters, const float *gradients,
                     float *mean, float *square)
{
    if (update->kind == LW_ADAM || update->kind == LW_ADAMW)
        adam(*update, count, parameters, gradients, mean, square);
    else if (update->kind == LW_RMSPROP && mean)
        rmsprop_momentum(*update, count, parameters, gradients, mean, square);
    else if (update->kind == LW_RMSPROP)
        rmsprop(*update, count, parameters, gradients, square);
    else if (mean && update->nesterov)
        sgd_nesterov(*update, count, parameters, gradients, mean);
    else if (mean)
        sgd_momentum(*update, count, parameters, gradients, mean);
    else
        sgd(*update, count, parameters, gradients);
}

double lw_sum_squares(const float *values, size_t count)
{
    double total = 0.0;
    for (size_t start = 0; start < count; start += CHUNK) {
        const size_t end = count - start < CHUNK ? count : start + CHUNK;
        double sums[LW_LANES] = {0};
        size_t k = start;
        for (; k + LW_LANES <= end; k += LW_LANES)
            for (size_t lane = 0; lane < LW_LANES; lane++)
                sums[lane] += (double)values[k + lane] * (double)values[k + lane];
        for (size_t lane = 0; k + lane < end; lane++)
            sums[lane] += (double)values[k + lane] * (double)values[k + lane];
        total += lw_lanes_fold(sums);
    }
    return total;
}
