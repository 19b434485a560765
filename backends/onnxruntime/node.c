/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads an LSTM, GRU or RNN node: its attributes, which inputs and outputs it has, and the shapes of its weights.
 * Called by provider.c, for choosing nodes and for compiling them. A node is claimed only when nothing about it is
 * unknown: each thing that the engine cannot do, or that ONNX's CPU kernels would refuse, gives a reason instead.
 */
#include <float.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "provider.h"

#define ATTRIBUTES_MAX 16
#define TEXT_BYTES 256

static const char *const input_names[EP_INPUTS] = {"X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"};

/* What the attributes say, before it is held against the shapes. */
struct attributes {
    int64_t hidden, layout, input_forget, linear_before_reset;
    bool hidden_said;
    float clip;
    char direction[TEXT_BYTES];
    char activations[TEXT_BYTES]; /* each with its terminator */
    size_t activation_bytes;
};

const char *ep_input_name(size_t input)
{
    return input_names[input];
}

EP_FORMAT(2, 3) static void refuse(char reason[EP_REASON_BYTES], const char *format, ...)
{
    if (reason[0]) /* the first reason is the one to mend */
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, EP_REASON_BYTES, format, arguments);
    va_end(arguments);
}

static lw_kind kind_of(const char *op)
{
    return strcmp(op, "LSTM") == 0 ? LW_LSTM : strcmp(op, "GRU") == 0 ? LW_GRU : strcmp(op, "RNN") == 0 ? LW_RNN : 0;
}

OrtStatus *ep_node_is_recurrent(const struct ep_api *api, const OrtNode *node, bool *recurrent)
{
    const char *op, *domain;
    EP_TRY(api->ort->Node_GetOperatorType(node, &op));
    EP_TRY(api->ort->Node_GetDomain(node, &domain));
    *recurrent = kind_of(op) && (domain[0] == '\0' || strcmp(domain, "ai.onnx") == 0);
    return NULL;
}

/* A string, or strings one after the other with their terminators. */
static OrtStatus *read_text(const struct ep_api *api, const OrtOpAttr *attribute, OrtOpAttrType type, const char *name,
                            char text[TEXT_BYTES], size_t *bytes, char *reason)
{
    OrtStatus *failure = api->ort->ReadOpAttr(attribute, type, text, TEXT_BYTES - 1, bytes);
    if (failure && *bytes > TEXT_BYTES - 1) {
        api->ort->ReleaseStatus(failure);
        refuse(reason, "its attribute %s is %zu bytes long", name, *bytes);
        *bytes = 0;
        failure = NULL;
    }
    text[failure ? 0 : *bytes] = '\0';
    return failure;
}

static OrtStatus *read_attribute(const struct ep_api *api, const OrtOpAttr *attribute, lw_kind kind,
                                 struct attributes *out, char *reason)
{
    const struct {
        const char *name;
        OrtOpAttrType type;
        lw_kind only; /* 0: all */
        void *value;
        size_t bytes;
    } known[] = {
        {"hidden_size", ORT_OP_ATTR_INT, 0, &out->hidden, sizeof out->hidden},
        {"layout", ORT_OP_ATTR_INT, 0, &out->layout, sizeof out->layout},
        {"input_forget", ORT_OP_ATTR_INT, LW_LSTM, &out->input_forget, sizeof out->input_forget},
        {"linear_before_reset", ORT_OP_ATTR_INT, LW_GRU, &out->linear_before_reset, sizeof out->linear_before_reset},
        {"clip", ORT_OP_ATTR_FLOAT, 0, &out->clip, sizeof out->clip},
        {"direction", ORT_OP_ATTR_STRING, 0, out->direction, 0},
        {"activations", ORT_OP_ATTR_STRINGS, 0, out->activations, 0},
        /* Of no concern: none of the activations that are taken has such a number. */
        {"activation_alpha", ORT_OP_ATTR_FLOATS, 0, NULL, 0},
        {"activation_beta", ORT_OP_ATTR_FLOATS, 0, NULL, 0},
    };
    const char *name;
    OrtOpAttrType type;
    EP_TRY(api->ort->OpAttr_GetName(attribute, &name));
    EP_TRY(api->ort->OpAttr_GetType(attribute, &type));
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].name, name) != 0 || (known[i].only && known[i].only != kind))
            continue;
        size_t bytes = 0;
        if (!known[i].value)
            return NULL;
        /* ONNX Runtime gives a list without elements no type. */
        if (type != known[i].type) {
            if (type != ORT_OP_ATTR_UNDEFINED)
                refuse(reason, "its attribute %s has another type than ONNX says", name);
            return NULL;
        }
        out->hidden_said |= known[i].value == &out->hidden;
        if (known[i].bytes)
            return api->ort->ReadOpAttr(attribute, type, known[i].value, known[i].bytes, &bytes);
        EP_TRY(read_text(api, attribute, type, name, known[i].value, &bytes, reason));
        if (type == ORT_OP_ATTR_STRINGS)
            out->activation_bytes = bytes;
        return NULL;
    }
    refuse(reason, "its attribute %.60s is unknown", name);
    return NULL;
}

