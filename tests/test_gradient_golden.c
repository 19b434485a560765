/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Golden gradients: models with a request and every gradient as PyTorch's autograd computed it (golden/ has the script
 * and says what the tensors are called). Both the reference's way back and a tape must agree to rtol 1e-4, atol 1e-6,
 * the tape on every instruction set.
 */
#include "every_isa.h"
#include "reference_backward.h"

#include <dirent.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RTOL 1e-4
#define ATOL 1e-6

/* A file with its model and request. */
typedef struct golden {
    const char *path;
    lw_tensors *file;
    lw_model *model;
    size_t steps, batch, parameter_count;
    float *input, *doutput;
    size_t *lengths;
    float **parameters;
} golden;

/* The floats of golden.<name>, which must be `count` if that is not 0; NULL when the file has none. */
static float *read_tensor(const golden *g, const char *name, size_t count, lw_tensor *info)
{
    char full[256];
    snprintf(full, sizeof full, "golden.%s", name);
    for (size_t k = 0; k < lw_tensors_count(g->file); k++) {
        *info = (lw_tensor)LW_TENSOR_INIT;
        cr_assert_eq(lw_tensors_get(g->file, k, info), LW_OK, "%s", lw_error());
        if (strcmp(info->name, full))
            continue;
        cr_assert(!count || info->count == count, "%s: %s has %zu numbers, expected %zu", g->path, name, info->count,
                  count);
        float *values = ref_alloc(info->count, sizeof *values);
        cr_assert_eq(lw_tensors_read(g->file, k, values, info->count), LW_OK, "%s", lw_error());
        return values;
    }
    return NULL;
}

static void golden_open(golden *g, const char *path, lw_isa isa)
{
    lw_tensor info;
    lw_model_options options = LW_MODEL_OPTIONS_INIT;
    options.isa = (int)isa;
    *g = (golden){.path = path};
    cr_assert_eq(lw_tensors_open(path, &g->file), LW_OK, "%s: %s", path, lw_error());
    cr_assert_eq(lw_model_load(path, &options, &g->model), LW_OK, "%s: %s", path, lw_error());
    g->input = read_tensor(g, "input", 0, &info);
    cr_assert(g->input && info.rank == 3, "%s: golden.input must be (T, B, I)", path);
    g->steps = info.shape[0];
    g->batch = info.shape[1];
    cr_assert_eq(info.shape[2], lw_model_input_size(g->model));
    g->doutput = read_tensor(g, "doutput", g->steps * g->batch * lw_model_output_size(g->model), &info);
    cr_assert(g->doutput, "%s has no golden.doutput", path);
    if (!lw_tensors_find(g->file, "golden.lengths", (info = (lw_tensor)LW_TENSOR_INIT, &info))) {
        cr_assert_str_eq(info.type, "I64");
        cr_assert_eq(info.count, g->batch);
        g->lengths = ref_alloc(g->batch, sizeof *g->lengths);
        for (size_t b = 0; b < g->batch; b++) {
            int64_t length;
            memcpy(&length, (const char *)info.data + b * sizeof length, sizeof length);
            g->lengths[b] = (size_t)length;
        }
    }
    g->parameter_count = lw_model_parameter_count(g->model);
    g->parameters = ref_alloc(g->parameter_count, sizeof *g->parameters);
    for (size_t k = 0; k < g->parameter_count; k++) {
        lw_parameter p = {.size = sizeof p};
        cr_assert_eq(lw_model_parameter(g->model, k, &p), LW_OK);
        g->parameters[k] = ref_alloc(p.count, sizeof(float));
        cr_assert_eq(lw_model_parameter_get(g->model, k, g->parameters[k], p.count), LW_OK);
    }
}

static void golden_close(golden *g)
{
    for (size_t k = 0; k < g->parameter_count; k++)
        free(g->parameters[k]);
    free(g->parameters);
    free(g->input);
    free(g->doutput);
    free(g->lengths);
    lw_model_destroy(g->model);
    lw_tensors_close(g->file);
}

/* `got` beside golden.<name>, which must be there. */
static void expect_close(const golden *g, const char *name, const double *got, size_t count)
{
    lw_tensor info;
    float *want = read_tensor(g, name, count, &info);
    cr_assert(want, "%s has no golden.%s", g->path, name);
    for (size_t k = 0; k < count; k++)
        cr_assert(fabs(got[k] - (double)want[k]) <= ATOL + RTOL * fabs((double)want[k]),
                  "%s: %s[%zu] is %.9g, expected %.9g", g->path, name, k, got[k], (double)want[k]);
    free(want);
}

