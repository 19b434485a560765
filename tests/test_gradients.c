/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Training against the reference: random models with random requests, every gradient by its relative L2 distance; the
 * forward run's bits beside those of lw_run; and crafted cases that random ones do not reach: exactly at a clip's
 * limit, long sequences, empty requests.
 */
#include "every_isa.h"
#include "gradient_case.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CASES 100 /* for each instruction set and kind of cell */
#define TOLERANCE 2e-5

static char why[WHY_SIZE];

/* Runs the scenario on both sides. Returns how many numbers were clipped. */
static size_t check(const scenario *s, lw_isa isa)
{
    gradient_case g;
    gradient_result r;
    cr_assert(gradient_case_create(&g, s, isa, why), "%s: %s", scenario_text(s), why);
    cr_assert(gradient_result_create(&r, &g, why), "%s", why);
    float *output = ref_alloc(g.output_count, sizeof *output), *plain = ref_alloc(g.output_count, sizeof *plain);
    lw_state *state = harness_state(&g.h, why), *other = harness_state(&g.h, why);
    cr_assert(state && other, "%s", why);
    bool good = gradient_forward(&g, (const float *const *)g.parameters, state, output, why) &&
                gradient_backward(&g, LW_OVERWRITE, &r, why) && harness_run(&g.h, other, NULL, 0, plain, why);
    cr_assert(good, "%s: %s", scenario_text(s), why);
    for (size_t k = 0; k < g.output_count; k++)
        cr_assert(memcmp(output + k, plain + k, sizeof *output) == 0, "output %zu of %zu is %a, lw_run says %a: %s", k,
                  g.output_count, (double)output[k], (double)plain[k], scenario_text(s));
    size_t bytes = lw_state_bytes(state);
    char *one = ref_alloc(bytes, 1), *two = ref_alloc(bytes, 1);
    cr_assert(!lw_state_save(state, one, bytes) && !lw_state_save(other, two, bytes));
    cr_assert(memcmp(one, two, bytes) == 0, "the final state is not that of lw_run: %s", scenario_text(s));
    ref_gradients *want = gradient_reference(&g);
    cr_expect(gradient_compare(&g, &r, want, TOLERANCE, why), "%s: %s", why, scenario_text(s));
    size_t clipped = want->clipped;
    ref_gradients_destroy(want);
    free(one);
    free(two);
    lw_state_destroy(state);
    lw_state_destroy(other);
    free(output);
    free(plain);
    gradient_result_destroy(&r);
    gradient_case_destroy(&g);
    return clipped;
}

ParameterizedTestParameters(gradients, random)
{
    return every_isa(CELL_KINDS);
}

ParameterizedTest(struct parameter *p, gradients, random)
{
    size_t clipped = 0;
    for (uint64_t seed = 0; seed < CASES; seed++) {
        scenario s;
        scenario_random(&s, cell_kind(p->kind), 1000 + seed);
        gradient_settle(&s);
        clipped += check(&s, p->isa);
    }
    cr_assert_gt(clipped, 0, "no argument was clipped: the clips are not tested");
    cr_log_info("%s, kind %zu: worst relative distance %.3g", lw_isa_name(p->isa), p->kind, gradient_worst());
}

ParameterizedTestParameters(gradients, options)
{
    return every_isa(CELL_KINDS);
}

