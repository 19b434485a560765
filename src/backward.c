/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backpropagation through time over a recorded run: levels from the last to the first, steps against the order in which
 * they were walked; after every few steps, while those are in the cache, what they give to the weights' gradients is
 * added to sums that go on over all of time. Called by retrace.c; knows no cell by name and no kernel.
 *
 * The threads share the units of each step and the panels of each sum, so every sum is made by one thread, in an order
 * that depends on nothing else. Rows are sorted as in the recording: the active ones of a step are the first ones.
 */
#include <string.h>

#include "tape.h"

struct back_call {
    lw_tape *tape;
    const lw_gradients *gradients;
    size_t threads;
    bool last;      /* of LW_OUTPUT_LAST behind a recurrent level: one row for each sequence */
    bool last_step; /* of LW_OUTPUT_LAST without one: of each row's last step */
    enum lw_back_start start;
};

struct back_worker {
    const struct back_call *call;
    const lw_model *model;
    const struct lw_recording *recording;
    const struct lw_back_space *space;
    struct lw_team *sync;
    size_t rows, steps;
    size_t part, parts;
};

/* All threads wait for each other. False if this one is to leave: on a busy machine, where they keep missing each
 * other, the first one goes on alone. */
static bool meet(struct back_worker *w)
{
    if (lw_barrier_wait(&w->sync->side[2], w->parts))
        w->parts = 1;
    return w->part < w->parts;
}

static struct lw_mask mask_of(const struct back_worker *w, enum lw_mask_kind kind, size_t index, size_t d)
{
    return lw_mask_of(&w->recording->regularisation, w->model, kind, index, d);
}

/* The mask of row r at step t, `width` elements of it. */
static struct lw_mask_row mask_row(const struct back_worker *w, const struct lw_mask *mask, size_t t, size_t r,
                                   size_t width)
{
    return (struct lw_mask_row){
        .mask = mask, .step = w->recording->first_step + t, .row = w->recording->user_rows[r], .end = width};
}

static size_t active_rows(const struct back_worker *w, size_t t, size_t hint)
{
    size_t n = hint;
    while (n > 0 && w->recording->lengths[n - 1] <= t)
        n--;
    while (n < w->rows && w->recording->lengths[n] > t)
        n++;
    return n;
}

/* The gradient of the outputs, rows sorted, zero where a row has ended. */
static void stage_output(const struct back_worker *w, float *dy)
{
    const lw_gradients *g = w->call->gradients;
    const size_t width = w->model->output, stride = w->space->dy_stride, steps = w->call->last ? 1 : w->steps;
    size_t begin, end;
    lw_share(steps, w->part, w->parts, &begin, &end);
    for (size_t t = begin; t < end; t++)
        for (size_t r = 0; r < w->rows; r++) {
            float *to = dy + (t * w->rows + r) * stride;
            const size_t length = w->recording->lengths[r];
            memset(to, 0, stride * sizeof(float));
            if (!g->output || (w->call->last_step ? t + 1 != length : !w->call->last && t >= length))
                continue;
            const size_t at = w->call->last_step ? 0 : t * g->output_step_stride;
            memcpy(to, g->output + at + w->recording->user_rows[r] * g->output_row_stride, width * sizeof(float));
        }
}

/* The gradient of the input, rows in the caller's order. */
static void emit_input(const struct back_worker *w, const float *dx)
{
    const lw_gradients *g = w->call->gradients;
    const struct lw_mask mask = mask_of(w, LW_MASK_INPUT, 0, 0);
    size_t begin, end, width = w->model->input;
    lw_share(w->steps, w->part, w->parts, &begin, &end);
    for (size_t t = begin; t < end; t++)
        for (size_t r = 0; r < w->rows; r++) {
            float *to = g->input + t * g->input_step_stride + w->recording->user_rows[r] * g->input_row_stride;
            if (t < w->recording->lengths[r])
                memcpy(to, dx + (t * w->rows + r) * w->space->dy_stride, width * sizeof(float));
            else
                memset(to, 0, width * sizeof(float));
            const struct lw_mask_row m = mask_row(w, &mask, t, r, width);
            if (mask.used)
                lw_mask_times(&m, to);
        }
}

