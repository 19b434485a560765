/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves the reference's way back by central differences of its way forward, in double precision: every cell, option,
 * direction, length pattern, kind of output, and in each every parameter, input and initial state. The loss is a
 * random weighted sum of all outputs and final states. Numbers are drawn until no argument is so near to the limit of a
 * clip or to a ReLU's zero that a difference would reach across.
 */
#include "random.h"
#include "reference_backward.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* Five points, so that the error falls with the fourth power of the width: some 1e-12 of a loss of order 1. */
#define WIDTH 1e-4
#define MARGIN 2e-3
#define RELATIVE 1e-6
#define ABSOLUTE 1e-10 /* what the differences' own rounding leaves of a gradient that is 0 */

enum lengths_kind { ALL_STEPS, RAGGED, ALL_ZERO, LENGTHS_COUNT };

typedef struct problem {
    lw_brick bricks[4];
    size_t brick_count, steps, batch;
    enum lengths_kind lengths_kind;
    lw_output kind;
    uint64_t seed;
    const lw_regularisation *regularisation;
    /* Made from the above. */
    ref_model *model;
    double *input, *doutput;
    size_t *lengths;
    ref_state *start, *dfinal;
} problem;

static double uniform(rng *r, double scale)
{
    return (double)rng_float(r, 1) * scale;
}

static double *uniforms(rng *r, size_t count)
{
    double *values = ref_alloc(count, sizeof *values);
    for (size_t k = 0; k < count; k++)
        values[k] = uniform(r, 1.5);
    return values;
}

static ref_state *random_state(const ref_model *model, size_t batch, rng *r)
{
    ref_state *state = ref_state_create(model, batch);
    for (size_t l = 0; l < model->layer_count; l++)
        for (int d = 0; d < 2; d++)
            for (int m = 0; m < 2; m++)
                for (size_t k = 0; state->memory[l][d][m] && k < batch * ref_memory_width(&model->layers[l], m); k++)
                    state->memory[l][d][m][k] = uniform(r, 1);
    return state;
}

static void make(problem *p)
{
    rng r = {.seed = p->seed};
    p->model = ref_create(p->bricks, p->brick_count);
    p->model->regularisation = p->regularisation;
    for (size_t k = 0; k < p->model->parameter_count; k++)
        for (size_t e = 0; e < p->model->parameters[k].count; e++)
            p->model->parameters[k].values[e] = uniform(&r, 1);
    p->input = uniforms(&r, p->steps * p->batch * ref_input_size(p->model));
    size_t rows = (p->kind == LW_OUTPUT_LAST ? 1 : p->steps) * p->batch;
    p->doutput = uniforms(&r, rows * ref_output_size(p->model));
    p->lengths = NULL;
    if (p->lengths_kind != ALL_STEPS)
        p->lengths = ref_alloc(p->batch, sizeof *p->lengths);
    for (size_t b = 0; b < p->batch && p->lengths_kind == RAGGED; b++)
        p->lengths[b] = (p->seed + b) % (p->steps + 1); /* one of 0, and T among them */
    p->start = random_state(p->model, p->batch, &r);
    p->dfinal = random_state(p->model, p->batch, &r);
}

static void drop(problem *p)
{
    ref_destroy(p->model);
    free(p->input);
    free(p->doutput);
    free(p->lengths);
    ref_state_destroy(p->start);
    ref_state_destroy(p->dfinal);
}

static ref_state *copy_of(const ref_model *model, const ref_state *from)
{
    ref_state *to = ref_state_create(model, from->batch);
    for (size_t l = 0; l < model->layer_count; l++)
        for (int d = 0; d < 2; d++)
            for (int m = 0; m < 2; m++)
                for (size_t k = 0; to->memory[l][d][m] && k < from->batch * ref_memory_width(&model->layers[l], m); k++)
                    to->memory[l][d][m][k] = from->memory[l][d][m][k];
    return to;
}

