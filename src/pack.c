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
    for (size_t first = 0; first * lanes < count; first += matrix->width) {
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

#define TURN ((size_t)16) /* rows and columns that are turned together, within a few lines of the cache */

/* A whole square of them, which the compiler unrolls. */
static void turn(const float *from, size_t from_stride, float *to, size_t to_stride)
{
    for (size_t k = 0; k < TURN; k++)
        for (size_t row = 0; row < TURN; row++)
            to[k * to_stride + row] = from[row * from_stride + k];
}

void lw_rows_pack(float *place, size_t stride, const float *rows, size_t columns, size_t count)
{
    for (size_t first = 0; first < columns; first += TURN) {
        const size_t end = lw_min(first + TURN, columns);
        if (count == TURN && end - first == TURN) {
            turn(rows + first, columns, place + first * stride, stride);
            continue;
        }
        for (size_t row = 0; row < count; row++)
            for (size_t k = first; k < end; k++)
                place[k * stride + row] = rows[row * columns + k];
    }
}

void lw_rows_unpack(const float *place, size_t stride, float *rows, size_t columns, size_t count, bool add)
{
    for (size_t first = 0; first < columns; first += TURN) {
        const size_t end = lw_min(first + TURN, columns);
        if (!add && count == TURN && end - first == TURN) {
            turn(place + first * stride, stride, rows + first, columns);
            continue;
        }
        for (size_t row = 0; row < count; row++)
            for (size_t k = first; k < end; k++) {
                float *to = &rows[row * columns + k];
                *to = add ? *to + place[k * stride + row] : place[k * stride + row];
            }
    }
}

float *lw_matrix_bias(const struct lw_matrix *matrix, size_t lanes, size_t gates, size_t gate, size_t unit)
{
    return (float *)matrix->bias + (unit / lanes * gates + gate) * lanes + unit % lanes;
}
