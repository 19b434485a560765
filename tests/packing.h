/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing of matrices for the kernel tests, written from the words of simd/kernels.h: where element (row, k) of a
 * plain matrix stands in panels of V vectors of L floats. Included by the kernel cases.
 */
#ifndef LW_TESTS_PACKING_H
#define LW_TESTS_PACKING_H

#include <kernels.h>
#include <stdbool.h>
#include <stddef.h>

/* A matrix of `groups` stacked blocks (gates) of `units` rows each, depth K. Gated: V = groups, a panel is L units
 * with all their gates. Wide: groups is 1, V = LW_WIDE. */
struct packing {
    size_t lanes;
    size_t groups;
    size_t units;
    size_t depth;
    bool wide;
};

static inline size_t pack_columns(const struct packing *p)
{
    size_t vectors = (p->units + p->lanes - 1) / p->lanes;
    return p->wide ? vectors : vectors * p->groups;
}

static inline size_t pack_width(const struct packing *p)
{
    return p->wide ? LW_WIDE : p->groups;
}

/* Column and lane to the row of the stacked matrix; false beyond the last unit. */
static inline bool pack_row(const struct packing *p, size_t column, size_t lane, size_t *row)
{
    size_t unit = (p->wide ? column : column / p->groups) * p->lanes + lane;
    size_t group = p->wide ? 0 : column % p->groups;
    *row = group * p->units + unit;
    return unit < p->units;
}

/* Where vector (column) of item k stands, of `items` in a panel: k = K inputs of a weight, rows of an `affine` result.
 * */
static inline size_t pack_at(const struct packing *p, size_t items, size_t column, size_t item)
{
    size_t width = pack_width(p), panel = column / width;
    size_t rest = pack_columns(p) - panel * width;
    size_t own = rest < width ? rest : width;
    return (panel * width * items + item * own + column % width) * p->lanes;
}

/* from: (groups * units, depth) row-major; to: pack_columns * depth * lanes floats. */
static inline void pack_weights(const struct packing *p, const float *from, float *to)
{
    for (size_t column = 0; column < pack_columns(p); column++)
        for (size_t k = 0; k < p->depth; k++)
            for (size_t lane = 0; lane < p->lanes; lane++) {
                size_t row;
                bool real = pack_row(p, column, lane, &row);
                to[pack_at(p, p->depth, column, k) + lane] = real ? from[row * p->depth + k] : 0.0f;
            }
}

/* from: (groups * units), or NULL for zeros; to: pack_columns * lanes floats. */
static inline void pack_bias(const struct packing *p, const float *from, float *to)
{
    for (size_t column = 0; column < pack_columns(p); column++)
        for (size_t lane = 0; lane < p->lanes; lane++) {
            size_t row;
            bool real = pack_row(p, column, lane, &row);
            to[column * p->lanes + lane] = real && from ? from[row] : 0.0f;
        }
}

#endif
