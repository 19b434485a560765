/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model: its bricks, the levels that they stand for, and one block of packed weights. Immutable as soon as a state or
 * a context holds a reference.
 */
#ifndef LW_MODEL_H
#define LW_MODEL_H

#include <stdatomic.h>

#include "cell.h"

struct lw_named_tensor {
    char *name;
    size_t level, direction;
    struct lw_tensor_spec spec;
};

struct lw_model {
    atomic_size_t references;
    atomic_bool frozen;
    const struct lw_kernels *kernels;
    lw_isa isa;
    size_t lanes; /* floats in a vector of it */
    lw_brick *bricks;
    size_t brick_count;
    struct lw_level *levels;
    size_t level_count;
    struct lw_named_tensor *tensors;
    size_t tensor_count;
    float *packed;
    size_t packed_floats;
    /* Derived once. */
    size_t input, output;
    size_t state_floats; /* of one row of a state */
    bool has_reverse;    /* any level walks backwards */
    size_t collapse;     /* index of the last recurrent level, or level_count without one */
    size_t step_flops;   /* of one row and step */
};

/* What the public functions do, arguments checked by api.c. */
lw_status lw_model_build(const lw_brick *bricks, size_t count, lw_isa isa, lw_model **model);
void lw_model_hold(const lw_model *model); /* one more reference; freezes the parameters */
void lw_model_release(lw_model *model);
void lw_model_describe(const lw_model *model, size_t index, lw_layer *layer);
void lw_model_read_tensor(const lw_model *model, const struct lw_named_tensor *tensor, float *values);
void lw_model_write_tensor(lw_model *model, const struct lw_named_tensor *tensor, const float *values);
/* Rows of a tensor from `row` on that lie side by side in packed weights of its level and direction (at most a vector
 * of them), and where: element k of row + i at place[k * stride + i]. */
size_t lw_model_rows(const lw_model *model, const struct lw_named_tensor *tensor, const struct lw_weights *weights,
                     size_t row, float **place, size_t *stride);

/* Width of a level's output, both directions. */
static inline size_t lw_level_width(const struct lw_level *level)
{
    return level->directions * level->output;
}

static inline size_t lw_tensor_count(const struct lw_named_tensor *tensor)
{
    return tensor->spec.shape[0] * tensor->spec.shape[1];
}

#endif
