/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tapes: the packed copies of the caller's parameters, forward and transposed, and the memory of a recorded run. Called
 * by api_tape.c. The memory grows to what the largest run needed; nothing depends on the shape of an earlier one.
 */
#include "tape.h"

#include <string.h>

static struct lw_back_weights *back_of(const lw_tape *tape, size_t level, size_t d)
{
    return &tape->back[2 * level + d];
}

/* Measures, allocates, lays out again: transposed weights, or gradients. */
static lw_status pack(lw_tape *tape, bool gradients)
{
    const lw_model *model = tape->weights;
    float *base = NULL;
    for (int pass = 0; pass < 2; pass++) {
        struct lw_layout layout = {.base = base};
        for (size_t i = 0; i < model->level_count; i++)
            for (size_t d = 0; d < model->levels[i].directions; d++) {
                const struct lw_level *level = &model->levels[i];
                if (gradients)
                    level->cell->layout(level, &tape->gradients[2 * i + d], model->lanes, &layout);
                else
                    level->cell->back_layout(level, back_of(tape, i, d), model->lanes, &layout);
            }
        if (layout.overflow)
            return lw_fail(LW_ERR_SHAPE, "the size of the tape's weights overflows");
        if (pass == 0 && !(base = lw_alloc_array(layout.used, sizeof(float))))
            return lw_fail_memory(layout.used * sizeof(float));
        if (gradients) {
            tape->gradients_packed = base;
            tape->gradients_floats = layout.used;
        } else {
            tape->back_packed = base;
        }
    }
    return LW_OK;
}

lw_status lw_tape_build(const lw_model *model, const lw_context_options *options, lw_tape **result)
{
    lw_tape *tape = lw_alloc(sizeof *tape);
    if (!tape)
        return lw_fail_memory(sizeof *tape);
    lw_model_hold(model);
    tape->model = (lw_model *)model;
    lw_status status = lw_model_build(model->bricks, model->brick_count, model->isa, &tape->weights);
    if (!status)
        status = lw_context_build(tape->weights, options, &tape->context);
    tape->back = lw_alloc_array(2 * model->level_count, sizeof *tape->back);
    tape->gradients = lw_alloc_array(2 * model->level_count, sizeof *tape->gradients);
    tape->recording.levels = lw_alloc_array(model->level_count, sizeof *tape->recording.levels);
    tape->extents = lw_alloc_array(model->tensor_count + 2, sizeof *tape->extents);
    if (!status && (!tape->back || !tape->gradients || !tape->recording.levels || !tape->extents))
        status = lw_fail_memory(2 * model->level_count * sizeof *tape->gradients);
    if (!status)
        status = pack(tape, false);
    if (!status)
        status = pack(tape, true);
    if (status) {
        lw_tape_free(tape);
        return status;
    }
    *result = tape;
    return LW_OK;
}

void lw_tape_free(lw_tape *tape)
{
    if (!tape)
        return;
    lw_retrace_free(&tape->retrace);
    lw_context_free(tape->context);
    lw_model_release(tape->weights);
    lw_model_release(tape->model);
    lw_free(tape->back);
    lw_free(tape->gradients);
    lw_free(tape->back_packed);
    lw_free(tape->gradients_packed);
    lw_free(tape->recording.levels);
    lw_free(tape->extents);
    lw_free(tape->row_memory);
    lw_free(tape->memory);
    lw_free(tape);
}

/* Hands out the tape's memory; with base NULL it only measures. */
struct shelf {
    float *base;
    size_t used;
    bool fits;
};

static float *place(struct shelf *shelf, size_t rows, size_t stride)
{
    size_t count, start = shelf->used;
    if (!lw_mul(rows, stride, &count) || !lw_add(count, LW_PAD - 1, &count) ||
        !lw_add(start, count - count % LW_PAD, &shelf->used))
        shelf->fits = false;
    return shelf->base ? shelf->base + start : NULL;
}

/* Rows that kernels read up to a vector beyond their width. */
static size_t loose_stride(size_t width)
{
    return lw_stride(width + LW_PAD);
}

/* True if a recurrent level has masks of that kind. */
static bool uses(const lw_tape *tape, enum lw_mask_kind kind, size_t index)
{
    return tape->weights->levels[index].cell->recurrent &&
           lw_mask_of(&tape->regularisation, tape->weights, kind, index, 0).used;
}

