/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ONNX Runtime's tensors of one call: types and shapes are checked here, against the node and against each other, so
 * that what reaches the engine fits. Called by kernel.c. Nothing is copied; the data live as long as the call.
 */
#include <stdio.h>
#include <string.h>

#include "kernel.h"

OrtStatus *ep_tensor_read(const struct ep_api *api, const OrtValue *value, size_t input, const char *label,
                          struct ep_tensor *tensor)
{
    ONNXTensorElementDataType want = input == EP_LENGTHS ? ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32
                                                         : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    OrtTensorTypeAndShapeInfo *info;
    ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    EP_TRY(api->ort->GetTensorTypeAndShape(value, &info));
    OrtStatus *failure = api->ort->GetTensorElementType(info, &type);
    if (!failure)
        failure = api->ort->GetDimensionsCount(info, &tensor->rank);
    if (!failure && tensor->rank <= EP_RANK_MAX)
        failure = api->ort->GetDimensions(info, tensor->shape, tensor->rank);
    api->ort->ReleaseTensorTypeAndShapeInfo(info);
    if (failure)
        return failure;
    if (type != want)
        return ep_fail(api, ORT_INVALID_ARGUMENT, "%s: %s has ONNX's element type %d, expected %d", label,
                       ep_input_name(input), (int)type, (int)want);
    EP_TRY(api->ort->GetTensorData(value, &tensor->data));
    if (!tensor->data)
        tensor->data = ""; /* nothing is read from an empty tensor, but it is there */
    return NULL;
}

