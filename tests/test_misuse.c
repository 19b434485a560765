/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Misuse of every public function on models, states and contexts: NULL, out of range, sizes that do not fit, products
 * that overflow. Each has its exact status and a fragment of its sentence, and the objects work afterwards as if
 * nothing had happened. (Runs are in test_misuse_runs.c, files in test_files.c, the machine in test_machine.c.)
 */
#include "misuse.h"

#include <limits.h>

/* What a failed call must leave in its result. */
static lw_model *const nowhere = (lw_model *)&nowhere;

/* ---- creating models ---- */

static void refuse_brick(lw_brick brick, lw_status status, const char *fragment)
{
    lw_model *model = nowhere;
    REFUSED(lw_model_create(&brick, 1, NULL, &model), status, fragment);
    cr_expect_eq(model, nowhere, "a failed call changed *model");
}

Test(misuse, model_arguments)
{
    lw_brick brick = LSTM(.name = "a");
    lw_model *model = nowhere;
    REFUSED(lw_model_create(NULL, 1, NULL, &model), LW_ERR_ARGUMENT, "bricks");
    REFUSED(lw_model_create(&brick, 1, NULL, NULL), LW_ERR_ARGUMENT, "model");
    REFUSED(lw_model_create(&brick, 0, NULL, &model), LW_ERR_ARGUMENT, "0 bricks");
    REFUSED(lw_model_create(&brick, SIZE_MAX, NULL, &model), LW_ERR_ARGUMENT, "bricks");
    lw_model_options options = {.size = 1, .isa = -1};
    REFUSED(lw_model_create(&brick, 1, &options, &model), LW_ERR_ARGUMENT, "size");
    options = (lw_model_options)LW_MODEL_OPTIONS_INIT;
    options.isa = 99;
    REFUSED(lw_model_create(&brick, 1, &options, &model), LW_ERR_ARGUMENT, "99");
    options.isa = INT_MIN;
    REFUSED(lw_model_create(&brick, 1, &options, &model), LW_ERR_ARGUMENT, "instruction set");
    cr_assert_eq(model, nowhere);
}

