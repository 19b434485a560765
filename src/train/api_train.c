/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions on losses, optimisers, schedules and initialisers: check, one call, return. No logic. */
#include <math.h>

#include "check.h"
#include "train.h"

/* Memory of the caller's, as an extent of bytes. */
struct extent {
    const void *data;
    size_t bytes;
};

static bool overlap(struct extent a, struct extent b)
{
    return lw_overlap_bytes(a.data, a.bytes, b.data, b.bytes);
}

static lw_status check_fields(const lw_loss *loss)
{
    if (loss->kind < LW_SQUARED_ERROR || loss->kind > LW_BINARY_CROSS_ENTROPY)
        return lw_fail(LW_ERR_ARGUMENT,
                       "loss kind %d, expected LW_SQUARED_ERROR, LW_CROSS_ENTROPY or LW_BINARY_CROSS_ENTROPY",
                       (int)loss->kind);
    if (loss->width < 1 || loss->width > LW_SIZE_MAX)
        return lw_fail(LW_ERR_ARGUMENT, "a loss over rows of %zu outputs, expected 1 to %zu", loss->width, LW_SIZE_MAX);
    if (!(loss->divisor >= 0.0) || isinf(loss->divisor))
        return lw_fail(LW_ERR_ARGUMENT, "divisor is %g, expected 0 (the mean) or a positive number", loss->divisor);
    const bool classes = loss->kind == LW_CROSS_ENTROPY;
    if (classes ? loss->target != NULL : loss->classes != NULL)
        return lw_fail(LW_ERR_ARGUMENT, "a cross-entropy takes classes, the other losses a target: %s must be NULL",
                       classes ? "target" : "classes");
    return LW_OK;
}

static lw_status check_rows(const lw_loss *loss)
{
    for (size_t row = 0; loss->lengths && row < loss->batch; row++)
        if (loss->lengths[row] > loss->steps)
            return lw_fail(LW_ERR_SHAPE, "lengths[%zu] is %zu, expected 0 to %zu", row, loss->lengths[row],
                           loss->steps);
    for (size_t step = 0; loss->kind == LW_CROSS_ENTROPY && step < loss->steps; step++)
        for (size_t row = 0; row < loss->batch; row++) {
            if (!lw_loss_counts(loss, step, row))
                continue;
            int32_t class = loss->classes[step * loss->target_step_stride + row * loss->target_row_stride];
            if (class < 0 || (size_t) class >= loss->width)
                return lw_fail(LW_ERR_ARGUMENT,
                               "the class at step %zu of row %zu is %ld, expected 0 to %zu, or %ld to ignore", step,
                               row, (long)class, loss->width - 1, (long)loss->ignore);
        }
    return LW_OK;
}