/* Back through the dropout of a level's output: all of it, or, of LW_OUTPUT_LAST, one row for each sequence. */
static void back_dropout(const struct back_worker *w, size_t index, bool last, float *dy)
{
    const struct lw_mask mask = mask_of(w, LW_MASK_OUTPUT, index, 0);
    size_t begin, end;
    lw_share(last ? w->rows : w->steps * w->rows, w->part, w->parts, &begin, &end);
    for (size_t k = begin; k < end && mask.used; k++) {
        struct lw_mask_row m = mask_row(w, &mask, k / w->rows, k % w->rows, lw_level_width(&w->model->levels[index]));
        m.step = last ? 0 : m.step;
        lw_mask_times(&m, dy + k * w->space->dy_stride);
    }
}

/* dx (+)= d times the transposed input weights, this thread's share of `count` rows from `first` on. */
static void input_gradient(const struct back_worker *w, const struct lw_back_weights *weights, size_t first,
                           size_t count, float *dx, bool add)
{
    const struct lw_back_space *space = w->space;
    size_t begin, end;
    lw_share(count, w->part, w->parts, &begin, &end);
    const float *d = space->d + begin * space->d_stride;
    lw_matrix_times(w->model->kernels, &weights->input, end - begin, d, space->d_stride,
                    dx + (first + begin) * space->dy_stride, space->dy_stride, add);
}

/* The rows from `first` on, `count` of them, in the order of the way back: from the last one, or from the first. */
static const float *walked(const float *rows, size_t first, size_t count, size_t stride, bool reverse, ptrdiff_t *step)
{
    *step = reverse ? (ptrdiff_t)stride : -(ptrdiff_t)stride;
    return rows && count ? rows + (reverse ? first : first + count - 1) * stride : rows;
}

/* A level without memory: `count` rows, a part of them at a time. */
static bool back_map(struct back_worker *w, size_t index, size_t count, const float *dy, float *dx, bool wants_dx)
{
    const struct lw_level *level = &w->model->levels[index];
    const struct lw_level_record *record = &w->recording->levels[index];
    const struct lw_back_space *space = w->space;
    const lw_tape *tape = w->call->tape;
    const bool sums = level->cell->back_row;
    for (size_t end = count, first; end > 0; end = first) {
        first = end > space->rows ? end - space->rows : 0;
        struct lw_back_step step = {0};
        step.back = (struct lw_back){.rows = end - first,
                                     .hidden = level->output,
                                     .h = record->out.data + first * record->out.stride,
                                     .h_stride = record->out.stride,
                                     .dy = dy + first * space->dy_stride,
                                     .dy_stride = space->dy_stride,
                                     .d = sums ? space->d : dx + first * space->dy_stride,
                                     .d_stride = sums ? space->d_stride : space->dy_stride};
        level->cell->back(w->model->kernels, level, NULL, &step, 0, w->part, w->parts);
        if (!meet(w))
            return false;
        if (!sums)
            continue;
        struct lw_back_sum sum = {.count = end - first};
        sum.d = walked(space->d, 0, sum.count, space->d_stride, false, &sum.d_step);
        sum.x = walked(record->in.data, first, sum.count, record->in.stride, false, &sum.x_step);
        level->cell->back_sum(w->model->kernels, level, &tape->gradients[2 * index], &sum, w->part, w->parts);
        if (wants_dx)
            input_gradient(w, &tape->back[2 * index], first, sum.count, dx, false);
        if (!meet(w))
            return false;
    }
    return true;
}