static OrtStatus *read_attributes(const struct ep_api *api, const OrtNode *node, lw_kind kind, struct attributes *out,
                                  char *reason)
{
    size_t count;
    const OrtOpAttr *attributes[ATTRIBUTES_MAX];
    EP_TRY(api->ort->Node_GetNumAttributes(node, &count));
    if (count > ATTRIBUTES_MAX) {
        refuse(reason, "it has %zu attributes", count);
        return NULL;
    }
    EP_TRY(api->ort->Node_GetAttributes(node, attributes, count));
    for (size_t i = 0; i < count; i++)
        EP_TRY(read_attribute(api, attributes[i], kind, out, reason));
    return NULL;
}

/* Compares the list with what the engine computes; the same functions in both directions. */
static void take_activations(const struct attributes *from, struct ep_node *out, char *reason)
{
    static const char *const lstm[] = {"Sigmoid", "Tanh", "Tanh"}, *const gru[] = {"Sigmoid", "Tanh"},
                             *const tanh_only[] = {"Tanh"}, *const relu_only[] = {"Relu"};
    lw_kind kind = out->brick.kind;
    const char *const *want = kind == LW_LSTM ? lstm : kind == LW_GRU ? gru : tanh_only;
    size_t count = kind == LW_LSTM ? 3 : kind == LW_GRU ? 2 : 1, found = 0;
    const char *end = from->activations + from->activation_bytes;
    if (from->activation_bytes == 0)
        return;
    if (kind == LW_RNN && strcasecmp(from->activations, "Relu") == 0) {
        want = relu_only;
        out->brick.function = LW_RELU;
    }
    for (const char *name = from->activations; name < end; name += strlen(name) + 1, found++)
        if (found < count * out->directions && strcasecmp(name, want[found % count]) != 0)
            refuse(reason, "activation %zu is %.40s, expected %s", found, name,
                   kind == LW_RNN && found == 0 ? "Tanh or Relu" : want[found % count]);
    /* ONNX gives an RNN two activations when it names none, whatever its direction: the second is not looked at. */
    if (found != count * out->directions && !(kind == LW_RNN && found == 2))
        refuse(reason, "it has %zu activations, expected %zu", found, count * out->directions);
}

static void take_attributes(const struct attributes *from, struct ep_node *out, char *reason)
{
    lw_brick *brick = &out->brick;
    if (strcmp(from->direction, "forward") == 0)
        brick->direction = LW_FORWARD;
    else if (strcmp(from->direction, "reverse") == 0)
        brick->direction = LW_REVERSE;
    else if (strcmp(from->direction, "bidirectional") == 0)
        brick->direction = LW_BIDIRECTIONAL;
    else
        refuse(reason, "its direction is \"%.40s\", expected forward, reverse or bidirectional", from->direction);
    out->directions = brick->direction == LW_BIDIRECTIONAL ? 2 : 1;
    take_activations(from, out, reason);
    if (!(from->clip > 0.0f))
        refuse(reason, "its clip is %g, expected a positive number", (double)from->clip);
    brick->gate_clip = from->clip < FLT_MAX ? from->clip : 0.0f;
    if (from->layout != 0 && from->layout != 1)
        refuse(reason, "its layout is %lld, expected 0 or 1", (long long)from->layout);
    out->batch_first = from->layout == 1;
    if (from->input_forget)
        brick->options |= LW_COUPLED;
    if (brick->kind == LW_GRU && !from->linear_before_reset)
        brick->options |= LW_RESET_BEFORE;
}

