/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a tape: lw_tape_bytes grows with T as the header promises, is what the tape then holds, and says 0
 * where no machine has that much.
 */
#include <criterion/criterion.h>
#include <latchwork.h>
#include <malloc.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#define OK(call) cr_assert_eq((call), LW_OK, "%s: %s", #call, lw_error())

static lw_model *model_of(lw_kind kind, lw_direction direction, size_t layers, size_t projection)
{
    lw_brick brick = LW_BRICK_INIT(kind);
    brick.input = 32;
    brick.hidden = 64;
    brick.direction = direction;
    brick.layers = layers;
    brick.projection = projection;
    lw_model *model;
    OK(lw_model_create(&brick, 1, NULL, &model));
    OK(lw_model_initialise(model, 1));
    return model;
}

/* Floats that may follow a row, so that rows do not fall on each other in a cache. */
#define PADDING 16

/* Floats for each step and row: what the cells keep, each layer's input and output; and once, for the way back through
 * one layer, the gradients of its gates (a GRU has four) and some three of what lies between two layers. */
static size_t floats_allowed(const lw_model *model)
{
    static const size_t kept[] = {[LW_LSTM] = 5, [LW_GRU] = 4, [LW_RNN] = 0};
    static const size_t gates[] = {[LW_LSTM] = 4, [LW_GRU] = 4, [LW_RNN] = 1};
    size_t sum = 0, widest = lw_model_input_size(model), once = 0;
    for (size_t k = 0; k < lw_model_layer_count(model); k++) {
        lw_layer layer = {.size = sizeof layer};
        OK(lw_model_layer(model, k, &layer));
        size_t directions = layer.direction == LW_BIDIRECTIONAL ? 2 : 1, output = directions * layer.output;
        sum += kept[layer.kind] * layer.hidden * directions + layer.input + output;
        once = gates[layer.kind] * layer.hidden * directions;
        widest = output > widest ? output : widest;
        widest = layer.hidden > widest ? layer.hidden : widest;
    }
    return sum + once + 3 * (widest + PADDING);
}

/* Bytes that each further step takes for B rows. */
static size_t step_bytes(const lw_model *model, size_t B)
{
    lw_tape *tape;
    OK(lw_tape_create(model, NULL, &tape));
    size_t less = lw_tape_bytes(tape, 1024, B), more = lw_tape_bytes(tape, 2048, B);
    cr_assert(less > 0 && more > less, "no more memory for twice the steps");
    lw_tape_destroy(tape);
    return (more - less) / 1024;
}

/* A further layer takes what the header says and nothing else. */
Test(gradient_memory, a_layer_takes_what_is_promised)
{
    static const size_t kept[] = {[LW_LSTM] = 5, [LW_GRU] = 4, [LW_RNN] = 0};
    for (int kind = LW_LSTM; kind <= LW_RNN; kind++)
        for (int direction = LW_FORWARD; direction <= LW_BIDIRECTIONAL; direction++) {
            lw_model *three = model_of((lw_kind)kind, (lw_direction)direction, 3, 0);
            lw_model *four = model_of((lw_kind)kind, (lw_direction)direction, 4, 0);
            size_t B = 16, directions = direction == LW_BIDIRECTIONAL ? 2 : 1;
            size_t layer = step_bytes(four, B) - step_bytes(three, B);
            cr_expect_leq(layer, ((kept[kind] + 2) * 64 + PADDING) * directions * B * sizeof(float),
                          "kind %d, direction %d: a layer takes %zu floats a step and row, %zu beside its input and "
                          "output are promised",
                          kind, direction, layer / B / sizeof(float), kept[kind] * 64 * directions);
            lw_model_destroy(three);
            lw_model_destroy(four);
        }
}

/* Widths that are whole vectors, so that nothing but what is promised grows. */
Test(gradient_memory, grows_as_promised)
{
    static const size_t projections[] = {0, 16};
    for (int kind = LW_LSTM; kind <= LW_RNN; kind++)
        for (int direction = LW_FORWARD; direction <= LW_BIDIRECTIONAL; direction++)
            for (size_t layers = 1; layers <= 3; layers++)
                for (size_t k = 0; k < (kind == LW_LSTM ? 2 : 1); k++) {
                    lw_model *model = model_of((lw_kind)kind, (lw_direction)direction, layers, projections[k]);
                    lw_tape *tape;
                    OK(lw_tape_create(model, NULL, &tape));
                    size_t B = 16, previous = lw_tape_bytes(tape, 128, B), allowed = floats_allowed(model);
                    for (size_t T = 256; T <= 4096; T *= 2) {
                        size_t bytes = lw_tape_bytes(tape, T, B),
                               more = (bytes - previous) / (T / 2 * B) / sizeof(float);
                        cr_assert_gt(bytes, previous, "no more memory for twice the steps");
                        cr_expect_leq(more, allowed,
                                      "kind %d, direction %d, %zu layers, projection %zu, T %zu: %zu floats a step and "
                                      "row, %zu are allowed",
                                      kind, direction, layers, projections[k], T, more, allowed);
                        previous = bytes;
                    }
                    lw_tape_destroy(tape);
                    lw_model_destroy(model);
                }
}

