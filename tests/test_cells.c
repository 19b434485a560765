/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models through the public header against the double-precision reference, on every instruction set: every cell,
 * option and direction on a grid, then random models, and the corners: no steps, lengths of zero, steep gates. The
 * output is compared element by element at every step, and so is every memory at the end.
 */
#include "every_isa.h"
#include "scenario.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(const scenario *s, lw_isa isa)
{
    char why[WHY_SIZE];
    cr_assert(harness_check(s, isa, why), "%s: %s: %s", lw_isa_name(isa), scenario_text(s), why);
}

/* Option sets of a cell; `projection` and the clips are switched by the bits above the public ones. */
#define PROJECTED 16u
#define CELL_CLIP 32u
#define GATE_CLIP 64u

static lw_brick brick_of(lw_kind kind, unsigned bits, lw_function function, size_t input, size_t hidden)
{
    lw_brick b = LW_BRICK_INIT(kind);
    b.input = input;
    b.hidden = hidden;
    b.options = bits & 15u;
    b.function = function;
    b.projection = bits & PROJECTED ? (hidden + 2) / 3 : 0;
    b.cell_clip = bits & CELL_CLIP ? 0.2f : 0;
    b.gate_clip = bits & GATE_CLIP ? 0.4f : 0;
    return b;
}

static bool makes_sense(lw_kind kind, unsigned bits)
{
    unsigned lstm = LW_PEEPHOLES | LW_COUPLED | PROJECTED | CELL_CLIP;
    if (kind != LW_LSTM && bits & lstm)
        return false;
    return kind == LW_GRU || !(bits & LW_RESET_BEFORE);
}

ParameterizedTestParameters(cells, grid)
{
    return every_isa(CELL_KINDS);
}

/* Every set of options, direction and number of layers, with and without an initial state. */
ParameterizedTest(struct parameter *p, cells, grid)
{
    lw_kind kind = cell_kind(p->kind);
    size_t checked = 0;
    for (unsigned bits = 0; bits < 128; bits++) {
        if (!makes_sense(kind, bits))
            continue;
        for (int f = kind == LW_RNN ? LW_RELU : 0; f <= (kind == LW_RNN ? LW_TANH : 0); f++)
            for (int direction = LW_FORWARD; direction <= LW_BIDIRECTIONAL; direction++)
                for (size_t layers = 1; layers <= 3; layers++) {
                    scenario s = SCENARIO_INIT;
                    s.bricks[0] = brick_of(kind, bits, (lw_function)f, 3 + bits % 5, 5 + (bits + layers * 7) % 29);
                    s.bricks[0].direction = (lw_direction)direction;
                    s.bricks[0].layers = layers;
                    s.brick_count = 1;
                    s.steps = 6;
                    s.batch = 1 + bits % 3;
                    s.start = checked % 2;
                    s.seed = checked++;
                    check(&s, p->isa);
                }
    }
    cr_assert_gt(checked, kind == LW_LSTM ? 500 : 30);
}

#define RANDOM_PARTS 4
#define RANDOM_CASES 50

ParameterizedTestParameters(cells, random)
{
    return every_isa(CELL_KINDS * RANDOM_PARTS);
}

/* 600 random models and requests for each instruction set, the same ones for all. */
ParameterizedTest(struct parameter *p, cells, random)
{
    for (uint64_t k = 0; k < RANDOM_CASES; k++) {
        scenario s;
        scenario_random(&s, cell_kind(p->kind / RANDOM_PARTS), p->kind * RANDOM_CASES + k);
        check(&s, p->isa);
    }
}

ParameterizedTestParameters(cells, widths)
{
    return every_isa(CELL_KINDS);
}

/* Every hidden and input size from 1 to 67, and some beyond the blocks of the kernels. */
ParameterizedTest(struct parameter *p, cells, widths)
{
    static const size_t large[] = {96, 127, 128, 129, 200, 257};
    for (size_t n = 1; n <= 67 + 6; n++) {
        size_t size = n <= 67 ? n : large[n - 68];
        for (int which = 0; which < 2; which++) {
            scenario s = SCENARIO_INIT;
            s.bricks[0] = brick_of(cell_kind(p->kind), 0, LW_FUNCTION_DEFAULT, which ? size : 4, which ? 6 : size);
            s.brick_count = 1;
            s.steps = 3;
            s.batch = 1 + n % 4;
            s.start = true;
            s.seed = n;
            check(&s, p->isa);
        }
    }
}

ParameterizedTestParameters(cells, layouts)
{
    return every_isa(CELL_KINDS);
}

/* Every pair of layouts, lengths or not, both kinds of output, on a bidirectional stack with a dense head. */
ParameterizedTest(struct parameter *p, cells, layouts)
{
    for (size_t k = 0; k < 9 * 2 * 2 * 3; k++) {
        scenario s = SCENARIO_INIT;
        s.bricks[0] = brick_of(cell_kind(p->kind), 0, LW_FUNCTION_DEFAULT, 5, 9);
        s.bricks[0].direction = (lw_direction)(k / 36);
        s.bricks[0].layers = 2;
        s.bricks[1] = (lw_brick)LW_BRICK_INIT(LW_DENSE);
        s.bricks[1].hidden = 3;
        s.bricks[1].function = LW_SIGMOID;
        s.brick_count = 2;
        s.steps = 7;
        s.batch = 4;
        s.start = true;
        s.input_layout = (layout)(k % 3);
        s.output_layout = (layout)(k / 3 % 3);
        s.ragged = k / 9 % 2;
        s.output_kind = (lw_output)(k / 18 % 2);
        s.seed = k;
        check(&s, p->isa);
    }
}

