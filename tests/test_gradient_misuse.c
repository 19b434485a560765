/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Misuse of the tape's functions: every refusal has its status and a sentence, and leaves the tape as it was, so that
 * the way back through the last good run still gives the same bits. And what there is to do when there is nothing.
 */
#include "misuse.h"

#include <stdint.h>
#include <stdio.h>

#define PARAMETERS 10 /* of the fixture's model: 2 x 4 of the LSTM, 2 of the dense brick */

/* A fixture with a tape that has run, and the gradients that it gave. */
struct tape_fixture {
    struct fixture f;
    lw_tape *tape;
    size_t sizes[PARAMETERS];
    float *parameters[PARAMETERS], *gradients[PARAMETERS], *first[PARAMETERS];
    float dx[18], first_dx[18];
    float y[30];
    lw_state *final, *initial;
    lw_io io;
    lw_gradients g;
};

static void tape_fixture_create(struct tape_fixture *t)
{
    fixture_create(&t->f);
    OK(lw_tape_create(t->f.model, NULL, &t->tape));
    cr_assert_eq(lw_model_parameter_count(t->f.model), PARAMETERS);
    for (size_t k = 0; k < PARAMETERS; k++) {
        lw_parameter p = {.size = sizeof p};
        OK(lw_model_parameter(t->f.model, k, &p));
        t->sizes[k] = p.count;
        t->parameters[k] = calloc(p.count, sizeof(float));
        t->gradients[k] = calloc(p.count, sizeof(float));
        t->first[k] = calloc(p.count, sizeof(float));
        OK(lw_model_parameter_get(t->f.model, k, t->parameters[k], p.count));
    }
    OK(lw_state_create(t->f.model, B, &t->final));
    OK(lw_state_create(t->f.model, B, &t->initial));
    t->io = t->f.io;
    t->io.output = t->y;
    t->g = (lw_gradients)LW_GRADIENTS_INIT;
    t->g.output = t->f.y; /* any numbers: the fixture's run */
    t->g.parameters = t->first;
    t->g.input = t->first_dx;
    t->g.final_state = t->final;
    t->g.initial_state = t->initial;
    OK(lw_tape_forward(t->tape, (const float *const *)t->parameters, NULL, &t->io));
    OK(lw_tape_backward(t->tape, &t->g));
    t->g.parameters = t->gradients;
    t->g.input = t->dx;
}

/* The way back still gives what it gave. */
static void expect_untouched(struct tape_fixture *t)
{
    lw_gradients g = t->g;
    float sum = 0;
    OK(lw_tape_backward(t->tape, &g));
    cr_expect(memcmp(t->dx, t->first_dx, sizeof t->dx) == 0, "a refused call changed the gradient of the input");
    for (size_t k = 0; k < PARAMETERS; k++) {
        cr_expect(memcmp(t->gradients[k], t->first[k], t->sizes[k] * sizeof(float)) == 0,
                  "a refused call changed the gradient of parameter %zu", k);
        sum += fabsf(t->first[k][0]);
    }
    cr_expect(isfinite(sum) && sum > 0);
}

static void tape_fixture_destroy(struct tape_fixture *t)
{
    expect_untouched(t);
    lw_tape_destroy(t->tape);
    for (size_t k = 0; k < PARAMETERS; k++) {
        free(t->parameters[k]);
        free(t->gradients[k]);
        free(t->first[k]);
    }
    lw_state_destroy(t->final);
    lw_state_destroy(t->initial);
    fixture_destroy(&t->f);
}

#define P(t) ((const float *const *)(t).parameters)

Test(gradient_misuse, creating)
{
    struct tape_fixture t;
    tape_fixture_create(&t);
    lw_tape *tape = (lw_tape *)&t;
    REFUSED(lw_tape_create(NULL, NULL, &tape), LW_ERR_ARGUMENT, "model");
    REFUSED(lw_tape_create(t.f.model, NULL, NULL), LW_ERR_ARGUMENT, "tape");
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    options.size = 1;
    REFUSED(lw_tape_create(t.f.model, &options, &tape), LW_ERR_ARGUMENT, "size");
    options = (lw_context_options)LW_CONTEXT_OPTIONS_INIT;
    options.threads = SIZE_MAX;
    REFUSED(lw_tape_create(t.f.model, &options, &tape), LW_ERR_ARGUMENT, "threads");
    cr_expect_eq(tape, (lw_tape *)&t, "a refused call wrote its result");
    lw_tape_destroy(NULL);
    cr_expect_eq(lw_tape_bytes(NULL, T, B), 0);
    tape_fixture_destroy(&t);
}

