/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drawing scenarios, laying out memory, and the comparison with the reference. Called by the tests through
 * scenario.h; harness.c has the part that talks to the library.
 *
 * The tolerance. A gate's argument is a sum of I + R products of weights below s / sqrt(H) with inputs of order
 * 1, so its rounding error is a small multiple of eps, and each activation adds at most 2 ulp of a number of
 * order 1. With weights of that size a step contracts or keeps the error of the step before: the errors of T
 * steps add up like a random walk that forgets, for which oneDNN's bound 4 * ceil(log2(9 T)) * eps is used;
 * each layer of the stack adds its own. The bound is relative to the largest magnitude of the compared array,
 * because sums that cancel keep the absolute error of their terms.
 */
#include "scenario.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t random_width(rng *r)
{
    /* Around the vectors' and tiles' edges more often than elsewhere. */
    static const size_t edges[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 47, 48, 49, 63, 64, 65};
    if (rng_one_in(r, 3))
        return rng_range(r, 1, 67);
    return edges[rng_range(r, 0, sizeof edges / sizeof *edges - 1)];
}

static void random_recurrent(rng *r, lw_brick *brick, lw_kind kind)
{
    *brick = (lw_brick)LW_BRICK_INIT(kind);
    brick->hidden = random_width(r);
    brick->layers = rng_one_in(r, 3) ? rng_range(r, 2, 3) : 1;
    brick->direction = (lw_direction)(rng_one_in(r, 2) ? LW_FORWARD : rng_range(r, 1, 2));
    if (rng_one_in(r, 4))
        brick->options |= LW_NO_BIAS;
    if (rng_one_in(r, 4))
        brick->gate_clip = 0.5f;
    if (kind == LW_LSTM) {
        if (rng_one_in(r, 3))
            brick->options |= LW_PEEPHOLES;
        if (rng_one_in(r, 3))
            brick->options |= LW_COUPLED;
        if (rng_one_in(r, 3) && brick->hidden > 1)
            brick->projection = rng_range(r, 1, brick->hidden - 1);
        if (rng_one_in(r, 4))
            brick->cell_clip = 0.25f;
    } else if (kind == LW_GRU && rng_one_in(r, 2)) {
        brick->options |= LW_RESET_BEFORE;
    } else if (kind == LW_RNN && rng_one_in(r, 2)) {
        brick->function = LW_RELU;
    }
}

static void random_plain(rng *r, lw_brick *brick)
{
    if (rng_one_in(r, 3)) {
        *brick = (lw_brick)LW_BRICK_INIT(LW_ACTIVATION);
        brick->function = (lw_function)rng_range(r, LW_RELU, LW_SIGMOID);
        return;
    }
    *brick = (lw_brick)LW_BRICK_INIT(LW_DENSE);
    brick->hidden = random_width(r);
    brick->function = (lw_function)rng_range(r, LW_FUNCTION_DEFAULT, LW_SIGMOID);
    if (rng_one_in(r, 3))
        brick->options |= LW_NO_BIAS;
}

/* Long sequences and large batches, beyond any block or segment of the library's schedule. Narrow, because the
 * reference takes its time. */
static void stretch(scenario *s, rng *r)
{
    if (rng_one_in(r, 2)) {
        s->steps = rng_range(r, 150, 1200);
        s->batch = rng_range(r, 1, 4);
    } else {
        s->steps = rng_range(r, 1, 9);
        s->batch = rng_range(r, 100, 300);
    }
    s->bricks[0].input = s->bricks[0].input % 16 + 1;
    for (size_t k = 0; k < s->brick_count; k++) {
        lw_brick *b = &s->bricks[k];
        b->hidden = b->hidden % 16 + 1;
        b->projection = b->projection && b->hidden > 1 ? 1 + b->projection % (b->hidden - 1) : 0;
    }
}

