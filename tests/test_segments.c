/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tapes in segments: the outputs, final states and gradients of a run whose activations are made again, segment by
 * segment, have the bits of the run in one piece, for every cell, ragged batches, both kinds of output and any length
 * of the segments; and the memory that a tape asks for grows with the segment, not with the sequence.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <latchwork.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "every_isa.h"
#include "random.h"

#define STEPS 23
#define ROWS 5
#define INPUT 3
#define OUTPUT 2
#define TENSORS 32

struct run {
    lw_tape *tape;
    lw_state *state, *initial;
    float *gradients[TENSORS];
    float output[STEPS * ROWS * OUTPUT], input[STEPS * ROWS * INPUT];
};

struct example {
    lw_model *model;
    size_t tensors, counts[TENSORS];
    float *parameters[TENSORS];
    float x[STEPS * ROWS * INPUT], dy[STEPS * ROWS * OUTPUT];
    lw_state *start, *final;
    size_t lengths[ROWS];
};

static const struct {
    lw_kind kind;
    unsigned options;
    size_t projection;
    float cell_clip;
} cells[] = {
    {LW_LSTM, 0, 0, 0.0f}, {LW_LSTM, LW_PEEPHOLES, 4, 0.4f},   {LW_LSTM, LW_COUPLED, 0, 0.0f},
    {LW_GRU, 0, 0, 0.0f},  {LW_GRU, LW_RESET_BEFORE, 0, 0.0f}, {LW_RNN, 0, 0, 0.0f},
};
#define CELLS (sizeof cells / sizeof *cells)

static void good(lw_status status)
{
    cr_assert_eq(status, LW_OK, "%s", lw_error());
}

static void fill(float *values, size_t count, uint64_t seed)
{
    rng r = {seed, 0};
    rng_fill(&r, values, count, 1.0f);
}

static void fill_state(lw_state *state, const lw_model *model, uint64_t seed)
{
    for (size_t layer = 0; layer < lw_model_layer_count(model); layer++) {
        lw_layer about = {.size = sizeof about};
        good(lw_model_layer(model, layer, &about));
        float values[ROWS * 64];
        fill(values, ROWS * 64, seed + layer);
        if (about.kind == LW_DENSE)
            continue;
        good(lw_state_set(state, layer, LW_FORWARD, LW_HIDDEN, values, ROWS * about.output));
        if (about.kind == LW_LSTM)
            good(lw_state_set(state, layer, LW_FORWARD, LW_CELL, values, ROWS * about.hidden));
    }
}

static void example_create(struct example *e, lw_isa isa, size_t cell)
{
    lw_brick bricks[2] = {LW_BRICK_INIT(cells[cell].kind), LW_BRICK_INIT(LW_DENSE)};
    bricks[0].input = INPUT;
    bricks[0].hidden = 19;
    bricks[0].layers = 2;
    bricks[0].options = cells[cell].options;
    bricks[0].projection = cells[cell].projection;
    bricks[0].cell_clip = cells[cell].cell_clip;
    bricks[1].hidden = OUTPUT;
    bricks[1].function = LW_TANH;
    lw_model_options options = LW_MODEL_OPTIONS_INIT;
    options.isa = (int)isa;
    good(lw_model_create(bricks, 2, &options, &e->model));
    good(lw_model_initialise(e->model, 5 + cell));
    e->tensors = lw_model_parameter_count(e->model);
    for (size_t i = 0; i < e->tensors; i++) {
        lw_parameter about = {.size = sizeof about};
        good(lw_model_parameter(e->model, i, &about));
        e->counts[i] = about.count;
        e->parameters[i] = calloc(about.count, sizeof(float));
        good(lw_model_parameter_get(e->model, i, e->parameters[i], about.count));
    }
    fill(e->x, STEPS * ROWS * INPUT, 1);
    fill(e->dy, STEPS * ROWS * OUTPUT, 2);
    good(lw_state_create(e->model, ROWS, &e->start));
    good(lw_state_create(e->model, ROWS, &e->final));
    fill_state(e->start, e->model, 10);
    fill_state(e->final, e->model, 20);
    static const size_t lengths[ROWS] = {STEPS, 7, 0, 16, 21};
    memcpy(e->lengths, lengths, sizeof lengths);
}

static void example_destroy(struct example *e)
{
    for (size_t i = 0; i < e->tensors; i++)
        free(e->parameters[i]);
    lw_state_destroy(e->start);
    lw_state_destroy(e->final);
    lw_model_destroy(e->model);
}

