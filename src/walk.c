/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of one direction of a recurrent level through a segment. Called by forward.c; knows no cell by name. */
#include "walk.h"

#include <string.h>

#include "probe.h"

/* The steps from i on, in the order of the walk, whose input part can be one product: as many as have the same active
 * rows and fit the buffer, in even parts. */
static size_t chunk_steps(const struct worker *w, bool reverse, size_t i, size_t active)
{
    const size_t most = lw_max(1, w->plan->chunk / lw_max(1, active)), left = w->steps - i;
    const size_t even = lw_ceil_div(left, lw_ceil_div(left, most));
    size_t n = 1;
    if (active != w->rows && active != 1)
        return 1;
    while (n < even) {
        size_t t = w->t0 + (reverse ? w->steps - 1 - (i + n) : i + n);
        if (active_rows(w, t, active) != active)
            break;
        n++;
    }
    return n;
}

/* Puts the initial states into the trail: each row's where its first step looks for it. */
static void start_trail(const struct worker *w, const struct lw_level *level, size_t d, bool reverse, float *trail,
                        size_t stride)
{
    const float *h = carry_h(w, level, d);
    for (size_t r = 0; r < w->rows; r++) {
        size_t slot = reverse ? steps_of(w, r) : 0;
        memcpy(step_rows(w, trail, slot, stride) + r * stride, h + r * level->h_width, level->output * sizeof(float));
    }
}

/* The same for the gates of a recording, and zeros behind each row's last slot. */
static void start_record(const struct worker *w, size_t index, size_t d, bool reverse)
{
    const struct lw_level *level = &w->model->levels[index];
    const struct lw_level_record *record = &w->call->recording->levels[index];
    const size_t stride = record->trail_stride, gates_stride = record->gates_stride;
    for (size_t r = 0; r < w->rows; r++) {
        const size_t length = steps_of(w, r);
        for (size_t slot = length + 1; slot <= w->steps; slot++)
            memset(step_rows(w, record->side[d].trail, slot, stride) + r * stride, 0, stride * sizeof(float));
        if (level->cell->keep_memory)
            level->cell->keep_memory(level, w->model->lanes, carry_c(w, level, d) + r * level->c_width,
                                     step_rows(w, record->side[d].gates, reverse ? length : 0, gates_stride) +
                                         r * gates_stride);
    }
}

static void end_trail(const struct worker *w, const struct lw_level *level, size_t d, bool reverse, float *trail,
                      size_t stride)
{
    float *h = carry_h(w, level, d);
    for (size_t r = 0; r < w->rows; r++) {
        size_t slot = reverse ? 0 : steps_of(w, r);
        memcpy(h + r * level->h_width, step_rows(w, trail, slot, stride) + r * stride, level->output * sizeof(float));
    }
}

/* One direction of a recurrent level on its way through a segment. */
struct walk {
    const struct worker *w;
    const struct side *side;
    size_t index, d;
    bool reverse, probed;
    float *trail;
    size_t stride;
    const struct lw_level_record *record; /* NULL: none */
    struct lw_mask recurrent, hidden, cell;
    bool masked;  /* any of them is used */
    size_t parts; /* threads that share a step: all of the side's, or 1 once its barrier said so */
};

/* The side's barrier. False if this thread is to leave: from the barrier that says so on, the first thread does the
 * whole of each step. */
static bool step_done(struct walk *k)
{
    if (lw_barrier_wait(k->side->barrier, k->parts))
        k->parts = 1;
    return k->side->member < k->parts;
}

/* The mask's elements of row r at step t that this thread works on. */
static struct lw_mask_row mask_row(const struct walk *k, const struct lw_mask *mask, size_t t, size_t r, size_t width)
{
    const struct worker *w = k->w;
    struct lw_mask_row m = {.mask = mask, .step = w->call->recording->first_step + t, .row = w->user_rows[r]};
    lw_mask_share(width, k->side->member, k->parts, &m.begin, &m.end);
    return m;
}

