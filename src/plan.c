/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chooses the schedule by a small cost model and lays out the workspace. Called by context.c, forward.c and explain.c.
 *
 * The model counts cycles of one step: the larger of the arithmetic (two fused multiply-adds of a vector a cycle) and the
 * traffic of the recurrent weights from the cache that holds a thread's share of them, plus activations and barriers.
 * Its constants are round numbers of current x86 and Arm cores; only their ratios matter.
 */
#include "plan.h"

#include "cpu.h"

#define BARRIER_CYCLES 1200.0 /* threads of an idle machine meet in 500 to 900 cycles */
#define REGION_CYCLES 12000.0 /* opening a parallel region whose threads still spin, or just fell asleep */
#define CALL_CYCLES 200.0     /* a cell's way to its kernel */
#define VECTOR_CYCLES 45.0    /* activations of a vector of units */
#define GAIN 0.85 /* what more threads must promise: a forecast may be wrong, and they may be needed elsewhere */
#define CHUNK_BYTES ((size_t)256 * 1024) /* of merged input parts: they stay in the second-level cache */

/* Bytes a cycle that one core gets from the level of the memory hierarchy that holds `bytes`. */
static double bandwidth(double bytes, double lanes)
{
    struct lw_caches caches = lw_cpu_caches();
    double l1 = caches.l1 ? (double)caches.l1 : 32e3, l2 = caches.l2 ? (double)caches.l2 : 512e3;
    double l3 = caches.l3 ? (double)caches.l3 : 8e6;
    return bytes <= 0.8 * l1 ? 6.4 * lanes : bytes <= 0.8 * l2 ? 36.0 : bytes <= l3 ? 18.0 : 5.0;
}

/* Cycles of one step of a level for `members` threads with `rows` rows; `kept` bytes of weights pass through each
 * thread's caches before they come by again. */
static double level_cycles(const lw_model *model, const struct lw_level *level, size_t rows, size_t members,
                           double kept)
{
    if (!level->cell->recurrent)
        return 2.0 * (double)level->input * (double)level->output * (double)rows / (double)model->kernels->lanes /
               (double)members;
    double lanes = (double)model->kernels->lanes, share = 1.0 / (double)members, sides = (double)level->directions;
    double units = (double)lw_ceil_div(level->hidden, model->kernels->lanes) * sides * share;
    double outputs = (double)level->weights[0].step.recurrent.columns * lanes * sides * share;
    double arithmetic = outputs * (double)(level->output + level->input) * (double)rows / (2.0 * lanes) /
                        (rows >= 4 ? 0.9 : 0.6);
    double traffic = outputs * (double)level->output * sizeof(float) / bandwidth(kept * share, lanes);
    double cycles = (arithmetic > traffic ? arithmetic : traffic) + units * (double)rows * VECTOR_CYCLES + CALL_CYCLES;
    if (members > lw_min(members, level->directions))
        cycles += BARRIER_CYCLES * (double)level->cell->phases(level);
    return cycles;
}

/* Bytes of the weights that a thread walks again and again: one level's if a segment is long, all of them otherwise. */
static double kept_bytes(const lw_model *model, size_t segment)
{
    double all = (double)model->packed_floats * sizeof(float);
    return segment >= 8 ? all / (double)model->level_count : all;
}

static double step_cycles(const lw_model *model, size_t rows, size_t members, size_t segment)
{
    double cycles = 0.0;
    for (size_t i = 0; i < model->level_count; i++)
        cycles += level_cycles(model, &model->levels[i], rows, members, kept_bytes(model, segment));
    return cycles;
}

