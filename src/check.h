/* SPDX-License-Identifier: Apache-2.0 */
/* The two checks that every public function begins with. Included by api.c and api_model.c. */
#ifndef LW_CHECK_H
#define LW_CHECK_H

#include "core.h"

#define CHECK_POINTER(pointer)                                                     \
    do {                                                                           \
        if (!(pointer))                                                            \
            return lw_fail(LW_ERR_ARGUMENT, "%s: %s is NULL", __func__, #pointer); \
    } while (0)

#define CHECK_STRUCT(pointer, type)                                                                           \
    do {                                                                                                      \
        CHECK_POINTER(pointer);                                                                               \
        if ((pointer)->size != sizeof(type))                                                                  \
            return lw_fail(LW_ERR_ARGUMENT, "%s: %s->size is %zu, expected sizeof(" #type "), %zu", __func__, \
                           #pointer, (pointer)->size, sizeof(type));                                          \
    } while (0)

#endif