/* Checks a loss and completes its strides. */
static lw_status check_loss(lw_loss *loss)
{
    lw_status status = check_fields(loss);
    size_t outputs, targets, gradients = 0;
    const bool classes = loss->kind == LW_CROSS_ENTROPY;
    const void *target = classes ? (const void *)loss->classes : (const void *)loss->target;
    if (!status)
        status = lw_check_strides("output", loss->steps, loss->batch, loss->width, &loss->output_step_stride,
                                  &loss->output_row_stride, &outputs);
    if (!status)
        status = lw_check_strides(classes ? "classes" : "target", loss->steps, loss->batch, classes ? 1 : loss->width,
                                  &loss->target_step_stride, &loss->target_row_stride, &targets);
    if (!status && loss->gradient)
        status = lw_check_strides("gradient", loss->steps, loss->batch, loss->width, &loss->gradient_step_stride,
                                  &loss->gradient_row_stride, &gradients);
    if (status)
        return status;
    if (outputs && (!loss->output || !target))
        return lw_fail(LW_ERR_ARGUMENT, "%s is NULL, expected %zu steps of %zu rows",
                       !loss->output ? "output"
                       : classes     ? "classes"
                                     : "target",
                       loss->steps, loss->batch);
    const struct extent gradient = {loss->gradient, gradients * sizeof(float)};
    const struct extent others[] = {{loss->output, outputs * sizeof(float)},
                                    {target, targets * sizeof(float)},
                                    {loss->lengths, loss->batch * sizeof(size_t)},
                                    {loss->mask, loss->steps * loss->batch}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (overlap(gradient, others[i]))
            return lw_fail(LW_ERR_ARGUMENT, "the gradient overlaps the output, the target, the lengths or the mask");
    return outputs ? check_rows(loss) : LW_OK;
}

lw_status lw_loss_evaluate(const lw_loss *loss, lw_score *score)
{
    CHECK_STRUCT(loss, lw_loss);
    CHECK_STRUCT(score, lw_score);
    lw_loss complete = *loss;
    lw_status status = check_loss(&complete);
    if (!status)
        lw_loss_run(&complete, score);
    return status;
}

static lw_status check_options(const lw_optimiser_options *options)
{
    const lw_optimiser_kind kind = options->kind;
    if (kind < LW_SGD || kind > LW_ADAMW)
        return lw_fail(LW_ERR_ARGUMENT, "optimiser kind %d, expected LW_SGD, LW_RMSPROP, LW_ADAM or LW_ADAMW",
                       (int)kind);
    const bool adam = kind == LW_ADAM || kind == LW_ADAMW;
    lw_status status = lw_check_number("decay", options->decay, 0.0, true, INFINITY);
    if (!status)
        status = lw_check_number("clip_norm", options->clip_norm, 0.0, true, INFINITY);
    if (!status)
        status = lw_check_number("clip_value", options->clip_value, 0.0, true, INFINITY);
    if (!status && !adam)
        status = lw_check_number("momentum", options->momentum, 0.0, true, 1.0);
    if (!status && kind == LW_RMSPROP)
        status = lw_check_number("alpha", options->alpha, 0.0, true, 1.0);
    if (!status && adam)
        status = lw_check_number("beta1", options->beta1, 0.0, true, 1.0);
    if (!status && adam)
        status = lw_check_number("beta2", options->beta2, 0.0, true, 1.0);
    if (!status && kind != LW_SGD)
        status = lw_check_number("epsilon", options->epsilon, 0.0, false, INFINITY);
    if (status)
        return status;
    if (options->options & ~LW_NESTEROV)
        return lw_fail(LW_ERR_ARGUMENT, "options is %#x, expected 0 or LW_NESTEROV", options->options);
    if (options->options & LW_NESTEROV && (kind != LW_SGD || options->momentum <= 0.0))
        return lw_fail(LW_ERR_ARGUMENT, "LW_NESTEROV is for LW_SGD with a momentum above 0");
    return LW_OK;
}

lw_status lw_optimiser_create(const lw_optimiser_options *options, const size_t *counts, size_t tensors,
                              lw_optimiser **optimiser)
{
    CHECK_STRUCT(options, lw_optimiser_options);
    if (tensors)
        CHECK_POINTER(counts);
    CHECK_POINTER(optimiser);
    lw_status status = check_options(options);
    if (status)
        return status;
    if (tensors < 1 || tensors > SIZE_MAX / 64)
        return lw_fail(LW_ERR_ARGUMENT, "an optimiser of %zu tensors, expected 1 or more", tensors);
    for (size_t i = 0, floats = 0, padded; i < tensors; i++) {
        if (counts[i] < 1)
            return lw_fail(LW_ERR_ARGUMENT, "counts[%zu] is 0, expected 1 or more", i);
        /* An eighth of the address space: no product of it with a few bytes overflows any more. */
        if (counts[i] > SIZE_MAX / 8 || !lw_add(floats, lw_round_up(counts[i], LW_PAD), &padded) ||
            padded > SIZE_MAX / 16)
            return lw_fail(LW_ERR_SHAPE, "counts: the size of the moments overflows at tensor %zu of %zu floats", i,
                           counts[i]);
        floats = padded;
    }
    return lw_optimiser_build(options, counts, tensors, optimiser);
}

void lw_optimiser_destroy(lw_optimiser *optimiser)
{
    lw_optimiser_free(optimiser);
}

static lw_status take(lw_optimiser *optimiser)
{
    int idle = 0;
    if (atomic_compare_exchange_strong_explicit(&optimiser->busy, &idle, 1, memory_order_acquire, memory_order_relaxed))
        return LW_OK;
    return lw_fail(LW_ERR_BUSY, "another call is using this optimiser: give each thread its own");
}

static void give(lw_optimiser *optimiser)
{
    atomic_store_explicit(&optimiser->busy, 0, memory_order_release);
}

static lw_status check_tensors(const lw_optimiser *optimiser, float *const *parameters, const float *const *gradients)
{
    for (size_t i = 0; i < optimiser->count; i++) {
        if (!gradients[i])
            continue;
        if (!parameters[i])
            return lw_fail(LW_ERR_ARGUMENT, "parameters[%zu] is NULL, but its gradient is not", i);
        const size_t bytes = optimiser->counts[i] * sizeof(float);
        if (overlap((struct extent){parameters[i], bytes}, (struct extent){gradients[i], bytes}))
            return lw_fail(LW_ERR_ARGUMENT, "parameters[%zu] and its gradient overlap", i);
    }
    return LW_OK;
}

lw_status lw_optimiser_step(lw_optimiser *optimiser, float *const *parameters, const float *const *gradients,
                            double rate, double *norm)
{
    CHECK_POINTER(optimiser);
    CHECK_POINTER(parameters);
    CHECK_POINTER(gradients);
    lw_status status = lw_check_number("rate", rate, 0.0, true, INFINITY);
    if (!status)
        status = check_tensors(optimiser, parameters, gradients);
    if (!status)
        status = take(optimiser);
    if (status)
        return status;
    double measured = 0.0;
    if (norm || optimiser->options.clip_norm > 0.0)
        measured = lw_optimiser_measure(optimiser, gradients);
    if (norm)
        *norm = measured;
    lw_optimiser_update(optimiser, parameters, gradients, rate, measured);
    give(optimiser);
    return LW_OK;
}

lw_status lw_optimiser_norm(const lw_optimiser *optimiser, const float *const *gradients, double *norm)
{
    CHECK_POINTER(optimiser);
    CHECK_POINTER(gradients);
    CHECK_POINTER(norm);
    *norm = lw_optimiser_measure(optimiser, gradients);
    return LW_OK;
}

uint64_t lw_optimiser_updates(const lw_optimiser *optimiser)
{
    return optimiser ? optimiser->steps : 0;
}

size_t lw_optimiser_bytes(const lw_optimiser *optimiser)
{
    return optimiser ? lw_optimiser_saved_bytes(optimiser) : 0;
}

lw_status lw_optimiser_save(lw_optimiser *optimiser, void *buffer, size_t bytes)
{
    CHECK_POINTER(optimiser);
    CHECK_POINTER(buffer);
    if (bytes < lw_optimiser_saved_bytes(optimiser))
        return lw_fail(LW_ERR_SHAPE, "lw_optimiser_save: a buffer of %zu bytes, expected %zu", bytes,
                       lw_optimiser_saved_bytes(optimiser));
    lw_status status = take(optimiser);
    if (status)
        return status;
    lw_optimiser_write(optimiser, buffer);
    give(optimiser);
    return LW_OK;
}

lw_status lw_optimiser_restore(lw_optimiser *optimiser, const void *buffer, size_t bytes)
{
    CHECK_POINTER(optimiser);
    CHECK_POINTER(buffer);
    if (bytes != lw_optimiser_saved_bytes(optimiser))
        return lw_fail(LW_ERR_SHAPE, "lw_optimiser_restore: %zu bytes, but a saved optimiser of these tensors has %zu",
                       bytes, lw_optimiser_saved_bytes(optimiser));
    lw_status status = take(optimiser);
    if (status)
        return status;
    status = lw_optimiser_read(optimiser, buffer);
    give(optimiser);
    return status;
}

lw_status lw_learning_rate_at(const lw_learning_rate *schedule, uint64_t update, double *rate)
{
    CHECK_STRUCT(schedule, lw_learning_rate);
    CHECK_POINTER(rate);
    if (schedule->kind < LW_RATE_CONSTANT || schedule->kind > LW_RATE_COSINE)
        return lw_fail(LW_ERR_ARGUMENT,
                       "learning rate kind %d, expected LW_RATE_CONSTANT, LW_RATE_STEP or LW_RATE_COSINE",
                       (int)schedule->kind);
    lw_status status = lw_check_number("rate", schedule->rate, 0.0, true, INFINITY);
    if (status)
        return status;
    if (schedule->kind == LW_RATE_STEP && schedule->every < 1)
        return lw_fail(LW_ERR_ARGUMENT, "every is 0, expected 1 or more updates");
    if (schedule->kind == LW_RATE_STEP && !(schedule->gamma >= 0.0 && schedule->gamma <= 1.0))
        return lw_fail(LW_ERR_ARGUMENT, "gamma is %g, expected 0 to 1", schedule->gamma);
    if (schedule->kind == LW_RATE_COSINE && schedule->updates < 1)
        return lw_fail(LW_ERR_ARGUMENT, "updates is 0, expected 1 or more");
    if (schedule->kind == LW_RATE_COSINE && !(schedule->floor >= 0.0 && schedule->floor <= schedule->rate))
        return lw_fail(LW_ERR_ARGUMENT, "floor is %g, expected 0 to the rate, %g", schedule->floor, schedule->rate);
    *rate = lw_rate_at(schedule, update);
    return LW_OK;
}

static lw_status check_rule(const char *what, lw_initial rule, bool bias)
{
    if (bias ? rule == LW_INITIAL_UNIFORM || rule == LW_INITIAL_ZERO
             : rule == LW_INITIAL_UNIFORM || (rule >= LW_INITIAL_XAVIER_UNIFORM && rule <= LW_INITIAL_ORTHOGONAL))
        return LW_OK;
    return lw_fail(LW_ERR_ARGUMENT, "%s is %d, expected %s", what, (int)rule,
                   bias ? "LW_INITIAL_UNIFORM or LW_INITIAL_ZERO"
                        : "LW_INITIAL_UNIFORM, _XAVIER_UNIFORM, _XAVIER_NORMAL or _ORTHOGONAL");
}

lw_status lw_model_initialise_with(lw_model *model, const lw_initialise_options *options)
{
    CHECK_POINTER(model);
    CHECK_STRUCT(options, lw_initialise_options);
    lw_status status = check_rule("input", options->input, false);
    if (!status)
        status = check_rule("recurrent", options->recurrent, false);
    if (!status)
        status = check_rule("bias", options->bias, true);
    if (status)
        return status;
    if (options->chrono == 1)
        return lw_fail(LW_ERR_ARGUMENT, "chrono is 1, expected 0 (off) or 2 steps and more");
    for (size_t i = 0; options->chrono && i < model->brick_count; i++) {
        const lw_brick *brick = &model->bricks[i];
        if ((brick->kind == LW_LSTM || brick->kind == LW_GRU) && brick->options & LW_NO_BIAS)
            return lw_fail(LW_ERR_ARGUMENT, "chrono is %zu, but brick %zu (%s) has no biases", options->chrono, i,
                           brick->name);
    }
    status = lw_check_mutable(model, __func__);
    return status ? status : lw_initialise_with(model, options);
}