static OrtStatus *read_values(const struct ep_api *api, const OrtNode *node, struct ep_node *out, char *reason)
{
    size_t inputs, outputs;
    bool lstm = out->brick.kind == LW_LSTM;
    EP_TRY(api->ort->Node_GetNumInputs(node, &inputs));
    EP_TRY(api->ort->Node_GetNumOutputs(node, &outputs));
    if (inputs > (lstm ? EP_INPUTS : EP_INITIAL_C) || outputs > (lstm ? EP_OUTPUTS : EP_Y_C)) {
        refuse(reason, "it has %zu inputs and %zu outputs", inputs, outputs);
        return NULL;
    }
    EP_TRY(api->ort->Node_GetInputs(node, out->inputs, inputs));
    EP_TRY(api->ort->Node_GetOutputs(node, out->outputs, outputs));
    for (size_t i = 0; i < inputs + outputs; i++) {
        const OrtValueInfo **value = i < inputs ? &out->inputs[i] : &out->outputs[i - inputs];
        const char *name = "";
        if (*value)
            EP_TRY(api->ort->GetValueInfoName(*value, &name));
        if (name[0] == '\0')
            *value = NULL;
    }
    for (size_t i = EP_X; i <= EP_R; i++)
        if (!out->inputs[i])
            refuse(reason, "its input %s is missing", input_names[i]);
    return NULL;
}

static OrtStatus *read_type(const struct ep_api *api, const OrtValueInfo *value, const char *name, char *reason)
{
    const OrtTypeInfo *type = NULL;
    const OrtTensorTypeAndShapeInfo *tensor = NULL;
    ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    EP_TRY(api->ort->GetValueInfoTypeInfo(value, &type));
    if (type)
        EP_TRY(api->ort->CastTypeInfoToTensorInfo(type, &tensor));
    if (tensor)
        EP_TRY(api->ort->GetTensorElementType(tensor, &element));
    if (element != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT)
        refuse(reason, "%s is not of type float (ONNX's element type %d, expected 1)", name, (int)element);
    return NULL;
}

/* The shape of a weight that never changes; rank 0 (with a reason) when it is none. */
static OrtStatus *read_constant_shape(const struct ep_api *api, const struct ep_node *node, size_t input,
                                      int64_t shape[3], size_t *rank, char *reason)
{
    bool constant;
    const OrtValue *value = NULL;
    OrtTensorTypeAndShapeInfo *info;
    *rank = 0;
    EP_TRY(api->ort->ValueInfo_IsConstantInitializer(node->inputs[input], &constant));
    if (constant)
        EP_TRY(api->ort->ValueInfo_GetInitializerValue(node->inputs[input], &value));
    if (!value) {
        refuse(reason, "%s is not a constant initialiser", input_names[input]);
        return NULL;
    }
    EP_TRY(api->ort->GetTensorTypeAndShape(value, &info));
    ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    OrtStatus *failure = api->ort->GetTensorElementType(info, &element);
    if (!failure)
        failure = api->ort->GetDimensionsCount(info, rank);
    if (!failure && *rank <= 3)
        failure = api->ort->GetDimensions(info, shape, *rank);
    api->ort->ReleaseTensorTypeAndShapeInfo(info);
    if (!failure && element != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT)
        refuse(reason, "%s is not of type float", input_names[input]);
    return failure;
}

