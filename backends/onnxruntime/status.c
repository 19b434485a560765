/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors and log lines in ONNX Runtime's forms. Called by all files of the provider.
 * A sentence longer than the buffer is cut, never lost.
 */
#include <stdarg.h>
#include <stdio.h>

#include "provider.h"

#define SENTENCE_BYTES 640

OrtStatus *ep_fail(const struct ep_api *api, OrtErrorCode code, const char *format, ...)
{
    char sentence[SENTENCE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    return api->ort->CreateStatus(code, sentence);
}

OrtStatus *ep_check(const struct ep_api *api, lw_status status)
{
    switch (status) {
    case LW_OK:
        return NULL;
    case LW_ERR_ARGUMENT:
    case LW_ERR_SHAPE:
    case LW_ERR_NOT_FOUND: /* the name of an instruction set */
        return api->ort->CreateStatus(ORT_INVALID_ARGUMENT, lw_error());
    case LW_ERR_UNSUPPORTED:
        return api->ort->CreateStatus(ORT_NOT_IMPLEMENTED, lw_error());
    case LW_ERR_MEMORY: /* the provider's own allocations fail without a sentence */
        return api->ort->CreateStatus(ORT_FAIL, "out of memory");
    default:
        return api->ort->CreateStatus(ORT_FAIL, lw_error());
    }
}

OrtStatus *ep_fail_memory(const struct ep_api *api, size_t bytes)
{
    return ep_fail(api, ORT_FAIL, "out of memory: %zu bytes could not be allocated", bytes);
}

void ep_log(const struct ep_api *api, const OrtLogger *logger, OrtLoggingLevel level, const char *format, ...)
{
    OrtLoggingLevel lowest = ORT_LOGGING_LEVEL_WARNING;
    OrtStatus *failure = api->ort->Logger_GetLoggingSeverityLevel(logger, &lowest);
    if (!failure && level >= lowest) {
        char sentence[SENTENCE_BYTES];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(sentence, sizeof sentence, format, arguments);
        va_end(arguments);
        failure = api->ort->Logger_LogMessage(logger, level, sentence, ORT_FILE, __LINE__, EP_NAME);
    }
    if (failure) /* a log that cannot be written stops nobody */
        api->ort->ReleaseStatus(failure);
}
