/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes and runs a claimed node: ONNX Runtime's tensors in, one run of the engine, ONNX Runtime's tensors out. Called
 * by provider.c and, from any number of threads at once, by ONNX Runtime through OrtNodeComputeInfo. Batch and steps
 * are whatever comes. Rows without a step end in zeros, as those of ONNX Runtime's own kernels do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"

/* ---- a run ------------------------------------------------------------------------------------------------------ */

/* The engine sees the vectors (B, H) of one direction; ONNX's are (D, B, H), or (B, D, H) with the batch first. */
static bool scattered(const struct ep_kernel *kernel, const struct ep_call *call)
{
    return kernel->batch_first && kernel->directions == 2 && call->batch > 1;
}

static lw_status set_memory(const struct ep_kernel *kernel, struct ep_worker *worker, const struct ep_call *call,
                            lw_memory memory, const float *values)
{
    size_t hidden = kernel->hidden, directions = kernel->directions, count = call->batch * hidden;
    bool gather = values && scattered(kernel, call);
    float *rows = NULL;
    lw_status status = gather ? ep_worker_floats(worker, count, &rows) : LW_OK;
    for (size_t d = 0; values && d < directions && !status; d++) {
        for (size_t b = 0; gather && b < call->batch; b++)
            memcpy(rows + b * hidden, values + (b * directions + d) * hidden, hidden * sizeof *values);
        status = lw_state_set(worker->state, 0, kernel->direction[d], memory, gather ? rows : values + d * count,
                              count);
    }
    return status;
}

static lw_status get_memory(const struct ep_kernel *kernel, struct ep_worker *worker, const struct ep_call *call,
                            lw_memory memory, float *values)
{
    size_t hidden = kernel->hidden, directions = kernel->directions, count = call->batch * hidden;
    bool scatter = values && scattered(kernel, call);
    const int32_t *lengths = call->inputs[EP_LENGTHS].data;
    float *rows = NULL;
    lw_status status = scatter ? ep_worker_floats(worker, count, &rows) : LW_OK;
    for (size_t d = 0; values && d < directions && !status; d++) {
        float *to = scatter ? rows : values + d * count;
        status = lw_state_get(worker->state, 0, kernel->direction[d], memory, to, count);
        for (size_t b = 0; !status && lengths && b < call->batch; b++)
            if (lengths[b] == 0)
                memset(to + b * hidden, 0, hidden * sizeof *to);
        for (size_t b = 0; !status && scatter && b < call->batch; b++)
            memcpy(values + (b * directions + d) * hidden, rows + b * hidden, hidden * sizeof *values);
    }
    return status;
}

/* The engine's output (T, B, D*H) becomes ONNX's (T, D, B, H). */
static void separate_directions(const struct ep_kernel *kernel, const struct ep_call *call, const float *joined)
{
    size_t hidden = kernel->hidden;
    float *to = call->outputs[EP_Y];
    for (size_t t = 0; t < call->steps; t++)
        for (size_t d = 0; d < 2; d++)
            for (size_t b = 0; b < call->batch; b++, to += hidden)
                memcpy(to, joined + ((t * call->batch + b) * 2 + d) * hidden, hidden * sizeof *to);
}

/* Where the engine writes its sequence: ONNX's own tensor, unless the directions lie otherwise there. */
static lw_status run_sequence(const struct ep_kernel *kernel, struct ep_worker *worker, const struct ep_call *call)
{
    const struct ep_tensor *lengths = &call->inputs[EP_LENGTHS];
    size_t width = kernel->directions * kernel->hidden;
    float *joined = call->outputs[EP_Y];
    bool separate = joined && !kernel->batch_first && kernel->directions == 2 && call->batch > 1;
    lw_status status = LW_OK;
    if (separate)
        status = ep_worker_floats(worker, call->steps * call->batch * width, &joined);
    if (!status && lengths->data)
        status = ep_worker_lengths(worker, call->batch);
    if (status)
        return status;
    lw_io io = LW_IO_INIT;
    io.steps = call->steps;
    io.batch = call->batch;
    io.input = call->inputs[EP_X].data;
    io.output = joined;
    if (kernel->batch_first) {
        io.input_step_stride = kernel->input;
        io.input_row_stride = call->steps * kernel->input;
        io.output_step_stride = width;
        io.output_row_stride = call->steps * width;
    }
    for (size_t b = 0; lengths->data && b < call->batch; b++)
        worker->lengths[b] = (size_t)((const int32_t *)lengths->data)[b];
    io.lengths = lengths->data ? worker->lengths : NULL;
    status = lw_run(worker->context, worker->state, &io);
    if (!status && separate)
        separate_directions(kernel, call, joined);
    return status;
}

