/* SPDX-License-Identifier: Apache-2.0 */
/* Bricks without memory: dense (the output as a linear combination, through a function) and activation. */
#include "cell.h"

static enum lw_kernel_function function_of(const struct lw_level *level)
{
    switch (level->brick->function) {
    case LW_RELU:
        return LW_K_RELU;
    case LW_TANH:
        return LW_K_TANH;
    case LW_SIGMOID:
        return LW_K_SIGMOID;
    default:
        return LW_K_LINEAR;
    }
}

static size_t tensors(const struct lw_level *level, struct lw_tensor_spec specs[LW_ROLES])
{
    size_t n = 0;
    specs[n++] = (struct lw_tensor_spec){LW_WEIGHT, 2, {level->output, level->input}};
    if (!(level->brick->options & LW_NO_BIAS))
        specs[n++] = (struct lw_tensor_spec){LW_BIAS, 1, {level->output, 1}};
    return n;
}

static void layout(const struct lw_level *level, struct lw_weights *weights, size_t lanes, struct lw_layout *layout)
{
    lw_layout_matrix(layout, &weights->step.input, lanes, lw_ceil_div(level->output, lanes), LW_WIDE, level->input);
}

static float *row(const struct lw_level *level, const struct lw_weights *weights, size_t lanes,
                  enum lw_tensor_role role, size_t row, size_t *stride)
{
    (void)level;
    if (role == LW_WEIGHT)
        return lw_matrix_row(&weights->step.input, lanes, 1, 0, row, stride);
    return lw_matrix_bias(&weights->step.input, lanes, 1, 0, row);
}

static void map(const struct lw_kernels *kernels, const struct lw_level *level, size_t rows, const float *x,
                size_t x_stride, float *y, size_t y_stride, size_t part, size_t parts)
{
    const struct lw_matrix *matrix = &level->weights[0].step.input;
    size_t begin, end;
    lw_share(lw_matrix_panels(matrix), part, parts, &begin, &end);
    kernels->dense(matrix, function_of(level), rows, x, x_stride, y, y_stride, begin, end);
}

static size_t no_tensors(const struct lw_level *level, struct lw_tensor_spec specs[LW_ROLES])
{
    (void)level, (void)specs;
    return 0;
}

static void no_layout(const struct lw_level *level, struct lw_weights *weights, size_t lanes, struct lw_layout *layout)
{
    (void)level, (void)weights, (void)lanes, (void)layout;
}

static void activate(const struct lw_kernels *kernels, const struct lw_level *level, size_t rows, const float *x,
                     size_t x_stride, float *y, size_t y_stride, size_t part, size_t parts)
{
    size_t begin, end;
    lw_share(rows, part, parts, &begin, &end);
    for (size_t row = begin; row < end; row++)
        kernels->activate(function_of(level), level->output, x + row * x_stride, y + row * y_stride);
}

/* A level without memory goes back in one phase: d from dy and the output, for all rows at once. */
static void back(const struct lw_kernels *kernels, const struct lw_level *level, const struct lw_back_weights *weights,
                 const struct lw_back_step *step, size_t phase, size_t part, size_t parts)
{
    (void)weights, (void)phase;
    struct lw_back b = step->back;
    size_t begin, end;
    b.function = function_of(level);
    lw_share(lw_ceil_div(level->output, kernels->lanes), part, parts, &begin, &end);
    kernels->function_back(&b, begin, end);
}

static size_t one(const struct lw_level *level)
{
    (void)level;
    return 1;
}

static void back_layout(const struct lw_level *level, struct lw_back_weights *weights, size_t lanes,
                        struct lw_layout *layout)
{
    lw_layout_transposed(layout, &weights->input, lanes, level->input, level->output);
}

static const struct lw_matrix *back_row(const struct lw_level *level, const struct lw_back_weights *weights,
                                        enum lw_tensor_role role, size_t row, size_t *k)
{
    (void)level;
    *k = row;
    return role == LW_WEIGHT ? &weights->input : NULL;
}

static void back_sum(const struct lw_kernels *kernels, const struct lw_level *level, const struct lw_weights *gradients,
                     const struct lw_back_sum *sum, size_t part, size_t parts)
{
    (void)level;
    struct lw_outer outer = {sum->count, sum->d, sum->d_step, {0}, 1, sum->x, sum->x_step};
    lw_matrix_sum(kernels, &gradients->step.input, &outer, part, parts);
}

static void no_back_layout(const struct lw_level *level, struct lw_back_weights *weights, size_t lanes,
                           struct lw_layout *layout)
{
    (void)level, (void)weights, (void)lanes, (void)layout;
}

static void no_back_sum(const struct lw_kernels *kernels, const struct lw_level *level,
                        const struct lw_weights *gradients, const struct lw_back_sum *sum, size_t part, size_t parts)
{
    (void)kernels, (void)level, (void)gradients, (void)sum, (void)part, (void)parts;
}

const struct lw_cell lw_cell_dense = {
    .kind = LW_DENSE,
    .name = "dense",
    .tensors = tensors,
    .layout = layout,
    .row = row,
    .map = map,
    .back_gates = one,
    .back_layout = back_layout,
    .back_row = back_row,
    .back_phases = one,
    .back = back,
    .back_sum = back_sum,
};

const struct lw_cell lw_cell_activation = {
    .kind = LW_ACTIVATION,
    .name = "activation",
    .tensors = no_tensors,
    .layout = no_layout,
    .map = activate,
    .back_gates = one,
    .back_layout = no_back_layout,
    .back_phases = one,
    .back = back,
    .back_sum = no_back_sum,
};