Test(misuse, brick_fields)
{
    refuse_brick((lw_brick){.size = 5}, LW_ERR_ARGUMENT, "size");
    refuse_brick(BRICK(0, .input = 1, .hidden = 1), LW_ERR_ARGUMENT, "kind");
    refuse_brick(BRICK(77, .input = 1, .hidden = 1), LW_ERR_ARGUMENT, "kind");
    refuse_brick(BRICK(-1, .input = 1, .hidden = 1), LW_ERR_ARGUMENT, "kind");
    refuse_brick(BRICK(LW_LSTM, .hidden = 4), LW_ERR_ARGUMENT, "input");
    refuse_brick(BRICK(LW_LSTM, .input = 4), LW_ERR_ARGUMENT, "hidden");
    refuse_brick(BRICK(LW_DENSE, .input = 4), LW_ERR_ARGUMENT, "hidden");
    refuse_brick(BRICK(LW_GRU, .input = LW_SIZE_MAX + 1, .hidden = 1), LW_ERR_ARGUMENT, "input");
    refuse_brick(BRICK(LW_GRU, .input = 1, .hidden = SIZE_MAX), LW_ERR_ARGUMENT, "hidden");
    refuse_brick(BRICK(LW_RNN, .input = 1, .hidden = LW_SIZE_MAX + 1), LW_ERR_ARGUMENT, "hidden");
    lw_brick no_layers = LSTM(.name = "a");
    no_layers.layers = 0;
    refuse_brick(no_layers, LW_ERR_ARGUMENT, "layers");
    no_layers.layers = SIZE_MAX;
    refuse_brick(no_layers, LW_ERR_ARGUMENT, "layers");
    refuse_brick(LSTM(.direction = (lw_direction)3), LW_ERR_ARGUMENT, "direction");
    refuse_brick(LSTM(.direction = (lw_direction)-1), LW_ERR_ARGUMENT, "direction");
    refuse_brick(LSTM(.projection = 4), LW_ERR_ARGUMENT, "projection");
    refuse_brick(LSTM(.projection = SIZE_MAX), LW_ERR_ARGUMENT, "projection");
    refuse_brick(LSTM(.cell_clip = -1), LW_ERR_ARGUMENT, "cell_clip");
    refuse_brick(LSTM(.cell_clip = NAN), LW_ERR_ARGUMENT, "cell_clip");
    refuse_brick(LSTM(.cell_clip = INFINITY), LW_ERR_ARGUMENT, "cell_clip");
    refuse_brick(LSTM(.gate_clip = -1), LW_ERR_ARGUMENT, "gate_clip");
    refuse_brick(LSTM(.gate_clip = NAN), LW_ERR_ARGUMENT, "gate_clip");
    refuse_brick(LSTM(.forget_bias = NAN), LW_ERR_ARGUMENT, "forget_bias");
    refuse_brick(LSTM(.options = LW_RESET_BEFORE), LW_ERR_ARGUMENT, "options");
    refuse_brick(LSTM(.options = 1u << 31), LW_ERR_ARGUMENT, "options");
    refuse_brick(LSTM(.function = LW_RELU), LW_ERR_ARGUMENT, "function");
    refuse_brick(BRICK(LW_GRU, .input = 1, .hidden = 2, .options = LW_PEEPHOLES), LW_ERR_ARGUMENT, "options");
    refuse_brick(BRICK(LW_GRU, .input = 1, .hidden = 2, .options = LW_COUPLED), LW_ERR_ARGUMENT, "options");
    refuse_brick(BRICK(LW_GRU, .input = 1, .hidden = 2, .projection = 1), LW_ERR_ARGUMENT, "projection");
    refuse_brick(BRICK(LW_RNN, .input = 1, .hidden = 2, .cell_clip = 1), LW_ERR_ARGUMENT, "cell_clip");
    refuse_brick(BRICK(LW_RNN, .input = 1, .hidden = 2, .function = LW_SIGMOID), LW_ERR_ARGUMENT, "function");
    refuse_brick(BRICK(LW_RNN, .input = 1, .hidden = 2, .function = (lw_function)99), LW_ERR_ARGUMENT, "function");
    refuse_brick(BRICK(LW_DENSE, .input = 1, .hidden = 2, .function = (lw_function)-4), LW_ERR_ARGUMENT, "function");
    refuse_brick(BRICK(LW_ACTIVATION, .input = 1), LW_ERR_ARGUMENT, "function");
    refuse_brick(BRICK(LW_ACTIVATION, .input = 1, .function = LW_RELU, .options = LW_NO_BIAS), LW_ERR_ARGUMENT,
                 "options");
    /* A brick without gates has no projection, whose width would stand for its own. */
    refuse_brick(BRICK(LW_ACTIVATION, .input = 7, .function = LW_RELU, .projection = 59), LW_ERR_ARGUMENT,
                 "projection");
    refuse_brick(BRICK(LW_DENSE, .input = 7, .hidden = 5, .projection = 2), LW_ERR_ARGUMENT, "projection");
    refuse_brick(BRICK(LW_DENSE, .input = 7, .hidden = 5, .cell_clip = 1), LW_ERR_ARGUMENT, "cell_clip");
    refuse_brick(BRICK(LW_DENSE, .input = 7, .hidden = 5, .gate_clip = 1), LW_ERR_ARGUMENT, "gate_clip");
    refuse_brick(BRICK(LW_ACTIVATION, .input = 7, .function = LW_RELU, .forget_bias = 1), LW_ERR_ARGUMENT,
                 "forget_bias");
    lw_brick deep = LSTM(.name = "deep");
    deep.layers = LW_LAYERS_MAX + 1;
    refuse_brick(deep, LW_ERR_ARGUMENT, "layers is 65537, expected 1 to 65536");
    refuse_brick(LSTM(.options = LW_COUPLED | LW_RESET_BEFORE), LW_ERR_ARGUMENT,
                 "unknown options 0x8, expected LW_NO_BIAS, LW_PEEPHOLES, LW_COUPLED");
    refuse_brick(BRICK(LW_RNN, .input = 1, .hidden = 2, .function = LW_LINEAR), LW_ERR_ARGUMENT,
                 "function is 1, expected LW_TANH or LW_RELU");
    refuse_brick(LSTM(.name = ""), LW_ERR_ARGUMENT, "name");
    refuse_brick(LSTM(.name = "a.b"), LW_ERR_ARGUMENT, "name");
    refuse_brick(LSTM(.name = "a\n"), LW_ERR_ARGUMENT, "name");
    char name[65];
    memset(name, 'x', 64);
    name[64] = 0;
    refuse_brick(LSTM(.name = name), LW_ERR_ARGUMENT, "name");
    name[63] = 0;
    lw_brick longest = LSTM(.name = name);
    lw_model *model;
    OK(lw_model_create(&longest, 1, NULL, &model));
    lw_model_destroy(model);
}

