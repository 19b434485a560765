/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes and runs a claimed stack: ONNX Runtime's tensors in, one run of the engine, ONNX Runtime's tensors out. Called
 * by provider.c and, from any number of threads at once, by ONNX Runtime through OrtNodeComputeInfo. Batch and steps
 * are whatever comes. Rows without a step end in zeros, as those of ONNX Runtime's own kernels do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"

/* ---- a run ------------------------------------------------------------------------------------------------------ */

/* The engine sees the vectors (B, H) of one direction; ONNX's are (D, B, H), or (B, D, H) with the batch first. */
static bool scattered(const struct ep_kernel *kernel, const struct ep_layer *layer, const struct ep_call *call)
{
    return kernel->batch_first && layer->directions == 2 && call->batch > 1;
}

static lw_status set_memory(const struct ep_kernel *kernel, struct ep_worker *worker, const struct ep_call *call,
                            size_t index, lw_memory memory)
{
    const struct ep_layer *layer = &kernel->layer[index];
    const float *values = call->layer[index].initial[memory == LW_CELL];
    size_t hidden = layer->hidden, directions = layer->directions, count = call->batch * hidden;
    bool gather = values && scattered(kernel, layer, call);
    float *rows = NULL;
    lw_status status = gather ? ep_worker_floats(worker, count, &rows) : LW_OK;
    for (size_t d = 0; values && d < directions && !status; d++) {
        for (size_t b = 0; gather && b < call->batch; b++)
            memcpy(rows + b * hidden, values + (b * directions + d) * hidden, hidden * sizeof *values);
        status = lw_state_set(worker->state, index, layer->direction[d], memory, gather ? rows : values + d * count,
                              count);
    }
    return status;
}

static lw_status get_memory(const struct ep_kernel *kernel, struct ep_worker *worker, const struct ep_call *call,
                            size_t index, lw_memory memory)
{
    const struct ep_layer *layer = &kernel->layer[index];
    float *values = call->layer[index].final[memory == LW_CELL];
    size_t hidden = layer->hidden, directions = layer->directions, count = call->batch * hidden;
    bool scatter = values && scattered(kernel, layer, call);
    float *rows = NULL;
    lw_status status = scatter ? ep_worker_floats(worker, count, &rows) : LW_OK;
    for (size_t d = 0; values && d < directions && !status; d++) {
        float *to = scatter ? rows : values + d * count;
        status = lw_state_get(worker->state, index, layer->direction[d], memory, to, count);
        for (size_t b = 0; !status && call->lengths && b < call->batch; b++)
            if (call->lengths[b] == 0)
                memset(to + b * hidden, 0, hidden * sizeof *to);
        for (size_t b = 0; !status && scatter && b < call->batch; b++)
            memcpy(values + (b * directions + d) * hidden, rows + b * hidden, hidden * sizeof *values);
    }
    return status;
}

/* The engine's output (T, B, D*H) becomes ONNX's (T, D, B, H). */
static void separate_directions(size_t hidden, const struct ep_call *call, const float *joined)
{
    float *to = call->y;
    for (size_t t = 0; t < call->steps; t++)
        for (size_t d = 0; d < 2; d++)
            for (size_t b = 0; b < call->batch; b++, to += hidden)
                memcpy(to, joined + ((t * call->batch + b) * 2 + d) * hidden, hidden * sizeof *to);
}

