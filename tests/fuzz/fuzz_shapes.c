/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the input is a program of calls on a model, a state and a context, with shapes, strides and lengths of
 * all kinds, odd ones among them. A call that is right must succeed, any other must be refused with a sentence; what
 * lies beside the buffers stays as it is. The last run gives the same bits as the first.
 */
#include "random_model.h"

#define MOST_FLOATS ((size_t)1 << 14) /* of a buffer */
#define MOST_STEPS 12
#define MOST_ROWS 9

struct rig {
    struct source *source;
    lw_model *model;
    lw_context *context;
    lw_state *state;
    size_t in, out, batch;
};

/* The floats that rows at these strides take; 0 where that is too many to try. */
static size_t extent(size_t steps, size_t batch, size_t width, size_t step, size_t row)
{
    size_t a, b, total;
    if (step == 0 && row == 0) {
        row = width;
        step = batch * width;
    }
    if (steps == 0 || batch == 0)
        return 0;
    if (__builtin_mul_overflow(steps - 1, step, &a) || __builtin_mul_overflow(batch - 1, row, &b) ||
        __builtin_add_overflow(a, b, &total) || __builtin_add_overflow(total, width, &total) || total > MOST_FLOATS)
        return 0;
    return total;
}

static void draw_strides(struct source *source, size_t steps, size_t batch, size_t width, size_t *step, size_t *row,
                         int *odd)
{
    size_t gap = take_below(source, 3);
    switch (take_below(source, 5)) {
    case 0:
        *step = width + gap;
        *row = steps * *step;
        break;
    case 1:
        *row = width + gap;
        *step = batch * *row + gap;
        break;
    case 2:
        *step = take_size(source, 300, odd);
        *row = take_size(source, 300, odd);
        *odd = 1;
        break;
    default:
        *step = *row = 0;
    }
}

static void act_run(struct rig *rig)
{
    struct source *source = rig->source;
    int odd = 0, use_state = (int)take_below(source, 2);
    size_t lengths[MOST_ROWS];
    lw_io io = LW_IO_INIT;
    io.steps = take_below(source, MOST_STEPS + 1);
    io.batch = use_state ? rig->batch : take_below(source, MOST_ROWS + 1);
    if (take_below(source, 16) == 15)
        io.steps = take_size(source, MOST_STEPS, &odd);
    if (take_below(source, 16) == 15)
        io.batch = take_size(source, MOST_ROWS, &odd), odd = 1;
    if (io.steps == 0 && io.batch > UINT16_MAX && io.batch <= LW_SIZE_MAX)
        io.batch = MOST_ROWS; /* allowed, and a walk over all those rows */
    draw_strides(source, io.steps, io.batch, rig->in, &io.input_step_stride, &io.input_row_stride, &odd);
    io.output_kind = (lw_output)take_below(source, 2);
    size_t scored = io.output_kind == LW_OUTPUT_LAST ? 1 : io.steps;
    draw_strides(source, io.steps, io.batch, rig->out, &io.output_step_stride, &io.output_row_stride, &odd);
    size_t given = extent(io.steps, io.batch, rig->in, io.input_step_stride, io.input_row_stride);
    size_t made = io.output_kind == LW_OUTPUT_LAST
                      ? extent(1, io.batch, rig->out, 0, 0)
                      : extent(scored, io.batch, rig->out, io.output_step_stride, io.output_row_stride);
    float *x = guard_floats(given), *y = guard_floats(made);
    MUST(x && y);
    take_floats(source, x, given < 32 ? given : 32);
    if (take_below(source, 3) == 1 && io.batch <= MOST_ROWS) {
        for (size_t row = 0; row < io.batch; row++) {
            lengths[row] = take_below(source, io.steps + 1);
            if (take_below(source, 32) == 31)
                lengths[row] = take_size(source, MOST_STEPS, &odd), odd = 1;
        }
        io.lengths = lengths;
    }
    /* Buffers that are too large to be had stand for nothing: the call must say no by the sizes alone. */
    io.input = x;
    io.output = take_below(source, 8) == 7 || !made ? NULL : y;
    odd |= !given;
    if (!given)
        io.input = NULL;
    lw_status status = lw_run(rig->context, use_state ? rig->state : NULL, &io);
    MUST(status == LW_OK || odd);
    MUST(status == LW_OK || lw_error()[0]);
    guard_free(x);
    guard_free(y);
}

