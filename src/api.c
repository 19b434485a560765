/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions on states, contexts and runs: check, one call, return. No logic. */
#include <string.h>

#include "check.h"
#include "explain.h"
#include "forward.h"

lw_status lw_state_create(const lw_model *model, size_t batch, lw_state **state)
{
    CHECK_POINTER(model);
    CHECK_POINTER(state);
    lw_status status = lw_check_batch(batch);
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
    lw_status status = lw_take(&state->busy, "state");
    if (status)
        return status;
    lw_state_clear(state);
    lw_give(&state->busy);
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
    lw_status status = lw_take(&to->busy, "state");
    if (status)
        return status;
    memmove(to->vectors, from->vectors, lw_state_vector_bytes(to));
    lw_give(&to->busy);
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
    lw_status status = lw_take(&state->busy, "state");
    if (status)
        return status;
    status = lw_state_read(state, buffer);
    lw_give(&state->busy);
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
        status = lw_take(&state->busy, "state");
    if (status)
        return status;
    lw_rows_copy(&rows, state->batch, NULL, values);
    lw_give(&state->busy);
    return LW_OK;
}

lw_status lw_context_create(const lw_model *model, const lw_context_options *options, lw_context **context)
{
    CHECK_POINTER(model);
    CHECK_POINTER(context);
    if (options)
        CHECK_STRUCT(options, lw_context_options);
    lw_status status = lw_check_threads(options);
    return status ? status : lw_context_build(model, options, context);
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
    lw_status status = lw_take(&context->busy, "context");
    if (status)
        return status;
    status = lw_context_grow(context, floats);
    lw_give(&context->busy);
    return status;
}

lw_status lw_explain(const lw_context *context, size_t steps, size_t batch, const lw_limits *limits,
                     lw_explanation *explanation)
{
    CHECK_POINTER(context);
    CHECK_STRUCT(explanation, lw_explanation);
    if (limits)
        CHECK_STRUCT(limits, lw_limits);
    lw_status status = lw_check_batch(batch);
    return status ? status : lw_explain_run(context, steps, batch, limits, explanation);
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
    lw_status status = lw_check_io(context->model, &call.io);
    if (status)
        return status;
    if ((status = lw_take(&context->busy, "context")))
        return status;
    if (!state || !(status = lw_take(&state->busy, "state"))) {
        status = lw_forward_run(&call);
        if (state)
            lw_give(&state->busy);
    }
    lw_give(&context->busy);
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
    if (y && lw_overlap(x, state->batch * context->model->input, y, state->batch * context->model->output))
        return lw_fail(LW_ERR_ARGUMENT, "the input and the output overlap");
    if (!mark(&context->busy))
        return lw_fail(LW_ERR_BUSY, "another call is using this context: give each thread its own");
    lw_status status = LW_OK;
    if (mark(&state->busy)) {
        status = lw_forward_step(context, state, x, y);
        lw_give(&state->busy);
    } else {
        status = lw_fail(LW_ERR_BUSY, "another call is using this state: give each stream its own");
    }
    lw_give(&context->busy);
    return status;
}

/* Takes every state of a gathered step; gives back those that it took when one is in use. */
static lw_status take_states(lw_state *const *states, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        lw_status status = lw_take(&states[i]->busy, "state (or it is named twice)");
        if (status) {
            while (i-- > 0)
                lw_give(&states[i]->busy);
            return status;
        }
    }
    return LW_OK;
}

lw_status lw_step_many(lw_context *context, lw_state *const *states, size_t count, const float *x, float *y)
{
    CHECK_POINTER(context);
    if (count)
        CHECK_POINTER(states);
    lw_status status = lw_check_batch(count);
    if (status)
        return status;
    for (size_t i = 0; i < count; i++) {
        if (!states[i])
            return lw_fail(LW_ERR_ARGUMENT, "states[%zu] is NULL", i);
        if (states[i]->model != context->model)
            return lw_fail(LW_ERR_SHAPE, "states[%zu] and the context are of different models", i);
        if (states[i]->batch != 1)
            return lw_fail(LW_ERR_SHAPE, "states[%zu] has %zu rows, expected one row", i, states[i]->batch);
    }
    struct lw_call call = {.context = context, .states = states, .io = LW_IO_INIT};
    call.io.steps = 1;
    call.io.batch = count;
    call.io.input = x;
    call.io.output = y;
    if ((status = lw_check_io(context->model, &call.io)))
        return status;
    if ((status = lw_take(&context->busy, "context")))
        return status;
    if (!(status = take_states(states, count))) {
        status = lw_forward_run(&call);
        for (size_t i = 0; i < count; i++)
            lw_give(&states[i]->busy);
    }
    lw_give(&context->busy);
    return status;
}