/* Where the engine writes its sequence: ONNX's own tensor, unless the directions lie otherwise there. */
static lw_status run_sequence(const struct ep_kernel *kernel, struct ep_worker *worker, const struct ep_call *call)
{
    const struct ep_layer *last = ep_last_layer(kernel);
    size_t width = last->directions * last->hidden;
    float *joined = call->y;
    bool separate = joined && !kernel->batch_first && last->directions == 2 && call->batch > 1;
    lw_status status = LW_OK;
    if (separate)
        status = ep_worker_floats(worker, call->steps * call->batch * width, &joined);
    if (!status && call->lengths)
        status = ep_worker_lengths(worker, call->batch);
    if (status)
        return status;
    lw_io io = LW_IO_INIT;
    io.steps = call->steps;
    io.batch = call->batch;
    io.input = call->x;
    io.output = joined;
    if (kernel->batch_first) {
        io.input_step_stride = kernel->input;
        io.input_row_stride = call->steps * kernel->input;
        io.output_step_stride = width;
        io.output_row_stride = call->steps * width;
    }
    for (size_t b = 0; call->lengths && b < call->batch; b++)
        worker->lengths[b] = (size_t)call->lengths[b];
    io.lengths = call->lengths ? worker->lengths : NULL;
    status = lw_run(worker->context, worker->state, &io);
    if (!status && separate)
        separate_directions(last->hidden, call, joined);
    return status;
}

static lw_status run_worker(const struct ep_kernel *kernel, struct ep_worker *worker, const struct ep_call *call)
{
    lw_status status = ep_worker_state(kernel, worker, call->batch);
    for (size_t i = 0; i < kernel->layers && !status; i++) {
        status = set_memory(kernel, worker, call, i, LW_HIDDEN);
        if (!status)
            status = set_memory(kernel, worker, call, i, LW_CELL);
    }
    if (!status)
        status = run_sequence(kernel, worker, call);
    for (size_t i = 0; i < kernel->layers && !status; i++) {
        status = get_memory(kernel, worker, call, i, LW_HIDDEN);
        if (!status)
            status = get_memory(kernel, worker, call, i, LW_CELL);
    }
    return status;
}

/* Nothing to walk over: the vectors, if there are rows at all, are zeros. */
static void run_empty(const struct ep_kernel *kernel, const struct ep_call *call)
{
    for (size_t i = 0; i < kernel->layers; i++) {
        size_t bytes = kernel->layer[i].directions * call->batch * kernel->layer[i].hidden * sizeof(float);
        for (size_t memory = 0; memory < 2; memory++)
            if (call->layer[i].final[memory] && bytes)
                memset(call->layer[i].final[memory], 0, bytes);
    }
}

