/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: a few training steps of a random model: forward on a tape, a loss, the way back, an update. Every call
 * is right, so every call must succeed; gradients that were not asked for stay untouched, and the same gradients come
 * out twice, in segments too.
 */
#include "random_model.h"

#include <math.h>

#define MOST 64 /* parameters of a model */

struct trainer {
    lw_model *model;
    lw_tape *tape;
    lw_optimiser *optimiser;
    size_t count, counts[MOST], in, out, steps, batch;
    float *parameters[MOST], *gradients[MOST], *again[MOST];
    float *x, *y, *target, *dy, *dx;
    size_t lengths[8];
    lw_state *state, *initial;
};

static void open_trainer(struct trainer *t, struct source *source)
{
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    lw_optimiser_options rule = LW_OPTIMISER_OPTIONS_INIT((lw_optimiser_kind)(1 + take_below(source, 4)));
    t->in = lw_model_input_size(t->model);
    t->out = lw_model_output_size(t->model);
    t->steps = take_below(source, 10);
    t->batch = take_below(source, 8);
    options.threads = 1 + take_below(source, 2);
    rule.momentum = take_below(source, 2) ? 0.5 : 0.0;
    rule.clip_norm = take_below(source, 2) ? 1.0 : 0.0;
    rule.clip_value = take_below(source, 2) ? 0.1 : 0.0;
    if (rule.kind == LW_SGD && rule.momentum > 0 && take_below(source, 2))
        rule.options = LW_NESTEROV;
    for (size_t i = 0; i < t->count; i++) {
        lw_parameter parameter = {.size = sizeof parameter};
        MUST(lw_model_parameter(t->model, i, &parameter) == LW_OK);
        t->counts[i] = parameter.count;
        t->parameters[i] = guard_floats(parameter.count);
        t->gradients[i] = guard_floats(parameter.count);
        t->again[i] = guard_floats(parameter.count);
        MUST(t->parameters[i] && t->gradients[i] && t->again[i]);
        MUST(lw_model_parameter_get(t->model, i, t->parameters[i], parameter.count) == LW_OK);
    }
    const size_t rows = t->steps * t->batch, scored = (t->steps ? t->steps : 1) * t->batch; /* the last step: (B, O) */
    t->x = guard_floats(rows * t->in);
    t->dx = guard_floats(rows * t->in);
    t->y = guard_floats(scored * t->out);
    t->dy = guard_floats(scored * t->out);
    t->target = guard_floats(scored * t->out);
    MUST(t->x && t->dx && t->y && t->dy && t->target);
    for (size_t k = 0; k < rows * t->in; k++)
        t->x[k] = k < 32 ? take_float(source) : (float)(k % 9) * 0.25f;
    for (size_t k = 0; k < t->batch; k++)
        t->lengths[k] = take_below(source, t->steps + 1);
    MUST(lw_state_create(t->model, t->batch, &t->state) == LW_OK);
    MUST(lw_state_create(t->model, t->batch, &t->initial) == LW_OK);
    MUST(lw_tape_create(t->model, &options, &t->tape) == LW_OK);
    if (t->count)
        MUST(lw_optimiser_create(&rule, t->counts, t->count, &t->optimiser) == LW_OK);
}

static void close_trainer(struct trainer *t)
{
    for (size_t i = 0; i < t->count; i++) {
        guard_free(t->parameters[i]);
        guard_free(t->gradients[i]);
        guard_free(t->again[i]);
    }
    guard_free(t->x);
    guard_free(t->dx);
    guard_free(t->y);
    guard_free(t->dy);
    guard_free(t->target);
    lw_state_destroy(t->state);
    lw_state_destroy(t->initial);
    lw_tape_destroy(t->tape);
    lw_optimiser_destroy(t->optimiser);
    lw_model_destroy(t->model);
}

