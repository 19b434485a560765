/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two functions that ONNX Runtime looks for in the library (CreateEpFactories, ReleaseEpFactory), and the factory
 * behind them: its name, its device (the CPU) and its options. An ONNX Runtime without plugin providers that compile
 * nodes is answered with a sentence.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "provider.h"

#if defined(_WIN32)
#define EP_EXPORT __declspec(dllexport)
#else
#define EP_EXPORT __attribute__((visibility("default")))
#endif

#define THREADS_MAX 4096

EP_EXPORT OrtStatus *CreateEpFactories(const char *registered_name, const OrtApiBase *base, const OrtLogger *logger,
                                       OrtEpFactory **factories, size_t max_factories, size_t *num_factories);
EP_EXPORT OrtStatus *ReleaseEpFactory(OrtEpFactory *factory);

struct factory {
    OrtEpFactory factory; /* first: it is all that ONNX Runtime hands back */
    struct ep_api api;
};

static const char *ORT_API_CALL get_name(const OrtEpFactory *factory)
{
    (void)factory;
    return EP_NAME;
}

static const char *ORT_API_CALL get_vendor(const OrtEpFactory *factory)
{
    (void)factory;
    return EP_VENDOR;
}

static uint32_t ORT_API_CALL get_vendor_id(const OrtEpFactory *factory)
{
    (void)factory;
    return 0; /* not a maker of devices */
}

static const char *ORT_API_CALL get_version(const OrtEpFactory *factory)
{
    (void)factory;
    return lw_version();
}

static bool ORT_API_CALL is_stream_aware(const OrtEpFactory *factory)
{
    (void)factory;
    return false;
}

/* The CPU's memory needs nothing of the provider's own: no allocator, no copies, no streams. */
static OrtStatus *ORT_API_CALL create_allocator(OrtEpFactory *factory, const OrtMemoryInfo *memory,
                                                const OrtKeyValuePairs *options, OrtAllocator **allocator)
{
    (void)factory;
    (void)memory;
    (void)options;
    *allocator = NULL;
    return NULL;
}

static void ORT_API_CALL release_allocator(OrtEpFactory *factory, OrtAllocator *allocator)
{
    (void)factory;
    (void)allocator;
}

static OrtStatus *ORT_API_CALL create_data_transfer(OrtEpFactory *factory, OrtDataTransferImpl **transfer)
{
    (void)factory;
    *transfer = NULL;
    return NULL;
}

static OrtStatus *ORT_API_CALL create_stream(OrtEpFactory *factory, const OrtMemoryDevice *device,
                                             const OrtKeyValuePairs *options, OrtSyncStreamImpl **stream)
{
    (void)factory;
    (void)device;
    (void)options;
    *stream = NULL;
    return NULL;
}

static OrtStatus *ORT_API_CALL get_devices(OrtEpFactory *factory, const OrtHardwareDevice *const *devices, size_t count,
                                           OrtEpDevice **ep_devices, size_t max_ep_devices, size_t *num_ep_devices)
{
    const struct ep_api *api = &((struct factory *)factory)->api;
    *num_ep_devices = 0;
    for (size_t i = 0; i < count && *num_ep_devices < max_ep_devices; i++) {
        if (api->ort->HardwareDevice_Type(devices[i]) != OrtHardwareDeviceType_CPU)
            continue;
        EP_TRY(api->ep->CreateEpDevice(factory, devices[i], NULL, NULL, &ep_devices[*num_ep_devices]));
        ++*num_ep_devices;
    }
    return NULL;
}

/* ---- options ---------------------------------------------------------------------------------------------------- */

static OrtStatus *set_option(const struct ep_api *api, const char *key, const char *value, struct ep_options *options)
{
    if (strcmp(key, "threads") == 0) {
        char *end = NULL;
        unsigned long threads = value[0] >= '0' && value[0] <= '9' ? strtoul(value, &end, 10) : 0;
        if (!end || *end || threads > THREADS_MAX)
            return ep_fail(api, ORT_INVALID_ARGUMENT, EP_NAME ": threads is \"%.40s\", expected 0 (all) to %d", value,
                           THREADS_MAX);
        options->threads = threads;
        return NULL;
    }
    if (strcmp(key, "isa") == 0) {
        lw_isa isa;
        if (strcmp(value, "best") == 0)
            return NULL;
        EP_TRY(ep_check(api, lw_isa_find(value, &isa)));
        if (!lw_isa_supported(isa))
            return ep_fail(api, ORT_NOT_IMPLEMENTED, EP_NAME ": isa is %s, which %s", value,
                           lw_isa_built(isa) ? "this CPU cannot run" : "is not in this build");
        options->isa = (int)isa;
        return NULL;
    }
    if (strcmp(key, "stacks") == 0) {
        if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
            return ep_fail(api, ORT_INVALID_ARGUMENT, EP_NAME ": stacks is \"%.40s\", expected 0 or 1", value);
        options->stacks = value[0] == '1';
        return NULL;
    }
    return ep_fail(api, ORT_INVALID_ARGUMENT, EP_NAME ": there is no option \"%.60s\", expected threads, isa or stacks",
                   key);
}

