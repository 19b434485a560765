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

const struct lw_cell lw_cell_dense = {
    .kind = LW_DENSE,
    .name = "dense",
    .tensors = tensors,
    .layout = layout,
    .row = row,
    .map = map,
};

const struct lw_cell lw_cell_activation = {
    .kind = LW_ACTIVATION,
    .name = "activation",
    .tensors = no_tensors,
    .layout = no_layout,
    .map = activate,
};
