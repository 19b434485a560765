/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One execution provider of one session: chooses the nodes that the engine can run and makes a kernel for each.
 * Made by factory.c, called by ONNX Runtime. A node that it does not choose stays with ONNX Runtime's own kernels,
 * and the log says why (level INFO).
 */
#include <stdlib.h>

#include "provider.h"

struct provider {
    OrtEp ep; /* first: it is all that ONNX Runtime hands back */
    const struct ep_api *api;
    const OrtLogger *logger;
    struct ep_options options;
};

/* Room for as many nodes as the graph has. */
struct chosen {
    const OrtNode **nodes;
    size_t count;
};

static const char *ORT_API_CALL get_name(const OrtEp *ep)
{
    (void)ep;
    return EP_NAME;
}

/* Chooses a node, and those that run as one with it, unless it is already among the chosen. */
static OrtStatus *consider(const struct provider *provider, const OrtNode *node, struct chosen *chosen,
                           OrtEpGraphSupportInfo *support)
{
    const struct ep_api *api = provider->api;
    char reason[EP_REASON_BYTES];
    bool recurrent;
    struct ep_node ours;
    struct ep_stack stack = {.layers = 0};
    EP_TRY(ep_node_is_recurrent(api, node, &recurrent));
    for (size_t i = 0; i < chosen->count; i++)
        if (chosen->nodes[i] == node)
            recurrent = false;
    if (!recurrent)
        return NULL;
    EP_TRY(ep_node_read(api, node, &ours, reason));
    if (reason[0]) {
        ep_log(api, provider->logger, ORT_LOGGING_LEVEL_INFO, "%s is left to ONNX Runtime: %s", ours.label, reason);
        return NULL;
    }
    ep_stack_add(&stack, node, &ours);
    if (provider->options.stacks)
        EP_TRY(ep_stack_grow(api, provider->logger, &stack));
    for (size_t i = 0; i < stack.node_count; i++)
        chosen->nodes[chosen->count++] = stack.nodes[i];
    OrtNodeFusionOptions options = {.ort_version_supported = EP_API_VERSION, .drop_constant_initializers = true};
    return api->ep->EpGraphSupportInfo_AddNodesToFuse(support, stack.nodes, stack.node_count, &options);
}

/* Twice the room that the nodes take, for the caller's own list. */
static OrtStatus *list_nodes(const struct ep_api *api, const OrtGraph *graph, const OrtNode ***nodes, size_t *count)
{
    *nodes = NULL;
    EP_TRY(api->ort->Graph_GetNumNodes(graph, count));
    *nodes = calloc(2 * *count + 1, sizeof **nodes); /* no overflow: the nodes themselves are in memory */
    if (!*nodes)
        return ep_fail_memory(api, 2 * *count * sizeof **nodes);
    return api->ort->Graph_GetNodes(graph, *nodes, *count);
}

static OrtStatus *ORT_API_CALL get_capability(OrtEp *ep, const OrtGraph *graph, OrtEpGraphSupportInfo *support)
{
    const struct provider *provider = (const struct provider *)ep;
    const OrtNode **nodes;
    size_t count = 0;
    OrtStatus *failure = list_nodes(provider->api, graph, &nodes, &count);
    struct chosen chosen = {.nodes = nodes ? nodes + count : NULL};
    /* They come in an order in which each stands before those that read it, so a stack is met at its first layer. */
    for (size_t i = 0; i < count && !failure; i++)
        failure = consider(provider, nodes[i], &chosen, support);
    free(nodes);
    return failure;
}

/* Reads the layers of a fused graph, which was a stack when it was chosen. */
static OrtStatus *read_stack(const struct ep_api *api, const OrtGraph *graph, struct ep_stack *stack)
{
    char reason[EP_REASON_BYTES];
    size_t count;
    bool recurrent;
    struct ep_node layer;
    const OrtNode *nodes[EP_STACK_NODES];
    EP_TRY(api->ort->Graph_GetNumNodes(graph, &count));
    if (count > EP_STACK_NODES)
        return ep_fail(api, ORT_FAIL, "a fused graph has %zu nodes, expected at most %zu", count, EP_STACK_NODES);
    EP_TRY(api->ort->Graph_GetNodes(graph, nodes, count));
    for (size_t i = 0; i < count; i++) {
        EP_TRY(ep_node_is_recurrent(api, nodes[i], &recurrent));
        if (!recurrent)
            continue;
        EP_TRY(ep_node_read(api, nodes[i], &layer, reason));
        if (reason[0])
            return ep_fail(api, ORT_FAIL, "%s was chosen, but %s", layer.label, reason);
        if (stack->layers == EP_LAYERS_MAX)
            return ep_fail(api, ORT_FAIL, "a fused graph has more than %zu layers", EP_LAYERS_MAX);
        ep_stack_add(stack, nodes[i], &layer);
    }
    return stack->layers ? NULL : ep_fail(api, ORT_FAIL, "a fused graph has no recurrent node");
}

static OrtStatus *compile_one(const struct provider *provider, const OrtGraph *graph, const OrtNode *fused,
                              OrtNodeComputeInfo **info)
{
    struct ep_stack stack = {.layers = 0};
    EP_TRY(read_stack(provider->api, graph, &stack));
    return ep_kernel_create(provider->api, provider->logger, &provider->options, &stack, fused, info);
}

static OrtStatus *ORT_API_CALL compile(OrtEp *ep, const OrtGraph **graphs, const OrtNode **fused, size_t count,
                                       OrtNodeComputeInfo **infos, OrtNode **context_nodes)
{
    OrtStatus *failure = NULL;
    (void)context_nodes;
    for (size_t i = 0; i < count; i++)
        infos[i] = NULL;
    for (size_t i = 0; i < count && !failure; i++)
        failure = compile_one((const struct provider *)ep, graphs[i], fused[i], &infos[i]);
    for (size_t i = 0; i < count && failure; i++) {
        ep_kernel_release(infos[i]);
        infos[i] = NULL;
    }
    return failure;
}

static void ORT_API_CALL release_infos(OrtEp *ep, OrtNodeComputeInfo **infos, size_t count)
{
    (void)ep;
    for (size_t i = 0; i < count; i++)
        ep_kernel_release(infos[i]);
}

OrtStatus *ep_provider_create(const struct ep_api *api, const OrtLogger *logger, const struct ep_options *options,
                              OrtEp **ep)
{
    struct provider *provider = calloc(1, sizeof *provider);
    if (!provider)
        return ep_fail_memory(api, sizeof *provider);
    provider->ep.ort_version_supported = EP_API_VERSION;
    provider->ep.GetName = get_name;
    provider->ep.GetCapability = get_capability;
    provider->ep.Compile = compile;
    provider->ep.ReleaseNodeComputeInfos = release_infos;
    provider->api = api;
    provider->logger = logger;
    provider->options = *options;
    *ep = &provider->ep;
    return NULL;
}

void ep_provider_release(OrtEp *ep)
{
    free(ep);
}