/* The bytes that are said are the bytes that the heap gives: measured as what more steps take, because weights and a
 * context's workspace come on top. */
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static size_t heap(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* Forward and back, `times` times; the heap that the tape holds afterwards. */
static size_t held(const lw_model *model, size_t T, size_t B, size_t times, size_t *said)
{
    lw_tape *tape;
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    options.threads = 1;
    size_t count = lw_model_parameter_count(model), O = lw_model_output_size(model);
    float *x = calloc(T * B * lw_model_input_size(model), sizeof *x), *y = calloc(T * B * O, sizeof *y);
    float **parameters = calloc(count, sizeof *parameters), **gradients = calloc(count, sizeof *gradients);
    for (size_t k = 0; k < count; k++) {
        lw_parameter p = {.size = sizeof p};
        OK(lw_model_parameter(model, k, &p));
        parameters[k] = calloc(p.count, sizeof(float));
        gradients[k] = calloc(p.count, sizeof(float));
    }
    lw_io io = LW_IO_INIT;
    io.steps = T;
    io.batch = B;
    io.input = x;
    io.output = y;
    lw_gradients g = LW_GRADIENTS_INIT;
    g.output = y;
    g.parameters = gradients;
    g.input = x;
    size_t before = heap();
    OK(lw_tape_create(model, &options, &tape));
    for (size_t k = 0; k < times; k++) {
        OK(lw_tape_forward(tape, (const float *const *)parameters, NULL, &io));
        OK(lw_tape_backward(tape, &g));
    }
    size_t after = heap();
    *said = lw_tape_bytes(tape, T, B);
    lw_tape_destroy(tape);
    for (size_t k = 0; k < count; k++) {
        free(parameters[k]);
        free(gradients[k]);
    }
    free(parameters);
    free(gradients);
    free(x);
    free(y);
    return after - before;
}

Test(gradient_memory, holds_what_it_says)
{
    for (int kind = LW_LSTM; kind <= LW_RNN; kind++)
        for (int direction = LW_FORWARD; direction <= LW_BIDIRECTIONAL; direction++) {
            lw_model *model = model_of((lw_kind)kind, (lw_direction)direction, 2, 0);
            size_t said, said_short, ignored;
            size_t much = held(model, 400, 16, 1, &said), little = held(model, 100, 16, 1, &said_short);
            cr_expect_leq(much - little, (said - said_short) * 105 / 100,
                          "kind %d, direction %d: 300 steps more take %zu bytes, %zu are said", kind, direction,
                          much - little, said - said_short);
            cr_expect_geq(much - little, (said - said_short) * 95 / 100,
                          "kind %d, direction %d: 300 steps more take %zu bytes, %zu are said", kind, direction,
                          much - little, said - said_short);
            cr_expect_leq(held(model, 100, 16, 5, &ignored), little + 4096, "the same again takes more memory");
            lw_model_destroy(model);
        }
}
#endif

Test(gradient_memory, sizes_that_overflow)
{
    lw_model *model = model_of(LW_LSTM, LW_BIDIRECTIONAL, 2, 0);
    lw_tape *tape;
    OK(lw_tape_create(model, NULL, &tape));
    cr_expect_eq(lw_tape_bytes(NULL, 1, 1), 0);
    cr_expect_eq(lw_tape_bytes(tape, SIZE_MAX, 1), 0);
    cr_expect_eq(lw_tape_bytes(tape, 1, SIZE_MAX), 0);
    cr_expect_eq(lw_tape_bytes(tape, SIZE_MAX, SIZE_MAX), 0);
    cr_expect_eq(lw_tape_bytes(tape, SIZE_MAX / 4, 4), 0);
    /* From steps that overflow over floats that do to bytes that do: none wraps around. */
    const double most = (double)SIZE_MAX;
    const double step = (double)(lw_tape_bytes(tape, 3000, 1) - lw_tape_bytes(tape, 2000, 1)) / 1000;
    for (size_t steps = SIZE_MAX; steps > 1 << 20; steps -= steps / 8) {
        const double expected = step * (double)steps, said = (double)lw_tape_bytes(tape, steps, 1);
        cr_expect(expected < 1.01 * most || said == 0.0, "%zu steps take %g bytes", steps, said);
        cr_expect(expected > 0.99 * most || fabs(said - expected) < 0.01 * expected, "%zu steps take %g bytes, not %g",
                  steps, said, expected);
    }
    cr_expect_eq(lw_tape_bytes(tape, (size_t)1 << 32, (size_t)1 << 32), 0);
    cr_expect_gt(lw_tape_bytes(tape, 1, 1), 0);
    lw_tape_destroy(tape);
    lw_model_destroy(model);
}
