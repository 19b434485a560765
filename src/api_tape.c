/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions on tapes: check, one call, return. No logic. */
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "tape.h"

lw_status lw_tape_create(const lw_model *model, const lw_context_options *options, lw_tape **tape)
{
    CHECK_POINTER(model);
    CHECK_POINTER(tape);
    if (options)
        CHECK_STRUCT(options, lw_context_options);
    lw_status status = lw_check_threads(options);
    return status ? status : lw_tape_build(model, options, tape);
}

void lw_tape_destroy(lw_tape *tape)
{
    lw_tape_free(tape);
}

size_t lw_tape_bytes(const lw_tape *tape, size_t steps, size_t batch)
{
    return tape ? lw_retrace_need(tape, steps, batch) : 0;
}

lw_status lw_tape_set_segment(lw_tape *tape, size_t steps)
{
    CHECK_POINTER(tape);
    if (steps && tape->model->has_reverse)
        return lw_fail(LW_ERR_UNSUPPORTED, "a reverse layer needs the whole sequence, which segments would cut");
    lw_status status = lw_take(&tape->busy, "tape");
    if (status)
        return status;
    tape->segment = steps;
    tape->recorded = false;
    lw_give(&tape->busy);
    return LW_OK;
}

static lw_status check_rates(const lw_regularisation *r)
{
    const struct {
        const char *name;
        double value;
    } rates[] = {{"the dropout rate input", r->input},           {"the dropout rate between", r->between},
                 {"the dropout rate output", r->output},         {"the dropout rate recurrent", r->recurrent},
                 {"the rate zoneout_hidden", r->zoneout_hidden}, {"the rate zoneout_cell", r->zoneout_cell}};
    const unsigned known = LW_VARIATIONAL | LW_EXPECTED;
    if (r->options & ~known)
        return lw_fail(LW_ERR_ARGUMENT,
                       "unknown options 0x%x of a regularisation, expected LW_VARIATIONAL, LW_EXPECTED",
                       r->options & ~known);
    lw_status status = LW_OK;
    for (size_t i = 0; i < sizeof rates / sizeof *rates && !status; i++)
        status = lw_check_number(rates[i].name, rates[i].value, 0.0, true, 1.0);
    return status;
}

lw_status lw_tape_set_regularisation(lw_tape *tape, const lw_regularisation *regularisation)
{
    CHECK_POINTER(tape);
    lw_status status = LW_OK;
    if (regularisation) {
        CHECK_STRUCT(regularisation, lw_regularisation);
        status = check_rates(regularisation);
    }
    if (!status)
        status = lw_take(&tape->busy, "tape");
    if (status)
        return status;
    tape->regularisation = regularisation ? *regularisation : (lw_regularisation){0};
    tape->recorded = false;
    lw_give(&tape->busy);
    return LW_OK;
}

/* A state of the tape's model with the run's rows. */
static lw_status check_state(const lw_tape *tape, const lw_state *state, size_t batch, const char *what)
{
    if (!state)
        return LW_OK;
    if (state->model != tape->model)
        return lw_fail(LW_ERR_SHAPE, "the %s is of another model than the tape", what);
    if (state->batch != batch)
        return lw_fail(LW_ERR_SHAPE, "the %s has %zu rows, but the batch is %zu", what, state->batch, batch);
    return LW_OK;
}

lw_status lw_tape_forward(lw_tape *tape, const float *const *parameters, lw_state *state, const lw_io *io)
{
    CHECK_POINTER(tape);
    CHECK_STRUCT(io, lw_io);
    lw_io checked = *io;
    if (io->probe_count)
        return lw_fail(LW_ERR_UNSUPPORTED, "lw_tape_forward has no probes; lw_run has");
    lw_status status = check_state(tape, state, io->batch, "state");
    if (!status)
        status = lw_check_io(tape->model, &checked);
    if (!status)
        status = lw_take(&tape->busy, "tape");
    if (status)
        return status;
    if (!state || !(status = lw_take(&state->busy, "state"))) {
        status = lw_tape_run(tape, parameters, state, &checked);
        if (state)
            lw_give(&state->busy);
    }
    lw_give(&tape->busy);
    return status;
}