static double loss(const problem *p)
{
    ref_state *state = copy_of(p->model, p->start);
    ref_trace *trace = ref_run(p->model, state, p->steps, p->batch, p->input, p->lengths);
    size_t rows = (p->kind == LW_OUTPUT_LAST ? 1 : p->steps) * p->batch;
    const double *y = p->kind == LW_OUTPUT_LAST ? trace->last : trace->output;
    double sum = 0;
    for (size_t k = 0; k < rows * ref_output_size(p->model); k++)
        sum += p->doutput[k] * y[k];
    for (size_t l = 0; l < p->model->layer_count; l++)
        for (int d = 0; d < 2; d++)
            for (int m = 0; m < 2; m++) {
                size_t count = p->batch * ref_memory_width(&p->model->layers[l], (lw_memory)m);
                for (size_t k = 0; state->memory[l][d][m] && k < count; k++)
                    sum += p->dfinal->memory[l][d][m][k] * state->memory[l][d][m][k];
            }
    ref_trace_destroy(trace);
    ref_state_destroy(state);
    return sum;
}

static double difference(const problem *p, double *place)
{
    double middle = *place, at[4];
    static const double offsets[4] = {-2, -1, 1, 2};
    for (size_t k = 0; k < 4; k++) {
        *place = middle + offsets[k] * WIDTH;
        at[k] = loss(p);
    }
    *place = middle;
    return (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * WIDTH);
}

static ref_gradients *gradients_of(const problem *p)
{
    ref_state *state = copy_of(p->model, p->start);
    ref_trace *trace = ref_run(p->model, state, p->steps, p->batch, p->input, p->lengths);
    ref_gradients *g = ref_backward(p->model, trace, state, p->lengths, p->kind, p->doutput, p->dfinal);
    ref_trace_destroy(trace);
    ref_state_destroy(state);
    return g;
}

static void expect_gradients(const problem *p, const char *name, const char *what, double *values, const double *got,
                             size_t count)
{
    for (size_t k = 0; k < count; k++) {
        double want = difference(p, values + k);
        cr_assert(fabs(got[k] - want) <= RELATIVE * fabs(want) + ABSOLUTE,
                  "%s, %s[%zu] of %zu, seed %llu, lengths %d, output %d: %.17g, the differences say %.17g", name, what,
                  k, count, (unsigned long long)p->seed, (int)p->lengths_kind, (int)p->kind, got[k], want);
    }
}

/* Draws numbers for the problem until they are far enough from every jump, and checks every gradient. Returns the
 * gradients' counts of clipped arguments. */
static size_t check(problem *p, const char *name, size_t *unclipped)
{
    ref_gradients *g = NULL;
    for (size_t tries = 0; tries < 3000; tries++, p->seed += 7919) {
        make(p);
        g = gradients_of(p);
        if (g->margin > MARGIN)
            break;
        ref_gradients_destroy(g);
        g = NULL;
        drop(p);
    }
    cr_assert(g, "%s: no numbers are far enough from the limits", name);
    for (size_t k = 0; k < p->model->parameter_count; k++) {
        ref_parameter *q = &p->model->parameters[k];
        expect_gradients(p, name, q->name, q->values, g->parameters[k].values, q->count);
    }
    expect_gradients(p, name, "input", p->input, g->input.values, g->input.count);
    for (size_t l = 0; l < p->model->layer_count; l++)
        for (int d = 0; d < 2; d++)
            for (int m = 0; m < 2; m++)
                if (p->start->memory[l][d][m])
                    expect_gradients(p, name, m ? "c0" : "h0", p->start->memory[l][d][m], g->initial->memory[l][d][m],
                                     p->batch * ref_memory_width(&p->model->layers[l], (lw_memory)m));
    size_t clipped = g->clipped;
    *unclipped += g->unclipped;
    ref_gradients_destroy(g);
    drop(p);
    return clipped;
}

/* One brick in every direction, with each length pattern and kind of output, one layer and two. */
static void check_brick(const lw_brick *brick, const char *name)
{
    size_t clipped = 0, unclipped = 0;
    for (int direction = LW_FORWARD; direction <= LW_BIDIRECTIONAL; direction++)
        for (int lengths = 0; lengths < LENGTHS_COUNT; lengths++)
            for (int kind = LW_OUTPUT_SEQUENCE; kind <= LW_OUTPUT_LAST; kind++) {
                problem p = {.bricks[0] = *brick, .brick_count = 1, .lengths_kind = (enum lengths_kind)lengths};
                p.kind = (lw_output)kind;
                p.seed = (uint64_t)(direction * 100 + lengths * 10 + kind);
                p.bricks[0].direction = (lw_direction)direction;
                p.bricks[0].layers = 1 + (size_t)(direction + lengths + kind) % 2;
                p.steps = 3;
                p.batch = 2;
                clipped += check(&p, name, &unclipped);
            }
    bool clips = brick->gate_clip > 0 || brick->cell_clip > 0;
    cr_assert(!clips || (clipped > 0 && unclipped > 0), "%s: %zu arguments were clipped, %zu were not", name, clipped,
              unclipped);
}

