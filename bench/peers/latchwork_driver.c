/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Latchwork behind the driver protocol, over the public header alone. Started by run.py. It also tells the machine's
 * limits, measured in this process when they are first asked for.
 */
#include "protocol.h"

#include <latchwork.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"

static struct {
    struct workload workload;
    lw_model *model;
    lw_context *context;
    lw_state **states; /* one, or one for each stream */
    size_t count;
    const float *input;
    float *output;
    size_t *lengths;
    lw_io io;
} now;

static void forget(void)
{
    for (size_t i = 0; now.states && i < now.count; i++)
        lw_state_destroy(now.states[i]);
    lw_context_destroy(now.context);
    lw_model_destroy(now.model);
    free(now.states);
    free(now.output);
    free(now.lengths);
    memset(&now, 0, sizeof now);
}

static enum engine_status failed(char *reason)
{
    snprintf(reason, REASON_BYTES, "%s", lw_error());
    return ENGINE_FAILED;
}

static lw_status set_parameters(const struct workload *w)
{
    lw_status status = LW_OK;
    for (size_t i = 0; !status && i < lw_model_parameter_count(now.model); i++) {
        lw_parameter parameter = {.size = sizeof parameter};
        status = lw_model_parameter(now.model, i, &parameter);
        if (status)
            break;
        const int head = !strncmp(parameter.name, "head.", 5);
        float *values = workload_draw(w, parameter.name, parameter.count, (head ? w->directions : 1) * w->hidden);
        if (!values)
            return LW_ERR_MEMORY;
        status = lw_model_parameter_set(now.model, i, values, parameter.count);
        free(values);
    }
    return status;
}

static lw_status make_model(const struct workload *w)
{
    static const lw_kind kinds[] = {[CELL_LSTM] = LW_LSTM, [CELL_GRU] = LW_GRU, [CELL_RNN] = LW_RNN};
    lw_brick bricks[2] = {LW_BRICK_INIT(kinds[w->cell]), LW_BRICK_INIT(LW_DENSE)};
    bricks[0].name = "rnn";
    bricks[0].input = w->input;
    bricks[0].hidden = w->hidden;
    bricks[0].layers = w->layers;
    bricks[0].direction = w->directions == 2 ? LW_BIDIRECTIONAL : LW_FORWARD;
    bricks[1].name = "head";
    bricks[1].hidden = w->dense;
    lw_status status = lw_model_create(bricks, w->dense ? 2 : 1, NULL, &now.model);
    return status ? status : set_parameters(w);
}

static enum engine_status prepare(const struct workload *w, const float *input, char *reason)
{
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    forget();
    now.workload = *w;
    now.input = input;
    now.count = w->mode == MODE_STREAMS ? w->batch : 1;
    now.states = calloc(now.count, sizeof *now.states);
    now.output = calloc((w->mode == MODE_SEQUENCE ? w->steps : 1) * w->batch * workload_width(w), sizeof *now.output);
    now.lengths = w->ragged ? workload_lengths(w) : NULL;
    if (!now.states || !now.output || (w->ragged && !now.lengths)) {
        snprintf(reason, REASON_BYTES, "no memory for states and output");
        return ENGINE_FAILED;
    }
    options.threads = w->threads;
    lw_status status = make_model(w);
    if (!status)
        status = lw_context_create(now.model, &options, &now.context);
    if (!status)
        status = lw_context_reserve(now.context, w->mode == MODE_SEQUENCE ? w->steps : 1, w->batch);
    for (size_t i = 0; !status && i < now.count; i++)
        status = lw_state_create(now.model, w->mode == MODE_STREAMS ? 1 : w->batch, &now.states[i]);
    if (status)
        return failed(reason);
    now.io = (lw_io)LW_IO_INIT;
    now.io.steps = w->mode == MODE_SEQUENCE ? w->steps : 1;
    now.io.batch = w->batch;
    now.io.input = input;
    now.io.output = now.output;
    now.io.lengths = now.lengths;
    return ENGINE_OK;
}

static enum engine_status call(size_t step, char *reason)
{
    const struct workload *w = &now.workload;
    const float *x = now.input + step * w->batch * w->input;
    lw_status status = LW_OK;
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
    return status ? failed(reason) : ENGINE_OK;
}

static enum engine_status reset(char *reason)
{
    for (size_t i = 0; i < now.count; i++)
        if (lw_state_reset(now.states[i]))
            return failed(reason);
    return ENGINE_OK;
}

static const float *result(void)
{
    return now.output;
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

/* Counts of threads are keys: "1", "2". */
static json_t *limits(void)
{
    lw_machine machine = {.size = sizeof machine};
    if (lw_machine_query(&machine))
        return json_pack("{s:s}", "error", lw_error());
    json_t *answer = json_pack("{s:I,s:I,s:I,s:I}", "cpus", (json_int_t)machine.cpus, "l1_bytes",
                               (json_int_t)machine.l1_bytes, "l2_bytes", (json_int_t)machine.l2_bytes, "l3_bytes",
                               (json_int_t)machine.l3_bytes);
    const size_t counts[2] = {1, machine.cpus};
    json_t *peaks = json_object(), *reads = json_object();
    for (int level = 0; level < LEVEL_COUNT; level++)
        json_object_set_new(reads, limits_name((enum limit_level)level), json_object());
    for (size_t t = 0; t < (machine.cpus > 1 ? 2 : 1); t++) {
        char key[32];
        snprintf(key, sizeof key, "%zu", counts[t]);
        json_object_set_new(peaks, key, json_real(limits_peak(lw_isa_get(), counts[t])));
        for (int level = 0; level < LEVEL_COUNT; level++)
            json_object_set_new(json_object_get(reads, limits_name((enum limit_level)level)), key,
                                json_real(limits_read((enum limit_level)level, counts[t])));
    }
    json_object_set_new(answer, "flops_per_second", peaks);
    json_object_set_new(answer, "bytes_per_second", reads);
    return answer;
}

int main(void)
{
    const struct engine engine = {"Latchwork", lw_version, details, prepare, call, reset, result, limits};
    const int status = engine_serve(&engine);
    forget();
    return status;
}