ParameterizedTestParameters(cells, without_memory)
{
    return every_isa(1);
}

/* Dense and activation bricks alone: every function, no recurrent layer to take the last state from. */
ParameterizedTest(struct parameter *p, cells, without_memory)
{
    for (size_t k = 0; k < 4 * 67 * 2; k++) {
        scenario s = SCENARIO_INIT;
        s.bricks[0] = (lw_brick)LW_BRICK_INIT(LW_DENSE);
        s.bricks[0].input = 1 + k * 7 % 40;
        s.bricks[0].hidden = 1 + k % 67;
        s.bricks[0].function = (lw_function)(LW_LINEAR + (int)(k % 4));
        s.bricks[1] = (lw_brick)LW_BRICK_INIT(LW_ACTIVATION);
        s.bricks[1].function = (lw_function)(LW_RELU + (int)(k % 3));
        s.brick_count = 1 + k / 67 % 2;
        s.steps = 1 + k % 5;
        s.batch = 1 + k % 6;
        s.ragged = k % 3 == 0;
        s.output_kind = (lw_output)(k % 2);
        s.seed = k;
        check(&s, p->isa);
    }
}

ParameterizedTestParameters(cells, no_steps)
{
    return every_isa(CELL_KINDS);
}

/* T = 0, and lengths that are all zero: the state stays what it was to the bit, LAST gives it. */
ParameterizedTest(struct parameter *p, cells, no_steps)
{
    for (size_t steps = 0; steps < 4; steps += 3) {
        scenario s = SCENARIO_INIT;
        s.bricks[0] = brick_of(cell_kind(p->kind), 0, LW_FUNCTION_DEFAULT, 5, 19);
        s.bricks[0].direction = LW_BIDIRECTIONAL;
        s.brick_count = 1;
        s.steps = steps;
        s.batch = 3;
        s.start = true;
        s.output_kind = LW_OUTPUT_LAST;
        check(&s, p->isa);
        harness h;
        char why[WHY_SIZE];
        cr_assert(harness_create(&h, &s, p->isa, why), "%s", why);
        h.lengths = ref_alloc(s.batch, sizeof *h.lengths);
        lw_state *state = harness_state(&h, why);
        size_t bytes = lw_state_bytes(state);
        char *before = malloc(bytes), *after = malloc(bytes);
        cr_assert_eq(lw_state_save(state, before, bytes), LW_OK);
        float output[3 * 38];
        cr_assert(harness_run(&h, state, NULL, 0, output, why), "%s", why);
        cr_assert_eq(lw_state_save(state, after, bytes), LW_OK);
        cr_assert(memcmp(before, after, bytes) == 0);
        for (size_t b = 0; b < 3; b++)
            for (int d = 0; d < 2; d++)
                cr_assert(memcmp(output + b * 38 + d * 19, h.memory[0][d][LW_HIDDEN] + b * 19, 19 * sizeof(float)) ==
                          0);
        free(before);
        free(after);
        lw_state_destroy(state);
        harness_destroy(&h);
    }
}

ParameterizedTestParameters(cells, steep)
{
    return every_isa(CELL_KINDS);
}

/* Weights and inputs so large that gates close and open fully. Errors of an argument grow with it; the activations
 * flatten what is far out, and a single step has no history, so that a multiple of the bound holds. */
ParameterizedTest(struct parameter *p, cells, steep)
{
    for (size_t k = 0; k < 40; k++) {
        scenario s = SCENARIO_INIT;
        s.bricks[0] = brick_of(cell_kind(p->kind), 0, LW_FUNCTION_DEFAULT, 6, 1 + k);
        s.brick_count = 1;
        s.batch = 3;
        s.start = true;
        s.weight_scale = k % 2 ? 30 : 1;
        s.input_scale = k % 4 < 2 ? 30 : 1000;
        s.seed = k;
        harness h;
        char why[WHY_SIZE];
        cr_assert(harness_create(&h, &s, p->isa, why), "%s", why);
        ref_state *want = harness_ref_state(&h);
        lw_state *state = harness_state(&h, why);
        ref_trace *trace = harness_reference(&h, want);
        float output[3 * 64];
        cr_assert(harness_run(&h, state, NULL, 0, output, why), "%s", why);
        double terms = (double)(6 + s.bricks[0].hidden);
        double tolerance = harness_tolerance(&h) + terms * 0x1p-24 * (double)(s.weight_scale * s.input_scale) / 2;
        cr_assert(compare("output", output, trace->output, harness_output_count(&h), tolerance, why), "%s: %s",
                  scenario_text(&s), why);
        ref_trace_destroy(trace);
        ref_state_destroy(want);
        lw_state_destroy(state);
        harness_destroy(&h);
    }
}
