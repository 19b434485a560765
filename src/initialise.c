/* SPDX-License-Identifier: Apache-2.0 */
/* First values of a model's parameters. Called by api_model.c; the rule is in latchwork.h at lw_model_initialise. */
#include "initialise.h"

#include <math.h>

#include "random.h"

static float bound_of(const struct lw_level *level)
{
    size_t fan = level->cell->recurrent ? level->hidden : level->input;
    return (float)(1.0 / sqrt((double)fan));
}

/* The forget gate's bias of an LSTM with four gates: all of it in bias_ih, none in bias_hh. */
static void set_forget_bias(const struct lw_level *level, enum lw_tensor_role role, float *values)
{
    const lw_brick *brick = level->brick;
    if (brick->kind != LW_LSTM || brick->forget_bias == 0.0f || brick->options & LW_COUPLED)
        return;
    if (role == LW_BIAS_IH || role == LW_BIAS_HH)
        for (size_t unit = 0; unit < level->hidden; unit++)
            values[level->hidden + unit] = role == LW_BIAS_IH ? brick->forget_bias : 0.0f;
}

lw_status lw_initialise(lw_model *model, uint64_t seed)
{
    size_t largest = 0;
    for (size_t i = 0; i < model->tensor_count; i++)
        largest = lw_max(largest, lw_tensor_count(&model->tensors[i]));
    float *values = lw_alloc_array(largest, sizeof *values);
    if (!values)
        return lw_fail_memory(largest * sizeof *values);
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct lw_named_tensor *tensor = &model->tensors[i];
        const struct lw_level *level = &model->levels[tensor->level];
        const uint64_t stream = lw_random_stream(tensor->name);
        const float bound = bound_of(level);
        for (size_t k = 0, count = lw_tensor_count(tensor); k < count; k++)
            values[k] = bound * (2.0f * lw_random_unit(seed, stream, k) - 1.0f);
        set_forget_bias(level, tensor->spec.role, values);
        lw_model_write_tensor(model, tensor, values);
    }
    lw_free(values);
    return LW_OK;
}
