/* SPDX-License-Identifier: Apache-2.0 */
/* What public functions begin with: two macros, and the functions of check.c. Included by the api files. */
#ifndef LW_CHECK_H
#define LW_CHECK_H

#include "model.h"

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

/* Marks an object as in use by a call, or refuses. */
lw_status lw_take(atomic_int *busy, const char *what);
void lw_give(atomic_int *busy);

/* A real number from `low` (that too, or more) to less than `high`; a NaN is none. */
lw_status lw_check_number(const char *name, double value, double low, bool low_too, double high);
/* Refuses a model whose parameters are fixed. */
lw_status lw_check_mutable(const lw_model *model, const char *function);
/* The number of threads that a context or a tape is to have; NULL: the default. */
lw_status lw_check_threads(const lw_context_options *options);
lw_status lw_check_batch(size_t batch);
/* Rows of `width` floats at strides that are dense by default (both 0, then completed); *floats is the extent from the
 * first float to the one behind the last. */
lw_status lw_check_strides(const char *what, size_t steps, size_t batch, size_t width, size_t *step_stride,
                           size_t *row_stride, size_t *floats);
bool lw_overlap_bytes(const void *a, size_t a_bytes, const void *b, size_t b_bytes);
bool lw_overlap(const float *a, size_t a_floats, const float *b, size_t b_floats);
/* Checks a run and completes its strides. */
lw_status lw_check_io(const lw_model *model, lw_io *io);

#endif
