/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions on states, contexts and runs: check, one call, return. No logic. */
#include <string.h>

#include "check.h"
#include "explain.h"
#include "forward.h"

/* An object that a call uses; a second call at the same time is refused. */
static lw_status take(atomic_int *busy, const char *what)
{
    int idle = 0;
    if (atomic_compare_exchange_strong_explicit(busy, &idle, 1, memory_order_acquire, memory_order_relaxed))
        return LW_OK;
    return lw_fail(LW_ERR_BUSY, "another call is using this %s: give each thread its own", what);
}

static void give(atomic_int *busy)
{
    atomic_store_explicit(busy, 0, memory_order_release);
}

static lw_status check_batch(size_t batch)
{
    if (batch <= LW_SIZE_MAX)
        return LW_OK;
    return lw_fail(LW_ERR_ARGUMENT, "a batch of %zu rows, expected at most %zu", batch, LW_SIZE_MAX);
}

lw_status lw_state_create(const lw_model *model, size_t batch, lw_state **state)
{
    CHECK_POINTER(model);
    CHECK_POINTER(state);
    lw_status status = check_batch(batch);
    return status ? status : lw_state_build(model, batch, state);
}

void lw_state_destroy(lw_state *state)
{
    lw_state_free(state);
}

size_t lw_state_batch(const lw_state *state)
{
    return state ? state->batch : 0;
}

lw_status lw_state_reset(lw_state *state)
{
    CHECK_POINTER(state);
    lw_status status = take(&state->busy, "state");
    if (status)
        return status;
    lw_state_clear(state);
    give(&state->busy);
    return LW_OK;
}

lw_status lw_state_copy(lw_state *to, const lw_state *from)
{
    CHECK_POINTER(to);
    CHECK_POINTER(from);
    if (to->model != from->model || to->batch != from->batch)
        return lw_fail(LW_ERR_SHAPE,
                       "lw_state_copy: both states must be of the same model and batch (%zu and %zu rows)", to->batch,
                       from->batch);
    lw_status status = take(&to->busy, "state");
    if (status)
        return status;
    memmove(to->vectors, from->vectors, lw_state_vector_bytes(to));
    give(&to->busy);
    return LW_OK;
}

size_t lw_state_bytes(const lw_state *state)
{
    return state ? lw_state_saved_bytes(state) : 0;
}

lw_status lw_state_save(const lw_state *state, void *buffer, size_t bytes)
{
    CHECK_POINTER(state);
    CHECK_POINTER(buffer);
    if (bytes < lw_state_saved_bytes(state))
        return lw_fail(LW_ERR_SHAPE, "lw_state_save: a buffer of %zu bytes, expected %zu", bytes,
                       lw_state_saved_bytes(state));
    lw_state_write(state, buffer);
    return LW_OK;
}

lw_status lw_state_restore(lw_state *state, const void *buffer, size_t bytes)
{
    CHECK_POINTER(state);
    CHECK_POINTER(buffer);
    if (bytes != lw_state_saved_bytes(state))
        return lw_fail(LW_ERR_SHAPE, "lw_state_restore: %zu bytes, but a saved state of this model and batch has %zu",
                       bytes, lw_state_saved_bytes(state));
    lw_status status = take(&state->busy, "state");
    if (status)
        return status;
    status = lw_state_read(state, buffer);
    give(&state->busy);
    return status;
}

/* Finds the rows of one layer's vector in a state. */
static lw_status locate(const lw_state *state, size_t layer, lw_direction direction, lw_memory memory, size_t count,
                        struct lw_rows *rows)
{
    const lw_model *model = state->model;
    if (layer >= model->level_count)
        return lw_fail(LW_ERR_NOT_FOUND, "no layer %zu: the model has %zu", layer, model->level_count);
    if ((direction != LW_FORWARD && direction != LW_REVERSE) || (memory != LW_HIDDEN && memory != LW_CELL))
        return lw_fail(LW_ERR_ARGUMENT,
                       "direction %d and memory %d, expected LW_FORWARD or LW_REVERSE and LW_HIDDEN or "
                       "LW_CELL",
                       (int)direction, (int)memory);
    if (!lw_state_rows(state, layer, direction, memory, rows))
        return lw_fail(LW_ERR_NOT_FOUND, "layer %zu (%s) has no %s of that direction", layer,
                       model->levels[layer].cell->name, memory == LW_HIDDEN ? "hidden state" : "cell memory");
    if (count != state->batch * rows->width)
        return lw_fail(LW_ERR_SHAPE, "%zu values, expected %zu rows of %zu", count, state->batch, rows->width);
    return LW_OK;
}