/* B10, B22: bricks that do not fit each other, sizes whose product overflows or exceeds all memory. */
Test(misuse, bricks_together)
{
    lw_model *model = nowhere;
    lw_brick two[2] = {LSTM(.name = "a"), BRICK(LW_DENSE, .input = 5, .hidden = 1, .name = "b")};
    REFUSED(lw_model_create(two, 2, NULL, &model), LW_ERR_SHAPE, "brick 1");
    cr_expect(strstr(lw_error(), "5") && strstr(lw_error(), "4"), "%s", lw_error());
    two[0].direction = LW_BIDIRECTIONAL;
    two[1].input = 4;
    REFUSED(lw_model_create(two, 2, NULL, &model), LW_ERR_SHAPE, "8");
    two[1].input = 0;
    two[1].name = "a";
    REFUSED(lw_model_create(two, 2, NULL, &model), LW_ERR_ARGUMENT, "name");
    REFUSED(lw_model_create(NULL, 0, NULL, &model), LW_ERR_ARGUMENT, "a model of 0 bricks, expected 1 to 65536");
    lw_brick huge = BRICK(LW_LSTM, .input = LW_SIZE_MAX, .hidden = LW_SIZE_MAX);
    huge.layers = LW_LAYERS_MAX;
    lw_status status = lw_model_create(&huge, 1, NULL, &model);
    cr_expect(status == LW_ERR_SHAPE || status == LW_ERR_MEMORY, "%s", lw_status_name(status));
    huge.layers = 1;
    status = lw_model_create(&huge, 1, NULL, &model);
    cr_expect(status == LW_ERR_SHAPE || status == LW_ERR_MEMORY, "%s", lw_status_name(status));
    cr_assert_eq(model, nowhere);
}

Test(misuse, null_is_harmless)
{
    lw_model_destroy(NULL);
    lw_state_destroy(NULL);
    lw_context_destroy(NULL);
    cr_assert_eq(lw_model_input_size(NULL), 0);
    cr_assert_eq(lw_model_output_size(NULL), 0);
    cr_assert_eq(lw_model_isa(NULL), LW_ISA_SCALAR);
    cr_assert_eq(lw_model_bytes(NULL), 0);
    cr_assert_eq(lw_model_brick_count(NULL), 0);
    cr_assert_eq(lw_model_layer_count(NULL), 0);
    cr_assert_eq(lw_model_parameter_count(NULL), 0);
    cr_assert_eq(lw_state_batch(NULL), 0);
    cr_assert_eq(lw_state_bytes(NULL), 0);
    cr_assert_eq(lw_context_workspace_bytes(NULL, 1, 1), 0);
}

