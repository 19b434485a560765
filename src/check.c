/* SPDX-License-Identifier: Apache-2.0 */
/* The checks that several public functions share: objects in use, batches, strides, overlaps, a whole lw_io. Called by
 * the api files; changes nothing but the busy marks and the strides that it completes. */
#include "check.h"

/* An object that a call uses; a second call at the same time is refused. */
lw_status lw_take(atomic_int *busy, const char *what)
{
    int idle = 0;
    if (atomic_compare_exchange_strong_explicit(busy, &idle, 1, memory_order_acquire, memory_order_relaxed))
        return LW_OK;
    return lw_fail(LW_ERR_BUSY, "another call is using this %s: give each thread its own", what);
}

void lw_give(atomic_int *busy)
{
    atomic_store_explicit(busy, 0, memory_order_release);
}

lw_status lw_check_number(const char *name, double value, double low, bool low_too, double high)
{
    if ((low_too ? value >= low : value > low) && value < high)
        return LW_OK;
    return lw_fail(LW_ERR_ARGUMENT, "%s is %g, expected %s %g and less than %g", name, value,
                   low_too ? "at least" : "more than", low, high);
}

lw_status lw_check_mutable(const lw_model *model, const char *function)
{
    if (atomic_load(&model->frozen))
        return lw_fail(LW_ERR_BUSY,
                       "%s: a state, a context or a tape uses the model or did, so its parameters stay as they are",
                       function);
    return LW_OK;
}

lw_status lw_check_threads(const lw_context_options *options)
{
    if (!options || options->threads <= LW_THREADS_MAX)
        return LW_OK;
    return lw_fail(LW_ERR_ARGUMENT, "%zu threads, expected at most %zu", options->threads, LW_THREADS_MAX);
}

lw_status lw_check_batch(size_t batch)
{
    if (batch <= LW_SIZE_MAX)
        return LW_OK;
    return lw_fail(LW_ERR_ARGUMENT, "a batch of %zu rows, expected at most %zu", batch, LW_SIZE_MAX);
}

/* Rows of `width` floats at strides that are dense by default; *floats is the extent from the first float to the one
 * behind the last. */
lw_status lw_check_strides(const char *what, size_t steps, size_t batch, size_t width, size_t *step_stride,
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

bool lw_overlap_bytes(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    uintptr_t a0 = (uintptr_t)a, b0 = (uintptr_t)b;
    return a && b && a_bytes && b_bytes && a0 < b0 + b_bytes && b0 < a0 + a_bytes;
}

bool lw_overlap(const float *a, size_t a_floats, const float *b, size_t b_floats)
{
    return lw_overlap_bytes(a, a_floats * sizeof(float), b, b_floats * sizeof(float));
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
        return lw_fail(LW_ERR_NOT_FOUND,
                       "probe %zu: direction is %d, expected one that layer %zu runs in, LW_FORWARD or LW_REVERSE",
                       index, (int)probe->direction, probe->layer);
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
    if (lw_overlap(probe->values, need, io->input, input_floats) ||
        (io->output && lw_overlap(probe->values, need, io->output, output_floats)))
        return lw_fail(LW_ERR_ARGUMENT, "probe %zu: its values overlap the input or the output", index);
    for (size_t i = 0; i < index; i++)
        if (lw_overlap(probe->values, need, io->probes[i].values, probe_floats(model, io, &io->probes[i])))
            return lw_fail(LW_ERR_ARGUMENT, "probe %zu: its values overlap those of probe %zu", index, i);
    return LW_OK;
}

/* Checks a run and completes its strides. */
lw_status lw_check_io(const lw_model *model, lw_io *io)
{
    size_t input_floats, output_floats = 0, output_steps = io->output_kind == LW_OUTPUT_LAST ? 1 : io->steps;
    if (io->output_kind != LW_OUTPUT_SEQUENCE && io->output_kind != LW_OUTPUT_LAST)
        return lw_fail(LW_ERR_ARGUMENT, "output_kind is %d, expected LW_OUTPUT_SEQUENCE or LW_OUTPUT_LAST",
                       (int)io->output_kind);
    lw_status status = lw_check_batch(io->batch);
    if (!status)
        status = lw_check_strides("input", io->steps, io->batch, model->input, &io->input_step_stride,
                                  &io->input_row_stride, &input_floats);
    if (io->output_kind == LW_OUTPUT_LAST)
        io->output_step_stride = io->output_row_stride = 0;
    if (!status)
        status = lw_check_strides("output", output_steps, io->batch, model->output, &io->output_step_stride,
                                  &io->output_row_stride, &output_floats);
    if (status)
        return status;
    if (input_floats && !io->input)
        return lw_fail(LW_ERR_ARGUMENT, "input is NULL, expected %zu steps of %zu rows of %zu floats", io->steps,
                       io->batch, model->input);
    if (io->output && lw_overlap(io->input, input_floats, io->output, output_floats))
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