Test(gradient_misuse, forward_arguments)
{
    struct tape_fixture t;
    tape_fixture_create(&t);
    lw_state *three, *others;
    OK(lw_state_create(t.f.model, 3, &three));
    OK(lw_state_create(t.f.other, B, &others));
    REFUSED(lw_tape_forward(NULL, P(t), NULL, &t.io), LW_ERR_ARGUMENT, "tape");
    REFUSED(lw_tape_forward(t.tape, P(t), NULL, NULL), LW_ERR_ARGUMENT, "io");
    REFUSED(lw_tape_forward(t.tape, P(t), three, &t.io), LW_ERR_SHAPE, "3");
    REFUSED(lw_tape_forward(t.tape, P(t), others, &t.io), LW_ERR_SHAPE, "model");
    for (size_t k = 0; k < PARAMETERS; k++) {
        const float *parameters[PARAMETERS];
        memcpy(parameters, t.parameters, sizeof parameters);
        parameters[k] = NULL;
        char index[24];
        snprintf(index, sizeof index, "%zu", k);
        REFUSED(lw_tape_forward(t.tape, parameters, NULL, &t.io), LW_ERR_ARGUMENT, index);
    }
    lw_io io = t.io;
    io.size = 8;
    REFUSED(lw_tape_forward(t.tape, P(t), NULL, &io), LW_ERR_ARGUMENT, "size");
    io = t.io;
    io.input = NULL;
    REFUSED(lw_tape_forward(t.tape, P(t), NULL, &io), LW_ERR_ARGUMENT, "input");
    io = t.io;
    io.output_kind = (lw_output)2;
    REFUSED(lw_tape_forward(t.tape, P(t), NULL, &io), LW_ERR_ARGUMENT, "output_kind");
    io = t.io;
    io.batch = SIZE_MAX;
    REFUSED(lw_tape_forward(t.tape, P(t), NULL, &io), LW_ERR_ARGUMENT, "batch");
    io = t.io;
    io.steps = SIZE_MAX;
    REFUSED(lw_tape_forward(t.tape, P(t), NULL, &io), LW_ERR_SHAPE, "overflow");
    io.steps = SIZE_MAX / 4 / B / 20; /* the input and the output would fit */
    io.output = NULL;
    REFUSED(lw_tape_forward(t.tape, P(t), NULL, &io), LW_ERR_SHAPE, "overflow");
    io = t.io;
    io.input_step_stride = 5;
    io.input_row_stride = 3;
    REFUSED(lw_tape_forward(t.tape, P(t), NULL, &io), LW_ERR_SHAPE, "overlap");
    io = t.io;
    io.output = t.f.x + 1;
    REFUSED(lw_tape_forward(t.tape, P(t), NULL, &io), LW_ERR_ARGUMENT, "overlap");
    io = t.io;
    size_t lengths[B] = {1, T + 1};
    io.lengths = lengths;
    REFUSED(lw_tape_forward(t.tape, P(t), NULL, &io), LW_ERR_SHAPE, "lengths[1]");
    io = t.io;
    float values[64];
    lw_probe probe = LW_PROBE_INIT;
    probe.unit_count = 1;
    probe.values = values;
    probe.capacity = 64;
    io.probes = &probe;
    io.probe_count = 1;
    REFUSED(lw_tape_forward(t.tape, P(t), NULL, &io), LW_ERR_UNSUPPORTED, "probe");
    lw_state_destroy(three);
    lw_state_destroy(others);
    tape_fixture_destroy(&t);
}

/* More memory than there is: a status, and the run before is still there, with the parameters that it had. */
Test(gradient_misuse, no_memory)
{
    struct tape_fixture t;
    tape_fixture_create(&t);
    lw_io io = t.io;
    io.steps = (size_t)1 << 44;
    io.output = NULL;
    for (size_t k = 0; k < PARAMETERS; k++)
        for (size_t e = 0; e < t.sizes[k]; e++)
            t.parameters[k][e] *= 2;
    REFUSED(lw_tape_forward(t.tape, P(t), NULL, &io), LW_ERR_MEMORY, "");
    cr_expect_gt(lw_tape_bytes(t.tape, io.steps, B), 0);
    tape_fixture_destroy(&t);
}

