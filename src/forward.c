/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a model over the plan: blocks of rows, segments of time, levels, directions, steps. Called by api.c; knows no
 * cell by name and no kernel.
 */
#include "forward.h"

#include <string.h>

#include "probe.h"
#include "walk.h"

/* Where the state of a stream lies, or NULL without one. */
static float *stream_vector(const struct lw_call *call, size_t user_row, const struct lw_level *level, size_t d,
                            lw_memory memory)
{
    const lw_state *state = call->states ? call->states[user_row] : call->state;
    if (!state)
        return NULL;
    size_t row = call->states ? 0 : user_row;
    return memory == LW_HIDDEN ? lw_state_h(state, level, d) + row * level->h_width
                               : lw_state_c(state, level, d) + row * level->c_width;
}

/* Copies the streams' states into the carry (load) or back. */
static void exchange_states(const struct worker *w, bool load)
{
    for (size_t i = 0; i < w->model->level_count; i++) {
        const struct lw_level *level = &w->model->levels[i];
        for (size_t d = 0; level->h_width && d < level->directions; d++)
            for (size_t r = 0; r < w->rows; r++) {
                float *ours[] = {carry_h(w, level, d) + r * level->h_width, carry_c(w, level, d) + r * level->c_width};
                const size_t widths[] = {level->h_width, level->c_width};
                for (int memory = LW_HIDDEN; memory <= LW_CELL; memory++) {
                    if (!widths[memory])
                        continue;
                    float *theirs = stream_vector(w->call, w->user_rows[r], level, d, (lw_memory)memory);
                    if (load && !theirs)
                        memset(ours[memory], 0, widths[memory] * sizeof(float));
                    else if (theirs)
                        memcpy(load ? ours[memory] : theirs, load ? theirs : ours[memory],
                               widths[memory] * sizeof(float));
                }
            }
    }
}

static size_t sort_key(const struct lw_call *call, size_t row)
{
    const size_t *lengths = call->whole_lengths ? call->whole_lengths : call->io.lengths;
    return lengths ? lengths[row] : call->io.steps;
}

/* Shell's sort by falling length; every team sorts alike. */
static void sort_rows(const struct lw_call *call, size_t *rows, size_t count)
{
    for (size_t gap = count / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11)
        for (size_t i = gap; i < count; i++) {
            size_t row = rows[i], at = i;
            for (; at >= gap && sort_key(call, rows[at - gap]) < sort_key(call, row); at -= gap)
                rows[at] = rows[at - gap];
            rows[at] = row;
        }
}

/* Rows are dealt from `first` on, a block for each team: longest first, to the teams in turn and then in turn
 * backwards, so that all have about the same number of steps to do. */
static bool is_ours(const struct worker *w, size_t i)
{
    const size_t teams = w->plan->schedule.teams, place = i % teams;
    return (i / teams % 2 ? teams - 1 - place : place) == w->team;
}

static size_t dealt_rows(const struct worker *w, size_t first)
{
    return lw_min(w->plan->schedule.teams * w->plan->rows, w->call->io.batch - first);
}

static size_t our_rows(const struct worker *w, size_t first)
{
    const size_t teams = w->plan->schedule.teams, count = dealt_rows(w, first), whole = count - count % teams;
    size_t rows = count / teams;
    for (size_t i = whole; i < count; i++)
        rows += is_ours(w, i);
    return rows;
}

static void deal_block(struct worker *w, size_t first)
{
    const lw_io *io = &w->call->io;
    const size_t count = dealt_rows(w, first);
    for (size_t i = 0; i < count; i++)
        w->user_rows[i] = first + i;
    if (io->lengths || w->call->whole_lengths)
        sort_rows(w->call, w->user_rows, count);
    size_t rows = 0;
    for (size_t i = 0; i < count; i++)
        if (is_ours(w, i))
            w->user_rows[rows++] = w->user_rows[i];
    for (size_t i = 0; i < rows; i++)
        w->lengths[i] = io->lengths ? io->lengths[w->user_rows[i]] : io->steps;
}

