/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds recurrent nodes that are the layers of one stack: the sequence of each goes to the next alone, through the
 * Squeeze, Reshape, or Transpose and Reshape that exporters write between them. Called by provider.c. Nodes are joined
 * only where the whole is known to give what the parts do; where anything is unlike that, they run one by one.
 */
#include <stdio.h>
#include <string.h>

#include "provider.h"

#define RANK 4          /* of Y, which the nodes in between turn into a sequence of rank 3 */
#define SEEN_MAX 256    /* nodes that a search looks at; beyond them it gives up */
#define INPUTS_MAX 64   /* of one node that a search looks at */
#define INTEGERS_MAX 16 /* of an attribute or a constant */

static const char *const layer_names[EP_LAYERS_MAX] = {"layer0", "layer1", "layer2", "layer3",
                                                       "layer4", "layer5", "layer6", "layer7"};

struct integers {
    int64_t at[INTEGERS_MAX];
    size_t count;
    bool known;
};

/* What stands between two layers, at most two nodes, and where it leads. */
struct link {
    const OrtNode *between[2];
    size_t count;
    const OrtNode *next;
    const OrtValueInfo *value; /* what the next layer reads */
};

void ep_stack_add(struct ep_stack *stack, const OrtNode *node, const struct ep_node *layer)
{
    stack->layer[stack->layers] = *layer;
    stack->layer[stack->layers].brick.name = layer_names[stack->layers];
    stack->layers++;
    stack->nodes[stack->node_count++] = node;
}

/* ---- what stands between layers --------------------------------------------------------------------------------- */

/* The node whose first input the value is, when nothing else sees the value; NULL otherwise. */
static OrtStatus *only_reader(const struct ep_api *api, const OrtValueInfo *value, const OrtNode **reader)
{
    bool output;
    size_t count;
    int64_t place = -1;
    *reader = NULL;
    EP_TRY(api->ort->ValueInfo_IsGraphOutput(value, &output));
    EP_TRY(api->ort->ValueInfo_GetValueNumConsumers(value, &count));
    if (output || count != 1)
        return NULL;
    EP_TRY(api->ort->ValueInfo_GetValueConsumers(value, reader, &place, 1));
    if (place != 0)
        *reader = NULL;
    return NULL;
}

static OrtStatus *only_output(const struct ep_api *api, const OrtNode *node, const OrtValueInfo **value)
{
    size_t count;
    *value = NULL;
    EP_TRY(api->ort->Node_GetNumOutputs(node, &count));
    return count == 1 ? api->ort->Node_GetOutputs(node, value, 1) : NULL;
}

/* A list of whole numbers: an attribute, or NULL and a constant input. */
static OrtStatus *read_attribute(const struct ep_api *api, const OrtNode *node, const char *name, struct integers *out)
{
    const OrtOpAttr *attribute = NULL;
    OrtOpAttrType type = ORT_OP_ATTR_UNDEFINED;
    size_t bytes = 0;
    *out = (struct integers){0};
    OrtStatus *failure = api->ort->Node_GetAttributeByName(node, name, &attribute);
    if (failure) { /* ONNX Runtime's word for "there is none" */
        api->ort->ReleaseStatus(failure);
        return NULL;
    }
    if (!attribute)
        return NULL;
    EP_TRY(api->ort->OpAttr_GetType(attribute, &type));
    if (type != ORT_OP_ATTR_INTS && type != ORT_OP_ATTR_INT)
        return NULL;
    failure = api->ort->ReadOpAttr(attribute, type, out->at, sizeof out->at, &bytes);
    if (failure && bytes > sizeof out->at) { /* longer than any that is looked for */
        api->ort->ReleaseStatus(failure);
        return NULL;
    }
    out->count = bytes / sizeof out->at[0];
    out->known = !failure;
    return failure;
}

static OrtStatus *read_constant(const struct ep_api *api, const OrtNode *node, struct integers *out)
{
    const OrtValueInfo *inputs[2] = {NULL};
    const OrtValue *value = NULL;
    const void *data = NULL;
    size_t count, bytes = 0;
    bool constant;
    *out = (struct integers){0};
    EP_TRY(api->ort->Node_GetNumInputs(node, &count));
    if (count != 2)
        return NULL;
    EP_TRY(api->ort->Node_GetInputs(node, inputs, 2));
    if (!inputs[1])
        return NULL;
    EP_TRY(api->ort->ValueInfo_IsConstantInitializer(inputs[1], &constant));
    if (constant)
        EP_TRY(api->ort->ValueInfo_GetInitializerValue(inputs[1], &value));
    if (!value)
        return NULL;
    EP_TRY(api->ort->GetTensorSizeInBytes(value, &bytes)); /* ONNX lets both be of int64 alone */
    if (bytes == 0 || bytes > sizeof out->at)
        return NULL;
    EP_TRY(api->ort->GetTensorData(value, &data));
    memcpy(out->at, data, bytes);
    out->count = bytes / sizeof out->at[0];
    out->known = true;
    return NULL;
}

