/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `latchwork bench serve`: Latchwork's own driver, over the public header alone. Started by `latchwork bench`, by the
 * gate, or by anything else that speaks the protocol of bench/peers/PROTOCOL.md.
 */
#include "commands.h"
#include "engine.h"

#include "../report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    struct workload workload;
    lw_model *model;
    lw_context *context;
    lw_state **states; /* one, or one for each stream */
    size_t count;
    struct training *training;
    const float *input;
    float *output;
    size_t *lengths;
    lw_io io;
} now;

static void forget(void)
{
    training_close(now.training);
    for (size_t i = 0; now.states && i < now.count; i++)
        lw_state_destroy(now.states[i]);
    lw_context_destroy(now.context);
    lw_model_destroy(now.model);
    free(now.states);
    free(now.output);
    free(now.lengths);
    memset(&now, 0, sizeof now);
}

enum engine_status engine_failed(char *reason)
{
    snprintf(reason, REASON_BYTES, "%s", lw_error());
    return ENGINE_FAILED;
}

static lw_status set_parameters(const struct workload *w, lw_model *model)
{
    lw_status status = LW_OK;
    for (size_t i = 0; !status && i < lw_model_parameter_count(model); i++) {
        lw_parameter parameter = {.size = sizeof parameter};
        status = lw_model_parameter(model, i, &parameter);
        if (status)
            break;
        const int head = !strncmp(parameter.name, "head.", 5);
        float *values = workload_draw(w, parameter.name, parameter.count, (head ? w->directions : 1) * w->hidden);
        if (!values)
            return LW_ERR_MEMORY;
        status = lw_model_parameter_set(model, i, values, parameter.count);
        free(values);
    }
    return status;
}

static enum engine_status load_model(const struct workload *w, lw_model **model, char *reason)
{
    if (lw_model_load(w->model, NULL, model))
        return engine_failed(reason);
    if (lw_model_input_size(*model) == w->input && lw_model_output_size(*model) == workload_width(w))
        return ENGINE_OK;
    snprintf(reason, REASON_BYTES, "the model has %zu inputs and %zu outputs, the workload %zu and %zu",
             lw_model_input_size(*model), lw_model_output_size(*model), w->input, workload_width(w));
    return ENGINE_FAILED;
}

enum engine_status engine_model(const struct workload *w, lw_model **model, char *reason)
{
    static const lw_kind kinds[] = {[CELL_LSTM] = LW_LSTM, [CELL_GRU] = LW_GRU, [CELL_RNN] = LW_RNN};
    lw_brick bricks[2] = {LW_BRICK_INIT(kinds[w->cell]), LW_BRICK_INIT(LW_DENSE)};
    if (w->model)
        return load_model(w, model, reason);
    bricks[0].name = "rnn";
    bricks[0].input = w->input;
    bricks[0].hidden = w->hidden;
    bricks[0].layers = w->layers;
    bricks[0].direction = w->directions == 2 ? LW_BIDIRECTIONAL : LW_FORWARD;
    bricks[1].name = "head";
    bricks[1].hidden = w->dense;
    lw_status status = lw_model_create(bricks, w->dense ? 2 : 1, NULL, model);
    if (!status)
        status = set_parameters(w, *model);
    return status ? engine_failed(reason) : ENGINE_OK;
}

static enum engine_status prepare_inference(const struct workload *w, char *reason)
{
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    const size_t steps = w->mode == MODE_SEQUENCE ? w->steps : 1;
    now.count = w->mode == MODE_STREAMS ? w->batch : 1;
    now.states = calloc(now.count, sizeof *now.states);
    now.output = calloc(steps * w->batch * workload_width(w), sizeof *now.output);
    if (!now.states || !now.output) {
        snprintf(reason, REASON_BYTES, "no memory for states and output");
        return ENGINE_FAILED;
    }
    options.threads = w->threads;
    lw_status status = lw_context_create(now.model, &options, &now.context);
    if (!status)
        status = lw_context_reserve(now.context, steps, w->batch);
    for (size_t i = 0; !status && i < now.count; i++)
        status = lw_state_create(now.model, w->mode == MODE_STREAMS ? 1 : w->batch, &now.states[i]);
    if (status)
        return engine_failed(reason);
    now.io = (lw_io)LW_IO_INIT;
    now.io.steps = steps;
    now.io.batch = w->batch;
    now.io.input = now.input;
    now.io.output = now.output;
    now.io.lengths = now.lengths;
    return ENGINE_OK;
}

static enum engine_status prepare(const struct workload *w, const float *input, char *reason)
{
    forget();
    now.workload = *w;
    now.input = input;
    now.lengths = w->ragged ? workload_lengths(w) : NULL;
    if (w->ragged && !now.lengths) {
        snprintf(reason, REASON_BYTES, "no memory for the lengths");
        return ENGINE_FAILED;
    }
    enum engine_status status = engine_model(w, &now.model, reason);
    now.workload.model = NULL;
    if (status)
        return status;
    return w->train ? training_open(w, now.model, input, now.lengths, &now.training, reason)
                    : prepare_inference(w, reason);
}

static enum engine_status call(size_t step, char *reason)
{
    const struct workload *w = &now.workload;
    const float *x = now.input + step * w->batch * w->input;
    lw_status status = LW_OK;
    if (w->train)
        return training_call(now.training, reason);
    if (w->mode == MODE_SEQUENCE) {
        status = lw_run(now.context, NULL, &now.io);
    } else if (w->mode == MODE_STEP) {
        /* lw_step stays on the calling thread; a run of one step may share it. */
        now.io.input = x;
        status = w->threads == 1 ? lw_step(now.context, now.states[0], x, now.output)
                                 : lw_run(now.context, now.states[0], &now.io);
    } else if (w->together) {
        status = lw_step_many(now.context, now.states, now.count, x, now.output);
    } else {
        const size_t width = workload_width(w);
        for (size_t i = 0; !status && i < now.count; i++)
            status = lw_step(now.context, now.states[i], x + i * w->input, now.output + i * width);
    }
    return status ? engine_failed(reason) : ENGINE_OK;
}

static enum engine_status reset(char *reason)
{
    if (now.workload.train)
        return training_reset(now.training, reason);
    for (size_t i = 0; i < now.count; i++)
        if (lw_state_reset(now.states[i]))
            return engine_failed(reason);
    return ENGINE_OK;
}

static const float *result(void)
{
    return now.workload.train ? training_result(now.training) : now.output;
}

static const char *details(void)
{
    static char text[128];
    lw_machine machine = {.size = sizeof machine};
    if (lw_machine_query(&machine))
        return "";
    snprintf(text, sizeof text, "%s, %s", lw_isa_name(lw_isa_get()), machine.cpu_name);
    return text;
}

static int run(int argc, const char **argv)
{
    int none = 0;
    const int status = arguments_parse(&command_bench_serve, argc, argv, &none, NULL);
    if (status != EXIT_OK)
        return status < 0 ? EXIT_OK : status;
    const struct engine engine = {"Latchwork", lw_version, details, prepare, call, reset, result};
    const int failed = engine_serve(&engine);
    forget();
    return failed ? EXIT_WORK : EXIT_OK;
}

const struct command command_bench_serve = {
    .name = "bench serve",
    .summary = "answer the driver protocol on standard input and output",
    .details = "One JSON object a line: info, prepare, run, output, memory; bench/peers/PROTOCOL.md describes them.",
    .run = run,
};