static void act_probe(struct rig *rig)
{
    struct source *source = rig->source;
    size_t units[4], count = take_below(source, 5), steps = 1 + take_below(source, 4);
    int odd = 0;
    lw_probe probe = LW_PROBE_INIT;
    lw_layer layer = {.size = sizeof layer};
    probe.layer = take_below(source, 5);
    probe.direction = (lw_direction)take_below(source, 3);
    size_t hidden = lw_model_layer(rig->model, probe.layer, &layer) == LW_OK ? layer.hidden : 0;
    for (size_t k = 0; k < 4; k++)
        units[k] = take_below(source, hidden + 1);
    probe.units = take_below(source, 2) ? units : NULL;
    probe.unit_count = count;
    size_t room = steps * rig->batch * (hidden ? layer.signals : 1) * count;
    probe.capacity = take_below(source, 8) == 7 ? take_size(source, 64, &odd) : room;
    float *values = guard_floats(probe.capacity < room ? room : probe.capacity > MOST_FLOATS ? room : probe.capacity);
    float *x = guard_floats(steps * rig->batch * rig->in);
    MUST(values && x);
    probe.values = values;
    lw_io io = LW_IO_INIT;
    io.steps = steps;
    io.batch = rig->batch;
    io.input = x;
    io.probes = &probe;
    io.probe_count = 1;
    lw_status status = lw_run(rig->context, rig->state, &io);
    MUST(status == LW_OK || lw_error()[0]);
    guard_free(values);
    guard_free(x);
}

static void act_step(struct rig *rig)
{
    struct source *source = rig->source;
    size_t streams = take_below(source, 4);
    lw_state *states[3] = {NULL};
    float *x = guard_floats((rig->batch + 3) * rig->in), *y = guard_floats((rig->batch + 3) * rig->out);
    MUST(x && y);
    take_floats(source, x, rig->in);
    MUST(lw_step(rig->context, rig->state, x, take_below(source, 4) == 3 ? NULL : y) == LW_OK);
    for (size_t k = 0; k < streams; k++)
        MUST(lw_state_create(rig->model, 1, &states[k]) == LW_OK);
    int twice = streams == 3 && take_below(source, 4) == 3;
    lw_state *kept = states[2];
    if (twice)
        states[2] = states[0];
    lw_status status = lw_step_many(rig->context, states, streams, x, y);
    MUST(status == (twice ? LW_ERR_BUSY : LW_OK));
    states[2] = kept;
    for (size_t k = 0; k < streams; k++)
        lw_state_destroy(states[k]);
    guard_free(x);
    guard_free(y);
}

static void act_state(struct rig *rig)
{
    struct source *source = rig->source;
    size_t layer = take_below(source, 6), bytes = lw_state_bytes(rig->state);
    lw_direction direction = (lw_direction)((int)take_below(source, 4) - 1);
    lw_memory memory = (lw_memory)((int)take_below(source, 4) - 1);
    lw_layer facts = {.size = sizeof facts};
    size_t width = lw_model_layer(rig->model, layer, &facts) ? 1 : memory == LW_CELL ? facts.hidden : facts.output;
    size_t count = rig->batch * width + (take_below(source, 8) == 7);
    float *values = guard_floats(count);
    unsigned char *saved = malloc(bytes);
    MUST(values && saved);
    take_floats(source, values, count < 16 ? count : 16);
    if (lw_state_set(rig->state, layer, direction, memory, values, count) == LW_OK) {
        float *back = guard_floats(count);
        MUST(back && lw_state_get(rig->state, layer, direction, memory, back, count) == LW_OK);
        MUST(memcmp(back, values, count * sizeof *values) == 0);
        guard_free(back);
    }
    MUST(lw_state_save(rig->state, saved, bytes) == LW_OK);
    MUST(bytes == 0 || lw_state_save(rig->state, saved, bytes - 1) == LW_ERR_SHAPE);
    /* Damage in the header must be seen; in the numbers it is only another number. */
    size_t at = take_below(source, bytes);
    unsigned char change = (unsigned char)take_byte(source);
    saved[at] ^= change;
    lw_status status = lw_state_restore(rig->state, saved, bytes);
    MUST(status == (at < 32 && change ? status == LW_ERR_SHAPE ? LW_ERR_SHAPE : LW_ERR_FORMAT : LW_OK));
    free(saved);
    guard_free(values);
}

static void act_tune(struct rig *rig)
{
    struct source *source = rig->source;
    int odd = 0;
    size_t steps = take_size(source, MOST_STEPS, &odd), batch = take_size(source, MOST_ROWS, &odd);
    lw_explanation explanation = {.size = sizeof explanation};
    lw_status status = lw_explain(rig->context, steps, batch, NULL, &explanation);
    MUST(status == LW_OK || odd);
    size_t bytes = lw_context_workspace_bytes(rig->context, steps, batch);
    if (!odd)
        MUST(bytes > 0 && lw_context_reserve(rig->context, steps, batch) == LW_OK);
    else if (bytes < ((size_t)1 << 24))
        lw_context_reserve(rig->context, steps, batch);
}

