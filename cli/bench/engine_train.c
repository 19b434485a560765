/* SPDX-License-Identifier: Apache-2.0 */
/* Training for the driver protocol; see engine.h. All tensors lie one behind the other, as the output wants them. */
#include "engine.h"

#include "../report.h"

#include <stdlib.h>
#include <string.h>

/* What PROTOCOL.md fixes: a rate that drifts little within a turn, and an epsilon above the noise of a gradient, so
 * that its sign need not be known. */
#define RATE 1e-4
#define EPSILON 1e-4

struct training {
    lw_model *model;
    lw_tape *tape;
    lw_optimiser *optimiser; /* NULL: gradients alone */
    lw_io io;
    float *output, *doutput;
    size_t tensors, total;
    size_t *counts;
    float *all_parameters, *all_gradients; /* (total) */
    float **parameters, **gradients;       /* (tensors) of pointers into them */
    void *fresh;                           /* the state of an optimiser that has seen nothing */
    size_t fresh_bytes;
};

void training_close(struct training *t)
{
    if (!t)
        return;
    lw_tape_destroy(t->tape);
    lw_optimiser_destroy(t->optimiser);
    free(t->output);
    free(t->doutput);
    free(t->counts);
    free(t->all_parameters);
    free(t->all_gradients);
    free(t->parameters);
    free(t->gradients);
    free(t->fresh);
    free(t);
}

static int allocate_tensors(struct training *t)
{
    t->tensors = lw_model_parameter_count(t->model);
    t->counts = calloc(t->tensors, sizeof *t->counts);
    t->parameters = calloc(t->tensors, sizeof *t->parameters);
    t->gradients = calloc(t->tensors, sizeof *t->gradients);
    for (size_t i = 0; t->counts && i < t->tensors; i++) {
        lw_parameter parameter = {.size = sizeof parameter};
        if (lw_model_parameter(t->model, i, &parameter))
            return 0;
        t->counts[i] = parameter.count;
        t->total += parameter.count;
    }
    t->all_parameters = allocate(t->total, sizeof(float));
    t->all_gradients = allocate(t->total, sizeof(float));
    if (!t->counts || !t->parameters || !t->gradients || !t->all_parameters || !t->all_gradients)
        return 0;
    for (size_t i = 0, at = 0; i < t->tensors; at += t->counts[i++]) {
        t->parameters[i] = t->all_parameters + at;
        t->gradients[i] = t->all_gradients + at;
    }
    return 1;
}

static lw_status open_optimiser(struct training *t)
{
    lw_optimiser_options options = LW_OPTIMISER_OPTIONS_INIT(LW_ADAM);
    options.epsilon = EPSILON;
    lw_status status = lw_optimiser_create(&options, t->counts, t->tensors, &t->optimiser);
    if (status)
        return status;
    t->fresh_bytes = lw_optimiser_bytes(t->optimiser);
    t->fresh = allocate(t->fresh_bytes, 1);
    return t->fresh ? lw_optimiser_save(t->optimiser, t->fresh, t->fresh_bytes) : LW_ERR_MEMORY;
}

enum engine_status training_open(const struct workload *w, lw_model *model, const float *input, const size_t *lengths,
                                 struct training **training, char *reason)
{
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    const size_t outputs = w->steps * w->batch * lw_model_output_size(model);
    struct training *t = *training = calloc(1, sizeof *t);
    if (!t) {
        snprintf(reason, REASON_BYTES, "no memory");
        return ENGINE_FAILED;
    }
    t->model = model;
    t->output = allocate(outputs, sizeof(float));
    t->doutput = workload_draw(w, "output_gradient", outputs, w->steps * w->batch);
    if (!t->output || !t->doutput || !allocate_tensors(t)) {
        snprintf(reason, REASON_BYTES, "no memory for parameters and gradients");
        return ENGINE_FAILED;
    }
    t->io = (lw_io)LW_IO_INIT;
    t->io.steps = w->steps;
    t->io.batch = w->batch;
    t->io.input = input;
    t->io.output = t->output;
    t->io.lengths = lengths;
    options.threads = w->threads;
    lw_status status = lw_tape_create(model, &options, &t->tape);
    if (!status && w->train == TRAIN_UPDATE)
        status = open_optimiser(t);
    return status ? engine_failed(reason) : training_reset(t, reason);
}

enum engine_status training_call(struct training *t, char *reason)
{
    lw_gradients gradients = LW_GRADIENTS_INIT;
    gradients.output = t->doutput;
    gradients.parameters = t->gradients;
    lw_status status = lw_tape_forward(t->tape, (const float *const *)t->parameters, NULL, &t->io);
    if (!status)
        status = lw_tape_backward(t->tape, &gradients);
    if (!status && t->optimiser)
        status = lw_optimiser_step(t->optimiser, t->parameters, (const float *const *)t->gradients, RATE, NULL);
    return status ? engine_failed(reason) : ENGINE_OK;
}

enum engine_status training_reset(struct training *t, char *reason)
{
    lw_status status = LW_OK;
    for (size_t i = 0; !status && i < t->tensors; i++)
        status = lw_model_parameter_get(t->model, i, t->parameters[i], t->counts[i]);
    if (!status && t->optimiser)
        status = lw_optimiser_restore(t->optimiser, t->fresh, t->fresh_bytes);
    return status ? engine_failed(reason) : ENGINE_OK;
}

const float *training_result(struct training *t)
{
    return t->optimiser ? t->all_parameters : t->all_gradients;
}