void scenario_random(scenario *s, lw_kind kind, uint64_t seed)
{
    rng r = {.seed = seed};
    *s = (scenario)SCENARIO_INIT;
    s->seed = rng_next(&r);
    if (rng_one_in(&r, 6))
        random_plain(&r, &s->bricks[s->brick_count++]);
    random_recurrent(&r, &s->bricks[s->brick_count++], kind);
    if (rng_one_in(&r, 4))
        random_plain(&r, &s->bricks[s->brick_count++]);
    if (rng_one_in(&r, 4))
        random_recurrent(&r, &s->bricks[s->brick_count++], (lw_kind)rng_range(&r, LW_LSTM, LW_RNN));
    if (rng_one_in(&r, 2))
        random_plain(&r, &s->bricks[s->brick_count++]);
    s->bricks[0].input = random_width(&r);
    s->steps = rng_one_in(&r, 16) ? 0 : rng_range(&r, 1, 20);
    s->batch = rng_one_in(&r, 8) ? rng_range(&r, 10, 19) : rng_range(&r, 1, 9);
    s->ragged = rng_one_in(&r, 3);
    s->start = rng_one_in(&r, 2);
    s->input_layout = (layout)rng_range(&r, 0, LAYOUT_COUNT - 1);
    s->output_layout = (layout)rng_range(&r, 0, LAYOUT_COUNT - 1);
    s->output_kind = rng_one_in(&r, 3) ? LW_OUTPUT_LAST : LW_OUTPUT_SEQUENCE;
    s->threads = rng_range(&r, 1, 3);
    if (rng_one_in(&r, 8))
        stretch(s, &r);
}

const char *scenario_text(const scenario *s)
{
    static const char *const kinds[] = {"?", "lstm", "gru", "rnn", "dense", "activation"};
    static char text[1024];
    size_t used = (size_t)snprintf(text, sizeof text,
                                   "T%zu B%zu%s%s layouts %d,%d output %d threads %zu seed %llu:", s->steps, s->batch,
                                   s->ragged ? " ragged" : "", s->start ? " start" : "", s->input_layout,
                                   s->output_layout, s->output_kind, s->threads, (unsigned long long)s->seed);
    for (size_t k = 0; k < s->brick_count && used < sizeof text; k++) {
        const lw_brick *b = &s->bricks[k];
        used += (size_t)snprintf(text + used, sizeof text - used, " [%s I%zu H%zu L%zu d%d f%d o%u P%zu cc%g gc%g]",
                                 kinds[b->kind], b->input, b->hidden, b->layers, b->direction, b->function, b->options,
                                 b->projection, (double)b->cell_clip, (double)b->gate_clip);
    }
    return text;
}

size_t layout_floats(layout l, size_t steps, size_t batch, size_t width, size_t *step, size_t *row)
{
    switch (l) {
    case LAYOUT_BATCH_FIRST:
        *step = width;
        *row = steps * width;
        return batch * steps * width;
    case LAYOUT_PADDED:
        *row = width + 3;
        *step = batch * (width + 3) + 5;
        return steps * *step;
    default:
        *step = *row = 0;
        return steps * batch * width;
    }
}

size_t layout_at(layout l, size_t steps, size_t batch, size_t width, size_t t, size_t b)
{
    size_t step, row;
    layout_floats(l, steps, batch, width, &step, &row);
    if (l == LAYOUT_DENSE)
        return (t * batch + b) * width;
    return t * step + b * row;
}

double harness_tolerance(const harness *h)
{
    double steps = h->s.steps ? (double)h->s.steps : 1;
    return 4 * ceil(log2(9 * steps)) * FLT_EPSILON * (double)h->ref->layer_count;
}

static double worst;

double compare_worst(void)
{
    return worst;
}

bool compare(const char *what, const float *got, const double *want, size_t count, double tolerance, char why[WHY_SIZE])
{
    double scale = 1;
    for (size_t k = 0; k < count; k++)
        scale = fmax(scale, fabs(want[k]));
    for (size_t k = 0; k < count; k++) {
        double error = fabs((double)got[k] - want[k]) / scale;
        if (!(error <= tolerance)) {
            snprintf(why, WHY_SIZE, "%s[%zu] of %zu is %.9g, expected %.17g: %.3g off, %.3g allowed", what, k, count,
                     (double)got[k], want[k], error, tolerance);
            return false;
        }
        worst = fmax(worst, error / tolerance);
    }
    return true;
}