Test(gradient_misuse, backward_arguments)
{
    struct tape_fixture t;
    tape_fixture_create(&t);
    lw_state *three, *others;
    OK(lw_state_create(t.f.model, 3, &three));
    OK(lw_state_create(t.f.other, B, &others));
    REFUSED(lw_tape_backward(NULL, &t.g), LW_ERR_ARGUMENT, "tape");
    REFUSED(lw_tape_backward(t.tape, NULL), LW_ERR_ARGUMENT, "gradients");
    lw_gradients g = t.g;
    g.size = 8;
    REFUSED(lw_tape_backward(t.tape, &g), LW_ERR_ARGUMENT, "size");
    g = t.g;
    g.store = (lw_store)2;
    REFUSED(lw_tape_backward(t.tape, &g), LW_ERR_ARGUMENT, "store");
    g = t.g;
    g.final_state = three;
    REFUSED(lw_tape_backward(t.tape, &g), LW_ERR_SHAPE, "3");
    g.final_state = others;
    REFUSED(lw_tape_backward(t.tape, &g), LW_ERR_SHAPE, "model");
    g = t.g;
    g.initial_state = three;
    REFUSED(lw_tape_backward(t.tape, &g), LW_ERR_SHAPE, "3");
    g.initial_state = others;
    REFUSED(lw_tape_backward(t.tape, &g), LW_ERR_SHAPE, "model");
    const struct {
        size_t step, row;
        const char *fragment;
    } strides[] = {{5, 2, "overlap"}, {0, 3, "overlap"}, {SIZE_MAX, 3, "overflow"}, {6, SIZE_MAX, "overflow"}};
    for (size_t k = 0; k < sizeof strides / sizeof *strides; k++) {
        g = t.g;
        g.input_step_stride = strides[k].step;
        g.input_row_stride = strides[k].row;
        REFUSED(lw_tape_backward(t.tape, &g), LW_ERR_SHAPE, strides[k].fragment);
        g = t.g;
        g.output_step_stride = strides[k].step;
        g.output_row_stride = strides[k].row;
        REFUSED(lw_tape_backward(t.tape, &g), LW_ERR_SHAPE, strides[k].fragment);
    }
    lw_state_destroy(three);
    lw_state_destroy(others);
    tape_fixture_destroy(&t);
}

/* Any two of the caller's arrays that share a float are refused; neighbours are not. */
Test(gradient_misuse, overlapping_arrays)
{
    struct tape_fixture t;
    tape_fixture_create(&t);
    lw_gradients g = t.g;
    float *parameters[PARAMETERS], room[4096];
    g.parameters = parameters;
    for (size_t k = 0; k < PARAMETERS; k++) {
        memcpy(parameters, t.gradients, sizeof parameters);
        parameters[k] = t.dx + 17;
        REFUSED(lw_tape_backward(t.tape, &g), LW_ERR_ARGUMENT, "the gradient of the input");
        parameters[k] = t.f.y;
        REFUSED(lw_tape_backward(t.tape, &g), LW_ERR_ARGUMENT, "the gradient of the output");
        for (size_t j = 0; j < k; j++) {
            char name[32];
            parameters[k] = t.gradients[j] + t.sizes[j] - 1;
            snprintf(name, sizeof name, "parameters[%zu] (", j);
            REFUSED(lw_tape_backward(t.tape, &g), LW_ERR_ARGUMENT, name);
            snprintf(name, sizeof name, "parameters[%zu] (", k);
            REFUSED(lw_tape_backward(t.tape, &g), LW_ERR_ARGUMENT, name);
        }
    }
    memcpy(parameters, t.gradients, sizeof parameters);
    g.output = t.dx + 17;
    REFUSED(lw_tape_backward(t.tape, &g), LW_ERR_ARGUMENT, "overlap");
    g.output = t.f.y;
    float *at = room;
    for (size_t k = PARAMETERS; k-- > 0; at += t.sizes[k])
        parameters[k] = at;
    g.input = at;
    cr_assert_leq((size_t)(at - room) + 18, sizeof room / sizeof *room);
    OK(lw_tape_backward(t.tape, &g));
    tape_fixture_destroy(&t);
}

/* Without a forward run there is no way back, and without parameters no forward run. */
Test(gradient_misuse, order)
{
    struct tape_fixture t;
    tape_fixture_create(&t);
    lw_tape *tape;
    OK(lw_tape_create(t.f.model, NULL, &tape));
    REFUSED(lw_tape_backward(tape, &t.g), LW_ERR_ARGUMENT, "forward");
    REFUSED(lw_tape_forward(tape, NULL, NULL, &t.io), LW_ERR_ARGUMENT, "parameters");
    REFUSED(lw_tape_backward(tape, &t.g), LW_ERR_ARGUMENT, "forward");
    lw_io io = t.io;
    io.lengths = (const size_t[]){T + 1, 1};
    REFUSED(lw_tape_forward(tape, P(t), NULL, &io), LW_ERR_SHAPE, "lengths[0]");
    REFUSED(lw_tape_backward(tape, &t.g), LW_ERR_ARGUMENT, "forward");
    OK(lw_tape_forward(tape, P(t), NULL, &t.io));
    OK(lw_tape_backward(tape, &t.g));
    lw_tape_destroy(tape);
    tape_fixture_destroy(&t);
}

