/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Updates and measures over the public header alone (see train_trainer.h). No sum here depends on the number of
 * threads: measures add up batch by batch, in their order.
 */
#include "train_trainer.h"

#include "report.h"
#include "work.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *ending_name(enum ending ending)
{
    static const char *const names[] = {"running", "updates", "solved", "patience"};
    return names[ending];
}

int fail_training(void)
{
    return fail("train: %s", lw_error());
}

static int reserve(double **rows, size_t *room, size_t count, size_t width, const char *what)
{
    if (count <= *room)
        return EXIT_OK;
    size_t wanted = count < 512 ? 1024 : product(count, 2), bytes = product(wanted, width * sizeof(double));
    double *larger = bytes < SIZE_MAX ? realloc(*rows, bytes) : NULL;
    if (!larger)
        return fail("out of memory for the history of %zu %s", count, what);
    *rows = larger;
    *room = wanted;
    return EXIT_OK;
}

int history_reserve(struct history *history, size_t records, size_t checks)
{
    int status = reserve(&history->records, &history->record_room, records, RECORD_WIDTH, "updates");
    return status == EXIT_OK ? reserve(&history->checks, &history->check_room, checks, CHECK_WIDTH, "validations")
                             : status;
}

static int create_model(struct trainer *trainer, lw_kind cell, lw_model **model)
{
    const struct settings *settings = trainer->settings;
    lw_brick bricks[2] = {LW_BRICK_INIT(cell), LW_BRICK_INIT(LW_DENSE)};
    bricks[0].name = kind_name(cell);
    bricks[0].input = trainer->task->input;
    bricks[0].hidden = settings->hidden;
    bricks[0].layers = settings->layers;
    bricks[1].name = "head";
    bricks[1].hidden = trainer->task->output;
    return lw_model_create(bricks, 2, NULL, model) == LW_OK ? EXIT_OK : fail_training();
}

static int initialise(struct trainer *trainer, lw_kind cell, size_t chrono)
{
    const struct settings *settings = trainer->settings;
    lw_initialise_options options = LW_INITIALISE_OPTIONS_INIT;
    options.seed = settings->seed;
    if (strcmp(settings->initial, "xavier") == 0) {
        options.input = options.recurrent = LW_INITIAL_XAVIER_UNIFORM;
        options.bias = LW_INITIAL_ZERO;
    } else if (strcmp(settings->initial, "orthogonal") == 0) {
        options.input = LW_INITIAL_XAVIER_UNIFORM;
        options.recurrent = LW_INITIAL_ORTHOGONAL;
        options.bias = LW_INITIAL_ZERO;
    }
    options.chrono = cell == LW_RNN ? 0 : chrono;
    return lw_model_initialise_with(trainer->model, &options) == LW_OK ? EXIT_OK : fail_training();
}

static int create_parameters(struct trainer *trainer)
{
    trainer->count = lw_model_parameter_count(trainer->model);
    trainer->counts = calloc(trainer->count, sizeof(size_t));
    trainer->parameters = calloc(trainer->count, sizeof(float *));
    trainer->gradients = calloc(trainer->count, sizeof(float *));
    trainer->best = calloc(trainer->count, sizeof(float *));
    if (!trainer->counts || !trainer->parameters || !trainer->gradients || !trainer->best)
        return fail("out of memory");
    for (size_t i = 0; i < trainer->count; i++) {
        lw_parameter parameter = {.size = sizeof parameter};
        if (lw_model_parameter(trainer->model, i, &parameter) != LW_OK)
            return fail_training();
        trainer->counts[i] = parameter.count;
        trainer->parameter_total += parameter.count;
        trainer->parameters[i] = allocate(parameter.count, sizeof(float));
        trainer->gradients[i] = allocate(parameter.count, sizeof(float));
        trainer->best[i] = allocate(parameter.count, sizeof(float));
        if (!trainer->parameters[i] || !trainer->gradients[i] || !trainer->best[i])
            return fail("out of memory for %zu parameters", parameter.count);
        if (lw_model_parameter_get(trainer->model, i, trainer->parameters[i], parameter.count) != LW_OK)
            return fail_training();
    }
    trainer_keep_best(trainer);
    return EXIT_OK;
}

