/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cost model: cycles of one step under one thread, teams of rows, shared units and the wavefront. Called by plan.c
 * for the choice and by explain.c for the sentence.
 *
 * A layer costs the larger of its arithmetic (two multiply-adds of a vector a cycle) and the traffic of its recurrent
 * weights from the level of the memory hierarchy that holds a thread's share, plus activations and barriers. The
 * constants are round numbers of current x86 and Arm cores; only their ratios matter for the choice.
 */
#include "cost.h"

#include "cpu.h"

#define BARRIER_CYCLES 1200.0 /* threads of an idle machine meet in 500 to 900 cycles */
#define REGION_CYCLES 12000.0 /* opening a parallel region whose threads still spin, or just fell asleep */
#define CALL_CYCLES 200.0     /* a cell's way to its kernel */
#define VECTOR_CYCLES 45.0    /* activations of a vector of units */
#define MERGED_ROWS 24        /* with more rows a step makes its input part by itself */
#define GAIN 0.85             /* what more threads must promise: a forecast may be wrong, and others may need them */

struct lw_hierarchy lw_cost_hierarchy(size_t lanes)
{
    struct lw_caches caches = lw_cpu_caches();
    return (struct lw_hierarchy){
        .bytes = {caches.l1 ? (double)caches.l1 : 32e3, caches.l2 ? (double)caches.l2 : 512e3,
                  caches.l3 ? (double)caches.l3 : 8e6, 1e300},
        .rate = {6.4 * (double)lanes, 36.0, 18.0, 5.0},
    };
}

/* The level that holds `bytes`, with room for what else passes through it. */
static int level_of(const struct lw_hierarchy *hierarchy, double bytes)
{
    for (int i = 0; i < 2; i++)
        if (bytes <= 0.8 * hierarchy->bytes[i])
            return i;
    return bytes <= hierarchy->bytes[2] ? 2 : 3;
}

/* Adds a step of a layer for `members` threads with `rows` rows; `kept` bytes of weights pass through the caches before
 * they come by again. */
static void add_level(const lw_model *model, const struct lw_level *level, size_t rows, size_t members, double kept,
                      const struct lw_hierarchy *hierarchy, struct lw_cost *cost)
{
    double lanes = (double)model->lanes, share = 1.0 / (double)members, sides = (double)level->directions;
    if (!level->cell->recurrent) {
        double cycles = (double)level->input * (double)level->output * (double)rows / lanes * share;
        cost->arithmetic += cycles;
        cost->cycles += cycles;
        return;
    }
    double units = (double)lw_ceil_div(level->hidden, model->lanes) * sides * share;
    double outputs = (double)level->weights[0].step.recurrent.columns * lanes * sides * share;
    double arithmetic = outputs * (double)(level->output + level->input) * (double)rows / (2.0 * lanes) /
                        (rows >= 4 ? 0.9 : 0.6);
    int source = level_of(hierarchy, kept * share);
    double traffic = outputs * (double)level->output * sizeof(float) / hierarchy->rate[source];
    double overhead = units * (double)rows * VECTOR_CYCLES + CALL_CYCLES;
    if (members > lw_min(members, level->directions))
        overhead += BARRIER_CYCLES * (double)level->cell->phases(level);
    if (arithmetic > traffic)
        cost->arithmetic += arithmetic;
    else
        cost->traffic[source] += traffic;
    cost->overhead += overhead;
    cost->cycles += (arithmetic > traffic ? arithmetic : traffic) + overhead;
}

/* Bytes of the weights that pass through the caches before the same ones come by again: the recurrent ones of the layer
 * where it walks a long segment and its input part is merged, all of the model's otherwise. */
static double kept_bytes(const lw_model *model, const struct lw_level *level, size_t rows, size_t segment)
{
    const struct lw_weights *weights = &level->weights[0];
    double columns = (double)weights->step.recurrent.columns + (double)weights->second_recurrent.columns;
    if (segment < 8)
        return (double)model->packed_floats * sizeof(float);
    return columns * (double)model->lanes * sizeof(float) *
           ((double)level->output + (rows > MERGED_ROWS ? (double)level->input : 0.0));
}

static struct lw_cost cost_of_levels(const lw_model *model, size_t begin, size_t end, size_t rows, size_t members,
                                     size_t segment, const struct lw_hierarchy *hierarchy)
{
    struct lw_cost cost = {0};
    for (size_t i = begin; i < end; i++)
        add_level(model, &model->levels[i], rows, members, kept_bytes(model, &model->levels[i], rows, segment),
                  hierarchy, &cost);
    return cost;
}

static void add_overhead(struct lw_cost *cost, double cycles)
{
    cost->overhead += cycles;
    cost->cycles += cycles;
}

