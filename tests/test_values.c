/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers that are no numbers, and extreme ones: a NaN in one row's input at one step poisons that row from there on in
 * the layer's direction, and nothing else, to the bit; infinities and huge weights stay in their row; denormals
 * count as what they are.
 */
#include "every_isa.h"
#include "scenario.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 7
#define ROWS 5

static char why[WHY_SIZE];

static scenario small_model(size_t kind, lw_direction direction, unsigned variant)
{
    scenario s = SCENARIO_INIT;
    lw_brick *b = &s.bricks[0];
    *b = (lw_brick)LW_BRICK_INIT(cell_kind(kind));
    b->input = 6;
    b->hidden = 19;
    b->direction = direction;
    /* Clips and ReLU are where a comparison could turn a NaN into a number. */
    b->gate_clip = variant & 1 ? 0.5f : 0;
    b->cell_clip = kind == 0 && variant & 1 ? 0.5f : 0;
    b->options = kind == 0 && variant & 2 ? LW_PEEPHOLES | LW_COUPLED : kind == 1 && variant & 2 ? LW_RESET_BEFORE : 0;
    b->function = kind == 2 && variant & 2 ? LW_RELU : LW_FUNCTION_DEFAULT;
    s.brick_count = 1;
    s.steps = STEPS;
    s.batch = ROWS;
    s.start = true;
    s.seed = variant;
    return s;
}

static float *outputs(const harness *h)
{
    lw_state *state = harness_state(h, why);
    float *output = ref_alloc(harness_output_count(h), sizeof *output);
    cr_assert(harness_run(h, state, NULL, 0, output, why), "%s: %s", scenario_text(&h->s), why);
    lw_state_destroy(state);
    return output;
}

/* Row `row` is NaN in the columns of a direction where `poisoned` says so; all else has the bits of `clean`. */
static void expect_map(const harness *h, const float *clean, const float *got, size_t row, size_t at)
{
    size_t H = 19, O = h->output_size;
    for (size_t t = 0; t < STEPS; t++)
        for (size_t b = 0; b < ROWS; b++)
            for (size_t o = 0; o < O; o++) {
                lw_direction d = h->s.bricks[0].direction;
                bool reverse = d == LW_REVERSE || (d == LW_BIDIRECTIONAL && o >= H);
                bool poisoned = b == row && (reverse ? t <= at : t >= at);
                size_t k = (t * ROWS + b) * O + o;
                if (poisoned)
                    cr_assert(isnan(got[k]),
                              "step %zu row %zu unit %zu is %g: the NaN of step %zu row %zu was lost: %s", t, b, o,
                              (double)got[k], at, row, scenario_text(&h->s));
                else
                    cr_assert(memcmp(clean + k, got + k, sizeof *got) == 0,
                              "step %zu row %zu unit %zu was touched by step %zu row %zu: %s", t, b, o, at, row,
                              scenario_text(&h->s));
            }
}

ParameterizedTestParameters(values, nan_map)
{
    return every_isa(CELL_KINDS);
}

ParameterizedTest(struct parameter *p, values, nan_map)
{
    static const uint32_t nans[] = {0x7fc00000u, 0xffc00001u, 0x7f800001u};
    for (unsigned variant = 0; variant < 4; variant++)
        for (int d = LW_FORWARD; d <= LW_BIDIRECTIONAL; d++) {
            scenario s = small_model(p->kind, (lw_direction)d, variant);
            harness h;
            cr_assert(harness_create(&h, &s, p->isa, why), "%s", why);
            float *clean = outputs(&h);
            for (size_t k = 0; k < STEPS * ROWS; k++) {
                float *cell = h.input + k * 6 + k % 6, kept = *cell;
                memcpy(cell, &nans[k % 3], sizeof *cell);
                float *got = outputs(&h);
                expect_map(&h, clean, got, k % ROWS, k / ROWS);
                *cell = kept;
                free(got);
            }
            free(clean);
            harness_destroy(&h);
        }
}

ParameterizedTestParameters(values, nan_in_state)
{
    return every_isa(CELL_KINDS);
}