#define LSTM_OPTIONS 6 /* bits: bias, peepholes, coupled, projection, cell clip, gate clip */

ParameterizedTestParameters(gradient_reference, lstm)
{
    unsigned *bits = cr_malloc((1 << LSTM_OPTIONS) * sizeof *bits);
    for (unsigned k = 0; k < 1 << LSTM_OPTIONS; k++)
        bits[k] = k;
    return cr_make_param_array(unsigned, bits, 1 << LSTM_OPTIONS, NULL);
}

ParameterizedTest(unsigned *bits, gradient_reference, lstm)
{
    lw_brick brick = LW_BRICK_INIT(LW_LSTM);
    brick.input = 2;
    brick.hidden = 3;
    brick.options = (*bits & 1 ? LW_NO_BIAS : 0) | (*bits & 2 ? LW_PEEPHOLES : 0) | (*bits & 4 ? LW_COUPLED : 0);
    brick.projection = *bits & 8 ? 2 : 0;
    brick.cell_clip = *bits & 16 ? 0.4f : 0;
    brick.gate_clip = *bits & 32 ? 0.6f : 0;
    char name[32];
    snprintf(name, sizeof name, "lstm with options %u", *bits);
    check_brick(&brick, name);
}

Test(gradient_reference, gru)
{
    for (unsigned bits = 0; bits < 8; bits++) {
        lw_brick brick = LW_BRICK_INIT(LW_GRU);
        brick.input = 2;
        brick.hidden = 3;
        brick.options = (bits & 1 ? LW_NO_BIAS : 0) | (bits & 2 ? LW_RESET_BEFORE : 0);
        brick.gate_clip = bits & 4 ? 0.6f : 0;
        check_brick(&brick, "gru");
    }
}

Test(gradient_reference, rnn)
{
    for (unsigned bits = 0; bits < 8; bits++) {
        lw_brick brick = LW_BRICK_INIT(LW_RNN);
        brick.input = 2;
        brick.hidden = 3;
        brick.options = bits & 1 ? LW_NO_BIAS : 0;
        brick.function = bits & 2 ? LW_RELU : LW_TANH;
        brick.gate_clip = bits & 4 ? 0.6f : 0;
        check_brick(&brick, "rnn");
    }
}

/* Dense and activation bricks alone, before, between and behind recurrent ones. */
Test(gradient_reference, stacks)
{
    static const lw_function functions[] = {LW_LINEAR, LW_RELU, LW_TANH, LW_SIGMOID};
    size_t unclipped = 0;
    for (unsigned k = 0; k < 96; k++) {
        lw_brick dense = LW_BRICK_INIT(LW_DENSE), active = LW_BRICK_INIT(LW_ACTIVATION);
        lw_brick one = LW_BRICK_INIT(LW_LSTM + (int)(k % 3)), two = LW_BRICK_INIT(LW_LSTM + (int)(k / 3 % 3));
        dense.hidden = 2;
        dense.function = functions[k % 4];
        dense.options = k / 4 % 3 ? 0 : LW_NO_BIAS;
        active.function = functions[1 + k % 3];
        one.hidden = 3;
        two.hidden = 2;
        one.direction = (lw_direction)(k / 5 % 3);
        two.direction = (lw_direction)(k / 7 % 3);
        problem p = {.steps = 1 + k % 4, .batch = 1 + k / 3 % 3, .seed = k};
        p.kind = (lw_output)(k / 2 % 2);
        p.lengths_kind = (enum lengths_kind)(k / 3 % 2);
        const lw_brick orders[6][4] = {{dense, active, active, dense}, {dense, one, active, dense},
                                       {one, dense, active, two},      {one, active, two, dense},
                                       {active, one, two, dense},      {one, two, dense, active}};
        for (size_t b = 0; b < 4; b++)
            p.bricks[b] = orders[k % 6][b];
        p.brick_count = 1 + k / 6 % 4;
        p.bricks[0].input = 2;
        check(&p, "stack", &unclipped);
    }
}