/* The best deal of rows to teams (at least two of them), or one team that shares units. */
static void consider_teams(const lw_model *model, size_t steps, size_t batch, size_t threads,
                           const struct lw_hierarchy *hierarchy, struct lw_ways *ways)
{
    ways->why_not[LW_WAY_ROWS] = batch < 2 ? "there is one row only" : threads < 2 ? "there is one thread only" : NULL;
    ways->why_not[LW_WAY_UNITS] = threads < 2 ? "there is one thread only" : NULL;
    for (size_t teams = 1; teams <= lw_min(threads, batch) && threads > 1; teams++) {
        size_t members = threads / teams;
        struct lw_schedule *best = &ways->schedule[teams > 1 ? LW_WAY_ROWS : LW_WAY_UNITS];
        struct lw_cost cost = cost_of_levels(model, 0, model->level_count, lw_ceil_div(batch, teams), members, steps,
                                             hierarchy);
        add_overhead(&cost, REGION_CYCLES / (double)steps);
        if (best->teams == 0 || cost.cycles < best->cost.cycles)
            *best = (struct lw_schedule){.teams = teams, .members = members, .stages = 1, .cost = cost};
    }
}

size_t lw_cost_wave_segment(size_t steps, size_t rows)
{
    /* Short enough that the stages are soon all at work, long enough for the barrier. */
    return lw_min(lw_max(4, steps / 16), LW_WAVE_ROWS / rows);
}

/* Deals the layers to stages of about the same cost. */
static void consider_wavefront(const lw_model *model, size_t steps, size_t batch, size_t threads,
                               const struct lw_hierarchy *hierarchy, struct lw_ways *ways)
{
    const size_t stages = lw_min(lw_min(threads, LW_MOST_STAGES), model->level_count), segment_kept = 8;
    ways->why_not[LW_WAY_WAVEFRONT] = threads < 2              ? "there is one thread only"
                                      : model->level_count < 2 ? "there is one layer only"
                                      : model->has_reverse     ? "a reverse layer needs the whole sequence first"
                                      : batch > LW_WAVE_BATCH  ? "so many rows are dealt to threads instead"
                                      : steps < 8              ? "so few steps do not fill it"
                                                               : NULL;
    if (ways->why_not[LW_WAY_WAVEFRONT])
        return;
    struct lw_schedule *wave = &ways->schedule[LW_WAY_WAVEFRONT];
    *wave = (struct lw_schedule){.teams = 1, .members = 1, .stages = stages};
    double total = cost_of_levels(model, 0, model->level_count, batch, 1, segment_kept, hierarchy).cycles;
    size_t begin = 0;
    for (size_t stage = 0; stage < stages; stage++) {
        /* The stage ends where more than half of the next layer would lie beyond its border, and in time for every
         * later stage to have a layer. */
        size_t end = begin + 1, latest = model->level_count - (stages - 1 - stage);
        double border = total * (double)(stage + 1) / (double)stages;
        while (end < latest) {
            double so_far = cost_of_levels(model, 0, end, batch, 1, segment_kept, hierarchy).cycles;
            double next = cost_of_levels(model, end, end + 1, batch, 1, segment_kept, hierarchy).cycles;
            if (stage + 1 < stages && so_far + 0.5 * next > border)
                break;
            end++;
        }
        struct lw_cost cost = cost_of_levels(model, begin, end, batch, 1, segment_kept, hierarchy);
        if (cost.cycles > wave->cost.cycles)
            wave->cost = cost;
        wave->stage_end[stage] = begin = end;
    }
    double segment = (double)lw_cost_wave_segment(steps, batch), segments = (double)steps / segment;
    add_overhead(&wave->cost, wave->cost.cycles * (double)(stages - 1) / segments + BARRIER_CYCLES / segment +
                                  REGION_CYCLES / (double)steps);
}

void lw_cost_ways(const lw_model *model, size_t steps, size_t batch, size_t threads,
                  const struct lw_hierarchy *hierarchy, struct lw_ways *ways)
{
    *ways = (struct lw_ways){0};
    steps = lw_max(1, steps);
    batch = lw_max(1, batch);
    ways->schedule[LW_WAY_ONE] = (struct lw_schedule){.teams = 1, .members = 1, .stages = 1};
    ways->schedule[LW_WAY_ONE].cost = cost_of_levels(model, 0, model->level_count, batch, 1, steps, hierarchy);
    consider_teams(model, steps, batch, threads, hierarchy, ways);
    consider_wavefront(model, steps, batch, threads, hierarchy, ways);
}

enum lw_way lw_cost_choose(const struct lw_ways *ways)
{
    enum lw_way way = LW_WAY_ONE;
    double best = GAIN * ways->schedule[LW_WAY_ONE].cost.cycles;
    for (int i = LW_WAY_ROWS; i < LW_WAYS; i++)
        if (!ways->why_not[i] && ways->schedule[i].cost.cycles < best) {
            best = ways->schedule[i].cost.cycles;
            way = (enum lw_way)i;
        }
    return way;
}