Test(misuse, model_questions)
{
    struct fixture f;
    fixture_create(&f);
    lw_brick brick = LW_BRICK_INIT(LW_LSTM);
    REFUSED(lw_model_brick(NULL, 0, &brick), LW_ERR_ARGUMENT, "model");
    REFUSED(lw_model_brick(f.model, 0, NULL), LW_ERR_ARGUMENT, "brick");
    REFUSED(lw_model_brick(f.model, 2, &brick), LW_ERR_NOT_FOUND, "2");
    REFUSED(lw_model_brick(f.model, SIZE_MAX, &brick), LW_ERR_NOT_FOUND, "brick");
    brick.size = 1;
    REFUSED(lw_model_brick(f.model, 0, &brick), LW_ERR_ARGUMENT, "size");
    lw_layer layer = {.size = sizeof layer};
    REFUSED(lw_model_layer(NULL, 0, &layer), LW_ERR_ARGUMENT, "model");
    REFUSED(lw_model_layer(f.model, 0, NULL), LW_ERR_ARGUMENT, "layer");
    REFUSED(lw_model_layer(f.model, 2, &layer), LW_ERR_NOT_FOUND, "layer");
    layer.size = 0;
    REFUSED(lw_model_layer(f.model, 0, &layer), LW_ERR_ARGUMENT, "size");
    lw_parameter parameter = {.size = sizeof parameter};
    REFUSED(lw_model_parameter(NULL, 0, &parameter), LW_ERR_ARGUMENT, "model");
    REFUSED(lw_model_parameter(f.model, 0, NULL), LW_ERR_ARGUMENT, "parameter");
    REFUSED(lw_model_parameter(f.model, 10, &parameter), LW_ERR_NOT_FOUND, "10");
    parameter.size = 4;
    REFUSED(lw_model_parameter(f.model, 0, &parameter), LW_ERR_ARGUMENT, "size");
    size_t index = 123;
    REFUSED(lw_model_parameter_find(NULL, "head.bias", &index), LW_ERR_ARGUMENT, "model");
    REFUSED(lw_model_parameter_find(f.model, NULL, &index), LW_ERR_ARGUMENT, "name");
    REFUSED(lw_model_parameter_find(f.model, "head.bias", NULL), LW_ERR_ARGUMENT, "index");
    REFUSED(lw_model_parameter_find(f.model, "head.bia", &index), LW_ERR_NOT_FOUND, "head.bia");
    cr_expect_eq(index, 123);
    fixture_destroy(&f);
}

Test(misuse, parameters)
{
    struct fixture f;
    fixture_create(&f);
    float values[64] = {0}, copy[64];
    size_t index;
    OK(lw_model_parameter_find(f.other, "lstm.weight_hh_l0", &index));
    REFUSED(lw_model_parameter_get(NULL, index, values, 64), LW_ERR_ARGUMENT, "model");
    REFUSED(lw_model_parameter_get(f.other, index, NULL, 64), LW_ERR_ARGUMENT, "values");
    REFUSED(lw_model_parameter_get(f.other, index, values, 63), LW_ERR_SHAPE, "63");
    REFUSED(lw_model_parameter_get(f.other, index, values, SIZE_MAX), LW_ERR_SHAPE, "lstm.weight_hh_l0");
    REFUSED(lw_model_parameter_get(f.other, 10, values, 64), LW_ERR_NOT_FOUND, "parameter");
    REFUSED(lw_model_parameter_set(NULL, index, values, 64), LW_ERR_ARGUMENT, "model");
    REFUSED(lw_model_parameter_set(f.other, index, NULL, 64), LW_ERR_ARGUMENT, "values");
    REFUSED(lw_model_parameter_set(f.other, index, values, 65), LW_ERR_SHAPE, "65");
    REFUSED(lw_model_parameter_set(f.other, SIZE_MAX, values, 64), LW_ERR_NOT_FOUND, "parameter");
    REFUSED(lw_model_initialise(NULL, 1), LW_ERR_ARGUMENT, "model");
    /* A state and a context freeze a model, for good. */
    OK(lw_model_parameter_get(f.model, index, copy, 64));
    REFUSED(lw_model_parameter_set(f.model, index, values, 64), LW_ERR_BUSY, "model");
    REFUSED(lw_model_initialise(f.model, 1), LW_ERR_BUSY, "model");
    OK(lw_model_parameter_get(f.model, index, values, 64));
    cr_expect(memcmp(values, copy, sizeof copy) == 0);
    lw_state *state;
    OK(lw_state_create(f.other, 1, &state));
    REFUSED(lw_model_parameter_set(f.other, index, values, 64), LW_ERR_BUSY, "model");
    lw_state_destroy(state);
    fixture_destroy(&f);
}