static void expect_same(const float *a, const float *b, size_t count)
{
    for (size_t k = 0; k < count; k++)
        MUST((isnan(a[k]) && isnan(b[k])) || memcmp(a + k, b + k, sizeof *a) == 0);
}

static void train(struct trainer *t, struct source *source)
{
    lw_io io = LW_IO_INIT;
    lw_score score = LW_SCORE_INIT;
    lw_loss loss = LW_LOSS_INIT(take_below(source, 2) ? LW_SQUARED_ERROR : LW_BINARY_CROSS_ENTROPY);
    lw_gradients g = LW_GRADIENTS_INIT;
    io.output_kind = (lw_output)take_below(source, 2);
    io.steps = t->steps;
    io.batch = t->batch;
    io.input = t->x;
    io.output = t->y;
    io.lengths = take_below(source, 2) ? t->lengths : NULL;
    loss.steps = io.output_kind == LW_OUTPUT_LAST ? 1 : t->steps;
    loss.batch = t->batch;
    loss.width = t->out;
    loss.output = t->y;
    loss.target = t->target;
    loss.gradient = t->dy;
    if (take_below(source, 2))
        lw_tape_set_segment(t->tape, take_below(source, t->steps + 2)); /* refused for reverse layers */
    lw_state *state = take_below(source, 2) ? t->state : NULL;
    MUST(lw_tape_forward(t->tape, (const float *const *)t->parameters, state, &io) == LW_OK);
    MUST(lw_loss_evaluate(&loss, &score) == LW_OK);
    const int missing = (int)take_below(source, 2);
    float *wanted[MOST];
    memcpy(wanted, t->gradients, sizeof wanted);
    if (missing && t->count)
        wanted[take_below(source, t->count)] = NULL;
    g.output = take_below(source, 8) == 7 ? NULL : t->dy;
    g.parameters = wanted;
    g.input = take_below(source, 2) ? t->dx : NULL;
    g.final_state = take_below(source, 4) == 3 ? t->state : NULL;
    g.initial_state = take_below(source, 2) ? t->initial : NULL;
    MUST(lw_tape_backward(t->tape, &g) == LW_OK);
    g.parameters = t->again;
    MUST(lw_tape_backward(t->tape, &g) == LW_OK);
    for (size_t i = 0; i < t->count; i++)
        if (wanted[i])
            expect_same(t->again[i], wanted[i], t->counts[i]);
    double norm;
    if (t->optimiser)
        MUST(lw_optimiser_step(t->optimiser, t->parameters, (const float *const *)wanted, 0.05, &norm) == LW_OK);
    for (size_t i = 0; i < t->count; i++) {
        guard_check(t->parameters[i]);
        guard_check(t->gradients[i]);
    }
    guard_check(t->y);
    guard_check(t->dx);
}

static void restore(struct trainer *t, struct source *source)
{
    size_t bytes = lw_optimiser_bytes(t->optimiser);
    unsigned char *saved = malloc(bytes + 1);
    MUST(saved);
    if (t->optimiser) {
        MUST(lw_optimiser_save(t->optimiser, saved, bytes) == LW_OK);
        saved[take_below(source, bytes)] ^= (unsigned char)take_byte(source);
        lw_status status = lw_optimiser_restore(t->optimiser, saved, bytes);
        MUST(status == LW_OK || status == LW_ERR_FORMAT || status == LW_ERR_SHAPE);
    }
    free(saved);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source source = {data, size};
    struct random_model drawn;
    struct trainer t = {0};
    draw_bricks(&source, 1, &drawn);
    t.model = create_model(&source, &drawn);
    if (!t.model)
        return 0;
    t.count = lw_model_parameter_count(t.model);
    if (t.count > MOST) {
        lw_model_destroy(t.model);
        return 0;
    }
    open_trainer(&t, &source);
    for (int updates = 0; updates < 4 && source.left; updates++)
        train(&t, &source);
    restore(&t, &source);
    close_trainer(&t);
    return 0;
}