static lw_status run_worker(const struct ep_kernel *kernel, struct ep_worker *worker, const struct ep_call *call)
{
    lw_status status = ep_worker_state(kernel, worker, call->batch);
    if (!status)
        status = set_memory(kernel, worker, call, LW_HIDDEN, call->inputs[EP_INITIAL_H].data);
    if (!status)
        status = set_memory(kernel, worker, call, LW_CELL, call->inputs[EP_INITIAL_C].data);
    if (!status)
        status = run_sequence(kernel, worker, call);
    if (!status)
        status = get_memory(kernel, worker, call, LW_HIDDEN, call->outputs[EP_Y_H]);
    if (!status)
        status = get_memory(kernel, worker, call, LW_CELL, call->outputs[EP_Y_C]);
    return status;
}

/* Nothing to walk over: the vectors, if there are rows at all, are zeros. */
static void run_empty(const struct ep_kernel *kernel, const struct ep_call *call)
{
    size_t bytes = kernel->directions * call->batch * kernel->hidden * sizeof(float);
    for (size_t output = EP_Y_H; output <= EP_Y_C; output++)
        if (call->outputs[output] && bytes)
            memset(call->outputs[output], 0, bytes);
}

static OrtStatus *ORT_API_CALL compute(OrtNodeComputeInfo *info, void *state, OrtKernelContext *context)
{
    struct ep_kernel *kernel = (struct ep_kernel *)info;
    struct ep_call call = {0};
    (void)state;
    EP_TRY(ep_call_open_inputs(kernel, context, &call));
    EP_TRY(ep_call_open_outputs(kernel, context, &call));
    if (call.steps == 0 || call.batch == 0) {
        run_empty(kernel, &call);
        return NULL;
    }
    struct ep_worker *worker;
    lw_status status = ep_worker_take(kernel, &worker);
    if (!status)
        status = run_worker(kernel, worker, &call);
    OrtStatus *failure = ep_check(kernel->api, status); /* before another call can change the sentence */
    ep_worker_give(kernel, worker);
    return failure;
}

/* A kernel is its own state: what a call changes is a worker's. */
static OrtStatus *ORT_API_CALL create_state(OrtNodeComputeInfo *info, OrtNodeComputeContext *context, void **state)
{
    (void)context;
    *state = info;
    return NULL;
}

static void ORT_API_CALL release_state(OrtNodeComputeInfo *info, void *state)
{
    (void)info;
    (void)state;
}

/* ---- making one ------------------------------------------------------------------------------------------------- */

typedef OrtStatus *(ORT_API_CALL *count_values)(const OrtNode *node, size_t *count);
typedef OrtStatus *(ORT_API_CALL *list_values)(const OrtNode *node, const OrtValueInfo **values, size_t count);

/* The place of each value among those of the fused node, told by name; -1 where there is none. */
static OrtStatus *find_places(const struct ep_api *api, const OrtNode *fused, count_values count_of, list_values list,
                              const OrtValueInfo *const *values, size_t count, int *places)
{
    const OrtValueInfo *theirs[EP_INPUTS];
    size_t found;
    EP_TRY(count_of(fused, &found));
    if (found > EP_INPUTS)
        return ep_fail(api, ORT_FAIL, "a fused node has %zu inputs or outputs, expected at most %d", found, EP_INPUTS);
    EP_TRY(list(fused, theirs, found));
    for (size_t i = 0; i < count; i++) {
        const char *name, *other;
        places[i] = -1;
        if (!values[i])
            continue;
        EP_TRY(api->ort->GetValueInfoName(values[i], &name));
        for (size_t j = 0; j < found && places[i] < 0; j++) {
            EP_TRY(api->ort->GetValueInfoName(theirs[j], &other));
            if (strcmp(name, other) == 0)
                places[i] = (int)j;
        }
    }
    return NULL;
}