static void place_level(const lw_tape *tape, size_t index, size_t steps, size_t slots, size_t batch,
                        struct shelf *shelf, struct lw_level_record *record)
{
    const struct lw_level *level = &tape->weights->levels[index];
    const size_t lanes = tape->weights->kernels->lanes;
    *record = (struct lw_level_record){0};
    record->trail_stride = lw_stride(level->output);
    record->gates_stride = lw_stride(level->cell->gate_vectors * lw_round_up(level->hidden, lanes));
    record->joined_stride = lw_stride(lw_level_width(level));
    for (size_t d = 0; d < level->directions; d++) {
        struct lw_record *side = &record->side[d];
        side->trail = place(shelf, slots, record->trail_stride);
        if (level->cell->gate_vectors)
            side->gates = place(shelf, slots, record->gates_stride);
        if (uses(tape, LW_MASK_RECURRENT, index)) {
            side->fed = place(shelf, steps, record->trail_stride);
            side->fed_mask = place(shelf, batch, record->trail_stride);
        }
        if (uses(tape, LW_MASK_CELL, index))
            side->cells = place(shelf, steps, level->c_width);
    }
    if (level->directions == 2 || uses(tape, LW_MASK_OUTPUT, index))
        record->joined = place(shelf, lw_max(steps, batch), record->joined_stride);
}

static bool has_rates(const lw_regularisation *r)
{
    return r->recurrent > 0.0 || r->zoneout_hidden > 0.0 || r->zoneout_cell > 0.0;
}

#define BACK_ROWS ((size_t)256) /* steps x rows that the way back sums up together */

/* Where everything of a run of that size lies. Returns the floats in all; 0 on overflow. */
static size_t arrange(const lw_tape *tape, float *base, size_t T, size_t batch, struct lw_recording *recording,
                      struct lw_level_record *levels, struct lw_back_space *space)
{
    const lw_model *model = tape->weights;
    struct shelf shelf = {.base = base, .fits = true};
    size_t steps, slots;
    if (!lw_mul(T, batch, &steps) || !lw_add(steps, batch, &slots))
        return 0;
    recording->staged_stride = lw_stride(model->input);
    recording->staged = place(&shelf, steps, recording->staged_stride);
    size_t widest = model->input, d_width = 0, hidden = 0, output = 0, aux = 0, projected = 0;
    for (size_t i = 0; i < model->level_count; i++) {
        const struct lw_level *level = &model->levels[i];
        struct lw_level_record record;
        place_level(tape, i, steps, slots, batch, &shelf, levels ? &levels[i] : &record);
        widest = lw_max(widest, lw_level_width(level));
        d_width = lw_max(d_width, level->cell->back_gates(level) * level->hidden);
        hidden = lw_max(hidden, level->hidden);
        output = lw_max(output, level->output);
        if (level->brick->projection)
            projected = lw_max(projected, level->output);
        if (level->brick->projection || level->brick->options & LW_RESET_BEFORE)
            aux = lw_max(aux, level->hidden);
    }
    space->dy_stride = loose_stride(widest);
    space->d_stride = loose_stride(d_width);
    space->aux_stride = loose_stride(aux);
    space->projected_stride = loose_stride(projected);
    space->dh_stride = space->dc_stride = space->wide_stride = loose_stride(lw_max(hidden, output));
    for (int i = 0; i < 2; i++)
        space->dy[i] = place(&shelf, lw_max(steps, batch), space->dy_stride);
    space->rows = lw_min(lw_max(steps, batch), lw_max(1, BACK_ROWS / lw_max(1, batch)) * batch);
    space->d = place(&shelf, space->rows, space->d_stride);
    space->aux = aux ? place(&shelf, space->rows, space->aux_stride) : NULL;
    space->projected = projected ? place(&shelf, space->rows, space->projected_stride) : NULL;
    space->dh = place(&shelf, batch, space->dh_stride);
    space->dc = place(&shelf, batch, space->dc_stride);
    space->wide = place(&shelf, batch, space->wide_stride);
    const bool regular = has_rates(&tape->regularisation);
    space->kept = place(&shelf, regular ? batch : 0, space->wide_stride);
    space->kept_cell = place(&shelf, regular ? batch : 0, space->wide_stride);
    space->fed = place(&shelf, regular ? batch : 0, space->wide_stride);
    return shelf.fits ? lw_max(1, shelf.used) : 0;
}

size_t lw_tape_need(const lw_tape *tape, size_t steps, size_t batch)
{
    struct lw_recording recording;
    struct lw_back_space space;
    size_t bytes;
    return lw_mul(arrange(tape, NULL, steps, batch, &recording, NULL, &space), sizeof(float), &bytes) ? bytes : 0;
}