/* Deals the levels to stages of about the same cost and returns the cost of the dearest one. */
static double deal_levels(const lw_model *model, size_t stages, struct lw_plan *plan)
{
    double total = 0.0, done = 0.0, worst = 0.0, own = 0.0;
    for (size_t i = 0; i < model->level_count; i++)
        total += level_cycles(model, &model->levels[i], plan->batch, 1, kept_bytes(model, 8));
    size_t stage = 0;
    for (size_t i = 0; i < model->level_count; i++) {
        double cost = level_cycles(model, &model->levels[i], plan->batch, 1, kept_bytes(model, 8));
        /* The next stage begins where half of this level lies beyond the border, and in time for all to have one. */
        bool beyond = done + 0.5 * cost > total * (double)(stage + 1) / (double)stages;
        bool needed = model->level_count - i == stages - 1 - stage;
        if (stage + 1 < stages && i > 0 && (beyond || needed)) {
            plan->stage_end[stage++] = i;
            own = 0.0;
        }
        done += cost;
        own += cost;
        worst = own > worst ? own : worst;
    }
    plan->stage_end[stage] = model->level_count;
    return stage + 1 == stages ? worst : total;
}

/* Steps of a wavefront's segment: short enough that the stages are soon all at work, long enough for the barrier. */
static size_t wave_segment(size_t steps, size_t rows)
{
    size_t segment = lw_max(4, steps / 16);
    return lw_min(segment, LW_WAVE_ROWS / rows);
}

/* Compares one thread, teams of rows, shared units and the wavefront. */
static void deal(const lw_model *model, size_t threads, struct lw_plan *plan)
{
    const size_t batch = lw_max(1, plan->batch), steps = lw_max(1, plan->steps);
    plan->teams = plan->members = plan->stages = 1;
    plan->cost = step_cycles(model, batch, 1, steps);
    double best = GAIN * plan->cost, region = REGION_CYCLES / (double)steps;
    for (size_t teams = 1; teams <= lw_min(threads, plan->batch) && threads > 1; teams++) {
        size_t members = threads / teams;
        double cost = step_cycles(model, lw_ceil_div(batch, teams), members, steps) + region;
        if (cost < best) {
            best = plan->cost = cost;
            plan->teams = teams;
            plan->members = members;
        }
    }
    size_t stages = lw_min(lw_min(threads, LW_MOST_STAGES), model->level_count);
    if (stages < 2 || model->has_reverse || plan->batch > LW_WAVE_BATCH || plan->batch == 0 || steps < 8)
        return;
    size_t segment = wave_segment(steps, batch), segments = lw_ceil_div(steps, segment);
    double cost = deal_levels(model, stages, plan) * (double)(segments + stages - 1) / (double)segments +
                  BARRIER_CYCLES / (double)segment + region;
    if (cost < best) {
        plan->cost = cost;
        plan->teams = plan->members = 1;
        plan->stages = stages;
    }
}

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

bool lw_plan_make(const lw_model *model, size_t steps, size_t batch, size_t threads, struct lw_plan *plan)
{
    *plan = (struct lw_plan){.steps = steps, .batch = batch};
    deal(model, lw_max(1, threads), plan);
    plan->rows = lw_min(LW_BLOCK_ROWS, lw_max(1, lw_ceil_div(batch, plan->teams)));
    plan->segment = model->has_reverse ? steps
                    : plan->stages > 1 ? wave_segment(steps, plan->rows)
                                       : lw_min(steps, lw_max(1, LW_SEGMENT_ROWS / plan->rows));

    size_t output = 0, joined = 0, hidden = 0, merged = 0, gates = 0, lanes = model->kernels->lanes;
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
    plan->chunk = chunk < 48 ? 48 : chunk > 256 ? 256 : chunk;

    size_t slots, walked;
    if (!lw_mul(plan->segment, plan->rows, &walked) || !lw_mul_add(plan->segment, plan->rows, plan->rows, &slots))
        return false;
    struct cursor cursor = {.fits = true};
    plan->staged = take(&cursor, walked, plan->staged_stride);
    plan->joined = take(&cursor, joined ? lw_max(walked, plan->rows) : 0, plan->joined_stride);
    for (int ping = 0; ping < 2; ping++)
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
    plan->order = take(&cursor, plan->rows, 2 * sizeof(size_t) / sizeof(float));
    plan->team_floats = cursor.used;
    size_t bytes;
    return cursor.fits && lw_mul(cursor.used, 2 * threads * sizeof(float), &bytes);
}
