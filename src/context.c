/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creating a context and sizing its workspace. A model without reverse levels gets all that it can ever need here, so
 * that its runs never allocate; the pages cost nothing until a run touches them.
 */
#include "context.h"

/* The plan of a call may use fewer threads than the context has; the workspace must do for each number. */
bool lw_context_need(const lw_context *context, size_t steps, size_t batch, size_t *floats)
{
    size_t most = 0;
    struct lw_plan plan;
    for (size_t n = 1; n <= context->team_count; n++) {
        if (!lw_plan_make(context->model, steps, batch, n, LW_PLAN_RUN, &plan))
            return false;
        most = lw_max(most, lw_plan_floats(&plan));
    }
    *floats = most;
    return true;
}

#define LEAST_REST ((uint64_t)5000000) /* nanoseconds on one thread before several are tried again */
#define MOST_REST ((uint64_t)320000000)

size_t lw_context_threads(const lw_context *context)
{
    size_t threads = lw_min(lw_parallel_threads(context->threads), context->team_count);
    return context->rest_until && lw_nanoseconds() < context->rest_until ? 1 : threads;
}

void lw_context_begin(lw_context *context, double cycles)
{
    const struct lw_schedule *schedule = &context->call_plan.schedule;
    const uint64_t now = schedule->teams * schedule->members * schedule->stages > 1 ? lw_nanoseconds() : 0;
    for (size_t team = 0; team < schedule->teams; team++)
        for (size_t side = 0; side < 3; side++)
            lw_barrier_begin(&context->teams[team].side[side], cycles, now);
}

void lw_context_learn(lw_context *context, bool late)
{
    const struct lw_schedule *schedule = &context->call_plan.schedule;
    if (schedule->teams * schedule->members * schedule->stages == 1)
        return;
    for (size_t team = 0; team < schedule->teams; team++)
        for (size_t side = 0; side < 3; side++)
            late |= context->teams[team].side[side].alone;
    if (late) {
        context->patience = context->patience ? context->patience * 2 : LEAST_REST;
        context->patience = context->patience < MOST_REST ? context->patience : MOST_REST;
    } else {
        context->patience = context->patience > LEAST_REST ? context->patience / 2 : 0;
    }
    context->rest_until = late ? lw_nanoseconds() + context->patience : 0;
}

lw_status lw_context_grow(lw_context *context, size_t floats)
{
    if (floats <= context->workspace_floats)
        return LW_OK;
    float *larger = lw_alloc_array(floats, sizeof(float));
    if (!larger)
        return lw_fail(LW_ERR_MEMORY, "out of memory: a workspace of %zu floats could not be allocated", floats);
    lw_free(context->workspace);
    context->workspace = larger;
    context->workspace_floats = floats;
    return LW_OK;
}

/* What every run of a model without reverse levels can need: each thread a team of its own with a block of the largest
 * size. With reverse levels: what a short step needs. */
static bool fixed_need(const lw_context *context, size_t *floats)
{
    struct lw_plan plan;
    if (context->model->has_reverse) {
        *floats = context->step_plan.team_floats;
        return true;
    }
    const size_t dealt = context->team_count * LW_BLOCK_ROWS * sizeof(size_t) / sizeof(float);
    return lw_plan_make(context->model, LW_SEGMENT_ROWS, LW_BLOCK_ROWS, 1, LW_PLAN_RUN, &plan) &&
           lw_mul(context->team_count, plan.team_floats + dealt, floats);
}

lw_status lw_context_build(const lw_model *model, const lw_context_options *options, lw_context **result)
{
    lw_context *context = lw_alloc(sizeof *context);
    if (!context)
        return lw_fail_memory(sizeof *context);
    context->threads = options ? options->threads : 0;
    context->parallel = options ? options->parallel : NULL;
    context->pool = options ? options->pool : NULL;
    context->team_count = lw_parallel_threads(context->threads);
    lw_model_hold(model);
    context->model = (lw_model *)model;
    context->teams = lw_alloc_array(context->team_count, sizeof *context->teams);
    size_t floats = 0;
    struct lw_plan one = {0};
    lw_status status = context->teams ? LW_OK : lw_fail_memory(context->team_count * sizeof *context->teams);
    if (!status &&
        (!lw_plan_make(model, 1, 1, 1, LW_PLAN_RUN, &one) ||
         !lw_plan_make(model, 1, LW_SHORT_ROWS, 1, LW_PLAN_RUN, &context->step_plan) || !fixed_need(context, &floats)))
        status = lw_fail(LW_ERR_SHAPE, "the size of the workspace overflows");
    if (!status)
        status = lw_context_grow(context, floats);
    context->step_cycles = one.schedule.cost.cycles;
    if (status) {
        lw_context_free(context);
        return status;
    }
    *result = context;
    return LW_OK;
}

void lw_context_free(lw_context *context)
{
    if (!context)
        return;
    lw_free(context->workspace);
    lw_free(context->teams);
    lw_model_release(context->model);
    lw_free(context);
}