lw_status lw_tape_prepare(lw_tape *tape, size_t steps, size_t batch)
{
    const size_t bytes = lw_tape_need(tape, steps, batch), floats = bytes / sizeof(float);
    const bool more_rows = batch > tape->row_capacity || !tape->row_memory, more = floats > tape->memory_floats;
    if (!bytes)
        return lw_fail(LW_ERR_SHAPE, "the tape of %zu steps and %zu rows overflows", steps, batch);
    size_t *rows = more_rows ? lw_alloc_array(2 * batch, sizeof *rows) : tape->row_memory;
    float *memory = more ? lw_alloc(bytes) : tape->memory;
    if (!rows || !memory) {
        const size_t missing = rows ? bytes : 2 * batch * sizeof *rows;
        lw_free(more_rows ? rows : NULL);
        lw_free(more ? memory : NULL);
        return lw_fail_memory(missing);
    }
    if (more_rows) {
        lw_free(tape->row_memory);
        tape->row_memory = rows;
        tape->row_capacity = batch;
    }
    if (more) {
        lw_free(tape->memory);
        tape->memory = memory;
        tape->memory_floats = floats;
    }
    tape->recorded = false;
    tape->recording.user_rows = tape->row_memory;
    tape->recording.lengths = tape->row_memory + batch;
    tape->recording.steps = steps;
    tape->recording.batch = batch;
    tape->recording.regularisation = tape->regularisation;
    arrange(tape, tape->memory, steps, batch, &tape->recording, tape->recording.levels, &tape->space);
    return LW_OK;
}

struct taking {
    lw_tape *tape;
    const float *const *parameters;
};

/* Every thread some of the tensors. */
static void take_tensors(void *argument, size_t index, size_t count)
{
    const struct taking *taking = argument;
    lw_tape *tape = taking->tape;
    const lw_model *model = tape->weights;
    for (size_t i = index; i < model->tensor_count; i += count) {
        const struct lw_named_tensor *tensor = &model->tensors[i];
        const struct lw_level *level = &model->levels[tensor->level];
        lw_model_write_tensor(tape->weights, tensor, taking->parameters[i]);
        if (tensor->spec.rank != 2 || !level->cell->back_row)
            continue;
        for (size_t row = 0; row < tensor->spec.shape[0]; row++) {
            size_t k;
            const struct lw_matrix *matrix = level->cell->back_row(
                level, back_of(tape, tensor->level, tensor->direction), tensor->spec.role, row, &k);
            if (matrix)
                lw_matrix_set_depth(matrix, model->lanes, k, taking->parameters[i] + row * tensor->spec.shape[1],
                                    tensor->spec.shape[1]);
        }
    }
}

#define TAKE_ALONE ((size_t)100000) /* floats that one thread packs before another would be ready */

void lw_tape_take(lw_tape *tape, const float *const *parameters)
{
    if (!parameters)
        return;
    struct taking taking = {tape, parameters};
    lw_context *context = tape->context;
    const size_t threads = tape->weights->packed_floats < TAKE_ALONE ? 1 : lw_context_threads(context);
    lw_parallel_run(threads, context->parallel, context->pool, take_tensors, &taking);
    tape->packed = true;
}

lw_status lw_tape_check(const lw_tape *tape, const float *const *parameters)
{
    if (!parameters && !tape->packed)
        return lw_fail(LW_ERR_ARGUMENT,
                       "parameters is NULL, but there was no forward run before whose parameters could be used again");
    for (size_t i = 0; parameters && i < tape->weights->tensor_count; i++)
        if (!parameters[i])
            return lw_fail(LW_ERR_ARGUMENT, "parameters[%zu] (%s) is NULL", i, tape->weights->tensors[i].name);
    return LW_OK;
}

static lw_status record(lw_tape *tape, lw_state *state, const lw_io *io, const struct lw_part *part)
{
    tape->recording.output_kind = io->output_kind;
    tape->recording.first_step = part->first_step;
    struct lw_call call = {.context = tape->context, .state = state, .io = *io, .recording = &tape->recording};
    call.whole_lengths = part->whole_lengths;
    call.keep_state = part->keep_state;
    lw_status status = lw_forward_run(&call);
    tape->recorded = status == LW_OK;
    return status;
}

/* The parameters come last: until there is memory for the run, the one before it stays good. */
lw_status lw_tape_record(lw_tape *tape, const float *const *parameters, lw_state *state, const lw_io *io)
{
    lw_status status = lw_tape_prepare(tape, io->steps, io->batch);
    if (status)
        return status;
    lw_tape_take(tape, parameters);
    return record(tape, state, io, &(struct lw_part){0});
}

lw_status lw_tape_record_part(lw_tape *tape, lw_state *state, const lw_io *io, const struct lw_part *part)
{
    lw_status status = lw_tape_prepare(tape, io->steps, io->batch);
    return status ? status : record(tape, state, io, part);
}