/* Every combination of a cell's options, in each direction, at sizes on both sides of a vector's. */
ParameterizedTest(struct parameter *p, gradients, options)
{
    lw_kind kind = cell_kind(p->kind);
    unsigned bits = kind == LW_LSTM ? 64 : 8, clips = 0;
    for (unsigned k = 0; k < bits * 3; k++) {
        unsigned o = k / 3;
        scenario s = SCENARIO_INIT;
        lw_brick *b = &s.bricks[0];
        *b = (lw_brick)LW_BRICK_INIT(kind);
        s.brick_count = 1;
        b->direction = (lw_direction)(k % 3);
        b->input = 3 + k % 7;
        b->hidden = 5 + k * 5 % 31;
        b->layers = 1 + k / 3 % 2;
        b->options = o & 1 ? LW_NO_BIAS : 0;
        b->gate_clip = o & 4 ? 0.5f : 0;
        if (kind == LW_LSTM) {
            b->options |= (o & 2 ? LW_PEEPHOLES : 0) | (o & 8 ? LW_COUPLED : 0);
            b->projection = o & 16 ? 1 + b->hidden / 2 : 0;
            b->cell_clip = o & 32 ? 0.25f : 0;
        } else if (kind == LW_GRU) {
            b->options |= o & 2 ? LW_RESET_BEFORE : 0;
        } else {
            b->function = o & 2 ? LW_RELU : LW_TANH;
        }
        s.steps = 1 + k % 6;
        s.batch = 1 + k % 5;
        s.ragged = k % 4 == 0;
        s.start = true;
        s.threads = 1 + k % 2;
        s.output_kind = (lw_output)(k / 2 % 2);
        s.seed = k;
        gradient_settle(&s);
        clips += b->gate_clip > 0 || b->cell_clip > 0;
        check(&s, p->isa);
    }
    cr_assert_geq(clips, bits, "only %u cases kept their clips", clips);
}

ParameterizedTestParameters(gradients, long_sequences)
{
    return every_isa(CELL_KINDS);
}

/* Sequences and batches beyond any block of the schedule, and layers wide enough for several panels and threads. */
ParameterizedTest(struct parameter *p, gradients, long_sequences)
{
    static const struct {
        size_t steps, batch, input, hidden, layers;
        lw_direction direction;
    } shapes[] = {{1000, 1, 2, 9, 1, LW_FORWARD}, {300, 3, 3, 12, 2, LW_FORWARD},  {200, 2, 5, 7, 2, LW_BIDIRECTIONAL},
                  {2, 260, 4, 6, 1, LW_REVERSE},  {3, 33, 70, 130, 1, LW_FORWARD}, {4, 5, 140, 66, 2, LW_BIDIRECTIONAL},
                  {6, 17, 1, 257, 1, LW_FORWARD}, {40, 20, 2, 64, 1, LW_FORWARD}};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        scenario s = SCENARIO_INIT;
        s.bricks[0] = (lw_brick)LW_BRICK_INIT(cell_kind(p->kind));
        s.bricks[0].input = shapes[k].input;
        s.bricks[0].hidden = shapes[k].hidden;
        s.bricks[0].layers = shapes[k].layers;
        s.bricks[0].direction = shapes[k].direction;
        s.bricks[0].options = p->kind == 1 && k % 2 ? LW_RESET_BEFORE : 0;
        s.brick_count = 1;
        s.steps = shapes[k].steps;
        s.batch = shapes[k].batch;
        s.ragged = k % 3 == 1;
        s.start = true;
        s.threads = 2;
        s.seed = k;
        check(&s, p->isa);
    }
}

ParameterizedTestParameters(gradients, exactly_at_the_limits)
{
    return every_isa(1);
}

/* A gate's argument exactly at the clip's limit passes no gradient, like those beyond it; nor does a ReLU at 0. All
 * numbers are exact in f32. */
ParameterizedTest(struct parameter *p, gradients, exactly_at_the_limits)
{
    static const float x[] = {0.25f, 0.5f, 0.75f, 0, -0.5f, -0.75f};
    for (int kind = LW_LSTM; kind <= LW_RNN; kind++)
        for (int relu = 0; relu < (kind == LW_RNN ? 2 : 1); relu++)
            for (size_t k = 0; k < sizeof x / sizeof *x; k++) {
                scenario s = SCENARIO_INIT;
                s.bricks[0] = (lw_brick)LW_BRICK_INIT(kind);
                s.bricks[0].input = s.bricks[0].hidden = 1;
                s.bricks[0].options = LW_NO_BIAS;
                s.bricks[0].gate_clip = 0.5f;
                s.bricks[0].function = relu ? LW_RELU : LW_FUNCTION_DEFAULT;
                s.brick_count = 1;
                gradient_case g;
                gradient_result r;
                cr_assert(gradient_case_create(&g, &s, p->isa, why), "%s", why);
                cr_assert(gradient_result_create(&r, &g, why), "%s", why);
                for (size_t n = 0; n < g.count; n++)
                    for (size_t e = 0; e < g.sizes[n]; e++) {
                        g.parameters[n][e] = 1;
                        g.h.ref->parameters[g.places[n]].values[e] = 1;
                    }
                g.h.input[0] = x[k];
                cr_assert(gradient_run(&g, &r, NULL, why), "%s", why);
                ref_gradients *want = gradient_reference(&g);
                cr_expect(gradient_compare(&g, &r, want, TOLERANCE, why), "argument %g, kind %d%s: %s", (double)x[k],
                          kind, relu ? " ReLU" : "", why);
                ref_gradients_destroy(want);
                gradient_result_destroy(&r);
                gradient_case_destroy(&g);
            }
}