lw_status lw_state_get(const lw_state *state, size_t layer, lw_direction direction, lw_memory memory, float *values,
                       size_t count)
{
    CHECK_POINTER(state);
    CHECK_POINTER(values);
    struct lw_rows rows;
    lw_status status = locate(state, layer, direction, memory, count, &rows);
    if (!status)
        lw_rows_copy(&rows, state->batch, values, NULL);
    return status;
}

lw_status lw_state_set(lw_state *state, size_t layer, lw_direction direction, lw_memory memory, const float *values,
                       size_t count)
{
    CHECK_POINTER(state);
    CHECK_POINTER(values);
    struct lw_rows rows;
    lw_status status = locate(state, layer, direction, memory, count, &rows);
    if (!status)
        status = take(&state->busy, "state");
    if (status)
        return status;
    lw_rows_copy(&rows, state->batch, NULL, values);
    give(&state->busy);
    return LW_OK;
}

lw_status lw_context_create(const lw_model *model, const lw_context_options *options, lw_context **context)
{
    CHECK_POINTER(model);
    CHECK_POINTER(context);
    if (options) {
        CHECK_STRUCT(options, lw_context_options);
        if (options->threads > LW_MOST_THREADS)
            return lw_fail(LW_ERR_ARGUMENT, "%zu threads, expected at most %d", options->threads, LW_MOST_THREADS);
    }
    return lw_context_build(model, options, context);
}

void lw_context_destroy(lw_context *context)
{
    lw_context_free(context);
}

size_t lw_context_workspace_bytes(const lw_context *context, size_t steps, size_t batch)
{
    size_t floats;
    if (!context || !lw_context_need(context, steps, batch, &floats))
        return 0;
    return floats * sizeof(float);
}

lw_status lw_context_reserve(lw_context *context, size_t steps, size_t batch)
{
    CHECK_POINTER(context);
    size_t floats;
    if (!lw_context_need(context, steps, batch, &floats))
        return lw_fail(LW_ERR_SHAPE, "the workspace of %zu steps and %zu rows overflows", steps, batch);
    lw_status status = take(&context->busy, "context");
    if (status)
        return status;
    status = lw_context_grow(context, floats);
    give(&context->busy);
    return status;
}

lw_status lw_explain(const lw_context *context, size_t steps, size_t batch, const lw_limits *limits,
                     lw_explanation *explanation)
{
    CHECK_POINTER(context);
    CHECK_STRUCT(explanation, lw_explanation);
    if (limits)
        CHECK_STRUCT(limits, lw_limits);
    lw_status status = check_batch(batch);
    return status ? status : lw_explain_run(context, steps, batch, limits, explanation);
}

/* Rows of `width` floats at strides that are dense by default; *floats is the extent from the first float to the one
 * behind the last. */
static lw_status check_strides(const char *what, size_t steps, size_t batch, size_t width, size_t *step_stride,
                               size_t *row_stride, size_t *floats)
{
    if (*step_stride == 0 && *row_stride == 0) {
        *row_stride = width;
        if (!lw_mul(batch, width, step_stride))
            return lw_fail(LW_ERR_SHAPE, "%s: %zu rows of %zu floats overflow", what, batch, width);
    }
    *floats = 0;
    if (steps == 0 || batch == 0)
        return LW_OK;
    size_t rows = batch - 1, last = steps - 1, row_extent, step_extent, bytes;
    if (!lw_mul(rows, *row_stride, &row_extent) || !lw_mul(last, *step_stride, &step_extent) ||
        !lw_add(row_extent, step_extent, floats) || !lw_add(*floats, width, floats) ||
        !lw_mul(*floats, sizeof(float), &bytes))
        return lw_fail(LW_ERR_SHAPE, "%s: %zu steps of %zu rows of %zu floats overflow", what, steps, batch, width);
    /* Rows must not overlap each other, time first or batch first. */
    bool time_first = (rows == 0 || *row_stride >= width) && (last == 0 || *step_stride >= row_extent + width);
    bool batch_first = (last == 0 || *step_stride >= width) && (rows == 0 || *row_stride >= step_extent + width);
    if (!time_first && !batch_first)
        return lw_fail(LW_ERR_SHAPE, "%s: strides of %zu (step) and %zu (row) make rows of %zu floats overlap", what,
                       *step_stride, *row_stride, width);
    return LW_OK;
}

