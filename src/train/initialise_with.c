/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Initialisers beside the default one: it fills the model, and tensors with another rule are then written over.
 * Called by api_train.c; the rules stand in latchwork.h at lw_initialise_options. All memory is had before the
 * first change, so a failure leaves the model as it was.
 */
#include "initialise.h"
#include "normal.h"
#include "train.h"

enum family { INPUT, RECURRENT, BIAS };

static enum family family_of(enum lw_tensor_role role)
{
    switch (role) {
    case LW_WEIGHT_IH:
    case LW_WEIGHT_HR:
    case LW_WEIGHT:
        return INPUT;
    case LW_WEIGHT_HH:
        return RECURRENT;
    default:
        return BIAS;
    }
}

static lw_initial rule_of(const lw_initialise_options *options, enum lw_tensor_role role)
{
    const enum family family = family_of(role);
    return family == INPUT ? options->input : family == RECURRENT ? options->recurrent : options->bias;
}

/* Gates whose matrices stand one below the other in the tensor. */
static size_t gates_of(const lw_model *model, const struct lw_named_tensor *tensor)
{
    const bool gated = tensor->spec.role == LW_WEIGHT_IH || tensor->spec.role == LW_WEIGHT_HH;
    return gated ? tensor->spec.shape[0] / model->levels[tensor->level].hidden : 1;
}

static void fill_weights(const lw_model *model, const struct lw_named_tensor *tensor, lw_initial rule, uint64_t seed,
                         float *values, double *work)
{
    const uint64_t stream = lw_random_stream(tensor->name);
    const size_t gates = gates_of(model, tensor), rows = tensor->spec.shape[0] / gates;
    const size_t columns = tensor->spec.shape[1], count = rows * columns;
    const double fans = (double)rows + (double)columns, bound = sqrt(6.0 / fans), deviation = sqrt(2.0 / fans);
    if (rule == LW_INITIAL_ORTHOGONAL)
        for (size_t gate = 0; gate < gates; gate++)
            lw_orthogonal(values + gate * count, rows, columns, seed, stream, gate * count, work);
    else
        for (size_t k = 0; k < gates * count; k++)
            values[k] = rule == LW_INITIAL_XAVIER_UNIFORM
                            ? (float)(bound * (2.0 * lw_random_real(seed, stream, k) - 1.0))
                            : (float)(deviation * lw_random_normal(seed, stream, k));
}

/* What chrono initialisation puts into the gate of one unit: `sign` log u in bias_ih, 0 in bias_hh. The stream is
 * of the direction's bias_ih in both of an LSTM's gates, so that one u stands in both. */
static void set_gate(const struct lw_named_tensor *tensor, size_t hidden, size_t gate, double sign, size_t chrono,
                     uint64_t seed, float *values)
{
    const uint64_t stream = lw_random_stream(tensor->name) + 1;
    for (size_t unit = 0; unit < hidden; unit++) {
        double u = 1.0 + ((double)chrono - 2.0) * lw_random_real(seed, stream, unit);
        values[gate * hidden + unit] = tensor->spec.role == LW_BIAS_IH ? (float)(sign * lw_real_log(u)) : 0.0f;
    }
}

static void fill_bias(const lw_model *model, const struct lw_named_tensor *tensor, const lw_initialise_options *options,
                      float *values)
{
    const struct lw_level *level = &model->levels[tensor->level];
    const lw_brick *brick = level->brick;
    const size_t hidden = level->hidden;
    const bool gated = tensor->spec.role == LW_BIAS_IH || tensor->spec.role == LW_BIAS_HH;
    const bool coupled = brick->options & LW_COUPLED;
    if (options->bias == LW_INITIAL_ZERO) {
        memset(values, 0, lw_tensor_count(tensor) * sizeof *values);
        if (tensor->spec.role == LW_BIAS_IH && brick->kind == LW_LSTM && !coupled)
            for (size_t unit = 0; unit < hidden; unit++)
                values[hidden + unit] = brick->forget_bias;
    }
    if (!options->chrono || !gated)
        return;
    if (brick->kind == LW_LSTM)
        set_gate(tensor, hidden, 0, -1.0, options->chrono, options->seed, values);
    if (brick->kind == LW_GRU || (brick->kind == LW_LSTM && !coupled))
        set_gate(tensor, hidden, 1, 1.0, options->chrono, options->seed, values);
}

/* Room for the largest tensor and for the largest matrix that becomes orthogonal. */
static lw_status reserve(const lw_model *model, const lw_initialise_options *options, float **values, double **work)
{
    size_t floats = 0, doubles = 0;
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct lw_named_tensor *tensor = &model->tensors[i];
        floats = lw_max(floats, lw_tensor_count(tensor));
        if (rule_of(options, tensor->spec.role) != LW_INITIAL_ORTHOGONAL)
            continue;
        size_t need;
        if (!lw_orthogonal_need(tensor->spec.shape[0] / gates_of(model, tensor), tensor->spec.shape[1], &need))
            return lw_fail(LW_ERR_SHAPE, "%s: the workspace of an orthogonal matrix overflows", tensor->name);
        doubles = lw_max(doubles, need);
    }
    *values = lw_alloc_array(floats, sizeof **values);
    *work = lw_alloc_array(doubles, sizeof **work);
    if (*values && *work)
        return LW_OK;
    return lw_fail_memory(*values ? doubles * sizeof **work : floats * sizeof **values);
}

lw_status lw_initialise_with(lw_model *model, const lw_initialise_options *options)
{
    float *values = NULL;
    double *work = NULL;
    lw_status status = reserve(model, options, &values, &work);
    if (!status)
        status = lw_initialise(model, options->seed);
    for (size_t i = 0; i < model->tensor_count && !status; i++) {
        const struct lw_named_tensor *tensor = &model->tensors[i];
        const lw_initial rule = rule_of(options, tensor->spec.role);
        if (family_of(tensor->spec.role) == BIAS) {
            lw_model_read_tensor(model, tensor, values);
            fill_bias(model, tensor, options, values);
        } else if (rule != LW_INITIAL_UNIFORM) {
            fill_weights(model, tensor, rule, options->seed, values, work);
        } else {
            continue;
        }
        lw_model_write_tensor(model, tensor, values);
    }
    lw_free(values);
    lw_free(work);
    return status;
}
