/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chooses the schedule by a small cost model and lays out the workspace. Called by context.c and explain.c.
 *
 * The model counts cycles of one step on one thread: the larger of the arithmetic (two fused multiply-adds of a vector
 * a cycle) and the traffic of the weights from the cache that holds a thread's share of them, plus the barriers. Its
 * constants are round numbers of current x86 and Arm cores; only their ratios matter.
 */
#include "plan.h"

#include "cpu.h"

#define BARRIER_CYCLES 700.0       /* two threads of an idle machine meet, measured: 150 to 250 ns */
#define REGION_CYCLES 12000.0      /* opening a parallel region whose threads still spin, or just fell asleep */
#define CALL_CYCLES 300.0          /* a cell's way to its kernel */
#define VECTOR_CYCLES 40.0         /* activations of a vector of units */
#define CHUNK_BYTES ((size_t)256 * 1024) /* of merged input parts: they stay in the second-level cache */

/* Bytes a cycle from the level of the memory hierarchy that holds `bytes`. */
static double bandwidth(double bytes)
{
    struct lw_caches caches = lw_cpu_caches();
    double l1 = caches.l1 ? (double)caches.l1 : 32e3, l2 = caches.l2 ? (double)caches.l2 : 512e3;
    double l3 = caches.l3 ? (double)caches.l3 : 8e6;
    return bytes <= 0.8 * l1 ? 64.0 : bytes <= 0.8 * l2 ? 32.0 : bytes <= l3 ? 16.0 : 5.0;
}

/* Cycles of one step of all levels for a team of `members` threads with `rows` rows. */
static double step_cycles(const lw_model *model, size_t rows, size_t members)
{
    double lanes = (double)model->kernels->lanes, share = 1.0 / (double)members, cycles = 0.0;
    double kept = share * (double)model->packed_floats * sizeof(float);
    for (size_t i = 0; i < model->level_count; i++) {
        const struct lw_level *level = &model->levels[i];
        if (!level->cell->recurrent)
            continue;
        size_t split = lw_min(members, level->directions);
        double units = (double)lw_ceil_div(level->hidden, model->kernels->lanes) * (double)level->directions;
        double weights = (double)level->weights[0].step.recurrent.columns * lanes *
                         (double)(level->output + level->input) * (double)level->directions * share;
        double arithmetic = weights * (double)rows / (2.0 * lanes) / (rows >= 4 ? 0.9 : 0.6);
        double traffic = weights * sizeof(float) / bandwidth(kept);
        cycles += (arithmetic > traffic ? arithmetic : traffic) + units * share * (double)rows * VECTOR_CYCLES +
                  CALL_CYCLES;
        if (members > split)
            cycles += BARRIER_CYCLES * (double)level->cell->phases(level);
    }
    return cycles;
}

/* The best way to deal `threads` threads, and whether that pays at all. */
static void deal(const lw_model *model, size_t threads, struct lw_plan *plan)
{
    double steps = (double)lw_max(1, plan->steps);
    plan->teams = plan->members = 1;
    plan->cost = step_cycles(model, lw_max(1, plan->batch), 1);
    double best = plan->cost * steps;
    if (plan->batch == 0 || plan->steps == 0)
        return;
    for (size_t teams = 1; teams <= lw_min(threads, plan->batch); teams++) {
        size_t members = threads / teams;
        if (teams * members == 1)
            continue;
        double cost = step_cycles(model, lw_ceil_div(plan->batch, teams), members);
        if (cost * steps + REGION_CYCLES < 0.95 * best) {
            best = cost * steps + REGION_CYCLES;
            plan->teams = teams;
            plan->members = members;
            plan->cost = cost;
        }
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
    plan->segment = model->has_reverse ? steps : lw_min(steps, lw_max(1, LW_SEGMENT_ROWS / plan->rows));

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
    return cursor.fits && lw_mul(cursor.used, plan->teams * sizeof(float), &bytes);
}