/* A session's configuration holds the options of each provider under ep.<its name>. */
static OrtStatus *read_options(const struct ep_api *api, const OrtSessionOptions *session, struct ep_options *options)
{
    static const char prefix[] = "ep." EP_NAME ".";
    OrtKeyValuePairs *entries = NULL;
    const char *const *keys, *const *values;
    size_t count;
    EP_TRY(api->ort->GetSessionOptionsConfigEntries(session, &entries));
    api->ort->GetKeyValuePairs(entries, &keys, &values, &count);
    OrtStatus *failure = NULL;
    for (size_t i = 0; i < count && !failure; i++)
        if (strncasecmp(keys[i], prefix, sizeof prefix - 1) == 0)
            failure = set_option(api, keys[i] + sizeof prefix - 1, values[i], options);
    api->ort->ReleaseKeyValuePairs(entries);
    return failure;
}

static OrtStatus *ORT_API_CALL create_ep(OrtEpFactory *factory, const OrtHardwareDevice *const *devices,
                                         const OrtKeyValuePairs *const *metadata, size_t count,
                                         const OrtSessionOptions *session, const OrtLogger *logger, OrtEp **ep)
{
    const struct ep_api *api = &((struct factory *)factory)->api;
    struct ep_options options = {.isa = -1, .stacks = true};
    (void)devices;
    (void)metadata;
    if (count != 1)
        return ep_fail(api, ORT_INVALID_ARGUMENT, EP_NAME ": %zu devices, expected one CPU", count);
    EP_TRY(read_options(api, session, &options));
    return ep_provider_create(api, logger, &options, ep);
}

static void ORT_API_CALL release_ep(OrtEpFactory *factory, OrtEp *ep)
{
    (void)factory;
    ep_provider_release(ep);
}

/* ---- the library's face ----------------------------------------------------------------------------------------- */

OrtStatus *CreateEpFactories(const char *registered_name, const OrtApiBase *base, const OrtLogger *logger,
                             OrtEpFactory **factories, size_t max_factories, size_t *num_factories)
{
    (void)registered_name;
    (void)logger;
    struct ep_api api = {.ort = base->GetApi(EP_API_VERSION)};
    *num_factories = 0;
    if (!api.ort) {
        api.ort = base->GetApi(1); /* errors have looked the same since the first version */
        return ep_fail(&api, ORT_NOT_IMPLEMENTED,
                       EP_NAME ": this ONNX Runtime is of version %.40s, expected 1.%d or newer",
                       base->GetVersionString(), EP_API_VERSION);
    }
    if (max_factories < 1)
        return ep_fail(&api, ORT_INVALID_ARGUMENT, EP_NAME ": there is room for no factory, expected one");
    api.ep = api.ort->GetEpApi();
    struct factory *factory = calloc(1, sizeof *factory);
    if (!factory)
        return ep_fail_memory(&api, sizeof *factory);
    factory->api = api;
    factory->factory.ort_version_supported = EP_API_VERSION;
    factory->factory.GetName = get_name;
    factory->factory.GetVendor = get_vendor;
    factory->factory.GetVendorId = get_vendor_id;
    factory->factory.GetVersion = get_version;
    factory->factory.GetSupportedDevices = get_devices;
    factory->factory.CreateEp = create_ep;
    factory->factory.ReleaseEp = release_ep;
    factory->factory.CreateAllocator = create_allocator;
    factory->factory.ReleaseAllocator = release_allocator;
    factory->factory.CreateDataTransfer = create_data_transfer;
    factory->factory.IsStreamAware = is_stream_aware;
    factory->factory.CreateSyncStreamForDevice = create_stream;
    factories[0] = &factory->factory;
    *num_factories = 1;
    return NULL;
}

OrtStatus *ReleaseEpFactory(OrtEpFactory *factory)
{
    free(factory);
    return NULL;
}