/* The sizes of Y that are known before the model runs, -1 for the others. */
static OrtStatus *read_sizes(const struct ep_api *api, const OrtValueInfo *value, int64_t sizes[RANK])
{
    const OrtTypeInfo *type = NULL;
    const OrtTensorTypeAndShapeInfo *tensor = NULL;
    size_t rank = 0;
    for (size_t i = 0; i < RANK; i++)
        sizes[i] = -1;
    EP_TRY(api->ort->GetValueInfoTypeInfo(value, &type));
    if (type)
        EP_TRY(api->ort->CastTypeInfoToTensorInfo(type, &tensor));
    if (tensor)
        EP_TRY(api->ort->GetDimensionsCount(tensor, &rank));
    return rank == RANK ? api->ort->GetDimensions(tensor, sizes, RANK) : NULL;
}

/* Whether a Reshape turns (T, B, D, H), or (B, T, D, H), into (T, B, D*H); `sizes` are those of Y, not transposed. */
static OrtStatus *joins_directions(const struct ep_api *api, const OrtNode *reshape, const struct ep_node *layer,
                                   const int64_t sizes[RANK], bool *joins)
{
    struct integers shape, zero;
    size_t like = 0, free = 0;
    int64_t width = (int64_t)(layer->directions * layer->brick.hidden);
    int64_t want[3] = {sizes[0], layer->batch_first ? sizes[1] : sizes[2], width};
    EP_TRY(read_constant(api, reshape, &shape));
    EP_TRY(read_attribute(api, reshape, "allowzero", &zero));
    *joins = false;
    if (!shape.known || shape.count != 3 || (zero.known && zero.count && zero.at[0]))
        return NULL;
    for (size_t i = 0; i < 3; i++) {
        bool copied = i < 2 && shape.at[i] == 0;
        like += copied || (shape.at[i] > 0 && shape.at[i] == want[i]);
        free += shape.at[i] == -1; /* follows from the other two */
    }
    *joins = like + free == 3 && free <= 1;
    return NULL;
}

static OrtStatus *squeezes_direction(const struct ep_api *api, const OrtNode *squeeze, const struct ep_node *layer,
                                     bool *squeezes)
{
    struct integers axes;
    int64_t wanted = layer->batch_first ? 2 : 1;
    EP_TRY(read_attribute(api, squeeze, "axes", &axes));
    if (!axes.known)
        EP_TRY(read_constant(api, squeeze, &axes));
    *squeezes = layer->directions == 1 && axes.known && axes.count == 1 &&
                (axes.at[0] == wanted || axes.at[0] == wanted - RANK);
    return NULL;
}

static OrtStatus *swaps_direction_and_batch(const struct ep_api *api, const OrtNode *transpose, bool *swaps)
{
    static const int64_t wanted[RANK] = {0, 2, 1, 3};
    struct integers order;
    EP_TRY(read_attribute(api, transpose, "perm", &order));
    *swaps = order.known && order.count == RANK && memcmp(order.at, wanted, sizeof wanted) == 0;
    return NULL;
}

static OrtStatus *operator_of(const struct ep_api *api, const OrtNode *node, const char **op)
{
    const char *domain;
    EP_TRY(api->ort->Node_GetDomain(node, &domain));
    EP_TRY(api->ort->Node_GetOperatorType(node, op));
    if (domain[0] && strcmp(domain, "ai.onnx") != 0)
        *op = "";
    return NULL;
}

/* Follows Y of a layer to the node that reads it as a sequence; link->next is NULL when there is none. */
static OrtStatus *follow(const struct ep_api *api, const struct ep_node *layer, struct link *link)
{
    const OrtNode *node;
    const char *op;
    int64_t sizes[RANK];
    bool fits = true, swapped = layer->batch_first; /* the batch already stands before the direction */
    *link = (struct link){0};
    if (!layer->outputs[EP_Y])
        return NULL;
    EP_TRY(read_sizes(api, layer->outputs[EP_Y], sizes));
    EP_TRY(only_reader(api, layer->outputs[EP_Y], &node));
    while (node && fits && link->count < 2) {
        EP_TRY(operator_of(api, node, &op));
        bool first = link->count == 0, joined = true;
        if (strcmp(op, "Squeeze") == 0 && first) {
            EP_TRY(squeezes_direction(api, node, layer, &fits));
        } else if (strcmp(op, "Transpose") == 0 && first && !swapped) {
            EP_TRY(swaps_direction_and_batch(api, node, &fits));
            swapped = true;
            joined = false;
        } else if (strcmp(op, "Reshape") == 0 && swapped) {
            EP_TRY(joins_directions(api, node, layer, sizes, &fits));
        } else {
            fits = false;
        }
        if (!fits)
            break;
        link->between[link->count++] = node;
        EP_TRY(only_output(api, node, &link->value));
        if (!link->value)
            break;
        EP_TRY(only_reader(api, link->value, &node));
        if (joined) {
            link->next = node;
            return NULL;
        }
    }
    return NULL;
}

/* ---- what else a layer reads ------------------------------------------------------------------------------------ */