/* A NaN in a row's initial hidden state poisons that row from the first step of its walk. */
ParameterizedTest(struct parameter *p, values, nan_in_state)
{
    for (int d = LW_FORWARD; d <= LW_REVERSE; d++) {
        scenario s = small_model(p->kind, (lw_direction)d, 0);
        harness h;
        cr_assert(harness_create(&h, &s, p->isa, why), "%s", why);
        float *clean = outputs(&h);
        for (size_t row = 0; row < ROWS; row++) {
            float *cell = h.memory[0][d][LW_HIDDEN] + row * 19 + 7, kept = *cell;
            *cell = NAN;
            float *got = outputs(&h);
            expect_map(&h, clean, got, row, d == LW_FORWARD ? 0 : STEPS - 1);
            *cell = kept;
            free(got);
        }
        free(clean);
        harness_destroy(&h);
    }
}

ParameterizedTestParameters(values, nan_beyond_length)
{
    return every_isa(CELL_KINDS);
}

/* Input beyond a row's length is never read: NaNs there change no bit. */
ParameterizedTest(struct parameter *p, values, nan_beyond_length)
{
    for (int d = LW_FORWARD; d <= LW_BIDIRECTIONAL; d++) {
        scenario s = small_model(p->kind, (lw_direction)d, 0);
        s.ragged = true;
        harness h;
        cr_assert(harness_create(&h, &s, p->isa, why), "%s", why);
        float *clean = outputs(&h);
        for (size_t t = 0; t < STEPS; t++)
            for (size_t b = 0; b < ROWS; b++)
                for (size_t i = 0; i < 6 && t >= h.lengths[b]; i++)
                    h.input[(t * ROWS + b) * 6 + i] = NAN;
        float *got = outputs(&h);
        cr_assert(memcmp(clean, got, harness_output_count(&h) * sizeof *got) == 0, "%s", scenario_text(&s));
        free(clean);
        free(got);
        harness_destroy(&h);
    }
}

ParameterizedTestParameters(values, extremes)
{
    return every_isa(CELL_KINDS);
}

/* Infinities and the largest floats in one row: the others keep their bits, and saturating gates give no NaN where the
 * arguments have a sign. */
ParameterizedTest(struct parameter *p, values, extremes)
{
    static const float extreme[] = {INFINITY, -INFINITY, 3.4e38f, -3.4e38f, 1e30f};
    for (size_t e = 0; e < sizeof extreme / sizeof *extreme; e++) {
        scenario s = small_model(p->kind, LW_FORWARD, 0);
        harness h;
        cr_assert(harness_create(&h, &s, p->isa, why), "%s", why);
        float *clean = outputs(&h);
        h.input[(2 * ROWS + 3) * 6 + 1] = extreme[e];
        float *got = outputs(&h);
        for (size_t t = 0; t < STEPS; t++)
            for (size_t b = 0; b < ROWS; b++)
                for (size_t o = 0; o < 19; o++) {
                    size_t k = (t * ROWS + b) * 19 + o;
                    if (b == 3 && t >= 2)
                        cr_assert(fabsf(got[k]) <= 1.0f, "step %zu unit %zu is %g for an input of %g", t, o,
                                  (double)got[k], (double)extreme[e]);
                    else
                        cr_assert(memcmp(clean + k, got + k, sizeof *got) == 0, "step %zu row %zu was touched", t, b);
                }
        free(clean);
        free(got);
        harness_destroy(&h);
    }
}

ParameterizedTestParameters(values, denormals)
{
    return every_isa(CELL_KINDS);
}

/* Weights and inputs so small that all arguments are denormal, without biases: what comes out is denormal too, agrees
 * with the reference to a few denormal steps, and is not flushed. */
ParameterizedTest(struct parameter *p, values, denormals)
{
    scenario s = small_model(p->kind, LW_FORWARD, 0);
    s.bricks[0].options = LW_NO_BIAS;
    s.start = false;
    s.input_scale = 0x1p-130f;
    harness h;
    cr_assert(harness_create(&h, &s, p->isa, why), "%s", why);
    ref_state *state = harness_ref_state(&h);
    ref_trace *trace = harness_reference(&h, state);
    float *got = outputs(&h);
    size_t count = harness_output_count(&h), alive = 0;
    for (size_t k = 0; k < count; k++) {
        cr_assert(fabs((double)got[k] - trace->output[k]) <= 64 * 0x1p-149, "%g, expected %g", (double)got[k],
                  trace->output[k]);
        alive += got[k] != 0;
    }
    cr_assert_gt(alive, count * 9 / 10);
    free(got);
    ref_trace_destroy(trace);
    ref_state_destroy(state);
    harness_destroy(&h);
}