/* A cell exactly at its limit passes its gradient on: c = 1/2 * 0 + c0 / 2 without input, with W = R = 0. */
ParameterizedTestParameters(gradients, cell_exactly_at_its_limit)
{
    return every_isa(1);
}

ParameterizedTest(struct parameter *p, gradients, cell_exactly_at_its_limit)
{
    static const float c0[] = {0.5f, 1.0f, 1.5f, -1.0f, -1.5f};
    for (size_t k = 0; k < sizeof c0 / sizeof *c0; k++) {
        scenario s = SCENARIO_INIT;
        s.bricks[0] = (lw_brick)LW_BRICK_INIT(LW_LSTM);
        s.bricks[0].input = s.bricks[0].hidden = 1;
        s.bricks[0].cell_clip = 0.5f;
        s.brick_count = 1;
        s.start = true;
        gradient_case g;
        gradient_result r;
        cr_assert(gradient_case_create(&g, &s, p->isa, why), "%s", why);
        cr_assert(gradient_result_create(&r, &g, why), "%s", why);
        for (size_t n = 0; n < g.count; n++)
            for (size_t e = 0; e < g.sizes[n]; e++) {
                g.parameters[n][e] = 0;
                g.h.ref->parameters[g.places[n]].values[e] = 0;
            }
        g.h.memory[0][0][LW_CELL][0] = c0[k];
        cr_assert(gradient_run(&g, &r, NULL, why), "%s", why);
        ref_gradients *want = gradient_reference(&g);
        cr_assert_eq(want->clipped, fabsf(c0[k]) > 1);
        cr_expect(gradient_compare(&g, &r, want, TOLERANCE, why), "cell %g: %s", (double)c0[k] / 2, why);
        ref_gradients_destroy(want);
        gradient_result_destroy(&r);
        gradient_case_destroy(&g);
    }
}

ParameterizedTestParameters(gradients, no_steps)
{
    return every_isa(CELL_KINDS);
}

/* Zero steps, or rows of length zero alone: gradients of final states go straight to the initial ones. */
ParameterizedTest(struct parameter *p, gradients, no_steps)
{
    for (unsigned k = 0; k < 8; k++) {
        scenario s = SCENARIO_INIT;
        s.bricks[0] = (lw_brick)LW_BRICK_INIT(cell_kind(p->kind));
        s.bricks[0].input = 3;
        s.bricks[0].hidden = 5;
        s.bricks[0].layers = 2;
        s.bricks[0].direction = k & 4 ? LW_BIDIRECTIONAL : LW_FORWARD;
        s.bricks[1] = (lw_brick)LW_BRICK_INIT(LW_DENSE);
        s.bricks[1].hidden = 2;
        s.brick_count = 2;
        s.output_kind = (lw_output)(k & 1);
        s.steps = k & 2 ? 0 : 1;
        s.ragged = true;
        s.start = true;
        s.batch = 3;
        for (s.seed = k; s.steps > 0; s.seed++) {
            harness h;
            cr_assert(harness_create(&h, &s, p->isa, why), "%s", why);
            size_t sum = h.lengths[0] + h.lengths[1] + h.lengths[2];
            harness_destroy(&h);
            if (sum == 0)
                break;
        }
        check(&s, p->isa);
    }
}