static void run_create(struct run *run, const struct example *e, size_t segment, size_t threads, int ragged,
                       lw_output kind)
{
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    options.threads = threads;
    memset(run, 0, sizeof *run);
    good(lw_tape_create(e->model, &options, &run->tape));
    good(lw_tape_set_segment(run->tape, segment));
    good(lw_state_create(e->model, ROWS, &run->state));
    good(lw_state_create(e->model, ROWS, &run->initial));
    good(lw_state_copy(run->state, e->start));
    for (size_t i = 0; i < e->tensors; i++)
        run->gradients[i] = calloc(e->counts[i], sizeof(float));
    lw_io io = LW_IO_INIT;
    io.steps = STEPS;
    io.batch = ROWS;
    io.input = e->x;
    io.output = run->output;
    io.output_kind = kind;
    io.lengths = ragged ? e->lengths : NULL;
    good(lw_tape_forward(run->tape, (const float *const *)e->parameters, run->state, &io));
    lw_gradients gradients = LW_GRADIENTS_INIT;
    gradients.output = e->dy;
    gradients.final_state = e->final;
    gradients.parameters = run->gradients;
    gradients.input = run->input;
    gradients.initial_state = run->initial;
    good(lw_tape_backward(run->tape, &gradients));
    /* And once more, because the way back must leave what was kept. */
    gradients.store = LW_ACCUMULATE;
    good(lw_tape_backward(run->tape, &gradients));
}

static void run_destroy(struct run *run, const struct example *e)
{
    for (size_t i = 0; i < e->tensors; i++)
        free(run->gradients[i]);
    lw_state_destroy(run->state);
    lw_state_destroy(run->initial);
    lw_tape_destroy(run->tape);
}

static int same_state(const lw_state *a, const lw_state *b)
{
    size_t bytes = lw_state_bytes(a);
    char *first = malloc(bytes), *second = malloc(bytes);
    good(lw_state_save(a, first, bytes));
    good(lw_state_save(b, second, bytes));
    int same = memcmp(first, second, bytes) == 0;
    free(first);
    free(second);
    return same;
}

static void compare(const struct example *e, const struct run *whole, const struct run *cut, const char *what)
{
    cr_assert_eq(memcmp(whole->output, cut->output, sizeof whole->output), 0, "%s: outputs differ", what);
    cr_assert_eq(memcmp(whole->input, cut->input, sizeof whole->input), 0, "%s: input gradients differ", what);
    cr_assert(same_state(whole->state, cut->state), "%s: final states differ", what);
    cr_assert(same_state(whole->initial, cut->initial), "%s: gradients of the initial state differ", what);
    for (size_t i = 0; i < e->tensors; i++) {
        lw_parameter about = {.size = sizeof about};
        good(lw_model_parameter(e->model, i, &about));
        cr_assert_eq(memcmp(whole->gradients[i], cut->gradients[i], e->counts[i] * sizeof(float)), 0,
                     "%s: gradients of %s differ", what, about.name);
    }
}

ParameterizedTestParameters(segments, same_bits)
{
    return every_isa(CELLS);
}

ParameterizedTest(struct parameter *p, segments, same_bits)
{
    static const size_t lengths[] = {1, 4, 5, 22, 23, 100};
    struct example e;
    example_create(&e, p->isa, p->kind);
    for (int ragged = 0; ragged < 2; ragged++)
        for (int kind = LW_OUTPUT_SEQUENCE; kind <= LW_OUTPUT_LAST; kind++) {
            struct run whole;
            run_create(&whole, &e, 0, 1, ragged, (lw_output)kind);
            for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
                char what[80];
                struct run cut;
                snprintf(what, sizeof what, "segments of %zu, ragged %d, output %d", lengths[i], ragged, kind);
                run_create(&cut, &e, lengths[i], 1 + i % 2, ragged, (lw_output)kind);
                compare(&e, &whole, &cut, what);
                run_destroy(&cut, &e);
            }
            run_destroy(&whole, &e);
        }
    example_destroy(&e);
}

Test(segments, memory_grows_with_the_segment)
{
    lw_brick brick = LW_BRICK_INIT(LW_LSTM);
    brick.input = 2;
    brick.hidden = 64;
    lw_model *model;
    lw_tape *tape;
    good(lw_model_create(&brick, 1, NULL, &model));
    good(lw_tape_create(model, NULL, &tape));
    size_t whole = lw_tape_bytes(tape, 10000, 8);
    cr_assert_geq(whole, 10000 * 8 * 64 * 5 * sizeof(float));
    good(lw_tape_set_segment(tape, 100));
    size_t cut = lw_tape_bytes(tape, 10000, 8);
    cr_assert_lt(cut, whole / 20, "%zu bytes whole, %zu in segments", whole, cut);
    lw_tape_destroy(tape);
    lw_model_destroy(model);
}

Test(segments, refusals)
{
    lw_brick brick = LW_BRICK_INIT(LW_GRU);
    brick.input = 2;
    brick.hidden = 3;
    brick.direction = LW_BIDIRECTIONAL;
    lw_model *model;
    lw_tape *tape;
    good(lw_model_create(&brick, 1, NULL, &model));
    good(lw_tape_create(model, NULL, &tape));
    cr_assert_eq(lw_tape_set_segment(tape, 4), LW_ERR_UNSUPPORTED);
    cr_assert(strstr(lw_error(), "reverse layer"), "%s", lw_error());
    good(lw_tape_set_segment(tape, 0));
    cr_assert_eq(lw_tape_set_segment(NULL, 4), LW_ERR_ARGUMENT);
    lw_tape_destroy(tape);
    lw_model_destroy(model);
}