static void expect_floats(const golden *g, const char *name, const float *got, size_t count)
{
    double *values = ref_alloc(count, sizeof *values);
    for (size_t k = 0; k < count; k++)
        values[k] = (double)got[k];
    expect_close(g, name, values, count);
    free(values);
}

/* Calls `visit` for each memory of the model: layer, direction, which, its name, and what `argument` is about. */
static size_t each_memory(const golden *g, const char *format, void *argument,
                          void (*visit)(const golden *g, size_t layer, int direction, int memory, const char *name,
                                        void *argument))
{
    size_t count = 0;
    for (size_t layer = 0; layer < lw_model_layer_count(g->model); layer++)
        for (int d = 0; d < 2; d++)
            for (int m = 0; m < 2; m++) {
                lw_layer info = {.size = sizeof info};
                cr_assert_eq(lw_model_layer(g->model, layer, &info), LW_OK);
                if ((m && info.kind != LW_LSTM) ||
                    (info.direction != LW_BIDIRECTIONAL && info.direction != (lw_direction)d))
                    continue;
                char name[64];
                snprintf(name, sizeof name, format, "hc"[m], layer, d ? "_reverse" : "");
                visit(g, layer, d, m, name, argument);
                count++;
            }
    return count;
}

static size_t memory_count(const golden *g, size_t layer, int memory)
{
    lw_layer info = {.size = sizeof info};
    cr_assert_eq(lw_model_layer(g->model, layer, &info), LW_OK);
    return g->batch * (memory ? info.hidden : info.output);
}

static void set_state(const golden *g, size_t layer, int d, int m, const char *name, void *state)
{
    lw_tensor info;
    float *values = read_tensor(g, name, memory_count(g, layer, m), &info);
    cr_assert(values, "%s has no golden.%s", g->path, name);
    cr_assert_eq(lw_state_set(state, layer, (lw_direction)d, (lw_memory)m, values, info.count), LW_OK, "%s",
                 lw_error());
    free(values);
}

static void set_reference(const golden *g, size_t layer, int d, int m, const char *name, void *state)
{
    lw_tensor info;
    float *values = read_tensor(g, name, memory_count(g, layer, m), &info);
    cr_assert(values, "%s has no golden.%s", g->path, name);
    for (size_t k = 0; k < info.count; k++)
        ((ref_state *)state)->memory[layer][d][m][k] = (double)values[k];
    free(values);
}

static void expect_state(const golden *g, size_t layer, int d, int m, const char *name, void *state)
{
    size_t count = memory_count(g, layer, m);
    float *values = ref_alloc(count, sizeof *values);
    cr_assert_eq(lw_state_get(state, layer, (lw_direction)d, (lw_memory)m, values, count), LW_OK, "%s", lw_error());
    expect_floats(g, name, values, count);
    free(values);
}

static void expect_reference(const golden *g, size_t layer, int d, int m, const char *name, void *state)
{
    expect_close(g, name, ((ref_state *)state)->memory[layer][d][m], memory_count(g, layer, m));
}

static double *doubles(const float *values, size_t count)
{
    double *out = ref_alloc(count, sizeof *out);
    for (size_t k = 0; k < count; k++)
        out[k] = (double)values[k];
    return out;
}

static void check_reference(const char *path, lw_isa isa)
{
    golden g;
    golden_open(&g, path, isa);
    size_t bricks = lw_model_brick_count(g.model);
    lw_brick brick[4];
    cr_assert_leq(bricks, 4);
    for (size_t k = 0; k < bricks; k++) {
        brick[k].size = sizeof brick[k];
        cr_assert_eq(lw_model_brick(g.model, k, &brick[k]), LW_OK);
    }
    ref_model *model = ref_create(brick, bricks);
    for (size_t k = 0; k < g.parameter_count; k++) {
        lw_parameter p = {.size = sizeof p};
        cr_assert_eq(lw_model_parameter(g.model, k, &p), LW_OK);
        for (size_t e = 0; e < p.count; e++)
            ref_find(model, p.name)->values[e] = (double)g.parameters[k][e];
    }
    size_t inputs = g.steps * g.batch * ref_input_size(model), outputs = g.steps * g.batch * ref_output_size(model);
    double *input = doubles(g.input, inputs), *doutput = doubles(g.doutput, outputs);
    ref_state *state = ref_state_create(model, g.batch), *dfinal = ref_state_create(model, g.batch);
    each_memory(&g, "%c0.%zu%s", state, set_reference);
    each_memory(&g, "d%cn.%zu%s", dfinal, set_reference);
    ref_trace *trace = ref_run(model, state, g.steps, g.batch, input, g.lengths);
    expect_close(&g, "output", trace->output, outputs);
    ref_gradients *out = ref_backward(model, trace, state, g.lengths, LW_OUTPUT_SEQUENCE, doutput, dfinal);
    expect_close(&g, "dinput", out->input.values, inputs);
    cr_assert_gt(each_memory(&g, "d%c0.%zu%s", out->initial, expect_reference), 0);
    for (size_t k = 0; k < model->parameter_count; k++) {
        char name[200];
        snprintf(name, sizeof name, "d%s", model->parameters[k].name);
        expect_close(&g, name, out->parameters[k].values, out->parameters[k].count);
    }
    ref_gradients_destroy(out);
    ref_trace_destroy(trace);
    ref_state_destroy(state);
    ref_state_destroy(dfinal);
    ref_destroy(model);
    free(input);
    free(doutput);
    golden_close(&g);
}