static void write_shape(char *text, size_t bytes, const int64_t *shape, size_t rank)
{
    size_t used = (size_t)snprintf(text, bytes, "(");
    for (size_t i = 0; i < rank && i < EP_RANK_MAX && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%lld", i ? ", " : "", (long long)shape[i]);
    if (used < bytes)
        snprintf(text + used, bytes - used, rank > EP_RANK_MAX ? ", ...)" : ")");
}

/* An input that the node leaves out stays absent: tensor->data is NULL. */
static OrtStatus *read_input(const struct ep_kernel *kernel, const struct ep_layer *layer,
                             const OrtKernelContext *context, size_t input, struct ep_tensor *tensor)
{
    const OrtValue *value = NULL;
    tensor->data = NULL;
    if (layer->constants[input].data) {
        *tensor = layer->constants[input];
        return NULL;
    }
    if (layer->inputs[input] < 0)
        return NULL;
    EP_TRY(kernel->api->ort->KernelContext_GetInput(context, (size_t)layer->inputs[input], &value));
    return value ? ep_tensor_read(kernel->api, value, input, layer->label, tensor) : NULL;
}

/* Reads an input that has to have one shape. */
static OrtStatus *read_shaped(const struct ep_kernel *kernel, const struct ep_layer *layer,
                              const OrtKernelContext *context, size_t input, const int64_t *want, size_t rank,
                              const void **data)
{
    char came[96], expected[96];
    struct ep_tensor tensor;
    EP_TRY(read_input(kernel, layer, context, input, &tensor));
    *data = tensor.data;
    if (!tensor.data || (tensor.rank == rank && memcmp(tensor.shape, want, rank * sizeof *want) == 0))
        return NULL;
    write_shape(came, sizeof came, tensor.shape, tensor.rank);
    write_shape(expected, sizeof expected, want, rank);
    return ep_fail(kernel->api, ORT_INVALID_ARGUMENT, "%s: %s is %s, expected %s", layer->label, ep_input_name(input),
                   came, expected);
}

/* The shape of a layer's h or c. */
static void vector_shape(const struct ep_kernel *kernel, const struct ep_layer *layer, size_t batch, int64_t shape[3])
{
    shape[kernel->batch_first] = (int64_t)layer->directions;
    shape[!kernel->batch_first] = (int64_t)batch;
    shape[2] = (int64_t)layer->hidden;
}

static OrtStatus *read_sequence(const struct ep_kernel *kernel, const OrtKernelContext *context, struct ep_call *call)
{
    const struct ep_layer *first = ep_first_layer(kernel);
    struct ep_tensor x;
    EP_TRY(read_input(kernel, first, context, EP_X, &x));
    if (!x.data)
        return ep_fail(kernel->api, ORT_INVALID_ARGUMENT, "%s: X is missing", first->label);
    if (x.rank != 3 || x.shape[2] != (int64_t)kernel->input) {
        char came[96];
        write_shape(came, sizeof came, x.shape, x.rank);
        return ep_fail(kernel->api, ORT_INVALID_ARGUMENT, "%s: X is %s, expected (%s, %zu)", first->label, came,
                       kernel->batch_first ? "batch, steps" : "steps, batch", kernel->input);
    }
    call->x = x.data;
    call->steps = (size_t)x.shape[kernel->batch_first];
    call->batch = (size_t)x.shape[!kernel->batch_first];
    return NULL;
}

static OrtStatus *read_lengths(const struct ep_kernel *kernel, const OrtKernelContext *context, struct ep_call *call)
{
    const struct ep_layer *first = ep_first_layer(kernel);
    const void *data;
    int64_t batch = (int64_t)call->batch, steps = (int64_t)call->steps;
    EP_TRY(read_shaped(kernel, first, context, EP_LENGTHS, &batch, 1, &data));
    call->lengths = data;
    for (size_t b = 0; data && b < call->batch; b++)
        if (call->lengths[b] < 0 || call->lengths[b] > steps)
            return ep_fail(kernel->api, ORT_INVALID_ARGUMENT, "%s: sequence_lens[%zu] is %d, expected 0 to %lld",
                           first->label, b, call->lengths[b], (long long)steps);
    return NULL;
}

OrtStatus *ep_call_open_inputs(const struct ep_kernel *kernel, const OrtKernelContext *context, struct ep_call *call)
{
    EP_TRY(read_sequence(kernel, context, call));
    EP_TRY(read_lengths(kernel, context, call));
    for (size_t i = 0; i < kernel->layers; i++) {
        int64_t shape[3];
        vector_shape(kernel, &kernel->layer[i], call->batch, shape);
        for (size_t memory = 0; memory < 2; memory++) {
            const void *data;
            EP_TRY(read_shaped(kernel, &kernel->layer[i], context, EP_INITIAL_H + memory, shape, 3, &data));
            call->layer[i].initial[memory] = data;
        }
    }
    return NULL;
}

static OrtStatus *open_output(const struct ep_kernel *kernel, OrtKernelContext *context, int place,
                              const int64_t *shape, size_t rank, float **data)
{
    const OrtApi *ort = kernel->api->ort;
    OrtValue *value = NULL;
    void *raw = NULL;
    *data = NULL;
    if (place < 0)
        return NULL;
    EP_TRY(ort->KernelContext_GetOutput(context, (size_t)place, shape, rank, &value));
    if (!value)
        return NULL;
    EP_TRY(ort->GetTensorMutableData(value, &raw));
    *data = raw;
    return NULL;
}

OrtStatus *ep_call_open_outputs(const struct ep_kernel *kernel, OrtKernelContext *context, struct ep_call *call)
{
    const struct ep_layer *last = ep_last_layer(kernel);
    int64_t steps = (int64_t)call->steps, batch = (int64_t)call->batch, hidden = (int64_t)last->hidden,
            directions = (int64_t)last->directions;
    int64_t sequence[2][4] = {{steps, directions, batch, hidden}, {batch, steps, directions, hidden}};
    EP_TRY(open_output(kernel, context, last->outputs[EP_Y], sequence[kernel->batch_first], 4, &call->y));
    for (size_t i = 0; i < kernel->layers; i++) {
        int64_t shape[3];
        vector_shape(kernel, &kernel->layer[i], call->batch, shape);
        for (size_t memory = 0; memory < 2; memory++)
            EP_TRY(open_output(kernel, context, kernel->layer[i].outputs[EP_Y_H + memory], shape, 3,
                               &call->layer[i].final[memory]));
    }
    return NULL;
}
