/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of training share: the golden numbers of golden/training, and comparisons. Everything asserts, so
 * that a file or a tensor that is missing is never a passed test.
 */
#ifndef LW_TESTS_TRAINING_H
#define LW_TESTS_TRAINING_H

#include "misuse.h"

#include <stdio.h>

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static inline lw_tensors *golden_open(const char *name)
{
    const char *root = getenv("LW_SOURCE_ROOT");
    char path[2048];
    snprintf(path, sizeof path, "%s/tests/golden/training/%s.safetensors", root ? root : ".", name);
    lw_tensors *file;
    OK(lw_tensors_open(path, &file));
    return file;
}

/* The tensor <group>.<name>, or <group> without a name. False when there is none. */
static inline bool golden_find(const lw_tensors *file, const char *group, const char *name, lw_tensor *tensor)
{
    char full[128];
    snprintf(full, sizeof full, "%s%s%s", group, name ? "." : "", name ? name : "");
    *tensor = (lw_tensor)LW_TENSOR_INIT;
    return lw_tensors_find(file, full, tensor) == LW_OK;
}

/* A copy of its elements, `size` bytes each, NULL when `optional` and not there. The caller frees it. */
static inline void *golden_read(const lw_tensors *file, const char *group, const char *name, size_t size, bool optional,
                                lw_tensor *tensor)
{
    bool found = golden_find(file, group, name, tensor);
    cr_assert(found || optional, "no golden tensor %s.%s", group, name ? name : "");
    if (!found)
        return NULL;
    cr_assert_eq(tensor->bytes, tensor->count * size, "%s.%s is %s", group, name ? name : "", tensor->type);
    void *copy = malloc(tensor->bytes + 1);
    cr_assert(copy);
    memcpy(copy, tensor->data, tensor->bytes);
    return copy;
}

static inline void expect_near(const char *what, size_t index, double got, double want, double rtol, double atol)
{
    cr_assert(fabs(got - want) <= atol + rtol * fabs(want), "%s[%zu] is %.9g, expected %.9g", what, index, got, want);
}

#endif