/* The gradients of a direction's final states: the caller's and, at the level that gave the last output, its. */
static void start_state(const struct back_worker *w, size_t index, size_t d, const float *dlast)
{
    const struct lw_level *level = &w->model->levels[index];
    const struct lw_back_space *space = w->space;
    const lw_state *final = w->call->gradients->final_state;
    for (size_t r = 0; r < w->rows; r++) {
        const size_t user = w->recording->user_rows[r];
        float *dh = space->dh + r * space->dh_stride, *dc = space->dc + r * space->dc_stride;
        memset(dh, 0, space->dh_stride * sizeof(float));
        memset(dc, 0, space->dc_stride * sizeof(float));
        if (final) {
            memcpy(dh, lw_state_h(final, level, d) + user * level->h_width, level->output * sizeof(float));
            if (level->c_width)
                memcpy(dc, lw_state_c(final, level, d) + user * level->c_width, level->hidden * sizeof(float));
        }
        for (size_t i = 0; dlast && i < level->output; i++)
            dh[i] += dlast[r * space->dy_stride + d * level->output + i];
    }
}

static void end_state(const struct back_worker *w, size_t index, size_t d)
{
    const struct lw_level *level = &w->model->levels[index];
    const struct lw_back_space *space = w->space;
    const lw_state *initial = w->call->gradients->initial_state;
    for (size_t r = 0; initial && r < w->rows; r++) {
        const size_t user = w->recording->user_rows[r];
        memcpy(lw_state_h(initial, level, d) + user * level->h_width, space->dh + r * space->dh_stride,
               level->output * sizeof(float));
        if (level->c_width)
            memcpy(lw_state_c(initial, level, d) + user * level->c_width, space->dc + r * space->dc_stride,
                   level->hidden * sizeof(float));
    }
}

static void clear_rows(float *array, size_t row, size_t begin, size_t end, size_t stride)
{
    if (array)
        memset(array + (row + begin) * stride, 0, (end - begin) * stride * sizeof(float));
}

/* The masks of one direction of a recurrent level. */
struct back_masks {
    struct lw_mask recurrent, hidden, cell;
    bool used; /* any of them */
};

/* Before a step: what goes past zoneout is put apart, and the rest is what the step gave. */
static bool back_zoneout(struct back_worker *w, size_t index, const struct back_masks *masks, size_t t,
                         struct lw_back_step *step)
{
    const struct lw_level *level = &w->model->levels[index];
    const struct lw_back_space *space = w->space;
    const size_t stride = space->wide_stride;
    struct lw_back *b = &step->back;
    if (!step->fed && !masks->hidden.used && !masks->cell.used)
        return true;
    for (size_t r = 0; r < b->rows; r++) {
        float *dh = b->dh + r * b->dh_stride;
        struct lw_mask_row m = mask_row(w, &masks->hidden, t, r, 0);
        lw_mask_share(level->output, w->part, w->parts, &m.begin, &m.end);
        if (step->fed)
            memset(step->fed + r * stride + m.begin, 0, (m.end - m.begin) * sizeof(float));
        if (masks->hidden.used) {
            const size_t end = lw_min(m.end, level->output);
            for (size_t i = m.begin; b->dy && i < end; i++)
                dh[i] += b->dy[r * b->dy_stride + i];
            lw_mask_split(&m, dh, space->kept + r * stride);
        }
        m.mask = &masks->cell;
        lw_mask_share(level->hidden, w->part, w->parts, &m.begin, &m.end);
        if (masks->cell.used)
            lw_mask_split(&m, b->dc + r * b->dc_stride, space->kept_cell + r * stride);
    }
    if (masks->hidden.used)
        b->dy = NULL; /* it is in dh */
    return meet(w);
}

