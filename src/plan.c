/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a plan: takes the schedule that the cost model chooses and lays out the workspace. Called by forward.c,
 * context.c and explain.c.
 */
#include "plan.h"

#define CHUNK_BYTES ((size_t)256 * 1024) /* of merged input parts: they stay in the second-level cache */

struct cursor {
    size_t used;
    bool fits;
};

/* Takes rows * stride floats, on a cache line. */
static size_t take(struct cursor *cursor, size_t rows, size_t stride)
{
    size_t start = cursor->used, count;
    if (!lw_mul(rows, stride, &count) || !lw_add(count, LW_PAD - 1, &count) ||
        !lw_add(start, count - count % LW_PAD, &cursor->used))
        cursor->fits = false;
    return start;
}

bool lw_plan_make(const lw_model *model, size_t steps, size_t batch, size_t threads, enum lw_plan_kind kind,
                  struct lw_plan *plan)
{
    *plan = (struct lw_plan){.steps = steps, .batch = batch};
    const struct lw_hierarchy hierarchy = lw_cost_hierarchy(model->lanes);
    struct lw_ways ways;
    lw_cost_ways(model, steps, batch, lw_max(1, threads), &hierarchy, &ways);
    const bool tape = kind == LW_PLAN_TAPE;
    plan->way = lw_cost_choose(&ways);
    /* A team of rows or a wavefront cannot share one recording; sharing units is nearly as good. */
    if (tape && plan->way != LW_WAY_ONE)
        plan->way = LW_WAY_UNITS;
    plan->schedule = ways.schedule[plan->way];
    const struct lw_schedule *schedule = &plan->schedule;
    plan->rows = lw_max(1, lw_ceil_div(batch, schedule->teams));
    if (!tape)
        plan->rows = lw_min(LW_BLOCK_ROWS, plan->rows);
    if (model->has_reverse || tape)
        plan->segment = steps;
    else if (schedule->stages > 1)
        plan->segment = lw_cost_wave_segment(steps, plan->rows);
    else
        plan->segment = lw_min(steps, lw_max(1, LW_SEGMENT_ROWS / plan->rows));

    size_t output = 0, joined = 0, hidden = 0, merged = 0, gates = 0, lanes = model->lanes;
    for (size_t i = 0; i < model->level_count; i++) {
        const struct lw_level *level = &model->levels[i];
        output = lw_max(output, level->output);
        if (level->directions == 2)
            joined = lw_max(joined, lw_level_width(level));
        if (!level->cell->recurrent)
            continue;
        hidden = lw_max(hidden, level->hidden);
        merged = lw_max(merged, level->cell->merged(level, lanes));
        gates = lw_max(gates, level->cell->gate_vectors * lw_round_up(level->hidden, lanes));
    }
    plan->staged_stride = lw_stride(model->input);
    plan->joined_stride = lw_stride(joined);
    plan->trail_stride = lw_stride(output);
    plan->scratch_stride = lw_stride(hidden);
    plan->gates_stride = lw_round_up(gates, LW_PAD);
    size_t chunk = merged ? CHUNK_BYTES / (merged * sizeof(float)) : 1;
    plan->chunk = chunk < 96 ? 96 : chunk > 256 ? 256 : chunk;

    size_t slots, walked;
    if (!lw_mul(plan->segment, plan->rows, &walked) || !lw_mul_add(plan->segment, plan->rows, plan->rows, &slots))
        return false;
    struct cursor cursor = {.fits = true};
    plan->staged = take(&cursor, tape ? 0 : walked, plan->staged_stride);
    plan->joined = take(&cursor, joined && !tape ? lw_max(walked, plan->rows) : 0, plan->joined_stride);
    for (int ping = 0; ping < 2 && !tape; ping++)
        for (int d = 0; d < 2; d++)
            plan->trail[ping][d] = take(&cursor, d && !joined ? 0 : lw_max(slots, 2 * plan->rows), plan->trail_stride);
    for (int d = 0; d < 2; d++) {
        size_t rows = d && !joined ? 0 : plan->rows;
        plan->merged[d] = take(&cursor, rows ? plan->chunk : 0, merged);
        plan->scratch_c[d] = take(&cursor, rows, plan->scratch_stride);
        plan->scratch_z[d] = take(&cursor, rows, plan->scratch_stride);
        plan->gates[d] = take(&cursor, rows, plan->gates_stride);
    }
    plan->carry = take(&cursor, plan->rows, model->state_floats);
    plan->order = take(&cursor, plan->rows, (schedule->teams + 1) * sizeof(size_t) / sizeof(float));
    plan->team_floats = cursor.used;
    size_t bytes;
    return cursor.fits && lw_mul(cursor.used, 2 * threads * sizeof(float), &bytes);
}