/* Before step t: what is fed back instead of h, and a copy of c. False if this thread is to leave. */
static bool feed_back(struct walk *k, struct lw_step *step, size_t t)
{
    const struct worker *w = k->w;
    const struct lw_level *level = &w->model->levels[k->index];
    const struct lw_record *record = &k->record->side[k->d];
    size_t begin, end;
    if (!record->fed && !record->cells)
        return true;
    if (record->fed) {
        float *fed = step_rows(w, record->fed, t, k->stride);
        lw_mask_share(level->output, k->side->member, k->parts, &begin, &end);
        for (size_t r = 0; r < w->rows; r++)
            for (size_t i = begin; i < end; i++)
                fed[r * k->stride + i] = r < step->rows
                                             ? step->h[r * k->stride + i] * record->fed_mask[r * k->stride + i]
                                             : 0.0f;
        step->fed = fed;
        step->fed_stride = k->stride;
    }
    if (record->cells) {
        float *cells = step_rows(w, record->cells, t, level->c_width);
        lw_mask_share(level->hidden, k->side->member, k->parts, &begin, &end);
        for (size_t r = 0; r < step->rows; r++)
            memcpy(cells + r * level->c_width + begin, step->c + r * step->c_stride + begin,
                   (end - begin) * sizeof(float));
    }
    return step_done(k);
}

/* Behind step t: some of h and c stay as they were. */
static bool zone_out(struct walk *k, const struct lw_step *step, size_t t)
{
    const struct worker *w = k->w;
    const struct lw_level *level = &w->model->levels[k->index];
    for (size_t r = 0; k->hidden.used && r < step->rows; r++) {
        const struct lw_mask_row m = mask_row(k, &k->hidden, t, r, level->output);
        lw_mask_blend(&m, step->h + r * k->stride, step->y + r * k->stride);
    }
    for (size_t r = 0; k->cell.used && r < step->rows; r++) {
        const struct lw_mask_row m = mask_row(k, &k->cell, t, r, level->hidden);
        const float *cells = step_rows(w, k->record->side[k->d].cells, t, level->c_width);
        lw_mask_blend(&m, cells + r * level->c_width, step->c + r * step->c_stride);
    }
    return !(k->hidden.used || k->cell.used) || step_done(k);
}

/* Step t of the segment, all phases. False if this thread is to leave. */
static bool walk_step(struct walk *k, struct lw_step *step, struct view in, size_t t)
{
    const struct worker *w = k->w;
    const struct lw_level *level = &w->model->levels[k->index];
    const size_t before = k->reverse ? t + 1 : t, after = k->reverse ? t : t + 1;
    step->x = in.data + t * w->rows * in.stride;
    step->h = step_rows(w, k->trail, before, k->stride);
    step->y = step_rows(w, k->trail, after, k->stride);
    if (k->record && k->record->side[k->d].gates)
        step->gates = step_rows(w, k->record->side[k->d].gates, after, k->record->gates_stride);
    if (k->masked && !feed_back(k, step, t))
        return false;
    for (size_t phase = 0, phases = level->cell->phases(level); phase < phases; phase++) {
        level->cell->step(w->model->kernels, &level->weights[k->d], step, phase, k->side->member, k->parts);
        if (!step_done(k))
            return false;
    }
    if (k->masked && !zone_out(k, step, t))
        return false;
    if (!k->probed)
        return true;
    if (k->side->member == 0)
        lw_probe_record(w->model, &w->call->io, k->index, k->d, w->t0 + t, step, w->user_rows);
    return step_done(k);
}