/* The masks of a kind at a level; used ones in recorded runs alone. */
static struct lw_mask mask_of(const struct worker *w, enum lw_mask_kind kind, size_t index)
{
    const struct lw_recording *recording = w->call->recording;
    return lw_mask_of(recording ? &recording->regularisation : NULL, w->model, kind, index, 0);
}

static void drop(const struct worker *w, const struct lw_mask *mask, size_t step, size_t row, size_t width,
                 float *values)
{
    lw_mask_times(&(struct lw_mask_row){.mask = mask, .step = step, .row = w->user_rows[row], .end = width}, values);
}

/* The caller's input of this segment, where it lies if it is a single row, otherwise copied side by side. */
static struct view stage_input(const struct worker *w)
{
    const lw_io *io = &w->call->io;
    const float *from = io->input + w->t0 * io->input_step_stride;
    const struct lw_recording *recording = w->call->recording;
    if (w->rows == 1 && !recording)
        return (struct view){from + w->user_rows[0] * io->input_row_stride, io->input_step_stride};
    float *staged = recording ? recording->staged : w->own + w->plan->staged;
    size_t stride = recording ? recording->staged_stride : w->plan->staged_stride, begin, end, active = w->rows;
    const struct lw_mask mask = mask_of(w, LW_MASK_INPUT, 0);
    lw_share(w->steps, w->member, w->members, &begin, &end);
    for (size_t t = begin; t < end; t++) {
        active = active_rows(w, w->t0 + t, active);
        for (size_t r = 0; r < active; r++)
            memcpy(step_rows(w, staged, t, stride) + r * stride,
                   from + t * io->input_step_stride + w->user_rows[r] * io->input_row_stride,
                   w->model->input * sizeof(float));
        if (recording)
            memset(step_rows(w, staged, t, stride) + active * stride, 0, (w->rows - active) * stride * sizeof(float));
        for (size_t r = 0; mask.used && r < active; r++)
            drop(w, &mask, recording->first_step + t, r, w->model->input, step_rows(w, staged, t, stride) + r * stride);
    }
    meet(w);
    return (struct view){staged, stride};
}

/* Writes the directions of a level (`reverse` may be NULL) side by side, this thread's share of `rows` rows, and drops
 * some of it; the first rows are of step `first`. */
static struct view join(const struct worker *w, size_t index, const float *forward, const float *reverse, size_t stride,
                        size_t rows, const struct lw_mask *mask, size_t first)
{
    size_t joined_stride, width = w->model->levels[index].output, begin, end;
    float *joined = joined_of(w, index, &joined_stride);
    lw_share(rows, w->member, w->members, &begin, &end);
    for (size_t r = begin; r < end; r++) {
        memcpy(joined + r * joined_stride, forward + r * stride, width * sizeof(float));
        if (reverse)
            memcpy(joined + r * joined_stride + width, reverse + r * stride, width * sizeof(float));
        if (mask->used)
            drop(w, mask, first + r / w->rows, r % w->rows, lw_level_width(&w->model->levels[index]),
                 joined + r * joined_stride);
    }
    meet(w);
    return (struct view){joined, joined_stride};
}

static struct view run_recurrent(const struct worker *w, size_t index, struct view in)
{
    const struct lw_level *level = &w->model->levels[index];
    if (level->directions == 2 && w->members >= 2) {
        size_t half = w->members / 2, d = w->member >= half;
        struct side side = {d ? w->member - half : w->member, d ? w->members - half : half, &w->sync->side[d]};
        lw_walk_direction(w, index, d, in, &side);
    } else {
        struct side side = {w->member, w->members, &w->sync->side[2]};
        for (size_t d = 0; d < level->directions; d++)
            lw_walk_direction(w, index, d, in, &side);
    }
    meet(w);
    size_t stride;
    float *trail = trail_of(w, index, 0, &stride);
    const float *forward = step_rows(w, trail, lw_level_reverse(level, 0) ? 0 : 1, stride), *reverse = NULL;
    /* Where only the last output is wanted, emit_collapsed makes it. */
    const bool ends = w->call->io.output_kind == LW_OUTPUT_LAST && index == w->model->collapse;
    struct lw_mask mask = mask_of(w, LW_MASK_OUTPUT, index);
    mask.used &= !ends;
    if (level->directions == 1 && !mask.used)
        return (struct view){forward, stride};
    if (level->directions == 2)
        reverse = trail_of(w, index, 1, &stride);
    return join(w, index, forward, reverse, stride, w->steps * w->rows, &mask,
                mask.used ? w->call->recording->first_step : 0);
}

