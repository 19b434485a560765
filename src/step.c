/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The short way of a single step: a few rows on the calling thread, on the state's own memory. Called by api.c where
 * waking threads or copying states would cost more than the arithmetic. Same kernels, same order, same bits.
 */
#include <string.h>

#include "forward.h"

/* One direction of a recurrent level: y (rows, padded output) and the new state. */
static void step_direction(const lw_context *context, lw_state *state, const struct lw_level *level, size_t d,
                           const float *x, size_t x_stride, float *y)
{
    const struct lw_plan *plan = &context->step_plan;
    const struct lw_cell *cell = level->cell;
    const struct lw_weights *weights = &level->weights[d];
    struct lw_step step = weights->step;
    float *h = lw_state_h(state, level, d);
    step.rows = state->batch;
    step.x = x;
    step.x_stride = x_stride;
    step.h = h;
    step.h_stride = level->h_width;
    step.y = y;
    step.y_stride = plan->trail_stride;
    step.c = cell->has_memory ? lw_state_c(state, level, d) : context->workspace + plan->scratch_c[0];
    step.c_stride = cell->has_memory ? level->c_width : plan->scratch_stride;
    step.z = context->workspace + plan->scratch_z[0];
    step.z_stride = plan->scratch_stride;
    for (size_t phase = 0, phases = cell->phases(level); phase < phases; phase++)
        cell->step(context->model->kernels, weights, &step, phase, 0, 1);
    for (size_t r = 0; r < state->batch; r++)
        memcpy(h + r * level->h_width, y + r * plan->trail_stride, level->output * sizeof(float));
}

void lw_step_short(lw_context *context, lw_state *state, const float *x, float *y)
{
    const struct lw_model *model = context->model;
    const struct lw_plan *plan = &context->step_plan;
    size_t x_stride = model->input;
    for (size_t i = 0; i < model->level_count; i++) {
        const struct lw_level *level = &model->levels[i];
        float *out = context->workspace + plan->trail[i % 2][0];
        if (!level->cell->recurrent) {
            level->cell->map(model->kernels, level, state->batch, x, x_stride, out, plan->trail_stride, 0, 1);
            x = out;
            x_stride = plan->trail_stride;
            continue;
        }
        step_direction(context, state, level, 0, x, x_stride, out);
        if (level->directions == 1) {
            x = out;
            x_stride = plan->trail_stride;
            continue;
        }
        float *reverse = context->workspace + plan->trail[i % 2][1];
        step_direction(context, state, level, 1, x, x_stride, reverse);
        float *joined = context->workspace + plan->joined;
        for (size_t r = 0; r < state->batch; r++) {
            memcpy(joined + r * plan->joined_stride, out + r * plan->trail_stride, level->output * sizeof(float));
            memcpy(joined + r * plan->joined_stride + level->output, reverse + r * plan->trail_stride,
                   level->output * sizeof(float));
        }
        x = joined;
        x_stride = plan->joined_stride;
    }
    for (size_t r = 0; y && r < state->batch; r++)
        memcpy(y + r * model->output, x + r * x_stride, model->output * sizeof(float));
}
