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

static const char *ORT_API_CALL get_name(const OrtEp *ep)
{
    (void)ep;
    return EP_NAME;
}

static OrtStatus *consider(const struct provider *provider, const OrtNode *node, OrtEpGraphSupportInfo *support)
{
    const struct ep_api *api = provider->api;
    char reason[EP_REASON_BYTES];
    bool recurrent;
    struct ep_node ours;
    EP_TRY(ep_node_is_recurrent(api, node, &recurrent));
    if (!recurrent)
        return NULL;
    EP_TRY(ep_node_read(api, node, &ours, reason));
    if (reason[0]) {
        ep_log(api, provider->logger, ORT_LOGGING_LEVEL_INFO, "%s is left to ONNX Runtime: %s", ours.label, reason);
        return NULL;
    }
    OrtNodeFusionOptions options = {.ort_version_supported = EP_API_VERSION, .drop_constant_initializers = true};
    return api->ep->EpGraphSupportInfo_AddNodesToFuse(support, &node, 1, &options);
}

static OrtStatus *list_nodes(const struct ep_api *api, const OrtGraph *graph, const OrtNode ***nodes, size_t *count)
{
    *nodes = NULL;
    EP_TRY(api->ort->Graph_GetNumNodes(graph, count));
    *nodes = calloc(*count + 1, sizeof **nodes);
    if (!*nodes)
        return ep_fail_memory(api, *count * sizeof **nodes);
    return api->ort->Graph_GetNodes(graph, *nodes, *count);
}

static OrtStatus *ORT_API_CALL get_capability(OrtEp *ep, const OrtGraph *graph, OrtEpGraphSupportInfo *support)
{
    const struct provider *provider = (const struct provider *)ep;
    const OrtNode **nodes;
    size_t count = 0;
    OrtStatus *failure = list_nodes(provider->api, graph, &nodes, &count);
    for (size_t i = 0; i < count && !failure; i++)
        failure = consider(provider, nodes[i], support);
    free(nodes);
    return failure;
}

static OrtStatus *compile_one(const struct provider *provider, const OrtGraph *graph, const OrtNode *fused,
                              OrtNodeComputeInfo **info)
{
    const struct ep_api *api = provider->api;
    char reason[EP_REASON_BYTES];
    size_t count;
    const OrtNode *node;
    struct ep_node ours;
    EP_TRY(api->ort->Graph_GetNumNodes(graph, &count));
    if (count != 1)
        return ep_fail(api, ORT_FAIL, "a fused graph has %zu nodes, expected 1", count);
    EP_TRY(api->ort->Graph_GetNodes(graph, &node, 1));
    EP_TRY(ep_node_read(api, node, &ours, reason));
    if (reason[0])
        return ep_fail(api, ORT_FAIL, "%s was chosen, but %s", ours.label, reason);
    return ep_kernel_create(api, provider->logger, &provider->options, &ours, fused, info);
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