/* With every mask at once, drawn or expected, and what they do between bricks. */
Test(gradient_reference, regularised)
{
    static const unsigned options[] = {0, LW_PEEPHOLES, LW_COUPLED, LW_RESET_BEFORE, 0};
    size_t unclipped = 0;
    for (unsigned k = 0; k < 108; k++) {
        lw_kind kind = (lw_kind)(LW_LSTM + (int)(k % 3));
        lw_brick one = LW_BRICK_INIT(kind), dense = LW_BRICK_INIT(LW_DENSE);
        lw_regularisation r = LW_REGULARISATION_INIT;
        one.hidden = 3;
        one.layers = 1 + k % 2;
        one.direction = (lw_direction)(k / 3 % 3);
        one.options = kind == LW_LSTM ? options[k / 9 % 3] : kind == LW_GRU ? options[3 + k / 9 % 2] : 0;
        one.projection = kind == LW_LSTM && k / 27 % 2 ? 2 : 0;
        dense.hidden = 2;
        dense.function = LW_TANH;
        r.seed = k;
        r.update = k / 2;
        r.options = (k / 4 % 2 ? LW_VARIATIONAL : 0) | (k % 12 == 5 ? LW_EXPECTED : 0);
        r.input = r.between = r.output = 0.3;
        r.recurrent = 0.4;
        r.zoneout_hidden = 0.25;
        r.zoneout_cell = 0.5;
        problem p = {.steps = 3, .batch = 2, .seed = k, .regularisation = &r};
        p.kind = (lw_output)(k / 2 % 2);
        p.lengths_kind = (enum lengths_kind)(k / 5 % 2);
        p.bricks[0] = k % 5 == 0 ? dense : one;
        p.bricks[1] = k % 5 == 0 ? one : dense;
        p.bricks[0].input = 2;
        p.brick_count = 1 + k / 3 % 2;
        check(&p, "regularised", &unclipped);
    }
}

/* Nothing moves: the gradient of the final states is that of the initial ones, and there is no other. */
Test(gradient_reference, no_steps)
{
    size_t unclipped = 0;
    for (int kind = LW_LSTM; kind <= LW_RNN; kind++)
        for (int output = LW_OUTPUT_SEQUENCE; output <= LW_OUTPUT_LAST; output++) {
            problem p = {.bricks[0] = LW_BRICK_INIT(kind), .bricks[1] = LW_BRICK_INIT(LW_DENSE)};
            p.brick_count = 2;
            p.batch = 2;
            p.kind = (lw_output)output;
            p.bricks[0].input = 2;
            p.bricks[0].hidden = 3;
            p.bricks[0].direction = LW_BIDIRECTIONAL;
            p.bricks[1].hidden = 2;
            check(&p, "no steps", &unclipped);
        }
}

/* What the differences cannot show: arguments that are exactly at a limit, or exactly 0 in front of a ReLU. */
Test(gradient_reference, exactly_at_the_limits)
{
    static const struct {
        double x, slope;
    } cases[] = {{0.25, 1}, {0.5, 0}, {0.75, 0}, {0, 0}, {-0.25, 0}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        lw_brick brick = LW_BRICK_INIT(LW_RNN);
        brick.input = brick.hidden = 1;
        brick.function = LW_RELU;
        brick.gate_clip = 0.5f;
        ref_model *model = ref_create(&brick, 1);
        model->parameters[0].values[0] = 1; /* weight_ih; the others stay 0 */
        ref_state *state = ref_state_create(model, 1);
        double one = 1;
        ref_trace *trace = ref_run(model, state, 1, 1, &cases[k].x, NULL);
        ref_gradients *g = ref_backward(model, trace, state, NULL, LW_OUTPUT_SEQUENCE, &one, NULL);
        cr_expect_eq(g->input.values[0], cases[k].slope, "case %zu: %g", k, g->input.values[0]);
        ref_gradients_destroy(g);
        ref_trace_destroy(trace);
        ref_state_destroy(state);
        ref_destroy(model);
    }
}