static OrtStatus *ORT_API_CALL compute(OrtNodeComputeInfo *info, void *state, OrtKernelContext *context)
{
    struct ep_kernel *kernel = (struct ep_kernel *)info;
    struct ep_call call;
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

/* The places of a layer's values among those of the fused node, told by name; -1 where there is none. */
static OrtStatus *find_places(const struct ep_api *api, const OrtNode *fused, count_values count_of, list_values list,
                              const OrtValueInfo *const *values, size_t count, int *places)
{
    const OrtValueInfo *theirs[EP_LAYERS_MAX * EP_INPUTS];
    size_t found, most = sizeof theirs / sizeof theirs[0];
    EP_TRY(count_of(fused, &found));
    if (found > most)
        return ep_fail(api, ORT_FAIL, "a fused node has %zu inputs or outputs, expected at most %zu", found, most);
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

static OrtStatus *copy_constant(const struct ep_api *api, struct ep_layer *layer, const OrtValueInfo *info,
                                size_t input)
{
    const OrtValue *value = NULL;
    struct ep_tensor tensor = {0};
    size_t bytes = 0;
    EP_TRY(api->ort->ValueInfo_GetInitializerValue(info, &value));
    if (!value)
        return ep_fail(api, ORT_FAIL, "%s: %s is neither an input of the fused node nor a constant", layer->label,
                       ep_input_name(input));
    EP_TRY(ep_tensor_read(api, value, input, layer->label, &tensor));
    EP_TRY(api->ort->GetTensorSizeInBytes(value, &bytes));
    void *data = malloc(bytes ? bytes : 1);
    if (!data)
        return ep_fail_memory(api, bytes);
    memcpy(data, tensor.data, bytes);
    tensor.data = data;
    layer->constants[input] = tensor;
    return NULL;
}

static OrtStatus *connect(struct ep_kernel *kernel, size_t index, const struct ep_node *node, const OrtNode *fused)
{
    static const size_t moving[] = {EP_LENGTHS, EP_INITIAL_H, EP_INITIAL_C, EP_X};
    const struct ep_api *api = kernel->api;
    const OrtApi *ort = api->ort;
    struct ep_layer *layer = &kernel->layer[index];
    EP_TRY(
        find_places(api, fused, ort->Node_GetNumInputs, ort->Node_GetInputs, node->inputs, EP_INPUTS, layer->inputs));
    EP_TRY(find_places(api, fused, ort->Node_GetNumOutputs, ort->Node_GetOutputs, node->outputs, EP_OUTPUTS,
                       layer->outputs));
    for (size_t i = 0; i < sizeof moving / sizeof moving[0]; i++) {
        bool inner = index > 0 && moving[i] == EP_X; /* the sequence of the layer before */
        if (!inner && node->inputs[moving[i]] && layer->inputs[moving[i]] < 0)
            EP_TRY(copy_constant(api, layer, node->inputs[moving[i]], moving[i]));
    }
    return NULL;
}

static OrtStatus *fill(struct ep_kernel *kernel, const OrtLogger *logger, const struct ep_options *options,
                       const struct ep_stack *stack, const OrtNode *fused)
{
    struct ep_weights weights[EP_LAYERS_MAX];
    struct ep_worker *worker;
    char others[40] = "";
    bool shared;
    for (size_t i = 0; i < stack->layers; i++) {
        EP_TRY(connect(kernel, i, &stack->layer[i], fused));
        EP_TRY(ep_weights_read(kernel->api, &stack->layer[i], &weights[i]));
    }
    EP_TRY(ep_check(kernel->api, ep_model_take(stack, weights, options->isa, &kernel->model, &shared)));
    /* What cannot be had for one call is better known now than at the first one. */
    EP_TRY(ep_check(kernel->api, ep_worker_take(kernel, &worker)));
    ep_worker_give(kernel, worker);
    if (kernel->layers > 1)
        snprintf(others, sizeof others, " and the %zu behind it", kernel->layers - 1);
    ep_log(kernel->api, logger, ORT_LOGGING_LEVEL_INFO, "%s%s: %zu in, %zu units, %zu bytes of weights for %s, %s",
           ep_first_layer(kernel)->label, others, kernel->input, ep_last_layer(kernel)->hidden,
           lw_model_bytes(kernel->model), lw_isa_name(lw_model_isa(kernel->model)),
           shared ? "shared with another node" : "packed");
    return NULL;
}

OrtStatus *ep_kernel_create(const struct ep_api *api, const OrtLogger *logger, const struct ep_options *options,
                            const struct ep_stack *stack, const OrtNode *fused, OrtNodeComputeInfo **info)
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
    kernel->input = stack->layer[0].brick.input;
    kernel->batch_first = stack->layer[0].batch_first;
    kernel->layers = stack->layers;
    for (size_t i = 0; i < stack->layers; i++) {
        const struct ep_node *node = &stack->layer[i];
        struct ep_layer *layer = &kernel->layer[i];
        layer->hidden = node->brick.hidden;
        layer->directions = node->directions;
        layer->direction[0] = node->brick.direction == LW_REVERSE ? LW_REVERSE : LW_FORWARD;
        layer->direction[1] = LW_REVERSE;
        memcpy(layer->label, node->label, sizeof layer->label);
    }
    OrtStatus *failure = fill(kernel, logger, options, stack, fused);
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
    for (size_t i = 0; i < kernel->layers; i++)
        for (size_t input = 0; input < EP_INPUTS; input++)
            free((void *)kernel->layer[i].constants[input].data);
    free(kernel);
}
