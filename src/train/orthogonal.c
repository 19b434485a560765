/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random matrices with orthonormal columns: a product of Householder reflections of normal vectors (Stewart 1980),
 * which has the distribution of Q in the QR factorisation of a normal matrix with a positive diagonal in R, and
 * needs no factorisation. Called by initialise_with.c. All sums run over rows in order, column by column side by
 * side.
 */
#include "normal.h"
#include "train.h"

bool lw_orthogonal_need(size_t rows, size_t columns, size_t *doubles)
{
    return lw_mul(rows, columns, doubles) && lw_add(*doubles, rows, doubles) && lw_add(*doubles, columns, doubles);
}

/* v becomes a normal vector's reflector; returns 2 / (v v), and the sign that makes R's diagonal positive. */
static double draw(double *v, size_t count, uint64_t seed, uint64_t stream, uint64_t first, double *sign)
{
    double square = 0.0;
    for (size_t i = 0; i < count; i++) {
        v[i] = lw_random_normal(seed, stream, first + i);
        square += v[i] * v[i];
    }
    if (!(square > 0.0)) /* one number that is 0: any direction is as good */
        v[0] = square = 1.0;
    const double norm = sqrt(square), head = v[0];
    *sign = head < 0.0 ? 1.0 : -1.0;
    v[0] = head - *sign * norm;
    return 1.0 / (square + norm * (head < 0.0 ? -head : head));
}

/* q -= factor * v (v q) on `count` rows of `width` columns that lie `stride` apart. */
static void reflect(double *restrict q, size_t stride, size_t count, size_t width, const double *restrict v,
                    double factor, double *restrict product)
{
    for (size_t j = 0; j < width; j++)
        product[j] = 0.0;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < width; j++)
            product[j] += v[i] * q[i * stride + j];
    for (size_t i = 0; i < count; i++) {
        const double amount = factor * v[i];
        for (size_t j = 0; j < width; j++)
            q[i * stride + j] -= amount * product[j];
    }
}

void lw_orthogonal(float *values, size_t rows, size_t columns, uint64_t seed, uint64_t stream, uint64_t first,
                   double *work)
{
    const size_t longer = lw_max(rows, columns), shorter = lw_min(rows, columns);
    double *q = work, *v = q + longer * shorter, *product = v + longer; /* q (longer, shorter) */
    memset(q, 0, longer * shorter * sizeof *q);
    for (size_t k = shorter; k-- > 0;) {
        double sign, factor = draw(v, longer - k, seed, stream, first + k * longer, &sign);
        q[k * shorter + k] = sign;
        reflect(q + k * shorter + k, shorter, longer - k, shorter - k, v, factor, product);
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            values[i * columns + j] = (float)(rows >= columns ? q[i * shorter + j] : q[j * shorter + i]);
}