/* Behind it: the mask of what was fed back, and what was put apart. */
static bool back_feed(struct back_worker *w, size_t index, const struct back_masks *masks,
                      const struct lw_back_step *step, const float *fed_mask, size_t mask_stride)
{
    const struct lw_level *level = &w->model->levels[index];
    const struct lw_back_space *space = w->space;
    const struct lw_back *b = &step->back;
    size_t begin, end, cell_begin, cell_end;
    lw_mask_share(level->output, w->part, w->parts, &begin, &end);
    lw_mask_share(level->hidden, w->part, w->parts, &cell_begin, &cell_end);
    for (size_t r = 0; r < b->rows; r++) {
        const size_t at = r * space->wide_stride;
        float *dh = b->dh + r * b->dh_stride, *dc = b->dc + r * b->dc_stride;
        for (size_t i = begin; masks->recurrent.used && i < end; i++)
            dh[i] = step->fed ? dh[i] + fed_mask[r * mask_stride + i] * step->fed[at + i]
                              : dh[i] * fed_mask[r * mask_stride + i];
        for (size_t i = begin; masks->hidden.used && i < end; i++)
            dh[i] += space->kept[at + i];
        for (size_t i = cell_begin; masks->cell.used && i < cell_end; i++)
            dc[i] += space->kept_cell[at + i];
    }
    return meet(w);
}

/* What the steps from `low` on give to the weights and to dx (NULL: not wanted), while their argument gradients are in
 * the cache; the sums go on in the order of the way back. */
static bool sum_steps(struct back_worker *w, size_t index, size_t d, size_t low, size_t steps, float *dx)
{
    const lw_tape *tape = w->call->tape;
    const struct lw_level *level = &w->model->levels[index];
    const struct lw_level_record *record = &w->recording->levels[index];
    const struct lw_record *side = &record->side[d];
    const struct lw_back_space *space = w->space;
    const bool reverse = lw_level_reverse(level, d);
    const float *before = side->fed ? side->fed : side->trail + (reverse ? w->rows * record->trail_stride : 0);
    const size_t first = low * w->rows, count = steps * w->rows;
    if (!meet(w))
        return false;
    struct lw_back_sum sum = {.count = count};
    sum.d = walked(space->d, 0, count, space->d_stride, reverse, &sum.d_step);
    sum.x = walked(record->in.data, first, count, record->in.stride, reverse, &sum.x_step);
    sum.h = walked(before, first, count, record->trail_stride, reverse, &sum.h_step);
    sum.aux = walked(space->aux, 0, count, space->aux_stride, reverse, &sum.aux_step);
    sum.projected = walked(space->projected, 0, count, space->projected_stride, reverse, &sum.projected_step);
    level->cell->back_sum(w->model->kernels, level, &tape->gradients[2 * index + d], &sum, w->part, w->parts);
    if (dx)
        input_gradient(w, &tape->back[2 * index + d], first, count, dx, d > 0);
    return meet(w);
}

