/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills an explanation from the very plan that a run would use. Called by api.c. Cycles become seconds by the machine's
 * measured limits, or by a guess of its clock without them.
 */
#include "explain.h"

#define GUESSED_HERTZ 3e9

static const char *const way_names[LW_WAYS] = {"one thread", "rows", "units", "wavefront"};
static const char *const chosen[LW_WAYS] = {
    "chosen: more threads would not pay for their barriers, or there are none",
    "chosen: each thread runs its own rows and waits for nobody",
    "chosen: each thread keeps its share of the weights in its own cache",
    "chosen: each thread runs its own layers, a segment of time behind the one before",
};

/* One core's share of the limits, in cycles of the clock that the peak implies: two multiply-adds of a vector each. */
static struct lw_hierarchy measured(const lw_limits *limits, size_t lanes, double *hertz)
{
    struct lw_hierarchy hierarchy = lw_cost_hierarchy(lanes);
    *hertz = GUESSED_HERTZ;
    if (!limits || limits->flops <= 0.0 || !limits->threads)
        return hierarchy;
    const double rates[] = {limits->l1, limits->l2, limits->l3, limits->dram};
    *hertz = limits->flops / (double)limits->threads / (4.0 * (double)lanes);
    for (int i = 0; i < 4; i++)
        if (rates[i] > 0.0)
            hierarchy.rate[i] = rates[i] / (double)limits->threads / *hertz;
    return hierarchy;
}

static void find_bound(const struct lw_cost *cost, lw_explanation *explanation)
{
    static const char *const levels[] = {"L1", "L2", "L3", "memory"};
    double most = cost->overhead;
    explanation->bound = "overhead";
    if (cost->arithmetic > most) {
        most = cost->arithmetic;
        explanation->bound = "arithmetic";
    }
    for (int i = 0; i < 4; i++)
        if (cost->traffic[i] > most) {
            most = cost->traffic[i];
            explanation->bound = levels[i];
        }
    explanation->share = cost->cycles > 0.0 ? most / cost->cycles : 0.0;
}

/* The widest layer's register tile: what the kernels hold for that many rows. */
static void find_tile(const lw_model *model, size_t rows, lw_explanation *explanation)
{
    size_t width = 1, lanes = model->lanes;
    for (size_t i = 0; i < model->level_count; i++)
        width = lw_max(width, model->levels[i].weights[0].step.input.width);
    explanation->tile_vectors = width;
    explanation->tile_rows = lw_min(lw_max(1, rows), model->kernels->tile_rows[width - 1]);
    explanation->lanes = lanes;
}

static void list_choices(const struct lw_ways *ways, enum lw_way way, double seconds_per_cycle,
                         lw_explanation *explanation)
{
    size_t n = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < LW_WAYS; i++) {
            if ((i == (int)way) != (pass == 0))
                continue;
            const struct lw_schedule *schedule = &ways->schedule[i];
            lw_choice *choice = &explanation->choices[n++];
            *choice = (lw_choice){.name = way_names[i]};
            if (ways->why_not[i]) {
                choice->reason = ways->why_not[i];
                continue;
            }
            choice->threads = schedule->teams * schedule->members * schedule->stages;
            choice->seconds = schedule->cost.cycles * seconds_per_cycle;
            choice->reason = pass == 0 ? chosen[i] : "refused: it is predicted to take longer, or not to gain enough";
        }
}

lw_status lw_explain_run(const lw_context *context, size_t steps, size_t batch, const lw_limits *limits,
                         lw_explanation *explanation)
{
    const lw_model *model = context->model;
    const size_t threads = lw_min(lw_parallel_threads(context->threads), context->team_count);
    struct lw_plan plan;
    if (!lw_plan_make(model, steps, batch, threads, LW_PLAN_RUN, &plan))
        return lw_fail(LW_ERR_SHAPE, "the workspace of %zu steps and %zu rows overflows", steps, batch);
    double hertz;
    const struct lw_hierarchy hierarchy = measured(limits, model->lanes, &hertz);
    struct lw_ways ways;
    lw_cost_ways(model, steps, batch, threads, &hierarchy, &ways);
    const struct lw_cost *cost = &ways.schedule[plan.way].cost;

    *explanation = (lw_explanation){.size = sizeof *explanation, .isa = model->isa};
    explanation->teams = plan.schedule.teams;
    explanation->members = plan.schedule.members;
    explanation->stages = plan.schedule.stages;
    explanation->threads = plan.schedule.teams * plan.schedule.members * plan.schedule.stages;
    explanation->block_rows = plan.rows;
    explanation->segment_steps = plan.segment;
    /* A single step, and rows that fill the buffer, make their input part beside the recurrent one. */
    size_t together = plan.segment * plan.rows;
    explanation->merged_rows = plan.segment < 2 || 2 * plan.rows > plan.chunk ? 1 : lw_min(plan.chunk, together);
    explanation->flops = (double)model->step_flops * (double)steps * (double)batch;
    explanation->weight_bytes = (double)model->packed_floats * sizeof(float);
    for (size_t i = 0; i < model->level_count; i++)
        for (size_t d = 0; d < model->levels[i].directions; d++) {
            const struct lw_weights *weights = &model->levels[i].weights[d];
            double columns = (double)weights->step.recurrent.columns + (double)weights->second_recurrent.columns;
            explanation->traffic_bytes += columns * (double)model->lanes * (double)model->levels[i].output *
                                          sizeof(float) * (double)steps * (double)lw_ceil_div(batch, plan.rows);
        }
    find_tile(model, plan.rows, explanation);
    find_bound(cost, explanation);
    explanation->seconds = cost->cycles * (double)steps / hertz;
    explanation->workspace_bytes = lw_plan_floats(&plan) * sizeof(float);
    explanation->state_bytes = batch * model->state_floats * sizeof(float);
    list_choices(&ways, plan.way, (double)steps / hertz, explanation);
    return LW_OK;
}