static bool overlap(const float *a, size_t a_floats, const float *b, size_t b_floats)
{
    uintptr_t a0 = (uintptr_t)a, b0 = (uintptr_t)b;
    return a_floats && b_floats && a0 < b0 + b_floats * sizeof(float) && b0 < a0 + a_floats * sizeof(float);
}

static size_t probe_floats(const lw_model *model, const lw_io *io, const lw_probe *probe)
{
    return io->steps * io->batch * model->levels[probe->layer].cell->signal_count * probe->unit_count;
}

static lw_status check_probe(const lw_model *model, const lw_io *io, size_t index, size_t input_floats,
                             size_t output_floats)
{
    const lw_probe *probe = &io->probes[index];
    if (probe->size != sizeof(lw_probe))
        return lw_fail(LW_ERR_ARGUMENT, "probe %zu: size is %zu, expected %zu", index, probe->size, sizeof(lw_probe));
    if (probe->layer >= model->level_count || !model->levels[probe->layer].cell->signal_count)
        return lw_fail(LW_ERR_NOT_FOUND, "probe %zu: layer %zu is no recurrent layer of the model", index,
                       probe->layer);
    const struct lw_level *level = &model->levels[probe->layer];
    size_t d;
    if (!lw_level_direction(level, probe->direction, &d))
        return lw_fail(LW_ERR_NOT_FOUND, "probe %zu: layer %zu does not run in direction %d", index, probe->layer,
                       (int)probe->direction);
    for (size_t i = 0; i < probe->unit_count; i++)
        if ((probe->units ? probe->units[i] : i) >= level->hidden)
            return lw_fail(LW_ERR_ARGUMENT, "probe %zu: unit %zu, but layer %zu has %zu units", index,
                           probe->units ? probe->units[i] : i, probe->layer, level->hidden);
    size_t need;
    if (!lw_mul(io->steps, io->batch, &need) || !lw_mul(need, level->cell->signal_count, &need) ||
        !lw_mul(need, probe->unit_count, &need))
        return lw_fail(LW_ERR_SHAPE, "probe %zu: the number of its values overflows", index);
    if (need > probe->capacity)
        return lw_fail(LW_ERR_SHAPE, "probe %zu: room for %zu floats, expected %zu", index, probe->capacity, need);
    if (need && !probe->values)
        return lw_fail(LW_ERR_ARGUMENT, "probe %zu: values is NULL", index);
    if (overlap(probe->values, need, io->input, input_floats) ||
        (io->output && overlap(probe->values, need, io->output, output_floats)))
        return lw_fail(LW_ERR_ARGUMENT, "probe %zu: its values overlap the input or the output", index);
    for (size_t i = 0; i < index; i++)
        if (overlap(probe->values, need, io->probes[i].values, probe_floats(model, io, &io->probes[i])))
            return lw_fail(LW_ERR_ARGUMENT, "probe %zu: its values overlap those of probe %zu", index, i);
    return LW_OK;
}

/* Checks a run and completes its strides. */
static lw_status check_io(const lw_model *model, lw_io *io)
{
    size_t input_floats, output_floats = 0, output_steps = io->output_kind == LW_OUTPUT_LAST ? 1 : io->steps;
    if (io->output_kind != LW_OUTPUT_SEQUENCE && io->output_kind != LW_OUTPUT_LAST)
        return lw_fail(LW_ERR_ARGUMENT, "output_kind is %d, expected LW_OUTPUT_SEQUENCE or LW_OUTPUT_LAST",
                       (int)io->output_kind);
    lw_status status = check_batch(io->batch);
    if (!status)
        status = check_strides("input", io->steps, io->batch, model->input, &io->input_step_stride,
                               &io->input_row_stride, &input_floats);
    if (io->output_kind == LW_OUTPUT_LAST)
        io->output_step_stride = io->output_row_stride = 0;
    if (!status)
        status = check_strides("output", output_steps, io->batch, model->output, &io->output_step_stride,
                               &io->output_row_stride, &output_floats);
    if (status)
        return status;
    if (input_floats && !io->input)
        return lw_fail(LW_ERR_ARGUMENT, "input is NULL, expected %zu steps of %zu rows of %zu floats", io->steps,
                       io->batch, model->input);
    if (io->output && overlap(io->input, input_floats, io->output, output_floats))
        return lw_fail(LW_ERR_ARGUMENT, "the input and the output overlap");
    for (size_t row = 0; io->lengths && row < io->batch; row++)
        if (io->lengths[row] > io->steps)
            return lw_fail(LW_ERR_SHAPE, "lengths[%zu] is %zu, expected 0 to %zu", row, io->lengths[row], io->steps);
    if (io->probe_count && !io->probes)
        return lw_fail(LW_ERR_ARGUMENT, "probes is NULL, but probe_count is %zu", io->probe_count);
    for (size_t i = 0; i < io->probe_count && !status; i++)
        status = check_probe(model, io, i, input_floats, output_floats);
    return status;
}