static size_t scored_steps(const struct task *task)
{
    return task->output_kind == LW_OUTPUT_LAST ? 1 : task->steps;
}

static int create_batch(struct trainer *trainer)
{
    const struct task *task = trainer->task;
    size_t rows = product(scored_steps(task), task->batch), outputs = product(rows, task->output);
    size_t inputs = product(product(task->steps, task->batch), task->input);
    struct batch *batch = &trainer->batch;
    batch->input = allocate(inputs, sizeof(float));
    batch->mask = allocate(rows, 1);
    if (task->ragged)
        batch->lengths = allocate(task->batch, sizeof(size_t));
    if (task->loss == LW_CROSS_ENTROPY)
        batch->classes = allocate(rows, sizeof(int32_t));
    else
        batch->target = allocate(outputs, sizeof(float));
    trainer->output = allocate(outputs, sizeof(float));
    trainer->doutput = allocate(outputs, sizeof(float));
    if (!batch->input || !batch->mask || (task->ragged && !batch->lengths) || !(batch->classes || batch->target) ||
        !trainer->output || !trainer->doutput)
        return fail("out of memory for batches of %zu steps and %zu rows; choose a smaller --batch", task->steps,
                    task->batch);
    return EXIT_OK;
}

static int create_engine(struct trainer *trainer)
{
    const struct settings *settings = trainer->settings;
    lw_context_options context = LW_CONTEXT_OPTIONS_INIT;
    lw_machine machine = {.size = sizeof machine};
    trainer->threads = settings->threads == OPTION_UNSET ? 0 : settings->threads;
    context.threads = trainer->threads;
    if (trainer->threads == 0 && lw_machine_query(&machine) == LW_OK)
        trainer->threads = machine.cpus;
    lw_optimiser_options options = LW_OPTIMISER_OPTIONS_INIT(settings->optimiser_kind);
    options.momentum = settings->optimiser_kind == LW_SGD ? 0.9 : 0.0;
    options.clip_norm = settings->clip_value;
    if (lw_tape_create(trainer->model, &context, &trainer->tape) != LW_OK ||
        lw_optimiser_create(&options, trainer->counts, trainer->count, &trainer->optimiser) != LW_OK)
        return fail_training();
    if (trainer->task->carried &&
        (lw_state_create(trainer->model, trainer->task->batch, &trainer->state) != LW_OK ||
         lw_state_create(trainer->model, trainer->task->batch, &trainer->check_state) != LW_OK))
        return fail_training();
    return EXIT_OK;
}

int trainer_open(struct trainer *trainer, const struct settings *settings, const struct task *task, lw_kind cell,
                 size_t chrono)
{
    *trainer = (struct trainer){.settings = settings, .task = task, .progress.best_loss = HUGE_VAL};
    int status = create_model(trainer, cell, &trainer->model);
    if (status == EXIT_OK)
        status = initialise(trainer, cell, chrono);
    if (status == EXIT_OK)
        status = create_parameters(trainer);
    if (status == EXIT_OK)
        status = create_batch(trainer);
    if (status == EXIT_OK)
        status = create_engine(trainer);
    for (size_t i = 0; status == EXIT_OK && i < lw_model_layer_count(trainer->model); i++) {
        lw_layer layer = {.size = sizeof layer};
        if (lw_model_layer(trainer->model, i, &layer) != LW_OK)
            return fail_training();
        size_t steps = layer.kind == LW_DENSE ? scored_steps(task) : task->steps;
        /* Forward once, backward twice: to the inputs and to the weights. */
        trainer->flops += 3.0 * (double)layer.flops * (double)steps * (double)task->batch;
    }
    return status;
}

void trainer_close(struct trainer *trainer)
{
    for (size_t i = 0; i < trainer->count; i++) {
        if (trainer->parameters)
            free(trainer->parameters[i]);
        if (trainer->gradients)
            free(trainer->gradients[i]);
        if (trainer->best)
            free(trainer->best[i]);
    }
    free(trainer->parameters);
    free(trainer->gradients);
    free(trainer->best);
    free(trainer->counts);
    free(trainer->batch.input);
    free(trainer->batch.target);
    free(trainer->batch.classes);
    free(trainer->batch.lengths);
    free(trainer->batch.mask);
    free(trainer->output);
    free(trainer->doutput);
    free(trainer->history.records);
    free(trainer->history.checks);
    lw_state_destroy(trainer->state);
    lw_state_destroy(trainer->check_state);
    lw_optimiser_destroy(trainer->optimiser);
    lw_tape_destroy(trainer->tape);
    lw_model_destroy(trainer->model);
    *trainer = (struct trainer){0};
}

