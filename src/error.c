/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sentence of the last failure, one for each thread. Called wherever a public function refuses something.
 * The buffer is a fixed array, so that failing never allocates.
 */
#include <stdarg.h>
#include <stdio.h>

#include "core.h"

static _Thread_local char last_error[512];

lw_status lw_fail(lw_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last_error, sizeof last_error, format, arguments);
    va_end(arguments);
    return status;
}

lw_status lw_fail_memory(size_t bytes)
{
    return lw_fail(LW_ERR_MEMORY, "out of memory: %zu bytes could not be allocated", bytes);
}

const char *lw_error(void)
{
    return last_error;
}

const char *lw_status_name(lw_status status)
{
    switch (status) {
    case LW_OK:
        return "LW_OK";
    case LW_ERR_ARGUMENT:
        return "LW_ERR_ARGUMENT";
    case LW_ERR_SHAPE:
        return "LW_ERR_SHAPE";
    case LW_ERR_MEMORY:
        return "LW_ERR_MEMORY";
    case LW_ERR_FILE:
        return "LW_ERR_FILE";
    case LW_ERR_FORMAT:
        return "LW_ERR_FORMAT";
    case LW_ERR_UNSUPPORTED:
        return "LW_ERR_UNSUPPORTED";
    case LW_ERR_BUSY:
        return "LW_ERR_BUSY";
    case LW_ERR_NOT_FOUND:
        return "LW_ERR_NOT_FOUND";
    }
    return "unknown status";
}
