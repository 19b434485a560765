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

static OrtStatus *read_input(const struct ep_kernel *kernel, const OrtKernelContext *context, size_t input,
                             struct ep_tensor *tensor)
{
    const OrtValue *value = NULL;
    if (kernel->constants[input].data) {
        *tensor = kernel->constants[input];
        return NULL;
    }
    if (kernel->inputs[input] < 0)
        return NULL;
    EP_TRY(kernel->api->ort->KernelContext_GetInput(context, (size_t)kernel->inputs[input], &value));
    if (!value)
        return NULL;
    return ep_tensor_read(kernel->api, value, input, kernel->label, tensor);
}

static void write_shape(char *text, size_t bytes, const int64_t *shape, size_t rank)
{
    size_t used = (size_t)snprintf(text, bytes, "(");
    for (size_t i = 0; i < rank && i < EP_RANK_MAX && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%lld", i ? ", " : "", (long long)shape[i]);
    if (used < bytes)
        snprintf(text + used, bytes - used, rank > EP_RANK_MAX ? ", ...)" : ")");
}

static OrtStatus *check_shape(const struct ep_kernel *kernel, size_t input, const struct ep_tensor *tensor,
                              const int64_t *want, size_t rank)
{
    char came[96], expected[96];
    if (!tensor->data || (tensor->rank == rank && memcmp(tensor->shape, want, rank * sizeof *want) == 0))
        return NULL;
    write_shape(came, sizeof came, tensor->shape, tensor->rank);
    write_shape(expected, sizeof expected, want, rank);
    return ep_fail(kernel->api, ORT_INVALID_ARGUMENT, "%s: %s is %s, expected %s", kernel->label, ep_input_name(input),
                   came, expected);
}

OrtStatus *ep_call_open_inputs(const struct ep_kernel *kernel, const OrtKernelContext *context, struct ep_call *call)
{
    static const size_t moving[] = {EP_X, EP_LENGTHS, EP_INITIAL_H, EP_INITIAL_C};
    for (size_t i = 0; i < sizeof moving / sizeof moving[0]; i++)
        EP_TRY(read_input(kernel, context, moving[i], &call->inputs[moving[i]]));
    const struct ep_tensor *x = &call->inputs[EP_X];
    int64_t directions = (int64_t)kernel->directions, hidden = (int64_t)kernel->hidden;
    if (!x->data)
        return ep_fail(kernel->api, ORT_INVALID_ARGUMENT, "%s: X is missing", kernel->label);
    if (x->rank != 3 || x->shape[2] != (int64_t)kernel->input) {
        char came[96];
        write_shape(came, sizeof came, x->shape, x->rank);
        return ep_fail(kernel->api, ORT_INVALID_ARGUMENT, "%s: X is %s, expected (%s, %zu)", kernel->label, came,
                       kernel->batch_first ? "batch, steps" : "steps, batch", kernel->input);
    }
    int64_t steps = x->shape[kernel->batch_first], batch = x->shape[!kernel->batch_first];
    call->steps = (size_t)steps;
    call->batch = (size_t)batch;
    EP_TRY(check_shape(kernel, EP_LENGTHS, &call->inputs[EP_LENGTHS], &batch, 1));
    int64_t vectors[3] = {directions, batch, hidden};
    if (kernel->batch_first) {
        vectors[0] = batch;
        vectors[1] = directions;
    }
    EP_TRY(check_shape(kernel, EP_INITIAL_H, &call->inputs[EP_INITIAL_H], vectors, 3));
    EP_TRY(check_shape(kernel, EP_INITIAL_C, &call->inputs[EP_INITIAL_C], vectors, 3));
    const int32_t *lengths = call->inputs[EP_LENGTHS].data;
    for (int64_t b = 0; lengths && b < batch; b++)
        if (lengths[b] < 0 || lengths[b] > steps)
            return ep_fail(kernel->api, ORT_INVALID_ARGUMENT, "%s: sequence_lens[%lld] is %d, expected 0 to %lld",
                           kernel->label, (long long)b, lengths[b], (long long)steps);
    return NULL;
}

static OrtStatus *open_output(const struct ep_kernel *kernel, OrtKernelContext *context, size_t output,
                              const int64_t *shape, size_t rank, float **data)
{
    const OrtApi *ort = kernel->api->ort;
    OrtValue *value = NULL;
    void *raw = NULL;
    *data = NULL;
    if (kernel->outputs[output] < 0)
        return NULL;
    EP_TRY(ort->KernelContext_GetOutput(context, (size_t)kernel->outputs[output], shape, rank, &value));
    if (!value)
        return NULL;
    EP_TRY(ort->GetTensorMutableData(value, &raw));
    *data = raw;
    return NULL;
}

OrtStatus *ep_call_open_outputs(const struct ep_kernel *kernel, OrtKernelContext *context, struct ep_call *call)
{
    int64_t steps = (int64_t)call->steps, batch = (int64_t)call->batch, hidden = (int64_t)kernel->hidden,
            directions = (int64_t)kernel->directions;
    int64_t sequence[2][4] = {{steps, directions, batch, hidden}, {batch, steps, directions, hidden}};
    int64_t vectors[2][3] = {{directions, batch, hidden}, {batch, directions, hidden}};
    bool first = kernel->batch_first;
    EP_TRY(open_output(kernel, context, EP_Y, sequence[first], 4, &call->outputs[EP_Y]));
    EP_TRY(open_output(kernel, context, EP_Y_H, vectors[first], 3, &call->outputs[EP_Y_H]));
    return open_output(kernel, context, EP_Y_C, vectors[first], 3, &call->outputs[EP_Y_C]);
}