static bool contains(const OrtNode *const *nodes, size_t count, const OrtNode *node)
{
    for (size_t i = 0; i < count; i++)
        if (nodes[i] == node)
            return true;
    return false;
}

/* Puts the node that makes a value on the list, once. */
static OrtStatus *visit(const struct ep_api *api, const OrtValueInfo *value, const OrtNode **seen, size_t *count,
                        bool *lost)
{
    const OrtNode *maker = NULL;
    size_t output;
    bool outside;
    EP_TRY(api->ort->ValueInfo_IsFromOuterScope(value, &outside));
    if (outside)
        return NULL;
    EP_TRY(api->ort->ValueInfo_GetValueProducer(value, &maker, &output));
    if (!maker || contains(seen, *count, maker))
        return NULL;
    if (*count == SEEN_MAX)
        *lost = true;
    else
        seen[(*count)++] = maker;
    return NULL;
}

/* Whether a value follows, however far, from a node of the stack: then that node must be done before the value can be
 * had, and cannot be one with what reads it. Also true when that is not soon told. */
static OrtStatus *depends_on(const struct ep_api *api, const struct ep_stack *stack, const OrtValueInfo *value,
                             bool *depends)
{
    const OrtNode *seen[SEEN_MAX];
    const OrtValueInfo *inputs[INPUTS_MAX];
    size_t count = 0, input_count, graphs;
    *depends = false;
    EP_TRY(visit(api, value, seen, &count, depends));
    for (size_t i = 0; i < count && !*depends; i++) {
        EP_TRY(api->ort->Node_GetNumInputs(seen[i], &input_count));
        EP_TRY(api->ort->Node_GetNumSubgraphs(seen[i], &graphs)); /* they read whatever they like */
        if (contains(stack->nodes, stack->node_count, seen[i]) || input_count > INPUTS_MAX || graphs) {
            *depends = true;
            return NULL;
        }
        EP_TRY(api->ort->Node_GetInputs(seen[i], inputs, input_count));
        for (size_t j = 0; j < input_count; j++)
            if (inputs[j])
                EP_TRY(visit(api, inputs[j], seen, &count, depends));
    }
    return NULL;
}

static OrtStatus *same_value(const struct ep_api *api, const OrtValueInfo *a, const OrtValueInfo *b, bool *same)
{
    const char *names[2];
    *same = a == b;
    if (!a || !b || *same)
        return NULL;
    EP_TRY(api->ort->GetValueInfoName(a, &names[0]));
    EP_TRY(api->ort->GetValueInfoName(b, &names[1]));
    *same = strcmp(names[0], names[1]) == 0;
    return NULL;
}

/* Why the next layer cannot join; NULL when it can. */
static OrtStatus *find_hindrance(const struct ep_api *api, const struct ep_stack *stack, const struct ep_node *next,
                                 const OrtValueInfo *sequence, const char **hindrance)
{
    const struct ep_node *last = &stack->layer[stack->layers - 1];
    bool same;
    *hindrance = NULL;
    EP_TRY(same_value(api, next->inputs[EP_X], sequence, &same));
    if (!same || next->brick.input != last->directions * last->brick.hidden)
        *hindrance = "its X is not that layer's sequence";
    if (next->batch_first != last->batch_first)
        *hindrance = "its layout is another";
    EP_TRY(same_value(api, next->inputs[EP_LENGTHS], last->inputs[EP_LENGTHS], &same));
    if (!same)
        *hindrance = "its sequence_lens are not the same value";
    for (size_t input = EP_INITIAL_H; input <= EP_INITIAL_C && !*hindrance; input++) {
        bool depends = false;
        if (next->inputs[input])
            EP_TRY(depends_on(api, stack, next->inputs[input], &depends));
        if (depends)
            *hindrance = "its initial state may follow from that layer's results";
    }
    return NULL;
}

OrtStatus *ep_stack_grow(const struct ep_api *api, const OrtLogger *logger, struct ep_stack *stack)
{
    while (stack->layers < EP_LAYERS_MAX) {
        const struct ep_node *last = &stack->layer[stack->layers - 1];
        char reason[EP_REASON_BYTES];
        const char *hindrance;
        struct ep_node next;
        struct link link;
        bool recurrent = false;
        EP_TRY(follow(api, last, &link));
        if (link.next)
            EP_TRY(ep_node_is_recurrent(api, link.next, &recurrent));
        if (!recurrent)
            return NULL;
        EP_TRY(ep_node_read(api, link.next, &next, reason));
        if (reason[0])
            return NULL; /* provider.c tells it when it comes to that node */
        EP_TRY(find_hindrance(api, stack, &next, link.value, &hindrance));
        if (hindrance) {
            ep_log(api, logger, ORT_LOGGING_LEVEL_INFO, "%s does not run together with %s: %s", next.label, last->label,
                   hindrance);
            return NULL;
        }
        for (size_t i = 0; i < link.count; i++)
            stack->nodes[stack->node_count++] = link.between[i];
        ep_stack_add(stack, link.next, &next);
    }
    return NULL;
}