static void check_tape(const char *path, lw_isa isa)
{
    golden g;
    golden_open(&g, path, isa);
    size_t outputs = g.steps * g.batch * lw_model_output_size(g.model);
    size_t inputs = g.steps * g.batch * lw_model_input_size(g.model);
    float *output = ref_alloc(outputs, sizeof *output), *dinput = ref_alloc(inputs, sizeof *dinput);
    float **dparameters = ref_alloc(g.parameter_count, sizeof *dparameters);
    lw_tape *tape;
    lw_state *state, *dfinal, *dinitial;
    cr_assert_eq(lw_tape_create(g.model, NULL, &tape), LW_OK, "%s", lw_error());
    cr_assert_eq(lw_state_create(g.model, g.batch, &state), LW_OK);
    cr_assert_eq(lw_state_create(g.model, g.batch, &dfinal), LW_OK);
    cr_assert_eq(lw_state_create(g.model, g.batch, &dinitial), LW_OK);
    each_memory(&g, "%c0.%zu%s", state, set_state);
    each_memory(&g, "d%cn.%zu%s", dfinal, set_state);
    lw_io io = LW_IO_INIT;
    io.steps = g.steps;
    io.batch = g.batch;
    io.input = g.input;
    io.output = output;
    io.lengths = g.lengths;
    cr_assert_eq(lw_tape_forward(tape, (const float *const *)g.parameters, state, &io), LW_OK, "%s: %s", path,
                 lw_error());
    expect_floats(&g, "output", output, outputs);
    for (size_t k = 0; k < g.parameter_count; k++) {
        lw_parameter p = {.size = sizeof p};
        cr_assert_eq(lw_model_parameter(g.model, k, &p), LW_OK);
        dparameters[k] = ref_alloc(p.count, sizeof(float));
    }
    lw_gradients gradients = LW_GRADIENTS_INIT;
    gradients.output = g.doutput;
    gradients.final_state = dfinal;
    gradients.parameters = dparameters;
    gradients.input = dinput;
    gradients.initial_state = dinitial;
    cr_assert_eq(lw_tape_backward(tape, &gradients), LW_OK, "%s: %s", path, lw_error());
    expect_floats(&g, "dinput", dinput, inputs);
    cr_assert_gt(each_memory(&g, "d%c0.%zu%s", dinitial, expect_state), 0);
    for (size_t k = 0; k < g.parameter_count; k++) {
        char name[200];
        lw_parameter p = {.size = sizeof p};
        cr_assert_eq(lw_model_parameter(g.model, k, &p), LW_OK);
        snprintf(name, sizeof name, "d%s", p.name);
        expect_floats(&g, name, dparameters[k], p.count);
        free(dparameters[k]);
    }
    free(dparameters);
    free(dinput);
    free(output);
    lw_state_destroy(state);
    lw_state_destroy(dfinal);
    lw_state_destroy(dinitial);
    lw_tape_destroy(tape);
    golden_close(&g);
}

static void each_file(lw_isa isa, void (*check)(const char *path, lw_isa isa))
{
    const char *root = getenv("LW_SOURCE_ROOT");
    char folder[2048], path[2400];
    snprintf(folder, sizeof folder, "%s/tests/golden/gradients", root ? root : ".");
    DIR *d = opendir(folder);
    cr_assert(d, "%s cannot be opened: LW_SOURCE_ROOT must name the source tree", folder);
    size_t count = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        size_t length = strlen(e->d_name);
        if (length < 12 || strcmp(e->d_name + length - 12, ".safetensors"))
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        check(path, isa);
        count++;
    }
    closedir(d);
    cr_assert_geq(count, 20, "only %zu golden files", count);
}

Test(gradient_golden, reference)
{
    each_file(lw_isa_get(), check_reference);
}

ParameterizedTestParameters(gradient_golden, tape)
{
    return every_isa(1);
}

ParameterizedTest(struct parameter *p, gradient_golden, tape)
{
    each_file(p->isa, check_tape);
}