/* Walks one direction of a recurrent level against its time. */
static bool back_direction(struct back_worker *w, size_t index, size_t d, const float *dy, float *dx)
{
    const lw_tape *tape = w->call->tape;
    const struct lw_level *level = &w->model->levels[index];
    const struct lw_cell *cell = level->cell;
    const struct lw_level_record *record = &w->recording->levels[index];
    const struct lw_record *side = &record->side[d];
    const struct lw_back_space *space = w->space;
    const struct lw_step *forward = &level->weights[d].step;
    const bool reverse = lw_level_reverse(level, d);
    const size_t stride = record->trail_stride, gates_stride = record->gates_stride, lanes = w->model->lanes;

    struct lw_back_step step = {
        .projected_stride = space->projected_stride, .wide = space->wide, .wide_stride = space->wide_stride};
    step.back = (struct lw_back){.hidden = level->hidden,
                                 .gates_stride = gates_stride,
                                 .c_stride = side->cells ? level->c_width : gates_stride,
                                 .c_unit = side->cells ? lanes : cell->gate_vectors * lanes,
                                 .h_stride = stride,
                                 .dy_stride = space->dy_stride,
                                 .dh = space->dh,
                                 .dh_stride = space->dh_stride,
                                 .dc = space->dc,
                                 .dc_stride = space->dc_stride,
                                 .d_stride = space->d_stride,
                                 .aux_stride = space->aux_stride,
                                 .gate_count = cell->back_gates(level),
                                 .peephole = forward->peephole,
                                 .peephole_stride = forward->peephole_stride,
                                 .dpeephole = (float *)tape->gradients[2 * index + d].step.peephole,
                                 .cell_clip = forward->cell_clip,
                                 .gate_clip = forward->gate_clip,
                                 .function = forward->function};
    const bool projects = level->brick->projection, resets = level->brick->options & LW_RESET_BEFORE;
    struct back_masks masks = {mask_of(w, LW_MASK_RECURRENT, index, d), mask_of(w, LW_MASK_HIDDEN, index, d),
                               mask_of(w, LW_MASK_CELL, index, d), false};
    masks.used = masks.recurrent.used || masks.hidden.used || masks.cell.used;
    if (masks.recurrent.used && cell->passes_state) {
        step.fed = space->fed;
        step.fed_stride = space->wide_stride;
    }
    const size_t chunk = lw_max(1, space->rows / lw_max(1, w->rows));
    for (size_t i = 0, low = 0; i < w->steps; i++) {
        if (i % chunk == 0)
            low = reverse ? i : w->steps - lw_min(i + chunk, w->steps);
        const size_t t = reverse ? i : w->steps - 1 - i, row = t * w->rows, slot = (t - low) * w->rows;
        const size_t now = (reverse ? t : t + 1) * w->rows, before = (reverse ? t + 1 : t) * w->rows;
        struct lw_back *b = &step.back;
        b->rows = active_rows(w, t, b->rows);
        if (side->gates) {
            b->gates = side->gates + now * gates_stride;
            b->c_before = side->gates + before * gates_stride + (cell->gate_vectors - 1) * lanes;
        }
        if (side->cells)
            b->c_before = side->cells + row * level->c_width;
        b->h = side->trail + now * stride;
        b->h_before = side->trail + before * stride;
        b->dy = dy ? dy + row * space->dy_stride : NULL;
        b->d = space->d + slot * space->d_stride;
        b->aux = projects || resets ? space->aux + slot * space->aux_stride : NULL;
        step.projected = projects ? space->projected + slot * space->projected_stride : NULL;
        if (w->part == 0 && b->rows < w->rows) {
            clear_rows(space->d, slot, b->rows, w->rows, space->d_stride);
            clear_rows(b->aux ? space->aux : NULL, slot, b->rows, w->rows, space->aux_stride);
            clear_rows(step.projected ? space->projected : NULL, slot, b->rows, w->rows, space->projected_stride);
        }
        if (masks.used && b->rows && !back_zoneout(w, index, &masks, t, &step))
            return false;
        for (size_t phase = 0, phases = cell->back_phases(level); phase < phases && b->rows; phase++) {
            cell->back(w->model->kernels, level, &tape->back[2 * index + d], &step, phase, w->part, w->parts);
            if (!meet(w))
                return false;
        }
        if (masks.used && b->rows && !back_feed(w, index, &masks, &step, side->fed_mask, stride))
            return false;
        if (((i + 1) % chunk == 0 || i + 1 == w->steps) && !sum_steps(w, index, d, low, i % chunk + 1, dx))
            return false;
    }
    return true;
}

static bool back_recurrent(struct back_worker *w, size_t index, const float *dy, const float *dlast, float *dx)
{
    const struct lw_level *level = &w->model->levels[index];
    for (size_t d = 0; d < level->directions; d++) {
        if (w->part == 0)
            start_state(w, index, d, dlast);
        if (!meet(w) || !back_direction(w, index, d, dy ? dy + d * level->output : NULL, dx) || !meet(w))
            return false;
        if (w->part == 0)
            end_state(w, index, d);
    }
    return true;
}