/* A tape holds its model, which can no longer change; the order of giving up is free. */
Test(gradient_misuse, holds_its_model)
{
    lw_brick brick = LSTM(.name = "lstm");
    lw_model *model;
    lw_tape *tape;
    float value[64] = {0};
    OK(lw_model_create(&brick, 1, NULL, &model));
    OK(lw_tape_create(model, NULL, &tape));
    REFUSED(lw_model_parameter_set(model, 2, value, 16), LW_ERR_BUSY, "");
    REFUSED(lw_model_initialise(model, 1), LW_ERR_BUSY, "");
    lw_model_destroy(model);
    const float *parameters[4] = {value, value, value, value};
    float x[3] = {1, 2, 3}, y[4] = {1, 1, 1, 1};
    lw_io io = LW_IO_INIT;
    io.steps = io.batch = 1;
    io.input = x;
    io.output = y;
    OK(lw_tape_forward(tape, parameters, NULL, &io));
    cr_expect(y[0] == 0 && y[3] == 0);
    lw_tape_destroy(tape);
}

/* No steps, or no rows: a run like any other, whose parameters have no gradient. */
Test(gradient_misuse, nothing_to_do)
{
    struct tape_fixture t;
    tape_fixture_create(&t);
    lw_tape *tape;
    lw_state *empty, *empty_too;
    OK(lw_tape_create(t.f.model, NULL, &tape));
    OK(lw_state_create(t.f.model, 0, &empty));
    OK(lw_state_create(t.f.model, 0, &empty_too));
    for (int k = 0; k < 3; k++) {
        lw_io io = t.io;
        lw_gradients g = t.g;
        io.steps = k == 0 ? 0 : T;
        io.batch = k == 0 ? B : 0;
        io.output_kind = k == 2 ? LW_OUTPUT_LAST : LW_OUTPUT_SEQUENCE;
        if (k) {
            g.final_state = empty;
            g.initial_state = empty_too;
            io.input = NULL;
        }
        for (size_t p = 0; p < PARAMETERS; p++)
            memset(t.gradients[p], 0x55, t.sizes[p] * sizeof(float));
        memset(t.dx, 0x55, sizeof t.dx);
        OK(lw_tape_forward(tape, P(t), NULL, &io));
        OK(lw_tape_backward(tape, &g));
        for (size_t p = 0; p < PARAMETERS; p++)
            for (size_t e = 0; e < t.sizes[p]; e++)
                cr_assert_eq(t.gradients[p][e], 0, "parameter %zu has a gradient without steps or rows", p);
        for (size_t e = 0; e < sizeof t.dx; e++)
            cr_assert_eq(((unsigned char *)t.dx)[e], 0x55, "a gradient of no input was written");
        g.store = LW_ACCUMULATE;
        t.gradients[0][0] = 3;
        OK(lw_tape_backward(tape, &g));
        cr_expect_eq(t.gradients[0][0], 3);
    }
    lw_gradients g = LW_GRADIENTS_INIT;
    OK(lw_tape_backward(tape, &g));
    OK(lw_tape_backward(t.tape, &g));
    lw_io io = t.io;
    io.output = NULL;
    OK(lw_tape_forward(t.tape, NULL, NULL, &io));
    lw_state_destroy(empty);
    lw_state_destroy(empty_too);
    lw_tape_destroy(tape);
    tape_fixture_destroy(&t);
}

/* An infinity or a NaN is a number like any other: it spreads, and nothing else happens. */
Test(gradient_misuse, numbers_that_are_none)
{
    struct tape_fixture t;
    tape_fixture_create(&t);
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        float dy[30];
        memcpy(dy, t.f.y, sizeof dy);
        dy[7] = bad[k];
        lw_gradients g = t.g;
        g.output = dy;
        OK(lw_tape_backward(t.tape, &g));
        if (k < 3)
            cr_expect(!isfinite(t.gradients[PARAMETERS - 1][2]), "the bias's gradient is %g",
                      (double)t.gradients[PARAMETERS - 1][2]);
        cr_expect(isfinite(t.gradients[PARAMETERS - 1][3]));
    }
    tape_fixture_destroy(&t);
}