static void act_objects(struct rig *rig)
{
    struct source *source = rig->source;
    int odd = 0;
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    lw_context *context = NULL;
    lw_state *state = NULL;
    options.threads = take_below(source, 8) == 7 ? take_size(source, 4, &odd) : 1 + take_below(source, 3);
    lw_status status = lw_context_create(rig->model, &options, &context);
    MUST(status == LW_OK || odd);
    if (!status) {
        lw_context_destroy(rig->context);
        rig->context = context;
    }
    odd = 0;
    size_t batch = take_below(source, 4) == 3 ? take_size(source, MOST_ROWS, &odd) : take_below(source, MOST_ROWS);
    if (odd && batch && batch <= LW_SIZE_MAX)
        return; /* it would be had, but is of no use here */
    status = lw_state_create(rig->model, batch, &state);
    MUST(status == LW_OK || odd);
    if (!status) {
        if (batch == rig->batch)
            MUST(lw_state_copy(state, rig->state) == LW_OK);
        else
            MUST(lw_state_copy(state, rig->state) == LW_ERR_SHAPE);
        lw_state_destroy(rig->state);
        rig->state = state;
        rig->batch = batch;
    }
}

static void act_parameters(struct rig *rig)
{
    struct source *source = rig->source;
    size_t index = take_below(source, lw_model_parameter_count(rig->model) + 1), found;
    lw_parameter parameter = {.size = sizeof parameter};
    if (lw_model_parameter(rig->model, index, &parameter)) {
        MUST(index == lw_model_parameter_count(rig->model));
        return;
    }
    MUST(lw_model_parameter_find(rig->model, parameter.name, &found) == LW_OK && found == index);
    float *values = guard_floats(parameter.count);
    MUST(values && lw_model_parameter_get(rig->model, index, values, parameter.count) == LW_OK);
    MUST(lw_model_parameter_get(rig->model, index, values, parameter.count - 1) == LW_ERR_SHAPE);
    MUST(lw_model_parameter_set(rig->model, index, values, parameter.count) == LW_ERR_BUSY);
    MUST(lw_model_initialise(rig->model, 1) == LW_ERR_BUSY);
    guard_free(values);
}

/* Three steps of two rows from zero; `y` is (3, 2, O). */
static void fixed_run(const struct rig *rig, float *y)
{
    float *x = guard_floats(6 * rig->in);
    MUST(x);
    for (size_t k = 0; k < 6 * rig->in; k++)
        x[k] = (float)(k % 5) * 0.5f - 1.0f;
    lw_io io = LW_IO_INIT;
    io.steps = 3;
    io.batch = 2;
    io.input = x;
    io.output = y;
    MUST(lw_run(rig->context, NULL, &io) == LW_OK);
    guard_free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const acts[])(struct rig *) = {act_run,   act_run,  act_probe,   act_step,
                                                 act_state, act_tune, act_objects, act_parameters};
    struct source source = {data, size};
    struct random_model drawn;
    struct rig rig = {.source = &source, .batch = 2};
    draw_bricks(&source, 0, &drawn);
    if (!(rig.model = create_model(&source, &drawn)))
        return 0;
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    options.threads = 1;
    rig.in = lw_model_input_size(rig.model);
    rig.out = lw_model_output_size(rig.model);
    lw_status status = lw_context_create(rig.model, &options, &rig.context);
    if (status) {
        MUST(status == LW_ERR_MEMORY && drawn.odd); /* the model is small, but not a row of its input */
        lw_model_destroy(rig.model);
        return 0;
    }
    MUST(lw_state_create(rig.model, rig.batch, &rig.state) == LW_OK);
    float *first = guard_floats(6 * rig.out), *last = guard_floats(6 * rig.out);
    MUST(first && last);
    fixed_run(&rig, first);
    for (int calls = 0; calls < 24 && source.left; calls++)
        acts[take_below(&source, sizeof acts / sizeof *acts)](&rig);
    fixed_run(&rig, last);
    MUST(memcmp(first, last, 6 * rig.out * sizeof *first) == 0);
    guard_free(first);
    guard_free(last);
    lw_state_destroy(rig.state);
    lw_context_destroy(rig.context);
    lw_model_destroy(rig.model);
    return 0;
}