/* Copies or adds the finished sums to the caller's tensors, every thread some of them. */
static void emit_parameters(const struct back_worker *w)
{
    const lw_gradients *g = w->call->gradients;
    const lw_tape *tape = w->call->tape;
    for (size_t i = w->part; g->parameters && i < w->model->tensor_count; i += w->parts) {
        const struct lw_named_tensor *tensor = &w->model->tensors[i];
        const struct lw_weights *gradient = &tape->gradients[2 * tensor->level + tensor->direction];
        const size_t columns = tensor->spec.shape[1];
        for (size_t row = 0, count, stride; g->parameters[i] && row < tensor->spec.shape[0]; row += count) {
            float *place;
            count = lw_model_rows(w->model, tensor, gradient, row, &place, &stride);
            lw_rows_unpack(place, stride, g->parameters[i] + row * columns, columns, count, g->store == LW_ACCUMULATE);
        }
    }
}

static void back_thread(void *argument, size_t index, size_t count)
{
    const struct back_call *call = argument;
    lw_tape *tape = call->tape;
    struct back_worker w = {.call = call,
                            .model = tape->weights,
                            .recording = &tape->recording,
                            .space = &tape->space,
                            .sync = &tape->context->teams[0],
                            .rows = tape->recording.batch,
                            .steps = tape->recording.steps,
                            .part = index,
                            .parts = count};
    size_t begin, end, level = w.model->level_count;
    lw_share(tape->gradients_floats, w.part, w.parts, &begin, &end);
    if (call->start == LW_BACK_BEGIN)
        memset(tape->gradients_packed + begin, 0, (end - begin) * sizeof(float));
    float *dy = w.space->dy[0], *dx = w.space->dy[1];
    stage_output(&w, dy);
    if (!meet(&w))
        return;
    /* Behind the last recurrent level the last output was made from one row for each sequence. */
    const float *dlast = NULL;
    const size_t collapse = call->last ? w.model->collapse : level;
    if (call->last && !call->gradients->output)
        level = collapse + 1; /* nothing comes from behind it */
    while (level > 0) {
        level--;
        const bool wants_dx = level > 0 || call->gradients->input;
        bool stays;
        if (!w.model->levels[level].cell->recurrent) {
            stays = back_map(&w, level, call->last && level > collapse ? w.rows : w.steps * w.rows, dy, dx, wants_dx);
        } else {
            if (level == collapse && call->gradients->output)
                dlast = dy;
            if (level != collapse || dlast)
                back_dropout(&w, level, level == collapse, dy);
            stays = meet(&w) && back_recurrent(&w, level, level == collapse ? NULL : dy,
                                               level == collapse ? dlast : NULL, wants_dx ? dx : NULL);
        }
        if (!stays)
            return;
        float *swap = dy;
        dy = dx;
        dx = swap;
    }
    if (call->gradients->input)
        emit_input(&w, dy);
    emit_parameters(&w);
}

lw_status lw_backward_run(lw_tape *tape, const lw_gradients *gradients, enum lw_back_start start)
{
    lw_context *context = tape->context;
    const bool last = tape->recording.output_kind == LW_OUTPUT_LAST;
    const bool recurrent = tape->weights->collapse < tape->weights->level_count;
    struct back_call call = {.tape = tape,
                             .gradients = gradients,
                             .last = last && recurrent,
                             .last_step = last && !recurrent,
                             .start = start};
    const struct lw_schedule *forward = &context->call_plan.schedule;
    call.threads = forward->teams * forward->members * forward->stages;
    /* A step takes twice as long as it took forward, and the sums of several steps more. */
    lw_context_begin(context, 4.0 * forward->cost.cycles);
    const bool late = lw_parallel_run(call.threads, context->parallel, context->pool, back_thread, &call);
    lw_context_learn(context, late);
    return LW_OK;
}