Test(misuse, states)
{
    struct fixture f;
    fixture_create(&f);
    lw_state *state = (lw_state *)nowhere, *three, *others;
    REFUSED(lw_state_create(NULL, 1, &state), LW_ERR_ARGUMENT, "model");
    REFUSED(lw_state_create(f.model, 1, NULL), LW_ERR_ARGUMENT, "state");
    REFUSED(lw_state_create(f.model, LW_SIZE_MAX + 1, &state), LW_ERR_ARGUMENT, "rows");
    REFUSED(lw_state_create(f.model, SIZE_MAX, &state), LW_ERR_ARGUMENT, "rows");
    cr_expect_eq((void *)state, (void *)nowhere);
    OK(lw_state_create(f.model, 3, &three));
    OK(lw_state_create(f.other, B, &others));
    REFUSED(lw_state_reset(NULL), LW_ERR_ARGUMENT, "state");
    REFUSED(lw_state_copy(NULL, f.state), LW_ERR_ARGUMENT, "to");
    REFUSED(lw_state_copy(f.state, NULL), LW_ERR_ARGUMENT, "from");
    REFUSED(lw_state_copy(f.state, three), LW_ERR_SHAPE, "batch");
    REFUSED(lw_state_copy(f.state, others), LW_ERR_SHAPE, "model");
    float v[64] = {0};
    REFUSED(lw_state_get(NULL, 0, LW_FORWARD, LW_HIDDEN, v, 8), LW_ERR_ARGUMENT, "state");
    REFUSED(lw_state_get(f.state, 0, LW_FORWARD, LW_HIDDEN, NULL, 8), LW_ERR_ARGUMENT, "values");
    REFUSED(lw_state_get(f.state, 0, LW_FORWARD, LW_HIDDEN, v, 7), LW_ERR_SHAPE, "7");
    REFUSED(lw_state_get(f.state, 9, LW_FORWARD, LW_HIDDEN, v, 8), LW_ERR_NOT_FOUND, "layer 9");
    REFUSED(lw_state_get(f.state, 1, LW_FORWARD, LW_HIDDEN, v, 8), LW_ERR_NOT_FOUND, "layer 1");
    REFUSED(lw_state_get(f.state, 0, LW_BIDIRECTIONAL, LW_HIDDEN, v, 8), LW_ERR_ARGUMENT, "direction");
    REFUSED(lw_state_get(f.state, 0, (lw_direction)-1, LW_HIDDEN, v, 8), LW_ERR_ARGUMENT, "direction");
    REFUSED(lw_state_get(f.state, 0, LW_FORWARD, (lw_memory)2, v, 8), LW_ERR_ARGUMENT, "memory");
    REFUSED(lw_state_set(NULL, 0, LW_FORWARD, LW_HIDDEN, v, 8), LW_ERR_ARGUMENT, "state");
    REFUSED(lw_state_set(f.state, 0, LW_FORWARD, LW_CELL, NULL, 8), LW_ERR_ARGUMENT, "values");
    REFUSED(lw_state_set(f.state, 0, LW_FORWARD, LW_CELL, v, SIZE_MAX), LW_ERR_SHAPE, "values");
    REFUSED(lw_state_set(f.state, SIZE_MAX, LW_FORWARD, LW_CELL, v, 8), LW_ERR_NOT_FOUND, "layer");
    lw_state_destroy(three);
    lw_state_destroy(others);
    fixture_destroy(&f);
}

Test(misuse, memories_that_are_not_there)
{
    lw_brick brick = BRICK(LW_GRU, .input = 3, .hidden = 4);
    lw_model *model;
    lw_state *state;
    float v[4];
    OK(lw_model_create(&brick, 1, NULL, &model));
    OK(lw_state_create(model, 1, &state));
    REFUSED(lw_state_get(state, 0, LW_FORWARD, LW_CELL, v, 4), LW_ERR_NOT_FOUND, "cell");
    REFUSED(lw_state_get(state, 0, LW_REVERSE, LW_HIDDEN, v, 4), LW_ERR_NOT_FOUND, "direction");
    REFUSED(lw_state_set(state, 0, LW_REVERSE, LW_HIDDEN, v, 4), LW_ERR_NOT_FOUND, "direction");
    lw_state_destroy(state);
    lw_model_destroy(model);
}

