/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packed layout of a matrix (kernels.h says what it is) as addresses: measuring, taking memory, and finding the
 * place of a tensor's row. Called by the cells; the only file that knows the layout besides the kernels.
 */
#include "cell.h"

#include <string.h>

const float *lw_layout_take(struct lw_layout *layout, size_t rows, size_t columns)
{
    size_t count, end;
    if (!lw_mul(rows, columns, &count) || !lw_add(count, LW_PAD - 1, &count) ||
        !lw_add(layout->used, count - count % LW_PAD, &end)) {
        layout->overflow = true;
        return NULL;
    }
    const float *piece = layout->base ? layout->base + layout->used : NULL;
    layout->used = end;
    return piece;
}

void lw_layout_matrix(struct lw_layout *layout, struct lw_matrix *matrix, size_t lanes, size_t columns, size_t width,
                      size_t depth)
{
    *matrix = (struct lw_matrix){.columns = columns, .width = width, .depth = depth};
    matrix->w = lw_layout_take(layout, columns * lanes, depth);
    matrix->bias = lw_layout_take(layout, columns, lanes);
}

void lw_layout_transposed(struct lw_layout *layout, struct lw_matrix *matrix, size_t lanes, size_t outputs,
                          size_t depth)
{
    lw_layout_matrix(layout, matrix, lanes, lw_ceil_div(outputs, lanes), LW_WIDE, depth);
}

void lw_matrix_set_depth(const struct lw_matrix *matrix, size_t lanes, size_t k, const float *values, size_t count)
{
    for (size_t first = 0; first < matrix->columns && first * lanes < count; first += matrix->width) {
        size_t width = lw_min(matrix->width, matrix->columns - first) * lanes;
        float *panel = (float *)matrix->w + first * matrix->depth * lanes;
        memcpy(panel + k * width, values + first * lanes, lw_min(width, count - first * lanes) * sizeof(float));
    }
}

void lw_matrix_times(const struct lw_kernels *kernels, const struct lw_matrix *matrix, size_t rows, const float *x,
                     size_t x_stride, float *y, size_t y_stride, bool add)
{
    if (add)
        kernels->dense_add(matrix, rows, x, x_stride, y, y_stride, 0, lw_matrix_panels(matrix));
    else
        kernels->dense(matrix, LW_K_LINEAR, rows, x, x_stride, y, y_stride, 0, lw_matrix_panels(matrix));
}

void lw_matrix_sum(const struct lw_kernels *kernels, const struct lw_matrix *gradient, const struct lw_outer *outer,
                   size_t part, size_t parts)
{
    size_t begin, end;
    lw_share(lw_matrix_panels(gradient), part, parts, &begin, &end);
    kernels->outer(gradient, outer, (float *)gradient->w, (float *)gradient->bias, begin, end);
}

float *lw_matrix_row(const struct lw_matrix *matrix, size_t lanes, size_t gates, size_t gate, size_t unit,
                     size_t *stride)
{
    size_t column = unit / lanes * gates + gate;
    size_t first = column / matrix->width * matrix->width;
    *stride = lw_min(matrix->width, matrix->columns - first) * lanes;
    /* The model owns this memory and hands it to the kernels as constant. */
    return (float *)matrix->w + first * matrix->depth * lanes + (column - first) * lanes + unit % lanes;
}

float *lw_matrix_bias(const struct lw_matrix *matrix, size_t lanes, size_t gates, size_t gate, size_t unit)
{
    return (float *)matrix->bias + (unit / lanes * gates + gate) * lanes + unit % lanes;
}