/* Masks of the update for training, none for measures: those see the model as it will run. */
static int regularise(struct trainer *trainer, enum part part, uint64_t update)
{
    lw_regularisation r = trainer->settings->regularisation;
    if (!trainer->settings->regularised)
        return EXIT_OK;
    r.update = update;
    return lw_tape_set_regularisation(trainer->tape, part == PART_TRAIN ? &r : NULL) == LW_OK ? EXIT_OK
                                                                                              : fail_training();
}

/* Fetches a batch and runs it forward; `state` may be NULL. */
static int forward(struct trainer *trainer, enum part part, uint64_t index, lw_state *state)
{
    const struct task *task = trainer->task;
    memset(trainer->batch.mask, 1, scored_steps(task) * task->batch);
    trainer->batch.restart = 0;
    task->kind->fill(task, part, index, &trainer->batch);
    if (state && trainer->batch.restart && lw_state_reset(state) != LW_OK)
        return fail_training();
    if (regularise(trainer, part, index) != EXIT_OK)
        return EXIT_WORK;
    lw_io io = LW_IO_INIT;
    io.steps = task->steps;
    io.batch = task->batch;
    io.input = trainer->batch.input;
    io.lengths = trainer->batch.lengths;
    io.output = trainer->output;
    io.output_kind = task->output_kind;
    const float *const *parameters = (const float *const *)trainer->parameters;
    return lw_tape_forward(trainer->tape, parameters, state, &io) == LW_OK ? EXIT_OK : fail_training();
}

static int score_batch(struct trainer *trainer, float *gradient, lw_score *score)
{
    const struct task *task = trainer->task;
    lw_loss loss = LW_LOSS_INIT(task->loss);
    loss.steps = scored_steps(task);
    loss.batch = task->batch;
    loss.width = task->output;
    loss.output = trainer->output;
    loss.target = trainer->batch.target;
    loss.classes = trainer->batch.classes;
    loss.mask = trainer->batch.mask;
    loss.gradient = gradient;
    return lw_loss_evaluate(&loss, score) == LW_OK ? EXIT_OK : fail_training();
}

static int learning_rate(const struct settings *settings, uint64_t update, double *rate)
{
    lw_learning_rate schedule = LW_LEARNING_RATE_INIT(settings->rate_value);
    schedule.kind = settings->rate_kind;
    schedule.warm_up = settings->warm_up;
    uint64_t rest = settings->updates > settings->warm_up ? settings->updates - settings->warm_up : 1;
    schedule.updates = rest;
    schedule.every = rest < 3 ? 1 : rest / 3;
    schedule.gamma = 0.1;
    return lw_learning_rate_at(&schedule, update, rate) == LW_OK ? EXIT_OK : fail_training();
}

int trainer_update(struct trainer *trainer)
{
    uint64_t update = trainer->progress.updates;
    struct history *history = &trainer->history;
    lw_score score = LW_SCORE_INIT;
    lw_gradients gradients = LW_GRADIENTS_INIT;
    gradients.output = trainer->doutput;
    gradients.parameters = trainer->gradients;
    double rate, norm;
    int status = history_reserve(history, history->record_count + 1, history->check_count + 1);
    if (status == EXIT_OK)
        status = learning_rate(trainer->settings, update, &rate);
    if (status == EXIT_OK)
        status = forward(trainer, PART_TRAIN, update, trainer->state);
    if (status == EXIT_OK)
        status = score_batch(trainer, trainer->doutput, &score);
    if (status != EXIT_OK)
        return status;
    if (lw_tape_backward(trainer->tape, &gradients) != LW_OK ||
        lw_optimiser_norm(trainer->optimiser, (const float *const *)trainer->gradients, &norm) != LW_OK)
        return fail_training();
    if (!isfinite(score.loss) || !isfinite(norm))
        return fail("train: update %llu: the %s is no finite number any more; try a smaller --rate or --clip",
                    (unsigned long long)update + 1, isfinite(score.loss) ? "gradient" : "loss");
    if (lw_optimiser_step(trainer->optimiser, trainer->parameters, (const float *const *)trainer->gradients, rate,
                          NULL) != LW_OK)
        return fail_training();
    double *record = history->records + RECORD_WIDTH * history->record_count++;
    record[0] = score.loss;
    record[1] = norm;
    record[2] = rate;
    record[3] = 0;
    trainer->progress.updates++;
    return EXIT_OK;
}