static int by_address(const void *a, const void *b)
{
    const uintptr_t first = (uintptr_t)((const struct lw_extent *)a)->begin;
    const uintptr_t second = (uintptr_t)((const struct lw_extent *)b)->begin;
    return (first > second) - (first < second);
}

static const char *name_of(const lw_tape *tape, size_t index, char text[96])
{
    const size_t count = tape->model->tensor_count;
    if (index >= count)
        return index == count ? "the gradient of the output" : "the gradient of the input";
    snprintf(text, 96, "parameters[%zu] (%.60s)", index, tape->model->tensors[index].name);
    return text;
}

/* None of the caller's arrays may share memory with another: each is written or read while another is written. */
static lw_status check_overlaps(const lw_tape *tape, const lw_gradients *g, size_t output_floats, size_t input_floats)
{
    struct lw_extent *extents = tape->extents;
    const size_t count = tape->model->tensor_count;
    size_t used = 0;
    for (size_t i = 0; g->parameters && i < count; i++)
        if (g->parameters[i])
            extents[used++] = (struct lw_extent){g->parameters[i], lw_tensor_count(&tape->model->tensors[i]), i};
    if (g->output && output_floats)
        extents[used++] = (struct lw_extent){g->output, output_floats, count};
    if (g->input && input_floats)
        extents[used++] = (struct lw_extent){g->input, input_floats, count + 1};
    qsort(extents, used, sizeof *extents, by_address);
    for (size_t i = 1; i < used; i++) {
        char first[96], second[96];
        if (lw_overlap(extents[i - 1].begin, extents[i - 1].floats, extents[i].begin, extents[i].floats))
            return lw_fail(LW_ERR_ARGUMENT, "lw_tape_backward: %s overlaps %s",
                           name_of(tape, extents[i - 1].index, first), name_of(tape, extents[i].index, second));
    }
    return LW_OK;
}

static lw_status check_gradients(const lw_tape *tape, lw_gradients *g)
{
    const struct lw_retrace *r = &tape->retrace;
    const size_t batch = r->used ? r->batch : tape->recording.batch;
    const size_t run_steps = r->used ? r->steps : tape->recording.steps;
    const lw_output kind = r->used ? r->output_kind : tape->recording.output_kind;
    size_t output_floats, input_floats, steps = kind == LW_OUTPUT_LAST ? 1 : run_steps;
    if (!tape->recorded)
        return lw_fail(LW_ERR_ARGUMENT, "lw_tape_backward: there is no forward run to go back through");
    if (tape->regularisation.options & LW_EXPECTED)
        return lw_fail(LW_ERR_UNSUPPORTED, "lw_tape_backward: the forward run was of expected values (LW_EXPECTED), "
                                           "through which there is no way back");
    if (g->store != LW_OVERWRITE && g->store != LW_ACCUMULATE)
        return lw_fail(LW_ERR_ARGUMENT, "store is %d, expected LW_OVERWRITE or LW_ACCUMULATE", (int)g->store);
    lw_status status = check_state(tape, g->final_state, batch, "gradient of the final state");
    if (!status)
        status = check_state(tape, g->initial_state, batch, "gradient of the initial state");
    if (!status && g->final_state && g->final_state == g->initial_state)
        return lw_fail(LW_ERR_ARGUMENT, "the gradients of the final and of the initial state are the same object");
    if (kind == LW_OUTPUT_LAST)
        g->output_step_stride = g->output_row_stride = 0;
    if (!status)
        status = lw_check_strides("gradient of the output", steps, batch, tape->model->output, &g->output_step_stride,
                                  &g->output_row_stride, &output_floats);
    if (!status)
        status = lw_check_strides("gradient of the input", run_steps, batch, tape->model->input, &g->input_step_stride,
                                  &g->input_row_stride, &input_floats);
    return status ? status : check_overlaps(tape, g, output_floats, input_floats);
}

lw_status lw_tape_backward(lw_tape *tape, const lw_gradients *gradients)
{
    CHECK_POINTER(tape);
    CHECK_STRUCT(gradients, lw_gradients);
    lw_gradients checked = *gradients;
    lw_status status = lw_take(&tape->busy, "tape");
    if (status)
        return status;
    if (!(status = check_gradients(tape, &checked)))
        status = lw_tape_back(tape, &checked);
    lw_give(&tape->busy);
    return status;
}
