/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long sequences in bounded memory: a run is cut into segments, of which only the states between them are kept; the way
 * back runs each segment again, from the last to the first, and records it then (Chen et al. 2016 call that sublinear
 * memory). Called by api_tape.c. The kernels give the same bits again, and the sums of the weights go on from segment
 * to segment in the order that they have in one piece, so the gradients have the same bits too.
 */
#include "tape.h"

#include <string.h>

static size_t segment_count(const lw_tape *tape, size_t steps)
{
    return tape->segment ? lw_ceil_div(steps, tape->segment) : 1;
}

size_t lw_retrace_need(const lw_tape *tape, size_t steps, size_t batch)
{
    const size_t segments = segment_count(tape, steps);
    if (segments <= 1)
        return lw_tape_need(tape, steps, batch);
    size_t input, states, bytes = lw_tape_need(tape, tape->segment, batch);
    if (!bytes || !lw_mul(steps, batch, &input) || !lw_mul(input, tape->model->input, &input) ||
        !lw_mul(segments + 2, batch, &states) || !lw_mul(states, tape->model->state_floats, &states) ||
        !lw_add(input, states, &input) || !lw_mul_add(input, sizeof(float), bytes, &bytes))
        return 0;
    return bytes;
}

void lw_retrace_free(struct lw_retrace *retrace)
{
    for (size_t i = 0; i < retrace->state_count; i++)
        lw_state_free(retrace->states[i]);
    for (int i = 0; i < 2; i++)
        lw_state_free(retrace->gradient[i]);
    lw_free(retrace->states);
    lw_free(retrace->lengths);
    lw_free(retrace->input);
    *retrace = (struct lw_retrace){0};
}

/* Room for a run; on failure there is none at all, and the tape stays usable. */
static lw_status make_room(lw_tape *tape, size_t steps, size_t batch)
{
    struct lw_retrace *r = &tape->retrace;
    const size_t segments = segment_count(tape, steps), floats = steps * batch * tape->model->input;
    if (floats <= r->input_floats && 2 * batch <= r->lengths_count && segments <= r->state_count &&
        batch == r->state_rows)
        return LW_OK;
    tape->recorded &= !r->used; /* a run that was kept here is gone; one that is recorded is not */
    lw_retrace_free(r);
    r->input = lw_alloc_array(floats, sizeof *r->input);
    r->lengths = lw_alloc_array(2 * batch, sizeof *r->lengths);
    r->states = lw_alloc_array(segments, sizeof *r->states);
    lw_status status = LW_OK;
    if (!r->input || !r->lengths || !r->states)
        status = lw_fail_memory(floats * sizeof *r->input);
    for (; !status && r->state_count < segments; r->state_count += status == LW_OK)
        status = lw_state_build(tape->model, batch, &r->states[r->state_count]);
    for (int i = 0; i < 2 && !status; i++)
        status = lw_state_build(tape->model, batch, &r->gradient[i]);
    if (status) {
        lw_retrace_free(r);
        return status;
    }
    r->input_floats = floats;
    r->lengths_count = 2 * batch;
    r->state_rows = batch;
    return LW_OK;
}

/* The io of segment `index`, on the kept input; its lengths are those of the segment. */
static lw_io segment_io(const lw_tape *tape, size_t index)
{
    const struct lw_retrace *r = &tape->retrace;
    const size_t t0 = index * tape->segment, steps = lw_min(tape->segment, r->steps - t0);
    size_t *lengths = r->lengths + r->batch;
    for (size_t row = 0; row < r->batch; row++)
        lengths[row] = r->lengths[row] <= t0 ? 0 : lw_min(steps, r->lengths[row] - t0);
    lw_io io = LW_IO_INIT;
    io.steps = steps;
    io.batch = r->batch;
    io.lengths = lengths;
    io.input = r->input + t0 * r->batch * tape->model->input;
    io.input_step_stride = r->batch * tape->model->input;
    io.input_row_stride = tape->model->input;
    io.output_kind = r->output_kind;
    return io;
}

static void keep_input(lw_tape *tape, const lw_io *io)
{
    struct lw_retrace *r = &tape->retrace;
    const size_t width = tape->model->input;
    for (size_t row = 0; row < io->batch; row++)
        r->lengths[row] = io->lengths ? io->lengths[row] : io->steps;
    for (size_t t = 0; t < io->steps; t++)
        for (size_t row = 0; row < io->batch; row++)
            memcpy(r->input + (t * io->batch + row) * width,
                   io->input + t * io->input_step_stride + row * io->input_row_stride, width * sizeof(float));
}