/* A level without memory: `rows` rows at once, split by rows where there are plenty, by outputs otherwise. */
static struct view run_map(const struct worker *w, size_t index, struct view in, size_t rows)
{
    const struct lw_level *level = &w->model->levels[index];
    size_t stride;
    float *out = trail_of(w, index, 0, &stride);
    if (rows >= 8 * w->members) {
        size_t begin, end;
        lw_share(rows, w->member, w->members, &begin, &end);
        level->cell->map(w->model->kernels, level, end - begin, in.data + begin * in.stride, in.stride,
                         out + begin * stride, stride, 0, 1);
    } else {
        level->cell->map(w->model->kernels, level, rows, in.data, in.stride, out, stride, w->member, w->members);
    }
    meet(w);
    return (struct view){out, stride};
}

static void note(const struct worker *w, size_t index, struct view in, struct view out)
{
    if (!w->call->recording || w->member != 0)
        return;
    w->call->recording->levels[index].in = in;
    w->call->recording->levels[index].out = out;
}

static struct view run_levels(const struct worker *w, size_t begin, size_t end, struct view in)
{
    for (size_t i = begin; i < end; i++) {
        struct view out = w->model->levels[i].cell->recurrent ? run_recurrent(w, i, in)
                                                              : run_map(w, i, in, w->steps * w->rows);
        note(w, i, in, out);
        in = out;
    }
    return in;
}

/* Copies a segment's outputs to the caller, zeros beyond each row's length. */
static void emit_sequence(const struct worker *w, struct view out)
{
    const lw_io *io = &w->call->io;
    size_t begin, end, width = w->model->output;
    lw_share(w->steps, w->member, w->members, &begin, &end);
    for (size_t t = begin; t < end; t++)
        for (size_t r = 0; r < w->rows; r++) {
            float *to = io->output + (w->t0 + t) * io->output_step_stride + w->user_rows[r] * io->output_row_stride;
            if (w->t0 + t < w->lengths[r])
                memcpy(to, out.data + (t * w->rows + r) * out.stride, width * sizeof(float));
            else
                memset(to, 0, width * sizeof(float));
        }
}

/* Without a recurrent level: each row's last step, if it lies in this segment. */
static void emit_last_step(const struct worker *w, struct view out)
{
    for (size_t r = 0; r < w->rows && w->member == 0; r++) {
        float *to = w->call->io.output + w->user_rows[r] * w->model->output;
        size_t t = w->lengths[r] - 1;
        if (w->lengths[r] == 0)
            memset(to, 0, w->model->output * sizeof(float));
        else if (t >= w->t0 && t < w->t0 + w->steps)
            memcpy(to, out.data + ((t - w->t0) * w->rows + r) * out.stride, w->model->output * sizeof(float));
    }
}

/* The final hidden states of the last recurrent level through the bricks behind it. */
static void emit_collapsed(const struct worker *w)
{
    const struct lw_model *model = w->model;
    const struct lw_level *level = &model->levels[model->collapse];
    struct view out = {carry_h(w, level, 0), level->h_width};
    const struct lw_mask mask = mask_of(w, LW_MASK_OUTPUT, model->collapse);
    if (level->directions == 2 || mask.used)
        out = join(w, model->collapse, carry_h(w, level, 0), level->directions == 2 ? carry_h(w, level, 1) : NULL,
                   level->h_width, w->rows, &mask, 0);
    for (size_t i = model->collapse + 1; i < model->level_count; i++) {
        struct view next = run_map(w, i, out, w->rows);
        note(w, i, out, next);
        out = next;
    }
    for (size_t r = 0; w->call->io.output && r < w->rows && w->member == 0; r++)
        memcpy(w->call->io.output + w->user_rows[r] * model->output, out.data + r * out.stride,
               model->output * sizeof(float));
}