static OrtStatus *copy_constant(struct ep_kernel *kernel, const OrtValueInfo *info, size_t input)
{
    const struct ep_api *api = kernel->api;
    const OrtValue *value = NULL;
    struct ep_tensor tensor = {0};
    size_t bytes = 0;
    EP_TRY(api->ort->ValueInfo_GetInitializerValue(info, &value));
    if (!value)
        return ep_fail(api, ORT_FAIL, "%s: %s is neither an input of the fused node nor a constant", kernel->label,
                       ep_input_name(input));
    EP_TRY(ep_tensor_read(api, value, input, kernel->label, &tensor));
    EP_TRY(api->ort->GetTensorSizeInBytes(value, &bytes));
    void *data = malloc(bytes ? bytes : 1);
    if (!data)
        return ep_fail_memory(api, bytes);
    memcpy(data, tensor.data, bytes);
    tensor.data = data;
    kernel->constants[input] = tensor;
    return NULL;
}

static OrtStatus *connect(struct ep_kernel *kernel, const struct ep_node *node, const OrtNode *fused)
{
    static const size_t moving[] = {EP_LENGTHS, EP_INITIAL_H, EP_INITIAL_C};
    const OrtApi *ort = kernel->api->ort;
    EP_TRY(find_places(kernel->api, fused, ort->Node_GetNumInputs, ort->Node_GetInputs, node->inputs, EP_INPUTS,
                       kernel->inputs));
    EP_TRY(find_places(kernel->api, fused, ort->Node_GetNumOutputs, ort->Node_GetOutputs, node->outputs, EP_OUTPUTS,
                       kernel->outputs));
    for (size_t i = 0; i < sizeof moving / sizeof moving[0]; i++)
        if (node->inputs[moving[i]] && kernel->inputs[moving[i]] < 0)
            EP_TRY(copy_constant(kernel, node->inputs[moving[i]], moving[i]));
    if (kernel->inputs[EP_X] < 0)
        EP_TRY(copy_constant(kernel, node->inputs[EP_X], EP_X));
    return NULL;
}

static OrtStatus *fill(struct ep_kernel *kernel, const OrtLogger *logger, const struct ep_options *options,
                       const struct ep_node *node, const OrtNode *fused)
{
    struct ep_weights weights;
    struct ep_worker *first;
    bool shared;
    EP_TRY(connect(kernel, node, fused));
    EP_TRY(ep_weights_read(kernel->api, node, &weights));
    EP_TRY(ep_check(kernel->api, ep_model_take(node, &weights, options->isa, &kernel->model, &shared)));
    /* What cannot be had for one call is better known now than at the first one. */
    EP_TRY(ep_check(kernel->api, ep_worker_take(kernel, &first)));
    ep_worker_give(kernel, first);
    ep_log(kernel->api, logger, ORT_LOGGING_LEVEL_INFO, "%s: %zu in, %zu units, %zu bytes of weights for %s, %s",
           kernel->label, kernel->input, kernel->hidden, lw_model_bytes(kernel->model),
           lw_isa_name(lw_model_isa(kernel->model)), shared ? "shared with another node" : "packed");
    return NULL;
}

OrtStatus *ep_kernel_create(const struct ep_api *api, const OrtLogger *logger, const struct ep_options *options,
                            const struct ep_node *node, const OrtNode *fused, OrtNodeComputeInfo **info)
{
    struct ep_kernel *kernel = calloc(1, sizeof *kernel);
    if (!kernel)
        return ep_fail_memory(api, sizeof *kernel);
    kernel->info.ort_version_supported = EP_API_VERSION;
    kernel->info.CreateState = create_state;
    kernel->info.Compute = compute;
    kernel->info.ReleaseState = release_state;
    kernel->api = api;
    kernel->threads = options->threads;
    kernel->input = node->brick.input;
    kernel->hidden = node->brick.hidden;
    kernel->directions = node->directions;
    kernel->direction[0] = node->brick.direction == LW_REVERSE ? LW_REVERSE : LW_FORWARD;
    kernel->direction[1] = LW_REVERSE;
    kernel->batch_first = node->batch_first;
    memcpy(kernel->label, node->label, sizeof kernel->label);
    OrtStatus *failure = fill(kernel, logger, options, node, fused);
    if (failure) {
        ep_kernel_release(&kernel->info);
        return failure;
    }
    *info = &kernel->info;
    return NULL;
}

void ep_kernel_release(OrtNodeComputeInfo *info)
{
    struct ep_kernel *kernel = (struct ep_kernel *)info;
    if (!kernel)
        return;
    ep_workers_destroy(kernel);
    ep_model_give(kernel->model);
    for (size_t i = 0; i < EP_INPUTS; i++)
        free((void *)kernel->constants[i].data);
    free(kernel);
}