/* Masks belong to recorded runs: with them each segment is recorded on the way forward, over the one before it. */
static bool is_regular(const lw_tape *tape)
{
    return tape->regularisation.size > 0;
}

/* Forward through all segments, keeping the state before each. */
static lw_status run_segments(lw_tape *tape, lw_state *state, const lw_io *io)
{
    struct lw_retrace *r = &tape->retrace;
    lw_state *walking = r->gradient[0]; /* free until the way back */
    keep_input(tape, io);
    if (state)
        memcpy(walking->vectors, state->vectors, lw_state_vector_bytes(state));
    else
        lw_state_clear(walking);
    for (size_t i = 0; i < r->segments; i++) {
        struct lw_call call = {
            .context = tape->context, .state = walking, .io = segment_io(tape, i), .whole_lengths = r->lengths};
        memcpy(r->states[i]->vectors, walking->vectors, lw_state_vector_bytes(walking));
        call.io.output_step_stride = io->output_step_stride;
        call.io.output_row_stride = io->output_row_stride;
        if (io->output && io->output_kind != LW_OUTPUT_LAST)
            call.io.output = io->output + i * tape->segment * io->output_step_stride;
        else if (i + 1 == r->segments)
            call.io.output = io->output; /* the segments before hand their states on, and no output */
        const struct lw_part part = {.first_step = i * tape->segment, .whole_lengths = r->lengths};
        lw_status status = is_regular(tape) ? lw_tape_record_part(tape, walking, &call.io, &part)
                                            : lw_forward_run(&call);
        if (status)
            return status;
    }
    if (state)
        memcpy(state->vectors, walking->vectors, lw_state_vector_bytes(state));
    return LW_OK;
}

lw_status lw_tape_run(lw_tape *tape, const float *const *parameters, lw_state *state, const lw_io *io)
{
    struct lw_retrace *r = &tape->retrace;
    const size_t segments = segment_count(tape, io->steps);
    const bool recurrent = tape->model->collapse < tape->model->level_count;
    lw_status status = lw_tape_check(tape, parameters);
    if (status)
        return status;
    if (segments <= 1 || !recurrent) {
        status = lw_tape_record(tape, parameters, state, io);
        if (!status)
            r->used = false;
        return status;
    }
    if (!lw_retrace_need(tape, io->steps, io->batch))
        return lw_fail(LW_ERR_SHAPE, "the tape of %zu steps and %zu rows overflows", io->steps, io->batch);
    status = make_room(tape, io->steps, io->batch);
    if (!status && is_regular(tape))
        status = lw_tape_prepare(tape, tape->segment, io->batch);
    if (status)
        return status;
    lw_tape_take(tape, parameters);
    tape->recorded = false;
    r->used = true;
    r->steps = io->steps;
    r->batch = io->batch;
    r->segments = segments;
    r->output_kind = io->output_kind;
    status = run_segments(tape, state, io);
    tape->recorded = status == LW_OK;
    return status;
}

/* Segments from the last to the first: each is run again and recorded, then gone back through. */
static lw_status back_segments(lw_tape *tape, const lw_gradients *gradients)
{
    struct lw_retrace *r = &tape->retrace;
    lw_status status = LW_OK;
    for (size_t i = r->segments; i-- > 0 && !status;) {
        const bool begins = i + 1 == r->segments, ends = i == 0;
        const lw_io io = segment_io(tape, i);
        lw_state *walking = r->gradient[(i + 1) % 2]; /* a copy: the kept state serves the next way back too */
        lw_gradients part = *gradients;
        if (!begins)
            part.final_state = r->gradient[i % 2];
        const struct lw_part place = {.first_step = i * tape->segment, .whole_lengths = r->lengths, .keep_state = true};
        status = lw_tape_record_part(tape, r->states[i], &io, &place);
        if (status)
            return status;
        if (r->output_kind == LW_OUTPUT_LAST)
            part.output = begins ? gradients->output : NULL;
        else if (part.output)
            part.output += i * tape->segment * gradients->output_step_stride;
        if (part.input)
            part.input += i * tape->segment * gradients->input_step_stride;
        part.initial_state = ends ? gradients->initial_state : walking;
        part.parameters = ends ? gradients->parameters : NULL;
        status = lw_backward_run(tape, &part, begins ? LW_BACK_BEGIN : LW_BACK_CONTINUE);
    }
    return status;
}

lw_status lw_tape_back(lw_tape *tape, const lw_gradients *gradients)
{
    return tape->retrace.used ? back_segments(tape, gradients) : lw_backward_run(tape, gradients, LW_BACK_BEGIN);
}
