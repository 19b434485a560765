/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Losses and their gradients, one row of outputs at a time. Called by api_train.c. A row is worked on in double, in
 * blocks that stay in the first-level cache; the sums of rows are added in order of step and row, so that the result
 * depends on nothing but the numbers.
 */
#include <math.h>

#include "lanes.h"
#include "real.h"
#include "train.h"

#define BLOCK 64 /* elements; a multiple of LW_LANES, so that lanes go on across blocks */

/* One row: its output, target or class, gradient (or NULL) and what a mean is divided by. */
struct row {
    size_t width;
    const float *y, *target;
    int32_t class;
    float *dy;
    double divisor;
    size_t correct;
};

static double squared_error(struct row *row)
{
    double sums[LW_LANES] = {0}, squares[BLOCK];
    for (size_t start = 0; start < row->width; start += BLOCK) {
        const size_t count = lw_min(BLOCK, row->width - start);
        const float *y = row->y + start, *target = row->target + start;
        for (size_t k = 0; k < count; k++) {
            double d = (double)y[k] - (double)target[k];
            squares[k] = d * d;
        }
        lw_lanes_add(sums, squares, count);
        for (size_t k = 0; row->dy && k < count; k++)
            row->dy[start + k] = (float)(2.0 * ((double)y[k] - (double)target[k]) / row->divisor);
    }
    return lw_lanes_fold(sums);
}

static void exponentials(double *values, size_t count)
{
    for (size_t k = 0; k < count; k++)
        values[k] = lw_real_not_below(values[k]);
    for (size_t k = 0; k < count; k++)
        values[k] = lw_real_exp(values[k]);
}

/* The loss is ((y > 0) - t) y + log(1 + e^-|y|). Its gradient s(y) - t is written as yes against no, so that nothing
 * cancels where the output is nearly right. */
static double binary_cross_entropy(struct row *row)
{
    const double divisor = row->divisor;
    double sums[LW_LANES] = {0}, losses[BLOCK], gradients[BLOCK], terms[BLOCK];
    for (size_t start = 0; start < row->width; start += BLOCK) {
        const size_t count = lw_min(BLOCK, row->width - start);
        const float *logits = row->y + start, *target = row->target + start;
        for (size_t k = 0; k < count; k++)
            terms[k] = -fabs((double)logits[k]);
        exponentials(terms, count);
        for (size_t k = 0; k < count; k++) {
            const double y = (double)logits[k], t = (double)target[k], e = terms[k];
            const double above = y > 0.0 ? 1.0 : 0.0, below = 1.0 - above;
            const double yes = above + below * e, no = below + above * e; /* s(y) = yes / (yes + no) */
            losses[k] = (above - t) * y + lw_real_log1p(e);
            gradients[k] = (yes * (1.0 - t) - no * t) / ((1.0 + e) * divisor);
        }
        lw_lanes_add(sums, losses, count);
        for (size_t k = 0; row->dy && k < count; k++)
            row->dy[start + k] = (float)gradients[k];
        for (size_t k = 0; k < count; k++)
            row->correct += logits[k] == logits[k] && (logits[k] > 0.0f) == (target[k] > 0.5f);
    }
    return lw_lanes_fold(sums);
}

static inline float larger(float a, float b)
{
    return a > b ? a : b;
}

/* In lanes, for the compiler alone: the largest number is the same in any order. NaNs are passed over. */
static float largest(const float *y, size_t width)
{
    float lanes[LW_LANES];
    for (size_t lane = 0; lane < LW_LANES; lane++)
        lanes[lane] = -INFINITY;
    size_t k = 0;
    for (; k + LW_LANES <= width; k += LW_LANES)
        for (size_t lane = 0; lane < LW_LANES; lane++)
            lanes[lane] = larger(y[k + lane], lanes[lane]);
    for (; k < width; k++)
        lanes[0] = larger(y[k], lanes[0]);
    for (size_t lane = 1; lane < LW_LANES; lane++)
        lanes[0] = larger(lanes[lane], lanes[0]);
    return lanes[0];
}

/* True if `class` is the first of the largest logits and no logit is a NaN. */
static bool is_largest(const float *y, size_t width, size_t class)
{
    size_t before = 0, after = 0;
    for (size_t k = 0; k < class; k++)
        before += !(y[k] < y[class]);
    for (size_t k = class; k < width; k++)
        after += !(y[k] <= y[class]);
    return before + after == 0;
}

static double cross_entropy(struct row *row)
{
    const double top = (double)largest(row->y, row->width);
    double sums[LW_LANES] = {0}, terms[BLOCK];
    for (size_t start = 0; start < row->width; start += BLOCK) {
        const size_t count = lw_min(BLOCK, row->width - start);
        const float *y = row->y + start;
        for (size_t k = 0; k < count; k++)
            terms[k] = (double)y[k] - top;
        exponentials(terms, count);
        lw_lanes_add(sums, terms, count);
        for (size_t k = 0; row->dy && k < count; k++)
            row->dy[start + k] = (float)terms[k];
    }
    const double sum = lw_lanes_fold(sums);
    const size_t class = (size_t)row->class;
    const double below = (double)row->y[class] - top;
    if (row->dy) {
        const double scale = 1.0 / (sum * row->divisor);
        for (size_t k = 0; k < row->width; k++)
            row->dy[k] = (float)((double)row->dy[k] * scale);
        row->dy[class] = (float)((lw_real_exp(lw_real_not_below(below)) - sum) * scale);
    }
    row->correct += is_largest(row->y, row->width, class);
    return lw_real_log(sum) - below;
}

static size_t count_rows(const lw_loss *loss)
{
    size_t count = 0;
    for (size_t step = 0; step < loss->steps; step++)
        for (size_t b = 0; b < loss->batch; b++)
            count += lw_loss_counts(loss, step, b);
    return count;
}

void lw_loss_run(const lw_loss *loss, lw_score *score)
{
    double (*const run)(struct row *) = loss->kind == LW_SQUARED_ERROR   ? squared_error
                                        : loss->kind == LW_CROSS_ENTROPY ? cross_entropy
                                                                         : binary_cross_entropy;
    const size_t counted = count_rows(loss) * (loss->kind == LW_CROSS_ENTROPY ? 1 : loss->width);
    struct row row = {.width = loss->width, .divisor = loss->divisor > 0.0 ? loss->divisor : (double)counted};
    double sum = 0.0;
    for (size_t step = 0; step < loss->steps; step++)
        for (size_t b = 0; b < loss->batch; b++) {
            row.y = loss->output + step * loss->output_step_stride + b * loss->output_row_stride;
            row.dy = NULL;
            if (loss->gradient)
                row.dy = loss->gradient + step * loss->gradient_step_stride + b * loss->gradient_row_stride;
            if (!lw_loss_counts(loss, step, b)) {
                if (row.dy)
                    memset(row.dy, 0, loss->width * sizeof *row.dy);
                continue;
            }
            const size_t place = step * loss->target_step_stride + b * loss->target_row_stride;
            if (loss->kind == LW_CROSS_ENTROPY)
                row.class = loss->classes[place];
            else
                row.target = loss->target + place;
            sum += run(&row);
        }
    *score = (lw_score){
        .size = sizeof *score, .loss = counted ? sum / row.divisor : 0.0, .counted = counted, .correct = row.correct};
}