/* Puts the finished segment where it belongs: `out` is the last level's. */
static void emit(const struct worker *w, struct view out)
{
    const lw_io *io = &w->call->io;
    if (io->output && io->output_kind != LW_OUTPUT_LAST)
        emit_sequence(w, out);
    else if (io->output && w->model->collapse == w->model->level_count)
        emit_last_step(w, out);
}

/* All threads of the team walk each level together, segment after segment. */
static void run_together(struct worker *w, size_t end)
{
    const lw_io *io = &w->call->io;
    for (w->t0 = 0; w->t0 < io->steps; w->t0 += w->steps) {
        if (w->t0 > 0)
            meet(w); /* the segment before is with the caller: its buffers are free */
        w->steps = lw_min(w->plan->segment, io->steps - w->t0);
        emit(w, run_levels(w, 0, end, stage_input(w)));
    }
}

/* The wavefront: thread s walks its levels through segment k while thread s + 1 walks the next levels through segment
 * k - 1. Each has two sets of buffers, so that what it hands on stays whole while it writes the next segment. */
static void run_stage(struct worker *w, size_t stage, size_t segment, size_t end)
{
    const struct lw_plan *plan = w->plan;
    const size_t first = stage ? plan->schedule.stage_end[stage - 1] : 0, parity = segment % 2;
    w->t0 = segment * plan->segment;
    w->steps = lw_min(plan->segment, w->call->io.steps - w->t0);
    w->own = w->base + (2 * stage + parity) * plan->team_floats;
    struct view in = stage ? w->sync->handed[stage - 1][parity] : stage_input(w);
    struct view out = run_levels(w, first, lw_min(plan->schedule.stage_end[stage], end), in);
    w->sync->handed[stage][parity] = out;
    if (stage + 1 == plan->schedule.stages)
        emit(w, out);
}

static void run_wavefront(struct worker *w, size_t end)
{
    const struct lw_plan *plan = w->plan;
    const size_t segments = lw_ceil_div(w->call->io.steps, plan->segment), ticks = segments + plan->schedule.stages - 1;
    bool alone = false;
    for (size_t tick = 0; tick < ticks && (!alone || w->stage == 0); tick++) {
        for (size_t stage = 0; stage < plan->schedule.stages; stage++)
            if ((alone || stage == w->stage) && tick >= stage && tick - stage < segments)
                run_stage(w, stage, tick - stage, end);
        if (!alone)
            alone = lw_barrier_wait(&w->sync->side[2], plan->schedule.stages);
    }
    w->own = w->base;
}

/* One block of rows, from `first_row` of the dealt ones on, through all of its time. */
static void run_block(struct worker *w, size_t first_row)
{
    const lw_io *io = &w->call->io;
    const struct lw_model *model = w->model;
    const size_t threads = w->plan->schedule.members * w->plan->schedule.stages;
    const bool last = io->output_kind == LW_OUTPUT_LAST, recurrent = model->collapse < model->level_count;
    const size_t end = last && recurrent ? model->collapse + 1 : model->level_count;
    const bool first = w->member == 0 && w->stage == 0;
    if (first) {
        deal_block(w, first_row);
        exchange_states(w, true);
    }
    lw_barrier_wait(&w->sync->all, threads);
    if (w->plan->schedule.stages > 1)
        run_wavefront(w, end);
    else
        run_together(w, end);
    if ((io->output || w->call->recording) && last && recurrent && w->stage == 0)
        emit_collapsed(w);
    else if (io->output && last && io->steps == 0 && w->stage == 0)
        emit_last_step(w, (struct view){0});
    if (first && !w->call->keep_state)
        exchange_states(w, false);
}