static void expect_shape(size_t input, const int64_t *shape, size_t rank, const int64_t *want, size_t want_rank,
                         char *reason)
{
    char text[2][80] = {"of another rank", ""};
    if (rank == want_rank && memcmp(shape, want, rank * sizeof *shape) == 0)
        return;
    for (int i = rank == want_rank ? 0 : 1; i < 2; i++) {
        const int64_t *sizes = i ? want : shape;
        int used = snprintf(text[i], sizeof text[i], "(%lld, %lld", (long long)sizes[0], (long long)sizes[1]);
        if (want_rank == 3)
            used += snprintf(text[i] + used, sizeof text[i] - (size_t)used, ", %lld", (long long)sizes[2]);
        snprintf(text[i] + used, sizeof text[i] - (size_t)used, ")");
    }
    refuse(reason, "%s is %s, expected %s", input_names[input], text[0], text[1]);
}

static OrtStatus *read_shapes(const struct ep_api *api, const struct attributes *attributes, struct ep_node *out,
                              char *reason)
{
    int64_t shape[3], directions = (int64_t)out->directions, gates = (int64_t)ep_weights_onnx_gates(out->brick.kind);
    size_t rank;
    EP_TRY(read_constant_shape(api, out, EP_R, shape, &rank, reason));
    if (reason[0])
        return NULL;
    if (rank != 3 || shape[2] < 1 || shape[2] > (int64_t)LW_SIZE_MAX) {
        refuse(reason, "R is not (%lld, %lld*H, H) with 1 to %zu hidden units", (long long)directions, (long long)gates,
               LW_SIZE_MAX);
        return NULL;
    }
    int64_t hidden = shape[2];
    expect_shape(EP_R, shape, rank, (int64_t[]){directions, gates * hidden, hidden}, 3, reason);
    if (attributes->hidden_said && attributes->hidden != hidden)
        refuse(reason, "its hidden_size is %lld, but R has %lld", (long long)attributes->hidden, (long long)hidden);
    EP_TRY(read_constant_shape(api, out, EP_W, shape, &rank, reason));
    int64_t input = rank == 3 ? shape[2] : 1;
    if (rank && (input < 1 || input > (int64_t)LW_SIZE_MAX))
        refuse(reason, "its input is %lld wide, expected 1 to %zu", (long long)input, LW_SIZE_MAX);
    if (rank)
        expect_shape(EP_W, shape, rank, (int64_t[]){directions, gates * hidden, input}, 3, reason);
    if (out->inputs[EP_B]) {
        EP_TRY(read_constant_shape(api, out, EP_B, shape, &rank, reason));
        if (rank)
            expect_shape(EP_B, shape, rank, (int64_t[]){directions, 2 * gates * hidden}, 2, reason);
    } else {
        out->brick.options |= LW_NO_BIAS;
    }
    if (out->inputs[EP_P]) {
        EP_TRY(read_constant_shape(api, out, EP_P, shape, &rank, reason));
        if (rank)
            expect_shape(EP_P, shape, rank, (int64_t[]){directions, 3 * hidden}, 2, reason);
        out->brick.options |= LW_PEEPHOLES;
    }
    out->brick.hidden = (size_t)hidden;
    out->brick.input = (size_t)input;
    return NULL;
}

OrtStatus *ep_node_read(const struct ep_api *api, const OrtNode *node, struct ep_node *out,
                        char reason[EP_REASON_BYTES])
{
    const char *op, *name;
    int since;
    struct attributes attributes = {.clip = FLT_MAX, .direction = "forward"};
    EP_TRY(api->ort->Node_GetOperatorType(node, &op));
    EP_TRY(api->ort->Node_GetName(node, &name));
    EP_TRY(api->ort->Node_GetSinceVersion(node, &since));
    *out = (struct ep_node){.brick = LW_BRICK_INIT(kind_of(op)), .directions = 1};
    snprintf(out->label, sizeof out->label, name[0] ? "%s node \"%.64s\"" : "%s node", op, name);
    out->brick.name = "layer0"; /* in a stack, stack.c gives it another */
    reason[0] = '\0';
    if (since < 7 || since > 22)
        refuse(reason, "its operator is of version %d, expected 7 to 22", since);
    EP_TRY(read_attributes(api, node, out->brick.kind, &attributes, reason));
    take_attributes(&attributes, out, reason);
    EP_TRY(read_values(api, node, out, reason));
    if (reason[0])
        return NULL;
    EP_TRY(read_type(api, out->inputs[EP_X], "X", reason));
    return read_shapes(api, &attributes, out, reason);
}