lw_status lw_run(lw_context *context, lw_state *state, const lw_io *io)
{
    CHECK_POINTER(context);
    CHECK_STRUCT(io, lw_io);
    if (state && (state->model != context->model || state->batch != io->batch))
        return lw_fail(LW_ERR_SHAPE,
                       state->model != context->model ? "the state and the context are of different models"
                                                      : "the state has %zu rows, but the batch is %zu",
                       state->batch, io->batch);
    struct lw_call call = {.context = context, .state = state, .io = *io};
    lw_status status = check_io(context->model, &call.io);
    if (status)
        return status;
    if ((status = take(&context->busy, "context")))
        return status;
    if (!state || !(status = take(&state->busy, "state"))) {
        status = lw_forward_run(&call);
        if (state)
            give(&state->busy);
    }
    give(&context->busy);
    return status;
}

/* Steps check the busy marks without taking them: a plain load and store each, so a step has no locked instruction. */
static bool mark(atomic_int *busy)
{
    if (atomic_load_explicit(busy, memory_order_relaxed))
        return false;
    atomic_store_explicit(busy, 1, memory_order_relaxed);
    return true;
}

lw_status lw_step(lw_context *context, lw_state *state, const float *x, float *y)
{
    CHECK_POINTER(context);
    CHECK_POINTER(state);
    CHECK_POINTER(x);
    if (state->model != context->model)
        return lw_fail(LW_ERR_SHAPE, "the state and the context are of different models");
    if (y && overlap(x, state->batch * context->model->input, y, state->batch * context->model->output))
        return lw_fail(LW_ERR_ARGUMENT, "the input and the output overlap");
    if (!mark(&context->busy))
        return lw_fail(LW_ERR_BUSY, "another call is using this context: give each thread its own");
    lw_status status = LW_OK;
    if (mark(&state->busy)) {
        status = lw_forward_step(context, state, x, y);
        give(&state->busy);
    } else {
        status = lw_fail(LW_ERR_BUSY, "another call is using this state: give each stream its own");
    }
    give(&context->busy);
    return status;
}

/* Takes every state of a gathered step; gives back those that it took when one is in use. */
static lw_status take_states(lw_state *const *states, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        lw_status status = take(&states[i]->busy, "state (or it is named twice)");
        if (status) {
            while (i-- > 0)
                give(&states[i]->busy);
            return status;
        }
    }
    return LW_OK;
}

lw_status lw_step_many(lw_context *context, lw_state *const *states, size_t count, const float *x, float *y)
{
    CHECK_POINTER(context);
    CHECK_POINTER(states);
    for (size_t i = 0; i < count; i++) {
        if (!states[i])
            return lw_fail(LW_ERR_ARGUMENT, "states[%zu] is NULL", i);
        if (states[i]->model != context->model || states[i]->batch != 1)
            return lw_fail(LW_ERR_SHAPE, "states[%zu] must be of the context's model and have one row, it has %zu", i,
                           states[i]->batch);
    }
    struct lw_call call = {.context = context, .states = states, .io = LW_IO_INIT};
    call.io.steps = 1;
    call.io.batch = count;
    call.io.input = x;
    call.io.output = y;
    lw_status status = check_io(context->model, &call.io);
    if (status)
        return status;
    if ((status = take(&context->busy, "context")))
        return status;
    if (!(status = take_states(states, count))) {
        status = lw_forward_run(&call);
        for (size_t i = 0; i < count; i++)
            give(&states[i]->busy);
    }
    give(&context->busy);
    return status;
}