/* What does not change from step to step. */
static struct lw_step prepare_step(const struct walk *k, struct view in)
{
    const struct worker *w = k->w;
    const struct lw_plan *plan = w->plan;
    const struct lw_level *level = &w->model->levels[k->index];
    struct lw_step step = level->weights[k->d].step;
    step.h_stride = step.y_stride = k->stride;
    step.x_stride = in.stride;
    step.c = level->cell->has_memory ? carry_c(w, level, k->d) : w->own + plan->scratch_c[k->d];
    step.c_stride = level->cell->has_memory ? level->c_width : plan->scratch_stride;
    step.z = w->own + plan->scratch_z[k->d];
    step.z_stride = plan->scratch_stride;
    step.gates_stride = k->record ? k->record->gates_stride : plan->gates_stride;
    if (k->probed && level->cell->gate_vectors)
        step.gates = w->own + plan->gates[k->d];
    return step;
}

/* The masks of this direction; the first thread draws the one that holds for all steps. */
static void start_masks(struct walk *k)
{
    const struct worker *w = k->w;
    const lw_regularisation *r = &w->call->recording->regularisation;
    const struct lw_record *record = &k->record->side[k->d];
    k->recurrent = lw_mask_of(r, w->model, LW_MASK_RECURRENT, k->index, k->d);
    k->hidden = lw_mask_of(r, w->model, LW_MASK_HIDDEN, k->index, k->d);
    k->cell = lw_mask_of(r, w->model, LW_MASK_CELL, k->index, k->d);
    k->masked = k->recurrent.used || k->hidden.used || k->cell.used;
    for (size_t row = 0; k->recurrent.used && k->side->member == 0 && row < w->rows; row++) {
        struct lw_mask_row m = {.mask = &k->recurrent, .row = w->user_rows[row]};
        lw_mask_share(w->model->levels[k->index].output, 0, 1, &m.begin, &m.end);
        lw_mask_fill(&m, record->fed_mask + row * k->stride);
    }
    /* Steps that no row reaches are not walked, but summed over. */
    const size_t walked = w->rows ? steps_of(w, 0) : w->steps;
    if (k->recurrent.used && k->side->member == 0)
        memset(step_rows(w, record->fed, walked, k->stride), 0,
               (w->steps - walked) * w->rows * k->stride * sizeof(float));
}

void lw_walk_direction(const struct worker *w, size_t index, size_t d, struct view in, const struct side *side)
{
    const struct lw_level *level = &w->model->levels[index];
    const struct lw_recording *recording = w->call->recording;
    struct walk k = {.w = w, .side = side, .index = index, .d = d, .parts = side->members};
    k.reverse = lw_level_reverse(level, d);
    k.probed = lw_probe_wants(&w->call->io, level, index, d);
    k.trail = trail_of(w, index, d, &k.stride);
    k.record = recording ? &recording->levels[index] : NULL;
    if (recording)
        start_masks(&k);
    if (side->member == 0) {
        start_trail(w, level, d, k.reverse, k.trail, k.stride);
        if (recording)
            start_record(w, index, d, k.reverse);
    }
    if (!step_done(&k))
        return;
    float *merged = w->own + w->plan->merged[d];
    struct lw_step step = prepare_step(&k, in);
    for (size_t i = 0, chunk; i < w->steps; i += chunk) {
        size_t active = active_rows(w, w->t0 + (k.reverse ? w->steps - 1 - i : i), step.rows);
        chunk = chunk_steps(w, k.reverse, i, active);
        size_t low = k.reverse ? w->steps - i - chunk : i; /* the chunk's first step in time */
        step.rows = active;
        step.merged = NULL;
        if (active == 0)
            continue;
        if (chunk > 1) {
            step.merged = merged;
            step.merged_rows = chunk * active;
            level->cell->input(w->model->kernels, &level->weights[d], step.merged_rows,
                               in.data + low * w->rows * in.stride, active == 1 ? w->rows * in.stride : in.stride,
                               merged, side->member, k.parts);
        }
        for (size_t n = 0; n < chunk; n++) {
            size_t t = k.reverse ? low + chunk - 1 - n : low + n;
            step.merged_row = (t - low) * active;
            if (!walk_step(&k, &step, in, t))
                return;
        }
    }
    if (side->member == 0)
        end_trail(w, level, d, k.reverse, k.trail, k.stride);
}