int trainer_measure(struct trainer *trainer, enum part part, struct measure *measure)
{
    const struct task *task = trainer->task;
    size_t batches = part == PART_FINAL ? task->final_batches : task->check_batches, correct = 0;
    double sum = 0;
    *measure = (struct measure){.accuracy = NAN};
    for (size_t k = 0; k < batches; k++) {
        lw_score score = LW_SCORE_INIT;
        int status = forward(trainer, part, k, trainer->check_state);
        if (status == EXIT_OK)
            status = score_batch(trainer, NULL, &score);
        if (status != EXIT_OK)
            return status;
        sum += score.loss * (double)score.counted;
        measure->counted += score.counted;
        correct += task->kind->correct ? task->kind->correct(task, &trainer->batch, trainer->output) : score.correct;
    }
    measure->loss = measure->counted ? sum / (double)measure->counted : NAN;
    if (measure->counted && (task->loss != LW_SQUARED_ERROR || task->kind->correct))
        measure->accuracy = (double)correct / (double)measure->counted;
    return EXIT_OK;
}

void trainer_keep_best(struct trainer *trainer)
{
    for (size_t i = 0; i < trainer->count; i++)
        memcpy(trainer->best[i], trainer->parameters[i], trainer->counts[i] * sizeof(float));
}

void trainer_take_best(struct trainer *trainer)
{
    for (size_t i = 0; i < trainer->count; i++)
        memcpy(trainer->parameters[i], trainer->best[i], trainer->counts[i] * sizeof(float));
}

int trainer_model(const struct trainer *trainer, lw_model **model)
{
    lw_brick bricks[2] = {{.size = sizeof(lw_brick)}, {.size = sizeof(lw_brick)}};
    if (lw_model_brick(trainer->model, 0, &bricks[0]) != LW_OK ||
        lw_model_brick(trainer->model, 1, &bricks[1]) != LW_OK || lw_model_create(bricks, 2, NULL, model) != LW_OK)
        return fail_training();
    for (size_t i = 0; i < trainer->count; i++)
        if (lw_model_parameter_set(*model, i, trainer->parameters[i], trainer->counts[i]) != LW_OK) {
            lw_model_destroy(*model);
            *model = NULL;
            return fail_training();
        }
    return EXIT_OK;
}

int trainer_input_gradient(struct trainer *trainer, double *norms)
{
    const struct task *task = trainer->task;
    size_t outputs = scored_steps(task) * task->batch * task->output, row = task->batch * task->input;
    float *dinput = allocate(product(task->steps, row), sizeof(float));
    lw_gradients gradients = LW_GRADIENTS_INIT;
    gradients.output = trainer->doutput;
    gradients.input = dinput;
    if (!dinput)
        return fail("out of memory for a gradient of %zu steps", task->steps);
    int status = forward(trainer, PART_FINAL, 0, trainer->check_state);
    for (size_t i = 0; i < outputs; i++)
        trainer->doutput[i] = i >= outputs - task->batch * task->output ? 1.0f : 0.0f;
    if (status == EXIT_OK && lw_tape_backward(trainer->tape, &gradients) != LW_OK)
        status = fail_training();
    for (size_t t = 0; status == EXIT_OK && t < task->steps; t++) {
        norms[t] = 0;
        for (size_t b = 0; b < task->batch; b++) {
            double sum = 0;
            for (size_t i = 0; i < task->input; i++) {
                double g = (double)dinput[t * row + b * task->input + i];
                sum += g * g;
            }
            norms[t] += sqrt(sum) / (double)task->batch;
        }
    }
    free(dinput);
    return status;
}