/* What thread `index` does: its team's blocks, one after the other. */
static void run_thread(void *argument, size_t index, size_t count)
{
    const struct lw_call *call = argument;
    struct lw_plan plan = call->context->call_plan;
    /* Fewer threads than planned: one does it all, in the same workspace. */
    if (count < plan.schedule.teams * plan.schedule.members * plan.schedule.stages)
        plan.schedule.teams = plan.schedule.members = plan.schedule.stages = 1;
    const size_t threads = plan.schedule.members * plan.schedule.stages;
    if (index >= plan.schedule.teams * threads)
        return;
    struct worker w = {.call = call, .model = call->context->model, .plan = &plan, .members = plan.schedule.members};
    w.team = index / threads;
    if (plan.schedule.stages > 1)
        w.stage = index % threads;
    else
        w.member = index % threads;
    w.sync = &call->context->teams[w.team];
    w.base = w.own = call->context->workspace + w.team * plan.team_floats;
    w.user_rows = call->recording ? call->recording->user_rows : (size_t *)(void *)(w.base + plan.order);
    w.lengths = call->recording ? call->recording->lengths : w.user_rows + plan.schedule.teams * plan.rows;
    for (size_t first = 0; first < call->io.batch; first += plan.schedule.teams * plan.rows) {
        if (first > 0) /* the block before is with the caller */
            lw_barrier_wait(&w.sync->all, threads);
        w.rows = our_rows(&w, first);
        if (w.rows > 0)
            run_block(&w, first);
    }
}

#define SHORT_CYCLES 30e3 /* below, a second thread costs more than it gives */

/* One step of a few dense rows of a state, too little for a second thread. */
static bool is_short_step(const struct lw_call *call)
{
    const lw_io *io = &call->io;
    const lw_context *context = call->context;
    bool dense = io->batch == 1 ||
                 (io->input_row_stride == context->model->input && io->output_row_stride == context->model->output);
    return io->steps == 1 && call->state && !io->lengths && !io->probe_count && io->batch <= LW_SHORT_ROWS && dense &&
           (context->team_count == 1 || context->step_cycles * (double)io->batch < SHORT_CYCLES);
}

lw_status lw_forward_step(lw_context *context, lw_state *state, const float *x, float *y)
{
    if (state->batch <= LW_SHORT_ROWS) {
        lw_step_short(context, state, x, y);
        return LW_OK;
    }
    struct lw_call call = {.context = context, .state = state, .serial = true};
    call.io = (lw_io){.size = sizeof(lw_io), .steps = 1, .batch = state->batch, .input = x, .output = y};
    call.io.input_row_stride = context->model->input;
    call.io.input_step_stride = state->batch * context->model->input;
    call.io.output_row_stride = context->model->output;
    call.io.output_step_stride = state->batch * context->model->output;
    return lw_forward_run(&call);
}

lw_status lw_forward_run(struct lw_call *call)
{
    lw_context *context = call->context;
    const lw_io *io = &call->io;
    if (!call->recording && is_short_step(call)) {
        lw_step_short(context, call->state, io->input, io->output);
        return LW_OK;
    }
    size_t threads = call->serial ? 1 : lw_context_threads(context);
    if (!lw_plan_make(context->model, io->steps, io->batch, threads, call->recording ? LW_PLAN_TAPE : LW_PLAN_RUN,
                      &context->call_plan))
        return lw_fail(LW_ERR_SHAPE, "the workspace of %zu steps and %zu rows overflows", io->steps, io->batch);
    const struct lw_plan *plan = &context->call_plan;
    lw_status status = lw_context_grow(context, lw_plan_floats(plan));
    if (status)
        return status;
    lw_probe_clear(context->model, io);
    /* A step's; where input parts are merged, the first step of a chunk has more to do. */
    const double cycles = plan->schedule.cost.cycles * (plan->schedule.stages > 1 ? (double)plan->segment : 2.0);
    lw_context_begin(context, cycles);
    const bool late = lw_parallel_run(plan->schedule.teams * plan->schedule.members * plan->schedule.stages,
                                      context->parallel, context->pool, run_thread, call);
    lw_context_learn(context, late);
    return LW_OK;
}