Test(misuse, saved_states)
{
    struct fixture f;
    fixture_create(&f);
    size_t bytes = lw_state_bytes(f.state);
    char *buffer = malloc(bytes + 8), *flipped = malloc(bytes);
    memset(buffer, 0x55, bytes + 8);
    REFUSED(lw_state_save(NULL, buffer, bytes), LW_ERR_ARGUMENT, "state");
    REFUSED(lw_state_save(f.state, NULL, bytes), LW_ERR_ARGUMENT, "buffer");
    REFUSED(lw_state_save(f.state, buffer, bytes - 1), LW_ERR_SHAPE, "bytes");
    cr_expect_eq(buffer[0], 0x55, "a refused save wrote");
    OK(lw_state_save(f.state, buffer, bytes + 8));
    cr_expect_eq(buffer[bytes], 0x55, "a save wrote beyond lw_state_bytes");
    REFUSED(lw_state_restore(NULL, buffer, bytes), LW_ERR_ARGUMENT, "state");
    REFUSED(lw_state_restore(f.state, NULL, bytes), LW_ERR_ARGUMENT, "buffer");
    for (size_t n = 0; n < bytes + 8; n += n < 64 ? 1 : 13)
        if (n != bytes)
            REFUSED(lw_state_restore(f.state, buffer, n), LW_ERR_SHAPE, "bytes");
    /* Every bit of the header flipped: refused, and the state as it was. */
    for (size_t bit = 0; bit < 8 * 32; bit++) {
        memcpy(flipped, buffer, bytes);
        flipped[bit / 8] ^= (char)(1 << bit % 8);
        lw_status status = lw_state_restore(f.state, flipped, bytes);
        cr_expect(status == LW_ERR_FORMAT || status == LW_ERR_SHAPE, "bit %zu: %s", bit, lw_status_name(status));
    }
    /* Bytes of another model with as many floats. */
    lw_brick brick = BRICK(LW_GRU, .input = 3, .hidden = 8, .direction = LW_BIDIRECTIONAL);
    lw_model *gru;
    lw_state *other;
    OK(lw_model_create(&brick, 1, NULL, &gru));
    OK(lw_state_create(gru, B, &other));
    cr_assert_eq(lw_state_bytes(other), bytes);
    OK(lw_state_save(other, flipped, bytes));
    REFUSED(lw_state_restore(f.state, flipped, bytes), LW_ERR_SHAPE, "layers");
    lw_state_destroy(other);
    lw_model_destroy(gru);
    free(buffer);
    free(flipped);
    fixture_destroy(&f);
}

static void no_pool(void *pool, size_t count, void (*task)(void *argument, size_t index), void *argument)
{
    (void)pool;
    for (size_t k = 0; k < count; k++)
        task(argument, k);
}

Test(misuse, contexts)
{
    struct fixture f;
    fixture_create(&f);
    lw_context *context = (lw_context *)nowhere;
    REFUSED(lw_context_create(NULL, NULL, &context), LW_ERR_ARGUMENT, "model");
    REFUSED(lw_context_create(f.model, NULL, NULL), LW_ERR_ARGUMENT, "context");
    lw_context_options options = {.size = 2};
    REFUSED(lw_context_create(f.model, &options, &context), LW_ERR_ARGUMENT, "size");
    options = (lw_context_options)LW_CONTEXT_OPTIONS_INIT;
    options.threads = SIZE_MAX;
    REFUSED(lw_context_create(f.model, &options, &context), LW_ERR_ARGUMENT, "threads");
    cr_expect_eq((void *)context, (void *)nowhere);
    cr_expect_eq(lw_context_workspace_bytes(f.context, SIZE_MAX, SIZE_MAX), 0);
    cr_expect_eq(lw_context_workspace_bytes(f.context, SIZE_MAX / 2, 3), 0);
    cr_expect_gt(lw_context_workspace_bytes(f.context, 3, 3), 0);
    REFUSED(lw_context_reserve(NULL, 1, 1), LW_ERR_ARGUMENT, "context");
    REFUSED(lw_context_reserve(f.context, SIZE_MAX, SIZE_MAX), LW_ERR_SHAPE, "overflow");
    lw_status status = lw_context_reserve(f.context, (size_t)1 << 50, LW_SIZE_MAX);
    cr_expect(status == LW_ERR_SHAPE || status == LW_ERR_MEMORY, "%s", lw_status_name(status));
    /* A pool for one thread, which cannot run tasks at the same time, is never asked to. */
    options.threads = 1;
    options.parallel = no_pool;
    OK(lw_context_create(f.model, &options, &context));
    OK(lw_run(context, NULL, &f.io));
    lw_context_destroy(context);
    fixture_destroy(&f);
}
